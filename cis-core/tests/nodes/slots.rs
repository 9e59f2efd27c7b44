//! Several coordinators that give the tasks of their runs to the same workers, which may be coordinators themselves: the real scheduler and
//! the real halves of the protocol, with a network that loses and reorders messages.
//!
//! No worker ever runs more sessions than it has slots, no coordinator waits until another one has nothing to do, and no attempt is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cis_core::api::{Refusal, Report};
use cis_core::dag::{Action, Dag, Task};
use cis_core::event::{AttemptOutcome, EventBody, ExecutionMode, RunCreated, RunState};
use cis_core::federation::lead;
use cis_core::federation::protocol::Settings;
use cis_core::federation::protocol::coordinator::{self, CoordinatorHalf};
use cis_core::federation::protocol::message::{Addressee, Grant, Granted, Message};
use cis_core::federation::protocol::worker::{self, WorkerHalf};
use cis_core::ids::{HostInstance, NodeDid, RunId, SessionId, TaskId, TimestampMs};
use cis_core::scheduler::placement::NodeOffer;
use cis_core::scheduler::{Effect, IdSource, Input, InputKind, Machine};

use crate::node::Work;
use crate::plan::ROOM;
use crate::rng::{Rng, seeds};

/// The first run has so many tasks: more than any other one should wait for.
const TASKS_OF_THE_LONG_RUN: u64 = 200;
/// Longer than all tasks together take.
const LONG_MS: i64 = 120_000;
const START_MS: TimestampMs = 1_700_000_000_000;

struct Ids(u128);

impl IdSource for Ids {
    fn session_id(&mut self, now_ms: TimestampMs) -> SessionId {
        self.0 += 1;
        SessionId::from_parts(u64::try_from(now_ms).unwrap(), self.0)
    }
}

/// A node, and when its sessions end.
struct Node {
    did: NodeDid,
    machine: Machine,
    coordinator: CoordinatorHalf<Work>,
    worker: Option<WorkerHalf<Work>>,
    slots: u32,
    sessions: BTreeMap<SessionId, (Granted, i64)>,
    run: Option<RunId>,
    /// It has an earlier version, which does not know that a node says that it is full.
    is_old: bool,
}

struct Packet {
    to: NodeDid,
    from: NodeDid,
    message: Message<Work>,
    at: i64,
}

struct World {
    rng: Rng,
    now: i64,
    ids: Ids,
    nodes: Vec<Node>,
    net: Vec<Packet>,
    coordinators: Vec<NodeDid>,
    /// Grants that were refused for lack of a slot.
    refused: u32,
    granted: u32,
}

fn did(at: usize) -> NodeDid {
    NodeDid(format!("did:key:{at}"))
}

fn settings() -> Settings {
    // No lease ends here.
    Settings { lease_ms: 60_000, heartbeat_ms: 300, resend_ms: 100, ..Settings::default() }
}

fn file(tasks: u64) -> Dag {
    let task = |n| Task::new(TaskId::new(&format!("t{n}")).unwrap(), Action::Command(vec!["true".into()]));
    Dag { id: "slots".into(), tasks: (0..tasks).map(task).collect(), ..Dag::default() }
}

fn facts(dag: &Dag, owner: NodeDid) -> RunCreated {
    RunCreated {
        max_parallel: 8,
        mode: ExecutionMode::Matrix,
        room: Some(ROOM.to_owned()),
        ..RunCreated::sample(&dag.id, dag.tasks.len(), owner)
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let coordinators = usize::try_from(rng.between(2, 4)).unwrap();
        let workers = usize::try_from(rng.between(1, 2)).unwrap();
        // Coordinators may be the workers.
        let first_worker = if rng.percent(50) { coordinators } else { coordinators - workers };
        let has_old = rng.percent(30);
        let nodes = (0..coordinators.max(first_worker + workers)).map(|at| {
            let works = (first_worker..first_worker + workers).contains(&at);
            let mut machine = Machine::new(did(at), 40);
            machine.set_host(Some(HostInstance::from_parts(2, at as u128)));
            Node {
                did: did(at),
                machine,
                coordinator: CoordinatorHalf::new(settings(), true),
                worker: works.then(|| WorkerHalf::new(settings(), 1, 0)),
                slots: u32::try_from(rng.between(1, 4)).unwrap(),
                sessions: BTreeMap::new(),
                run: None,
                is_old: !works && has_old && rng.percent(50),
            }
        });
        let nodes: Vec<Node> = nodes.collect();
        let coordinators = (0..coordinators).map(did).collect();
        let (net, ids) = (Vec::new(), Ids(0));
        Self { rng, now: 0, ids, nodes, net, coordinators, refused: 0, granted: 0 }
    }

    fn submit(&mut self, at: usize, tasks: u64) {
        let run = RunId::from_parts(1, at as u128 + 1);
        let dag = file(tasks);
        let facts = Box::new(facts(&dag, did(at)));
        self.nodes[at].run = Some(run);
        self.nodes[at].coordinator.begin(run, 0);
        self.handle(at, InputKind::Submit { run, facts, dag: Arc::new(dag), start: true });
        self.finish(at);
    }

    fn handle(&mut self, at: usize, kind: InputKind) {
        let node = &mut self.nodes[at];
        let _ = node.machine.handle(Input::internal(kind), START_MS + self.now, &mut self.ids);
        for event in node.machine.drain_events() {
            if let EventBody::TaskAssigned(_) = event.body {
                self.granted += 1;
            }
        }
    }

    /// What follows from a turn.
    fn finish(&mut self, at: usize) {
        loop {
            let node = &mut self.nodes[at];
            let effects: Vec<Effect> = node.machine.drain_effects().collect();
            let mut out = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Grant { attempt, session, fence, node: to } => {
                        let grant = Grant { granted: Granted { attempt, fence }, session, spec: 0 };
                        node.coordinator.grant(to, grant, self.now);
                    }
                    Effect::Ack { attempt, fence } => {
                        let granted = Granted { attempt, fence };
                        if let Some(worker) = node.coordinator.worker_of(&granted).cloned() {
                            node.coordinator.release(&granted, &worker, &mut out);
                        }
                    }
                    _ => {}
                }
            }
            node.coordinator.tick(self.now, &mut out);
            if out.is_empty() {
                break;
            }
            self.lead(at, out);
        }
    }

    fn lead(&mut self, at: usize, effects: Vec<coordinator::Effect<Work>>) {
        for effect in effects {
            match effect {
                coordinator::Effect::Send { to, message } => self.send(at, to, message),
                coordinator::Effect::Status { worker: node, status } => {
                    let (room, offer) = (ROOM.to_owned(), Some(status));
                    self.handle(at, InputKind::NodeOffer { room, node, offer });
                }
                coordinator::Effect::Lost(granted) => panic!("{granted:?} is lost, and its worker is there"),
                other => lead::inputs(&other).into_iter().for_each(|kind| self.handle(at, kind)),
            }
        }
    }

    fn work(&mut self, at: usize, effects: Vec<worker::Effect<Work>>) {
        for effect in effects {
            match effect {
                worker::Effect::Send { to, message } => self.send(at, to, message),
                worker::Effect::Start { grant: Grant { granted, session, .. }, .. } => {
                    let (now, ends_at) =
                        (self.now, self.now + i64::try_from(self.rng.between(20, 200)).unwrap());
                    let slots = self.nodes[at].slots;
                    let Some(worker) = &mut self.nodes[at].worker else { continue };
                    if worker.lacks_slot(&granted, slots, now) {
                        self.refused += 1;
                        let mut out = Vec::new();
                        worker.refused(&granted, Refusal::Withdrawn { full: true }, now, &mut out);
                        self.work(at, out);
                    } else {
                        self.nodes[at].sessions.insert(session, (granted, ends_at));
                        let sessions = self.nodes[at].sessions.len();
                        assert!(sessions <= slots as usize, "{sessions} sessions in {slots} slots");
                    }
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, at: usize, to: NodeDid, message: Message<Work>) {
        let from = did(at);
        if to == from {
            return self.hear(at, &from, message);
        }
        if self.rng.percent(95) {
            let delay = i64::try_from(self.rng.between(1, 40)).unwrap();
            self.net.push(Packet { to, from, message, at: self.now + delay });
        }
    }

    fn hear(&mut self, at: usize, from: &NodeDid, message: Message<Work>) {
        let node = &mut self.nodes[at];
        let message = match message {
            Message::Refused { granted, reason: Refusal::Withdrawn { .. } } if node.is_old => {
                Message::Refused { granted, reason: Refusal::Withdrawn { full: false } }
            }
            other => other,
        };
        if message.addressee() == Addressee::Worker {
            let mut out = Vec::new();
            if let Some(worker) = &mut node.worker {
                let _ = worker.receive(from, message, self.now, &mut out);
            }
            self.work(at, out);
        } else {
            let mut out = Vec::new();
            let _ = node.coordinator.receive(from, message, self.now, &mut out);
            self.lead(at, out);
        }
    }

    fn step(&mut self) {
        self.now += 5;
        let (due, later): (Vec<Packet>, Vec<Packet>) =
            std::mem::take(&mut self.net).into_iter().partition(|packet| packet.at <= self.now);
        self.net = later;
        for Packet { to, from, message, .. } in due {
            let Some(at) = self.nodes.iter().position(|node| node.did == to) else { continue };
            self.hear(at, &from, message);
            self.finish(at);
        }
        for at in 0..self.nodes.len() {
            self.end_sessions(at);
            let offer = self.offer(at);
            let (now, coordinators, mut out) = (self.now, self.coordinators.clone(), Vec::new());
            if let Some(worker) = &mut self.nodes[at].worker {
                worker.tick(now, Some(&offer), &coordinators, &mut out);
            }
            self.work(at, out);
            self.handle(at, InputKind::Tick);
            self.finish(at);
        }
    }

    fn end_sessions(&mut self, at: usize) {
        let now = self.now;
        let over = |(_, (_, ends_at)): &(&SessionId, &(Granted, i64))| *ends_at <= now;
        let ended: BTreeSet<SessionId> =
            self.nodes[at].sessions.iter().filter(over).map(|(session, _)| *session).collect();
        for session in ended {
            let Some((granted, _)) = self.nodes[at].sessions.remove(&session) else { continue };
            let wall = START_MS + now;
            let (report, mut out) = (Report::bare(AttemptOutcome::Succeeded, Some(wall), wall), Vec::new());
            if let Some(worker) = &mut self.nodes[at].worker {
                worker.ended(&granted, report, now, &mut out);
            }
            self.work(at, out);
        }
    }

    fn offer(&self, at: usize) -> NodeOffer {
        let node = &self.nodes[at];
        let sessions = u32::try_from(node.sessions.len()).unwrap();
        NodeOffer { name: format!("n{at}"), slots: node.slots, sessions, ..NodeOffer::default() }
    }

    fn stands(&self) -> String {
        let of = |node: &Node| {
            let counts = node.run.and_then(|run| node.machine.run(&run)).map(|run| {
                let tasks = run.tasks().filter(|(_, entry)| entry.state.is_terminal()).count();
                (run.state(), tasks, run.len())
            });
            (node.did.clone(), node.slots, node.sessions.len(), counts)
        };
        let nodes: Vec<_> = self.nodes.iter().map(of).collect();
        format!("at {}, {} granted, {} refused: {nodes:?}", self.now, self.granted, self.refused)
    }

    fn has_ended(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        let state = |run| node.machine.run(run).map(cis_core::scheduler::Run::state);
        node.run.as_ref().is_none_or(|run| state(run).is_none_or(RunState::is_terminal))
    }
}

fn walk(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..20 {
        world.step();
    }
    let coordinators = world.coordinators.len();
    // Some begin at the same moment, some when all slots are taken.
    let at_once = world.rng.percent(50);
    world.submit(0, TASKS_OF_THE_LONG_RUN);
    for at in 1..coordinators {
        let wait = if at_once { 0 } else { world.rng.between(0, 100) };
        (0..wait).for_each(|_| world.step());
        let tasks = world.rng.between(1, 6);
        world.submit(at, tasks);
    }
    let others_ended = |world: &World| (1..coordinators).all(|at| world.has_ended(at));
    while !others_ended(&world) {
        assert!(
            !world.has_ended(0),
            "seed {seed}: a short run waits until the long one has ended: {}",
            world.stands()
        );
        assert!(world.now < LONG_MS, "seed {seed}: a short run does not end: {}", world.stands());
        world.step();
    }
    while !world.has_ended(0) {
        assert!(world.now < LONG_MS, "seed {seed}: the long run does not end: {}", world.stands());
        world.step();
    }
    let tasks = world.granted - world.refused;
    let is_old = world.nodes.iter().any(|node| node.is_old);
    assert!(
        world.refused < if is_old { tasks } else { tasks / 4 },
        "seed {seed}: {} of {} grants are refused",
        world.refused,
        world.granted
    );
}

#[test]
fn coordinators_share_the_slots_of_their_workers() {
    seeds(0, 40).into_iter().for_each(walk);
}
