//! Sessions that wait, and why they are stopped: what the file says, worked out again.

use cis_core::dag::{BlockedAction, OnBlocked, Task};
use cis_core::event::{EndReason, PromptKind, PromptRecord, TaskState};
use cis_core::ids::{InboxId, SessionId, TaskId, TimestampMs};

use super::{Check, RefRun, ensure};

/// After its default a prompt may stay for so long, ms.
const HOLD_MS: i64 = 30_000;

#[derive(Debug)]
pub(super) struct RefLive {
    pub(super) session: SessionId,
    pub(super) prompt: Option<RefPrompt>,
    pub(super) stop: Option<RefStop>,
}

#[derive(Debug)]
pub(super) struct RefPrompt {
    item: InboxId,
    kind: PromptKind,
    since_ms: TimestampMs,
    escalated: bool,
    /// The file's answer was given, in this life of the node.
    pub(super) given_ms: Option<TimestampMs>,
    refused: bool,
}

/// Why a session is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefStop {
    /// A human, or the end of the run.
    Wanted,
    Skip,
    Fail(PromptKind),
    LoggedOut {
        retryable: bool,
    },
    HandedIn,
}

impl RefLive {
    pub(super) fn new(session: SessionId) -> Self {
        Self { session, prompt: None, stop: None }
    }

    /// It waits for a human, and has left its slot.
    pub(super) fn is_away(&self) -> bool {
        let works = [PromptKind::Stalled, PromptKind::RateLimit];
        self.prompt.as_ref().is_some_and(|prompt| !works.contains(&prompt.kind))
    }

    /// People come before the file, and what was handed in stays so.
    pub(super) fn wanted(&mut self) {
        if self.stop != Some(RefStop::HandedIn) {
            self.stop = Some(RefStop::Wanted);
        }
    }

    pub(super) fn blocked(&mut self, record: &PromptRecord, now: TimestampMs) {
        self.prompt = Some(RefPrompt {
            item: record.item.clone(),
            kind: record.kind,
            since_ms: now,
            escalated: false,
            given_ms: None,
            refused: false,
        });
    }

    /// The prompt that its file speaks of, while nothing stops it.
    fn waits<'a>(&'a self, spec: &'a Task) -> Option<(&'a RefPrompt, &'a OnBlocked)> {
        let prompt = self.prompt.as_ref().filter(|_| self.stop.is_none())?;
        let rule = spec.on_blocked.as_ref()?;
        let meant = if rule.kinds.is_empty() { self.is_away() } else { rule.kinds.contains(&prompt.kind) };
        meant.then_some((prompt, rule))
    }

    pub(super) fn escalates(&mut self, spec: &Task, item: &InboxId, now: TimestampMs) -> Check {
        let (prompt, rule) = self.waits(spec).ok_or("told of, but it does not wait")?;
        let after = rule
            .escalate_after_ms
            .or((!rule.notify.is_empty()).then_some(0))
            .ok_or("nobody is to be told")?;
        let due = now - prompt.since_ms >= i64::try_from(after).unwrap();
        ensure(due && !prompt.escalated && prompt.item == *item, || {
            format!("told too early or twice: {prompt:?}")
        })?;
        self.prompt.as_mut().unwrap().escalated = true;
        Ok(())
    }

    /// The file's answer is given.
    pub(super) fn given(&mut self, spec: &Task, item: &InboxId, now: TimestampMs) -> Check {
        let (prompt, rule) = self.waits(spec).ok_or("answered, but it does not wait")?;
        let due = rule.deadline_ms.is_some_and(|ms| now - prompt.since_ms >= i64::try_from(ms).unwrap());
        let once = prompt.given_ms.is_none() && prompt.item == *item;
        ensure(due && once && rule.default.is_some(), || format!("answered too early or twice: {prompt:?}"))?;
        ensure(prompt.kind != PromptKind::Password, || "a password is typed for somebody".to_owned())?;
        self.prompt.as_mut().unwrap().given_ms = Some(now);
        Ok(())
    }

    pub(super) fn refused(&mut self, item: &InboxId) {
        if let Some(prompt) = self.prompt.as_mut().filter(|prompt| prompt.item == *item) {
            prompt.refused |= prompt.given_ms.is_some();
        }
    }

    /// Whether its time is over at `now`.
    fn is_over(prompt: &RefPrompt, rule: &OnBlocked, now: TimestampMs) -> bool {
        let Some(limit_ms) = rule.deadline_ms else { return false };
        let late = now - prompt.since_ms >= i64::try_from(limit_ms).unwrap();
        let typed = rule.default.is_some() && prompt.kind != PromptKind::Password;
        late && (!typed || prompt.refused || prompt.given_ms.is_some_and(|at_ms| now - at_ms >= HOLD_MS))
    }

    /// It is being stopped for this reason, which must hold.
    pub(super) fn stopped(&mut self, spec: &Task, reason: &EndReason, now: TimestampMs) -> Check {
        let waits = self.waits(spec);
        let action = waits.map(|(_, rule)| &rule.action);
        let stop = match reason {
            EndReason::Killed => {
                self.wanted();
                return ensure(self.stop == Some(RefStop::Wanted), || "killed, but handed in".to_owned());
            }
            EndReason::Skipped { .. } if action == Some(&BlockedAction::Skip) => RefStop::Skip,
            EndReason::Blocked { prompt: kind, .. } => {
                let (prompt, rule) = waits.ok_or("failed, but it does not wait")?;
                let right = rule.action == BlockedAction::Fail || Self::is_over(prompt, rule, now);
                ensure(right && *kind == prompt.kind, || format!("failed too early: {prompt:?} {rule:?}"))?;
                RefStop::Fail(*kind)
            }
            EndReason::LoggedOut { retryable, .. } if self.stop.is_none() => {
                RefStop::LoggedOut { retryable: *retryable }
            }
            other => return Err(format!("stopped for {other:?}")),
        };
        self.stop = Some(stop);
        Ok(())
    }

    /// What is due at `now` was done.
    pub(super) fn nothing_due(&self, spec: &Task, now: TimestampMs) -> Check {
        let Some((prompt, rule)) = self.waits(spec) else { return Ok(()) };
        let waited = now - prompt.since_ms;
        let at_once = matches!(rule.action, BlockedAction::Skip | BlockedAction::Fail);
        ensure(!at_once, || format!("waits with {rule:?}"))?;
        let tell = rule.escalate_after_ms.or((!rule.notify.is_empty()).then_some(0));
        let told = tell.is_none_or(|ms| waited < i64::try_from(ms).unwrap() || prompt.escalated);
        ensure(told, || format!("nobody was told of {prompt:?}"))?;
        ensure(!Self::is_over(prompt, rule, now), || format!("waits beyond its time: {prompt:?}"))?;
        let late = rule.deadline_ms.is_some_and(|ms| waited >= i64::try_from(ms).unwrap());
        ensure(!late || prompt.given_ms.is_some(), || format!("nobody gave the default: {prompt:?}"))
    }
}

impl RefRun {
    pub(super) fn hands_in(&mut self, id: &TaskId, session: SessionId) -> Check {
        let task = self.task_mut(id)?;
        let state = task.state;
        let live = task.live.as_mut().filter(|live| live.session == session && live.stop.is_none());
        let live = live.ok_or_else(|| format!("{id} hands in, and is not at work"))?;
        ensure(state == TaskState::Running, || format!("{id} hands in, and is {state}"))?;
        live.stop = Some(RefStop::HandedIn);
        Ok(())
    }

    /// Nobody knows any more whether the file's answers were given.
    pub(super) fn forgets_answers(&mut self) {
        for prompt in self.tasks.iter_mut().filter_map(|task| task.live.as_mut()?.prompt.as_mut()) {
            (prompt.given_ms, prompt.refused) = (None, false);
        }
    }
}
