//! A simulated node: the real scheduler and the real halves of the protocol, with a disk, clocks and a session host.
//!
//! Owns what `cis-node`'s driver owns: turns that are durable before their effects are performed, and what survives a crash.
//! `leading`, `working` and `reading` are its parts, as in `cis-node/src/driver/federation` and `cis-node/src/rooms/observe`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cis_core::api::{FromWorker, Refusal};
use cis_core::event::{EventBody, ExecutionMode};
use cis_core::federation::control::Control;
use cis_core::federation::direct::TaskPayload;
use cis_core::federation::finality::Finality;
use cis_core::federation::journal::{Fact, Position, Writer};
use cis_core::federation::protocol::BootMs;
use cis_core::federation::protocol::coordinator::CoordinatorHalf;
use cis_core::federation::protocol::message::{Addressee, Granted, Message, Payload};
use cis_core::federation::protocol::suspicion::Suspicion;
use cis_core::federation::protocol::worker::{Remembered, WorkerHalf};
use cis_core::federation::recovery::Recovery;
use cis_core::identity::Right;
use cis_core::ids::{
    AttemptId, Epoch, Fence, InboxId, InputId, NodeDid, Offset, SessionId, TaskId, TimestampMs,
};
use cis_core::scheduler::placement::NodeOffer;
use cis_core::scheduler::{Effect, IdSource, Input, InputKind, LiveAttempt, Machine, Rejected, Run};

use crate::answering::Answering;
use crate::dags;
use crate::history::{OfPrompt, Told, gates, seen_in_all};
use crate::host::{Host, ToHost};
use crate::plan::{Plan, ROOM, did, number, run};
use crate::reading::{Head, Known, Sync};
use crate::rng::Rng;
use crate::room::{Item, Members, folded, lost, signed};
use crate::serving::{Refused, Serving};

/// What grants and results carry. A grant says how often its task failed before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Work {}

impl Payload for Work {
    type Spec = u32;
    type Report = cis_core::api::Report;
    type Status = NodeOffer;
    type Progress = cis_core::federation::direct::Progress;

    fn told(status: &NodeOffer, others: u32) -> NodeOffer {
        TaskPayload::told(status, others)
    }

    fn slots(status: &NodeOffer) -> u32 {
        TaskPayload::slots(status)
    }

    fn weight(progress: &Self::Progress) -> usize {
        TaskPayload::weight(progress)
    }

    fn is_routine(progress: &Self::Progress) -> bool {
        TaskPayload::is_routine(progress)
    }

    fn shorten(progress: &mut Vec<(u32, Self::Progress)>) {
        TaskPayload::shorten(progress);
    }
}

/// When a node dies within a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    BeforeStore,
    BeforeEffects,
    /// After so many of its effects.
    BetweenEffects(usize),
}

/// What is written with a turn.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Event(Fact),
    /// An event of another node's run, as the room tells it.
    Told(Fact),
    /// What is stored of the run does not count.
    Void,
    /// The journal goes on after this entry, from this node.
    Follow(Position),
    Hold(TaskId, Option<Box<Remembered<Work>>>),
    /// What an input asked for was done, in this term.
    Made(InputId, Epoch),
    /// A request of another node was refused.
    Refused(InputId, Refused),
    /// An answer to this counted.
    Answered(InputId, (SessionId, InboxId)),
    /// For the record of what people see: it is durable with this turn.
    Story(OfPrompt),
}

/// What survives the node's process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) events: Vec<(Offset, Fact)>,
    newest: Offset,
    /// The run was submitted here.
    pub(super) has_original: bool,
    /// Up to which event the journal is written, and where it stands; none: the room does not follow the run from here.
    pub(super) followed: Option<(Offset, Option<Position>)>,
    pub(crate) outbox: VecDeque<Item>,
    pub(crate) held: BTreeMap<TaskId, Remembered<Work>>,
    /// Inputs that are not carried out again.
    pub(super) made: BTreeMap<InputId, Epoch>,
    /// Requests of other nodes that were refused.
    pub(super) refused: BTreeMap<InputId, Refused>,
    /// What answers were for.
    pub(super) answered: BTreeMap<InputId, (SessionId, InboxId)>,
}

impl Disk {
    fn write(&mut self, write: Write) {
        match write {
            Write::Event(fact) | Write::Told(fact) if matches!(fact.body, EventBody::RunVoided {}) => {}
            Write::Event(fact) => {
                if matches!(fact.body, EventBody::RunCreated(_)) {
                    self.followed = Some((self.newest, None));
                    self.has_original = true;
                }
                self.append(fact);
            }
            Write::Told(fact) => self.append(fact),
            Write::Void => {
                // Reading a run begins at its newest creation.
                self.events.clear();
                self.followed = None;
            }
            Write::Follow(position) => self.followed = Some((self.newest, Some(position))),
            Write::Hold(task, Some(kept)) => drop(self.held.insert(task, *kept)),
            Write::Hold(task, None) => drop(self.held.remove(&task)),
            Write::Made(input, epoch) => drop(self.made.insert(input, epoch)),
            Write::Refused(request, refused) => drop(self.refused.insert(request, refused)),
            Write::Answered(input, of) => drop(self.answered.insert(input, of)),
            Write::Story(_) => {}
        }
    }

    fn append(&mut self, fact: Fact) {
        self.newest += 1;
        self.events.push((self.newest, fact));
    }

    pub(crate) fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.events.iter().map(|(_, fact)| fact)
    }

    /// What happened after an event.
    fn after(&self, published: Offset) -> impl Iterator<Item = &Fact> {
        self.events.iter().filter(move |(offset, _)| *offset > published).map(|(_, fact)| fact)
    }

    /// The newest event of the run.
    pub(super) fn newest_of_run(&self) -> Offset {
        self.events.last().map_or(self.newest, |(offset, _)| *offset)
    }

    /// All that happened to the run which this node coordinates is in its journal.
    pub(crate) fn is_told(&self) -> bool {
        self.followed.is_none_or(|(upto, _)| upto >= self.newest_of_run())
    }

    pub(super) fn published(&self) -> Option<(Offset, Position)> {
        self.followed.and_then(|(upto, position)| Some((upto, position?)))
    }

    /// The run is this node's by the room, and not by its own journal, which somebody forked. Nothing is done in such a term any more.
    pub(super) fn is_forked(&self) -> bool {
        self.followed.is_none()
    }
}

/// What the process of a node has in its memory.
pub(crate) struct Life {
    pub(crate) machine: Machine,
    /// The run as the events of the machine make it.
    pub(super) mirror: Option<Run>,
    pub(crate) coordinator: CoordinatorHalf<Work>,
    pub(crate) worker: Option<WorkerHalf<Work>>,
    pub(super) held: BTreeMap<AttemptId, (Granted, SessionId)>,
    /// Sessions that wait until the room has their grants.
    pub(super) waiting: Vec<Waiting>,
    pub(super) suspicion: Suspicion,
    pub(crate) head: Option<Head>,
    pub(super) others: Vec<NodeDid>,
    /// The coordinators before it; none: it is not one of them.
    pub(super) before: Option<Vec<NodeDid>>,
    pub(super) is_deaf: bool,
    pub(super) alive_at: BootMs,
    pub(crate) finality: Option<Finality>,
    /// The newest entry of this node's own journal that it has read.
    pub(super) read_own: Option<Position>,
    pub(super) to_recover: Option<Epoch>,
    pub(super) members: Option<Members>,
    pub(super) recovery: Recovery,
    pub(crate) read: usize,
    pub(crate) known: Known,
    pub(crate) sync: Sync,
    pub(super) turn: Vec<Write>,
    /// Its disk is slow: nothing else is done before the turn is written.
    pub(crate) is_stuck: bool,
    /// What was read meanwhile.
    pub(super) put_off: Option<(BootMs, Option<Head>)>,
    pub(super) to_host: Vec<ToHost>,
    pub(super) said: Vec<FromWorker>,
    pub(super) serving: Serving,
    pub(super) answering: Answering,
    /// What is sent once the turn is durable.
    pub(super) to_send: Vec<(NodeDid, Message<Work>)>,
}

/// A session that does not begin before the room has its grant.
pub(super) struct Waiting {
    pub(super) granted: Granted,
    pub(super) session: SessionId,
    pub(super) failures: u32,
    pub(super) lease_end: BootMs,
    /// The grant is this node's own, in an event up to this one.
    pub(super) upto: Option<Offset>,
}

pub(crate) struct Node {
    pub(crate) at: usize,
    pub(crate) did: NodeDid,
    pub(super) plan: Arc<Plan>,
    pub(super) rng: Rng,
    /// The world's time.
    pub(crate) now: i64,
    /// Its clocks: ahead of the world's, and so much faster, in thousandths.
    pub(crate) ahead: i64,
    pub(crate) skew: i64,
    pub(crate) drift: i64,
    pub(crate) is_asleep: bool,
    /// Its machine is lost, with its key: it never comes back.
    pub(crate) is_gone: bool,
    pub(crate) disk: Disk,
    pub(crate) host: Host,
    pub(crate) life: Option<Life>,
    pub(super) ids: Ids,
    pub(crate) crash: Option<Crash>,
    pub(crate) is_slow: bool,
    /// Of 100 starts so many are refused.
    pub(crate) short_percent: u64,
    pub(crate) out: Out,
}

/// What a node did that others see.
#[derive(Default)]
pub(crate) struct Out {
    pub(crate) sent: Vec<(usize, Message<Work>)>,
    /// Sessions that began, and whether no other node could have voided what they build on.
    pub(crate) begun: Vec<(Granted, bool)>,
    /// Tasks that it granted, with those before them that ended, although others may coordinate.
    pub(crate) built_on: Vec<(TaskId, Vec<(TaskId, Fence)>)>,
    /// Results that a worker was told to be final, though others may coordinate.
    pub(crate) finals: Vec<Granted>,
    pub(crate) wrong: Option<String>,
    pub(crate) notes: Vec<String>,
    /// Requests and responses.
    pub(crate) letters: Vec<(usize, Control)>,
    /// For the record of what people see.
    pub(crate) told: Vec<Told>,
}

pub(super) struct Ids {
    at: usize,
    pub(super) next: u128,
}

impl IdSource for Ids {
    fn session_id(&mut self, now_ms: TimestampMs) -> SessionId {
        self.next += 1;
        SessionId::from_parts(u64::try_from(now_ms).unwrap(), (self.at as u128) << 40 | self.next)
    }
}

impl Node {
    pub(crate) fn new(at: usize, plan: Arc<Plan>, rng: &mut Rng) -> Self {
        Self {
            at,
            did: did(at),
            plan,
            rng: Rng::new(rng.next()),
            now: 0,
            ahead: i64::try_from(rng.below(1_000_000)).unwrap(),
            skew: i64::try_from(rng.below(4_000)).unwrap() - 2_000,
            drift: i64::try_from(rng.below(11)).unwrap() - 5,
            is_asleep: false,
            is_gone: false,
            disk: Disk::default(),
            host: Host::new(at as u128),
            life: None,
            ids: Ids { at, next: 0 },
            crash: None,
            is_slow: false,
            short_percent: rng.below(10),
            out: Out::default(),
        }
    }

    /// CLOCK_BOOTTIME.
    pub(crate) fn boot_ms(&self) -> BootMs {
        self.ahead + self.now + self.now * self.drift / 1000
    }

    /// The clock on the wall.
    pub(crate) fn wall_ms(&self) -> TimestampMs {
        1_700_000_000_000 + self.skew + self.now + self.now * self.drift / 1000
    }

    /// It takes part in what happens.
    pub(crate) fn is_ready(&self) -> bool {
        !self.is_asleep && self.life.as_ref().is_some_and(|life| !life.is_stuck)
    }

    pub(super) fn wrong(&mut self, what: String) {
        let at = self.at;
        self.out.wrong.get_or_insert_with(|| format!("node {at}: {what}"));
    }

    pub(super) fn note(&mut self, what: impl Into<String>) {
        self.out.notes.push(what.into());
    }

    pub(super) fn life(&mut self) -> &mut Life {
        self.life.as_mut().unwrap()
    }

    /// Its process starts.
    pub(crate) fn start(&mut self) {
        self.note("starts");
        let (settings, boot, wall) = (self.plan.settings, self.boot_ms(), self.wall_ms());
        let mut machine = Machine::new(self.did.clone(), 40);
        machine.restore_groups(BTreeMap::from([(dags::SHARED.to_owned(), self.plan.shared)]));
        machine.set_host(Some(self.host.instance));
        let mirror = match folded(&self.plan, self.disk.facts()) {
            Ok(fold) => fold.map(|fold| fold.run().clone()),
            Err(error) => return self.wrong(format!("what is stored does not follow: {error}")),
        };
        let is_own = |run: &Run| run.facts().owner == self.did && !self.disk.is_forked();
        let mirror = mirror.filter(|run| is_own(run) && !run.state().is_terminal());
        mirror.iter().for_each(|run| machine.restore(run.clone()));
        let nonce = u64::try_from(wall).unwrap() << 10;
        let worker = self.plan.works(self.at).then(|| WorkerHalf::new(settings, nonce, boot));
        let life = Life {
            machine,
            mirror,
            coordinator: CoordinatorHalf::new(settings, false),
            worker,
            held: BTreeMap::new(),
            waiting: Vec::new(),
            suspicion: Suspicion::new(settings),
            head: None,
            others: Vec::new(),
            before: None,
            is_deaf: true,
            alive_at: 0,
            finality: None,
            read_own: None,
            to_recover: None,
            members: None,
            recovery: Recovery::new(ROOM.to_owned(), BTreeSet::new()),
            read: 0,
            known: Known::Unseen,
            sync: Sync::Idle,
            turn: Vec::new(),
            is_stuck: false,
            put_off: None,
            to_host: Vec::new(),
            said: Vec::new(),
            serving: Serving::default(),
            answering: Answering::default(),
            to_send: Vec::new(),
        };
        self.life = Some(life);
        self.recall_held();
        self.reconcile();
        if let Some(epoch) = self.life().mirror.as_ref().map(|run| run.facts().epoch) {
            self.handle(InputKind::HoldGrants { run: run(), held: true });
            self.life().to_recover = Some(epoch);
        }
        self.handle(InputKind::Tick);
        self.finish_turn();
    }

    /// Settles what became of attempts that ran here, under no lease, while the node did not.
    fn reconcile(&mut self) {
        let live: Vec<LiveAttempt> = self.life().machine.live_attempts().collect();
        let here: Vec<LiveAttempt> = live.into_iter().filter(|live| !self.is_elsewhere(live)).collect();
        for live in here {
            let LiveAttempt { attempt, fence, .. } = live;
            self.handle(if live.host != Some(self.host.instance) || live.cancelling || live.started {
                InputKind::AttemptLost { attempt, detail: "its session host ended".to_owned() }
            } else {
                let reason = Refusal::Withdrawn { full: false };
                InputKind::Worker(FromWorker::Refused { attempt, fence, reason })
            });
        }
        self.settle_held();
    }

    /// Whether an attempt is at work somewhere else, or here as a task of the room.
    pub(super) fn is_elsewhere(&self, live: &LiveAttempt) -> bool {
        let is_held = |life: &Life| life.held.contains_key(&live.attempt);
        live.node != self.did || self.life.as_ref().is_some_and(is_held)
    }

    /// Its process dies.
    pub(crate) fn die(&mut self) {
        self.note("dies");
        self.life = None;
        (self.crash, self.is_slow) = (None, false);
    }

    /// Its machine is lost with all that it had.
    pub(crate) fn lose_disk(&mut self) {
        self.die();
        self.note("loses its disk");
        self.disk = Disk::default();
        self.ids.next += 1_000_000;
        self.host = Host::new(self.ids.next);
    }

    /// The newest term that its worker is known to know of.
    pub(crate) fn newest_term(&self) -> Option<Epoch> {
        let held = self.disk.held.values().map(|kept| kept.epoch);
        let head = self.life.as_ref().and_then(|life| life.head.as_ref()).map(|head| head.at.epoch);
        held.chain(head).max()
    }

    /// A message arrives that somebody else sent than it seems. Nothing may follow from it.
    pub(crate) fn forged(&mut self, from: &NodeDid, message: Message<Work>) {
        self.federated(from, message);
    }

    /// A turn of the node: what is due.
    pub(crate) fn tick(&mut self) {
        if !self.is_ready() {
            return;
        }
        self.collect_prompts();
        self.collect_typed();
        self.collect_exits();
        self.worker_said();
        self.federate();
        self.ask_again();
        let wall = self.wall_ms();
        if self.life().machine.poll_timeout().is_some_and(|(at, _)| at <= wall) {
            self.handle(InputKind::Tick);
        }
        self.finish_turn();
    }

    /// When something is due, on the world's clock, about.
    pub(crate) fn next_due(&self) -> Option<i64> {
        let freeze = self.host.next_freeze();
        let life = self.life.as_ref().filter(|_| self.is_ready());
        let halves = life.into_iter().flat_map(|life| {
            let worker = life.worker.as_ref().and_then(WorkerHalf::poll_timeout);
            [worker, life.coordinator.poll_timeout(), life.next_of_terms()]
        });
        let boot = halves.flatten().chain(freeze).min().map(|at| at - self.boot_ms());
        let machine = life.and_then(|life| life.machine.poll_timeout()).map(|(at, _)| at - self.wall_ms());
        boot.into_iter().chain(machine).min().map(|left| self.now + left.max(0))
    }

    /// A message arrives.
    pub(crate) fn hear(&mut self, from: &NodeDid, message: Message<Work>) {
        if self.is_ready() {
            self.federated(from, message);
            self.finish_turn();
        }
    }

    pub(super) fn federated(&mut self, from: &NodeDid, message: Message<Work>) {
        let addressee = message.addressee();
        let right = match addressee {
            Addressee::Worker | Addressee::Voter => Right::Coordinate,
            Addressee::Coordinator => Right::Execute,
        };
        let (boot, is_own) = (self.boot_ms(), *from == self.did);
        let life = self.life();
        if !is_own && !life.members.as_ref().is_some_and(|members| members.may(from, right)) {
            return;
        }
        match addressee {
            Addressee::Voter => life.suspicion.heard(from, boot),
            Addressee::Worker => {
                let mut out = Vec::new();
                if let Some(worker) = &mut life.worker {
                    // Old terms are refused: that is no mistake of anybody.
                    let _ = worker.receive(from, message, boot, &mut out);
                    self.work(out);
                } else if let Message::Recover { run, epoch } = message {
                    self.send(from, Message::Holding { run, epoch, held: Vec::new() });
                }
            }
            Addressee::Coordinator if self.is_of_before(&message) => {}
            Addressee::Coordinator => {
                if let Some(granted) = self.of_ended(&message) {
                    return self.forget_of_ended(from, granted);
                }
                let mut out = Vec::new();
                let _ = self.life().coordinator.receive(from, message, boot, &mut out);
                self.lead(out);
            }
        }
    }

    pub(super) fn send(&mut self, to: &NodeDid, message: Message<Work>) {
        if *to == self.did {
            let own = self.did.clone();
            self.federated(&own, message);
        } else {
            self.out.sent.push((number(to), message));
        }
    }

    /// The same once the turn is durable.
    pub(super) fn send_durable(&mut self, to: NodeDid, message: Message<Work>) {
        if to == self.did {
            self.send(&to, message);
        } else {
            self.life().to_send.push((to, message));
        }
    }

    /// Submits the run.
    pub(crate) fn submit(&mut self) {
        let facts = Box::new(self.plan.facts(ExecutionMode::Matrix, self.did.clone()));
        let dag = Arc::clone(&self.plan.dag);
        self.handle(InputKind::Submit { run: run(), facts, dag, start: true });
        self.finish_turn();
    }

    /// What people ask of a run at this node.
    pub(crate) fn ask(&mut self, kind: InputKind) {
        self.restore_ended();
        self.handle(kind);
        self.finish_turn();
    }

    /// A run that the machine let go of is read from the store again.
    pub(super) fn restore_ended(&mut self) {
        if self.life().machine.run(&run()).is_none()
            && !self.disk.is_forked()
            && let Ok(Some(fold)) = folded(&self.plan, self.disk.facts())
        {
            let stored = fold.run().clone();
            self.life().machine.restore(stored.clone());
            self.life().mirror = Some(stored);
        }
    }

    pub(super) fn handle(&mut self, kind: InputKind) -> bool {
        self.handle_for(Input::internal(kind)).is_ok()
    }

    /// Lets the scheduler handle an input, and keeps its events for the end of the turn.
    pub(super) fn handle_for(&mut self, input: Input) -> Result<(), Rejected> {
        let (wall, kind) = (self.wall_ms(), &input.kind);
        let asked = kind.clone();
        // Whether what a worker has counts is found out by trying.
        let is_tried = matches!(kind, InputKind::Adopt { .. });
        let life = self.life.as_mut().unwrap();
        let taken = life.machine.handle(input, wall, &mut self.ids).and(life.machine.take_failure());
        let events: Vec<_> = life.machine.drain_events().filter(|event| event.run.is_some()).collect();
        if let Err(rejected) = &taken {
            let is_bug = matches!(rejected, Rejected::State(text) if text.contains("cis store check"));
            if !events.is_empty() || (is_bug && !is_tried) {
                self.wrong(format!("{asked:?} is rejected ({rejected}) with {events:?}"));
                return taken;
            }
        }
        for event in events {
            let fact = Fact { at_ms: event.at_ms, actor: event.actor, cause: event.cause, body: event.body };
            if let Err(error) = self.mirror(&fact) {
                self.wrong(format!("{asked:?} leads to {fact:?}: {error}"));
            }
            self.life().turn.push(Write::Event(fact));
        }
        taken
    }

    pub(super) fn mirror(&mut self, fact: &Fact) -> Result<(), String> {
        let plan = Arc::clone(&self.plan);
        let life = self.life();
        match (&fact.body, &mut life.mirror) {
            (EventBody::RunCreated(facts), _) => {
                let made = Run::new(run(), facts, Arc::clone(&plan.dag), fact.at_ms);
                life.mirror = Some(made.map_err(|e| e.to_string())?);
                Ok(())
            }
            (body, Some(run)) => run.apply(body, fact.at_ms).map_err(|e| e.to_string()),
            (_, None) => Err("no run".to_owned()),
        }
    }

    /// The laws of the scheduler: its events say what it has, the state is sound, and what is due was done.
    pub(crate) fn check(&mut self) {
        let wall = self.wall_ms();
        let Some(life) = &self.life else { return };
        let (machine, mirror) = (life.machine.run(&run()), life.mirror.as_ref());
        let wrong = match (machine, mirror) {
            (Some(machine), Some(mirror)) if machine != mirror => {
                Some(format!("the scheduler has {machine:#?}, its events say {mirror:#?}"))
            }
            (Some(machine), _) => machine.audit().err().or_else(|| {
                let times = machine.times(wall, true);
                let split = times.critical;
                let is_whole = split.queue_ms + split.machine_ms + split.human_ms == times.wall_ms;
                (!is_whole).then(|| format!("the parts of its time make not the whole: {times:?}"))
            }),
            (None, _) => None,
        };
        if let Some(wrong) = wrong {
            self.wrong(wrong);
        }
    }

    /// Makes the turn durable, then performs what follows. What that brings about is a turn of its own.
    pub(crate) fn finish_turn(&mut self) {
        while self.life.is_some() && self.persist() && self.perform() {
            if self.life().turn.is_empty() && self.life().said.is_empty() {
                break;
            }
            self.worker_said();
        }
    }

    /// Whether the turn goes on.
    fn persist(&mut self) -> bool {
        if self.life().turn.is_empty() {
            return true;
        }
        if self.crash == Some(Crash::BeforeStore) {
            self.die();
            return false;
        }
        if self.is_slow {
            self.note("waits for its disk");
            self.life().is_stuck = true;
            return false;
        }
        let turn = std::mem::take(&mut self.life().turn);
        let events = turn.iter().filter_map(|write| match write {
            Write::Event(fact) => Some(fact),
            _ => None,
        });
        let seen = seen_in_all(&gates(&self.plan.dag), &events.collect::<Vec<_>>());
        let mut seen = seen.into_iter();
        for write in turn {
            if let Write::Event(_) = &write
                && let Some(seen) = seen.next()
                && let Some((_, epoch)) = self.disk.term()
            {
                self.out.told.extend(seen.into_iter().map(|seen| Told::Seen(epoch, seen)));
            }
            if let Write::Story(shown) = &write {
                self.out.told.push(Told::Prompt(shown.clone()));
            }
            self.disk.write(write);
        }
        if self.crash == Some(Crash::BeforeEffects) {
            self.die();
            return false;
        }
        true
    }

    /// The slow disk has written the turn.
    pub(crate) fn disk_done(&mut self) {
        self.is_slow = false;
        let Some(life) = self.life.as_mut().filter(|life| life.is_stuck) else { return };
        life.is_stuck = false;
        let put_off = life.put_off.take();
        self.note("has written to its disk");
        self.finish_turn();
        if let (Some((at, head)), true) = (put_off, self.is_ready()) {
            self.room_read(at, head);
            self.finish_turn();
        }
    }

    fn perform(&mut self) -> bool {
        self.confirm();
        for (to, message) in std::mem::take(&mut self.life().to_send) {
            self.send(&to, message);
        }
        let mut effects: Vec<Effect> = self.life().machine.drain_effects().collect();
        let dies = match self.crash {
            Some(Crash::BetweenEffects(some)) if !effects.is_empty() => {
                effects.truncate(some);
                true
            }
            _ => false,
        };
        for effect in effects {
            match effect {
                Effect::Grant { attempt, session, fence, node } => {
                    self.grant(Granted { attempt, fence }, session, node);
                }
                Effect::Cancel { attempt, fence, grace_ms, keep } => {
                    let boot = self.boot_ms();
                    self.life().coordinator.cancel(&Granted { attempt, fence }, grace_ms, keep, boot);
                }
                Effect::AwaitRoom { number, .. } => self.await_room(number),
                Effect::Ack { attempt, fence } => self.acknowledge(Granted { attempt, fence }),
                Effect::Withdraw { .. } => {}
                other => self.wrong(format!("no file says what is done about a question, and yet {other:?}")),
            }
        }
        self.offer_grants();
        if !self.life().machine.forget_ended().is_empty() {
            self.life().mirror = None;
        }
        if dies {
            self.die();
            return false;
        }
        self.tell_host();
        self.type_answers();
        true
    }

    /// Whether it coordinates the run.
    pub(crate) fn leads(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.coordinator.epoch(run()).is_some())
    }

    /// Writes what is new of the run into its journal, and queues it.
    pub(crate) fn write_journal(&mut self, body_max: usize) {
        self.write_pages(|at, writer, ids| signed(at, writer, body_max, ids));
    }

    /// The same, in a file that nobody gets.
    pub(crate) fn lose_entries(&mut self) {
        self.write_pages(lost);
    }

    fn write_pages(&mut self, pages: impl Fn(usize, &mut Writer, &mut u128) -> Vec<Item>) {
        let Some((newest, mut writer)) = self.writer().filter(|_| self.is_ready()) else { return };
        let items = pages(self.at, &mut writer, &mut self.ids.next);
        self.disk.outbox.extend(items);
        let position = writer.position();
        self.disk.followed = Some((newest, Some(position)));
        let life = self.life();
        if life.coordinator.epoch(run()).is_some()
            && let Some(finality) = &mut life.finality
        {
            let finals = finality.written(newest, position);
            assert!(finals.is_empty(), "nothing is read back before it is written");
            self.more_is_final();
        }
    }

    /// Somebody else who has the key of this node writes the next entries of its journal otherwise: something happened later, and
    /// maybe the newest thing did not happen. None: there is nothing to write, or it comes to the same.
    pub(crate) fn forked_journal(&mut self, leaves_out: bool) -> Option<Vec<Item>> {
        let (_, mut own) = self.writer()?;
        let (published, position) = self.disk.followed?;
        let mut writer = self.writer_at(position);
        let mut facts: Vec<Fact> = self.disk.after(published).cloned().collect();
        if leaves_out {
            facts.pop();
        }
        facts.last_mut()?.at_ms += 1;
        facts.into_iter().for_each(|fact| writer.push(fact));
        let mut ids = self.ids.next + 500_000;
        let items = signed(self.at, &mut writer, 50_000, &mut ids);
        signed(self.at, &mut own, 50_000, &mut ids);
        (!items.is_empty() && writer.position() != own.position()).then_some(items)
    }

    /// A writer that has everything new of the run, and up to which event that is. None: there is nothing new.
    fn writer(&self) -> Option<(Offset, Writer)> {
        let (published, position) = self.disk.followed?;
        let newest = self.disk.newest_of_run();
        let mut writer = self.writer_at(position);
        self.disk.after(published).for_each(|fact| writer.push(fact.clone()));
        (newest > published).then_some((newest, writer))
    }

    fn writer_at(&self, position: Option<Position>) -> Writer {
        match position {
            Some(position) => Writer::resume(run(), self.did.clone(), position),
            None => Writer::begin(run(), self.did.clone(), Some("a file".to_owned())),
        }
    }
}
