//! Which blobs there are, and removing those that nothing refers to.
//!
//! A blob may be put, or found to be there already, before the event that refers to it is durable. So
//! each of these makes its file new, and only old files are swept; both happen under one lock, which
//! every clone of a [`Blobs`] shares. Other processes do not put blobs while a node runs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::SystemTime;

use super::{Blobs, Kind};
use crate::error::StoreError;
use cis_core::ids::BlobId;
use cis_local::open_no_link;

/// Bytes of the name of a directory with blobs.
const DIR_CHARS: usize = 2;

/// The file of a blob, or of one that was not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name; none: it was being written when somebody died.
    pub id: Option<BlobId>,
    /// Its bytes.
    pub bytes: u64,
    /// When it was last put.
    pub modified: SystemTime,
    path: PathBuf,
}

/// What became of a blob that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// It is gone.
    Gone,
    /// It was put again meanwhile.
    InUse,
}

impl Blobs {
    /// Every blob, in no particular order.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn list(&self) -> Result<Vec<Stored>, StoreError> {
        let mut found = Vec::new();
        for kind in [Kind::Content, Kind::Secret] {
            let top = self.home.join(kind.dir());
            list(&top, 1, &mut found).map_err(|e| StoreError::io(&top, &e))?;
        }
        Ok(found)
    }

    /// Removes one that nothing refers to, unless it was put after `before`.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn sweep(&self, stored: &Stored, before: SystemTime) -> Result<Swept, StoreError> {
        let io = |e: io::Error| StoreError::io(&stored.path, &e);
        // Nothing is left half done by a panic.
        let _nobody_puts = self.sweeping.write().unwrap_or_else(PoisonError::into_inner);
        match fs::symlink_metadata(&stored.path).and_then(|meta| meta.modified()) {
            Ok(modified) if modified > before => return Ok(Swept::InUse),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Swept::Gone),
            Err(error) => return Err(io(error)),
            Ok(_) => {}
        }
        fs::remove_file(&stored.path).map_err(io)?;
        Ok(Swept::Gone)
    }

    /// Whether it is here, whatever its content.
    #[must_use]
    pub fn has(&self, id: &BlobId) -> bool {
        self.file(id).is_some()
    }

    /// Keeps one that is here from being swept for a while. Says whether it is.
    ///
    /// # Errors
    /// Its time cannot be set.
    pub fn refresh(&self, id: &BlobId) -> Result<bool, StoreError> {
        let Some(path) = self.file(id) else { return Ok(false) };
        let _nobody_sweeps = self.sweeping.read().unwrap_or_else(PoisonError::into_inner);
        let opened = open_no_link(File::options().append(true), &path);
        match opened.and_then(|file| file.set_modified(SystemTime::now())) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io(&path, &error)),
        }
    }

    /// Whether it is here with so many bytes. A power failure can truncate a file: a caller that can get the content again treats
    /// it as missing.
    #[must_use]
    pub fn has_whole(&self, id: &BlobId, size: u64) -> bool {
        let meta = self.file(id).and_then(|path| fs::symlink_metadata(path).ok());
        meta.is_some_and(|meta| meta.len() == size)
    }

    /// As [`Self::refresh`], of one that has so many bytes (see [`Self::has_whole`]).
    ///
    /// # Errors
    /// As [`Self::refresh`].
    pub fn refresh_whole(&self, id: &BlobId, size: u64) -> Result<bool, StoreError> {
        Ok(self.has_whole(id, size) && self.refresh(id)?)
    }

    /// Where a blob that is here lies.
    #[must_use]
    pub fn file(&self, id: &BlobId) -> Option<PathBuf> {
        [Kind::Content, Kind::Secret]
            .into_iter()
            .filter_map(|kind| self.path(kind, id))
            .find(|path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file()))
    }
}

/// The files of a directory and of those `depth` levels below it.
fn list(dir: &Path, depth: u8, found: &mut Vec<Stored>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            if entry.file_name().len() != DIR_CHARS {
                // Not ours: the `lost+found` of a mount, perhaps, which cannot be read.
                continue;
            }
            list(&entry.path(), depth - 1, found)?;
        } else if kind.is_file() {
            // One that is gone meanwhile is none.
            let Ok(meta) = entry.metadata() else { continue };
            let name = entry.file_name().into_string().ok();
            let id = name.filter(|name| !name.starts_with('.')).map(BlobId);
            let modified = meta.modified()?;
            found.push(Stored { id, bytes: meta.len(), modified, path: entry.path() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Safety;

    fn age(blobs: &Blobs, id: &BlobId) {
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        let file = File::options().append(true).open(blobs.file(id).unwrap()).unwrap();
        file.set_modified(hour_ago).unwrap();
    }

    #[test]
    fn what_is_put_again_or_refreshed_is_not_swept() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path());
        assert_eq!(blobs.list().unwrap(), []);
        let put = || blobs.put(b"text", Safety::Processes).unwrap();
        let (content, secret) = (put(), blobs.put_secret(b"pw", Safety::Processes).unwrap());
        let minute_ago = SystemTime::now() - Duration::from_secs(60);
        for id in [&content, &secret] {
            age(&blobs, id);
        }
        let all = blobs.list().unwrap();
        assert_eq!(all.len(), 2);
        put();
        assert!(blobs.refresh(&secret).unwrap());
        for one in &all {
            assert_eq!(blobs.sweep(one, minute_ago).unwrap(), Swept::InUse);
        }
        age(&blobs, &content);
        for one in &all {
            blobs.sweep(one, minute_ago).unwrap();
        }
        assert!(!blobs.has(&content) && blobs.has(&secret));
        assert!(!blobs.refresh(&content).unwrap());
    }

    #[test]
    fn a_blob_that_was_cut_short_is_not_whole() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path());
        let id = blobs.put(b"text", Safety::Processes).unwrap();
        assert!(blobs.has_whole(&id, 4) && blobs.refresh_whole(&id, 4).unwrap());
        fs::write(blobs.file(&id).unwrap(), "te").unwrap();
        assert!(!blobs.has_whole(&id, 4) && !blobs.refresh_whole(&id, 4).unwrap());
        assert!(blobs.has(&id), "its file is there");
    }

    #[test]
    fn half_a_blob_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("blobs/ab")).unwrap();
        fs::write(dir.path().join("blobs/ab/.half"), "x").unwrap();
        let found = Blobs::new(dir.path()).list().unwrap();
        assert_eq!((found.len(), &found[0].id, found[0].bytes), (1, &None, 1));
    }
}
