//! Files of tasks on their way between nodes, by the media of a room's homeserver.
//!
//! Owns what was uploaded, and what is being fetched, in this life of the node: each content goes up once for a room, and comes down
//! once. Which task gets or leaves which files is the driver's matter ([`job`]).

mod fetch;
pub(crate) mod job;
mod media;
mod share;

pub(crate) use media::{of_json, to_json};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cis_core::federation::transfer::{BadList, FileList, Part, Uploaded};
use cis_core::ids::BlobId;
use cis_matrix::MatrixError;
use cis_store::StoreError;

use crate::account::AccountError;
use crate::files::{FilesError, KnownFiles};

/// Parts that are on their way at a time, in one direction for one list.
const AT_ONCE: usize = 3;

/// Contents whose parts are remembered, and lists; more: all are forgotten, and uploaded or fetched again.
const REMEMBERED_MAX: usize = 50_000;

/// Why files did not get where they were to go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error("files cannot be uploaded to the homeserver: {0}")]
    Upload(#[source] MatrixError),
    #[error("files cannot be downloaded from the homeserver: {0}")]
    Download(#[source] MatrixError),
    #[error(
        "the homeserver no longer has the files (administrators can remove old media): run the task that made them again"
    )]
    Gone,
    #[error("the list of files does not tell where they are")]
    NoPlace,
    #[error(transparent)]
    List(#[from] BadList),
    #[error("the content of {path:?} was altered on its way")]
    Altered { path: String },
    #[error("the content of {path:?} is neither here nor at the homeserver: run the task that made it again")]
    Missing { path: String },
    #[error("the node's log says why")]
    Panicked,
}

impl From<StoreError> for TransferError {
    fn from(error: StoreError) -> Self {
        Self::Files(error.into())
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Transfers {
    known: Mutex<Known>,
    /// Files of the submitter.
    inputs: KnownFiles,
    /// One list after the other goes up: the next one may have the same contents.
    uploading: tokio::sync::Mutex<()>,
    /// Contents that are being fetched.
    fetching: Mutex<HashMap<BlobId, Weak<tokio::sync::Mutex<()>>>>,
}

#[derive(Default)]
struct Known {
    /// By room and content: the parts that make it up.
    parts: HashMap<(String, BlobId), Vec<Part>>,
    /// Lists by the hash of their JSON.
    lists: HashMap<BlobId, Arc<FileList>>,
    /// Where lists are, by room and hash.
    uploaded: HashMap<(String, BlobId), Uploaded>,
}

impl Transfers {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes where the contents of a list are.
    fn learn(&self, room: &str, id: BlobId, list: Arc<FileList>) {
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
