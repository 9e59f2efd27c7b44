//! Cancels that could not be recorded because the disk is full: a small file whose space is reserved while there is some.
//!
//! Owns that file. A node that starts finds there which runs its last life had begun to cancel, and for whom.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use serde::{Deserialize, Serialize};

use cis_core::event::Actor;
use cis_core::ids::{InputId, RunId};
use cis_host::allocate;
use cis_local::{open_no_link, read_regular};

/// Size of the file, bytes: about a hundred runs. Those that do not fit are forgotten, as all were without the file.
const FILE_BYTES: usize = 16 << 10;

/// A run that somebody cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnrecordedCancel {
    pub(crate) run: RunId,
    pub(crate) actor: Actor,
    /// The request: sent again, it makes no second cancel.
    pub(crate) input: Option<InputId>,
    /// Also cancel tasks with the trigger `always` and handlers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) now: bool,
}

fn path(home: &Path) -> PathBuf {
    home.join("unrecorded-cancels")
}

/// Reserves the space of the file, unless it is there or the disk is full.
pub(crate) fn keep(home: &Path) {
    let path = path(home);
    if std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.len() >= FILE_BYTES as u64) {
        return;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let made = open_no_link(&mut options, &path)
        .and_then(|file| allocate(&file, FallocateFlags::empty(), 0, FILE_BYTES as u64));
    if let Err(error) = made {
        tracing::debug!(%error, "cannot reserve space for cancels that cannot be recorded");
    }
}

/// Notes these cancels instead of those that were noted before. None: all are recorded.
///
/// # Errors
/// The file is not there, or cannot be written.
pub(crate) fn note(home: &Path, cancels: &[UnrecordedCancel]) -> io::Result<()> {
    let mut text = String::new();
    for cancel in cancels {
        let line = serde_json::to_string(cancel).map_err(io::Error::other)?;
        if text.len() + line.len() < FILE_BYTES {
            text.push_str(&line);
            text.push('\n');
        }
    }
    let mut bytes = text.into_bytes();
    bytes.resize(FILE_BYTES, 0);
    // In place: another file would need space.
    let file = open_no_link(OpenOptions::new().write(true), &path(home))?;
    file.write_all_at(&bytes, 0)?;
    file.sync_data()
}

/// What an earlier life of the node noted. A line that is none is left out.
pub(crate) fn noted(home: &Path) -> Vec<UnrecordedCancel> {
    let bytes = read_regular(&path(home)).unwrap_or_default();
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::event::{ActorKind, Via};

    #[test]
    fn cancels_are_noted_in_place_and_found_again() {
        let home = tempfile::tempdir().unwrap();
        let actor = Actor { kind: ActorKind::Human, name: "uid:1000".to_owned(), via: Via::Socket };
        let input = Some(InputId::from_parts(1, 1));
        let cancel = |n| UnrecordedCancel {
            run: RunId::from_parts(n, 1),
            actor: actor.clone(),
            input,
            now: n % 2 == 0,
        };
        assert!(note(home.path(), &[cancel(1)]).is_err(), "nothing is reserved");
        assert_eq!(noted(home.path()), []);
        keep(home.path());
        assert_eq!(noted(home.path()), []);
        note(home.path(), &[cancel(1), cancel(2)]).unwrap();
        keep(home.path());
        assert_eq!(noted(home.path()), [cancel(1), cancel(2)]);
        let many: Vec<UnrecordedCancel> = (0..1000).map(cancel).collect();
        note(home.path(), &many).unwrap();
        let found = noted(home.path());
        assert!(found.len() > 100 && found[..] == many[..found.len()], "{}", found.len());
        note(home.path(), &[]).unwrap();
        assert_eq!(noted(home.path()), []);
        assert_eq!(std::fs::metadata(path(home.path())).unwrap().len(), FILE_BYTES as u64);
    }
}
