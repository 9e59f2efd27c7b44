//! Files of tasks on their way between nodes, by the media of a room's homeserver.
//!
//! Owns how they get there. What is there already is known to `known_uploads`; which task gets or leaves which files is the driver's matter.

mod ahead;
mod cached;
mod fetch;
mod job;
mod logs;
mod media;
mod on_demand;
mod share;

pub(crate) use media::{of_json, to_json};

use cis_core::federation::transfer::BadList;
use cis_matrix::MatrixError;
use cis_store::StoreError;

use crate::account::AccountError;
use crate::files::FilesError;

/// Parts that are on their way at a time, in one direction for one list.
const AT_ONCE: usize = 2;

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
    #[error("the homeserver takes files of at most {}, which are too small to carry files of tasks", cis_core::text::bytes(*bytes_max))]
    TakesTooLittle { bytes_max: u64 },
    #[error(
        "the list of the files has {}, and the homeserver takes files of at most {}: name fewer, or pack them into one",
        cis_core::text::bytes(*bytes),
        cis_core::text::bytes(*bytes_max)
    )]
    ListTooLarge { bytes: u64, bytes_max: u64 },
    #[error("the list of files does not tell where they are")]
    NoPlace,
    #[error(transparent)]
    List(#[from] BadList),
    #[error("the node that ran the task handed in {path:?}, which `artifacts` of the task does not name")]
    Undeclared { path: String },
    #[error("the values in `artifacts` of the task cannot be filled in: {0}")]
    Globs(String),
    #[error("the content of {path:?} was altered on its way")]
    Altered { path: String },
    #[error("the content of {path:?} is neither here nor at the homeserver: run the task that made it again")]
    Missing { path: String },
    #[error("it does not come in time")]
    Late,
    #[error("the node's log says why")]
    Panicked,
}

impl From<StoreError> for TransferError {
    fn from(error: StoreError) -> Self {
        Self::Files(error.into())
    }
}
