//! Files of tasks in the media of homeservers, as far as this life of the node knows them.
//!
//! Owns what was uploaded, what is being fetched, and which files of the submitter did not change: each content goes up once for a
//! room, and comes down once. Moves nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cis_core::event::Uploaded;
use cis_core::federation::transfer::{FileList, Part};
use cis_core::ids::BlobId;

use crate::files::KnownFiles;

/// Contents whose parts are remembered, and lists; more: all are forgotten, and uploaded or fetched again.
const REMEMBERED_MAX: usize = 50_000;

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
    pub(crate) parts: HashMap<(String, BlobId), Vec<Part>>,
    /// Lists by the hash of their JSON.
    pub(crate) lists: HashMap<BlobId, Arc<FileList>>,
    /// Where lists are, by room and hash.
    pub(crate) uploaded: HashMap<(String, BlobId), Uploaded>,
}

impl KnownUploads {
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes where the contents of a list are.
    pub(crate) fn learn(&self, room: &str, id: BlobId, list: Arc<FileList>) {
        let mut known = self.known();
        if known.parts.len() + list.parts.len() > REMEMBERED_MAX || known.lists.len() >= REMEMBERED_MAX {
            *known = Known::default();
        }
        let mut of: HashMap<&BlobId, Vec<Part>> = HashMap::new();
        for part in &list.parts {
            for piece in &part.pieces {
                of.entry(&piece.blob).or_default().push(part.clone());
            }
        }
        for (blob, parts) in of {
            known.parts.insert((room.to_owned(), blob.clone()), parts);
        }
        known.lists.insert(id, list);
    }

    /// A list that was made or fetched before.
    pub(crate) fn list(&self, id: &BlobId) -> Option<Arc<FileList>> {
        self.known().lists.get(id).cloned()
    }
}
