//! The exit file of the host: ends of sessions that no node has recorded yet.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::session::Session;
use super::sessions::Sessions;
use crate::exits::{ExitFile, Line, Note, PassedExitFile, Promise};
use crate::os::{Incoming, Outgoing};
use crate::protocol::{Known, Start};
use cis_core::ids::SessionId;

/// Notes that could not be written are tried again after this time at the latest, ms.
const RETRY_MS: u64 = 1000;

/// What is noted of ends, and the file with it.
pub(super) struct Notes {
    file: ExitFile,
    /// When notes that could not be written are tried again.
    retry_at: Option<u64>,
    /// Ended sessions of earlier hosts whose end no node has recorded.
    left: BTreeMap<SessionId, Note>,
}

/// [`Notes`] with a number for their file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PassedNotes {
    file: PassedExitFile,
    left: Vec<Note>,
}

impl PassedNotes {
    /// # Errors
    /// The file was not passed.
    pub(super) fn take_from(self, incoming: &mut Incoming) -> io::Result<Notes> {
        let left = self.left.into_iter().map(|note| (note.known.session, note)).collect();
        // What could not be written is tried again in the first turn.
        Ok(Notes { file: self.file.take_from(incoming)?, retry_at: None, left })
    }
}

impl Notes {
    pub(super) fn open(path: PathBuf) -> Self {
        let (file, left) = ExitFile::open(path);
        let left = left.into_iter().map(|note| (note.known.session, note)).collect();
        Self { file, retry_at: None, left }
    }

    /// For the next program of this process.
    pub(super) fn put_into<'a>(&'a self, outgoing: &mut Outgoing<'a>) -> PassedNotes {
        PassedNotes { file: self.file.put_into(outgoing), left: self.left.values().cloned().collect() }
    }

    /// A session of an earlier host.
    pub(super) fn left(&self, id: SessionId) -> Option<&Known> {
        self.left.get(&id).map(|note| &note.known)
    }

    /// All sessions of earlier hosts.
    pub(super) fn all_left(&self) -> impl Iterator<Item = &Known> {
        self.left.values().map(|note| &note.known)
    }

    /// A node has recorded the end of a session.
    pub(super) fn acknowledge(&mut self, id: SessionId) {
        self.left.remove(&id);
    }

    /// Reserves the space for the notes of the session's end.
    pub(super) fn reserve(&mut self, start: &Start, sessions: &Sessions) -> io::Result<Promise> {
        self.file.reserve(&start.label, Path::new(&start.log), || open_notes(&self.left, sessions))
    }

    /// Gives back what was reserved for a session that was not started.
    pub(super) fn release(&mut self, mut promise: Promise) {
        self.file.release(&mut promise, true);
    }

    /// Notes how the leader of a session ended: once when it ends, and once more when all output is read, if that was more.
    pub(super) fn note_end(&mut self, session: &mut Session) {
        if !session.life.take_note_due() || session.promise.is_empty() {
            return;
        }
        let lives = session.lives();
        self.file.release(&mut session.promise, !lives);
        let Some(exit) = session.ending().filter(|exit| !exit.shut_down) else { return };
        if session.noted.as_deref() == Some(&exit) {
            return;
        }
        self.file.add(&Line {
            session: session.id,
            label: &session.label,
            pid: session.pid,
            started_ms: session.started_ms,
            exit: &exit,
            log: session.log.path(),
            unread: !session.is_output_read(),
        });
        session.noted = session.is_output_read().then(|| Box::new(exit));
    }

    /// Writes the added notes. Returns when that is to be tried again, if it failed.
    pub(super) fn write(&mut self, now: u64) -> Option<u64> {
        if self.file.write() {
            self.retry_at = None;
        } else if self.retry_at.is_none_or(|at| at <= now) {
            self.retry_at = Some(now + RETRY_MS);
            return self.retry_at;
        }
        None
    }

    /// The host ends: leaves a file of all ends that no node has recorded.
    pub(super) fn leave(&self, sessions: &Sessions) {
        self.file.leave(&open_notes(&self.left, sessions));
    }
}

/// Returns the notes of all ends that no node has recorded. `left` are those of earlier hosts.
fn open_notes(left: &BTreeMap<SessionId, Note>, sessions: &Sessions) -> Vec<Note> {
    let open = sessions.iter().filter(|(_, session)| !session.is_acknowledged());
    left.values().cloned().chain(open.filter_map(|(_, session)| session.note())).collect()
}
