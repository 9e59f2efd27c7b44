//! Whose trouble it is that something could not be written or read: the task's, or that of the disk below the home.
//!
//! Owns the distinction and what it is told by. Does not know what is to become of the task.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::io::Errno;

use super::LocalWorker;
use crate::event::{AttemptOutcome, FailureCause};
use crate::ids::{SessionId, TimestampMs};
use crate::session::protocol::Exit;

/// A disk that takes so much is not full, bytes.
const PROBE_BYTES: usize = 64 << 10;

/// Why something of a task could not be had or kept.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The task did it wrong.
    OfTask(String),
    /// The disk, or something else that the machine is short of.
    OfDisk(String),
}

impl Trouble {
    /// Sorts an error of the system.
    pub(super) fn of(error: &io::Error, detail: String) -> Self {
        const SHORT: [Errno; 7] =
            [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::IO, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
        match Errno::from_io_error(error) {
            Some(errno) if SHORT.contains(&errno) => Self::OfDisk(detail),
            _ => Self::OfTask(detail),
        }
    }

    pub(super) fn into_detail(self) -> String {
        match self {
            Self::OfTask(detail) | Self::OfDisk(detail) => detail,
        }
    }

    /// How an attempt ends whose outputs are not to be had.
    pub(super) fn outcome(self) -> AttemptOutcome {
        match self {
            Self::OfTask(detail) => AttemptOutcome::Failed { cause: FailureCause::Outputs { detail } },
            Self::OfDisk(detail) => AttemptOutcome::SpawnError { detail },
        }
    }
}

/// When the disk last failed this node.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskFailure {
    from_ms: TimestampMs,
    to_ms: TimestampMs,
}

impl LocalWorker {
    /// The node could not write; `again`: it could not a moment ago, either.
    pub(in crate::node) fn disk_failed(&mut self, now_ms: TimestampMs, again: bool) {
        let known = self.disk_failure.filter(|_| again);
        let from_ms = known.map_or(now_ms, |known| known.from_ms);
        self.disk_failure = Some(DiskFailure { from_ms, to_ms: now_ms });
    }

    /// Outputs that are not as they are declared: a program that writes to a full disk may not notice.
    pub(super) fn whose_trouble(&self, session: SessionId, exit: &Exit, detail: String) -> Trouble {
        let overlaps =
            |failure: &DiskFailure| exit.started_ms <= failure.to_ms && failure.from_ms <= exit.ended_ms;
        let cause = if let Err(error) = probe(&self.home.output_file(session).with_extension("probe")) {
            error.to_string()
        } else if let Some(lost) = &exit.lost_output {
            lost.cause.clone()
        } else if self.disk_failure.as_ref().is_some_and(overlaps) {
            "it was full, or failed".to_owned()
        } else {
            return Trouble::OfTask(detail);
        };
        Trouble::OfDisk(format!(
            "{detail}, and the disk of the home took nothing while it ran ({cause}): make room, and run it again"
        ))
    }
}

/// Writes a little, and removes it.
fn probe(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let written = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(&vec![0; PROBE_BYTES]));
    // Where it was not made, there is nothing to remove.
    let _ = fs::remove_file(path);
    written
}
