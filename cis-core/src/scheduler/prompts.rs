//! What events say of the session of a task, and what is due for a prompt that it waits at.
//!
//! The times are worked out from the event that began the prompt, so that they survive a restart. Decides
//! nothing beyond them: what is done when one has come is the machine's matter.

use super::apply_error::ApplyError;
use super::begin;
use super::live::Stop;
use super::state::Run;
use crate::dag::template::has_template;
use crate::event::{EndReason, PromptKind, PromptRecord, QueueReason, TaskChange, TaskState};
use crate::ids::{InboxId, SessionId, TaskId, TimestampMs};

/// So long, ms, a prompt may stay after its deadline when the file's answer has been given.
pub(super) const ANSWERED_HOLD_MS: i64 = 30_000;

/// So long, ms, prompts are left alone after a restart of the node.
const CALM_MS: i64 = 5000;

/// What is due for a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PromptDue {
    /// People are told.
    Tell,
    /// The file's answer is given.
    Answer,
    /// It is over.
    Fail,
}

impl Run {
    pub(super) fn session_started(
        &mut self,
        task: &TaskId,
        session: SessionId,
        pid: u32,
        at_ms: TimestampMs,
    ) -> Result<(), ApplyError> {
        let index = self.live_session(task, session)?;
        let entry = &mut self.tasks[index as usize];
        entry.refusals = 0;
        if let Some(live) = &mut entry.live {
            live.pid = Some(pid);
            live.started_ms = Some(at_ms);
        }
        Ok(())
    }

    pub(super) fn session_blocked(
        &mut self,
        task: &TaskId,
        session: SessionId,
        prompt: &PromptRecord,
        at_ms: TimestampMs,
    ) -> Result<(), ApplyError> {
        let index = self.live_session(task, session)?;
        self.unblock(index, at_ms);
        if let Some(live) = &mut self.tasks[index as usize].live {
            live.waits(prompt, at_ms);
        }
        if prompt.kind.frees_slot() {
            self.phase.asked = true;
            self.index.blocked += 1;
            let lane = self.seat(index).lane;
            self.index.load(lane, |load| load.blocked += 1);
        }
        self.arm(index);
        Ok(())
    }

    pub(super) fn session_escalated(
        &mut self,
        task: &TaskId,
        session: SessionId,
        item: &InboxId,
    ) -> Result<(), ApplyError> {
        let index = self.live_session(task, session)?;
        let prompt = self.tasks[index as usize].live.as_mut().and_then(|live| live.blocked.as_mut());
        if let Some(prompt) = prompt.filter(|prompt| prompt.item == *item) {
            prompt.escalated = true;
        }
        self.arm(index);
        Ok(())
    }

    pub(super) fn handed_in(
        &mut self,
        task: &TaskId,
        session: SessionId,
        text: Option<&String>,
        at_ms: TimestampMs,
    ) -> Result<(), ApplyError> {
        let index = self.live_session(task, session)?;
        match &mut self.tasks[index as usize].live {
            Some(live) if live.stopping.is_none() => {
                live.stopping = Some(Stop::HandedIn { text: text.cloned(), at_ms });
            }
            _ => {
                let detail = format!("session {session} is being stopped, it cannot hand in a result");
                return Err(self.attempt_error(task, detail));
            }
        }
        self.arm(index);
        Ok(())
    }

    /// The attempt under way of a task is being stopped.
    pub(super) fn stop(&mut self, index: u32, reason: &EndReason) {
        if let Some(live) = &mut self.tasks[index as usize].live {
            live.stop(reason);
        }
        self.arm(index);
    }

    /// Its session does not wait for a human any more, if it did.
    pub(super) fn unblock(&mut self, index: u32, at_ms: TimestampMs) {
        let lane = self.seat(index).lane;
        let entry = &mut self.tasks[index as usize];
        let Some(live) = entry.live.as_ref().filter(|live| live.blocked.is_some()) else { return };
        if live.is_away() {
            self.index.blocked -= 1;
            self.index.load(lane, |load| load.blocked -= 1);
        }
        self.tasks[index as usize].answered(at_ms);
        self.index.defaults.remove(&index);
        self.arm(index);
    }

    /// Whether a queued task may go on waiting for what `change` says: its account holds it, or does no more.
    pub(super) fn waits_otherwise(&self, index: u32, change: &TaskChange) -> bool {
        let of_account = |reason: &Option<QueueReason>| matches!(reason, Some(QueueReason::Account { .. }));
        let entry = self.entry(index);
        let for_turn = entry.state == TaskState::Queued
            && !entry.waits_for_approval()
            && !entry.waits_for_items()
            && !matches!(change.queued, Some(QueueReason::Approval { .. }));
        for_turn && (of_account(&change.queued) || of_account(&entry.queued))
    }

    /// Until when a prompt of this kind that began at `since_ms` may be answered, where the file says so.
    pub(super) fn deadline(
        &self,
        index: u32,
        kind: PromptKind,
        since_ms: TimestampMs,
    ) -> Option<TimestampMs> {
        let rule = self.spec(index).on_blocked.as_deref().filter(|rule| rule.speaks_of(kind))?;
        if self.withheld_default(index, kind).is_some() {
            return None;
        }
        rule.deadline_ms.map(|ms| since_ms.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// Why the file's answer to a prompt of this kind is not given, if so: it holds a secret, of which events have only `***`.
    pub(super) fn withheld_default(&self, index: u32, kind: PromptKind) -> Option<String> {
        let rule = self.spec(index).on_blocked.as_deref().filter(|rule| rule.speaks_of(kind))?;
        let default = rule.default.as_deref().filter(|_| kind != PromptKind::Password)?;
        let template = begin::secret_in(self, index, default)?;
        Some(format!("its default uses a value that holds a secret ({template})"))
    }

    /// When something is due of the prompt that a task waits at, and what.
    pub(super) fn prompt_due(&self, index: u32) -> Option<(TimestampMs, PromptDue)> {
        let live = self.entry(index).live.as_ref().filter(|live| live.stopping.is_none())?;
        let prompt = live.blocked.as_ref()?;
        let rule = self.spec(index).on_blocked.as_deref().filter(|rule| rule.speaks_of(prompt.kind))?;
        let after = |ms: u64| prompt.counts_from().saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
        let withheld = self.withheld_default(index, prompt.kind).is_some();
        // Nothing but a person helps then, who is told at the deadline at the latest.
        let tell = [rule.tells_after_ms(), rule.deadline_ms.filter(|_| withheld)];
        let tell = tell.into_iter().flatten().min().filter(|_| !prompt.escalated);
        let tell = tell.map(|ms| (after(ms), PromptDue::Tell));
        let given = self.index.defaults.get(&index);
        let end = rule.deadline_ms.filter(|_| !withheld).map(|ms| match (&rule.default, given) {
            // Nobody types a secret but a person at the terminal.
            (Some(_), None) if prompt.kind != PromptKind::Password => (after(ms), PromptDue::Answer),
            (Some(_), Some(at_ms)) => (at_ms.saturating_add(ANSWERED_HOLD_MS), PromptDue::Fail),
            _ => (after(ms), PromptDue::Fail),
        });
        let (at_ms, due) = [tell, end].into_iter().flatten().min_by_key(|(at_ms, _)| *at_ms)?;
        Some((at_ms.max(self.index.calm_until), due))
    }

    /// The file's answer has been asked for.
    pub(super) fn default_given(&mut self, index: u32, now: TimestampMs) {
        self.index.defaults.insert(index, now);
        self.arm(index);
    }

    /// The run comes from the store: what its sessions show now is not known yet.
    pub(super) fn calm(&mut self, now: TimestampMs) {
        self.index.calm_until = now.saturating_add(CALM_MS);
        for index in self.live().collect::<Vec<_>>() {
            self.arm(index);
        }
    }

    /// A task has left outputs. A file's answer that uses one with a secret is not given: of its prompt something else is due then.
    pub(super) fn outputs_came(&mut self) {
        let uses_values = |index: &u32| {
            let rule = self.spec(*index).on_blocked.as_deref();
            rule.and_then(|rule| rule.default.as_deref()).is_some_and(has_template)
        };
        let changed: Vec<u32> = self.index.armed().filter(uses_values).collect();
        changed.into_iter().for_each(|index| self.arm(index));
    }

    /// Notes when something is due of the prompt that a task waits at.
    pub(super) fn arm(&mut self, index: u32) {
        let due = self.prompt_due(index);
        self.index.arm(index, due.map(|(at_ms, _)| at_ms));
    }
}
