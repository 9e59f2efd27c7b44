//! Artifacts: files that a task left, kept as blobs when it ended well, and put back where its result is
//! taken from the cache.
//!
//! Works on threads of its own ([`super::chores`]). Knows nothing of runs.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::body::Bytes;
use futures_util::{Stream, stream};
use rustix::fs::fchmod;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::files::{
    FilesError, Globs, KnownFiles, Limits, STAGING, Staging, Stop, Tree, find, fits, mode, pieces,
    stays_below,
};
use cis_core::event::ArtifactRecord;
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

/// Keeps the files below `cwd` that the globs match, sorted by path. Each glob must match one.
pub(super) fn collect(
    cwd: &Path,
    globs: &[String],
    blobs: &Blobs,
    stop: &Stop,
) -> Result<Vec<ArtifactRecord>, FilesError> {
    collect_at_most(cwd, globs, (blobs, None), stop, BYTES_MAX)
}

/// The same of files that are given to a task: one that was given before and did not change is not read again.
pub(super) fn collect_inputs(
    dir: &Path,
    globs: &[String],
    blobs: &Blobs,
    known: &KnownFiles,
    stop: &Stop,
) -> Result<Vec<ArtifactRecord>, FilesError> {
    collect_at_most(dir, globs, (blobs, Some(known)), stop, BYTES_MAX)
}

fn collect_at_most(
    cwd: &Path,
    globs: &[String],
    (blobs, known): (&Blobs, Option<&KnownFiles>),
    stop: &Stop,
    bytes_max: u64,
) -> Result<Vec<ArtifactRecord>, FilesError> {
    let mut tree = Tree::open(cwd).map_err(|source| FilesError::Read { path: cwd.to_owned(), source })?;
    let globs = Globs::new(globs)?;
    let limits = Limits { found_max: FILES_MAX, seen_max: SEEN_MAX };
    let mut total = 0;
    let mut kept = Vec::new();
    for found in find(&tree, &globs, false, limits, stop)? {
        let full = cwd.join(&found.path);
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
        let executable = metadata.permissions().mode() & 0o111 != 0;
        if let Some(blob) = known.and_then(|known| known.get(&metadata))
            && blobs.refresh(&blob)?
        {
            total += metadata.len();
            kept.push(ArtifactRecord { path, blob, size: metadata.len(), executable });
            continue;
        }
        let mut blob = blobs.writer()?;
        let mut size = 0;
        let read = pieces(&file, &full, stop, |piece| {
            size += piece.len() as u64;
            if total + size > bytes_max {
                return Err(FilesError::TooLarge { max: bytes_max });
            }
            Ok(blob.write(piece)?)
        })?;
        total += read;
        let blob = blob.finish()?;
        if let (Some(known), Ok(after)) = (known, file.metadata()) {
            known.note(&metadata, &after, &blob);
        }
        kept.push(ArtifactRecord { path, blob, size: read, executable });
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

/// That no name of them holds a secret.
pub(super) fn check_names(records: &[ArtifactRecord], redactor: &Redactor) -> Result<(), FilesError> {
    if redactor.is_empty() {
        return Ok(());
    }
    match redactor.first_with_secret(records.iter().map(|record| &*record.path)) {
        Some(name) => Err(FilesError::SecretName { name }),
        None => Ok(()),
    }
}

/// Puts the files back below `cwd`: all of them, or none. Files that are there with the same content stay
/// as they are. `staging` is a name that nobody else uses now.
pub(super) fn restore(
    cwd: &Path,
    records: &[ArtifactRecord],
    blobs: &Blobs,
    umask: u32,
    staging: String,
    stop: &Stop,
) -> Result<(), FilesError> {
    let mut tree = Tree::open(cwd).map_err(|source| FilesError::Read { path: cwd.to_owned(), source })?;
    let mut missing = Vec::new();
    for record in records {
        let rel = Path::new(&record.path);
        if !stays_below(rel) {
            let why = "its path leaves the directory".to_owned();
            return Err(FilesError::Place { path: cwd.join(rel), why });
        }
        let there = fits(&mut tree, rel)?;
        if !there.is_some_and(|file| is_same(&file, record, &cwd.join(rel), umask, stop)) {
            missing.push(record);
        }
    }
    stop.check()?;
    if missing.is_empty() {
        return Ok(());
    }
    let mut staged = Staging::new(&mut tree, staging)?;
    for record in &missing {
        let Some(blob) = blobs.open(&record.blob)? else { return Err(damaged(&record.blob)) };
        // What is longer would be copied to its end, wherever that is.
        if blob.metadata().map_or(true, |now| now.len() != record.size) {
            return Err(damaged(&record.blob));
        }
        let mut hash = Sha256::new();
        let path = Path::new(&record.path);
        staged.add(blob, path, mode(record.executable, umask), stop, |piece| hash.update(piece))?;
        if hex::encode(hash.finalize()) != record.blob.0 {
            return Err(damaged(&record.blob));
        }
    }
    for (number, record) in missing.iter().enumerate() {
        staged.place(number, Path::new(&record.path), umask)?;
    }
    Ok(())
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

/// Whether a file has this content; then it gets the right to be executed where that differs.
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
    let executable = metadata.permissions().mode() & 0o111 != 0;
    executable == record.executable || fchmod(file, mode(record.executable, umask)).is_ok()
}

#[cfg(test)]
mod tests;
