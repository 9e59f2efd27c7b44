//! Big things as files: named by the SHA-256 of their content, or, where that name would tell the
//! content (secret values), by a random one, with a checksum that only the home can make.
//!
//! Owns `HOME/blobs/xx/…` and `HOME/secrets/xx/…` (0700, files 0600). Knows nothing of what is in them.

mod keeping;
mod secret_name;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};

use super::error::StoreError;
use cis_core::dag::MAX_FILE_BYTES;
use cis_core::ids::BlobId;
use cis_local::{open_regular, read_regular_at_most, reserve};

pub use keeping::{Stored, Swept};
pub use secret_name::SecretNameKey;

/// Maximum length of a blob that is kept and read as a whole, bytes: a DAG file, or a program of `on_blocked.run`.
const WHOLE_BYTES_MAX: usize = MAX_FILE_BYTES;

/// How safe a blob is once it is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// It survives kill -9 of everything.
    Processes,
    /// It survives a power cut: one wait for the disk, milliseconds.
    Power,
}

/// The blobs of a home directory.
#[derive(Debug, Clone)]
pub struct Blobs {
    home: PathBuf,
    key: Option<SecretNameKey>,
    /// See [`keeping`].
    sweeping: Arc<RwLock<()>>,
}

/// Which of the two directories.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Content,
    Secret,
}

impl Kind {
    fn dir(self) -> &'static str {
        match self {
            Self::Content => "blobs",
            Self::Secret => "secrets",
        }
    }
}

impl Blobs {
    /// The blobs below `home`. Directories are made with the first blob.
    #[must_use]
    pub fn new(home: &Path) -> Self {
        Self { home: home.to_owned(), key: None, sweeping: Arc::default() }
    }

    /// The same, whose secrets get names with a checksum, and are checked by it.
    #[must_use]
    pub fn with_key(self, key: SecretNameKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Keeps `bytes`, once, however often they come. Readers see all of them or no file.
    ///
    /// # Errors
    /// They cannot be written, or are more than 64 MiB; then nothing is left behind.
    pub fn put(&self, bytes: &[u8], safety: Safety) -> Result<BlobId, StoreError> {
        let id = BlobId::of(bytes);
        // A file cut short by a power cut is written again, and so is what stands there but is not a blob.
        let kept = self.read(Kind::Content, &id).unwrap_or_default();
        if kept.is_some_and(|kept| kept == bytes) && self.refresh(&id)? {
            return Ok(id);
        }
        self.write(Kind::Content, &id, bytes, safety)?;
        Ok(id)
    }

    /// Keeps `bytes` under a random name, each time a new one.
    ///
    /// # Errors
    /// As [`Self::put`]; or the system has no randomness.
    pub fn put_secret(&self, bytes: &[u8], safety: Safety) -> Result<BlobId, StoreError> {
        let id = match &self.key {
            Some(key) => key.name(bytes),
            None => random().map(BlobId),
        };
        let id = id.map_err(|e| StoreError::io(&self.home, &e))?;
        self.write(Kind::Secret, &id, bytes, safety)?;
        Ok(id)
    }

    /// The bytes of a blob; none: it is not here.
    ///
    /// # Errors
    /// It cannot be read; or its content is not what its name says. What is not a regular file, or has more than 64 MiB, is not read.
    pub fn get(&self, id: &BlobId) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(bytes) = self.read(Kind::Content, id)? {
            if hex::encode(Sha256::digest(&bytes)) != id.0 {
                return Err(StoreError::BlobDamaged { id: id.0.clone() });
            }
            return Ok(Some(bytes));
        }
        let Some(bytes) = self.read(Kind::Secret, id)? else { return Ok(None) };
        let is_whole = self.key.as_ref().and_then(|key| key.is_of(id, &bytes)).unwrap_or(true);
        match self.secret_path(id) {
            Some(path) if !is_whole => Err(StoreError::SecretDamaged { path }),
            _ => Ok(Some(bytes)),
        }
    }

    /// The path of a secret with this name, whether or not it is there; none: no secret has such a name.
    #[must_use]
    pub fn secret_path(&self, id: &BlobId) -> Option<PathBuf> {
        self.path(Kind::Secret, id)
    }

    /// A blob that is written piece by piece, for what may be larger than the memory. Sets space aside for `size` bytes, if so many are expected.
    ///
    /// # Errors
    /// Its file cannot be made.
    pub fn writer(&self, size: u64) -> Result<BlobWriter<'_>, StoreError> {
        let dir = self.home.join(Kind::Content.dir());
        let io = |e: io::Error| StoreError::io(&dir, &e);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(io)?;
        let temporary = dir.join(format!(".{}", random().map_err(io)?));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = file.map_err(|e| StoreError::io(&temporary, &e))?;
        reserve(&file, size);
        Ok(BlobWriter { blobs: self, file, temporary, hash: Sha256::new(), expected: size, written: 0 })
    }

    /// The file of a content-addressed blob; none: it is not here. Nothing was checked: whoever reads it
    /// compares its hash with the name.
    ///
    /// # Errors
    /// It cannot be opened, or is not a regular file.
    pub fn open(&self, id: &BlobId) -> Result<Option<File>, StoreError> {
        let Some(path) = self.path(Kind::Content, id) else { return Ok(None) };
        match open_regular(File::options().read(true), &path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path, &error)),
        }
    }

    /// Removes a secret that nobody needs any more. Says whether it was there.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove_secret(&self, id: &BlobId) -> Result<bool, StoreError> {
        let Some(path) = self.path(Kind::Secret, id) else { return Ok(false) };
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io(&path, &error)),
        }
    }

    /// Where a blob lies; none where `id` has not the shape of one (it may come from anywhere, and is
    /// about to become a path).
    fn path(&self, kind: Kind, id: &BlobId) -> Option<PathBuf> {
        let good = id.0.len() == 64 && id.0.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| self.home.join(kind.dir()).join(&id.0[..2]).join(&id.0))
    }

    fn read(&self, kind: Kind, id: &BlobId) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(path) = self.path(kind, id) else { return Ok(None) };
        match read_regular_at_most(&path, WHOLE_BYTES_MAX as u64) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path, &error)),
        }
    }

    fn write(&self, kind: Kind, id: &BlobId, bytes: &[u8], safety: Safety) -> Result<(), StoreError> {
        let Some(path) = self.path(kind, id) else {
            return Err(StoreError::BlobDamaged { id: id.0.clone() });
        };
        let dir = self.home.join(kind.dir()).join(&id.0[..2]);
        let io = |e: io::Error| StoreError::io(&path, &e);
        if bytes.len() > WHOLE_BYTES_MAX {
            let why = format!("it has more than {} MiB", WHOLE_BYTES_MAX >> 20);
            return Err(io(io::Error::new(io::ErrorKind::FileTooLarge, why)));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(io)?;
        let temporary = dir.join(format!(".{}", random().map_err(io)?));
        let written = write_file(&temporary, bytes, safety).and_then(|()| self.place(&temporary, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(io(error));
        }
        if safety == Safety::Power {
            // The name of the file, and those of directories that may be new.
            for dir in dir.ancestors().take(3) {
                File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
            }
        }
        Ok(())
    }
}

impl Blobs {
    /// Gives a file that is whole its name.
    fn place(&self, temporary: &Path, path: &Path) -> io::Result<()> {
        // One of that name may be there and be swept at this moment.
        let _nobody_sweeps = self.sweeping.read().unwrap_or_else(PoisonError::into_inner);
        fs::rename(temporary, path)
    }
}

/// See [`Blobs::writer`]. Dropped before [`Self::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    blobs: &'a Blobs,
    file: File,
    temporary: PathBuf,
    hash: Sha256,
    /// Bytes that were expected: there may be space for so many.
    expected: u64,
    written: u64,
}

impl BlobWriter<'_> {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|e| StoreError::io(&self.temporary, &e))
    }

    /// Opens its file for reading. It shows what is written so far, and what follows, also after [`Self::finish`].
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn reader(&self) -> Result<File, StoreError> {
        File::open(&self.temporary).map_err(|e| StoreError::io(&self.temporary, &e))
    }

    /// Bytes that were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether what was written is the content of this name.
    #[must_use]
    pub fn is(&self, id: &BlobId) -> bool {
        hex::encode(self.hash.clone().finalize()) == id.0
    }

    /// Keeps what was written. It survives kill -9 of everything, as with [`Safety::Processes`].
    ///
    /// # Errors
    /// It cannot be put in its place.
    pub fn finish(mut self) -> Result<BlobId, StoreError> {
        let id = BlobId(hex::encode(self.hash.finalize_reset()));
        let path = self.blobs.path(Kind::Content, &id);
        let path = path.ok_or_else(|| StoreError::BlobDamaged { id: id.0.clone() })?;
        let io = |e: io::Error| StoreError::io(&path, &e);
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        }
        if self.written < self.expected {
            self.file.set_len(self.written).map_err(io)?;
        }
        // Over one that is there already: what is damaged is mended so.
        self.blobs.place(&self.temporary, &path).map_err(io)?;
        self.temporary.clear();
        Ok(id)
    }
}

impl Drop for BlobWriter<'_> {
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn write_file(path: &Path, bytes: &[u8], safety: Safety) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    if safety == Safety::Power { file.sync_all() } else { Ok(()) }
}

/// 64 random hex characters.
fn random() -> io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::sync::mpsc;
    use std::time::Duration;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn blobs() -> (tempfile::TempDir, Blobs) {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path());
        (dir, blobs)
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
        }
        found
    }

    #[test]
    fn the_same_bytes_are_kept_once_and_read_back() {
        let (dir, blobs) = blobs();
        let id = blobs.put(b"abc", Safety::Processes).unwrap();
        assert_eq!(id.0, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(blobs.put(b"abc", Safety::Power).unwrap(), id);
        assert_eq!(blobs.get(&id).unwrap().unwrap(), b"abc");
        let kept = files(dir.path());
        assert_eq!(kept, [dir.path().join("blobs/ba").join(&id.0)]);
        assert_eq!(fs::metadata(&kept[0]).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(dir.path().join("blobs/ba")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(dir.path().join("blobs")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_name_of_a_secret_tells_nothing() {
        let (_dir, blobs) = blobs();
        let (a, b) = (
            blobs.put_secret(b"pw", Safety::Power).unwrap(),
            blobs.put_secret(b"pw", Safety::Power).unwrap(),
        );
        assert_ne!(a, b);
        assert_ne!(a.0, hex::encode(Sha256::digest(b"pw")));
        assert_eq!(blobs.get(&a).unwrap().unwrap(), b"pw");
        assert!(blobs.remove_secret(&a).unwrap());
        assert!(!blobs.remove_secret(&a).unwrap());
        assert_eq!(blobs.get(&a).unwrap(), None);
    }

    #[test]
    fn a_changed_secret_is_noticed_by_the_checksum_in_its_name() {
        let (dir, plain) = blobs();
        let keyed = |key: u8| plain.clone().with_key(SecretNameKey::new(&[key; 32]));
        let blobs = keyed(1);
        let put = |blobs: &Blobs| blobs.put_secret(b"pw", Safety::Processes).unwrap();
        let (a, b, old) = (put(&blobs), put(&blobs), put(&plain));
        assert_ne!(a, b, "it tells nothing of its content");
        for blobs in [&blobs, &plain, &keyed(2)] {
            assert_eq!(blobs.get(&a).unwrap().unwrap(), b"pw");
        }
        for id in [&a, &old] {
            fs::write(blobs.secret_path(id).unwrap(), b"px").unwrap();
        }
        let said = blobs.get(&a).unwrap_err().to_string();
        assert!(said.contains(dir.path().join("secrets").to_str().unwrap()), "{said}");
        // An earlier version, another key and a name without a checksum: nobody can tell.
        for (blobs, id) in [(&plain, &a), (&keyed(2), &a), (&blobs, &old)] {
            assert_eq!(blobs.get(id).unwrap().unwrap(), b"px");
        }
    }

    #[test]
    fn damage_is_noticed_and_mended_by_the_next_put() {
        let (dir, blobs) = blobs();
        let id = blobs.put(b"whole", Safety::Processes).unwrap();
        fs::write(files(dir.path()).remove(0), b"who").unwrap();
        assert!(matches!(blobs.get(&id), Err(StoreError::BlobDamaged { .. })));
        blobs.put(b"whole", Safety::Processes).unwrap();
        assert_eq!(blobs.get(&id).unwrap().unwrap(), b"whole");
    }

    #[test]
    fn what_is_written_in_pieces_is_the_same_blob_and_what_is_given_up_leaves_nothing() {
        let (dir, blobs) = blobs();
        let mut writer = blobs.writer(3 << 20).unwrap();
        writer.write(b"ab").unwrap();
        writer.write(b"c").unwrap();
        let id = writer.finish().unwrap();
        assert_eq!(id, blobs.put(b"abc", Safety::Processes).unwrap());
        assert_eq!(files(dir.path()), [dir.path().join("blobs/ba").join(&id.0)]);
        assert!(
            fs::metadata(&files(dir.path())[0]).unwrap().blocks() < 2048,
            "it keeps no space that it does not need"
        );
        let mut given_up = blobs.writer(0).unwrap();
        given_up.write(b"x").unwrap();
        assert_eq!(files(dir.path()).len(), 2);
        drop(given_up);
        assert_eq!(files(dir.path()).len(), 1);
        let mut text = String::new();
        blobs.open(&id).unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert!(blobs.open(&BlobId("../key".to_owned())).unwrap().is_none());
    }

    /// What `work` gives; it fails where it does not end.
    fn at_once<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        std::thread::spawn(move || done.send(work()));
        result.recv_timeout(Duration::from_secs(10)).expect("it hangs")
    }

    #[test]
    fn pipes_devices_and_endless_files_are_no_blobs_and_the_next_put_replaces_them() {
        type Replace = fn(&Path);
        let pipe: Replace = |path| mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let device: Replace = |path| symlink("/dev/zero", path).unwrap();
        let endless: Replace =
            |path| File::create(path).unwrap().set_len(WHOLE_BYTES_MAX as u64 + 1).unwrap();
        let kinds = [
            (pipe, "it is not a regular file"),
            (device, "it is not a regular file"),
            (endless, "it has more than 64 MiB"),
        ];
        for (replace, why) in kinds {
            let (dir, blobs) = blobs();
            let content = blobs.put(b"text", Safety::Processes).unwrap();
            let secret = blobs.put_secret(b"pw", Safety::Processes).unwrap();
            for file in files(dir.path()) {
                fs::remove_file(&file).unwrap();
                replace(&file);
            }
            for id in [&content, &secret] {
                let (blobs, id) = (blobs.clone(), id.clone());
                let error = at_once(move || blobs.get(&id)).unwrap_err().to_string();
                assert!(error.contains(why), "{error}");
            }
            let (opening, id) = (blobs.clone(), content.clone());
            let opened = at_once(move || opening.open(&id));
            assert!(opened.is_err() || why.contains("MiB"), "{opened:?}");
            let putting = blobs.clone();
            assert_eq!(at_once(move || putting.put(b"text", Safety::Processes)).unwrap(), content);
            assert_eq!(blobs.get(&content).unwrap().unwrap(), b"text");
        }
        let (dir, blobs) = blobs();
        let error = blobs.put(&vec![0; WHOLE_BYTES_MAX + 1], Safety::Processes).unwrap_err();
        assert!(error.to_string().contains("more than 64 MiB"), "{error}");
        assert!(files(dir.path()).is_empty());
    }

    #[test]
    fn names_from_elsewhere_reach_no_other_file() {
        let (dir, blobs) = blobs();
        fs::create_dir_all(dir.path().join("blobs/..")).unwrap();
        fs::write(dir.path().join("key"), b"k").unwrap();
        for name in ["../key", "", "blobs/../../key", &"A".repeat(64), &format!("..{}", "/".repeat(62))] {
            assert_eq!(blobs.get(&BlobId(name.to_owned())).unwrap(), None, "{name}");
        }
    }
}
