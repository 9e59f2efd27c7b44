//! Putting files back in their places: all of them, or none.
//!
//! Owns which of them are missing there, and the hashes of what is copied. A content that is on its way to the blobs can be written to its file at
//! the same time, so that it is read and hashed once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{damaged, is_same, mode_of};
use crate::files::{FilesError, Staged, Staging, Stop, Tree, fits, pieces, stays_below};
use cis_core::event::ArtifactRecord;
use cis_core::ids::BlobId;
use cis_store::Blobs;

/// Files on their way to their places below a directory. Dropped before [`Self::finish`], it leaves nothing there.
pub(crate) struct Restore {
    umask: u32,
    stop: Stop,
    files: Vec<Wanted>,
    /// The first missing file of each content that was not begun.
    first: HashMap<BlobId, usize>,
    /// None: nothing is missing.
    staging: Option<Staging>,
}

struct Wanted {
    record: ArtifactRecord,
    /// Its number in the staging directory, once it is whole there.
    staged: Option<usize>,
}

/// A file whose content is being written.
pub(crate) struct Filling {
    file: usize,
    staged: Staged,
}

impl Filling {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        self.staged.write(bytes)
    }
}

impl Restore {
    /// Finds out which files are missing below `cwd`. Files that are there with the same content stay as they are. `staging` is a name that
    /// nobody else uses now.
    pub(crate) fn begin(
        cwd: &Path,
        records: &[ArtifactRecord],
        umask: u32,
        staging: String,
        stop: &Stop,
    ) -> Result<Self, FilesError> {
        let refused = |source| FilesError::Read { path: cwd.to_owned(), source };
        let mut tree = Tree::open(cwd).map_err(refused)?;
        let (mut files, mut first) = (Vec::new(), HashMap::new());
        for record in records {
            let rel = Path::new(&record.path);
            if !stays_below(rel) {
                let why = "its path leaves the directory".to_owned();
                return Err(FilesError::Place { path: cwd.join(rel), why });
            }
            if !is_there(&mut tree, record, umask, stop)? {
                first.entry(record.blob.clone()).or_insert(files.len());
            }
            files.push(Wanted { record: record.clone(), staged: None });
        }
        stop.check()?;
        let staging = if first.is_empty() { None } else { Some(Staging::new(tree, staging)?) };
        Ok(Self { umask, stop: stop.clone(), files, first, staging })
    }

    /// Begins a missing file with this content, once. The caller writes the content into it, and knows its hash.
    pub(crate) fn fill(&mut self, blob: &BlobId) -> Result<Option<Filling>, FilesError> {
        let (Some(staging), Some(file)) = (&mut self.staging, self.first.remove(blob)) else {
            return Ok(None);
        };
        let size = self.files.get(file).map_or(0, |wanted| wanted.record.size);
        Ok(Some(Filling { file, staged: staging.create(size)? }))
    }

    /// The content of a file is whole, and is the right one.
    pub(crate) fn filled(&mut self, Filling { file, staged }: Filling) -> Result<(), FilesError> {
        if let Some(Wanted { record, staged: number }) = self.files.get_mut(file) {
            *number = Some(staged.finish(mode_of(record, self.umask))?);
        }
        Ok(())
    }

    /// Copies the contents of the other files from the blobs, and moves all files to their places. What is there is looked at again: while
    /// contents came, another task may have put the same files there and use them, or may have changed some.
    pub(crate) fn finish(mut self, blobs: &Blobs) -> Result<(), FilesError> {
        let Some(staging) = &mut self.staging else { return Ok(()) };
        let mut to_place = Vec::new();
        for Wanted { record, staged } in &self.files {
            if is_there(staging.tree(), record, self.umask, &self.stop)? {
                continue;
            }
            let number = match staged {
                Some(number) => *number,
                None => copy(record, blobs, staging, &self.stop)?.finish(mode_of(record, self.umask))?,
            };
            to_place.push((number, &record.path));
        }
        self.stop.check()?;
        for (number, path) in to_place {
            staging.place(number, Path::new(path), self.umask)?;
        }
        Ok(())
    }
}

/// Whether a file stands in its place with its content.
fn is_there(tree: &mut Tree, record: &ArtifactRecord, umask: u32, stop: &Stop) -> Result<bool, FilesError> {
    let rel = Path::new(&record.path);
    let full = tree.path().join(rel);
    Ok(fits(tree, rel)?.is_some_and(|file| is_same(&file, record, &full, umask, stop)))
}

fn copy(
    record: &ArtifactRecord,
    blobs: &Blobs,
    staging: &mut Staging,
    stop: &Stop,
) -> Result<Staged, FilesError> {
    let Some(blob) = blobs.open(&record.blob)? else { return Err(damaged(&record.blob)) };
    // What is longer would be copied to its end, wherever that is.
    if blob.metadata().map_or(true, |now| now.len() != record.size) {
        return Err(damaged(&record.blob));
    }
    let (mut staged, mut hash) = (staging.create(record.size)?, Sha256::new());
    pieces(blob, &PathBuf::from(&record.path), stop, |piece| {
        hash.update(piece);
        staged.write(piece)
    })?;
    if hex::encode(hash.finalize()) != record.blob.0 {
        return Err(damaged(&record.blob));
    }
    Ok(staged)
}
