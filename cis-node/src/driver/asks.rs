//! What sessions say by themselves: asks, and what they tell.

use std::sync::Arc;

use super::Driver;
use super::inbox::ASKS;
use super::turn::{asked, handed_in, said};
use crate::commands::Reply;
use cis_core::answers::FirstAnswer;
use cis_core::api::{Ask, HandIn, Problem, ProblemKind, Say};
use cis_core::event::{Actor, AskRecord, AskType, EventBody, EventDraft, PromptOption, SaidRecord};
use cis_core::federation::session_news::{NEWS_RESULT_BYTES_MAX, SessionNews};
use cis_core::ids::{InboxId, InputId, RunId, SessionId, TaskId, TimestampMs};
use cis_core::policy::redact::Redactor;
use cis_core::scheduler::{Input, InputKind};
use cis_core::text;
use cis_store::{InboxFilter, KnownItem};

impl Driver {
    /// A session asks people something. Sent twice, it is asked once.
    pub(super) fn ask(
        &mut self,
        session: SessionId,
        ask: Ask,
        actor: Actor,
        reply: Reply<InboxId>,
        now: TimestampMs,
    ) {
        let item = InboxId::of_ask(session, ask.input);
        let answer = match self.made_by(ask.input) {
            Ok(None) if self.is_held_ask(session, &item, ask.input) => {
                if ask.waits {
                    self.still_waiting(session, &item, now);
                }
                Ok(item)
            }
            Ok(None) => self.ask_now(session, &item, ask, actor, now).map(|()| item),
            Ok(Some(made)) if made == asked(session, &item) => {
                if ask.waits {
                    self.still_waiting(session, &item, now);
                }
                Ok(item)
            }
            Ok(Some(_)) => Err(super::requests::taken(ask.input)),
            Err(problem) => Err(problem),
        };
        self.turn.confirm(reply, answer);
    }

    /// Whether a held session asked this before.
    fn is_held_ask(&self, session: SessionId, item: &InboxId, ask: InputId) -> bool {
        let is_open = self.inbox.get(session, item).is_some_and(|open| open.ask == ask);
        self.held_by(session).is_some() && is_open || self.parts.shared.held_asks.get(session, item).is_some()
    }

    fn ask_now(
        &mut self,
        session: SessionId,
        item: &InboxId,
        ask: Ask,
        actor: Actor,
        now: TimestampMs,
    ) -> Result<(), Problem> {
        let (run, task) = self.speaker(session, now)?;
        if !self.inbox.has_room(session) {
            let detail = format!("session {session} has asked too much that nobody has answered yet");
            return Err(Problem::new(ProblemKind::Conflict, detail).hint("wait for an answer first"));
        }
        if self.inbox.has(session, item) {
            let detail =
                format!("what session {session} asks came to the name {item} of something else that it asks");
            return Err(Problem::new(ProblemKind::Conflict, detail).hint("ask again: it gets another name"));
        }
        self.inbox.may_ask(session, now).map_err(|at| asks_too_much(session, at - now))?;
        let redact = |text: &str| self.redactor_of(session).redact(text);
        let record = AskRecord {
            item: item.clone(),
            ask: ask.input,
            ask_type: ask.ask_type,
            text: redact(&ask.text),
            options: options(ask.ask_type, &ask.options)
                .into_iter()
                .map(|mut option| {
                    option.label = redact(&option.label);
                    option
                })
                .collect(),
            urgency: ask.urgency,
            thread: ask.thread.unwrap_or_else(|| item.clone()),
            waits: ask.waits,
        };
        self.inbox.answers.begins(session, item);
        self.inbox.ask(session, record.clone(), now);
        let boxed = Box::new(record.clone());
        if self.held_by(session).is_some() {
            self.forward(session, SessionNews::Asked { ask: boxed }, now);
        } else {
            self.turn.make(ask.input, asked(session, item));
            let body = EventBody::SessionAsked { session, task, ask: boxed };
            self.say_as(run, actor, ask.input, body, now);
        }
        if record.waits {
            self.attention.change(session).asks(record);
        }
        Ok(())
    }

    /// A session tells people something.
    pub(super) fn say(
        &mut self,
        session: SessionId,
        say: Say,
        actor: Actor,
        reply: Reply<()>,
        now: TimestampMs,
    ) {
        let answer = match self.made_by(say.input) {
            Ok(None) => self.say_now(session, say, actor, now),
            Ok(Some(made)) if made == said(session) => Ok(()),
            Ok(Some(_)) => Err(super::requests::taken(say.input)),
            Err(problem) => Err(problem),
        };
        self.turn.confirm(reply, answer);
    }

    fn say_now(
        &mut self,
        session: SessionId,
        say: Say,
        actor: Actor,
        now: TimestampMs,
    ) -> Result<(), Problem> {
        let (run, task) = self.speaker(session, now)?;
        if !self.inbox.may_say(session, now) {
            let detail = format!("session {session} tells too much: this was not recorded");
            return Err(
                Problem::new(ProblemKind::Conflict, detail).hint("tell less, about once a second at most")
            );
        }
        let said_now = SaidRecord {
            kind: say.kind,
            text: self.redactor_of(session).redact(&say.text),
            urgency: say.urgency,
            percent: say.percent,
            thread: say.thread,
        };
        let (input, told) = (say.input, Box::new(said_now));
        if self.held_by(session).is_some() {
            self.forward(session, SessionNews::Said { input, said: told }, now);
            return Ok(());
        }
        self.turn.make(input, said(session));
        let body = EventBody::SessionSaid { session, task, said: told };
        self.say_as(run, actor, say.input, body, now);
        Ok(())
    }

    /// A session hands in the result of its task: it is ended.
    pub(super) fn hand_in(
        &mut self,
        session: SessionId,
        result: HandIn,
        actor: Actor,
        reply: Reply<()>,
        now: TimestampMs,
    ) {
        let input = result.input;
        let answer = match self.made_by(input) {
            Ok(None) => self.hand_in_now(session, result, actor, now),
            Ok(Some(made)) if made == handed_in(session) => Ok(()),
            Ok(Some(_)) => Err(super::requests::taken(input)),
            Err(problem) => Err(problem),
        };
        self.turn.confirm(reply, answer);
    }

    fn hand_in_now(
        &mut self,
        session: SessionId,
        result: HandIn,
        actor: Actor,
        now: TimestampMs,
    ) -> Result<(), Problem> {
        self.speaker(session, now)?;
        let Some(attempt) = self.parts.worker.attempt_of(session).cloned() else {
            let detail = format!("session {session} works on no task: there is nothing to hand in");
            return Err(Problem::new(ProblemKind::Conflict, detail)
                .hint("it ends by itself, or with `cis session terminate`"));
        };
        let text = result.text.map(|text| self.redactor_of(session).redact(&text));
        if self.held_by(session).is_some() {
            if text.as_ref().is_some_and(|text| text.len() > NEWS_RESULT_BYTES_MAX) {
                let detail = format!("the result has more than {} KiB", NEWS_RESULT_BYTES_MAX >> 10);
                return Err(Problem::new(ProblemKind::BadInput, detail)
                    .hint("this task runs for another node: write long results to an output of the task"));
            }
            self.forward(session, SessionNews::HandedIn { input: result.input, text }, now);
            return Ok(());
        }
        let kind = InputKind::HandIn { attempt, text };
        let input = Input { kind, actor: Some(actor), cause: Some(result.input) };
        let handled = self.give(input, now);
        self.collect();
        handled.map_err(|rejected| super::requests::problem(&rejected))?;
        self.turn.make(result.input, handed_in(session));
        Ok(())
    }

    pub(super) fn say_as(
        &mut self,
        run: Option<RunId>,
        actor: Actor,
        input: InputId,
        body: EventBody,
        now: TimestampMs,
    ) {
        let draft = EventDraft { run, at_ms: now, actor: Some(actor), cause: Some(input), body };
        self.turn.draft(draft);
    }

    /// Whose words they are: a session that is live, and whose secrets are known.
    pub(super) fn speaker(
        &mut self,
        session: SessionId,
        now: TimestampMs,
    ) -> Result<(Option<RunId>, Option<TaskId>), Problem> {
        if self.parts.worker.expose(session) {
            // That it started comes before what it says.
            self.worker_said(now);
        }
        if let Some(why) = self.parts.worker.withheld(session) {
            let detail = format!("what session {session} says is withheld: {why}");
            return Err(Problem::new(ProblemKind::Unavailable, detail));
        }
        match self.parts.worker.attempt_of(session) {
            Some(attempt) => Ok((Some(attempt.run), Some(attempt.task.clone()))),
            None if self.loners.contains(session) => Ok((None, None)),
            None => Err(self.not_live(session, format!("session {session} has ended"))),
        }
    }

    /// Replaces the secrets of a session.
    pub(super) fn redactor_of(&self, session: SessionId) -> Arc<Redactor> {
        self.parts.worker.redactor(session).cloned().unwrap_or_default()
    }

    /// Somebody waits for the answer to an ask: its session is blocked, also where it had asked without waiting.
    pub(super) fn still_waiting(&mut self, session: SessionId, item: &InboxId, now: TimestampMs) {
        if let Some(ask) = self.inbox.renew(session, item, now) {
            self.attention.change(session).asks(ask);
        }
    }

    /// Nobody does any more, if nobody comes in a moment. An ask that was made with waiting has to be withdrawn.
    pub(super) fn waits_no_more(&mut self, session: SessionId, item: &InboxId, now: TimestampMs) {
        self.inbox.leave(session, item, now);
    }

    /// Asks whose asker is gone are withdrawn; one that was made without waiting stays.
    pub(super) fn withdraw_left(&mut self, now: TimestampMs) {
        for (session, ask) in self.inbox.expired(now) {
            if ask.waits {
                self.withdrawn(session, ask, None, now);
            } else {
                self.attention.change(session).left(ask.ask);
            }
        }
    }

    /// Whoever asked says that it waits no more. Of an ask that is over nothing changes.
    pub(super) fn withdraw(&mut self, session: SessionId, item: &InboxId, actor: Actor, now: TimestampMs) {
        if let Some(ask) = self.inbox.take(session, item) {
            self.withdrawn(session, ask, Some(actor), now);
        }
    }

    fn withdrawn(&mut self, session: SessionId, ask: AskRecord, actor: Option<Actor>, now: TimestampMs) {
        let (run, task) = self.speaker(session, now).unwrap_or_default();
        let (item, detail) = (ask.item, "whoever asked waits no more".to_owned());
        if self.held_by(session).is_some() {
            self.forward(session, SessionNews::AskWithdrawn { item, detail }, now);
        } else {
            let body = EventBody::AskWithdrawn { session, task, item, detail };
            self.turn.draft(EventDraft { run, at_ms: now, actor, cause: None, body });
        }
        self.attention.change(session).asked(ask.ask);
    }

    /// After a start of the node: what is open from an earlier life, and who answered what.
    pub(super) fn recall_inbox(&mut self, now: TimestampMs) {
        let open = self.parts.readers.get().and_then(|reader| reader.open_items(InboxFilter::default()));
        let open = match open {
            Ok(open) => open,
            Err(error) => {
                tracing::error!(%error, "the inbox cannot be read: asks of an earlier life of this node wait in vain");
                return;
            }
        };
        for known in open {
            let Some(session) = known.item.session else { continue };
            if let Some((answer, input)) = known.answer.clone() {
                let first = FirstAnswer {
                    by: answer.by,
                    at_ms: known.item.answered_ms.unwrap_or(known.item.since),
                    input,
                };
                // All that is open.
                self.inbox.answers.record(session, known.item.id.clone(), first, |_, _| true);
            }
            if let Some(ask) = ask_of(&known) {
                self.inbox.ask(session, ask, now);
                if known.waited {
                    self.inbox.renew(session, &known.item.id, now);
                }
            }
        }
    }

    /// Once it is known which sessions live: those that wait for the answer to an ask go on waiting.
    pub(super) fn resume_asks(&mut self) {
        for session in self.inbox.sessions() {
            if self.parts.worker.attempt_of(session).is_none() && !self.loners.contains(session) {
                // Its end closed what it had asked.
                self.inbox.forget(session);
                continue;
            }
            for ask in self.inbox.waiting(session) {
                self.attention.change(session).asks(ask);
            }
        }
    }
}

/// What one hears that asks without end, `left` ms before it may ask again.
fn asks_too_much(session: SessionId, left: TimestampMs) -> Problem {
    let left = text::duration(left.unsigned_abs().max(100));
    let detail = format!("session {session} asks too often: this was not asked; it may ask again in {left}");
    Problem::new(ProblemKind::Conflict, detail).hint(format!(
        "a session may ask {} things at once, and then one in {}; what a person answered does not count",
        ASKS.at_once(),
        text::duration(ASKS.every_ms().unsigned_abs())
    ))
}

/// What can be answered: what the session names, or what goes without saying for its type.
fn options(ask_type: AskType, named: &[String]) -> Vec<PromptOption> {
    if named.is_empty() {
        return match ask_type {
            AskType::Permission => PromptOption::of_permissions(),
            AskType::Review => PromptOption::of_approvals(),
            _ => Vec::new(),
        };
    }
    let option = |(at, label): (usize, &String)| PromptOption {
        id: (at + 1).to_string(),
        label: label.clone(),
        meaning: None,
        keys: String::new(),
    };
    named.iter().enumerate().map(option).collect()
}

/// An ask as its session made it, from what the store knows.
fn ask_of(known: &KnownItem) -> Option<AskRecord> {
    let item = &known.item;
    Some(AskRecord {
        item: item.id.clone(),
        ask: known.ask?,
        ask_type: item.ask_type?,
        text: item.question.clone(),
        options: item.options.clone(),
        urgency: item.urgency,
        thread: item.thread.clone().unwrap_or_else(|| item.id.clone()),
        waits: known.waits,
    })
}
