//! The world of the nodes: time, a lossy network, the room's homeserver; and what must hold after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use cis_core::federation::envelope::Verified;
use cis_core::federation::journal::Fact;
use cis_core::federation::protocol::message::{Addressee, Granted, Message};
use cis_core::ids::TaskId;

use crate::node::{Node, Work};
use crate::plan::{Plan, did, run};
use crate::rng::Rng;
use crate::room::{Item, Members, Room};
use crate::seeds::has_users;
use crate::users::Users;
use crate::working::SLOTS;

/// More than so many messages are not under way at once.
const PACKETS_MAX: usize = 400;

pub(crate) type Step = Result<(), String>;

#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) message: Message<Work>,
}

pub(crate) struct World {
    pub(crate) plan: Arc<Plan>,
    pub(crate) rng: Rng,
    pub(crate) now: i64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) room: Room,
    pub(crate) net: Vec<Packet>,
    /// Pairs of nodes that do not reach each other.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// What was started, and where.
    started: BTreeMap<Granted, usize>,
    /// People did what no file says, so what comes out is not that of one node alone.
    pub(crate) is_disturbed: bool,
    /// None: nobody's requests are recorded.
    pub(crate) users: Option<Users>,
    /// Pages of coordinators in whose place somebody wrote another one.
    forked: Vec<Arc<Verified>>,
    /// Whose machine will be lost: only it knows what it wrote.
    pub(crate) doomed: Option<usize>,
    pub(crate) log: Option<String>,
    /// What the walk went through, for the test that faults do happen.
    pub(crate) reached: BTreeSet<&'static str>,
}

impl World {
    pub(crate) fn new(seed: u64, with_log: bool) -> Result<Self, String> {
        let mut rng = Rng::new(seed);
        let plan = Arc::new(Plan::new(seed, &mut rng));
        let nodes = (0..plan.nodes).map(|at| Node::new(at, Arc::clone(&plan), &mut rng)).collect();
        let mut room = Room::new(Arc::clone(&plan));
        room.append(Item::Members(members_at_first(&plan)))?;
        let mut world = Self {
            plan,
            rng,
            now: 0,
            nodes,
            room,
            net: Vec::new(),
            cut: BTreeSet::new(),
            started: BTreeMap::new(),
            is_disturbed: has_users(seed),
            users: has_users(seed).then(Users::default),
            forked: Vec::new(),
            doomed: None,
            log: with_log.then(String::new),
            reached: BTreeSet::new(),
        };
        for at in 0..world.nodes.len() {
            world.at(at, Node::start)?;
            world.sync_whole(at)?;
        }
        world.at(0, Node::submit)?;
        Ok(world)
    }

    pub(crate) fn members_at_first(&self) -> Members {
        members_at_first(&self.plan)
    }

    pub(crate) fn note(&mut self, what: impl std::fmt::Display) {
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{:>7} {what}", self.now);
        }
    }

    /// What happened: as it was noted, in each store, and in the room.
    pub(crate) fn history(&self) -> String {
        let mut text = self.log.clone().unwrap_or_default();
        let mut list = |whose: &str, facts: &mut dyn Iterator<Item = &Fact>| {
            let _ = writeln!(text, "{whose} has:");
            for fact in facts {
                let _ = writeln!(
                    text,
                    "  {} {}",
                    fact.at_ms,
                    serde_json::to_string(&fact.body).unwrap_or_default()
                );
            }
        };
        self.nodes.iter().for_each(|node| list(&format!("node {}", node.at), &mut node.disk.facts()));
        list("the room", &mut self.room.facts.iter());
        text
    }

    /// Lets a node do something, and takes what comes of it.
    pub(crate) fn at(&mut self, at: usize, act: impl FnOnce(&mut Node)) -> Step {
        let node = &mut self.nodes[at];
        node.now = self.now;
        act(node);
        node.check();
        let out = std::mem::take(&mut node.out);
        for note in out.notes {
            self.note(format_args!("{at} {note}"));
        }
        if let Some(wrong) = out.wrong {
            return Err(wrong);
        }
        (self.nodes[at].out.letters, self.nodes[at].out.told) = (out.letters, out.told);
        self.take_told(at)?;
        for (to, message) in out.sent {
            if !self.cut.contains(&(at.min(to), at.max(to))) && self.net.len() < PACKETS_MAX {
                self.net.push(Packet { from: at, to, message });
            }
        }
        for (granted, is_sole) in out.begun {
            if !is_sole && self.plan.commits(&granted.attempt.task) {
                self.reached.insert("commit");
                if !self.room.has_grant(&granted) {
                    return Err(format!(
                        "rule 4: {granted:?} begins at node {at}, and the room does not have its grant"
                    ));
                }
            }
            self.begins(at, granted)?;
        }
        for (task, before) in out.built_on {
            if let Some((lacks, fence)) = before.iter().find(|before| !self.room.has_end(before)) {
                return Err(format!(
                    "rule 4: node {at} grants {task}, and the room does not have the end of {lacks} under {fence:x}"
                ));
            }
        }
        for granted in out.finals {
            let keeps = |node: &Node| {
                let kept = node.disk.held.get(&granted.attempt.task);
                kept.is_some_and(|kept| kept.granted == granted && kept.report.is_some())
            };
            if !self.room.has_result(&granted) && self.nodes.iter().any(keeps) {
                return Err(format!(
                    "node {at} says that the result of {granted:?} is final, and the room has none"
                ));
            }
        }
        self.no_task_works_twice()?;
        let sessions = self.nodes[at].host.trees.values().filter(|tree| tree.exit.is_none()).count();
        if sessions > SLOTS as usize {
            return Err(format!("node {at} has {sessions} sessions at a time"));
        }
        Ok(())
    }

    fn begins(&mut self, at: usize, granted: Granted) -> Step {
        if let Some(before) = self.started.insert(granted.clone(), at) {
            return Err(format!("I2: {granted:?} begins at node {at}, and began at node {before}"));
        }
        Ok(())
    }

    /// A machine is lost: nobody knows what began there.
    pub(crate) fn forget_begun(&mut self, at: usize) {
        self.started.retain(|_, node| *node != at);
    }

    /// I2: no two process trees of one task work at the same time.
    fn no_task_works_twice(&self) -> Step {
        let mut working: BTreeMap<&TaskId, (usize, &Granted)> = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| !node.is_asleep) {
            for tree in node.host.trees.values().filter(|tree| tree.works()) {
                let granted = &tree.granted;
                if let Some(other) = working.insert(&granted.attempt.task, (node.at, granted)) {
                    return Err(format!(
                        "I2: two sessions of one task work: {other:?} and {:?}",
                        (node.at, granted)
                    ));
                }
            }
        }
        Ok(())
    }

    /// Time passes. Session hosts freeze what has no lease any more.
    pub(crate) fn advance(&mut self, by: i64) {
        self.now += by;
        for node in &mut self.nodes {
            node.now = self.now;
            let boot = node.boot_ms();
            if !node.is_asleep {
                node.host.pass_time(boot);
            }
        }
    }

    /// A message arrives, and may arrive again.
    pub(crate) fn deliver(&mut self, index: usize, again: bool) -> Step {
        let packet = if again { self.net[index].clone() } else { self.net.swap_remove(index) };
        let Packet { from, to, message } = packet;
        if !self.nodes[to].is_ready() {
            return Ok(());
        }
        if self.log.is_some() && !matches!(message, Message::Alive {} | Message::Heartbeat { .. }) {
            self.note(format_args!("{to} hears {from}: {message:?}"));
        }
        self.at(to, |node| node.hear(&did(from), message))
    }

    /// I4: what a node says that has no right to, or that has another's grant, changes nothing.
    pub(crate) fn forge(&mut self, index: usize, from: usize) -> Step {
        let Packet { to, message, from: true_sender } = self.net[index].clone();
        let claims_much =
            matches!(message, Message::Heartbeat { .. } | Message::Alive {} | Message::Holding { .. });
        if from == true_sender || from == to || claims_much || !self.nodes[to].is_ready() {
            return Ok(());
        }
        let of = |node: &Node| {
            let life = node.life.as_ref()?;
            let machine = life.machine.run(&run()).cloned();
            Some((life.coordinator.clone(), life.worker.clone(), machine, node.disk.events.len()))
        };
        if message.addressee() == Addressee::Worker
            && self.nodes[to].newest_term() < Some(message_epoch(&message))
        {
            return Ok(()); // It does not know better.
        }
        let before = of(&self.nodes[to]);
        let crash = self.nodes[to].crash.take();
        self.nodes[to].forged(&did(from), message.clone());
        self.nodes[to].crash = crash;
        self.nodes[to].out.sent.clear();
        if of(&self.nodes[to]) == before {
            return Ok(());
        }
        Err(format!("I4: node {to} believed {message:?} of node {from}, though it is of node {true_sender}"))
    }

    /// A node hands the first of what it has written to the homeserver.
    pub(crate) fn publish(&mut self, at: usize, again: bool) -> Step {
        if !self.room.is_up || !self.nodes[at].is_ready() {
            return Ok(());
        }
        let Some(item) = self.nodes[at].disk.outbox.pop_front() else { return Ok(()) };
        if again {
            self.room.append(item.clone())?;
        }
        self.room.append(item)
    }

    /// Somebody has the key of a coordinator, and writes in its journal: before the coordinator's own entries are in the room, or after
    /// that.
    pub(crate) fn fork(&mut self, at: usize) -> Step {
        if !self.room.is_up || !self.nodes[at].is_ready() || !self.nodes[at].leads() {
            return Ok(());
        }
        let leaves_out = self.rng.percent(50);
        let Some(items) = self.nodes[at].forked_journal(leaves_out) else { return Ok(()) };
        self.at(at, |node| node.write_journal(50_000))?;
        let comes_first = self.rng.percent(50);
        self.note(format_args!(
            "somebody forks the journal of {at}, {}",
            if comes_first { "first" } else { "second" }
        ));
        self.reached.insert(if comes_first { "fork" } else { "late fork" });
        if let Some(Item::Entries(page)) = self.nodes[at].disk.outbox.back() {
            self.forked.push(Arc::clone(page));
        }
        if comes_first {
            return items.into_iter().try_for_each(|item| self.room.append(item));
        }
        self.publish_all(at)?;
        items.into_iter().try_for_each(|item| self.room.append(item))
    }

    /// What a coordinator writes next is lost for everybody else, and its machine later.
    pub(crate) fn lose_entries(&mut self, at: usize) -> Step {
        let node = &self.nodes[at];
        let is_free = self.doomed.is_none() && self.room.is_up && node.is_ready() && !self.plan.is_needed(at);
        if !node.leads() || !is_free || self.room.fold.is_none() || self.voters_left() < 2 {
            return Ok(());
        }
        self.publish_all(at)?;
        self.at(at, Node::lose_entries)?;
        if self.nodes[at].disk.outbox.iter().any(|item| matches!(item, Item::Lost(_))) {
            self.note(format_args!("a file of {at} is lost"));
            self.reached.insert("lost file");
            self.doomed = Some(at);
        }
        self.publish_all(at)
    }

    /// So many of those that may coordinate are there, and stay there.
    pub(crate) fn voters_left(&self) -> usize {
        let stays = |node: &&Node| !node.is_gone && self.doomed != Some(node.at);
        self.nodes.iter().take(self.plan.voters).filter(stays).count()
    }

    /// A coordinator's own page and somebody else's are both in the room.
    pub(crate) fn shows_fork(&self) -> bool {
        let is_there = |page: &Arc<Verified>| {
            let is_it = |item: &Item| matches!(item, Item::Entries(known) if Arc::ptr_eq(known, page));
            self.room.timeline.iter().any(is_it)
        };
        self.forked.iter().any(is_there)
    }

    /// Somebody sets the clock of a machine, by minutes.
    pub(crate) fn set_clock(&mut self, at: usize) {
        let by = i64::try_from(self.rng.between(60_000, 300_000)).unwrap();
        let by = if self.rng.percent(50) { by } else { -by };
        self.reached.insert(if by > 0 { "clock forwards" } else { "clock backwards" });
        self.note(format_args!("the clock of {at} is set by {by} ms"));
        self.nodes[at].skew += by;
    }

    pub(crate) fn publish_all(&mut self, at: usize) -> Step {
        while self.room.is_up && self.nodes[at].is_ready() && !self.nodes[at].disk.outbox.is_empty() {
            self.publish(at, false)?;
        }
        Ok(())
    }

    pub(crate) fn sync(&mut self, at: usize) -> Step {
        let Self { nodes, room, now, .. } = self;
        nodes[at].now = *now;
        nodes[at].sync(room);
        self.at(at, |_| ())
    }

    /// All three steps of a request at once.
    pub(crate) fn sync_whole(&mut self, at: usize) -> Step {
        (0..3).try_for_each(|_| self.sync(at))
    }
}

fn members_at_first(plan: &Plan) -> Members {
    let execute = (0..plan.nodes).filter(|at| plan.works(*at)).map(did).collect();
    Members { coordinate: (0..plan.voters).map(did).collect(), execute, executed: BTreeSet::new() }
}

fn message_epoch(message: &Message<Work>) -> u32 {
    match message {
        Message::Grant { epoch, .. }
        | Message::Renew { epoch, .. }
        | Message::Cancel { epoch, .. }
        | Message::Noted { epoch, .. }
        | Message::Recorded { epoch, .. }
        | Message::Forget { epoch, .. }
        | Message::Recover { epoch, .. } => *epoch,
        _ => 0,
    }
}
