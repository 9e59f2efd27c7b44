//! Environments of submitters, as secret blobs: one for all runs that come from the same environment.
//!
//! Which blob holds which environment is known in memory alone: a hash of it in a file or event would
//! let others try out what is in it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use cis_core::ids::BlobId;
use cis_store::{Blobs, Safety, StoreError};

/// So many different ones are remembered; then it begins anew, at the cost of copies.
const REMEMBERED_MAX: usize = 256;

/// Why the environment of a run cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvironmentError {
    #[error("cannot read the environment of the run: {0}")]
    Store(#[from] StoreError),
    #[error("cannot read the environment of the run: the file {} is missing; restore it from a backup", .0.display())]
    Missing(PathBuf),
    #[error(
        "cannot read the environment of the run: the file {} is damaged ({source}); restore it from a backup",
        path.display()
    )]
    Damaged { path: PathBuf, source: serde_json::Error },
}

/// Reads an environment.
///
/// # Errors
/// See [`EnvironmentError`].
pub(super) fn load(blobs: &Blobs, id: &BlobId) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let path = || blobs.secret_path(id).unwrap_or_else(|| PathBuf::from(&id.0));
    let bytes = blobs.get(id)?.ok_or_else(|| EnvironmentError::Missing(path()))?;
    serde_json::from_slice(&bytes).map_err(|source| EnvironmentError::Damaged { path: path(), source })
}

/// See the module.
#[derive(Default)]
pub(super) struct Environments {
    kept: Mutex<HashMap<[u8; 32], BlobId>>,
}

impl Environments {
    /// Keeps an environment (as JSON), or finds it where it is kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn keep(&self, json: &[u8], blobs: &Blobs) -> Result<BlobId, StoreError> {
        let hash: [u8; 32] = Sha256::digest(json).into();
        // Nothing in here is left half done by a panic.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // The file may have been lost or damaged in the meantime; then the run would not start.
        if let Some(id) = kept.get(&hash)
            && matches!(blobs.get(id), Ok(Some(there)) if there == json)
            && blobs.refresh(id)?
        {
            return Ok(id.clone());
        }
        let id = blobs.put_secret(json, Safety::Processes)?;
        if kept.len() >= REMEMBERED_MAX {
            kept.clear();
        }
        kept.insert(hash, id.clone());
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ones_share_a_blob_as_long_as_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (blobs, environments) = (Blobs::new(dir.path()), Environments::default());
        let keep = |json: &str| environments.keep(json.as_bytes(), &blobs).unwrap();
        let first = keep("{\"A\":\"1\"}");
        assert_eq!(keep("{\"A\":\"1\"}"), first);
        assert_ne!(keep("{\"A\":\"2\"}"), first);
        let path = dir.path().join("secrets").join(&first.0[..2]).join(&first.0);
        std::fs::write(&path, "{}").unwrap();
        let second = keep("{\"A\":\"1\"}");
        assert_ne!(second, first, "a damaged one is not given again");
        assert_eq!(blobs.get(&second).unwrap().unwrap(), b"{\"A\":\"1\"}");
    }

    #[test]
    fn it_remembers_no_more_than_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let (blobs, environments) = (Blobs::new(dir.path()), Environments::default());
        for n in 0..=REMEMBERED_MAX {
            environments.keep(n.to_string().as_bytes(), &blobs).unwrap();
        }
        assert_eq!(environments.kept.lock().unwrap().len(), 1);
    }
}
