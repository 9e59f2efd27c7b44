//! Many nodes of a room in one process: the real scheduler, both halves of the protocol and the lanes of messages, with an
//! in-memory carrier and a clock of its own. Prints how many messages and envelopes a task costs, and how much memory all of it
//! takes: a JSON object per scenario. Sessions are timers.

#![allow(clippy::print_stdout, reason = "it prints figures")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use cis_core::api::{Program, Report, TaskSpec};
use cis_core::dag::{Action, Dag, Task};
use cis_core::event::{AttemptOutcome, ExecutionMode, RunCreated};
use cis_core::federation::direct::{Progress, RemoteSpec, TaskPayload};
use cis_core::federation::lanes::{Lanes, Ready};
use cis_core::federation::lead;
use cis_core::federation::protocol::coordinator::{self, CoordinatorHalf};
use cis_core::federation::protocol::message::{Addressee, Grant, Granted, Message};
use cis_core::federation::protocol::worker::{self, WorkerHalf};
use cis_core::federation::protocol::{BootMs, Settings};
use cis_core::ids::{NodeDid, RunId, SessionId, TaskId, TimestampMs};
use cis_core::scheduler::placement::NodeOffer;
use cis_core::scheduler::{Effect, IdSource, Input, InputKind, Machine};

const NODES: usize = 100;
const TASKS: usize = 100_000;
const SLOTS: u32 = 8;
/// From a node to another, ms; the sender knows after half of it that an envelope is on its way.
const WAY_MS: BootMs = 20;
/// How long a session takes, ms.
const TAKES_MS: BootMs = 10_000;
/// One that lives for so long is told of, ms.
const YOUNG_MS: BootMs = 20;
/// So long after it was recorded, a result is in the room's journal, ms.
const FINAL_MS: BootMs = 1000;
const ROOM: &str = "!bench:example.org";

/// What happens at a time.
enum Event {
    Arrives { at: usize, from: usize, messages: Vec<Message<TaskPayload>> },
    Sent { from: usize, to: (String, NodeDid), number: u64 },
    LanesDue { of: usize },
    WorkerDue { of: usize },
    Shown { of: usize, granted: Granted },
    Ended { of: usize, granted: Granted },
    Final { granted: Granted, worker: NodeDid },
}

/// A node; the first one only coordinates.
struct Node {
    did: NodeDid,
    worker: WorkerHalf<TaskPayload>,
    lanes: Lanes,
    /// Sessions that live.
    live: u32,
    waiting: VecDeque<Granted>,
    /// When it is looked at next.
    due: BootMs,
    lanes_due: BootMs,
}

struct Ids(u128);

impl IdSource for Ids {
    fn session_id(&mut self, now_ms: TimestampMs) -> SessionId {
        self.0 += 1;
        SessionId::from_parts(u64::try_from(now_ms).unwrap_or_default(), self.0)
    }
}

struct World {
    now: BootMs,
    events: BTreeMap<u64, Event>,
    queue: BinaryHeap<Reverse<(BootMs, u64)>>,
    number: u64,
    machine: Machine,
    ids: Ids,
    half: CoordinatorHalf<TaskPayload>,
    nodes: Vec<Node>,
    index: BTreeMap<NodeDid, usize>,
    run: RunId,
    sole: bool,
    messages: u64,
    envelopes: u64,
    bytes: u64,
}

fn spec() -> RemoteSpec {
    let spec = TaskSpec {
        program: Program::Argv(vec!["make".to_owned(), "test".to_owned()]),
        env: BTreeMap::new(),
        base_env: None,
        umask: None,
        cwd: ".".to_owned(),
        keeps_log: false,
        tty: false,
        secrets: BTreeMap::new(),
        run_secrets: Vec::new(),
        sensitive: Vec::new(),
        timeout_ms: None,
        idle_ms: None,
        grace_ms: 5000,
        log_limit_bytes: 1 << 20,
        outputs: BTreeMap::new(),
        artifacts: Vec::new(),
        cache: None,
        context: None,
        profile: None,
        inputs: BTreeMap::new(),
    };
    let spec = Box::new(spec);
    RemoteSpec {
        slots: SLOTS * NODES as u32,
        files: None,
        tags: Some(Vec::new()),
        spec,
        sealed: None,
        commit: false,
    }
}

fn facts(owner: NodeDid) -> RunCreated {
    RunCreated {
        max_parallel: SLOTS * NODES as u32,
        mode: ExecutionMode::Matrix,
        room: Some(ROOM.to_owned()),
        ..RunCreated::sample("many", TASKS, owner)
    }
}

impl World {
    fn new(sole: bool) -> Self {
        let settings = Settings::default();
        let node = |n: usize| Node {
            did: NodeDid(format!("did:key:node{n:03}")),
            worker: WorkerHalf::new(settings, 1, n as BootMs),
            lanes: Lanes::default(),
            live: 0,
            waiting: VecDeque::new(),
            due: BootMs::MAX,
            lanes_due: BootMs::MAX,
        };
        let nodes: Vec<Node> = (0..=NODES).map(node).collect();
        let index = nodes.iter().enumerate().map(|(at, node)| (node.did.clone(), at)).collect();
        let mut half = CoordinatorHalf::new(settings, sole);
        let run = RunId::from_parts(1, 1);
        half.begin(run, 0);
        Self {
            now: 1000,
            events: BTreeMap::new(),
            queue: BinaryHeap::new(),
            number: 0,
            machine: Machine::new(nodes[0].did.clone(), 0),
            ids: Ids(0),
            half,
            nodes,
            index,
            run,
            sole,
            messages: 0,
            envelopes: 0,
            bytes: 0,
        }
    }

    fn at(&mut self, after_ms: BootMs, event: Event) {
        self.number += 1;
        self.events.insert(self.number, event);
        self.queue.push(Reverse((self.now + after_ms.max(0), self.number)));
    }

    fn send(&mut self, from: usize, to: NodeDid, message: Message<TaskPayload>) {
        self.nodes[from].lanes.push((ROOM.to_owned(), to), message, false, self.now);
        self.look_at_lanes(from);
    }

    fn look_at_lanes(&mut self, of: usize) {
        for Ready { to, number, messages, bytes } in self.nodes[of].lanes.take_ready(self.now) {
            self.envelopes += 1;
            self.messages += messages.len() as u64;
            self.bytes += bytes as u64;
            let at = self.index[&to.1];
            self.at(WAY_MS, Event::Arrives { at, from: of, messages });
            self.at(WAY_MS / 2, Event::Sent { from: of, to, number });
        }
        if let Some(due) = self.nodes[of].lanes.poll_timeout().filter(|due| *due < self.nodes[of].lanes_due) {
            self.nodes[of].lanes_due = due;
            self.at(due - self.now, Event::LanesDue { of });
        }
    }

    fn input(&mut self, kind: InputKind) {
        // A refusal is what an old fence gets.
        let _ = self.machine.handle(Input::internal(kind), self.now, &mut self.ids);
        drop(self.machine.drain_events());
        let effects: Vec<Effect> = self.machine.drain_effects().collect();
        for effect in effects {
            match effect {
                Effect::Grant { attempt, session, fence, node } => {
                    let granted = Granted { attempt, fence };
                    self.half.grant(node, Grant { granted, session, spec: spec() }, self.now);
                }
                Effect::Ack { attempt, fence } => {
                    let granted = Granted { attempt, fence };
                    let Some(worker) = self.half.worker_of(&granted).cloned() else { continue };
                    let mut out = Vec::new();
                    if self.sole {
                        self.half.release(&granted, &worker, &mut out);
                    } else {
                        self.half.recorded(&granted, &mut out);
                        self.at(FINAL_MS, Event::Final { granted, worker });
                    }
                    self.lead(out);
                }
                _ => {}
            }
        }
    }

    fn lead(&mut self, effects: Vec<coordinator::Effect<TaskPayload>>) {
        for effect in effects {
            match effect {
                coordinator::Effect::Send { to, message } => self.send(0, to, message),
                coordinator::Effect::Status { worker, status } => {
                    self.input(InputKind::NodeOffer {
                        room: ROOM.to_owned(),
                        node: worker,
                        offer: Some(status),
                    });
                }
                coordinator::Effect::Progress { ref granted, first, ref progress } => {
                    let mut out = Vec::new();
                    self.half.noted(granted, first + progress.len() as u32, &mut out);
                    lead::inputs(&effect).into_iter().for_each(|kind| self.input(kind));
                    self.lead(out);
                }
                other => lead::inputs(&other).into_iter().for_each(|kind| self.input(kind)),
            }
        }
    }

    fn begins(&mut self, of: usize) {
        while self.nodes[of].live < SLOTS {
            let Some(granted) = self.nodes[of].waiting.pop_front() else { return };
            self.nodes[of].live += 1;
            self.at(YOUNG_MS, Event::Shown { of, granted: granted.clone() });
            self.at(TAKES_MS, Event::Ended { of, granted });
        }
    }

    fn work(&mut self, of: usize, effects: Vec<worker::Effect<TaskPayload>>) {
        for effect in effects {
            match effect {
                worker::Effect::Send { to, message } => self.send(of, to, message),
                worker::Effect::Start { grant, .. } => self.nodes[of].waiting.push_back(grant.granted),
                _ => {}
            }
        }
        drop(self.nodes[of].worker.take_changes());
        self.begins(of);
        let node = &mut self.nodes[of];
        if let Some(due) = node.worker.poll_timeout().filter(|due| *due < node.due) {
            node.due = due.max(self.now + 1);
            let after_ms = node.due - self.now;
            self.at(after_ms, Event::WorkerDue { of });
        }
    }

    fn happens(&mut self, event: Event) {
        let (now, mut out) = (self.now, Vec::new());
        match event {
            Event::Arrives { at, from, messages } => {
                let from = self.nodes[from].did.clone();
                for message in messages {
                    if message.addressee() == Addressee::Coordinator {
                        let mut out = Vec::new();
                        self.half.receive(&from, message, now, &mut out).expect("a message that fits");
                        self.lead(out);
                    } else {
                        let mut out = Vec::new();
                        self.nodes[at].worker.receive(&from, message, now, &mut out).expect("one that fits");
                        self.work(at, out);
                    }
                }
            }
            Event::Sent { from, to, number } => {
                self.nodes[from].lanes.sent(&to, number);
                self.look_at_lanes(from);
            }
            Event::LanesDue { of } => {
                self.nodes[of].lanes_due = BootMs::MAX;
                self.look_at_lanes(of);
            }
            Event::WorkerDue { of } => {
                let node = &mut self.nodes[of];
                node.due = BootMs::MAX;
                let sessions = u32::try_from(node.worker.live_sessions()).unwrap_or(u32::MAX);
                let offer = NodeOffer { slots: SLOTS, sessions, ..NodeOffer::default() };
                let coordinator = NodeDid("did:key:node000".to_owned());
                node.worker.tick(now, Some(&offer), &[coordinator], &mut out);
                self.work(of, out);
            }
            Event::Shown { of, granted } => {
                self.nodes[of].worker.progress(&granted, Progress::Started { at_ms: now }, now, &mut out);
                self.work(of, out);
            }
            Event::Ended { of, granted } => {
                self.nodes[of].live -= 1;
                let report = Report::bare(AttemptOutcome::Succeeded, Some(now - TAKES_MS), now);
                self.nodes[of].worker.ended(&granted, report, now, &mut out);
                self.work(of, out);
            }
            Event::Final { granted, worker } => {
                let mut out = Vec::new();
                self.half.release(&granted, &worker, &mut out);
                self.lead(out);
            }
        }
        // What a turn of the node ends with.
        self.half.witnessed(now);
        let mut out = Vec::new();
        self.half.tick(now, &mut out);
        self.lead(out);
    }

    fn run(&mut self) {
        let task = |n| Task {
            tty: false,
            ..Task::new(
                TaskId::new(&format!("t{n}")).expect("a name"),
                Action::Command(vec!["make".to_owned(), "test".to_owned()]),
            )
        };
        let tasks: Vec<Task> = (0..TASKS).map(task).collect();
        let dag = Arc::new(Dag { id: "many".to_owned(), tasks, ..Dag::default() });
        let facts = Box::new(facts(self.nodes[0].did.clone()));
        self.input(InputKind::Submit { run: self.run, facts, dag, start: true });
        (1..=NODES).for_each(|of| self.at(of as BootMs, Event::WorkerDue { of }));
        while let Some(Reverse((at, number))) = self.queue.pop() {
            self.now = at;
            let event = self.events.remove(&number).expect("an event");
            self.happens(event);
            if self.machine.run(&self.run).is_none_or(|run| run.state().is_terminal()) {
                return;
            }
        }
        panic!("nothing happens any more");
    }
}

/// Most memory that this process had, MB.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kb = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
    kb.and_then(|kb| kb.trim().parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e3
}

fn main() {
    // The memory is the most of both.
    for (name, sole) in [("sole", true), ("voters", false)] {
        let mut world = World::new(sole);
        world.run();
        let per_task = |count: u64| count as f64 / TASKS as f64;
        println!(
            r#"{{"what":"{name}","messages":{:.3},"envelopes":{:.3},"bytes":{:.0},"seconds":{:.1},"peak_mb":{:.1}}}"#,
            per_task(world.messages),
            per_task(world.envelopes),
            per_task(world.bytes),
            (world.now - 1000) as f64 / 1e3,
            peak_mb(),
        );
    }
}
