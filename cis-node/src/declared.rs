//! Whether a run declares secrets, by its DAG file. Its log directory then has a file with their values.

use std::sync::Arc;

use cis_core::dag;
use cis_core::ids::RunId;
use cis_store::{Blobs, Readers, StoreError};

/// A run of which that may be asked.
pub(super) struct Declared {
    readers: Readers,
    blobs: Arc<Blobs>,
    run: RunId,
}

impl Declared {
    pub(super) fn of(readers: &Readers, blobs: &Arc<Blobs>, run: RunId) -> Self {
        Self { readers: readers.clone(), blobs: Arc::clone(blobs), run }
    }

    /// See [`declares_secrets`].
    pub(super) fn any(&self) -> bool {
        declares_secrets(&self.readers, &self.blobs, self.run)
    }
}

/// Whether a task of the run declares a secret. Also true if its file cannot be read: then it is not known that none does.
/// Reads files, so it must not be called where nothing may wait.
pub(super) fn declares_secrets(readers: &Readers, blobs: &Blobs, run: RunId) -> bool {
    let spec = readers.get().and_then(|reader| reader.run_spec(run));
    let text = match spec.and_then(|spec| blobs.get(&spec)) {
        Ok(Some(text)) => text,
        // A run of another node, of which a task ran here: none with secrets is sent.
        Err(StoreError::NotFound { .. }) => return false,
        Ok(None) | Err(_) => return true,
    };
    // Most files have no such key, and need not be parsed. In a quoted key, `\` begins another form of a character.
    let has = |part: &[u8]| memchr::memmem::find(&text, part).is_some();
    if !has(b"secrets") && !has(b"\\u") && !has(b"\\U") && !has(b"\\x") {
        return false;
    }
    dag::parse_accepted(&text, "").map_or(true, |dag| dag.tasks.iter().any(|task| !task.secrets.is_empty()))
}
