//! Whether a failed read or write is the fault of the task or of the disk below the home.
//!
//! Owns that distinction. Does not decide what happens to the task.

use std::io;

use rustix::io::Errno;

use super::LocalWorker;
use cis_core::event::{AttemptOutcome, FailureCause};
use cis_core::ids::TimestampMs;
use cis_host::protocol::Exit;
use cis_store::try_room;

/// A disk that accepts this much is not full, bytes.
const ROOM_BYTES: usize = 64 << 10;

/// Why data of a task could not be read or kept.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A fault of the task.
    OfTask(String),
    /// A fault of the disk, or a shortage of another resource of the machine.
    OfDisk(String),
}

impl Trouble {
    /// Classifies a system error.
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

    /// The outcome of an attempt whose outputs could not be read or kept.
    pub(super) fn outcome(self) -> AttemptOutcome {
        match self {
            Self::OfTask(detail) => AttemptOutcome::Failed { cause: FailureCause::Outputs { detail } },
            Self::OfDisk(detail) => AttemptOutcome::SpawnError { detail },
        }
    }
}

/// The period in which writes of this node last failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskFailure {
    from_ms: TimestampMs,
    to_ms: TimestampMs,
}

impl LocalWorker {
    /// Notes that the node could not write; `again`: the write before failed as well.
    pub(crate) fn disk_failed(&mut self, now_ms: TimestampMs, again: bool) {
        let known = self.disk_failure.filter(|_| again);
        let from_ms = known.map_or(now_ms, |known| known.from_ms);
        self.disk_failure = Some(DiskFailure { from_ms, to_ms: now_ms });
    }

    /// Notes when the home was last moved, if it was.
    pub(crate) fn home_moved(&mut self, moved_ms: Option<TimestampMs>) {
        self.moved_ms = moved_ms;
    }

    /// Classifies outputs that do not match their declaration: a program that writes to a full disk may not
    /// notice.
    pub(super) fn classify_outputs(&self, exit: &Exit, detail: String) -> Trouble {
        if self.moved_ms.is_some_and(|moved| exit.started_ms <= moved) {
            return Trouble::OfDisk(format!(
                "{detail}; the home was moved after the task had started, so what it wrote to the path in CIS_OUTPUT is not here: \
                 retry the task"
            ));
        }
        let overlaps =
            |failure: &DiskFailure| exit.started_ms <= failure.to_ms && failure.from_ms <= exit.ended_ms;
        let refused = try_room(&self.home.outputs(), ROOM_BYTES).err();
        let cause = if let Some(error) = refused.filter(is_of_disk) {
            error.to_string()
        } else if let Some(lost) = &exit.lost_output {
            lost.cause.clone()
        } else if self.disk_failure.as_ref().is_some_and(overlaps) {
            "it was full or failed".to_owned()
        } else {
            return Trouble::OfTask(detail);
        };
        Trouble::OfDisk(format!(
            "{detail}; the disk of the home could not be written while the task ran ({cause}): make room, then retry the task"
        ))
    }
}

/// Whether a failed write shows that the disk is full or broken.
fn is_of_disk(error: &io::Error) -> bool {
    const FAILS: [Errno; 4] = [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::ROFS];
    Errno::from_io_error(error).is_some_and(|errno| FAILS.contains(&errno))
}
