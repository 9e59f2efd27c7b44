//! What is known of one task of a run. Plain data: [`super::Run`] hands out references only.

use std::collections::BTreeMap;

use super::live::Live;
use crate::event::{
    ArtifactRecord, AttemptOutcome, EndReason, ExitStatus, LostOutput, OutputRecord, QueueReason, TaskState,
};
use crate::event::{Uploaded, UploadedLog};
use crate::ids::{Epoch, Fence, SessionId, TimestampMs};

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
    /// Where its time went since it was last free to start.
    pub spent: Spent,
    /// What few tasks have.
    pub(super) more: Option<Box<More>>,
}

/// Where the time of a task went, ms. It begins when its needs are done; what is not over yet is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// When its needs were done, Unix ms.
    pub ready_ms: TimestampMs,
    /// Waited for a slot, a group, the next try, or a run that was paused.
    pub queue_ms: i64,
    /// An attempt was under way and did not wait for a human; what only spins, or waits for its provider, too.
    pub machine_ms: i64,
    /// A human was waited for: approval, prompts.
    pub human_ms: i64,
}

impl Spent {
    /// So long, ms, it was granted and waited at the host for its turn.
    pub(super) fn queued_not_run(&mut self, waited_ms: i64) {
        self.queue_ms += waited_ms;
        self.machine_ms -= waited_ms;
    }
}

/// What few tasks have.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct More {
    /// Who approved it.
    pub(super) approved_by: Option<String>,
    /// Files of the attempt with which it ended well.
    pub(super) artifacts: Vec<ArtifactRecord>,
    /// Their list, where they were uploaded for other nodes.
    pub(super) files: Option<Uploaded>,
    /// Its items, where it has `foreach` and had its turn once.
    pub(super) expansion: Option<Expansion>,
    /// Tries in a row that ended because its program was not logged in, and do not count.
    pub(super) logins: u32,
}

impl More {
    /// `dag retry` voids what came of its last life. The names of its items stay taken.
    pub(super) fn begin_anew(&mut self) {
        self.approved_by = None;
        self.artifacts.clear();
        self.files = None;
        self.logins = 0;
        if let Some(expansion) = &mut self.expansion {
            (expansion.count, expansion.stand) = (0, Stand::default());
        }
    }
}

/// The items of a task with `foreach`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Expansion {
    /// Indexes of `ID.1`, `ID.2` …: those of an earlier, longer list too.
    pub(super) items: Vec<u32>,
    /// So many of them are of the present list; 0: it has not had its turn since the last `dag retry`.
    pub(super) count: u32,
    /// Since when, Unix ms.
    pub(super) at_ms: TimestampMs,
    /// How those stand.
    pub(super) stand: Stand,
}

/// How the items of a list stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) open: u32,
    pub(super) failed: u32,
    pub(super) error: u32,
    pub(super) cancelled: u32,
}

impl Stand {
    /// An item was in `from` and is in `to`.
    pub(super) fn moved(&mut self, from: TaskState, to: TaskState) {
        self.count(from, false);
        self.count(to, true);
    }

    /// One more item.
    pub(super) fn add(&mut self, state: TaskState) {
        self.count(state, true);
    }

    fn count(&mut self, state: TaskState, more: bool) {
        let place = match state {
            TaskState::Failed => &mut self.failed,
            TaskState::Error => &mut self.error,
            TaskState::Cancelled => &mut self.cancelled,
            TaskState::Succeeded | TaskState::Completed => return,
            _ => &mut self.open,
        };
        *place = if more { *place + 1 } else { *place - 1 };
    }

    /// What the task itself ends as, once none is open.
    pub(super) fn verdict(self) -> TaskState {
        if self.error > 0 {
            TaskState::Error
        } else if self.failed > 0 {
            TaskState::Failed
        } else if self.cancelled > 0 {
            TaskState::Cancelled
        } else {
            TaskState::Succeeded
        }
    }

    /// How many did not end well.
    pub(super) fn bad(self) -> u32 {
        self.failed + self.error + self.cancelled
    }
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
            spent: Spent { ready_ms: at_ms, ..Spent::default() },
            more: None,
        }
    }

    /// Files of the attempt with which it ended well.
    #[must_use]
    pub fn artifacts(&self) -> &[ArtifactRecord] {
        self.more.as_ref().map_or(&[], |more| &more.artifacts)
    }

    /// The list of those files, where they were uploaded for other nodes.
    #[must_use]
    pub fn files(&self) -> Option<&Uploaded> {
        self.more.as_ref()?.files.as_ref()
    }

    /// Who approved it, since it was last free to start.
    #[must_use]
    pub fn approved_by(&self) -> Option<&str> {
        self.more.as_ref()?.approved_by.as_deref()
    }

    /// How many items its present list has, where its items are at work or have ended.
    #[must_use]
    pub fn items(&self) -> Option<u32> {
        self.expansion().map(|expansion| expansion.count).filter(|count| *count > 0)
    }

    /// It waits for a human's approval.
    #[must_use]
    pub fn waits_for_approval(&self) -> bool {
        matches!(self.queued, Some(QueueReason::Approval { .. }))
    }

    /// Its items are at work, or about to be made.
    pub(super) fn waits_for_items(&self) -> bool {
        matches!(self.queued, Some(QueueReason::Items { .. }))
    }

    pub(super) fn expansion(&self) -> Option<&Expansion> {
        self.more.as_ref()?.expansion.as_ref()
    }

    /// What it waits for, while it is queued.
    pub(super) fn waits(&self) -> Waits {
        match &self.queued {
            Some(
                QueueReason::RetryAt { at_ms, .. }
                | QueueReason::Resources { at_ms, .. }
                | QueueReason::Account { until_ms: at_ms, .. },
            ) => Waits::Until(*at_ms),
            Some(QueueReason::Approval { until_ms, .. }) => Waits::Human(*until_ms),
            Some(QueueReason::Items { .. }) => Waits::Items,
            _ => Waits::Turn,
        }
    }

    /// A life of it begins: free to start for the first time, or again after it had ended.
    pub(super) fn begins(&mut self, at_ms: TimestampMs) {
        self.spent = Spent { ready_ms: at_ms, ..Spent::default() };
    }

    /// Its session does not wait any more. What it waited for somebody who is no human was the machine's.
    pub(super) fn answered(&mut self, at_ms: TimestampMs) {
        let Some(prompt) = self.live.as_mut().and_then(|live| live.waits_no_more(at_ms)) else { return };
        if prompt.kind.frees_slot() {
            let waited = at_ms.saturating_sub(prompt.since_ms);
            self.spent.human_ms += waited;
            self.spent.machine_ms -= waited;
        }
    }

    /// Not before then, while it is queued and waits for a time.
    #[must_use]
    pub fn not_before_ms(&self) -> Option<TimestampMs> {
        match self.waits() {
            Waits::Until(at_ms) if self.queued.is_some() => Some(at_ms),
            _ => None,
        }
    }

    /// Tries in a row that ended because its program was not logged in.
    pub(super) fn logins(&self) -> u32 {
        self.more.as_ref().map_or(0, |more| more.logins)
    }
}

/// What a queued task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    Turn,
    Until(TimestampMs),
    /// Approval; it fails then.
    Human(Option<TimestampMs>),
    Items,
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

/// An attempt that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Which try.
    pub attempt: u32,
    /// Of its grant.
    pub fence: Fence,
    /// The term of the coordinator that recorded its end.
    pub recorded_in: Epoch,
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
    /// The part of the output that could not be kept.
    pub lost_output: Option<LostOutput>,
    /// Why its result was not kept in the cache.
    pub not_cached: Option<Box<str>>,
    /// The result that its session handed in, in words: it stands for the task's output.
    pub handed_in: Option<String>,
    /// Where its log is, where it was uploaded for other nodes.
    pub log: Option<Box<UploadedLog>>,
}
