//! Files of tasks on their way between nodes: the list of them, and in which uploaded parts their bytes are.
//!
//! Owns the shape of a list, what is allowed in one, and how contents are cut into parts. Reads, uploads and downloads nothing.

mod media;

pub use media::PartMedia;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::event::{ArtifactRecord, MEDIA_BYTES_MAX, Uploaded};
use crate::ids::BlobId;

/// A task gets, or leaves, no more files.
pub const FILES_MAX: usize = 10_000;

/// All of them together have no more bytes.
pub const BYTES_MAX: u64 = 10 << 30;

/// A list has no more bytes of JSON.
pub const LIST_BYTES_MAX: u64 = 16 << 20;

/// A list whose JSON is not longer is told of with its text, bytes: nobody has to upload or download it. The parts of 100 MB fit.
pub const INLINE_BYTES_MAX: usize = 3584;

/// Where `media` has such a text.
const INLINE: &str = "list";

/// A part has no more bytes. With smaller ones a homeserver spends more time on the requests. Synapse takes files of 50 MiB by default.
pub const PART_BYTES_MAX: u64 = 32 << 20;

/// The same of a part that is in memory as a whole on its way: one that is encrypted, or has several contents.
pub const WHOLE_PART_BYTES_MAX: u64 = 16 << 20;

/// The first part of a large content, bytes: it is on its way while the next one, four times as large, is read.
const PART_BYTES_FIRST: u64 = 2 << 20;

/// A homeserver that takes only smaller files is no place for parts: there would be too many of them.
pub const PART_BYTES_MIN: u64 = 256 << 10;

/// Contents that are not larger share parts.
pub const SHARED_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a path.
const PATH_BYTES_MAX: usize = 4096;

/// Names in a path: as deep as directories are searched for artifacts.
const DEPTH_MAX: usize = 128;

/// SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Bytes of one content in a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The content; none: bytes that are of no file of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobId>,
    /// Where in the content they begin.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start: u64,
    /// How many.
    pub size: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// An uploaded part: its bytes are those of its pieces, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Where it is.
    pub media: PartMedia,
    /// What is in it.
    pub pieces: Vec<Piece>,
}

impl Part {
    /// Its bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.pieces.iter().fold(0, |sum: u64, piece| sum.saturating_add(piece.size))
    }

    fn is_too_large(&self) -> bool {
        let size = self.size();
        size > PART_BYTES_MAX || (size > WHOLE_PART_BYTES_MAX && self.media.is_encrypted())
    }
}

/// Files below a directory, and where the bytes of their contents are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileList {
    /// In the order of their paths.
    pub files: Vec<ArtifactRecord>,
    /// Those of one content follow each other.
    pub parts: Vec<Part>,
}

/// Why a list of files is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadList {
    /// It was altered, or cut.
    #[error("the list of files is not the one that was announced")]
    Another,
    /// It is not of its shape.
    #[error("the list of files cannot be read: {0}")]
    Shape(String),
    /// It is too large.
    #[error("the list has more than {FILES_MAX} files, or they have more than {} GiB", BYTES_MAX >> 30)]
    TooLarge,
    /// The path leaves the directory, or is none.
    #[error("the list of files has a path that is not below the task's directory: {0:?}")]
    Path(String),
    /// Two files are in the way of each other.
    #[error("the list of files has {0:?} twice, or as a file and as a directory")]
    Clash(String),
    /// Its parts do not make up its files.
    #[error("the list of files does not tell where the content of {0:?} is")]
    Parts(String),
}

impl FileList {
    /// The list in the bytes of `uploaded`, which anybody may have written.
    ///
    /// # Errors
    /// [`BadList`].
    pub fn open(uploaded: &Uploaded, bytes: &[u8]) -> Result<Self, BadList> {
        let is_same = bytes.len() as u64 == uploaded.size && BlobId::of(bytes) == uploaded.sha256;
        if !is_same || uploaded.size > LIST_BYTES_MAX {
            return Err(BadList::Another);
        }
        let mut list: Self =
            serde_json::from_slice(bytes).map_err(|error| BadList::Shape(error.to_string()))?;
        check_files(&list.files)?;
        list.drop_foreign_pieces();
        list.check_parts()?;
        Ok(list)
    }

    /// Its JSON, and what is announced of it: with its text where that is short, else once it is uploaded.
    ///
    /// # Errors
    /// [`BadList::TooLarge`].
    pub fn pack(&self) -> Result<(Uploaded, Vec<u8>), BadList> {
        let text = serde_json::to_string(self).map_err(|error| BadList::Shape(error.to_string()))?;
        if text.len() as u64 > LIST_BYTES_MAX {
            return Err(BadList::TooLarge);
        }
        let mut packed = Uploaded { sha256: BlobId::of(&text), size: text.len() as u64, media: Value::Null };
        if text.len() <= INLINE_BYTES_MAX {
            let media = json!({ INLINE: text });
            // Quotes of JSON in JSON need more room.
            if media.to_string().len() <= MEDIA_BYTES_MAX {
                packed.media = media;
            }
        }
        Ok((packed, text.into_bytes()))
    }

    /// The bytes of a list that is told of with its text.
    #[must_use]
    pub fn inline(uploaded: &Uploaded) -> Option<&[u8]> {
        let text = uploaded.media.get(INLINE).and_then(Value::as_str).map(str::as_bytes);
        text.filter(|text| text.len() <= INLINE_BYTES_MAX)
    }

    /// Removes the names of contents that no file of this list has. Only a list whose files have a content says where it is: this one could
    /// lie about it, and nobody would notice.
    fn drop_foreign_pieces(&mut self) {
        let own: HashSet<&BlobId> = self.files.iter().map(|file| &file.blob).collect();
        for piece in self.parts.iter_mut().flat_map(|part| &mut part.pieces) {
            if piece.blob.as_ref().is_some_and(|blob| !own.contains(blob)) {
                piece.blob = None;
            }
        }
        self.parts.retain(|part| part.pieces.iter().any(|piece| piece.blob.is_some()));
    }

    /// Each content that some file has is whole in the parts, once, one piece after the other.
    fn check_parts(&self) -> Result<(), BadList> {
        let (mut have, mut bytes) = (Progress::default(), 0_u64);
        for piece in self.parts.iter().flat_map(|part| &part.pieces) {
            bytes = bytes.checked_add(piece.size).ok_or(BadList::TooLarge)?;
            let is_next = have.take(piece) == Taken::Next;
            if let Some(blob) = piece.blob.as_ref().filter(|_| !is_next || piece.size == 0) {
                return Err(BadList::Parts(blob.0.chars().take(64).collect()));
            }
        }
        if let Some(file) = self.files.iter().find(|file| have.of(&file.blob) != file.size) {
            return Err(BadList::Parts(file.path.clone()));
        }
        // Contents that share no part with others, and those that are cut into more than one.
        let parts_max = self.contents().values().fold(0, |sum, size| sum + 1 + size / PART_BYTES_MIN);
        let is_far = |part: &Part| part.is_too_large() || part.media.is_too_long();
        let is_too_large = bytes > BYTES_MAX.saturating_mul(2) || self.parts.len() as u64 > parts_max;
        if is_too_large || self.parts.iter().any(is_far) {
            return Err(BadList::TooLarge);
        }
        Ok(())
    }

    /// Several lists as one: of two files with one path the later one counts.
    ///
    /// # Errors
    /// [`BadList`]: they do not fit together, or are too large together.
    pub fn merged(lists: impl IntoIterator<Item = Self>) -> Result<Self, BadList> {
        let mut files = BTreeMap::new();
        let mut given = Vec::new();
        for list in lists {
            let own: HashSet<BlobId> = list.files.iter().map(|file| file.blob.clone()).collect();
            files.extend(list.files.into_iter().map(|file| (file.path.clone(), file)));
            given.push((own, list.parts));
        }
        let files: Vec<ArtifactRecord> = files.into_values().collect();
        check_files(&files)?;
        let parts = only_needed(&files, given);
        Ok(Self { files, parts })
    }

    /// The different contents of its files that are not empty, with their bytes.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<&BlobId, u64> {
        self.files.iter().filter(|file| file.size > 0).map(|file| (&file.blob, file.size)).collect()
    }
}

/// The parts that make up the contents of `files`, each content once. Of each list, parts and the contents that it speaks for.
fn only_needed(files: &[ArtifactRecord], given: Vec<(HashSet<BlobId>, Vec<Part>)>) -> Vec<Part> {
    let wanted: HashSet<&BlobId> = files.iter().map(|file| &file.blob).collect();
    let (mut have, mut needed) = (Progress::default(), Vec::new());
    for (own, parts) in given {
        for mut part in parts {
            for piece in &mut part.pieces {
                let may = |blob: &BlobId| own.contains(blob) && wanted.contains(blob);
                if !(piece.blob.as_ref().is_some_and(may) && have.take(piece) == Taken::Next) {
                    piece.blob = None;
                }
            }
            if part.pieces.iter().any(|piece| piece.blob.is_some()) {
                needed.push(part);
            }
        }
    }
    needed
}

/// What of which content is there while pieces come in order.
#[derive(Debug, Default)]
pub struct Progress {
    have: HashMap<BlobId, u64>,
    before: Option<BlobId>,
}

/// What a piece is to what came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It goes on with its content, or begins it.
    Next,
    /// Its bytes are there.
    Again,
    /// Bytes before it are missing, or others came in between.
    Misplaced,
    /// It is of no content.
    Nothing,
}

impl Progress {
    /// Takes the next piece.
    pub fn take(&mut self, piece: &Piece) -> Taken {
        let Some(blob) = &piece.blob else { return Taken::Nothing };
        let follows = self.before.as_ref() == Some(blob);
        if !follows {
            self.before = Some(blob.clone());
        }
        let have = self.have.entry(blob.clone()).or_default();
        if piece.start < *have {
            return Taken::Again;
        }
        let Some(end) = piece.start.checked_add(piece.size).filter(|_| piece.start == *have) else {
            return Taken::Misplaced;
        };
        if piece.start > 0 && !follows {
            return Taken::Misplaced;
        }
        *have = end;
        Taken::Next
    }

    /// Bytes that are there of a content.
    #[must_use]
    pub fn of(&self, blob: &BlobId) -> u64 {
        self.have.get(blob).copied().unwrap_or(0)
    }
}

/// Whether files may be placed below a directory, all of them.
fn check_files(files: &[ArtifactRecord]) -> Result<(), BadList> {
    let bytes = files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.size));
    if files.len() > FILES_MAX || bytes.is_none_or(|bytes| bytes > BYTES_MAX) {
        return Err(BadList::TooLarge);
    }
    let mut sizes: HashMap<&BlobId, u64> = HashMap::new();
    for file in files {
        if !is_below(&file.path) {
            return Err(BadList::Path(file.path.chars().take(200).collect()));
        }
        let is_of_its_size = (file.size == 0) == (file.blob.0 == EMPTY);
        if !BlobId::is_written_as(&file.blob.0)
            || !is_of_its_size
            || *sizes.entry(&file.blob).or_insert(file.size) != file.size
        {
            return Err(BadList::Parts(file.path.clone()));
        }
    }
    // Name by name, what is below a path stands behind it.
    let mut paths: Vec<&str> = files.iter().map(|file| &*file.path).collect();
    paths.sort_unstable_by(|a, b| a.split('/').cmp(b.split('/')));
    for pair in paths.windows(2) {
        let below = pair[1].strip_prefix(pair[0]);
        if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err(BadList::Clash(pair[0].to_owned()));
        }
    }
    Ok(())
}

/// Whether a path names something below a directory, in its plainest form, and not too deep.
fn is_below(path: &str) -> bool {
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    let names = path.split('/');
    path.len() <= PATH_BYTES_MAX && names.clone().all(is_name) && names.count() <= DEPTH_MAX
}

/// Bytes of the part of a large content that begins at `start`: the first ones are smaller. [`cut`] says what `part_max` is.
#[must_use]
pub fn part_size(start: u64, part_max: u64) -> u64 {
    (start * 3 + PART_BYTES_FIRST).min(part_max)
}

/// How contents are cut into parts of at most `part_max` bytes (from [`PART_BYTES_MIN`] to [`PART_BYTES_MAX`]). Each content once; those of
/// one content follow each other.
#[must_use]
pub fn cut<'a>(contents: impl IntoIterator<Item = (&'a BlobId, u64)>, part_max: u64) -> Vec<Vec<Piece>> {
    let part_max = part_max.clamp(PART_BYTES_MIN, PART_BYTES_MAX);
    let (mut parts, mut shared, mut shared_bytes) = (Vec::new(), Vec::new(), 0);
    for (blob, size) in contents {
        if size <= SHARED_BYTES_MAX.min(part_max) {
            if shared_bytes + size > part_max.min(WHOLE_PART_BYTES_MAX) {
                parts.push(std::mem::take(&mut shared));
                shared_bytes = 0;
            }
            if size > 0 {
                shared.push(Piece { blob: Some(blob.clone()), start: 0, size });
                shared_bytes += size;
            }
            continue;
        }
        let mut start = 0;
        while start < size {
            let here = part_size(start, part_max).min(size - start);
            let piece = Piece { blob: Some(blob.clone()), start, size: here };
            start += piece.size;
            parts.push(vec![piece]);
        }
    }
    if !shared.is_empty() {
        parts.push(shared);
    }
    parts
}

#[cfg(test)]
mod tests;
