//! A backup: the store as it is at one moment, with the blobs that it refers to, the node's keys, and
//! the logs of runs that have not ended. Nothing waits for it.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Progress;
use super::archive::{ArchiveWriter, DATABASE, FILES, FORMAT, Head, is_allowed};
use super::error::UpkeepError;
use super::hold::{self, Hold};
use cis_core::ids::{BlobId, TimestampMs};
use cis_local::{Home, open_no_link};
use cis_store::maintenance::{self, Census};
use cis_store::{Blobs, StoreError};

/// Name, but for its end, of the directory that has the copy of the store meanwhile.
pub(super) const ASIDE: &str = ".backup-";

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that are needed, but are not there: what refers to them cannot be done again.
    pub missing: Vec<BlobId>,
}

/// One file on its way.
struct Item {
    name: String,
    path: PathBuf,
    bytes: u64,
    /// Somebody may be writing it.
    grows: bool,
}

/// Writes a backup of `home` to `out`; with `all_logs` those of ended runs are in it as well. The copy of the store is in a
/// directory of its own in `aside` meanwhile, so that nothing is written to the disk of the home if that is elsewhere.
///
/// # Errors
/// There is no store, or something cannot be read or written: then what was written is no backup.
pub fn backup<W: Write>(
    home: &Home,
    aside: &Path,
    out: W,
    all_logs: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<(BackupReport, W), UpkeepError> {
    maintenance::refuse_missing(&home.database())?;
    let _hold = Hold::shared(&home.dir, hold::PATIENCE, || true)?;
    let aside = Aside::make(aside)?;
    let copied = aside.0.join(DATABASE);
    maintenance::copy(&home.database(), &copied, &mut |_, _| {}).map_err(|error| match error {
        // The hint of the store is about the disk of the home.
        StoreError::Full { path } if path == copied => no_space(&aside.0),
        error => error.into(),
    })?;
    let census = Census::take(&copied)?;
    let blobs = Blobs::new(&home.dir);
    let (mut items, missing) = items(home, &copied, &census, &blobs, all_logs)?;
    let total = items.iter().map(|item| item.bytes).sum();
    let made_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let head = Head {
        format: FORMAT,
        cis: env!("CARGO_PKG_VERSION").to_owned(),
        made_ms: TimestampMs::try_from(made_ms).unwrap_or(TimestampMs::MAX),
        all_logs,
    };
    let mut archive = ArchiveWriter::begin(out, &head)?;
    let mut report = BackupReport { files: 0, bytes: 0, missing };
    for item in items.drain(..) {
        let done = report.bytes;
        let Some(bytes) = add(&mut archive, &item, &mut |count| {
            progress(Progress { done: done + count, total: Some(total) });
        })?
        else {
            continue;
        };
        report.files += 1;
        report.bytes += bytes;
    }
    Ok((report, archive.finish()?))
}

fn no_space(aside: &Path) -> UpkeepError {
    let dir = aside.parent().unwrap_or(aside);
    UpkeepError::file("write the backup into", dir)(io::ErrorKind::StorageFull.into())
}

/// Every file that belongs to it, and the blobs that should and are not there.
fn items(
    home: &Home,
    copied: &Path,
    census: &Census,
    blobs: &Blobs,
    all_logs: bool,
) -> Result<(Vec<Item>, Vec<BlobId>), UpkeepError> {
    let mut items = vec![item(DATABASE.to_owned(), copied.to_owned(), false)?];
    for name in FILES {
        let path = home.dir.join(name);
        if path.is_file() {
            items.push(item((*name).to_owned(), path, false)?);
        }
    }
    let mut missing = Vec::new();
    for id in census.needs().iter() {
        let Some(path) = blobs.file(&id) else {
            missing.push(id);
            continue;
        };
        let name = below(&home.dir, &path);
        items.push(item(name, path, false)?);
    }
    missing.retain(|id| census.is_blob(id));
    let open: BTreeSet<String> = census.open().collect();
    logs(home, &mut items, |owner| all_logs || open.contains(owner))?;
    Ok((items, missing))
}

/// Logs of the runs and sessions that are wanted.
fn logs(home: &Home, items: &mut Vec<Item>, wanted: impl Fn(&str) -> bool) -> Result<(), UpkeepError> {
    let dir = home.logs();
    for (name, path) in names(&dir)? {
        // A directory has the name of its run; a file begins with that of its session.
        if !name.get(..26).is_some_and(&wanted) {
            continue;
        }
        let files = if path.is_dir() { names(&path)? } else { vec![(name, path)] };
        for (_, path) in files {
            let name = below(&home.dir, &path);
            if is_allowed(&name) && fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file()) {
                items.push(item(name, path, true)?);
            }
        }
    }
    Ok(())
}

/// What is in a directory, in order; nothing where it is not there.
fn names(dir: &Path) -> Result<Vec<(String, PathBuf)>, UpkeepError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(UpkeepError::file("read", dir))?,
    };
    let mut all: Vec<_> = entries
        .map_while(Result::ok)
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect();
    all.sort_unstable();
    Ok(all)
}

fn item(name: String, path: PathBuf, grows: bool) -> Result<Item, UpkeepError> {
    let bytes = match fs::symlink_metadata(&path) {
        Ok(meta) => meta.len(),
        Err(error) if grows && error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(UpkeepError::file("read", &path)(error)),
    };
    Ok(Item { name, path, bytes, grows })
}

/// The name of a file in the archive.
fn below(home: &Path, path: &Path) -> String {
    path.strip_prefix(home).unwrap_or(path).display().to_string()
}

/// Gives its bytes; none: it went away meanwhile, as files beside a log may.
fn add<W: Write>(
    archive: &mut ArchiveWriter<W>,
    item: &Item,
    progress: &mut dyn FnMut(u64),
) -> Result<Option<u64>, UpkeepError> {
    let opened = open_no_link(File::options().read(true), &item.path);
    let file = match opened {
        Err(error) if item.grows && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(UpkeepError::file("read", &item.path))?,
    };
    let mut length = file.metadata().map_err(UpkeepError::file("read", &item.path))?.len();
    let mut from: Box<dyn Read> = Box::new(file);
    if item.grows {
        length = length.min(item.bytes);
        // Whoever cuts it now does not make the archive shorter than it says: blank is what is not there.
        from = Box::new(from.chain(io::repeat(0)));
    }
    archive.add(&item.name, length, Told { from: from.take(length), count: 0, tell: progress })?;
    Ok(Some(length))
}

/// Tells how much was read.
struct Told<'a, R> {
    from: R,
    count: u64,
    tell: &'a mut dyn FnMut(u64),
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.count += read as u64;
        (self.tell)(self.count);
        Ok(read)
    }
}

/// A directory of our own, removed at the end.
struct Aside(PathBuf);

impl Aside {
    fn make(parent: &Path) -> Result<Self, UpkeepError> {
        let path = parent.join(format!("{ASIDE}{}", ulid::Ulid::new()));
        DirBuilder::new().mode(0o700).create(&path).map_err(UpkeepError::file("make", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // In a home, the next cleaning removes what is left of it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
