//! What a node does about answers to questions of sessions: those of people here, those that it forwards, and those to sessions
//! that it has itself.
//!
//! As `cis-node/src/{inbox,control}.rs`, `cis-node/src/driver/{answers,attention}.rs` and `cis-node/src/driver/federation/news.rs`. Which answer
//! counts is decided by the product's own code (`cis_core::answers`), and news of sessions are the product's own.

use std::collections::BTreeMap;

use cis_core::answers::{Decision, FirstAnswer, FirstAnswers, Incoming, Known};
use cis_core::api::{Answer, AnswerReceipt, AnswerWith, Problem, ProblemKind};
use cis_core::event::{Actor, AnswerRecord, EventBody, PromptKind, PromptRecord};
use cis_core::federation::control::{ControlOutcome, ControlRequest, Verb};
use cis_core::federation::direct::Progress;
use cis_core::federation::journal::Fact;
use cis_core::federation::protocol::message::Granted;
use cis_core::federation::protocol::worker::WorkerHalf;
use cis_core::federation::session_news::{Meaning, SessionNews, read_id, request_id};
use cis_core::ids::{InboxId, InputId, NodeDid, SessionId};

use crate::history::{OfPrompt, Told, Uid};
use crate::host::{NotTyped, Typing};
use crate::node::{Disk, Node, Write};
use crate::plan::run;
use crate::serving::{Asker, Came, person};

/// What of it does not survive the process.
#[derive(Debug, Default)]
pub(crate) struct Answering {
    firsts: FirstAnswers,
    /// The number of the newest prompt of each session, and the prompt that it waits at.
    prompts: BTreeMap<SessionId, (u32, Option<PromptRecord>)>,
    /// What is typed once the turn is durable.
    typings: Vec<(Typing, Ticket)>,
    outcomes: Vec<(Typing, Ticket, Result<(), NotTyped>)>,
}

/// Who is told whether an answer was typed.
#[derive(Debug, Clone)]
struct Ticket {
    uid: Uid,
    asker: Asker,
    item: InboxId,
    by: String,
}

/// An answer on its way, with whose it is.
pub(super) struct Given {
    pub(super) uid: Uid,
    pub(super) asker: Asker,
    pub(super) session: SessionId,
    pub(super) item: InboxId,
    pub(super) answer: Answer,
    pub(super) by: String,
}

/// A question of a session, as a store has it.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) session: SessionId,
    pub(crate) prompt: PromptRecord,
    pub(crate) answer: Option<(AnswerRecord, InputId)>,
    /// It is over: how that came.
    closed: Option<&'static str>,
}

impl Question {
    pub(crate) fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

/// As `cis-store/src/projector/inbox.rs`.
fn questions<'a>(facts: impl Iterator<Item = &'a Fact>) -> Vec<Question> {
    let mut all: Vec<Question> = Vec::new();
    for fact in facts {
        match &fact.body {
            EventBody::SessionBlocked { session, prompt, .. } => {
                let (session, prompt) = (*session, (**prompt).clone());
                all.push(Question { session, prompt, answer: None, closed: None });
            }
            EventBody::SessionRecovered { session, episode, .. } => {
                let is_it = |known: &&mut Question| {
                    known.session == *session && known.prompt.episode == *episode && known.is_open()
                };
                all.iter_mut().filter(is_it).for_each(|known| known.closed = Some("recovered"));
            }
            EventBody::SessionAnswered { session, item, input, answer, .. } => {
                let is_it = |known: &&mut Question| {
                    known.session == *session && known.prompt.item == *item && known.is_open()
                };
                for known in all.iter_mut().filter(is_it) {
                    known.answer = Some(((**answer).clone(), *input));
                }
            }
            EventBody::AnswerVoid { session, input, .. } => {
                for known in all.iter_mut().filter(|known| known.session == *session) {
                    known.answer.take_if(|(_, newest)| newest == input);
                }
            }
            EventBody::TaskResult(result) => {
                let is_it = |known: &&mut Question| known.session == result.session && known.is_open();
                all.iter_mut().filter(is_it).for_each(|known| known.closed = Some("ended"));
            }
            EventBody::RunCompleted {}
            | EventBody::RunFailed { .. }
            | EventBody::RunErrored { .. }
            | EventBody::RunCancelled {} => {
                all.iter_mut().filter(|known| known.is_open()).for_each(|known| known.closed = Some("ended"));
            }
            _ => {}
        }
    }
    all
}

impl Disk {
    pub(crate) fn questions(&self) -> Vec<Question> {
        questions(self.facts())
    }

    fn question(&self, session: SessionId, item: &InboxId) -> Option<Question> {
        self.questions()
            .into_iter()
            .rev()
            .find(|known| known.session == session && known.prompt.item == *item)
    }

    /// The node that has a session, as far as the store tells.
    fn node_of(&self, session: SessionId) -> Option<NodeDid> {
        let of = |fact: &Fact| match &fact.body {
            EventBody::TaskAssigned(grant) if grant.session == session => Some(grant.node.clone()),
            _ => None,
        };
        self.facts().filter_map(of).last()
    }
}

fn conflict(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Conflict, detail)
}

/// What a second answer hears.
fn too_late(item: &InboxId, first: &FirstAnswer) -> Problem {
    conflict(format!("{item} was answered by {}", first.by))
}

impl Node {
    /// A person here answers a question that this node knows of.
    pub(crate) fn answer_here(&mut self, uid: Uid, (session, item): (SessionId, InboxId), input: InputId) {
        let with = AnswerWith::Text { text: format!("answer {input}") };
        let answer = Answer { with, reason: None, hash: None, again: None, input };
        let by = person(uid).actor().name;
        self.answer(Given { uid, asker: Asker::Here, session, item, answer, by });
        self.finish_turn();
    }

    /// Answers, where this node decides; forwards the answer, where another one does.
    pub(super) fn answer(&mut self, mut given: Given) {
        let Some(known) = self.disk.question(given.session, &given.item) else {
            let detail = format!("nothing is called {}", given.item);
            return self.refuse_answer(given, Problem::new(ProblemKind::NotFound, detail));
        };
        if let Some(how) = known.closed {
            let item = &given.item;
            return match (how, known.answer) {
                (_, Some((answer, first))) if first == given.answer.input => {
                    let receipt = AnswerReceipt::new(given.item.clone(), answer.by, answer.text);
                    self.came(
                        given.uid,
                        given.asker,
                        Came::Answered(AnswerReceipt { repeated: true, ..receipt }),
                    );
                }
                (_, Some((answer, _))) => {
                    let detail = format!("{item} was answered by {}", answer.by);
                    self.refuse_answer(given, conflict(detail));
                }
                ("recovered", None) => {
                    let detail = format!("the prompt of {item} went away by itself");
                    self.refuse_answer(given, conflict(detail));
                }
                (_, None) => {
                    let detail = format!("{item} is over: its session or run has ended");
                    self.refuse_answer(given, conflict(detail));
                }
            };
        }
        if given.answer.hash.get_or_insert_with(|| known.prompt.hash.clone()) != &known.prompt.hash {
            let detail = format!("the prompt of {} has changed: nothing was typed", given.item);
            return self.refuse_answer(given, conflict(detail));
        }
        let Some((owner, _)) = self.disk.term() else { return };
        if owner != self.did {
            return self.forward_answer(owner, given);
        }
        match self.disk.node_of(given.session) {
            Some(node) if node != self.did => self.forward_answer(node, given),
            _ => self.answer_live(None, given),
        }
    }

    fn refuse_answer(&mut self, given: Given, why: Problem) {
        self.refuse((given.uid, given.asker), why, None);
    }

    /// To the coordinator of the run; from there to the node of the session.
    fn forward_answer(&mut self, to: NodeDid, given: Given) {
        let Given { uid, asker, session, item, answer, by } = given;
        let answer = Box::new(answer);
        let verb = Verb::Answer { session, item, answer, beside: None, by_default: false };
        let request = ControlRequest { id: self.control_id(), run: run(), verb, by };
        self.send_request(uid, asker, to, request);
    }

    /// A node asks for an answer.
    pub(super) fn answer_asked(
        &mut self,
        (uid, asker): (Uid, Asker),
        from: &NodeDid,
        request: ControlRequest,
    ) {
        let (own, forwarded) = (self.person_at(from, request.name()), request.forwarded_name());
        let Verb::Answer { session, item, answer, .. } = request.verb else { return };
        let given = |by| Given { uid, asker, session, item, answer: *answer, by };
        match self.disk.term() {
            Some((owner, _)) if owner == self.did => self.answer(given(own)),
            _ => self.answer_live(Some(from), given(forwarded)),
        }
    }

    fn held_grant(&self, session: SessionId) -> Option<Granted> {
        let held = self.life.as_ref()?.held.values().find(|(_, known)| *known == session);
        held.map(|(granted, _)| granted.clone())
    }

    /// Decides about an answer to a session of this node, which a person here gives, or the coordinator of the run forwards.
    fn answer_live(&mut self, from: Option<&NodeDid>, given: Given) {
        let (session, now) = (given.session, self.wall_ms());
        let worker = self.life.as_ref().and_then(|life| life.worker.as_ref());
        let coordinator = worker.and_then(|worker| worker.coordinator_of(run())).cloned();
        let is_asked_rightly = from.is_none_or(|from| coordinator.as_ref() == Some(from));
        // News of a session that is being killed are not kept.
        let is_void = |granted: &Granted| worker.is_some_and(|worker| worker.is_void(granted));
        let granted = self.held_grant(session).filter(|granted| is_asked_rightly && !is_void(granted));
        let Some(granted) = granted else {
            let detail =
                format!("session {session} has ended, or is none that this node has for another one");
            return self.refuse_answer(given, Problem::new(ProblemKind::NotFound, detail));
        };
        let input = given.answer.input;
        let known = match self.answers_made(input) {
            None => Known::New,
            Some(made) if made == (session, given.item.clone()) => Known::Same,
            Some(_) => Known::Other,
        };
        let answering = &self.life().answering;
        let waits = answering.prompts.get(&session).and_then(|(_, waits)| waits.clone());
        let stands = waits.filter(|prompt| {
            prompt.item == given.item && given.answer.hash.as_ref().is_none_or(|hash| *hash == prompt.hash)
        });
        let Some(prompt) = stands else {
            return match answering.firsts.first(session, &given.item).cloned() {
                Some(first) if first.input == input => {
                    let receipt = AnswerReceipt::new(given.item.clone(), first.by, String::new());
                    self.came(
                        given.uid,
                        given.asker,
                        Came::Answered(AnswerReceipt { repeated: true, ..receipt }),
                    );
                }
                Some(first) => {
                    let why = too_late(&given.item, &first);
                    self.refuse_answer(given, why);
                }
                None => {
                    let detail = format!("session {session} does not wait at {} any more", given.item);
                    self.refuse_answer(given, conflict(detail));
                }
            };
        };
        let incoming = Incoming { input, known, again: None, can_be_typed: true, is_ask: false };
        let repeated = match answering.firsts.decide(session, &given.item, &incoming, now) {
            Decision::First => false,
            Decision::Repeated => true,
            Decision::Void => {
                let detail = format!("this answer to {} was not typed, and is void", given.item);
                return self.refuse_answer(given, conflict(detail));
            }
            Decision::TooLate(first) => {
                let why = too_late(&given.item, first);
                return self.refuse_answer(given, why);
            }
            Decision::Reused => return self.refuse_answer(given, conflict("that id is taken")),
        };
        let Given { uid, asker, item, answer, by, .. } = given;
        if !repeated {
            self.record_answer(&granted, session, item.clone(), &answer, &by);
        }
        let typing = Typing { session, episode: prompt.episode, input, repeated };
        self.life().answering.typings.push((typing, Ticket { uid, asker, item, by }));
    }

    fn record_answer(
        &mut self,
        granted: &Granted,
        session: SessionId,
        item: InboxId,
        answer: &Answer,
        by: &str,
    ) {
        let (now, input) = (self.wall_ms(), answer.input);
        let first = FirstAnswer { by: by.to_owned(), at_ms: now, input };
        let life = self.life();
        life.answering.firsts.record(session, item.clone(), first, |_, _| true);
        life.turn.push(Write::Answered(input, (session, item.clone())));
        let took = OfPrompt::Took { session, item: item.clone(), input, by: by.to_owned() };
        life.turn.push(Write::Story(took));
        let AnswerWith::Text { text } = answer.with.clone() else { return };
        let (by, bytes) = (by.to_owned(), u32::try_from(text.len()).unwrap());
        let answer = Box::new(AnswerRecord { option: None, text, reason: None, by, bytes });
        self.tell_news(granted, session, SessionNews::Answered { item, input, answer });
    }

    /// What the id of an answer was used for, in the store or in this turn.
    fn answers_made(&mut self, input: InputId) -> Option<(SessionId, InboxId)> {
        let in_turn = self.life().turn.iter().find_map(|write| match write {
            Write::Answered(known, made) if *known == input => Some(made.clone()),
            _ => None,
        });
        in_turn.or_else(|| self.disk.answered.get(&input).cloned())
    }

    fn tell_news(&mut self, granted: &Granted, session: SessionId, news: SessionNews) {
        let (boot, mut out) = (self.boot_ms(), Vec::new());
        let Some(news) = news.sanitized(session) else { return self.wrong("news of another session".into()) };
        if let Some(worker) = &mut self.life().worker {
            worker.progress(granted, Progress::Session { news }, boot, &mut out);
        }
        self.work(out);
    }

    /// Hears what sessions wait at.
    pub(super) fn collect_prompts(&mut self) {
        let of = |(session, tree): (&SessionId, &crate::host::Tree)| (*session, tree.asked, tree.stands());
        let seen: Vec<_> = self.host.trees.iter().map(of).collect();
        for (session, asked, stands) in seen {
            let Some(granted) = self.held_grant(session) else { continue };
            let (newest, waits) = self.life().answering.prompts.entry(session).or_default();
            let over = waits.take_if(|prompt| !stands || prompt.episode != asked);
            let fresh = (stands && asked > *newest).then(|| PromptRecord {
                hash: format!("{asked:016x}"),
                ..PromptRecord::bare(session, asked, PromptKind::Question)
            });
            if let Some(prompt) = &fresh {
                (*newest, *waits) = (asked, Some(prompt.clone()));
                self.life().answering.firsts.begins(session, &prompt.item);
            }
            if let Some(PromptRecord { episode, .. }) = over {
                self.tell_news(&granted, session, SessionNews::Recovered { episode });
            }
            if let Some(prompt) = fresh {
                self.tell_news(&granted, session, SessionNews::Blocked { prompt: Box::new(prompt) });
            }
        }
    }

    /// Takes back what an earlier life of this node told of a session.
    pub(super) fn recall_news(&mut self, granted: &Granted, session: SessionId) {
        let now = self.wall_ms();
        let life = self.life();
        let Some(worker) = &life.worker else { return };
        let (mut newest, mut waits) = (0, None);
        for progress in WorkerHalf::progress_of(worker, granted) {
            let Progress::Session { news } = progress else { continue };
            life.answering.firsts.recall(session, news, now);
            match news {
                SessionNews::Blocked { prompt } => {
                    (newest, waits) = (newest.max(prompt.episode), Some((**prompt).clone()));
                }
                SessionNews::Recovered { .. } => waits = None,
                _ => {}
            }
        }
        life.answering.prompts.insert(session, (newest, waits));
    }

    /// Types what is durable.
    pub(super) fn type_answers(&mut self) {
        for (typing, ticket) in std::mem::take(&mut self.life().answering.typings) {
            let hangs = self.rng.percent(6);
            let was_typed = self.host.was_typed(&typing);
            // An earlier life of this node may have typed what was recorded before.
            let told = |error: NotTyped| match typing.repeated && !error.may_have_typed() {
                true => NotTyped::Unknown,
                false => error,
            };
            let outcome = self.host.type_in(&typing, hangs).map_err(told);
            self.note(format!("types {typing:?}: {outcome:?}"));
            if let (Ok(episode), false) = (&outcome, was_typed) {
                let (session, input) = (typing.session, typing.input);
                self.out.told.push(Told::Prompt(OfPrompt::Typed { session, episode: *episode, input }));
            }
            self.life().answering.outcomes.push((typing, ticket, outcome.map(drop)));
        }
    }

    /// Hears what was typed.
    pub(super) fn collect_typed(&mut self) {
        for (typing, ticket, outcome) in std::mem::take(&mut self.life().answering.outcomes) {
            let Typing { session, input, repeated, .. } = typing;
            let Ticket { uid, asker, item, by } = ticket;
            let Err(error) = outcome else {
                let receipt = AnswerReceipt::new(item, by, String::new());
                let receipt = AnswerReceipt { output_offset: Some(0), repeated, ..receipt };
                self.came(uid, asker, Came::Answered(receipt));
                continue;
            };
            if !error.may_have_typed() && self.life().answering.firsts.void(session, &item, input) {
                let void = OfPrompt::Void { session, item: item.clone(), input };
                self.life().turn.push(Write::Story(void));
                if let Some(granted) = self.held_grant(session) {
                    let (item, detail) = (item.clone(), error.to_string());
                    self.tell_news(&granted, session, SessionNews::AnswerVoid { item, input, detail });
                }
            }
            self.refuse((uid, asker), conflict(format!("{item}: {error}")), None);
        }
    }

    /// A worker tells news of a session whose run this node coordinates.
    pub(super) fn hear_news(&mut self, granted: &Granted, news: SessionNews) {
        let live: Vec<_> = self.life().machine.live_attempts().collect();
        let is_it = |live: &&cis_core::scheduler::LiveAttempt| {
            live.attempt == granted.attempt && live.fence == granted.fence
        };
        let Some(session) = live.iter().find(is_it).map(|live| live.session) else { return };
        let Some(news) = news.sanitized(session) else { return };
        if self.is_known(session, &news) {
            return;
        }
        match news.meaning(granted.attempt.clone(), session) {
            Meaning::Input(input) => drop(self.handle_for(*input)),
            Meaning::Event { body, cause, actor } => self.add_event(body, cause, actor),
        }
    }

    fn is_known(&self, session: SessionId, news: &SessionNews) -> bool {
        let in_turn = self.life.iter().flat_map(|life| &life.turn).filter_map(|write| match write {
            Write::Event(fact) | Write::Told(fact) => Some(fact),
            _ => None,
        });
        let mut facts = self.disk.facts().chain(in_turn);
        match news {
            SessionNews::Answered { input, .. } => {
                let request = request_id(session, *input);
                let names = [Some(request), Some(read_id(request))];
                let is_it = |fact: &Fact| {
                    matches!(fact.body, EventBody::SessionAnswered { .. }) && names.contains(&fact.cause)
                };
                facts.any(is_it)
            }
            SessionNews::AnswerVoid { item, input, .. } => {
                let known = questions(facts).into_iter().rev();
                let newest = known
                    .filter(|known| known.session == session && known.prompt.item == *item)
                    .find_map(|known| known.answer);
                newest.is_none_or(|(_, newest)| newest != *input)
            }
            _ => false,
        }
    }

    fn add_event(&mut self, body: EventBody, cause: Option<InputId>, actor: Option<Actor>) {
        let fact = Fact { at_ms: self.wall_ms(), actor, cause, body };
        if let Err(error) = self.mirror(&fact) {
            self.wrong(format!("news lead to {fact:?}: {error}"));
        }
        self.life().turn.push(Write::Event(fact));
    }

    /// What is said where no response to a forwarded answer came.
    pub(super) fn no_response(to: &NodeDid) -> ControlOutcome {
        let why = conflict(format!("no answer from {to}: it may still do this within 2 minutes"));
        ControlOutcome::Refused { why: Box::new(why) }
    }
}
