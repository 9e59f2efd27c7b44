//! Artifacts: files that a task left, kept as blobs when it ended well, and put back where its result is
//! taken from the cache.
//!
//! Works on threads of its own ([`super::chores`]). Knows nothing of runs.

mod readers;
mod restore;

pub(super) use restore::{Filling, Restore};

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::body::Bytes;
use futures_util::{Stream, stream};
use rustix::fs::{Mode, fchmod};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::files::{
    FilesError, Found, Globs, KnownFiles, Limits, STAGING, Stop, Tree, find, pieces, search_until_stable,
};
use super::upload_ahead::UploadAhead;
use cis_core::event::{ArtifactRecord, FileReaders};
use cis_core::ids::BlobId;
use cis_core::policy::redact::Redactor;
use cis_store::{Blobs, StoreError};

/// A task leaves no more files.
pub(super) const FILES_MAX: usize = 10_000;

/// All of them together have no more bytes.
pub(super) const BYTES_MAX: u64 = 10 << 30;

/// So many entries of directories are looked at for them.
pub(super) const SEEN_MAX: usize = 1_000_000;

/// Read at a time for somebody who wants a file, bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Pieces on their way to a slow reader.
const PIECES_AHEAD: usize = 4;

/// How files are kept.
struct Collecting<'a> {
    blobs: &'a Blobs,
    /// Files that were kept before.
    known: Option<&'a KnownFiles>,
    /// Where their contents are uploaded to meanwhile.
    ahead: Option<&'a UploadAhead>,
    redactor: &'a Redactor,
    bytes_max: u64,
}

/// Keeps the files below `cwd` that the globs match, sorted by path. Each glob must match one. If a name holds a secret, nothing is read.
pub(super) fn collect(
    cwd: &Path,
    globs: &[String],
    blobs: &Blobs,
    redactor: &Redactor,
    ahead: Option<&UploadAhead>,
    stop: &Stop,
) -> Result<Vec<ArtifactRecord>, FilesError> {
    let how = Collecting { blobs, known: None, ahead, redactor, bytes_max: BYTES_MAX };
    collect_with(cwd, globs, &how, stop)
}

/// The same of files that are given to a task: one that was given before and did not change is not read again.
pub(super) fn collect_inputs(
    dir: &Path,
    globs: &[String],
    blobs: &Blobs,
    known: &KnownFiles,
    stop: &Stop,
) -> Result<Vec<ArtifactRecord>, FilesError> {
    let (redactor, bytes_max) = (&Redactor::default(), BYTES_MAX);
    let how = Collecting { blobs, known: Some(known), ahead: None, redactor, bytes_max };
    collect_with(dir, globs, &how, stop)
}

fn collect_with(
    cwd: &Path,
    globs: &[String],
    how: &Collecting<'_>,
    stop: &Stop,
) -> Result<Vec<ArtifactRecord>, FilesError> {
    let globs = Globs::new(globs)?;
    let limits = Limits { found_max: FILES_MAX, seen_max: SEEN_MAX };
    collect_found(cwd, how, stop, |tree| find(tree, &globs, false, limits, stop))
}

/// Keeps the files that `search` finds. It is called again if one of them vanished before it was read.
fn collect_found(
    cwd: &Path,
    how: &Collecting<'_>,
    stop: &Stop,
    mut search: impl FnMut(&Tree) -> Result<Vec<Found>, FilesError>,
) -> Result<Vec<ArtifactRecord>, FilesError> {
    search_until_stable(cwd, |tree| {
        let found = search(&tree)?;
        check_names(found.iter().filter_map(|found| found.path.to_str()), how.redactor)?;
        keep(tree, &found, how, stop)
    })
}

fn keep(
    mut tree: Tree,
    all: &[Found],
    how: &Collecting<'_>,
    stop: &Stop,
) -> Result<Vec<ArtifactRecord>, FilesError> {
    let Collecting { blobs, known, ahead, bytes_max, .. } = *how;
    let (mut total, mut kept, mut dirs) = (0, Vec::new(), HashMap::new());
    for found in all {
        let full = tree.path().join(&found.path);
        let path = match found.path.to_str() {
            Some(path) => path.to_owned(),
            None => return Err(FilesError::NotUtf8 { path: full }),
        };
        let file = tree.file(&found.path)?;
        let metadata = file.metadata().map_err(|source| FilesError::Read { path: full.clone(), source })?;
        // Its size may change while it is read.
        if total + metadata.len() > bytes_max {
            return Err(FilesError::TooLarge { max: bytes_max });
        }
        let executable = is_executable(&metadata);
        let above = found.path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
        let readers =
            above.map(|dir| *dirs.entry(dir.to_owned()).or_insert_with(|| passed_by(&mut tree, dir)));
        let readers = readers.fold(readers::of_file(&file), FileReaders::max);
        if let Some(blob) = known.and_then(|known| known.get(&metadata))
            && blobs.refresh_whole(&blob, metadata.len())?
        {
            total += metadata.len();
            kept.push(ArtifactRecord { path, blob, size: metadata.len(), executable, readers });
            continue;
        }
        let mut blob = blobs.writer(metadata.len())?;
        let reading = ahead.and_then(|to| to.begin(&file, metadata.len(), (blobs, &blob), stop));
        let mut size = 0;
        let read = pieces(&file, &full, stop, |piece| {
            size += piece.len() as u64;
            if total + size > bytes_max {
                return Err(FilesError::TooLarge { max: bytes_max });
            }
            blob.write(piece)?;
            if let Some(reading) = &reading {
                reading.wrote(size);
            }
            Ok(())
        })?;
        total += read;
        let blob = blob.finish()?;
        if let Some(reading) = reading {
            reading.finish(&blob, read);
        }
        if let (Some(known), Ok(after)) = (known, file.metadata()) {
            known.note(&metadata, &after, &blob);
        }
        kept.push(ArtifactRecord { path, blob, size: read, executable, readers });
    }
    Ok(kept)
}

/// The path of a file that no glob asked for, or that is in the way of files that wait for their places.
pub(super) fn undeclared<'a>(
    records: &'a [ArtifactRecord],
    globs: &[String],
) -> Result<Option<&'a str>, FilesError> {
    let globs = Globs::new(globs)?;
    let is_declared = |path: &str| {
        !path.split('/').any(|name| name.starts_with(STAGING)) && !globs.matching(Path::new(path)).is_empty()
    };
    Ok(records.iter().map(|record| &*record.path).find(|path| !is_declared(path)))
}

/// That no name of files holds a secret.
pub(super) fn check_names<'a>(
    names: impl Iterator<Item = &'a str>,
    redactor: &Redactor,
) -> Result<(), FilesError> {
    if redactor.is_empty() {
        return Ok(());
    }
    match redactor.first_with_secret(names) {
        Some(name) => Err(FilesError::SecretName { name }),
        None => Ok(()),
    }
}

/// Puts the files back below `cwd`, from the blobs: all of them, or none. See [`Restore::begin`].
pub(super) fn restore(
    cwd: &Path,
    records: &[ArtifactRecord],
    blobs: &Blobs,
    umask: u32,
    staging: String,
    stop: &Stop,
) -> Result<(), FilesError> {
    Restore::begin(cwd, records, umask, staging, stop)?.finish(blobs)
}

/// A range of the bytes of a file, read on a thread that may wait.
pub(super) fn read(mut file: File, range: Range<u64>) -> impl Stream<Item = Bytes> + Send + 'static {
    let (to_reader, pieces) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = file.seek(SeekFrom::Start(range.start)) {
            return tracing::warn!(%error, "an artifact cannot be read");
        }
        let mut file = file.take(range.end - range.start);
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            match file.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => piece.truncate(read),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // Whoever reads compares the hash, and sees that something is missing.
                    tracing::warn!(%error, "an artifact cannot be read to its end");
                    return;
                }
            }
            if to_reader.blocking_send(Bytes::from(piece)).is_err() {
                return;
            }
        }
    });
    stream::unfold(pieces, |mut pieces| async { pieces.recv().await.map(|piece| (piece, pieces)) })
}

fn damaged(blob: &BlobId) -> FilesError {
    StoreError::BlobDamaged { id: blob.0.clone() }.into()
}

/// Who may pass a directory.
fn passed_by(tree: &mut Tree, dir: &Path) -> FileReaders {
    tree.dir(dir).map_or(FileReaders::Owner, readers::through)
}

/// Whether somebody may execute a file.
fn is_executable(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o111 != 0
}

fn mode_of(record: &ArtifactRecord, umask: u32) -> Mode {
    Mode::from_raw_mode(record.mode() & !umask)
}

/// Whether a file has this content; then it gets its rights where those differ. One to which others have fewer rights stays so.
fn is_same(file: &File, record: &ArtifactRecord, path: &Path, umask: u32, stop: &Stop) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    if metadata.len() != record.size {
        return false;
    }
    let mut hash = Sha256::new();
    let read = pieces(file, path, stop, |piece| {
        hash.update(piece);
        Ok(())
    });
    if read.is_err() || hex::encode(hash.finalize()) != record.blob.0 {
        return false;
    }
    let (executable, readers) = (is_executable(&metadata), readers::at_most(file));
    let has_rights = executable == record.executable && readers >= record.readers;
    let mode = readers.limit(mode_of(record, umask).as_raw_mode());
    has_rights || fchmod(file, Mode::from_raw_mode(mode)).is_ok()
}

#[cfg(test)]
mod tests;
