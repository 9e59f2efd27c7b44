//! What lies in the directories of logs and of files beside sessions, and whose it is by its name.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::UpkeepError;
use cis_core::ids::{RunId, SessionId};

/// Characters of a session's id at the beginning of a name.
const ID_CHARS: usize = 26;

/// A file or a directory with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// The newest time in it.
    pub(super) modified: SystemTime,
}

impl Found {
    /// Removes the files that were not changed after `before`. Gives their bytes, and what could not be done.
    pub(super) fn empty(&self, before: SystemTime) -> (u64, Vec<String>) {
        let (mut bytes, mut failed) = (0, Vec::new());
        let files = match fs::read_dir(&self.path) {
            Ok(entries) => entries.map_while(Result::ok).map(|entry| entry.path()).collect(),
            Err(_) => vec![self.path.clone()],
        };
        for path in files {
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() || meta.modified().is_ok_and(|modified| modified > before) {
                continue;
            }
            match fs::remove_file(&path) {
                Ok(()) => bytes += meta.len(),
                Err(error) => failed.push(format!("{}: {error}", path.display())),
            }
        }
        (bytes, failed)
    }

    /// Removes it.
    pub(super) fn remove(&self) -> io::Result<()> {
        let removed = match fs::symlink_metadata(&self.path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&self.path),
            Ok(_) => fs::remove_file(&self.path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// Directories of runs' logs.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) runs: BTreeMap<RunId, Found>,
    /// The files of a session without a run.
    pub(super) sessions: BTreeMap<SessionId, Vec<Found>>,
}

impl Logs {
    pub(super) fn take(dir: &Path) -> Result<Self, UpkeepError> {
        let mut logs = Self::default();
        for (name, found) in entries(dir, |name| name.parse::<RunId>().is_ok() || session_of(name).is_some())?
        {
            if let Ok(run) = name.parse() {
                logs.runs.insert(run, found);
            } else if let Some(session) = session_of(&name) {
                logs.sessions.entry(session).or_default().push(found);
            }
        }
        Ok(logs)
    }

    pub(super) fn bytes(&self) -> u64 {
        let runs = self.runs.values().map(|found| found.bytes);
        runs.chain(self.sessions.values().flatten().map(|found| found.bytes)).sum()
    }
}

/// Files beside sessions (`CIS_OUTPUT`, scripts, contexts), by the session that their name begins with.
pub(super) fn beside_sessions(dir: &Path) -> Result<Vec<(SessionId, Found)>, UpkeepError> {
    let all = entries(dir, |name| session_of(name).is_some())?.into_iter();
    Ok(all.filter_map(|(name, found)| Some((session_of(&name)?, found))).collect())
}

/// Returns the session whose id a name begins with.
pub(super) fn session_of(name: &str) -> Option<SessionId> {
    name.get(..ID_CHARS)?.parse().ok()
}

/// What stands in a directory under a name that is `ours`; nothing where it is not there. Into what is not
/// ours nobody looks: it may be somebody else's, as the `lost+found` of a mount is.
pub(super) fn entries(dir: &Path, ours: impl Fn(&str) -> bool) -> Result<Vec<(String, Found)>, UpkeepError> {
    let look = || -> io::Result<Vec<(String, Found)>> {
        let mut all = Vec::new();
        let read = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
            read => read?,
        };
        for entry in read {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !ours(&name) {
                continue;
            }
            if let Some(found) = measure(&entry)? {
                all.push((name, found));
            }
        }
        Ok(all)
    };
    look().map_err(UpkeepError::file("read", dir))
}

/// None where it is gone meanwhile.
fn measure(entry: &DirEntry) -> io::Result<Option<Found>> {
    let Some(meta) = if_there(entry.metadata())? else { return Ok(None) };
    let mut found = Found { path: entry.path(), bytes: 0, modified: meta.modified()? };
    if meta.is_dir() {
        add_all(&entry.path(), &mut found)?
    } else {
        found.bytes = meta.len()
    }
    Ok(Some(found))
}

/// Logs lie flat in the directory of their run; what else somebody put there counts as well, but for
/// what cannot be read.
fn add_all(dir: &Path, found: &mut Found) -> io::Result<()> {
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            entries => entries,
        };
        let Some(entries) = if_there(entries)? else { continue };
        for entry in entries {
            let entry = entry?;
            let Some(meta) = if_there(entry.metadata())? else { continue };
            found.modified = found.modified.max(meta.modified()?);
            if meta.is_dir() {
                open.push(entry.path());
            } else {
                found.bytes = found.bytes.saturating_add(meta.len());
            }
        }
    }
    Ok(())
}

fn if_there<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    match looked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        looked => looked.map(Some),
    }
}
