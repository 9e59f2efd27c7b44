//! Coordinators with the real halves. The timeline of the room, the network, clocks, schedulers, and the sessions of workers are models.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use cis_core::dag::Group;
use cis_core::federation::keepers::Keepers;
use cis_core::federation::protocol::groups::message::{GroupMessage, GroupPlaces, GroupReport};
use cis_core::federation::protocol::groups::{Effect, RoomGroups, Term};
use cis_core::federation::protocol::{BootMs, Settings};
use cis_core::ids::{AttemptId, NodeDid, RunId, TaskId};
use cis_core::scheduler::{GroupUse, OpenPlaces};

use crate::rng::Rng;

/// The node that may coordinate nothing.
const STRANGER: &str = "did:key:stranger";

#[derive(Debug, Clone)]
enum Entry {
    Kept(Term),
    Taken { run: RunId, by: usize },
    Limits(BTreeMap<String, Group>),
}

#[derive(Debug, Clone)]
struct Packet {
    at: i64,
    from: NodeDid,
    to: usize,
    message: GroupMessage,
}

/// A session at some worker. It works until then, unless its lease is renewed.
#[derive(Debug, Clone)]
struct Session {
    group: String,
    until: i64,
    has_ended: bool,
}

/// A run, as its journal tells it.
#[derive(Debug, Clone, Default)]
struct Run {
    waiting: BTreeMap<String, u32>,
    live: BTreeMap<AttemptId, String>,
}

struct Node {
    did: NodeDid,
    /// None: it is down until then.
    groups: Option<RoomGroups>,
    up_at: i64,
    places: OpenPlaces,
    offset: i64,
    drift: i64,
    keepers: Keepers,
    read: usize,
    witness_at: Option<BootMs>,
    /// A reading of the timeline that is under way: up to where, begun when, and there when.
    reading: Option<(usize, BootMs, i64)>,
    cut_until: i64,
    runs: BTreeSet<RunId>,
    was_keeper: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    starts: u32,
    thaws: u32,
    terms: u32,
    moves: u32,
    full: u32,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.starts += other.starts;
        self.thaws += other.thaws;
        self.terms += other.terms;
        self.moves += other.moves;
        self.full += other.full;
    }

    pub(crate) fn is_rich(self) -> bool {
        [self.starts, self.thaws, self.terms, self.moves, self.full].iter().all(|count| *count > 100)
    }
}

pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) now: i64,
    pub(crate) log: Option<String>,
    pub(crate) counts: Counts,
    nodes: Vec<Node>,
    timeline: Vec<Entry>,
    packets: Vec<Packet>,
    /// Claims on their way to the room.
    claims: Vec<(i64, Term)>,
    sessions: BTreeMap<AttemptId, Session>,
    runs: BTreeMap<RunId, Run>,
    limits: BTreeMap<String, Group>,
    ids: u128,
    loss: u64,
    delay: u64,
    calm: bool,
}

impl World {
    pub(crate) fn new(settings: Settings, rng: &mut Rng) -> Self {
        let count = rng.between(2, 4) as usize;
        let names: Vec<String> = (0..rng.between(1, 2)).map(|n| format!("g{n}")).collect();
        let group = |limit| Group { limit, frees_when_blocked: false };
        let limits: BTreeMap<String, Group> =
            names.iter().map(|name| (name.clone(), group(rng.between(1, 3) as u32))).collect();
        let mut runs = BTreeMap::new();
        let node = |at: usize, rng: &mut Rng| Node {
            did: NodeDid(format!("did:key:{at}")),
            groups: None,
            up_at: 0,
            places: OpenPlaces::default(),
            offset: rng.below(1_000_000) as i64,
            drift: rng.between(0, 10) as i64 - 5,
            keepers: Keepers::default(),
            read: 0,
            witness_at: None,
            reading: None,
            cut_until: 0,
            runs: BTreeSet::from([RunId::from_parts(1, at as u128)]),
            was_keeper: false,
        };
        let nodes: Vec<Node> = (0..count).map(|at| node(at, rng)).collect();
        for of in &nodes {
            let waiting = names.iter().map(|name| (name.clone(), rng.between(0, 12) as u32)).collect();
            runs.insert(*of.runs.first().unwrap(), Run { waiting, live: BTreeMap::new() });
        }
        Self {
            settings,
            now: 1000,
            log: None,
            counts: Counts::default(),
            nodes,
            timeline: vec![Entry::Limits(limits.clone())],
            packets: Vec::new(),
            claims: Vec::new(),
            sessions: BTreeMap::new(),
            runs,
            limits,
            ids: 0,
            loss: rng.between(0, 30),
            delay: rng.between(5, 150),
            calm: false,
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{} {}", self.now, line());
        }
    }

    fn boot(&self, at: usize) -> BootMs {
        let Node { offset, drift, .. } = &self.nodes[at];
        offset + self.now * (1000 + drift) / 1000
    }

    fn is_cut(&self, at: usize) -> bool {
        self.now < self.nodes[at].cut_until
    }

    /// Something may break.
    pub(crate) fn fault(&mut self, rng: &mut Rng) {
        let at = rng.below(self.nodes.len() as u64) as usize;
        let bound = self.settings.group_bound_ms() as u64;
        match rng.below(600) {
            0..=2 => {
                self.nodes[at].cut_until = self.now + rng.below(bound * 3 / 2) as i64;
                self.note(|| format!("{at} is cut off"));
            }
            3 => {
                let until = self.now + rng.below(bound) as i64;
                self.nodes.iter_mut().for_each(|node| node.cut_until = until);
                self.note(|| "the homeserver is away".to_owned());
            }
            4..=5 => {
                self.nodes[at].groups = None;
                self.nodes[at].up_at = self.now + rng.below(bound * 3 / 2) as i64;
                self.note(|| format!("{at} crashes"));
            }
            6..=8 => {
                let runs: Vec<RunId> = self.runs.keys().copied().collect();
                let run = *rng.pick(&runs).unwrap();
                if self.nodes[at].groups.is_some() && !self.is_cut(at) {
                    self.timeline.push(Entry::Taken { run, by: at });
                    self.counts.moves += 1;
                    self.note(|| format!("{run} goes to {at}"));
                }
            }
            9 => {
                let names: Vec<String> = self.limits.keys().cloned().collect();
                let name = rng.pick(&names).unwrap();
                self.limits.get_mut(name).unwrap().limit += 1;
                self.timeline.push(Entry::Limits(self.limits.clone()));
            }
            10..=13 => self.forge(at, rng),
            14 => self.loss = rng.between(0, 60),
            15 => self.delay = rng.between(5, 600),
            _ => {}
        }
    }

    /// A member that is no coordinator, or one that is not the keeper, says something.
    fn forge(&mut self, at: usize, rng: &mut Rng) {
        let epoch = self.nodes[at].keepers.newest().map_or(1, |term| term.epoch);
        let many = 1_000_000;
        let all = |of: u32| self.limits.keys().map(move |name| (name.clone(), of));
        let nonce = u64::MAX >> rng.below(64);
        let report = GroupReport { uses: 0, holds: 0, waiting: many };
        let quota = GroupPlaces { places: many, taken: 0, fair: many };
        let message = match rng.below(4) {
            0 => GroupMessage::Report {
                epoch,
                nonce,
                groups: all(0).map(|(name, _)| (name, report)).collect(),
            },
            1 => {
                let groups = all(0).map(|(name, _)| (name, quota)).collect();
                GroupMessage::Quotas { epoch, nonce, lease_ms: 1_000_000, groups }
            }
            2 => GroupMessage::Recover { epoch },
            _ => {
                self.ids += 1;
                let (keeper, id) = (NodeDid(STRANGER.to_owned()), ulid::Ulid(self.ids));
                self.timeline.push(Entry::Kept(Term { epoch: epoch + 1, keeper, id }));
                return;
            }
        };
        let from = NodeDid(STRANGER.to_owned());
        self.packets.push(Packet { at: self.now, from, to: at, message });
    }

    /// Nothing fails any more.
    pub(crate) fn heal(&mut self) {
        (self.loss, self.delay, self.calm) = (0, 20, true);
        for node in &mut self.nodes {
            node.cut_until = node.cut_until.min(self.now);
            node.up_at = node.up_at.min(self.now);
        }
        self.note(|| "healed".to_owned());
    }

    /// A moment passes, and something happens.
    pub(crate) fn step(&mut self, rng: &mut Rng) {
        self.now += rng.between(1, 25) as i64;
        let due: Vec<(i64, Term)> = self.claims.extract_if(.., |(at, _)| *at <= self.now).collect();
        for (_, term) in due {
            self.note(|| format!("in the room: {} keeps in term {}", term.keeper, term.epoch));
            self.timeline.push(Entry::Kept(term));
        }
        for at in 0..self.nodes.len() {
            if self.nodes[at].groups.is_none() && self.nodes[at].up_at <= self.now {
                self.start(at);
            }
        }
        let mut due: Vec<Packet> = self.packets.extract_if(.., |packet| packet.at <= self.now).collect();
        while !due.is_empty() {
            let packet = due.swap_remove(rng.below(due.len() as u64) as usize);
            self.deliver(packet, rng);
        }
        for at in 0..self.nodes.len() {
            if self.nodes[at].groups.is_some() && (self.calm || rng.percent(70)) {
                self.read(at, rng);
                self.end_sessions(at, rng);
                self.turn(at, rng);
                self.grant(at, rng);
                self.turn(at, rng);
                self.renew(at, rng);
            }
        }
    }

    fn start(&mut self, at: usize) {
        let (boot, nonce) = (self.boot(at), (self.now as u64) << 10);
        let voters: Vec<NodeDid> = self.nodes.iter().map(|node| node.did.clone()).collect();
        let node = &mut self.nodes[at];
        let mut groups = RoomGroups::new(self.settings, node.did.clone(), nonce, boot);
        groups.set_voters(voters, false, boot);
        node.groups = Some(groups);
        (node.places, node.keepers) = (OpenPlaces::default(), Keepers::default());
        (node.read, node.witness_at, node.reading) = (0, None, None);
        self.note(|| format!("{at} starts"));
    }

    fn deliver(&mut self, packet: Packet, rng: &mut Rng) {
        let Packet { from, to, message, .. } = packet;
        if self.is_cut(to) {
            return;
        }
        let boot = self.boot(to);
        let Some(groups) = &mut self.nodes[to].groups else { return };
        let mut out = Vec::new();
        let taken = groups.receive(&from, message.clone(), boot, &mut out);
        assert!(from.0 != STRANGER || (taken.is_err() && out.is_empty()), "a stranger is heard");
        self.note(|| format!("{to} hears {from}: {message:?}"));
        self.perform(to, out, rng);
        self.push_share(to);
    }

    fn perform(&mut self, at: usize, effects: Vec<Effect>, rng: &mut Rng) {
        self.push_share(at);
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    let from = self.nodes[at].did.clone();
                    let to = self.nodes.iter().position(|node| node.did == to).unwrap();
                    if to == at {
                        self.deliver_to_itself(at, message, rng);
                        continue;
                    }
                    let copies = if rng.percent(self.loss / 2) { 2 } else { 1 };
                    for _ in 0..copies {
                        if self.is_cut(at) || rng.percent(self.loss) {
                            continue;
                        }
                        // Some come when nobody expects them any more.
                        let late = if !self.calm && rng.percent(3) { 20 } else { 1 };
                        let after = rng.between(1, self.delay * late) as i64;
                        let message = message.clone();
                        self.packets.push(Packet { at: self.now + after, from: from.clone(), to, message });
                    }
                }
                Effect::Claim { epoch } => {
                    self.ids += 1;
                    let term = Term { epoch, keeper: self.nodes[at].did.clone(), id: ulid::Ulid(self.ids) };
                    if let Some(groups) = &mut self.nodes[at].groups {
                        groups.claimed(term.id);
                    }
                    self.note(|| format!("{at} claims term {epoch}"));
                    if !self.is_cut(at) && !rng.percent(self.loss) {
                        self.claims.push((self.now + rng.between(1, self.delay) as i64, term));
                    }
                }
            }
        }
    }

    fn deliver_to_itself(&mut self, at: usize, message: GroupMessage, rng: &mut Rng) {
        let (boot, did) = (self.boot(at), self.nodes[at].did.clone());
        let mut out = Vec::new();
        if let Some(groups) = &mut self.nodes[at].groups {
            groups.receive(&did, message, boot, &mut out).unwrap();
        }
        self.perform(at, out, rng);
    }

    fn push_share(&mut self, at: usize) {
        let boot = self.boot(at);
        let node = &mut self.nodes[at];
        if let Some(groups) = &node.groups {
            let share = groups.share(boot);
            if share != *node.places.share() {
                node.places.set(share);
            }
        }
    }

    /// Reads the room, as a homeserver answers: what it had when it was asked, a while later.
    fn read(&mut self, at: usize, rng: &mut Rng) {
        if self.is_cut(at) {
            self.nodes[at].reading = None;
            let groups = self.nodes[at].groups.as_mut().unwrap();
            groups.hears_nobody();
            return;
        }
        let boot = self.boot(at);
        match self.nodes[at].reading {
            None => {
                let there = self.now + rng.between(0, self.delay) as i64;
                self.nodes[at].reading = Some((self.timeline.len(), boot, there));
            }
            Some((upto, asked, there)) if there <= self.now => {
                let entries: Vec<Entry> = self.timeline[self.nodes[at].read.min(upto)..upto].to_vec();
                self.nodes[at].read = upto.max(self.nodes[at].read);
                let mut out = Vec::new();
                for entry in entries {
                    self.read_entry(at, entry, &mut out);
                }
                let node = &mut self.nodes[at];
                let (newest, groups) = (node.keepers.newest().cloned(), node.groups.as_mut().unwrap());
                groups.read(newest.as_ref(), boot, &mut out);
                groups.hears_again(boot);
                groups.witnessed(asked);
                (node.witness_at, node.reading) = (Some(asked), None);
                if groups.is_keeper() && !std::mem::replace(&mut node.was_keeper, groups.is_keeper()) {
                    self.counts.terms += 1;
                }
                self.perform(at, out, rng);
            }
            Some(_) => {}
        }
    }

    fn read_entry(&mut self, at: usize, entry: Entry, out: &mut Vec<Effect>) {
        let boot = self.boot(at);
        let node = &mut self.nodes[at];
        let groups = node.groups.as_mut().unwrap();
        match entry {
            Entry::Kept(term) => {
                let is_voter = term.keeper.0 != STRANGER;
                node.keepers.take(term, is_voter);
            }
            Entry::Limits(limits) => groups.set_groups(&limits, boot, out),
            Entry::Taken { run, by } if by == at => {
                node.runs.insert(run);
            }
            Entry::Taken { run, .. } => {
                if node.runs.remove(&run) {
                    groups.leave(run, boot);
                }
            }
        }
    }

    /// What the runs of a node have, as it knows.
    fn using(&self, at: usize) -> BTreeMap<String, GroupUse> {
        let mut using: BTreeMap<String, GroupUse> = BTreeMap::new();
        for run in self.nodes[at].runs.iter().map(|run| &self.runs[run]) {
            for (name, waiting) in &run.waiting {
                using.entry(name.clone()).or_default().waiting += waiting;
            }
            for (attempt, name) in &run.live {
                using.entry(name.clone()).or_default().attempts.insert(attempt.clone(), true);
            }
        }
        using
    }

    fn turn(&mut self, at: usize, rng: &mut Rng) {
        let (boot, using) = (self.boot(at), self.using(at));
        self.nodes[at].groups.as_mut().unwrap().set_using(using, boot);
        for _ in 0..5 {
            let mut out = Vec::new();
            self.nodes[at].groups.as_mut().unwrap().tick(boot, &mut out);
            self.perform(at, out, rng);
            let next = self.nodes[at].groups.as_ref().and_then(|groups| groups.poll_timeout(boot));
            if next.is_none_or(|next| next > boot) {
                return;
            }
        }
        panic!("a tick is due again and again");
    }

    /// Starts what may start. It begins at its worker when its lease is given: with [`Self::renew`].
    fn grant(&mut self, at: usize, rng: &mut Rng) {
        // A grant is in the journal, which whoever was cut off cannot write; what it starts even so is void.
        for run in self.nodes[at].runs.clone() {
            for name in self.limits.keys().cloned().collect::<Vec<_>>() {
                let uses = self.using(at).get(&name).map_or(0, GroupUse::taken);
                let limit = self.limits[&name].limit;
                let of = self.runs.get_mut(&run).unwrap();
                let waiting = of.waiting.entry(name.clone()).or_default();
                if *waiting > 0 && uses < self.nodes[at].places.of(&name).min(limit) && rng.percent(80) {
                    *waiting -= 1;
                    self.ids += 1;
                    let task = TaskId::new(&format!("t{}", self.ids)).unwrap();
                    let attempt = AttemptId { run, task, number: 1 };
                    of.live.insert(attempt.clone(), name.clone());
                    self.counts.starts += 1;
                    self.note(|| format!("{at} starts {attempt} in {name}"));
                    self.sessions.insert(attempt, Session { group: name, until: 0, has_ended: false });
                }
            }
        }
    }

    /// Renews the leases of what a node has, where it may.
    fn renew(&mut self, at: usize, rng: &mut Rng) {
        if self.is_cut(at) {
            return;
        }
        let boot = self.boot(at);
        let node = &self.nodes[at];
        let Some(witness_at) = node.witness_at else { return };
        let gate = node.groups.as_ref().unwrap().gate();
        let lease_ms = self.settings.lease_ms - (boot - witness_at).max(0);
        let own: Vec<AttemptId> =
            node.runs.iter().flat_map(|run| self.runs[run].live.keys().cloned()).collect();
        for attempt in own {
            if lease_ms <= 0 || !gate.lets(&attempt, boot) || !(self.calm || rng.percent(40)) {
                continue;
            }
            // A clock of a worker may be slower, and its host needs a moment to freeze.
            let until =
                self.now + lease_ms * (1000 + self.settings.drift_permille) / 1000 + self.settings.freeze_ms;
            let session = self.sessions.get_mut(&attempt).unwrap();
            if session.until <= self.now && session.until > 0 {
                self.counts.thaws += 1;
            }
            session.until = session.until.max(until);
        }
    }

    /// What works may end; its coordinator hears of it.
    fn end_sessions(&mut self, at: usize, rng: &mut Rng) {
        if self.is_cut(at) {
            return;
        }
        for run in self.nodes[at].runs.clone() {
            for (attempt, name) in self.runs[&run].live.clone() {
                let session = self.sessions.get_mut(&attempt).unwrap();
                let works = self.now < session.until;
                if session.has_ended || (works && rng.percent(4)) {
                    session.has_ended = true;
                    self.runs.get_mut(&run).unwrap().live.remove(&attempt);
                    self.nodes[at].places.ended(&name, 1);
                    self.note(|| format!("{attempt} ends"));
                }
            }
        }
    }

    /// No group has more sessions that work than its limit.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        for (name, group) in &self.limits {
            let works =
                |session: &&Session| session.group == *name && !session.has_ended && self.now < session.until;
            let working = self.sessions.values().filter(works).count();
            if working > group.limit as usize {
                return Err(format!("{working} sessions of {name} work, and its limit is {}", group.limit));
            }
            self.counts.full += u32::from(working == group.limit as usize);
        }
        Ok(())
    }

    pub(crate) fn is_done(&self) -> bool {
        let owned = |run: &RunId| self.nodes.iter().any(|node| node.runs.contains(run));
        self.runs
            .iter()
            .filter(|(id, _)| owned(id))
            .all(|(_, run)| run.live.is_empty() && run.waiting.values().all(|waiting| *waiting == 0))
    }

    pub(crate) fn open(&self) -> String {
        let runs = self.runs.iter().map(|(id, run)| format!("{id}: {run:?}"));
        runs.collect::<Vec<_>>().join("\n")
    }
}
