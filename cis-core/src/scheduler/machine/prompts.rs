//! Sessions that wait for a human, what the file wants then, and results that sessions hand in themselves.

use super::{Machine, Turn, attempt_id};
use crate::dag::{Action, BlockedAction, OnBlocked};
use crate::event::{EndReason, EventBody, PromptKind, PromptRecord, TaskChange, TaskState};
use crate::ids::{AttemptId, InboxId, RunId, TimestampMs};
use crate::scheduler::begin;
use crate::scheduler::input::{Effect, Rejected};
use crate::scheduler::live::{Live, Prompt, Stop, shortened};
use crate::scheduler::prompts::PromptDue;
use crate::scheduler::state::Run;
use crate::text::duration;

impl Machine {
    pub(super) fn blocked(
        &mut self,
        attempt: &AttemptId,
        prompt: Box<PromptRecord>,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let id = attempt.run;
        let index = self.live_index(attempt, None)?;
        let run = self.own(id)?;
        let Some(live) = &run.entry(index).live else { return Ok(()) };
        if prompt.episode <= live.episode {
            let (episode, newest) = (prompt.episode, live.episode);
            let detail = format!("prompt {episode} of attempt {attempt} is known, the newest is {newest}");
            return Err(Rejected::Stale(detail));
        }
        if run.entry(index).state != TaskState::Running {
            return Err(Rejected::Stale(format!("the session of attempt {attempt} has ended")));
        }
        let (session, task) = (live.session, Some(attempt.task.clone()));
        let was_away = live.is_away();
        let mut prompt = prompt;
        // An ask that it stopped waiting for is the same one when it waits for it again.
        let before_ms = live.waited_for(prompt.ask);
        let since_ms = turn.now.saturating_sub(before_ms.unwrap_or(prompt.waited_ms.max(0)));
        prompt.until_ms = run.deadline(index, prompt.kind, since_ms);
        let record = prompt.clone();
        self.emit(id, EventBody::SessionBlocked { session, task, prompt }, turn)?;
        self.take_back(id);
        if was_away && !record.kind.frees_slot() {
            self.take_back_in_group(id, index)?;
        }
        self.at_once(id, index, record, before_ms.is_some(), turn)?;
        self.finish(id, [], turn)
    }

    /// What the file wants as soon as a session waits. `again`: it waited for the same before.
    fn at_once(
        &mut self,
        id: RunId,
        index: u32,
        record: Box<PromptRecord>,
        again: bool,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let run = self.known(id)?;
        let Some((live, prompt, rule)) = waiting(run, index) else { return Ok(()) };
        let (words, kind) = (prompt.words(), prompt.kind);
        match rule.action {
            BlockedAction::Ask => Ok(()),
            BlockedAction::Run(_) if again => Ok(()),
            BlockedAction::Skip => {
                let detail = format!("it waited for a human ({words}), and on_blocked = \"skip\"");
                self.stop(id, index, EndReason::skipped(detail), turn)
            }
            BlockedAction::Fail => {
                let detail = format!("waited for a human ({words}), and on_blocked = \"fail\"");
                self.stop(id, index, EndReason::Blocked { prompt: kind, detail }, turn)
            }
            BlockedAction::Run(_) => {
                let (attempt, session) = (attempt_id(run, index, live.attempt), live.session);
                self.effects.push(Effect::RunCommand { attempt, session, prompt: record });
                Ok(())
            }
        }
    }

    pub(super) fn unblocked(
        &mut self,
        attempt: &AttemptId,
        episode: u32,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let index = self.live_index(attempt, None)?;
        let Some(live) = &self.own(attempt.run)?.entry(index).live else { return Ok(()) };
        if live.blocked.is_none() || live.episode != episode {
            return Err(Rejected::Stale(format!("attempt {attempt} does not wait at prompt {episode}")));
        }
        let (session, task) = (live.session, Some(attempt.task.clone()));
        self.emit(attempt.run, EventBody::SessionRecovered { session, task, episode }, turn)?;
        self.touch(attempt.run);
        self.take_back_in_group(attempt.run, index)
    }

    /// A session takes its place again: its group may be above its limit now.
    fn take_back_in_group(&mut self, id: RunId, index: u32) -> Result<(), Rejected> {
        self.touch(id);
        let run = self.known(id)?;
        if let Some(name) = &run.spec(index).group {
            let key = self.groups.key_of(run, name);
            self.take_back_above(&key);
        }
        Ok(())
    }

    /// What is due of the prompts of a run.
    pub(super) fn prompts_due(&mut self, id: RunId, turn: &Turn) -> Result<(), Rejected> {
        // Each does away with what was due: it is told, given, or the session is being stopped.
        while let Some((_, index)) = self.first_prompt(id, turn.now) {
            let run = self.known(id)?;
            let due = run.prompt_due(index).filter(|(at_ms, _)| *at_ms <= turn.now);
            let Some((_, due)) = due else {
                // Nothing is due of it any more, or later: what stays noted as due would be looked at for ever.
                if let Some(slot) = self.runs.get_mut(&id) {
                    slot.run.arm(index);
                }
                continue;
            };
            match due {
                PromptDue::Tell => self.escalate(id, index, turn)?,
                PromptDue::Answer => self.give_default(id, index, turn)?,
                PromptDue::Fail => {
                    let detail = run.overdue(index, turn.now);
                    self.fail_blocked(id, index, detail, turn)?;
                }
            }
        }
        Ok(())
    }

    fn first_prompt(&self, id: RunId, now: TimestampMs) -> Option<(TimestampMs, u32)> {
        self.run(&id)?.index.prompts.first().copied().filter(|(at_ms, _)| *at_ms <= now)
    }

    fn escalate(&mut self, id: RunId, index: u32, turn: &Turn) -> Result<(), Rejected> {
        let run = self.known(id)?;
        let Some((live, prompt, rule)) = waiting(run, index) else { return Ok(()) };
        let notify = rule.notify.iter().map(|text| begin::words(run, index, text, "on_blocked.notify"));
        // Whoever cannot be named is left out: that people are told matters more.
        let notify = notify.filter_map(Result::ok).collect();
        let (session, item) = (live.session, prompt.item.clone());
        let attempt = attempt_id(run, index, live.attempt);
        let after_ms = u64::try_from(prompt.waited_ms(turn.now)).unwrap_or(0);
        let task = Some(attempt.task.clone());
        let withheld = run.withheld_default(index, prompt.kind);
        let body = EventBody::SessionEscalated { session, task, item: item.clone(), after_ms, withheld };
        self.emit(id, body, turn)?;
        self.effects.push(Effect::Escalate { attempt, session, item, notify });
        Ok(())
    }

    fn give_default(&mut self, id: RunId, index: u32, turn: &Turn) -> Result<(), Rejected> {
        let run = self.known(id)?;
        let Some((live, prompt, rule)) = waiting(run, index) else { return Ok(()) };
        let text = rule.default.as_deref().unwrap_or_default();
        match begin::words(run, index, text, "on_blocked.default") {
            Ok(answer) => {
                let (session, item) = (live.session, prompt.item.clone());
                let attempt = attempt_id(run, index, live.attempt);
                self.effects.push(Effect::Answer { attempt, session, item, answer });
                if let Some(slot) = self.runs.get_mut(&id) {
                    slot.run.default_given(index, turn.now);
                }
                Ok(())
            }
            Err(error) => {
                let detail = format!("nobody answered it in time, and its default cannot be made: {error}");
                self.fail_blocked(id, index, detail, turn)
            }
        }
    }

    pub(super) fn default_refused(
        &mut self,
        attempt: &AttemptId,
        item: &InboxId,
        detail: &str,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let index = self.live_index(attempt, None)?;
        let run = self.own(attempt.run)?;
        let there = waiting(run, index).is_some_and(|(_, prompt, _)| prompt.item == *item);
        if !there || !run.index.defaults.contains_key(&index) {
            return Err(Rejected::Stale(format!("attempt {attempt} is not answered {item} by its file")));
        }
        let detail =
            format!("nobody answered it in time, and its default was refused: {}", shortened(detail));
        self.fail_blocked(attempt.run, index, detail, turn)
    }

    fn fail_blocked(&mut self, id: RunId, index: u32, detail: String, turn: &Turn) -> Result<(), Rejected> {
        let prompt =
            waiting(self.known(id)?, index).map_or(PromptKind::Unknown, |(_, prompt, _)| prompt.kind);
        self.stop(id, index, EndReason::Blocked { prompt, detail }, turn)
    }

    /// Stops the attempt under way of a task. The intent is durable before the signal.
    fn stop(&mut self, id: RunId, index: u32, reason: EndReason, turn: &Turn) -> Result<(), Rejected> {
        let run = self.known(id)?;
        let (spec, entry) = (run.spec(index), run.entry(index));
        let Some(live) = entry.live.as_ref().filter(|live| live.stopping.is_none()) else { return Ok(()) };
        let (attempt, fence) = (attempt_id(run, index, live.attempt), live.fence);
        let effect = Effect::Cancel { attempt, fence, grace_ms: spec.grace_ms, keep: false };
        let change =
            TaskChange { task: spec.id.clone(), state: entry.state, end: Some(reason), queued: None };
        self.emit(id, EventBody::TaskStatus { changes: vec![change] }, turn)?;
        self.effects.push(effect);
        self.touch(id);
        Ok(())
    }

    pub(super) fn hand_in(
        &mut self,
        attempt: &AttemptId,
        text: Option<String>,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let index = self.live_index(attempt, None)?;
        let run = self.own(attempt.run)?;
        let (spec, entry) = (run.spec(index), run.entry(index));
        let Some(live) = &entry.live else { return Ok(()) };
        match &live.stopping {
            None if entry.state == TaskState::Running => {}
            None => {
                return Err(Rejected::State(format!("the session of attempt {attempt} has ended already")));
            }
            Some(Stop::HandedIn { .. }) => {
                return Err(Rejected::State(format!("attempt {attempt} has handed in its result already")));
            }
            Some(Stop::For(reason)) => {
                return Err(Rejected::State(format!("attempt {attempt} is being stopped: {reason}")));
            }
        }
        let (session, task) = (live.session, attempt.task.clone());
        let (attempt, fence, grace_ms) = (attempt.clone(), live.fence, spec.grace_ms);
        let id = attempt.run;
        self.emit(id, EventBody::TaskHandedIn { task, session, text }, turn)?;
        self.effects.push(Effect::Cancel { attempt, fence, grace_ms, keep: true });
        self.touch(id);
        Ok(())
    }

    pub(super) fn logged_out(
        &mut self,
        attempt: &AttemptId,
        account: String,
        retryable: bool,
        detail: &str,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let index = self.live_index(attempt, None)?;
        let live = self.own(attempt.run)?.entry(index).live.as_ref();
        if live.is_none_or(|live| live.stopping.is_some()) {
            return Err(Rejected::Stale(format!("attempt {attempt} is being stopped already")));
        }
        let detail = shortened(detail);
        // Other nodes have logins of their own.
        let node = live.map(|live| live.node.clone()).filter(|node| *node != self.node);
        match (node, &self.own(attempt.run)?.spec(index).action) {
            (None, _) => self.accounts.failed(&account, turn.now),
            (Some(node), Action::Agent { agent, .. }) => {
                self.nodes.remove_agent(&node, &agent.clone());
                if !retryable {
                    // Another node may be logged in.
                    self.nodes.refuse(attempt.run, &attempt.task, node, detail.clone());
                }
            }
            (Some(node), _) => {
                let detail = format!("{node} tells of a login, and attempt {attempt} has no agent");
                return Err(Rejected::State(detail));
            }
        }
        self.stop(attempt.run, index, EndReason::LoggedOut { account, retryable, detail }, turn)
    }
}

/// The prompt that a task waits at, where its file says something of such.
fn waiting(run: &Run, index: u32) -> Option<(&Live, &Prompt, &OnBlocked)> {
    let live = run.entry(index).live.as_deref()?;
    let prompt = live.blocked.as_ref()?;
    let rule = run.spec(index).on_blocked.as_deref().filter(|rule| rule.speaks_of(prompt.kind))?;
    Some((live, prompt, rule))
}

impl Run {
    /// Why a prompt fails its attempt at `now`.
    fn overdue(&self, index: u32, now: TimestampMs) -> String {
        let Some((_, prompt, rule)) = waiting(self, index) else { return String::new() };
        let within = duration(rule.deadline_ms.unwrap_or_default());
        let words = prompt.words();
        if self.index.defaults.contains_key(&index) {
            let waited = duration(u64::try_from(prompt.waited_ms(now)).unwrap_or(0));
            return format!(
                "nobody answered within {within}, and the default did not help: it still waits after {waited} ({words})"
            );
        }
        if prompt.kind == PromptKind::Password && rule.default.is_some() {
            return format!("nobody typed its password within {within}: no default does that");
        }
        format!("nobody answered within {within} ({words})")
    }
}
