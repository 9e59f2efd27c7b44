//! One session: what the host keeps of it. No behaviour beyond its own fields.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::inputs::Inputs;
use super::kill::Kill;
use super::patience::Patience;
use crate::evidence::Impatience;
use crate::exits::{Note, Promise};
use crate::log::LogWriter;
use crate::os::{ProcessKey, Stamp, Terminal};
use crate::protocol::{AtDeadline, Exit, FromHost, Known};
use cis_core::event::ExitStatus;
use cis_core::ids::{RunId, SessionId, TimestampMs};

/// Its descriptors.
#[derive(Debug)]
pub(super) enum Descriptors {
    /// Both directions through the master of a PTY.
    Pty(OwnedFd),
    /// One pipe each way; each is gone once it is at its end.
    Pipes { output: Option<OwnedFd>, stdin: Option<OwnedFd> },
    /// The session ended.
    Closed,
}

impl Descriptors {
    pub(super) fn output(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pty(master) => Some(master.as_fd()),
            Self::Pipes { output, .. } => output.as_ref().map(AsFd::as_fd),
            Self::Closed => None,
        }
    }

    pub(super) fn input(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pty(master) => Some(master.as_fd()),
            Self::Pipes { stdin, .. } => stdin.as_ref().map(AsFd::as_fd),
            Self::Closed => None,
        }
    }

    /// Those that are open.
    pub(super) fn into_open(self) -> impl Iterator<Item = OwnedFd> {
        let both = match self {
            Self::Pty(master) => [Some(master), None],
            Self::Pipes { output, stdin } => [output, stdin],
            Self::Closed => [None, None],
        };
        both.into_iter().flatten()
    }

    pub(super) fn terminal(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pty(master) => Some(master.as_fd()),
            Self::Pipes { .. } | Self::Closed => None,
        }
    }
}

/// Whether more output can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Readers wait for it.
    Open,
    /// A terminal that nobody has open at the moment; a process may open it again.
    HungUp,
    /// No writer is left.
    Ended,
}

/// Why the host ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndedBy {
    /// A peer asked for it.
    Kill,
    /// Its timeout or a deadline passed.
    Timeout,
    /// It was idle for too long.
    Idle,
    /// The host shuts down.
    Shutdown,
}

/// A deadline beside the timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline {
    pub(super) at_ms: u64,
    pub(super) action: AtDeadline,
}

/// One session. Times without other word are ms of the boot clock.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) label: Box<str>,
    /// The line that it counts in.
    pub(super) line: Option<RunId>,
    /// Its start was told.
    pub(super) told: bool,
    /// What its processes cannot take off; none where the system leaves no room for it.
    pub(super) stamp: Option<Stamp>,
    /// Of its first process, its leader.
    pub(super) pid: u32,
    pub(super) started_ms: TimestampMs,
    pub(super) started: u64,
    /// A moment just after the start of the leader, ms since boot.
    pub(super) born_ms: u64,
    pub(super) descriptors: Descriptors,
    /// Which terminal its programs have; none: pipes.
    pub(super) terminal: Option<Terminal>,
    /// How soon strangers at it are searched for.
    pub(super) impatience: Impatience,
    pub(super) flow: Flow,
    /// epoll tells of its output.
    pub(super) polled: bool,
    pub(super) inputs: Inputs,
    pub(super) log: LogWriter,
    pub(super) last_output: u64,
    pub(super) last_input: u64,
    pub(super) grace_ms: u64,
    pub(super) timeout_at: Option<u64>,
    /// Limits that it is warned of, and its idleness; none: it has no such limit.
    pub(super) patience: Option<Box<Patience>>,
    pub(super) deadline: Option<Deadline>,
    /// Of its leader, once that was waited for.
    pub(super) leader_end: Option<(ExitStatus, TimestampMs)>,
    pub(super) kill: Option<Kill>,
    /// The whole tree is being kept stopped; the next look for what is not stopped yet.
    pub(super) freeze_next: Option<u64>,
    /// Processes that were once seen to be of this session.
    pub(super) seen: Vec<ProcessKey>,
    /// Nothing of its tree is left; what it wrote may still be read.
    pub(super) tree_gone: bool,
    /// All output of its leader was read.
    pub(super) dry: bool,
    /// Why the host first told its leader to end, and when; none: the host did not, or the leader had already ended.
    pub(super) ended_by: Option<(EndedBy, TimestampMs)>,
    /// A peer asked for its end while its leader lived.
    pub(super) kill_asked: bool,
    /// The end of its leader is noted in the exit file.
    pub(super) noted: bool,
    /// Space that is reserved in the exit file.
    pub(super) promise: Promise,
    /// Set once its whole tree is gone.
    pub(super) exit: Option<Exit>,
    /// The exit is recorded by somebody; the session stays only for those who still read its output.
    pub(super) acknowledged: bool,
    /// Connections that watch it.
    pub(super) watchers: Vec<usize>,
}

impl Session {
    /// It has, or may have, processes.
    pub(super) fn lives(&self) -> bool {
        self.exit.is_none()
    }

    /// It is not at its end in this turn: its leader lives, or what it left behind is being ended.
    pub(super) fn stays_open(&self) -> bool {
        self.leader_end.is_none() || self.kill.is_some()
    }

    /// Returns the message that reports the start of this session.
    pub(super) fn start_message(&self) -> FromHost {
        let (session, pid, at_ms) = (self.id, self.pid, self.started_ms);
        FromHost::Started { session, pid, at_ms, born_ms: Some(self.born_ms) }
    }

    pub(super) fn known(&self) -> Known {
        Known {
            session: self.id,
            label: self.label.to_string(),
            pid: self.pid,
            started_ms: self.started_ms,
            born_ms: Some(self.born_ms),
            exit: self.exit.clone(),
        }
    }

    /// How the session ended, as far as that is known when its leader has ended.
    pub(super) fn ending(&self) -> Option<Exit> {
        let (status, ended_ms) = self.leader_end?;
        let by = self.ended_by.map(|(why, _)| why);
        let is_limit = |why: &EndedBy| matches!(why, EndedBy::Timeout | EndedBy::Idle);
        let shut_down = by == Some(EndedBy::Shutdown) && !self.kill_asked;
        Some(Exit {
            status,
            started_ms: self.started_ms,
            ended_ms,
            timed_out: by == Some(EndedBy::Timeout),
            idle: by == Some(EndedBy::Idle),
            limit_ms: self.ended_by.filter(|(why, _)| is_limit(why)).map(|(_, at_ms)| at_ms),
            killed: self.kill_asked || shut_down,
            shut_down,
            output_bytes: self.log.total(),
            cut_bytes: self.log.cut(),
            lost_output: self.log.lost(),
        })
    }

    /// The note of its end. `None`: its leader lives, or ended because the host shuts down, which loses the
    /// session.
    pub(super) fn note(&self) -> Option<Note> {
        let exit = self.exit.clone().or_else(|| self.ending()).filter(|exit| !exit.shut_down)?;
        let known = Known { exit: Some(exit), ..self.known() };
        Some(Note { known, log: self.log.path().to_owned(), unread: !self.dry })
    }

    /// When it wants to be looked at.
    pub(super) fn next_wake(&self) -> Option<u64> {
        if !self.lives() || self.tree_gone {
            return None;
        }
        let kill = self.kill.as_ref().map(|kill| kill.next);
        // A session that is being ended needs no second reason.
        let (timeout, deadline, patience) = match kill {
            Some(_) => (None, None, None),
            None => (self.timeout_at, self.deadline.map(|deadline| deadline.at_ms), self.patience_wake()),
        };
        [kill, timeout, deadline, patience, self.freeze_next].into_iter().flatten().min()
    }
}
