//! Values of an attempt's secrets, kept next to its raw log (both 0600), and those of its run, next to the logs of the run.
//! A later node must still know what to redact in a log, and a live session that it adopts must not get other values than
//! it was started with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use cis_core::ids::RunId;
use cis_local::read_regular;

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

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.sensitive.is_empty()
    }
}

/// The secrets of an attempt as they are written. An earlier version wrote no checksum, and ignores it.
#[derive(Serialize, Deserialize)]
struct Kept<S> {
    #[serde(flatten)]
    secrets: S,
    #[serde(default)]
    sum: Option<String>,
}

/// Returns the checksum of the values. The file has the values themselves, so it needs no key.
fn sum(secrets: &Secrets) -> io::Result<String> {
    let json = serde_json::to_vec(secrets).map_err(io::Error::other)?;
    Ok(hex::encode(&Sha256::digest(json)[..8]))
}

/// Where they are kept.
pub(super) fn path(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".");
    name.push(EXTENSION);
    PathBuf::from(name)
}

/// Of the files next to logs.
const EXTENSION: &str = "secrets";

/// Name of the file in a run's log directory that has the secrets of all its tasks. No log has this name.
const OF_RUN: &str = "secrets";

/// Keeps the values.
pub(super) fn keep(log: &Path, secrets: &Secrets) -> io::Result<()> {
    write(&path(log), &Kept { secrets, sum: Some(sum(secrets)?) })
}

/// Keeps the values of all tasks of a run in its log directory.
pub(super) fn keep_run(dir: &Path, values: &BTreeSet<String>) -> io::Result<()> {
    // An adopted session may outlive the directory of its logs.
    fs::create_dir_all(dir)?;
    write(&dir.join(OF_RUN), values)
}

/// Whether a run's log directory has values of secrets that are kept for all of its tasks.
pub(super) fn has_values(dir: &Path) -> bool {
    // An empty list has two bytes.
    fs::metadata(dir.join(OF_RUN)).is_ok_and(|file| file.len() > 2)
}

/// Whether the log directory of a run says that its tasks have no secrets here. So it is for runs of other nodes, and for a run whose
/// secrets all lack a value.
pub(super) fn has_no_value(dir: &Path) -> bool {
    fs::metadata(dir.join(OF_RUN)).is_ok_and(|file| file.len() <= 2)
}

/// Whether values of its own are kept next to the log of an attempt.
pub(super) fn has_own_values(log: &Path) -> bool {
    fs::symlink_metadata(path(log)).is_ok()
}

/// Whether a run's log directory has values of secrets, of the run or of an attempt.
pub(super) fn has_any(dir: &Path) -> bool {
    has_values(dir) || logs_in(dir).iter().any(|log| has_own_values(log))
}

/// Runs whose log directories below `logs` have values of secrets.
pub(super) fn runs_with_values(logs: &Path) -> Vec<RunId> {
    let dirs = fs::read_dir(logs).into_iter().flatten().flatten();
    let runs = dirs.filter_map(|dir| dir.file_name().to_str()?.parse().ok().map(|run| (run, dir.path())));
    runs.filter(|(_, dir)| has_any(dir)).map(|(run, _)| run).collect()
}

/// Logs of the attempts in a run's log directory, also where only their secrets are left.
pub(super) fn logs_in(dir: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let log = |path: PathBuf| match path.extension()?.to_str()? {
        "log" => Some(path),
        EXTENSION => {
            Some(path.with_extension("")).filter(|log| log.extension().is_some_and(|of| of == "log"))
        }
        _ => None,
    };
    entries.filter_map(|entry| log(entry.path())).collect()
}

fn write(path: &Path, values: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(values).map_err(io::Error::other)?;
    let tmp = path.with_extension("new");
    let _ = fs::remove_file(&tmp);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&tmp)?;
    file.write_all(&text)?;
    fs::rename(&tmp, path)
}

/// Removes the values next to a log.
pub(super) fn remove(log: &Path) -> io::Result<()> {
    match fs::remove_file(path(log)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The kept values; none where there are none.
pub(super) fn try_load(log: &Path) -> io::Result<Option<Secrets>> {
    let Some(Kept { secrets, sum: stated }) = read::<Kept<Secrets>>(&path(log))? else { return Ok(None) };
    if stated.is_some_and(|stated| sum(&secrets).is_ok_and(|sum| sum != stated)) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its content does not match its checksum"));
    }
    Ok(Some(secrets))
}

/// Loads the values of all tasks of a run from its log directory.
pub(super) fn load_run(dir: &Path) -> io::Result<Option<BTreeSet<String>>> {
    read(&dir.join(OF_RUN))
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match read_regular(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_value_is_noticed_and_an_earlier_version_reads_what_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.1.log");
        let named = BTreeMap::from([("PASS".to_owned(), "horse".to_owned())]);
        let secrets = Secrets { named, sensitive: vec!["house".to_owned()] };
        keep(&log, &secrets).unwrap();
        assert_eq!(try_load(&log).unwrap(), Some(secrets.clone()));
        let text = fs::read_to_string(path(&log)).unwrap();
        assert_eq!(serde_json::from_str::<Secrets>(&text).unwrap(), secrets);
        fs::write(path(&log), text.replace("horse", "house")).unwrap();
        assert!(try_load(&log).unwrap_err().to_string().contains("checksum"));
        fs::write(path(&log), serde_json::to_vec(&secrets).unwrap()).unwrap();
        assert_eq!(try_load(&log).unwrap(), Some(secrets), "of an earlier version");
    }
}
