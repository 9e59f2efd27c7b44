//! Files of tasks in the media of homeservers, as far as this life of the node knows them.
//!
//! Owns what was uploaded, what is being fetched, and which files of the submitter did not change: each content goes up once for a
//! room, and comes down once. Moves nothing. What a list of another node says of contents is believed once they came that way.

mod keyed_locks;
mod on_demand;

pub(crate) use keyed_locks::KeyedLocks;
pub(crate) use on_demand::{Coming, OnDemand};

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use cis_core::event::Uploaded;
use cis_core::federation::transfer::{FileList, Part, Piece, SHARED_BYTES_MAX};
use cis_core::ids::BlobId;

use crate::files::KnownFiles;

/// Contents whose parts are remembered; more: all are forgotten, and uploaded again.
const CONTENTS_MAX: usize = 50_000;

/// Bytes of the JSON of the lists that are remembered; more: those that were not used since that happened last are forgotten,
/// and fetched again.
const LISTS_BYTES_MAX: u64 = 64 << 20;

/// An upload is not told of again when it is this old: administrators have homeservers remove media after some days.
const AGE_MAX: Duration = Duration::from_secs(6 * 3600);

/// Jobs at a time: each holds some parts in memory.
const JOBS_AT_ONCE: usize = 6;

/// Contents that are uploaded while they are read, at a time. Each holds some parts in memory.
const AHEAD_AT_ONCE: usize = 3;

/// Contents of one size that are remembered.
const OF_SIZE_MAX: usize = 16;

/// See the module.
pub(crate) struct KnownUploads {
    known: Mutex<Known>,
    /// Files of the submitter.
    pub(crate) inputs: KnownFiles,
    /// Contents that are on their way to a room.
    pub(crate) uploading: KeyedLocks,
    /// Lists and parts that are being fetched.
    pub(crate) fetching: KeyedLocks,
    /// Files that somebody reads.
    pub(crate) on_demand: OnDemand,
    /// Jobs that move files.
    pub(crate) jobs: Semaphore,
    /// Contents that are uploaded while they are read.
    pub(crate) ahead: Arc<Semaphore>,
    /// Jobs that only look up lists: somebody waits for them.
    pub(crate) look_ups: Semaphore,
}

impl Default for KnownUploads {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            inputs: KnownFiles::default(),
            uploading: KeyedLocks::default(),
            fetching: KeyedLocks::default(),
            on_demand: OnDemand::default(),
            jobs: Semaphore::new(JOBS_AT_ONCE),
            ahead: Arc::new(Semaphore::new(AHEAD_AT_ONCE)),
            look_ups: Semaphore::new(JOBS_AT_ONCE),
        }
    }
}

/// A room, and a content or the hash of a list.
type InRoom = (String, BlobId);

#[derive(Default)]
struct Known {
    /// The parts that make up a content.
    parts: HashMap<InRoom, Dated<Vec<Arc<Part>>>>,
    /// Large contents that were uploaded, by their sizes: some of the newest.
    of_size: HashMap<(String, u64), VecDeque<BlobId>>,
    lists: HashMap<InRoom, KnownList>,
    /// Older ones.
    earlier: HashMap<InRoom, KnownList>,
    lists_bytes: u64,
    /// Where lists are.
    uploaded: HashMap<InRoom, Dated<Uploaded>>,
}

/// What was uploaded, and when.
struct Dated<T> {
    since: Instant,
    what: T,
}

struct KnownList {
    list: Arc<FileList>,
    /// Of its JSON, bytes.
    size: u64,
}

impl KnownUploads {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes parts that are in a room. Each of `contents` is whole in them, and was read or written by this node.
    pub(crate) fn learn_parts(&self, room: &str, contents: &HashMap<&BlobId, u64>, parts: &[Part]) {
        let mut of: HashMap<&BlobId, Vec<Arc<Part>>> =
            contents.keys().map(|blob| (*blob, Vec::new())).collect();
        for part in parts {
            let is_whole = |piece: &Piece| {
                let size = piece.blob.as_ref().and_then(|blob| contents.get(blob));
                piece.start == 0 && size == Some(&piece.size)
            };
            let is_of_one = part.pieces.iter().all(|piece| piece.blob == part.pieces[0].blob);
            // Any other layout can be used only together with the rest of its list.
            let is_plain = is_of_one || part.pieces.iter().all(is_whole);
            let part = Arc::new(part.clone());
            for blob in part.pieces.iter().filter_map(|piece| piece.blob.as_ref()) {
                if !is_plain {
                    of.remove(blob);
                } else if let Some(parts) = of.get_mut(blob)
                    && !parts.last().is_some_and(|last| Arc::ptr_eq(last, &part))
                {
                    parts.push(Arc::clone(&part));
                }
            }
        }
        let (mut known, now) = (self.known(), Instant::now());
        if known.parts.len() + of.len() > CONTENTS_MAX {
            known.parts.clear();
            known.of_size.clear();
        }
        for (blob, size) in contents {
            known.note_size(room, blob, *size);
        }
        let keyed = of
            .into_iter()
            .map(|(blob, parts)| ((room.to_owned(), blob.clone()), Dated { since: now, what: parts }));
        known.parts.extend(keyed);
    }

    /// Notes a content that is on its way to a room.
    pub(crate) fn learn_size(&self, room: &str, blob: &BlobId, size: u64) {
        self.known().note_size(room, blob, size);
    }

    /// Large contents of this size that were uploaded for a room.
    pub(crate) fn of_size(&self, room: &str, size: u64) -> Vec<BlobId> {
        let known = self.known();
        let of_size = known.of_size.get(&(room.to_owned(), size));
        of_size.map(|blobs| blobs.iter().cloned().collect()).unwrap_or_default()
    }

    /// Forgets where the contents of a list are in a room, and the list: the homeserver may have removed them.
    pub(crate) fn forget(&self, room: &str, uploaded: &Uploaded) {
        let key = (room.to_owned(), uploaded.sha256.clone());
        let mut known = self.known();
        known.uploaded.remove(&key);
        if let Some(KnownList { list, size }) = known.take_list(&key) {
            known.lists_bytes = known.lists_bytes.saturating_sub(size);
            for file in &list.files {
                known.parts.remove(&(room.to_owned(), file.blob.clone()));
            }
        } else {
            // It is not known any more which contents these are.
            known.parts.retain(|(of, _), _| of != room);
        }
    }

    /// The parts of those contents that are known to be in a room, and the other contents.
    pub(crate) fn parts_of(
        &self,
        room: &str,
        contents: Vec<(BlobId, u64)>,
    ) -> (Vec<Part>, Vec<(BlobId, u64)>) {
        self.parts_at(room, contents, Instant::now())
    }

    fn parts_at(
        &self,
        room: &str,
        contents: Vec<(BlobId, u64)>,
        now: Instant,
    ) -> (Vec<Part>, Vec<(BlobId, u64)>) {
        let known = self.known();
        let (mut parts, mut seen, mut new) = (Vec::new(), HashSet::new(), Vec::new());
        for (blob, size) in contents {
            let key = (room.to_owned(), blob);
            match known.parts.get(&key) {
                Some(Dated { since, what: there }) if now.duration_since(*since) < AGE_MAX => {
                    parts.extend(
                        there
                            .iter()
                            .filter(|part| seen.insert(Arc::as_ptr(part)))
                            .map(|part| (**part).clone()),
                    );
                }
                _ => new.push((key.1, size)),
            }
        }
        (parts, new)
    }

    /// Keeps a list that was uploaded for a room.
    pub(crate) fn learn_list(&self, room: &str, uploaded: &Uploaded, list: Arc<FileList>) {
        let key = (room.to_owned(), uploaded.sha256.clone());
        let mut known = self.known();
        if !known.lists.contains_key(&key) {
            known.earlier.remove(&key);
            known.put_list(key, list, uploaded.size);
        }
    }

    /// Keeps where a list was uploaded to.
    pub(crate) fn learn_place_of_list(&self, room: &str, uploaded: &Uploaded) {
        let key = (room.to_owned(), uploaded.sha256.clone());
        self.known().uploaded.insert(key, Dated { since: Instant::now(), what: uploaded.clone() });
    }

    /// Where a list with this hash was uploaded to.
    pub(crate) fn place_of_list(&self, room: &str, sha256: &BlobId) -> Option<Uploaded> {
        let known = self.known();
        let Dated { since, what } = known.uploaded.get(&(room.to_owned(), sha256.clone()))?;
        (since.elapsed() < AGE_MAX).then(|| what.clone())
    }

    /// A list that was made or fetched before.
    pub(crate) fn list(&self, room: &str, uploaded: &Uploaded) -> Option<Arc<FileList>> {
        let key = (room.to_owned(), uploaded.sha256.clone());
        let mut known = self.known();
        if let Some(KnownList { list, size }) = known.earlier.remove(&key) {
            known.put_list(key.clone(), list, size);
        }
        known.lists.get(&key).map(|known| Arc::clone(&known.list))
    }
}

impl Known {
    fn note_size(&mut self, room: &str, blob: &BlobId, size: u64) {
        if size <= SHARED_BYTES_MAX {
            return;
        }
        if self.of_size.len() > CONTENTS_MAX {
            self.of_size.clear();
        }
        let of_size = self.of_size.entry((room.to_owned(), size)).or_default();
        if !of_size.contains(blob) {
            of_size.truncate(OF_SIZE_MAX - 1);
            of_size.push_front(blob.clone());
        }
    }

    fn put_list(&mut self, key: InRoom, list: Arc<FileList>, size: u64) {
        if self.lists_bytes.saturating_add(size) > LISTS_BYTES_MAX {
            self.earlier = std::mem::take(&mut self.lists);
            self.uploaded.clear();
            self.lists_bytes = 0;
        }
        self.lists_bytes += size;
        self.lists.insert(key, KnownList { list, size });
    }

    fn take_list(&mut self, key: &InRoom) -> Option<KnownList> {
        // `lists_bytes` does not count these.
        let earlier = self.earlier.remove(key).map(|known| KnownList { size: 0, ..known });
        self.lists.remove(key).or(earlier)
    }
}

#[cfg(test)]
mod tests;
