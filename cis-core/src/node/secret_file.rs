//! Values of an attempt's secrets, kept beside its raw log (both 0600): whoever reads that log later,
//! in another life of the node, must still know what to redact, and a live session that is taken
//! over must not get other values than it was started with.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What must not be seen of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Secrets {
    /// Values of its own secrets, by name.
    pub(super) named: BTreeMap<String, String>,
    /// Values that it got from earlier tasks.
    pub(super) sensitive: Vec<String>,
}

impl Secrets {
    /// All of them.
    pub(super) fn values(&self) -> impl Iterator<Item = String> + '_ {
        self.named.values().chain(&self.sensitive).cloned()
    }
}

/// Where they are kept.
pub(super) fn path(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".secrets");
    PathBuf::from(name)
}

/// Keeps the values.
pub(super) fn keep(log: &Path, secrets: &Secrets) -> io::Result<()> {
    let text = serde_json::to_vec(secrets).map_err(io::Error::other)?;
    let path = path(log);
    let tmp = path.with_extension("new");
    let _ = fs::remove_file(&tmp);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&tmp)?;
    file.write_all(&text)?;
    fs::rename(&tmp, &path)
}

/// The kept values; none where there are none.
pub(super) fn try_load(log: &Path) -> io::Result<Option<Secrets>> {
    match fs::read(path(log)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
