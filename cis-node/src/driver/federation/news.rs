//! News of sessions on their way between the node that has the session and the node that coordinates its run.
//!
//! Owns no state. Where the own node has the session and another one coordinates, what is known of the session is kept by the
//! worker's half until that one has it. Where the own node coordinates, news become events and inputs of the scheduler.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::Driver;
use super::Held;
use crate::account::boot_ms;
use crate::commands::{AnswerHeld, HeldFor};
use crate::driver::attention::{Attention, item_of_ask, item_of_prompt};
use crate::held_asks::HeldAsks;
use crate::inbox::given;
use crate::problems::prompt_moved;
use crate::wrong::Wrong;
use cis_core::api::{AnswerReceipt, AskAnswer, AskView, InboxItem, Problem, ProblemKind};
use cis_core::event::{Actor, ActorKind, AskRecord, EventDraft, PromptRecord, Via};
use cis_core::federation::direct::Progress;
use cis_core::federation::protocol::message::Granted;
use cis_core::federation::session_news::{Meaning, SessionNews, read_id, request_id};
use cis_core::ids::{AttemptId, InboxId, InputId, NodeDid, RunId, SessionId, TaskId, TimestampMs};
use cis_core::rate::Rate;
use cis_core::scheduler::LiveAttempt;

/// What the session of another node may tell. Its node may tell much at once after it could not be heard.
const TOLD: Rate = Rate::new(1000, 500);
/// From so many sessions on, those that ended are forgotten.
const TALKERS_MAX: usize = 1000;

impl Driver {
    /// The attempt of another node's run that a session of this node works on.
    pub(in crate::driver) fn held_by(&self, session: SessionId) -> Option<&AttemptId> {
        let attempt = self.parts.worker.attempt_of(session)?;
        let is_held = self.federation.held.get(attempt).is_some_and(|held| held.session == session);
        (is_held && self.parts.machine.run(&attempt.run).is_none()).then_some(attempt)
    }

    /// For whom this node has a session of another node's run.
    pub(in crate::driver) fn held_for(&self, session: SessionId) -> Option<HeldFor> {
        let Held { room, granted, .. } = self.federation.held.get(self.held_by(session)?)?;
        let worker = self.federation.rooms.get(room)?.worker.as_ref()?;
        let coordinator = worker.coordinator_of(granted.attempt.run)?.clone();
        Some(HeldFor { room: room.clone(), attempt: granted.attempt.clone(), coordinator })
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
        let Some(news) = news.sanitized(session) else { return };
        let (shared, noted) = (Arc::clone(&self.parts.shared), news.clone());
        // A process that waits for an answer acts on it at once: not before the answer is durable.
        self.turn.confirm_by(Box::new(move |durable| {
            if durable.is_ok() {
                note_ask(&shared.held_asks, session, &noted, now);
            }
        }));
        if let Some(worker) = self.federation.worker(&room) {
            worker.progress(&granted, Progress::Session { news }, boot_ms(), &mut out);
        }
        self.work(&room, out, now);
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
            note_ask(&self.parts.shared.held_asks, session, &news, now);
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
        let held = self.federation.held.get_mut(&granted.attempt);
        if held.is_none_or(|held| std::mem::replace(&mut held.recalled, true)) {
            return;
        }
        // The room may have told of it as well.
        let known = self.attention.get(session).map_or(0, Attention::newest);
        let (mut newest, mut waiting): (u32, Option<PromptRecord>) = (known, None);
        for news in self.news_of(room, granted) {
            self.inbox.answers.recall(session, &news, now);
            match news {
                SessionNews::Blocked { prompt } => {
                    newest = newest.max(prompt.episode);
                    waiting = Some(*prompt);
                }
                SessionNews::Recovered { .. } => waiting = None,
                SessionNews::Asked { ask } if !self.inbox.has(session, &ask.item) => {
                    self.inbox.ask(session, *ask, now);
                }
                SessionNews::AskWithdrawn { item, .. } => {
                    let _ = self.inbox.take(session, &item);
                }
                SessionNews::Answered { item, .. } => {
                    self.inbox.take(session, &item);
                }
                _ => {}
            }
        }
        self.attention.put(session, Attention::restored(newest, waiting));
    }

    fn news_of(&mut self, room: &str, granted: &Granted) -> Vec<SessionNews> {
        let worker = self.federation.worker(room);
        let progress = worker.into_iter().flat_map(|worker| worker.progress_of(granted));
        let news = progress.filter_map(|progress| match progress {
            Progress::Session { news } => Some(news.clone()),
            Progress::Started { .. } | Progress::Collecting {} => None,
        });
        news.collect()
    }

    /// A worker tells news of a session whose run this node coordinates.
    pub(super) fn hear_news(&mut self, room: &str, granted: &Granted, news: SessionNews, now: TimestampMs) {
        let is_it = |live: &LiveAttempt| live.attempt == granted.attempt && live.fence == granted.fence;
        let Some(LiveAttempt { session, node, .. }) = self.parts.machine.live_attempts().find(is_it) else {
            return;
        };
        let Some(mut news) = news.sanitized(session) else {
            let detail = format!("{} tells of a prompt that is none of its session", granted.attempt);
            return self.refuse_message(room, &node, (Wrong::Unfitting, detail), now);
        };
        if let SessionNews::Blocked { .. } | SessionNews::Asked { .. } | SessionNews::Answered { .. } = &news
        {
            self.federation.files.keys.forget(granted);
        }
        let is_known = match &news {
            SessionNews::Asked { ask } => self.is_made(request_id(session, ask.ask)),
            SessionNews::Answered { input, .. }
            | SessionNews::Said { input, .. }
            | SessionNews::HandedIn { input, .. } => self.is_made(request_id(session, *input)),
            SessionNews::AskWithdrawn { item, .. } => !self.is_open(session, item),
            SessionNews::AnswerVoid { item, input, .. } => !self.is_newest_answer(session, item, *input),
            SessionNews::Blocked { .. } | SessionNews::Recovered { .. } | SessionNews::LoggedOut { .. } => {
                false
            }
        };
        if is_known {
            return;
        }
        if self.federation.told.len() >= TALKERS_MAX {
            let live: BTreeSet<SessionId> =
                self.parts.machine.live_attempts().map(|live| live.session).collect();
            self.federation.told.retain(|session, _| live.contains(session));
        }
        if self.federation.told.entry(session).or_default().take(TOLD, now).is_err() {
            let detail = format!("the session of {} tells too much", granted.attempt);
            return self.refuse_message(room, &node, (Wrong::Unfitting, detail), now);
        }
        let mut by = None;
        if let SessionNews::Answered { input, answer, .. } = &mut news {
            // Whose answer was forwarded this node knows best.
            let forwarded = self.parts.shared.forwarded.take(*input);
            let worker = || Actor { kind: ActorKind::Node, name: node.to_string(), via: Via::Room };
            let actor = forwarded.unwrap_or_else(worker);
            answer.by.clone_from(&actor.name);
            by = Some(actor);
        }
        match news.meaning(granted.attempt.clone(), session) {
            Meaning::Input(input) => self.handle(*input, now),
            Meaning::Event { body, cause, actor } => {
                let (run, actor) = (Some(granted.attempt.run), by.or(actor));
                self.turn.draft(EventDraft { run, at_ms: now, actor, cause, body });
                if let Some(cause) = cause {
                    self.turn.make(cause, format!("told of {session}"));
                }
            }
        }
    }

    /// Whether something that a session asked is open. The store does not know yet what it asked in this turn.
    fn is_open(&self, session: SessionId, item: &InboxId) -> bool {
        if self.turn.asks(session, item) {
            return true;
        }
        let name = item.name(session);
        let known = self.parts.readers.get().and_then(|reader| reader.item(&name));
        known.is_ok_and(|known| known.item.closed.is_none())
    }

    /// Whether a request made something before. What cannot be read counts: nothing may be told twice.
    fn is_made(&self, request: InputId) -> bool {
        [request, read_id(request)].into_iter().any(|id| !matches!(self.made_by(id), Ok(None)))
    }

    /// Whether this is the answer that an item has now.
    fn is_newest_answer(&self, session: SessionId, item: &InboxId, input: InputId) -> bool {
        if self.turn.made_by(request_id(session, input)).is_some() {
            return true;
        }
        let name = item.name(session);
        let known = self.parts.readers.get().and_then(|reader| reader.item(&name));
        known.is_ok_and(|known| known.answer.is_some_and(|(_, newest)| newest == input))
    }

    /// The coordinator of a held session's run forwards an answer.
    pub(in crate::driver) fn answer_held(&mut self, held: AnswerHeld, now: TimestampMs) {
        let AnswerHeld { room, from, session, item, answer, beside, by_default, by, reply } = held;
        let actor = Actor { kind: ActorKind::Human, name: by, via: Via::Room };
        let standing = self.item_held((&room, &from), session, &item).and_then(|known| {
            // What the person saw is what the session waits at.
            let has_changed = answer.hash.as_ref().is_some_and(|hash| *hash != known.hash);
            if known.ask_type.is_none() && has_changed { Err(prompt_moved(&item)) } else { Ok(known) }
        });
        let first = self.inbox.answers.first(session, &item).cloned();
        let repeated = first.clone().filter(|first| first.input == answer.input);
        let outcome = match (standing, repeated) {
            // Nothing of it can be typed any more.
            (Err(_), Some(first)) if self.is_of_coordinator(session, &room, &from) => {
                let known = self.parts.shared.held_asks.get(session, &item).and_then(|ask| ask.answer);
                let text = known.map(|answer| answer.text).unwrap_or_default();
                Ok((AnswerReceipt { repeated: true, ..AnswerReceipt::new(item, first.by, text) }, None))
            }
            (Err(problem), _) => Err(problem),
            // An earlier life of this node may have died before it typed the same answer: it is typed once by its id.
            (Ok(item), repeated) => given::given(&item, &answer).and_then(|mut given| {
                given.by_default = by_default;
                // Times of two nodes cannot be compared: which answer it stands beside, its input says.
                let beside = first.filter(|first| Some(first.input) == beside);
                given.again = given.again.and(beside).map(|first| first.at_ms);
                let receipt = given.receipt(actor.name.clone());
                let receipt = AnswerReceipt { repeated: repeated.is_some(), ..receipt };
                let typed = self.answer_and_type(&given, actor, now)?;
                Ok((receipt, typed.outcome))
            }),
        };
        self.turn.confirm(reply, outcome);
    }

    /// Whether a session is held for this coordinator of its run. One that is being killed is not: news of it, such as an answer, are not
    /// kept any more.
    fn is_of_coordinator(&self, session: SessionId, room: &str, from: &NodeDid) -> bool {
        let held = self.held_by(session).and_then(|attempt| self.federation.held.get(attempt));
        let worker = self.federation.rooms.get(room).and_then(|room| room.worker.as_ref());
        held.filter(|held| held.room == room).zip(worker).is_some_and(|(held, worker)| {
            let coordinator = worker.coordinator_of(held.granted.attempt.run);
            coordinator == Some(from) && !worker.is_void(&held.granted)
        })
    }

    /// What a held session waits at or asks, under this name.
    fn item_held(
        &self,
        (room, from): (&str, &NodeDid),
        session: SessionId,
        item: &InboxId,
    ) -> Result<InboxItem, Problem> {
        if !self.is_of_coordinator(session, room, from) {
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
        let detail = match self.inbox.answers.first(session, item) {
            Some(first) => format!("{item} was answered by {}", first.by),
            None => format!("session {session} does not wait at {item} any more"),
        };
        Err(Problem::new(ProblemKind::Conflict, detail).hint("`cis inbox` shows what it waits at now"))
    }
}

/// Keeps what a held session asks, and what becomes of it, for its processes.
fn note_ask(asks: &HeldAsks, session: SessionId, news: &SessionNews, now: TimestampMs) {
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

fn view_of(ask: &AskRecord) -> AskView {
    AskView {
        id: ask.item.clone(),
        thread: ask.thread.clone(),
        text: ask.text.clone(),
        answer: None,
        withdrawn: None,
    }
}
