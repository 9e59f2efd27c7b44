//! News of sessions on their way between the node that has the session and the node that coordinates its run.
//!
//! Owns no state. Where the own node has the session and another one coordinates, what is known of the session is kept by the
//! worker's half until that one has it. Where the own node coordinates, news become events and inputs of the scheduler.

use super::super::Driver;
use super::Held;
use crate::account::boot_ms;
use crate::commands::AnswerHeld;
use crate::driver::attention::{Attention, item_of_ask, item_of_prompt};
use crate::driver::inbox::First;
use crate::inbox::given;
use cis_core::api::{AnswerReceipt, AskAnswer, AskView, InboxItem, Problem, ProblemKind};
use cis_core::event::{Actor, ActorKind, AskRecord, EventDraft, PromptRecord, Via};
use cis_core::federation::direct::Progress;
use cis_core::federation::protocol::message::Granted;
use cis_core::federation::session_news::{Meaning, SessionNews};
use cis_core::ids::{AttemptId, InboxId, InputId, NodeDid, RunId, SessionId, TaskId, TimestampMs};

impl Driver {
    /// The attempt of another node's run that a session of this node works on.
    pub(in crate::driver) fn held_by(&self, session: SessionId) -> Option<&AttemptId> {
        let attempt = self.parts.worker.attempt_of(session)?;
        let is_held = self.federation.held.get(attempt).is_some_and(|held| held.session == session);
        (is_held && self.parts.machine.run(&attempt.run).is_none()).then_some(attempt)
    }

    /// Run and task of a session, as they stand in this node's events. A run of another node has none of these.
    pub(in crate::driver) fn names_of(&self, session: SessionId) -> (Option<RunId>, Option<TaskId>) {
        if self.held_by(session).is_some() {
            return (None, None);
        }
        let attempt = self.parts.worker.attempt_of(session);
        attempt.map(|attempt| (attempt.run, attempt.task.clone())).unzip()
    }

    /// Tells the coordinator of a held session's run news of it.
    pub(in crate::driver) fn forward(&mut self, session: SessionId, news: SessionNews, now: TimestampMs) {
        let held = self.held_by(session).and_then(|attempt| self.federation.held.get(attempt));
        let Some(Held { room, granted, .. }) = held else { return };
        let (room, granted, mut out) = (room.clone(), granted.clone(), Vec::new());
        self.note_ask(session, &news, now);
        let Some(news) = news.checked(session) else { return };
        if let Some(worker) = self.federation.worker(&room) {
            worker.progress(&granted, Progress::Session { news }, boot_ms(), &mut out);
        }
        self.work(&room, out, now);
    }

    /// Keeps what a held session asks, and what becomes of it, for its processes.
    fn note_ask(&self, session: SessionId, news: &SessionNews, now: TimestampMs) {
        let asks = &self.parts.shared.held_asks;
        match news {
            SessionNews::Asked { ask } => asks.put(session, view_of(ask)),
            SessionNews::AskWithdrawn { item, detail } => {
                asks.change(session, item, |ask| ask.withdrawn = Some(detail.clone()));
            }
            SessionNews::Answered { item, answer, .. } => asks.change(session, item, |ask| {
                ask.answer = Some(AskAnswer {
                    option: answer.option.clone(),
                    text: answer.text.clone(),
                    reason: answer.reason.clone(),
                    by: answer.by.clone(),
                    at_ms: now,
                });
            }),
            _ => {}
        }
    }

    /// After a start of the node, before its sessions are known: what a held session asked.
    pub(super) fn recall_asks(
        &mut self,
        room: &str,
        granted: &Granted,
        session: SessionId,
        now: TimestampMs,
    ) {
        for news in self.news_of(room, granted) {
            self.note_ask(session, &news, now);
        }
    }

    /// Once it is known that a held session lives: what it waits at and asked, as its coordinator was told.
    pub(super) fn recall_news(
        &mut self,
        room: &str,
        granted: &Granted,
        session: SessionId,
        now: TimestampMs,
    ) {
        let (mut newest, mut waiting): (u32, Option<PromptRecord>) = (0, None);
        for news in self.news_of(room, granted) {
            match news {
                SessionNews::Blocked { prompt } => {
                    newest = prompt.episode;
                    waiting = Some(*prompt);
                }
                SessionNews::Recovered { .. } => waiting = None,
                SessionNews::Asked { ask } if !self.inbox.has(session, &ask.item) => {
                    self.inbox.ask(session, *ask, now);
                }
                SessionNews::AskWithdrawn { item, .. } => drop(self.inbox.take(session, &item)),
                SessionNews::Answered { item, input, answer, .. } => {
                    self.inbox.take(session, &item);
                    let first = First { by: answer.by, at_ms: now, input };
                    self.inbox.answered(session, item, first, |_, _| true);
                }
                SessionNews::AnswerVoid { item, input, .. } => drop(self.inbox.void(session, &item, input)),
                _ => {}
            }
        }
        self.attention.put(session, Attention::restored(newest, waiting));
    }

    fn news_of(&mut self, room: &str, granted: &Granted) -> Vec<SessionNews> {
        let progress = self.federation.worker(room).map_or(&[][..], |worker| worker.progress_of(granted));
        let news = progress.iter().filter_map(|progress| match progress {
            Progress::Session { news } => Some(news.clone()),
            Progress::Started { .. } | Progress::Collecting {} => None,
        });
        news.collect()
    }

    /// A worker tells news of a session whose run this node coordinates.
    pub(super) fn hear_news(&mut self, granted: &Granted, news: SessionNews, now: TimestampMs) {
        let live = self.parts.machine.live_attempts();
        let live = { live }.find(|live| live.attempt == granted.attempt && live.fence == granted.fence);
        let Some(session) = live.map(|live| live.session) else { return };
        let Some(news) = news.checked(session) else {
            return tracing::warn!(attempt = %granted.attempt, "a node tells of a prompt that is none of its session");
        };
        let is_known = match &news {
            SessionNews::Asked { ask } => self.is_made(ask.ask),
            SessionNews::Answered { input, .. } => self.is_made(*input),
            SessionNews::Said { input, .. } | SessionNews::HandedIn { input, .. } => {
                input.is_some_and(|input| self.is_made(input))
            }
            SessionNews::AnswerVoid { item, input, .. } => !self.is_newest_answer(session, item, *input),
            _ => false,
        };
        if is_known {
            return;
        }
        match news.meaning(granted.attempt.clone(), session) {
            Meaning::Input(input) => self.handle(*input, now),
            Meaning::Event { body, cause, actor } => {
                let run = Some(granted.attempt.run);
                self.turn.draft(EventDraft { run, at_ms: now, actor, cause, body });
                if let Some(cause) = cause {
                    self.turn.make(cause, format!("told of {session}"));
                }
            }
        }
    }

    /// Whether a request made something before. What cannot be read counts: nothing may be told twice.
    fn is_made(&self, input: InputId) -> bool {
        !matches!(self.made_by(input), Ok(None))
    }

    /// Whether this is the answer that an item has now.
    fn is_newest_answer(&self, session: SessionId, item: &InboxId, input: InputId) -> bool {
        if self.turn.made_by(input).is_some() {
            return true;
        }
        let name = item.name(session);
        let known = self.parts.readers.get().and_then(|reader| reader.item(&name));
        known.is_ok_and(|known| known.answer.is_some_and(|(_, newest)| newest == input))
    }

    /// The coordinator of a held session's run forwards an answer.
    pub(in crate::driver) fn answer_held(&mut self, held: AnswerHeld, now: TimestampMs) {
        let AnswerHeld { room, from, session, item, answer, by, reply } = held;
        let actor = Actor { kind: ActorKind::Human, name: by, via: Via::Room };
        let outcome = self.item_held((&room, &from), session, &item).and_then(|item| {
            let mut given = given::given(&item, &answer)?;
            // The coordinator compared it with the time at which it heard of the first answer.
            let first = self.inbox.first(session, &item.id).map(|first| first.at_ms);
            given.again = given.again.and(first);
            let mut receipt = AnswerReceipt::new(item.id, actor.name.clone(), given.text.clone());
            receipt.bytes = u32::try_from(given.answer.bytes.len()).unwrap_or(u32::MAX);
            Ok((receipt, self.answer_and_type(&given, actor, now)?))
        });
        self.turn.confirm(reply, outcome);
    }

    /// What a held session waits at or asks, under this name.
    fn item_held(
        &self,
        (room, from): (&str, &NodeDid),
        session: SessionId,
        item: &InboxId,
    ) -> Result<InboxItem, Problem> {
        let held = self.held_by(session).and_then(|attempt| self.federation.held.get(attempt));
        let run = held.filter(|held| held.room == room).map(|held| held.granted.attempt.run);
        let worker = self.federation.rooms.get(room).and_then(|room| room.worker.as_ref());
        if !run.is_some_and(|run| worker.is_some_and(|worker| worker.coordinator_of(run) == Some(from))) {
            let detail = format!("session {session} has ended, or is none that this node has for {from}");
            return Err(Problem::new(ProblemKind::NotFound, detail));
        }
        let told = self.attention.get(session).and_then(|attention| attention.told());
        if let Some(told) = told.filter(|told| told.prompt.item == *item && told.prompt.ask.is_none()) {
            return Ok(item_of_prompt(session, &told.prompt));
        }
        if let Some(ask) = self.inbox.get(session, item) {
            return Ok(item_of_ask(session, ask));
        }
        let detail = match self.inbox.first(session, item) {
            Some(first) => format!("{item} was answered by {}", first.by),
            None => format!("session {session} does not wait at {item} any more"),
        };
        Err(Problem::new(ProblemKind::Conflict, detail).hint("`cis inbox` shows what it waits at now"))
    }
}

fn view_of(ask: &AskRecord) -> AskView {
    AskView {
        id: ask.item.clone(),
        thread: ask.thread.clone(),
        text: ask.text.clone(),
        answer: None,
        withdrawn: None,
    }
}
