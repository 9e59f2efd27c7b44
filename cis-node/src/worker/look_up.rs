//! Looking for an earlier result of a task that is about to run here.
//!
//! Owns when an entry of the cache counts here: its files go into the directory of the task, all or none.

use std::path::PathBuf;

use crate::artifacts;
use crate::cache::{Cache, Entry, NotedKey, Recipe, discard, unusable};
use crate::files::{FilesError, Globs, Stop};
use cis_core::ids::TimestampMs;
use cis_store::{Blobs, StoreError};

/// What became of a search for an earlier result.
pub(super) enum Looked {
    /// It stands; its files are in place.
    Hit(Box<Entry>),
    /// There is none: the task runs, and its result is kept under this key; or why it has none, in words.
    Miss {
        key: Result<NotedKey, String>,
    },
    /// The key cannot be made, so the task cannot run as its file says.
    Failed(String),
    Stopped,
}

/// What a search needs.
pub(super) struct Search {
    pub(super) recipe: Recipe,
    pub(super) cwd: PathBuf,
    pub(super) inputs: Vec<String>,
    pub(super) artifacts: Vec<String>,
    pub(super) ttl_ms: Option<u64>,
    /// Take nothing.
    pub(super) refresh: bool,
    pub(super) umask: u32,
    /// Nobody else stages files under this name now.
    pub(super) staging: String,
    pub(super) now_ms: TimestampMs,
}

/// Makes the key and looks for its result.
pub(super) fn look_up(search: &Search, cache: &Cache, blobs: &Blobs, stop: &Stop) -> Looked {
    if !search.cwd.is_dir() {
        // The start of the session says it better.
        return Looked::Miss { key: Err("its directory was not there when it started".to_owned()) };
    }
    let made = Globs::new(&search.artifacts)
        .and_then(|artifacts| search.recipe.finish(&search.cwd, &search.inputs, &artifacts, stop));
    let noted = match made {
        Ok(noted) => noted,
        Err(FilesError::Stopped) => return Looked::Stopped,
        Err(error)
            if matches!(error, FilesError::BehindLink { .. } | FilesError::Changing { .. })
                || error.is_shortage() =>
        {
            return Looked::Miss { key: Err(error.to_string()) };
        }
        Err(error) => return Looked::Failed(format!("the inputs of its cache cannot be read: {error}")),
    };
    if search.refresh {
        return Looked::Miss { key: Ok(noted) };
    }
    let key = &noted.key;
    let entry = match cache.read(key) {
        Ok(Some(entry)) if entry.is_fresh(search.ttl_ms, search.now_ms) => entry,
        Ok(_) => return Looked::Miss { key: Ok(noted) },
        Err(error) => {
            unusable(cache, key, &error);
            return Looked::Miss { key: Ok(noted) };
        }
    };
    match take(&entry, search, blobs, stop) {
        Ok(()) => {
            cache.touch(key);
            Looked::Hit(Box::new(entry))
        }
        Err(FilesError::Stopped) => Looked::Stopped,
        Err(FilesError::Store(error)) if error.is_damage() => {
            discard(cache, key, &error.to_string());
            Looked::Miss { key: Ok(noted) }
        }
        Err(error) => {
            tracing::warn!(key, %error, "a cached result cannot be used here: the task runs");
            Looked::Miss { key: Ok(noted) }
        }
    }
}

/// Checks that everything is there, then puts the files in place.
fn take(entry: &Entry, search: &Search, blobs: &Blobs, stop: &Stop) -> Result<(), FilesError> {
    for record in entry.outputs.values() {
        if let Some(blob) = &record.blob
            && blobs.get(blob)?.is_none()
        {
            return Err(StoreError::BlobDamaged { id: blob.0.clone() }.into());
        }
    }
    // The entry may go before its blobs are named by an event.
    let outputs = entry.outputs.values().filter_map(|record| record.blob.as_ref());
    for blob in outputs.chain(entry.artifacts.iter().map(|record| &record.blob)) {
        if !blobs.refresh(blob)? {
            return Err(StoreError::BlobDamaged { id: blob.0.clone() }.into());
        }
    }
    let staging = search.staging.clone();
    artifacts::restore(&search.cwd, &entry.artifacts, blobs, search.umask, staging, stop)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cache::tests::without_descriptors;
    use crate::cache::{plain_spec, recipe};
    use cis_core::api::CacheUse;
    use cis_core::dag::CacheKey;
    use cis_core::event::{ArtifactRecord, FileReaders};
    use cis_store::Safety;

    #[test]
    fn without_a_free_descriptor_the_task_runs_and_its_earlier_result_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, blobs, stop) = (Cache::new(dir.path()), Blobs::new(dir.path()), Stop::default());
        let cwd = dir.path().join("work");
        std::fs::create_dir(&cwd).unwrap();
        std::fs::write(cwd.join("in"), "1").unwrap();
        let search = |inputs: &[&str]| {
            let inputs: Vec<String> = inputs.iter().map(|&glob| glob.to_owned()).collect();
            let uses = CacheUse {
                key: CacheKey::Auto,
                inputs: inputs.clone(),
                ttl_ms: None,
                refresh: false,
                cwd: ".".to_owned(),
                scope: "dag/task".to_owned(),
                submitter: None,
            };
            Search {
                recipe: recipe(&plain_spec(&["x"]), &uses, None),
                cwd: cwd.clone(),
                inputs,
                artifacts: vec!["out".to_owned()],
                ttl_ms: None,
                refresh: false,
                umask: 0o022,
                staging: ".cis-restore-x".to_owned(),
                now_ms: 0,
            }
        };
        let look = |inputs: &[&str]| look_up(&search(inputs), &cache, &blobs, &stop);
        let Looked::Miss { key: Ok(noted) } = look(&[]) else { panic!("there is no result yet") };
        let file = ArtifactRecord {
            path: "out".to_owned(),
            blob: blobs.put(b"text", Safety::Processes).unwrap(),
            size: 4,
            executable: false,
            readers: FileReaders::default(),
        };
        let entry = Entry {
            key: noted.key,
            from: "x".to_owned(),
            made_ms: 0,
            outputs: BTreeMap::new(),
            artifacts: vec![file],
            vouched: None,
        };
        cache.keep(&entry).unwrap();
        assert!(matches!(without_descriptors(|| look(&[])), Looked::Miss { key: Ok(_) }));
        assert!(matches!(without_descriptors(|| look(&["in"])), Looked::Miss { key: Err(_) }));
        assert!(matches!(look(&[]), Looked::Hit(hit) if *hit == entry));
    }
}
