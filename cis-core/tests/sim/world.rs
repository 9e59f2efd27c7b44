//! A node with its store, its session host, the messages between them, and time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cis_core::api::{FromWorker, Refusal};
use cis_core::dag::Dag;
use cis_core::event::{
    AttemptOutcome, EventBody, EventDraft, FailureCause, LostBy, PromptRecord, RunCreated,
};
use cis_core::federation::journal::Fact;
use cis_core::ids::{AttemptId, InboxId, NodeDid, RunId, SessionId, TimestampMs};
use cis_core::scheduler::{Breaker, Effect, IdSource, Input, InputKind, Machine, Rejected, Run};

use crate::dags;
use crate::host::Host;
use crate::lines::{Lines, Node};
use crate::reference::{Reference, accounts};
use crate::rng::Rng;

pub(crate) type Step = Result<(), String>;

/// When the node dies within the handling of one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    BeforeStore,
    BeforeEffects,
    BetweenEffects,
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now: TimestampMs,
    pub(crate) machine: Machine,
    pub(crate) host: Host,
    /// Said by workers, not heard yet.
    pub(crate) wire: Vec<FromWorker>,
    /// Seen by the node itself, not told yet; gone when it dies.
    pub(crate) seen: Vec<InputKind>,
    /// Prompts for which something was run, and of which people were told.
    once: BTreeSet<(&'static str, SessionId, String)>,
    pub(crate) reference: Reference,
    pub(crate) crash: Option<Crash>,
    pub(crate) lines: Lines,
    dags: BTreeMap<RunId, Arc<Dag>>,
    store: Vec<EventDraft>,
    /// The stored events, folded from what the store would give back.
    folded: BTreeMap<RunId, Run>,
    ids: Ids,
}

struct Ids(u128);

impl IdSource for Ids {
    fn session_id(&mut self, now_ms: TimestampMs) -> SessionId {
        self.0 += 1;
        SessionId::from_parts(u64::try_from(now_ms).unwrap(), self.0)
    }
}

fn node() -> NodeDid {
    NodeDid("did:key:here".into())
}

fn machine(max_sessions: u32) -> Machine {
    let mut machine = Machine::new(node(), max_sessions);
    machine.configure_breaker(Breaker { failures: accounts::FAILURES, open_ms: accounts::QUIET_MS });
    machine
}

impl World {
    pub(crate) fn new(rng: Rng) -> Self {
        let mut world = Self::empty(rng);
        let group = dags::group(&mut world.rng);
        let set = InputKind::SetGroup { name: dags::SHARED.to_owned(), group: Some(group) };
        world.feed(set).unwrap();
        world
    }

    fn empty(mut rng: Rng) -> Self {
        let most = if rng.percent(60) { 6 } else { 40 };
        let max_sessions = u32::try_from(rng.between(1, most)).unwrap();
        let host = Host { short_percent: rng.below(12), ..Host::new(1) };
        let mut machine = machine(max_sessions);
        machine.set_host(Some(host.instance));
        let reference = Reference::new(max_sessions, host.instance);
        Self {
            rng,
            now: 1_000_000,
            machine,
            host,
            wire: Vec::new(),
            seen: Vec::new(),
            once: BTreeSet::new(),
            reference,
            crash: None,
            lines: Lines::default(),
            dags: BTreeMap::new(),
            store: Vec::new(),
            folded: BTreeMap::new(),
            ids: Ids(0),
        }
    }

    /// What happened, for the message of a failed check.
    pub(crate) fn history(&self) -> String {
        let line = |e: &EventDraft| {
            let run = e.run.map(|run| run.short()).unwrap_or_default();
            format!("{} {run} {}", e.at_ms, serde_json::to_string(&e.body).unwrap())
        };
        let head = self.dags.iter().map(|(id, dag)| format!("{}: {dag:?}", id.short()));
        head.chain(self.store.iter().map(line)).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn submit(&mut self) -> Step {
        let dag = dags::random(&mut self.rng);
        let run = RunId::from_parts(u64::try_from(self.now).unwrap(), self.dags.len() as u128);
        let facts = RunCreated {
            max_parallel: u32::try_from(self.rng.between(1, 4)).unwrap(),
            ..RunCreated::sample(&dag.id, dag.tasks.len(), node())
        };
        let dag = Arc::new(dag);
        self.dags.insert(run, Arc::clone(&dag));
        let start = self.rng.percent(85);
        self.feed(InputKind::Submit { run, facts: Box::new(facts), dag, start })?;
        if self.machine.run(&run).is_none() {
            self.dags.remove(&run); // a crash came before it was stored
        }
        Ok(())
    }

    pub(crate) fn run_count(&self) -> usize {
        self.dags.len()
    }

    /// What kinds of things happened: types of events, and for results what they made of the task.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = String> + '_ {
        self.store.iter().flat_map(|event| match &event.body {
            EventBody::TaskResult(r) => {
                let cause = match &r.outcome {
                    AttemptOutcome::Failed { cause: FailureCause::Blocked { .. } } => Some("blocked"),
                    AttemptOutcome::Failed { cause: FailureCause::Login { .. } } => Some("login"),
                    _ => None,
                };
                let word = r.outcome.word();
                cause.into_iter().chain([word]).map(|why| format!("{why} makes {}", r.state)).collect()
            }
            EventBody::TaskStatus { changes } => {
                let kind = |of: serde_json::Value| of["kind"].as_str().unwrap_or("processing").to_owned();
                let why = changes.iter().map(|change| match (&change.end, &change.queued) {
                    (Some(end), _) if change.state.is_active() => {
                        format!("stopped: {}", kind(serde_json::to_value(end).unwrap()))
                    }
                    (Some(end), _) => kind(serde_json::to_value(end).unwrap()),
                    (None, queued) => kind(serde_json::to_value(queued).unwrap()),
                });
                why.chain(["task.status".to_owned()]).collect()
            }
            EventBody::TaskAssigned(grant) if grant.ahead => vec!["ahead".to_owned()],
            other => vec![other.type_name().trim_start_matches("cis.dag.").to_owned()],
        })
    }

    /// How many events are stored.
    pub(crate) fn stored(&self) -> usize {
        self.store.len()
    }

    /// All of them, in order.
    pub(crate) fn drafts(&self) -> &[EventDraft] {
        &self.store
    }

    /// The stored events of a run.
    pub(crate) fn facts_of(&self, run: RunId) -> impl Iterator<Item = Fact> + '_ {
        let of_run = self.store.iter().filter(move |event| event.run == Some(run));
        of_run.cloned().map(|EventDraft { at_ms, actor, cause, body, .. }| Fact { at_ms, actor, cause, body })
    }

    /// The file of a run.
    pub(crate) fn dag_of(&self, run: RunId) -> &Arc<Dag> {
        &self.dags[&run]
    }

    pub(crate) fn run_ids(&self) -> Vec<RunId> {
        self.dags.keys().copied().collect()
    }

    /// Drives the machine as a node does: handle, store, perform. Then everything is checked.
    pub(crate) fn feed(&mut self, kind: InputKind) -> Step {
        let before = self.rng.percent(10).then(|| self.machine.clone());
        if let InputKind::ForeignSessions { count } = kind {
            self.reference.foreign = count;
        }
        if let InputKind::Worker(FromWorker::Ahead { run, count }) = kind {
            self.reference.wished(run, count);
        }
        match &kind {
            InputKind::LoginWorked { account } => self.reference.login_worked(account),
            InputKind::DefaultRefused { attempt, item, .. } => self.reference.default_refused(attempt, item),
            _ => {}
        }
        let asked = kind.clone();
        let taken = self.machine.handle(Input::internal(kind), self.now, &mut self.ids);
        let taken = taken.and(self.machine.take_failure());
        let events: Vec<EventDraft> = self.machine.drain_events().collect();
        let effects: Vec<Effect> = self.machine.drain_effects().collect();
        if let Err(rejected) = &taken {
            let acks = effects.iter().all(|e| matches!(e, Effect::Ack { .. }));
            let same =
                before.is_none_or(|old| self.dags.keys().all(|id| old.run(id) == self.machine.run(id)));
            if !events.is_empty() || !acks || !same || is_a_bug(rejected) {
                return Err(format!("{asked:?} rejected ({rejected}) with {events:?} {effects:?}"));
            }
        }
        match self.crash.take() {
            Some(Crash::BeforeStore) => return self.restart(),
            Some(Crash::BeforeEffects) => {
                self.persist(events)?;
                return self.restart();
            }
            Some(Crash::BetweenEffects) => {
                self.persist(events)?;
                let some = self.rng.below(effects.len() as u64 + 1);
                self.perform(effects.into_iter().take(usize::try_from(some).unwrap()))?;
                return self.restart();
            }
            None => {}
        }
        self.persist(events)?;
        if let (InputKind::KillTask { attempt, .. }, Ok(())) = (&asked, &taken) {
            self.reference.must_be_stopping(attempt)?;
        }
        self.perform(effects)?;
        self.check(taken.is_ok())
    }

    fn persist(&mut self, events: Vec<EventDraft>) -> Step {
        self.reference.see(&events, &self.dags)?;
        for event in events {
            self.fold(&event)?;
            self.store.push(event);
        }
        Ok(())
    }

    /// Through the form in which events are stored.
    fn fold(&mut self, event: &EventDraft) -> Step {
        let Some(id) = event.run else { return Ok(()) };
        let json = event.body.body_json().map_err(|e| e.to_string())?;
        let body =
            EventBody::from_parts(event.body.type_name(), &json).map_err(|e| format!("{json}: {e}"))?;
        if body != event.body {
            return Err(format!("{:?} is read back as {body:?}", event.body));
        }
        if let EventBody::RunCreated(facts) = &body {
            let run = Run::new(id, facts, Arc::clone(&self.dags[&id]), event.at_ms);
            self.folded.insert(id, run.map_err(|e| e.to_string())?);
            return Ok(());
        }
        let run = self.folded.get_mut(&id).ok_or("an event of an unknown run")?;
        run.apply(&body, event.at_ms).map_err(|e| e.to_string())
    }

    fn perform(&mut self, effects: impl IntoIterator<Item = Effect>) -> Step {
        for effect in effects {
            match effect {
                Effect::Grant { attempt, session, fence, .. } => {
                    let run = self.machine.run(&attempt.run).ok_or("granted in an unknown run")?;
                    let slots = run.facts().max_parallel + run.blocked_count();
                    let grant = (&attempt, session, fence);
                    let said = self.host.start(&mut self.rng, self.now, grant, slots);
                    self.wire.extend(said);
                }
                Effect::Cancel { attempt, grace_ms, keep: _, fence: _ } => {
                    let said = self.host.cancel(&mut self.rng, self.now, &attempt, grace_ms);
                    self.wire.extend(said);
                }
                Effect::Withdraw { run } => {
                    let withdrawn = self.host.withdraw(run);
                    self.wire.extend(withdrawn);
                }
                Effect::AwaitRoom { .. } => return Err("a run without a room waits for one".into()),
                Effect::Ack { attempt, .. } => self.host.acknowledged(&attempt)?,
                Effect::Answer { attempt, session, item, .. } => {
                    self.reference.default_given(&attempt, &item, self.now)?;
                    self.answered(attempt, session, item);
                }
                Effect::Escalate { session, item, .. } => {
                    self.only_once("told", session, &item.to_string())?
                }
                Effect::RunCommand { session, prompt, .. } => {
                    self.only_once("run", session, &prompt.episode.to_string())?;
                }
            }
            self.look_at_begun(Node::Up)?;
        }
        Ok(())
    }

    /// The file's answer helps, is refused, or leads nowhere.
    fn answered(&mut self, attempt: AttemptId, id: SessionId, item: InboxId) {
        match self.rng.weighted(&[55, 20, 25]) {
            0 => {
                let Some(session) = self.host.sessions.get_mut(&id).filter(|s| s.is_running()) else {
                    return;
                };
                (session.blocked, session.ends_ms) = (false, session.ends_ms.max(self.now));
                let episode = session.episode;
                self.seen.push(InputKind::Unblocked { attempt, episode });
            }
            1 => self.seen.push(InputKind::DefaultRefused { attempt, item, detail: "no such option".into() }),
            _ => {}
        }
    }

    fn only_once(&mut self, what: &'static str, session: SessionId, prompt: &str) -> Step {
        let first = self.once.insert((what, session, prompt.to_owned()));
        if first { Ok(()) } else { Err(format!("{what} twice for prompt {prompt} of {session}")) }
    }

    fn check(&self, accepted: bool) -> Step {
        for (id, folded) in &self.folded {
            let live = self.machine.run(id).ok_or_else(|| format!("{id} is gone"))?;
            if live != folded {
                return Err(format!("the machine has {live:#?}, the events say {folded:#?}"));
            }
            live.audit()?;
            let times = live.times(self.now, true);
            let split = times.critical;
            if split.queue_ms + split.machine_ms + split.human_ms != times.wall_ms {
                return Err(format!("{id}: the parts of its time make not the whole: {times:?}"));
            }
        }
        if let Some((at_ms, why)) =
            self.machine.poll_timeout().filter(|(at_ms, _)| accepted && *at_ms <= self.now)
        {
            return Err(format!("wants to be woken at {at_ms} ({why:?}), but it is {}", self.now));
        }
        if accepted { self.reference.settled(self.now) } else { Ok(()) }
    }

    /// The node dies and starts again: folds what is stored, then asks the host what it has.
    pub(crate) fn restart(&mut self) -> Step {
        if self.rng.percent(50) {
            // Sessions end and begin while it is away.
            self.now += i64::try_from(self.rng.below(2000)).unwrap();
            let said = self.host.pass_time(&mut self.rng, self.now);
            self.wire.extend(said);
            self.look_at_begun(Node::Away)?;
        }
        self.host.welcome();
        self.machine = machine(self.reference.max_sessions);
        self.reference.restarted(self.now);
        self.seen.clear();
        self.machine.set_host(Some(self.host.instance));
        if self.rng.percent(50) {
            self.machine.restore_groups(self.reference.groups.clone());
        }
        for run in self.folded.values() {
            self.machine.restore(run.clone());
        }
        self.machine.restore_groups(self.reference.groups.clone());
        // Most of what was said and not heard dies with the node; some comes late.
        let keep = self.rng.below(100);
        let mut rng = self.rng.clone();
        self.wire.retain(|_| rng.percent(keep));
        self.rng = rng;
        self.feed(InputKind::ForeignSessions { count: self.reference.foreign })?;
        self.reconcile()?;
        self.wire.extend(self.host.repeat());
        self.feed(InputKind::Tick)
    }

    fn reconcile(&mut self) -> Step {
        for live in self.machine.live_attempts().collect::<Vec<_>>() {
            if live.host != Some(self.host.instance) {
                self.feed(InputKind::NodeLost {
                    node: node(),
                    host: live.host,
                    by: LostBy::Host,
                    ended: Vec::new(),
                })?;
                continue;
            }
            let known = self.host.sessions.get(&live.session).cloned();
            match known {
                None if live.cancelling || live.started => {
                    let detail = "never started".to_owned();
                    self.feed(InputKind::AttemptLost { attempt: live.attempt, detail })?;
                }
                None => {
                    let (attempt, fence, reason) =
                        (live.attempt, live.fence, Refusal::Withdrawn { full: false });
                    self.feed(InputKind::Worker(FromWorker::Refused { attempt, fence, reason }))?;
                }
                Some(session) => {
                    if live.cancelling {
                        let said = self.host.cancel(&mut self.rng, self.now, &live.attempt, live.grace_ms);
                        self.wire.extend(said);
                    }
                    match (live.blocked_episode, session.blocked) {
                        (Some(episode), false) => {
                            self.feed(InputKind::Unblocked { attempt: live.attempt, episode })?;
                        }
                        (seen, true) if seen != Some(session.episode) => {
                            let prompt = PromptRecord::bare(live.session, session.episode, session.kind);
                            let (attempt, prompt) = (live.attempt, Box::new(prompt));
                            self.feed(InputKind::Blocked { attempt, prompt })?;
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// The session host dies with all its sessions; the node may learn of the new one first.
    pub(crate) fn lose_host(&mut self) -> Step {
        let old = self.host.instance;
        self.host.dies();
        let lost = InputKind::NodeLost { node: node(), host: Some(old), by: LostBy::Host, ended: Vec::new() };
        if self.rng.percent(50) {
            self.reference.host = self.host.instance;
            self.machine.set_host(Some(self.host.instance));
            return self.feed(lost);
        }
        self.machine.set_host(None);
        let taken = self.machine.handle(Input::internal(lost), self.now, &mut self.ids);
        let taken = taken.and(self.machine.take_failure());
        taken.map_err(|rejected| rejected.to_string())?;
        let events: Vec<EventDraft> = self.machine.drain_events().collect();
        if events.iter().any(|e| matches!(e.body, EventBody::TaskAssigned(_))) {
            return Err("granted without a session host".to_owned());
        }
        self.persist(events)?;
        self.reference.host = self.host.instance;
        self.machine.set_host(Some(self.host.instance));
        self.feed(InputKind::Tick)
    }

    /// A session of the run is gone: those behind it begin.
    pub(crate) fn go_on(&mut self, run: RunId) -> Step {
        let said = self.host.go_on(&mut self.rng, self.now, run);
        self.wire.extend(said);
        self.look_at_begun(Node::Up)
    }

    fn look_at_begun(&mut self, node: Node) -> Step {
        self.lines.look(&mut self.host, &self.reference, node)
    }

    /// To the next moment at which something happens by itself, or a random way there.
    pub(crate) fn pass_time(&mut self) -> Step {
        let wake = self.machine.poll_timeout().map(|(at_ms, _)| at_ms);
        let next = [wake, self.host.next_end()].into_iter().flatten().min();
        let next = next.unwrap_or(self.now + 100).max(self.now);
        let ahead = u64::try_from(next - self.now).unwrap();
        let part = if self.rng.percent(70) { ahead } else { self.rng.below(ahead + 1) };
        self.now += i64::try_from(part).unwrap();
        let said = self.host.pass_time(&mut self.rng, self.now);
        self.wire.extend(said);
        self.look_at_begun(Node::Up)?;
        self.feed(InputKind::Tick)
    }

    /// One message arrives: any of them, and sometimes it will arrive again.
    pub(crate) fn deliver(&mut self, again_percent: u64) -> Step {
        if !self.seen.is_empty() && (self.wire.is_empty() || self.rng.percent(30)) {
            let kind = self.seen.swap_remove(0);
            return self.feed(kind);
        }
        if self.wire.is_empty() {
            return self.pass_time();
        }
        let at = usize::try_from(self.rng.below(self.wire.len() as u64)).unwrap();
        let message =
            if self.rng.percent(again_percent) { self.wire[at].clone() } else { self.wire.swap_remove(at) };
        self.feed(InputKind::Worker(message))
    }
}

/// The machine decided on an event that its own reducer refused.
fn is_a_bug(rejected: &Rejected) -> bool {
    matches!(rejected, Rejected::State(text) if text.contains("cis store check"))
}
