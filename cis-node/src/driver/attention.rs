//! What sessions wait for: verdicts of the monitor and asks of the sessions themselves, made one prompt.
//!
//! Owns which of them people are told, under which number, and for the scheduler or the store as events.
//! A session waits at one prompt at most: what it asks by itself comes before what its screen shows.
//! Judges no screen, types nothing, and knows no inbox.

mod recall;
mod records;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::records::{cut, of_ask, of_verdict, verdict_of};
pub(super) use self::records::{item_of_ask, item_of_prompt};
use super::Driver;
use crate::commands::Waiting;
use cis_core::event::{
    AskRecord, EventBody, EventDraft, PromptRecord, QUESTION_CHARS_MAX, SaidKind, SaidRecord, Urgency,
};
use cis_core::federation::session_news::SessionNews;
use cis_core::ids::{InputId, SessionId, TimestampMs};
use cis_core::monitor::{Change, Profile, Seed, Verdict};
use cis_core::policy::redact::Redactor;
use cis_core::rate::{Bucket, Rate};
use cis_core::scheduler::{Input, InputKind};
use cis_host::hub::{Monitoring, Sighting};
use cis_host::protocol::ToHost;

/// Prompts on its screen that people are told of, of one session, and asks that it waits for once more. What is
/// above that is held back: who shows ever new ones must not fill what all sessions share. What a person answers
/// does not count.
pub(super) const PROMPTS: Rate = Rate::new(10, 10_000);

/// Lines with a marker that become events, of one session.
const MARKERS: Rate = Rate::new(20, 3_000);

/// A longer result is cut, bytes.
pub(super) const HANDED_IN_BYTES_MAX: usize = 64 << 10;

/// Where a prompt comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The monitor, which calls it so.
    Screen(u32),
    /// The session asked by itself.
    Ask(InputId),
}

/// What people are told that a session waits at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) source: Source,
    pub(super) prompt: Box<PromptRecord>,
}

/// What is to be made known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Blocked(Box<PromptRecord>),
    Over { episode: u32 },
}

/// One session.
#[derive(Debug, Default)]
pub(super) struct Attention {
    /// Number of its newest prompt; 0: it had none.
    newest: u32,
    /// What the monitor sees it wait at, and its screen.
    seen: Option<(Verdict, String)>,
    /// Asks that it waits for, oldest first.
    asks: Vec<AskRecord>,
    told: Option<Told>,
    /// Asks that people were told that it waits for, while these are open.
    asked: BTreeSet<InputId>,
    /// It waits at something that people are told of only then.
    held_ms: Option<TimestampMs>,
    prompts: Bucket,
    markers: Bucket,
    /// The question that defaults answered last, and how often without another one between.
    by_default: (String, u32),
}

impl Attention {
    /// As an earlier life of the node left it.
    pub(super) fn restored(newest: u32, waiting: Option<PromptRecord>) -> Self {
        // The monitor goes on counting where this node did, and says of this one only that it is over.
        let seen = waiting.as_ref().filter(|prompt| prompt.ask.is_none());
        let seen = seen.map(|prompt| (verdict_of(newest, prompt), prompt.screen.clone()));
        let told = waiting.map(|prompt| Told {
            source: prompt.ask.map_or(Source::Screen(newest), Source::Ask),
            prompt: Box::new(prompt),
        });
        let asked = told.iter().filter_map(|told: &Told| told.prompt.ask).collect();
        Self { newest, seen, told, asked, ..Self::default() }
    }

    /// How often defaults have answered this question, with no other one between.
    pub(super) fn times_by_default(&self, question: &str) -> u32 {
        let (last, count) = &self.by_default;
        if last == question { *count } else { 0 }
    }

    /// A default answers this question.
    pub(super) fn answered_by_default(&mut self, question: &str) {
        self.by_default = (question.to_owned(), self.times_by_default(question) + 1);
    }

    /// What the monitor is to know of it.
    pub(super) fn seed(&self) -> Seed {
        let on_screen = self.told.as_ref().filter(|told| matches!(told.source, Source::Screen(_)));
        let waiting = on_screen.map(|told| told.prompt.hash.clone());
        Seed { episode: self.newest, waiting, work_due: false }
    }

    /// The monitor sees it wait.
    pub(super) fn waits(&mut self, verdict: Verdict, screen: String) {
        self.seen = Some((verdict, screen));
    }

    /// The monitor sees that this prompt of its counting is over.
    pub(super) fn is_over(&mut self, episode: u32) {
        self.seen.take_if(|(verdict, _)| verdict.episode == episode);
    }

    /// It asks, and does nothing until it is answered.
    pub(super) fn asks(&mut self, ask: AskRecord) {
        if !self.asks.iter().any(|known| known.ask == ask.ask) {
            self.asks.push(ask);
        }
    }

    /// An ask was answered, or withdrawn.
    pub(super) fn asked(&mut self, ask: InputId) {
        self.left(ask);
        self.asked.remove(&ask);
    }

    /// It waits for this ask no more, which stays open.
    pub(super) fn left(&mut self, ask: InputId) {
        self.asks.retain(|known| known.ask != ask);
    }

    /// Number of its newest prompt; 0: it had none.
    pub(super) fn newest(&self) -> u32 {
        self.newest
    }

    /// What it waits at, as people were told.
    pub(super) fn told(&self) -> Option<&Told> {
        self.told.as_ref()
    }

    /// What it waits at, as people were told or will be.
    pub(super) fn waiting(&self) -> Waiting {
        let told = self.told.as_ref().map(|told| told.prompt.clone());
        Waiting { told, held_ms: self.held_ms }
    }

    /// A person answered it: that many prompts are what people want.
    pub(super) fn was_answered(&mut self) {
        self.prompts.give_back(PROMPTS);
    }

    /// Compares what it waits at with what people were told.
    pub(super) fn settle(&mut self, session: SessionId, now: TimestampMs) -> Vec<Step> {
        self.held_ms = None;
        let ask = self.asks.first().map(|ask| Source::Ask(ask.ask));
        let wanted = ask.or(self.seen.as_ref().map(|(verdict, _)| Source::Screen(verdict.episode)));
        if self.told.as_ref().map(|told| told.source) == wanted {
            return Vec::new();
        }
        let mut steps = Vec::new();
        if let Some(told) = self.told.take() {
            steps.push(Step::Over { episode: told.prompt.episode });
        }
        if let Some(source) = wanted {
            // What it asks by itself was counted where it asked, but not how often it waits for that.
            let is_new = matches!(source, Source::Ask(ask) if self.asked.insert(ask));
            if !is_new && let Err(at) = self.prompts.take(PROMPTS, now) {
                self.held_ms = Some(at);
                return steps;
            }
            self.newest += 1;
            let prompt = match (self.asks.first(), &self.seen) {
                (Some(ask), _) => of_ask(session, self.newest, ask),
                (None, Some((verdict, screen))) => of_verdict(session, self.newest, verdict, screen),
                (None, None) => return steps,
            };
            self.told = Some(Told { source, prompt: Box::new(prompt.clone()) });
            steps.push(Step::Blocked(Box::new(prompt)));
        }
        steps
    }

    /// Whether one more line with a marker becomes an event.
    fn admits_marker(&mut self, now: TimestampMs) -> bool {
        self.markers.take(MARKERS, now).is_ok()
    }
}

/// All live sessions that wait for somebody, or did.
#[derive(Debug, Default)]
pub(super) struct Attentions {
    of: BTreeMap<SessionId, Attention>,
    /// Those of which something changed that is not made known yet.
    changed: BTreeSet<SessionId>,
    /// Those of which something is held back, and until when.
    held: BTreeMap<SessionId, TimestampMs>,
}

impl Attentions {
    fn of(&mut self, session: SessionId) -> &mut Attention {
        self.of.entry(session).or_default()
    }

    pub(super) fn get(&self, session: SessionId) -> Option<&Attention> {
        self.of.get(&session)
    }

    /// To be changed: what follows is made known in this turn.
    pub(super) fn change(&mut self, session: SessionId) -> &mut Attention {
        self.changed.insert(session);
        self.of(session)
    }

    pub(super) fn put(&mut self, session: SessionId, attention: Attention) {
        self.of.insert(session, attention);
    }

    /// It ended.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.of.remove(&session);
        self.changed.remove(&session);
        self.held.remove(&session);
    }

    pub(super) fn clear(&mut self) {
        self.of.clear();
        self.changed.clear();
        self.held.clear();
    }

    /// When something is to be told that was held back.
    pub(super) fn poll_timeout(&self) -> Option<TimestampMs> {
        self.held.values().copied().min()
    }

    /// Those of which something is to be made known now.
    fn due(&mut self, now: TimestampMs) -> BTreeSet<SessionId> {
        let mut due = std::mem::take(&mut self.changed);
        due.extend(self.held.extract_if(.., |_, at| *at <= now).map(|(session, _)| session));
        due
    }

    /// What becomes of it now.
    fn settle(&mut self, session: SessionId, now: TimestampMs) -> Vec<Step> {
        let attention = self.of.entry(session).or_default();
        let steps = attention.settle(session, now);
        match attention.held_ms {
            Some(at) => drop(self.held.insert(session, at)),
            None => drop(self.held.remove(&session)),
        }
        steps
    }

    /// How the hub is to monitor it.
    pub(super) fn monitoring(&self, session: SessionId, profile: Arc<Profile>, work_due: bool) -> Monitoring {
        let seed = self.get(session).map(Attention::seed).unwrap_or_default();
        Monitoring { profile, seed: Seed { work_due, ..seed } }
    }
}

impl Driver {
    /// The monitor saw something. Where nothing can be written now, it is made known later.
    pub(super) fn seen(&mut self, sighting: Sighting, now: TimestampMs) {
        let Sighting { session, change, screen } = sighting;
        // It may have ended while this was on its way.
        if self.parts.worker.attempt_of(session).is_none() && !self.loners.contains(session) {
            return;
        }
        match without_secrets(change, &self.redactor_of(session)) {
            Change::Blocked(verdict) if self.agent_waits(session, &verdict, now) => {}
            // A standalone shell at its prompt asks nobody anything. In a run, a task would wait there.
            Change::Blocked(verdict) if verdict.at_shell && self.loners.contains(session) => {}
            Change::Blocked(verdict) => self.attention.change(session).waits(*verdict, screen),
            Change::Over { episode } => self.attention.change(session).is_over(episode),
            Change::Marker { kind, text } => self.said_on_screen(session, kind, &text, now),
            // Somebody gave it other work first, and its own is to come.
            Change::Done { .. } if self.type_prompt(session, now) => {}
            Change::Complete { text } | Change::Done { text } => self.done(session, &text, now),
        }
    }

    /// Makes known what sessions wait at from now on, where that changed.
    pub(super) fn attend(&mut self, now: TimestampMs) {
        for session in self.attention.due(now) {
            self.attend_to(session, now);
        }
    }

    fn attend_to(&mut self, session: SessionId, now: TimestampMs) {
        let is_held = self.held_by(session).is_some();
        let attempt = self.parts.worker.attempt_of(session).cloned();
        let steps = self.attention.settle(session, now);
        if !steps.is_empty() {
            let waits = self.attention.get(session).is_some_and(|attention| attention.told.is_some());
            self.parts.worker.to_host.push(ToHost::Waits { session, waits });
        }
        for step in steps {
            if let Step::Blocked(prompt) = &step
                && prompt.ask.is_none()
            {
                self.inbox.answers.begins(session, &prompt.item);
            }
            match (step, attempt.clone()) {
                (Step::Blocked(prompt), _) if is_held => {
                    self.forward(session, SessionNews::Blocked { prompt }, now);
                }
                (Step::Over { episode }, _) if is_held => {
                    self.forward(session, SessionNews::Recovered { episode }, now);
                }
                (Step::Blocked(prompt), Some(attempt)) => {
                    self.handle(Input::internal(InputKind::Blocked { attempt, prompt }), now);
                }
                (Step::Over { episode }, Some(attempt)) => {
                    self.handle(Input::internal(InputKind::Unblocked { attempt, episode }), now);
                }
                (Step::Blocked(prompt), None) => {
                    self.draft(EventBody::SessionBlocked { session, task: None, prompt });
                }
                (Step::Over { episode }, None) => {
                    self.draft(EventBody::SessionRecovered { session, task: None, episode });
                }
            }
        }
    }

    /// A line of its screen began with a marker. Whoever prints too many of them is not heard each time.
    pub(super) fn said_on_screen(
        &mut self,
        session: SessionId,
        kind: SaidKind,
        text: &str,
        now: TimestampMs,
    ) {
        if !self.attention.of(session).admits_marker(now) {
            return;
        }
        let said = SaidRecord {
            kind,
            text: cut(text, QUESTION_CHARS_MAX),
            urgency: Urgency::default(),
            percent: None,
            thread: None,
        };
        let said = Box::new(said);
        if self.held_by(session).is_some() {
            return self.forward(session, SessionNews::Said { input: InputId(ulid::Ulid::new()), said }, now);
        }
        let (run, task) = self.names_of(session);
        let body = EventBody::SessionSaid { session, task, said };
        let draft = EventDraft { run, at_ms: now, actor: None, cause: None, body };
        self.turn.draft(draft);
    }
}

/// What the monitor saw, with secrets replaced in all that becomes an event.
fn without_secrets(mut change: Change, redactor: &Redactor) -> Change {
    match &mut change {
        Change::Blocked(verdict) => {
            verdict.question = redactor.redact(&verdict.question);
            for option in &mut verdict.options {
                option.label = redactor.redact(&option.label);
            }
        }
        Change::Marker { text, .. } | Change::Complete { text } | Change::Done { text } => {
            *text = redactor.redact(text);
        }
        Change::Over { .. } => {}
    }
    change
}
