//! Answers, of people and by default: the first one of an item counts, and is durable before anything is typed for it.

use super::Driver;
use super::attention::Source;
use super::turn::{Typing, answered};
use crate::commands::{AnswerSource, AnswerTyped, Command, Given, NotTyped, Reply};
use cis_core::answers::{Decision, FirstAnswer, Incoming, Known};
use cis_core::api::{Problem, ProblemKind};
use cis_core::event::{Actor, ActorKind, AnswerRecord, EventBody, EventDraft, Via};
use cis_core::federation::session_news::SessionNews;
use cis_core::ids::{InboxId, InputId, RunId, SessionId, TaskId, TimestampMs};
use cis_core::text;
use cis_host::hub::{self, HubError};
use tokio::sync::oneshot;

impl Driver {
    /// Takes an answer that somebody asks for.
    pub(super) fn answer(
        &mut self,
        given: &Given,
        actor: Actor,
        reply: Reply<AnswerTyped>,
        now: TimestampMs,
    ) {
        let outcome = self.answer_and_type(given, actor, now);
        self.turn.confirm(reply, outcome);
    }

    /// Records an answer, and has it typed.
    pub(super) fn answer_and_type(
        &mut self,
        given: &Given,
        actor: Actor,
        now: TimestampMs,
    ) -> Result<AnswerTyped, Problem> {
        let (typed, repeated) = self.answer_once(given, actor, now)?;
        let outcome = typed.map(|typed| {
            let (source, outcome) = oneshot::channel();
            let (source, item) = (AnswerSource::Request(source), given.item.clone());
            self.turn.type_then(Typing { source, item, typed });
            outcome
        });
        Ok(AnswerTyped { outcome, repeated })
    }

    /// Types what is durable.
    pub(super) fn type_answers(&mut self) {
        for Typing { source, item, typed } in self.turn.take_typings() {
            let (driver, session, input) = (self.parts.handle.clone(), typed.session, typed.input);
            let repeated = typed.repeated;
            self.parts.hub.answer_then(typed, move |outcome| match (outcome, source) {
                // Whoever asked may be gone.
                (Ok(receipt), AnswerSource::Request(reply)) => drop(reply.send(Ok(receipt))),
                (Ok(_), AnswerSource::Default(_)) => {}
                (Err(error), source) => {
                    let is_asked = matches!(source, AnswerSource::Request(_));
                    let is_gone = matches!(error, HubError::NoSuchSession { .. });
                    let error =
                        if repeated && (is_asked || is_gone) { error.of_repeated(session) } else { error };
                    let lost = NotTyped { source, session, item, input, error };
                    driver.tell(Command::NotTyped(Box::new(lost)));
                }
            });
        }
    }

    /// Makes an answer void of which nothing was typed: another one may come.
    pub(super) fn not_typed(&mut self, lost: NotTyped, now: TimestampMs) {
        let NotTyped { source, session, item, input, error } = lost;
        let is_void = !error.may_have_typed();
        if is_void {
            self.answer_void(session, item.clone(), input, error.to_string(), now);
        }
        match source {
            AnswerSource::Request(reply) if is_void => {
                self.turn.confirm_by(Box::new(move |_| drop(reply.send(Err(error)))));
            }
            AnswerSource::Request(reply) => drop(reply.send(Err(error))),
            // Where its prompt is over, there is nothing to answer any more.
            AnswerSource::Default(attempt)
                if is_void
                    && !matches!(error, HubError::PromptMoved { .. } | HubError::NoSuchSession { .. }) =>
            {
                self.refuse_default(attempt, item, error.to_string(), now);
            }
            AnswerSource::Default(_) => {}
        }
    }

    /// Records an answer, once; gives what is to be typed for it, and whether the same request had been taken before.
    pub(super) fn answer_once(
        &mut self,
        given: &Given,
        actor: Actor,
        now: TimestampMs,
    ) -> Result<(Option<hub::Answer>, bool), Problem> {
        let made = answered(given.session, &given.item);
        let known = match self.made_by(given.answer.input)? {
            None => Known::New,
            Some(known) if known == made => Known::Same,
            Some(_) => Known::Other,
        };
        let typed = self.typing_of(given);
        let incoming = Incoming {
            input: given.answer.input,
            known,
            again: given.again,
            can_be_typed: typed.is_some(),
            is_ask: given.is_ask,
        };
        match self.inbox.answers.decide(given.session, &given.item, &incoming, now) {
            Decision::First => Ok((self.answer_first(given, typed, actor, now)?, false)),
            Decision::Repeated => Ok((typed.map(|typed| hub::Answer { repeated: true, ..typed }), true)),
            Decision::Void => {
                let detail = format!("this answer to {} was not typed, and is void", given.item);
                Err(Problem::new(ProblemKind::Conflict, detail).hint("look at the item, and answer anew"))
            }
            Decision::TooLate(first) => Err(too_late(&given.item, first, now)),
            Decision::Reused => Err(super::requests::taken(given.answer.input)),
        }
    }

    fn answer_first(
        &mut self,
        given: &Given,
        typed: Option<hub::Answer>,
        actor: Actor,
        now: TimestampMs,
    ) -> Result<Option<hub::Answer>, Problem> {
        let session = given.session;
        let (run, task) = match self.parts.worker.attempt_of(session) {
            Some(attempt) => (Some(attempt.run), Some(attempt.task.clone())),
            None if self.loners.contains(session) => (None, None),
            None => {
                let detail = format!("session {session} has ended: {} needs no answer any more", given.item);
                return Err(self.not_live(session, detail));
            }
        };
        let typed = if given.is_ask {
            let Some(ask) = self.inbox.take(session, &given.item) else {
                let detail = format!("{} was withdrawn or answered a moment ago", given.item);
                return Err(Problem::new(ProblemKind::Conflict, detail));
            };
            self.record(given, run, task, actor, now);
            self.attention.change(session).asked(ask.ask);
            None
        } else {
            let Some(typed) = typed else {
                let detail = format!("session {session} does not wait at {} any more", given.item);
                return Err(Problem::new(ProblemKind::Conflict, detail)
                    .hint("`cis inbox` shows what it waits at now"));
            };
            self.record(given, run, task, actor, now);
            Some(typed)
        };
        self.turn.make(given.answer.input, answered(session, &given.item));
        Ok(typed)
    }

    fn record(
        &mut self,
        given: &Given,
        run: Option<RunId>,
        task: Option<TaskId>,
        actor: Actor,
        now: TimestampMs,
    ) {
        let (session, input) = (given.session, given.answer.input);
        let first = FirstAnswer { by: actor.name.clone(), at_ms: now, input };
        let open = |session, item: &InboxId| {
            let told = self.attention.get(session).and_then(|attention| attention.told());
            told.is_some_and(|told| told.prompt.item == *item)
        };
        self.inbox.answers.record(session, given.item.clone(), first, open);
        // A command that the node started is no person, though it has the rights of one.
        if actor.kind == ActorKind::Human && actor.via != Via::Internal {
            self.attention.change(session).was_answered();
            self.inbox.was_answered(session);
        }
        let redactor = self.redactor_of(session);
        // Keys are recorded by their names, with blanks between: there the redactor cannot see the value that they type.
        let typed = String::from_utf8_lossy(&given.answer.bytes);
        let told = redactor.redact(&given.text);
        let types_more = told == given.text && redactor.redact(&typed) != typed;
        let text = if types_more { "***".to_owned() } else { told };
        let answer = AnswerRecord {
            option: given.option.clone(),
            text,
            reason: given.reason.as_deref().map(|reason| redactor.redact(reason)),
            by: actor.name.clone(),
            bytes: u32::try_from(given.answer.bytes.len()).unwrap_or(u32::MAX),
        };
        let (item, answer) = (given.item.clone(), Box::new(answer));
        if self.held_by(session).is_some() {
            return self.forward(session, SessionNews::Answered { item, input, answer }, now);
        }
        let body = EventBody::SessionAnswered { session, task, item, input, answer };
        self.say_as(run, actor, input, body, now);
    }

    /// What is typed for it: only into the prompt that it is for.
    fn typing_of(&self, given: &Given) -> Option<hub::Answer> {
        let told = self.attention.get(given.session)?.told()?;
        let Source::Screen(episode) = told.source else { return None };
        if told.prompt.item != given.item || told.prompt.hash != given.hash {
            return None;
        }
        Some(hub::Answer {
            session: given.session,
            episode,
            hash: told.prompt.hash.clone(),
            input: given.answer.input,
            bytes: given.answer.bytes.clone(),
            is_line: given.answer.is_line,
            again: given.again.is_some(),
            repeated: false,
            by_default: given.by_default,
        })
    }

    fn answer_void(
        &mut self,
        session: SessionId,
        item: InboxId,
        input: InputId,
        detail: String,
        now: TimestampMs,
    ) {
        if !self.inbox.answers.void(session, &item, input) {
            return;
        }
        if self.held_by(session).is_some() {
            return self.forward(session, SessionNews::AnswerVoid { item, input, detail }, now);
        }
        let (run, task) = self.names_of(session);
        let body = EventBody::AnswerVoid { session, task, item, input, detail };
        let draft = EventDraft { run, at_ms: now, actor: None, cause: Some(input), body };
        self.turn.draft(draft);
    }
}

/// What a second answer hears.
fn too_late(item: &InboxId, first: &FirstAnswer, now: TimestampMs) -> Problem {
    let ago = text::duration(u64::try_from(now - first.at_ms).unwrap_or(0));
    let detail = format!("{item} was answered by {} {ago} ago", first.by);
    Problem::new(ProblemKind::Conflict, detail).hint("`cis inbox show` tells what was answered; where the prompt stays, `cis answer … --again` answers once more")
}
