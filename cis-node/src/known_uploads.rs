//! Files of tasks in the media of homeservers, as far as this life of the node knows them.
//!
//! Owns what was uploaded, what is being fetched, and which files of the submitter did not change: each content goes up once for a
//! room, and comes down once. Moves nothing. What a list of another node says of contents is believed once they came that way.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cis_core::event::Uploaded;
use cis_core::federation::transfer::{FileList, Part, Piece};
use cis_core::ids::BlobId;

use crate::files::KnownFiles;

/// Contents whose parts are remembered; more: all are forgotten, and uploaded again.
const CONTENTS_MAX: usize = 50_000;

/// Bytes of the JSON of the lists that are remembered; more: all are forgotten, and fetched again.
const LISTS_BYTES_MAX: u64 = 64 << 20;

/// See the module.
#[derive(Default)]
pub(crate) struct KnownUploads {
    known: Mutex<Known>,
    /// Files of the submitter.
    pub(crate) inputs: KnownFiles,
    /// One list after the other goes up: the next one may have the same contents.
    pub(crate) uploading: tokio::sync::Mutex<()>,
    /// Contents that are being fetched.
    pub(crate) fetching: Mutex<HashMap<BlobId, Weak<tokio::sync::Mutex<()>>>>,
}

#[derive(Default)]
pub(crate) struct Known {
    /// By room and content: the parts that make it up.
    parts: HashMap<(String, BlobId), Vec<Arc<Part>>>,
    /// By room and hash of their JSON.
    lists: HashMap<(String, BlobId), Arc<FileList>>,
    lists_bytes: u64,
    /// Where lists are, by room and hash.
    pub(crate) uploaded: HashMap<(String, BlobId), Uploaded>,
}

impl KnownUploads {
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes parts that are in a room. Each of `contents` is whole in them, and was read or written by this node.
    pub(crate) fn learn_parts(&self, room: &str, contents: &HashMap<&BlobId, u64>, parts: &[Part]) {
        let mut of: HashMap<&BlobId, Vec<Arc<Part>>> =
            contents.keys().map(|blob| (*blob, Vec::new())).collect();
        for part in parts {
            let is_whole = |piece: &Piece| piece.start == 0 && contents.get(&piece.blob) == Some(&piece.size);
            let is_of_one = part.pieces.iter().all(|piece| piece.blob == part.pieces[0].blob);
            // Otherwise it fits nowhere but into its list.
            let is_plain = is_of_one || part.pieces.iter().all(is_whole);
            let part = Arc::new(part.clone());
            for piece in &part.pieces {
                if !is_plain {
                    of.remove(&piece.blob);
                } else if let Some(parts) = of.get_mut(&piece.blob)
                    && !parts.last().is_some_and(|last| Arc::ptr_eq(last, &part))
                {
                    parts.push(Arc::clone(&part));
                }
            }
        }
        let mut known = self.known();
        if known.parts.len() + of.len() > CONTENTS_MAX {
            known.parts.clear();
        }
        known.parts.extend(of.into_iter().map(|(blob, parts)| ((room.to_owned(), blob.clone()), parts)));
    }

    /// The parts of those contents that are known to be in a room, and the other contents.
    pub(crate) fn parts_of(
        &self,
        room: &str,
        contents: Vec<(BlobId, u64)>,
    ) -> (Vec<Part>, Vec<(BlobId, u64)>) {
        let known = self.known();
        let (mut parts, mut seen, mut new) = (Vec::new(), HashSet::new(), Vec::new());
        for (blob, size) in contents {
            let key = (room.to_owned(), blob);
            match known.parts.get(&key) {
                Some(there) => {
                    parts.extend(
                        there
                            .iter()
                            .filter(|part| seen.insert(Arc::as_ptr(part)))
                            .map(|part| (**part).clone()),
                    );
                }
                None => new.push((key.1, size)),
            }
        }
        (parts, new)
    }

    /// Keeps a list that was uploaded for a room.
    pub(crate) fn learn_list(&self, room: &str, uploaded: &Uploaded, list: Arc<FileList>) {
        let key = (room.to_owned(), uploaded.sha256.clone());
        let mut known = self.known();
        if known.lists.contains_key(&key) {
            return;
        }
        if known.lists_bytes.saturating_add(uploaded.size) > LISTS_BYTES_MAX {
            known.lists.clear();
            known.uploaded.clear();
            known.lists_bytes = 0;
        }
        known.lists_bytes += uploaded.size;
        known.lists.insert(key, list);
    }

    /// A list that was made or fetched before.
    pub(crate) fn list(&self, room: &str, uploaded: &Uploaded) -> Option<Arc<FileList>> {
        self.known().lists.get(&(room.to_owned(), uploaded.sha256.clone())).cloned()
    }
}

#[cfg(test)]
mod tests;
