//! Which files of other nodes are on their way to somebody here who reads them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use cis_core::ids::BlobId;

/// What came of a file; none while it is on its way, and each part that comes counts as a change.
pub(crate) type Coming = Option<Result<(), String>>;

/// Files on their way, by the hash of what is wanted, and of which room.
#[derive(Default)]
pub(crate) struct OnDemand(Mutex<HashMap<BlobId, watch::Sender<Coming>>>);

impl OnDemand {
    pub(crate) fn coming(&self) -> MutexGuard<'_, HashMap<BlobId, watch::Sender<Coming>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
