//! One session: what the host keeps of it, and the states of its life. Each transition is one method; none has effects beyond
//! the fields.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::inputs::Inputs;
use super::kill::Kill;
use super::patience::Patience;
use crate::evidence::Impatience;
use crate::exits::{Note, Promise};
use crate::log::LogWriter;
use crate::os::{ProcessKey, Stamp, Terminal};
use crate::protocol::{AtDeadline, Exit, FromHost, Known, Lease};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Flow {
    /// Readers wait for it.
    Open,
    /// A terminal that nobody has open at the moment; a process may open it again.
    HungUp,
    /// No writer is left.
    Ended,
}

/// Why the host ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum EndedBy {
    /// A peer asked for it.
    Kill,
    /// Its timeout or a deadline passed.
    Timeout,
    /// It was idle for too long.
    Idle,
    /// The host shuts down.
    Shutdown,
    /// Nobody renewed its lease while it was kept frozen.
    Lease,
}

/// That the host told a leader to end, for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stop {
    by: EndedBy,
    at_ms: TimestampMs,
    /// A peer asked for it, first or later.
    kill_asked: bool,
}

/// How a leader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeaderEnd {
    status: ExitStatus,
    at_ms: TimestampMs,
    /// None: it ended by itself.
    stop: Option<Stop>,
    /// All output that the leader wrote was read.
    output_read: bool,
    /// The end is noted in the exit file.
    noted: bool,
}

/// What is being done to all processes of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum TreeAction {
    None,
    /// They are stopped or being stopped; the next look for what is not stopped yet, or [`ALL_STOPPED`].
    Freeze {
        next: u64,
    },
    End(Kill),
}

/// All processes of a frozen tree are stopped: it is not looked at again. This is a number because earlier programs of the
/// same format read it too.
const ALL_STOPPED: u64 = u64::MAX;

/// How far the life of a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Life {
    /// Its first process, the leader, was not waited for yet.
    Running { tree: TreeAction, stop: Option<Stop> },
    /// Its leader ended; processes that it left behind may live.
    Leaderless { tree: TreeAction, end: LeaderEnd },
    /// No process is left; output may be.
    Draining { end: LeaderEnd },
    /// All output is read.
    Over {
        exit: Exit,
        /// Somebody has recorded the exit; the session stays only for those who still read its output.
        acknowledged: bool,
    },
}

/// A deadline beside the timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Deadline {
    pub(super) at_ms: u64,
    pub(super) action: AtDeadline,
    /// After this time, ms, the session that was frozen at `at_ms` is killed. None: never.
    #[serde(default)]
    pub(super) keep_ms: Option<u64>,
    /// The session is frozen since its lease ended, and is killed now.
    #[serde(default)]
    pub(super) ends_lease: bool,
}

impl Deadline {
    pub(super) fn of(Lease { until_ms, keep_ms }: Lease) -> Self {
        Self { at_ms: until_ms, action: AtDeadline::Freeze, keep_ms, ends_lease: false }
    }
}

/// One session. Times without other word are ms of the boot clock.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) label: Box<str>,
    /// The run in whose queue it counts.
    pub(super) queue: Option<RunId>,
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
    /// At the last look a program may have passed on what is typed to others, who were not seen.
    pub(super) passes_on: bool,
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
    pub(super) life: Life,
    /// Processes that were once seen to be of this session.
    pub(super) seen: Vec<ProcessKey>,
    /// Space that is reserved in the exit file.
    pub(super) promise: Promise,
    /// What was noted of its end when all output was read.
    pub(super) noted: Option<Box<Exit>>,
    /// Connections that watch it.
    pub(super) watchers: Vec<usize>,
}

impl Life {
    pub(super) fn begin() -> Self {
        Self::Running { tree: TreeAction::None, stop: None }
    }

    /// The host tells the leader to end for this reason. The first reason counts, and none after the leader ended.
    pub(super) fn stop(&mut self, by: EndedBy, at_ms: TimestampMs) {
        if let Self::Running { stop, .. } = self {
            let stop = stop.get_or_insert(Stop { by, at_ms, kill_asked: false });
            stop.kill_asked |= by == EndedBy::Kill;
        }
    }

    /// The leader was waited for.
    pub(super) fn leader_ended(&mut self, status: ExitStatus, at_ms: TimestampMs) {
        if let Self::Running { tree, stop } = self {
            let end = LeaderEnd { status, at_ms, stop: *stop, output_read: false, noted: false };
            *self = Self::Leaderless { tree: std::mem::replace(tree, TreeAction::None), end };
        }
    }

    /// All that the leader wrote was read.
    pub(super) fn output_was_read(&mut self) {
        if let Self::Leaderless { end, .. } | Self::Draining { end } = self {
            end.output_read = true;
        }
    }

    /// Nothing is left of the tree.
    pub(super) fn tree_ended(&mut self) {
        if let Self::Leaderless { end, .. } = self {
            *self = Self::Draining { end: *end };
        }
    }

    /// All output is read.
    fn finish(&mut self, exit: &Exit) {
        if matches!(self, Self::Draining { .. }) {
            *self = Self::Over { exit: exit.clone(), acknowledged: false };
        }
    }

    /// The exit is recorded.
    pub(super) fn acknowledge(&mut self) {
        if let Self::Over { acknowledged, .. } = self {
            *acknowledged = true;
        }
    }

    /// Begins to end the tree, or to end it sooner. Returns false if no tree is left.
    pub(super) fn end_tree(&mut self, now: u64, grace_ms: u64) -> bool {
        let Some(tree) = self.tree_mut() else { return false };
        match tree {
            TreeAction::End(kill) => kill.hurry(now, grace_ms),
            tree => *tree = TreeAction::End(Kill::begin(now, grace_ms)),
        }
        true
    }

    /// The tree is frozen; some of it is still to be stopped at the time `next`. A tree that is being ended must be able
    /// to end.
    pub(super) fn freeze(&mut self, next: Option<u64>) {
        if let Some(tree) = self.tree_mut().filter(|tree| !matches!(tree, TreeAction::End(_))) {
            *tree = TreeAction::Freeze { next: next.unwrap_or(ALL_STOPPED) };
        }
    }

    /// The tree goes on.
    pub(super) fn thaw(&mut self) {
        if let Some(tree) = self.tree_mut().filter(|tree| matches!(tree, TreeAction::Freeze { .. })) {
            *tree = TreeAction::None;
        }
    }

    /// Whether the end is to be noted now: once when the leader ended, and once more when all output is read.
    pub(super) fn take_note_due(&mut self) -> bool {
        match self {
            Self::Running { .. } => false,
            Self::Leaderless { end, .. } | Self::Draining { end } => !std::mem::replace(&mut end.noted, true),
            Self::Over { .. } => true,
        }
    }

    fn tree(&self) -> Option<&TreeAction> {
        match self {
            Self::Running { tree, .. } | Self::Leaderless { tree, .. } => Some(tree),
            Self::Draining { .. } | Self::Over { .. } => None,
        }
    }

    fn tree_mut(&mut self) -> Option<&mut TreeAction> {
        match self {
            Self::Running { tree, .. } | Self::Leaderless { tree, .. } => Some(tree),
            Self::Draining { .. } | Self::Over { .. } => None,
        }
    }

    /// That its tree is being ended.
    pub(super) fn kill(&self) -> Option<&Kill> {
        if let Some(TreeAction::End(kill)) = self.tree() { Some(kill) } else { None }
    }

    pub(super) fn kill_mut(&mut self) -> Option<&mut Kill> {
        if let Some(TreeAction::End(kill)) = self.tree_mut() { Some(kill) } else { None }
    }

    /// Its tree is frozen, and is not being ended.
    pub(super) fn is_frozen(&self) -> bool {
        matches!(self.tree(), Some(TreeAction::Freeze { .. }))
    }

    /// When a tree that is being stopped is looked at again.
    pub(super) fn freeze_next(&self) -> Option<u64> {
        match self.tree() {
            Some(TreeAction::Freeze { next }) if *next != ALL_STOPPED => Some(*next),
            _ => None,
        }
    }

    pub(super) fn leader_lives(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// It has, or may have, processes.
    pub(super) fn has_tree(&self) -> bool {
        self.tree().is_some()
    }

    fn is_output_read(&self) -> bool {
        match self {
            Self::Running { .. } => false,
            Self::Leaderless { end, .. } | Self::Draining { end } => end.output_read,
            Self::Over { .. } => true,
        }
    }
}

impl Session {
    /// Its exit is not known yet.
    pub(super) fn lives(&self) -> bool {
        !matches!(self.life, Life::Over { .. })
    }

    pub(super) fn exit(&self) -> Option<&Exit> {
        if let Life::Over { exit, .. } = &self.life { Some(exit) } else { None }
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        matches!(self.life, Life::Over { acknowledged: true, .. })
    }

    /// It is not at its end in this turn: its leader lives, or what it left behind is being ended.
    pub(super) fn stays_open(&self) -> bool {
        self.life.leader_lives() || self.life.kill().is_some()
    }

    /// Its leader is there, as a process or as one to be waited for: its pid is no other's.
    pub(super) fn leader(&self) -> Option<Pid> {
        if self.life.leader_lives() { Pid::from_raw(self.pid.cast_signed()) } else { None }
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
            exit: self.exit().cloned(),
        }
    }

    /// How the session ended, as far as that is known when its leader has ended.
    pub(super) fn ending(&self) -> Option<Exit> {
        let end = match &self.life {
            Life::Running { .. } => return None,
            Life::Leaderless { end, .. } | Life::Draining { end } => end,
            Life::Over { exit, .. } => return Some(exit.clone()),
        };
        let by = end.stop.map(|stop| stop.by);
        let is_limit = |stop: &Stop| matches!(stop.by, EndedBy::Timeout | EndedBy::Idle);
        let kill_asked = end.stop.is_some_and(|stop| stop.kill_asked);
        let shut_down = matches!(by, Some(EndedBy::Shutdown | EndedBy::Lease)) && !kill_asked;
        Some(Exit {
            status: end.status,
            started_ms: self.started_ms,
            ended_ms: end.at_ms,
            timed_out: by == Some(EndedBy::Timeout),
            idle: by == Some(EndedBy::Idle),
            limit_ms: end.stop.filter(is_limit).map(|stop| stop.at_ms),
            killed: kill_asked || shut_down,
            shut_down,
            output_bytes: self.log.total(),
            cut_bytes: self.log.cut(),
            lost_output: self.log.lost(),
        })
    }

    /// Its tree is gone and its output read. Returns its exit, and the descriptors that were open.
    pub(super) fn finish(&mut self) -> Option<(Exit, Descriptors)> {
        if !matches!(self.life, Life::Draining { .. }) {
            return None;
        }
        self.log.finish();
        let exit = self.ending()?;
        self.life.finish(&exit);
        self.inputs.discard();
        self.seen = Vec::new();
        Some((exit, std::mem::replace(&mut self.descriptors, Descriptors::Closed)))
    }

    /// All output that its leader wrote was read.
    pub(super) fn is_output_read(&self) -> bool {
        self.life.is_output_read()
    }

    /// The note of its end. `None`: its leader lives, or ended because the host shuts down, which loses the
    /// session.
    pub(super) fn note(&self) -> Option<Note> {
        let exit = self.ending().filter(|exit| !exit.shut_down)?;
        let known = Known { exit: Some(exit), ..self.known() };
        Some(Note { known, log: self.log.path().to_owned(), unread: !self.is_output_read() })
    }

    /// The last byte in either direction.
    pub(super) fn bytes_at(&self) -> u64 {
        self.last_output.max(self.last_input)
    }

    /// When it wants to be looked at.
    pub(super) fn next_wake(&self) -> Option<u64> {
        if !self.life.has_tree() {
            return None;
        }
        let deadline = self.deadline.map(|deadline| deadline.at_ms);
        // A session that is being ended needs no second reason, but the end of its lease is the end of its grace.
        if let Some(kill) = self.life.kill() {
            return Some(deadline.map_or(kill.next, |at_ms| at_ms.min(kill.next)));
        }
        let patience = self.patience.as_ref();
        let patience = patience.and_then(|patience| patience.wake(self.bytes_at(), self.timeout_at));
        [self.timeout_at, deadline, patience, self.life.freeze_next()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: ExitStatus = ExitStatus::Code(0);

    fn stopped(life: &Life) -> Option<Stop> {
        match life {
            Life::Running { stop, .. } => *stop,
            Life::Leaderless { end, .. } | Life::Draining { end } => end.stop,
            Life::Over { .. } => None,
        }
    }

    fn exit() -> Exit {
        Exit::with_code(0)
    }

    #[test]
    fn a_life_passes_through_its_states_in_order_and_skips_none() {
        let mut life = Life::begin();
        life.tree_ended();
        life.finish(&exit());
        life.acknowledge();
        assert!(life.leader_lives(), "nothing of this can happen while the leader lives");
        life.leader_ended(STATUS, 5);
        life.finish(&exit());
        assert!(matches!(life, Life::Leaderless { .. }), "its tree must end first");
        life.leader_ended(ExitStatus::Code(1), 6);
        life.tree_ended();
        assert!(matches!(life, Life::Draining { end } if end.status == STATUS && end.at_ms == 5));
        assert!(!life.end_tree(7, 0) && life.kill().is_none(), "no tree is left");
        life.acknowledge();
        life.finish(&exit());
        assert!(
            matches!(life, Life::Over { acknowledged: false, .. }),
            "an exit is recorded once it is known"
        );
        life.acknowledge();
        assert!(matches!(life, Life::Over { acknowledged: true, .. }));
    }

    #[test]
    fn the_first_reason_counts_and_none_after_the_leader_ended() {
        let mut life = Life::begin();
        life.stop(EndedBy::Timeout, 3);
        life.stop(EndedBy::Kill, 4);
        let first = Stop { by: EndedBy::Timeout, at_ms: 3, kill_asked: true };
        assert_eq!(stopped(&life), Some(first));
        life.leader_ended(STATUS, 5);
        assert_eq!(stopped(&life), Some(first));
        let mut itself = Life::begin();
        itself.leader_ended(STATUS, 5);
        itself.stop(EndedBy::Kill, 6);
        assert_eq!(stopped(&itself), None);
    }

    #[test]
    fn a_tree_that_is_being_ended_is_not_frozen_and_goes_on_ending_without_its_leader() {
        let mut life = Life::begin();
        life.freeze(Some(10));
        assert_eq!(life.freeze_next(), Some(10));
        assert!(life.end_tree(20, 100));
        assert_eq!(life.freeze_next(), None);
        life.freeze(Some(30));
        assert_eq!((life.freeze_next(), life.kill().is_some()), (None, true));
        life.leader_ended(STATUS, 40);
        assert!(life.kill().is_some() && life.has_tree());
        life.tree_ended();
        assert!(life.kill().is_none() && !life.has_tree());
    }

    #[test]
    fn a_tree_is_frozen_from_the_first_stop_until_it_goes_on_or_is_ended() {
        let mut life = Life::begin();
        life.thaw();
        assert!(!life.is_frozen());
        life.freeze(Some(10));
        assert_eq!((life.is_frozen(), life.freeze_next()), (true, Some(10)));
        life.freeze(None);
        assert_eq!((life.is_frozen(), life.freeze_next()), (true, None));
        life.thaw();
        assert!(!life.is_frozen());
        life.freeze(None);
        life.leader_ended(STATUS, 20);
        assert!(life.is_frozen(), "what it left behind is stopped");
        assert!(life.end_tree(30, 0) && !life.is_frozen());
        life.thaw();
        assert!(life.kill().is_some());
    }

    #[test]
    fn an_end_is_noted_once_before_its_output_is_read_and_once_after() {
        let mut life = Life::begin();
        assert!(!life.take_note_due());
        life.leader_ended(STATUS, 5);
        assert!(life.take_note_due() && !life.take_note_due());
        assert!(!life.is_output_read());
        life.output_was_read();
        life.tree_ended();
        assert!(!life.take_note_due() && life.is_output_read());
        life.finish(&exit());
        assert!(life.take_note_due());
    }
}
