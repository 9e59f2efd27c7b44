//! Entries: one file each, named by its key, with a checksum over what it says.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::small_file::{self, Links, ReadError};
use cis_core::event::{ArtifactRecord, OutputRecord, Uploaded, UploadedLog};
use cis_core::ids::{BlobId, NodeDid, TimestampMs};

/// An entry is no longer: 10,000 artifacts with long names, and all outputs.
const ENTRY_BYTES_MAX: u64 = 64 << 20;

/// A result that was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// The attempt that made it.
    pub(crate) from: String,
    /// When, Unix ms.
    pub(crate) made_ms: TimestampMs,
    /// Secrets replaced; real values lie in blobs.
    pub(crate) outputs: BTreeMap<String, OutputRecord>,
    /// Of a result that another node recorded none: the list of its files names them.
    pub(crate) artifacts: Vec<ArtifactRecord>,
    /// Of a task on a node of a room: who vouches for it, and where the rest is. Entries of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vouched: Option<Box<Vouched>>,
}

/// Nodes that vouch for a result, and what was uploaded of it for the nodes of their room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Vouched {
    pub(crate) room: String,
    /// It ran the task.
    pub(crate) worker: NodeDid,
    /// It recorded the result.
    pub(crate) coordinator: NodeDid,
    /// The list of its files; none: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<Uploaded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<UploadedLog>,
    /// Bytes that the task wrote: where it wrote some, an entry without a log does not have its output.
    pub(crate) log_bytes: u64,
}

impl Entry {
    /// It is no older than that. One from the future is taken: a clock was set back.
    pub(crate) fn is_fresh(&self, ttl_ms: Option<u64>, now_ms: TimestampMs) -> bool {
        let age = u64::try_from(now_ms.saturating_sub(self.made_ms)).unwrap_or(0);
        ttl_ms.is_none_or(|ttl| age <= ttl)
    }
}

/// Why an entry cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    /// It is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// It cannot be read now, and may be sound.
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    /// SHA-256 of the text of `entry`, hex.
    sha256: String,
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// The entries of a home.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Of this home. Nothing is made before the first entry.
    pub(crate) fn new(home: &Path) -> Self {
        Self { dir: super::directory(home) }
    }

    /// Where an entry lies. Keys are ours: hex of a hash.
    fn path(&self, key: &str) -> PathBuf {
        self.dir.join(key.get(..2).unwrap_or_default()).join(format!("{key}.json"))
    }

    /// The entry of a key; none: there is none.
    ///
    /// # Errors
    /// [`EntryError`].
    pub(crate) fn read(&self, key: &str) -> Result<Option<Entry>, EntryError> {
        match read_file(&self.path(key))? {
            Some(entry) if entry.key != key => Err(EntryError::Damaged("it is another key's".to_owned())),
            found => Ok(found),
        }
    }

    /// Keeps an entry, over an older one of its key. Readers see all of it or nothing.
    pub(crate) fn keep(&self, entry: &Entry) -> io::Result<()> {
        if !BlobId::is_written_as(&entry.key) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "its key is not a hash"));
        }
        let path = self.path(&entry.key);
        let dir = path.parent().unwrap_or(&self.dir);
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let text = serde_json::to_string(entry).map_err(io::Error::other)?;
        let sealed = Sealed {
            sha256: hex::encode(Sha256::digest(text.as_bytes())),
            entry: &RawValue::from_string(text).map_err(io::Error::other)?,
        };
        let sealed = serde_json::to_vec(&sealed).map_err(io::Error::other)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let temporary = dir.join(format!(".{}", hex::encode(random)));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(&sealed))
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// It was of use: what was used last is removed last.
    pub(crate) fn touch(&self, key: &str) {
        let now = SystemTime::now();
        let set = File::options().write(true).open(self.path(key)).and_then(|file| file.set_modified(now));
        if let Err(error) = set {
            tracing::debug!(key, %error, "the use of a cached result is not noted");
        }
    }

    pub(super) fn remove(&self, key: &str) {
        if let Err(error) = fs::remove_file(self.path(key))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(key, %error, "a cached result cannot be removed");
        }
    }
}

/// The entry in a file; none: the file is not there.
pub(super) fn read_file(path: &Path) -> Result<Option<Entry>, EntryError> {
    let damaged = |error: serde_json::Error| EntryError::Damaged(error.to_string());
    let bytes = match small_file::read(path, ENTRY_BYTES_MAX, Links::Refuse) {
        Ok(bytes) => bytes,
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(ReadError::Io(error)) => return Err(error.into()),
        Err(error @ ReadError::NotRegular) => return Err(EntryError::Damaged(error.to_string())),
    };
    let sealed: Sealed<'_> = serde_json::from_slice(&bytes).map_err(damaged)?;
    if hex::encode(Sha256::digest(sealed.entry.get().as_bytes())) != sealed.sha256 {
        return Err(EntryError::Damaged("its checksum is another".to_owned()));
    }
    serde_json::from_str(sealed.entry.get()).map(Some).map_err(damaged)
}
