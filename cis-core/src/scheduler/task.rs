//! What is known of one task of a run. Plain data: [`super::Run`] hands out references only.

use std::collections::BTreeMap;

use crate::event::{AttemptOutcome, EndReason, ExitStatus, OutputRecord, QueueReason, TaskState};
use crate::ids::{Fence, HostInstance, NodeDid, SessionId, TimestampMs};

/// A task's state in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskEntry {
    /// Where it is.
    pub state: TaskState,
    /// Since when, Unix ms.
    pub since_ms: TimestampMs,
    /// How its needs stand.
    pub needs: Tally,
    /// Number of its newest attempt; 0: none yet. Goes on across `dag retry`.
    pub attempts: u32,
    /// Tries that counted against `retries` since the start or the last `dag retry`.
    pub failures: u32,
    /// Tries whose session was lost, since then.
    pub lost: u32,
    /// Grants that the worker refused for want of resources, since the last session that started.
    pub refusals: u32,
    /// Tasks that were added below it.
    pub children: u32,
    /// Of its newest grant; 0: none yet.
    pub fence: Fence,
    /// Why it waits, while it is queued.
    pub queued: Option<QueueReason>,
    /// Why it ended, where its state does not say that alone.
    pub end: Option<EndReason>,
    /// The attempt that is under way.
    pub live: Option<Box<Live>>,
    /// The newest attempt that ended.
    pub last: Option<Box<Ended>>,
    /// Outputs of the attempt with which it ended well.
    pub outputs: BTreeMap<String, OutputRecord>,
}

impl TaskEntry {
    pub(super) fn new(needs: Tally, at_ms: TimestampMs) -> Self {
        Self {
            state: TaskState::Pending,
            since_ms: at_ms,
            needs,
            attempts: 0,
            failures: 0,
            lost: 0,
            refusals: 0,
            children: 0,
            fence: 0,
            queued: None,
            end: None,
            live: None,
            last: None,
            outputs: BTreeMap::new(),
        }
    }

    /// Not before then, while it is queued and waits for a time.
    #[must_use]
    pub fn not_before_ms(&self) -> Option<TimestampMs> {
        match self.queued {
            Some(QueueReason::RetryAt { at_ms, .. } | QueueReason::Resources { at_ms, .. }) => Some(at_ms),
            _ => None,
        }
    }
}

/// How the needs of a task stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Not ended.
    pub open: u32,
    /// Ended otherwise than as a success.
    pub unsuccessful: u32,
    /// Of those: failed or in error.
    pub failed: u32,
}

impl Tally {
    /// A need was in `from` and is in `to`.
    pub(super) fn moved(&mut self, from: TaskState, to: TaskState) {
        let weigh = |state: TaskState| {
            let bad = state.is_terminal() && !state.counts_as_success();
            let failed = matches!(state, TaskState::Failed | TaskState::Error);
            (u32::from(!state.is_terminal()), u32::from(bad), u32::from(failed))
        };
        let (old, new) = (weigh(from), weigh(to));
        self.open = self.open + new.0 - old.0;
        self.unsuccessful = self.unsuccessful + new.1 - old.1;
        self.failed = self.failed + new.2 - old.2;
    }

    /// One more need, which is in `state`.
    pub(super) fn add(&mut self, state: TaskState) {
        self.open += 1;
        self.moved(TaskState::Pending, state);
    }
}

/// An attempt under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// Which try.
    pub attempt: u32,
    /// Of its grant.
    pub fence: Fence,
    /// Its session.
    pub session: SessionId,
    /// Who works on it.
    pub node: NodeDid,
    /// The session host that has it.
    pub host: Option<HostInstance>,
    /// When it was granted, Unix ms.
    pub granted_ms: TimestampMs,
    /// When its process was reported.
    pub started_ms: Option<TimestampMs>,
    /// Of that process.
    pub pid: Option<u32>,
    /// The prompt that it waits at.
    pub blocked: Option<Prompt>,
    /// Newest prompt of it, from 1.
    pub episode: u32,
    /// It is being stopped, for this reason.
    pub stopping: Option<EndReason>,
}

/// A prompt that a session waits at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Its kind, one word.
    pub kind: String,
    /// Since when, Unix ms.
    pub since_ms: TimestampMs,
}

/// An attempt that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Which try.
    pub attempt: u32,
    /// Of its grant.
    pub fence: Fence,
    /// Its session.
    pub session: SessionId,
    /// How.
    pub outcome: AttemptOutcome,
    /// How its process ended, where there was one.
    pub exit: Option<ExitStatus>,
    /// When it was granted, Unix ms.
    pub granted_ms: TimestampMs,
    /// When its process started.
    pub started_ms: Option<TimestampMs>,
    /// When it ended.
    pub ended_ms: TimestampMs,
    /// Bytes that its terminal or pipe carried.
    pub log_bytes: u64,
}
