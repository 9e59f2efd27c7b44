//! A room with nodes: the real halves of the protocol, with a timeline, a carrier, clocks, session hosts and a small
//! scheduler around them. What may happen next is the explorer's choice; whether it was right is checked here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use cis_core::federation::protocol::coordinator::{CoordinatorHalf, KnownGrant};
use cis_core::federation::protocol::message::{Addressee, Granted, Message, Payload};
use cis_core::federation::protocol::suspicion::Suspicion;
use cis_core::federation::protocol::worker::{Remembered, WorkerHalf};
use cis_core::federation::protocol::{BootMs, Settings};
use cis_core::ids::{Epoch, NodeDid, RunId, SessionId, TaskId};

mod check;
mod effects;
mod journal;

pub(crate) use journal::State;
use journal::{Body, Entry, Fold, Place};

/// Grants and results carry nothing: who may work on what is all that matters here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Nothing;

impl Payload for Nothing {
    type Spec = ();
    type Report = ();
    type Status = ();
    type Progress = ();
}

/// What a world is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) settings: Settings,
    /// Nodes that may coordinate: the first ones.
    pub(crate) voters: usize,
    pub(crate) nodes: usize,
    /// Voters do not work on tasks themselves.
    pub(crate) voters_only_coordinate: bool,
    pub(crate) tasks: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) up: bool,
    /// Its machine sleeps: nothing of it runs.
    pub(crate) asleep: bool,
    /// Its clock: ahead of the world's, and so much faster, in thousandths.
    ahead: i64,
    drift: i64,
    worker: Option<WorkerHalf<Nothing>>,
    coordinator: Option<CoordinatorHalf<Nothing>>,
    suspicion: Suspicion,
    /// So much of the timeline it has read.
    read: usize,
    /// What it has read says this.
    pub(crate) fold: Fold,
    /// With what it wrote and has not read back. On its disk.
    view: Fold,
    pending: Vec<Entry>,
    /// So many of those stand in the timeline.
    sent: usize,
    /// The takeover that it wrote. On its disk.
    claim: Option<Place>,
    alive_at: BootMs,
    /// What its worker holds. On its disk.
    remembered: BTreeMap<TaskId, Kept>,
    next_nonce: u64,
}

/// [`Remembered`], which has no order and no hash of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kept {
    epoch: Epoch,
    coordinator: NodeDid,
    granted: Granted,
    session: SessionId,
    ended: bool,
    void: bool,
    lease_end: BootMs,
}

/// The processes of a session at a worker, as its session host sees them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Tree {
    pub(crate) frozen: bool,
    freeze_at: BootMs,
    dying: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Packet {
    pub(crate) number: u64,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) shape: Shape,
    pub(crate) now: i64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) timeline: Vec<Entry>,
    /// What is under way.
    pub(crate) net: BTreeMap<Packet, Message<Nothing>>,
    packets: u64,
    /// A message that is under way already is not another one when it is sent again.
    merges: bool,
    pub(crate) trees: BTreeMap<(usize, Granted), Tree>,
    /// Sessions that ended and whose node does not know it yet.
    exits: BTreeSet<(usize, Granted)>,
    /// Pairs of nodes that do not reach each other.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// The homeserver answers.
    pub(crate) server_up: bool,
    /// What was started at a node since it has its disk.
    started: BTreeSet<(usize, Granted)>,
    /// What was done against the rules.
    wrong: Option<String>,
    /// Results that somebody was told to be final.
    finals: BTreeSet<Granted>,
    /// What happened, for people. Not a part of the state.
    pub(crate) log: Log,
}

/// Equal to every other one: two worlds are the same however they came about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(pub(crate) Option<String>);

impl PartialEq for Log {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Log {}
impl std::hash::Hash for Log {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

pub(crate) fn run() -> RunId {
    RunId::from_parts(1, 1)
}

fn did(node: usize) -> NodeDid {
    NodeDid(format!("{node}"))
}

fn number(did: &NodeDid) -> usize {
    did.0.parse().unwrap()
}

fn task(index: usize) -> TaskId {
    TaskId::new(&format!("t{index}")).unwrap()
}

fn index_of(task: &TaskId) -> usize {
    task.as_str()[1..].parse().unwrap()
}

type Checked = Result<(), String>;

impl World {
    pub(crate) fn new(shape: Shape) -> Self {
        let empty = Fold::empty(shape.tasks);
        let node = |index: usize| Node {
            up: true,
            asleep: false,
            ahead: 0,
            drift: 0,
            worker: None,
            coordinator: None,
            suspicion: Suspicion::new(shape.settings),
            read: 0,
            fold: empty.clone(),
            view: empty.clone(),
            pending: Vec::new(),
            sent: 0,
            claim: None,
            alive_at: 0,
            remembered: BTreeMap::new(),
            next_nonce: index as u64,
        };
        let nodes = (0..shape.nodes).map(node).collect();
        let created = Entry { place: Place { epoch: 0, n: 1, by: 0 }, prev: None, body: Body::Created };
        let mut world = Self {
            shape,
            now: 0,
            nodes,
            timeline: vec![created],
            net: BTreeMap::new(),
            packets: 0,
            merges: false,
            trees: BTreeMap::new(),
            exits: BTreeSet::new(),
            cut: BTreeSet::new(),
            server_up: true,
            started: BTreeSet::new(),
            wrong: None,
            finals: BTreeSet::new(),
            log: Log::default(),
        };
        for node in 0..world.shape.nodes {
            world.boot(node);
        }
        let place = world.timeline[0].place;
        world.nodes[0].claim = Some(place);
        if let Some(first) = world.coordinator(0) {
            first.begin(run(), 0);
        }
        world
    }

    /// Equal messages are one: worlds that differ in their numbers alone are the same.
    pub(crate) fn merge_equal_messages(&mut self) {
        self.merges = true;
        let sent: Vec<_> = std::mem::take(&mut self.net).into_iter().collect();
        for (Packet { from, to, .. }, message) in sent {
            self.send(from, to, message);
        }
    }

    pub(crate) fn is_behind(&self, at: usize) -> bool {
        self.nodes[at].read < self.timeline.len()
    }

    pub(crate) fn has_unsent(&self, at: usize) -> bool {
        self.nodes[at].sent < self.nodes[at].pending.len()
    }

    /// Sets the clock of a node.
    pub(crate) fn set_clock(&mut self, node: usize, ahead: i64, drift: i64) {
        (self.nodes[node].ahead, self.nodes[node].drift) = (ahead, drift);
    }

    fn boot(&mut self, at: usize) {
        let now = self.local(at);
        let Shape { settings, voters, voters_only_coordinate, .. } = self.shape;
        let node = &mut self.nodes[at];
        node.up = true;
        node.next_nonce += 1_000_000;
        node.coordinator = (at < voters).then(|| CoordinatorHalf::new(settings, voters == 1));
        let works = at >= voters || !voters_only_coordinate;
        node.worker = works.then(|| WorkerHalf::new(settings, node.next_nonce, now));
        node.suspicion = Suspicion::new(settings);
        node.alive_at = now;
    }

    fn coordinator(&mut self, at: usize) -> Option<&mut CoordinatorHalf<Nothing>> {
        self.nodes[at].coordinator.as_mut()
    }

    /// A node's own clock.
    pub(crate) fn local(&self, at: usize) -> BootMs {
        let node = &self.nodes[at];
        node.ahead + self.now + self.now * node.drift / 1000
    }

    pub(crate) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let now = self.now;
        if let Some(log) = &mut self.log.0 {
            let _ = writeln!(log, "{now:>7} {what}");
        }
    }

    pub(crate) fn is_running(&self, at: usize) -> bool {
        self.nodes[at].up && !self.nodes[at].asleep
    }

    fn workers(&self) -> Vec<usize> {
        (0..self.shape.nodes)
            .filter(|at| *at >= self.shape.voters || !self.shape.voters_only_coordinate)
            .collect()
    }

    // What can happen.

    /// Time passes. Session hosts freeze what has no lease any more.
    pub(crate) fn advance(&mut self, by: i64) {
        self.now += by;
        self.freeze_by_hosts();
    }

    fn freeze_by_hosts(&mut self) {
        let clocks: Vec<BootMs> = (0..self.nodes.len()).map(|at| self.local(at)).collect();
        let asleep: Vec<bool> = self.nodes.iter().map(|node| node.asleep).collect();
        for ((at, _), tree) in &mut self.trees {
            if !asleep[*at] && tree.freeze_at <= clocks[*at] {
                tree.frozen = true;
            }
        }
    }

    /// A message arrives. `again`: it may arrive once more.
    pub(crate) fn deliver(&mut self, packet: &Packet, again: bool) -> Checked {
        let Some(message) = (if again { self.net.get(packet).cloned() } else { self.net.remove(packet) })
        else {
            return Ok(());
        };
        let Packet { from, to, .. } = *packet;
        if !self.is_running(to) {
            return Ok(());
        }
        self.note(format_args!("{to} hears {from}: {message:?}"));
        let (now, sender) = (self.local(to), did(from));
        match message.addressee() {
            Addressee::Voter => {
                self.nodes[to].suspicion.heard(&sender, now);
                Ok(())
            }
            Addressee::Coordinator => {
                let mut out = Vec::new();
                if let Some(half) = self.coordinator(to) {
                    half.receive(&sender, message, now, &mut out)?;
                }
                self.perform(to, out)
            }
            Addressee::Worker => {
                let mut out = Vec::new();
                if let Some(half) = &mut self.nodes[to].worker {
                    // Old terms are refused: that is no mistake of anybody.
                    let _ = half.receive(&sender, message, now, &mut out);
                }
                self.work(to, out);
                Ok(())
            }
        }
    }

    /// A node does what is due.
    pub(crate) fn tick(&mut self, at: usize) -> Checked {
        if !self.is_running(at) {
            return Ok(());
        }
        let now = self.local(at);
        self.collect_exits(at);
        let voters: Vec<NodeDid> = (0..self.shape.voters).map(did).collect();
        let mut out = Vec::new();
        if let Some(half) = &mut self.nodes[at].worker {
            half.tick(now, Some(&()), &voters, &mut out);
        }
        self.work(at, out);
        let mut out = Vec::new();
        if let Some(half) = self.coordinator(at) {
            half.tick(now, &mut out);
        }
        self.perform(at, out)?;
        if at < self.shape.voters {
            self.watch(at, now);
        }
        let node = &self.nodes[at];
        let worker = node.worker.as_ref().and_then(WorkerHalf::poll_timeout);
        let coordinator = node.coordinator.as_ref().and_then(CoordinatorHalf::poll_timeout);
        if let Some(due) = worker.into_iter().chain(coordinator).find(|due| *due <= now) {
            return Err(format!(
                "{at} did at {now} all that is due, and has to do it again at {due}: {node:?}"
            ));
        }
        Ok(())
    }

    fn watch(&mut self, at: usize, now: BootMs) {
        let coordinates = self.coordinator(at).is_some_and(|half| half.epoch(run()).is_some());
        if coordinates && self.nodes[at].alive_at <= now {
            self.nodes[at].alive_at = now + self.shape.settings.alive_ms;
            for to in (0..self.shape.voters).filter(|to| *to != at) {
                self.send(at, to, Message::Alive {});
            }
        }
        let before: Vec<NodeDid> = (0..at).map(did).collect();
        for (_, epoch) in self.nodes[at].suspicion.due(Some(&before), now) {
            self.take_over(at, epoch);
        }
    }

    /// A coordinator ends what is live of a task.
    pub(crate) fn cancel(&mut self, at: usize, index: usize) {
        let now = self.local(at);
        if let State::Live { granted, .. } = self.nodes[at].view.tasks[index].state.clone()
            && let Some(half) = self.coordinator(at)
        {
            half.cancel(&granted, 100, false, now);
        }
    }

    /// When something is due somewhere, on the world's clock, at most.
    pub(crate) fn next_due(&self) -> i64 {
        let mut due = self.now + self.shape.settings.heartbeat_ms;
        for at in (0..self.nodes.len()).filter(|at| self.is_running(*at)) {
            let node = &self.nodes[at];
            let mut times: Vec<BootMs> = Vec::new();
            times.extend(node.worker.as_ref().and_then(WorkerHalf::poll_timeout));
            times.extend(node.coordinator.as_ref().and_then(CoordinatorHalf::poll_timeout));
            let before: Vec<NodeDid> = (0..at).map(did).collect();
            times.extend(node.suspicion.poll_timeout(Some(&before)));
            for time in times {
                due = due.min(self.now + (time - self.local(at)).max(1));
            }
        }
        due
    }

    /// A voter takes the run over, as far as it knows the journal. That is safe whenever it does.
    pub(crate) fn take_over(&mut self, at: usize, epoch: Epoch) {
        let Some(tip) = self.nodes[at].fold.tip else { return };
        if !self.server_up || self.leads(at, tip.epoch) || epoch != tip.epoch + 1 {
            return;
        }
        let place = Place { epoch, n: tip.n + 1, by: at };
        self.nodes[at].claim = Some(place);
        self.note(format_args!("{at} writes a takeover after {tip:?}"));
        self.timeline.push(Entry { place, prev: Some(tip), body: Body::TakenOver });
    }

    fn leads(&self, at: usize, epoch: Epoch) -> bool {
        self.nodes[at].coordinator.as_ref().is_some_and(|half| half.epoch(run()) == Some(epoch))
    }

    /// A node sends the next entry that it wrote to the timeline.
    pub(crate) fn publish(&mut self, at: usize) {
        if self.server_up && self.is_running(at) && self.nodes[at].sent < self.nodes[at].pending.len() {
            let entry = self.nodes[at].pending[self.nodes[at].sent].clone();
            self.nodes[at].sent += 1;
            self.timeline.push(entry);
        }
    }

    /// A node reads the timeline.
    pub(crate) fn sync(&mut self, at: usize) -> Checked {
        if !self.server_up || !self.is_running(at) {
            return Ok(());
        }
        let now = self.local(at);
        while self.nodes[at].read < self.timeline.len() {
            let entry = self.timeline[self.nodes[at].read].clone();
            self.nodes[at].read += 1;
            if !self.nodes[at].fold.take(&entry)? {
                continue;
            }
            let Place { epoch, by, .. } = entry.place;
            if by == at && self.leads(at, epoch) {
                self.read_back(at, &entry);
                continue;
            }
            // What this node wrote and did not read back is void, where another one writes.
            let node = &mut self.nodes[at];
            (node.view, node.sent) = (node.fold.clone(), 0);
            node.pending.clear();
            if matches!(entry.body, Body::TakenOver | Body::Created) {
                let own = self.nodes[at].claim == Some(entry.place);
                self.new_term(at, epoch, by, own, now);
            }
        }
        if let Some(half) = self.coordinator(at) {
            half.witnessed(now);
        }
        self.schedule(at)
    }

    fn read_back(&mut self, at: usize, entry: &Entry) {
        let node = &mut self.nodes[at];
        if node.pending.first() == Some(entry) {
            node.pending.remove(0);
            node.sent = node.sent.saturating_sub(1);
        } else if node.pending.is_empty() {
            node.view = node.fold.clone();
        }
        if let Body::Result { granted } = &entry.body {
            self.finals.insert(granted.clone());
            let mut out = Vec::new();
            let worker = self.worker_of(granted);
            if let (Some(worker), Some(half)) = (worker, self.coordinator(at)) {
                half.release(granted, &did(worker), &mut out);
            }
            let _ = self.perform(at, out);
        }
    }

    /// Who was granted an attempt, as the timeline tells.
    fn worker_of(&self, granted: &Granted) -> Option<usize> {
        self.timeline.iter().rev().find_map(|entry| match &entry.body {
            Body::Granted { granted: known, worker } if known == granted => Some(*worker),
            _ => None,
        })
    }

    fn new_term(&mut self, at: usize, epoch: Epoch, by: usize, own: bool, now: BootMs) {
        self.note(format_args!("{at} reads that {by} coordinates in epoch {epoch}"));
        if own {
            self.nodes[at].suspicion.forget(run());
            self.lead(at, epoch, now);
        } else {
            self.nodes[at].suspicion.watch(run(), epoch, &did(by), now);
            if let Some(half) = self.coordinator(at) {
                half.leave(run());
            }
            if let Some(half) = &mut self.nodes[at].worker {
                half.enters(run(), epoch, &did(by));
            }
            self.work(at, Vec::new());
        }
    }

    fn lead(&mut self, at: usize, epoch: Epoch, now: BootMs) {
        let workers: Vec<NodeDid> = self.workers().into_iter().map(did).collect();
        let node = &mut self.nodes[at];
        let known: Vec<KnownGrant> = node
            .view
            .tasks
            .iter()
            .enumerate()
            .filter_map(|(index, task)| match &task.state {
                State::Queued => None,
                State::Live { granted, worker } => {
                    Some(KnownGrant { granted: granted.clone(), worker: did(*worker), recorded: false })
                }
                State::Done { granted } => {
                    let is_final = node.fold.tasks[index].state == task.state;
                    let granter = node.pending.iter().find_map(|entry| match &entry.body {
                        Body::Granted { granted: known, worker } if known == granted => Some(*worker),
                        _ => None,
                    });
                    let worker = granter.or(match &node.fold.tasks[index].state {
                        State::Live { worker, .. } => Some(*worker),
                        _ => None,
                    })?;
                    (!is_final).then(|| KnownGrant {
                        granted: granted.clone(),
                        worker: did(worker),
                        recorded: true,
                    })
                }
            })
            .collect();
        if let Some(half) = self.coordinator(at) {
            half.take_over(run(), epoch, known, workers, now);
        }
    }

    /// Whether the program of a session may end: a frozen one cannot, unless it is being killed.
    pub(crate) fn may_end(&self, at: usize, tree: &Tree) -> bool {
        !self.nodes[at].asleep && (tree.dying || !tree.frozen)
    }

    /// A program ends by itself, or because it was killed.
    pub(crate) fn finish(&mut self, at: usize, granted: &Granted) {
        if self.trees.remove(&(at, granted.clone())).is_some() {
            self.note(format_args!("{at}: the session of {granted:?} ended"));
            self.exits.insert((at, granted.clone()));
        }
    }

    fn collect_exits(&mut self, at: usize) {
        let now = self.local(at);
        let ended: Vec<_> = self.exits.iter().filter(|(of, _)| *of == at).cloned().collect();
        for (_, granted) in ended {
            self.exits.remove(&(at, granted.clone()));
            let mut out = Vec::new();
            if let Some(half) = &mut self.nodes[at].worker {
                half.ended(&granted, (), now, &mut out);
            }
            self.work(at, out);
        }
    }

    /// The node's process dies. Its session host and its disk stay.
    pub(crate) fn crash(&mut self, at: usize) {
        self.note(format_args!("{at} dies"));
        let node = &mut self.nodes[at];
        node.up = false;
        (node.worker, node.coordinator) = (None, None);
        // What was handed to the carrier may arrive; what was not is sent again.
    }

    /// The machine is lost with all that it had, and comes back empty.
    pub(crate) fn lose_machine(&mut self, at: usize) {
        self.crash(at);
        self.note(format_args!("{at} loses its disk"));
        self.trees.retain(|(of, _), _| *of != at);
        self.exits.retain(|(of, _)| *of != at);
        self.started.retain(|(of, _)| *of != at);
        let empty = Fold::empty(self.shape.tasks);
        let node = &mut self.nodes[at];
        node.remembered.clear();
        (node.read, node.fold, node.view, node.sent) = (0, empty.clone(), empty, 0);
        node.claim = None;
        node.pending.clear();
    }

    pub(crate) fn restart(&mut self, at: usize) -> Checked {
        self.note(format_args!("{at} starts again"));
        self.boot(at);
        let now = self.local(at);
        let node = &mut self.nodes[at];
        for kept in node.remembered.values().cloned() {
            if let Some(half) = &mut node.worker {
                half.restore(kept.into(), now);
            }
        }
        node.sent = 0;
        if let Some(Place { epoch, by, .. }) = node.fold.tip {
            if node.claim.is_some_and(|claim| (claim.epoch, claim.by) == (epoch, by)) {
                self.lead(at, epoch, now);
            } else {
                self.nodes[at].suspicion.watch(run(), epoch, &did(by), now);
            }
        }
        self.tick(at)
    }

    pub(crate) fn sleep(&mut self, at: usize) {
        self.note(format_args!("the machine of {at} sleeps"));
        self.nodes[at].asleep = true;
    }

    pub(crate) fn awake(&mut self, at: usize) {
        self.note(format_args!("the machine of {at} is awake"));
        self.nodes[at].asleep = false;
        self.freeze_by_hosts();
    }

    /// Everything that is under way and allowed arrives, with what it leads to, in no time.
    pub(crate) fn settle(&mut self, allowed: impl Fn(&Packet, &Message<Nothing>) -> bool) -> Checked {
        loop {
            for at in 0..self.nodes.len() {
                self.tick(at)?;
            }
            self.check()?;
            let next = self.net.iter().find(|(packet, message)| allowed(packet, message));
            let Some(packet) = next.map(|(packet, _)| packet.clone()) else { return Ok(()) };
            self.deliver(&packet, false)?;
            self.check()?;
        }
    }
}

impl From<Remembered<Nothing>> for Kept {
    fn from(r: Remembered<Nothing>) -> Self {
        Self {
            epoch: r.epoch,
            coordinator: r.coordinator,
            granted: r.granted,
            session: r.session,
            ended: r.report.is_some(),
            void: r.void,
            lease_end: r.lease_end,
        }
    }
}

impl From<Kept> for Remembered<Nothing> {
    fn from(kept: Kept) -> Self {
        Self {
            epoch: kept.epoch,
            coordinator: kept.coordinator,
            granted: kept.granted,
            session: kept.session,
            report: kept.ended.then_some(()),
            void: kept.void,
            lease_end: kept.lease_end,
            progress: Vec::new(),
            numbers: Vec::new(),
            hand_in_grace_ms: None,
            handed_in_ms: None,
        }
    }
}
