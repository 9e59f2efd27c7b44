//! Voters at several homeservers, simulated: homeservers that are cut off from each other, messages that are lost, late or repeated, nodes that
//! crash. The machines are the real ones: votes, suspicion and finality. The timelines of the homeservers are simple lists.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use cis_core::federation::finality::Finality;
use cis_core::federation::journal::Position;
use cis_core::federation::protocol::Settings;
use cis_core::federation::protocol::message::Granted;
use cis_core::federation::protocol::suspicion::Suspicion;
use cis_core::federation::protocol::voters::{
    Heard, Kept, Knowledge, Mandate, VoterEffect, VoterMessage, Voters,
};
use cis_core::ids::{AttemptId, Epoch, NodeDid, Offset, RunId, TaskId};

use crate::random::settings;
use crate::rng::{Rng, seeds};

const SEEDS: u64 = 100;
/// One step of time, ms.
const STEP_MS: i64 = 10;
const STEPS: u32 = 3000;
const CALM_STEPS: u32 = 2000;

fn run() -> RunId {
    RunId::from_parts(1, 1)
}

fn did(at: usize) -> NodeDid {
    NodeDid(format!("node{at}"))
}

fn granted(n: u64) -> Granted {
    let task = TaskId::new("t").unwrap();
    Granted { attempt: AttemptId { run: run(), task, number: u32::try_from(n).unwrap() }, fence: n }
}

/// An entry of the journal.
#[derive(Debug, Clone)]
struct Entry {
    at: Position,
    prev: Position,
    by: usize,
    /// It begins a term.
    begins: bool,
}

/// The entries that count, as `Line` of the journal finds them where each takeover was voted for.
fn line_of(entries: &[Entry]) -> Vec<(Position, usize)> {
    let mut places: BTreeMap<(Epoch, u64), Vec<&Entry>> = BTreeMap::new();
    entries.iter().for_each(|entry| places.entry((entry.at.epoch, entry.at.n)).or_default().push(entry));
    let mut line: Vec<(Position, usize)> = Vec::new();
    let mut epoch = 0;
    loop {
        loop {
            let (head, n) = line.last().map_or((Position::start(run()).head, 0), |(at, _)| (at.head, at.n));
            let by_same = |e: &Entry| line.last().is_none_or(|(_, by)| *by == e.by);
            let here = places.get(&(epoch, n + 1)).into_iter().flatten();
            let mut here = here.filter(|e| !e.begins && by_same(e) && e.prev.head == head);
            let Some(next) = here.next() else { break };
            line.push((next.at, next.by));
        }
        let connects = |e: &&&Entry| {
            let before = usize::try_from(e.at.n).ok().and_then(|n| line.get(n.checked_sub(2)?));
            e.begins && before.is_some_and(|(at, _)| *at == e.prev && at.epoch == epoch)
        };
        let of_term = places.range((epoch + 1, 0)..=(epoch + 1, u64::MAX)).flat_map(|(_, here)| here);
        let next = of_term.filter(connects).min_by_key(|e| e.at.head);
        let Some(next) = next else { return line };
        line.truncate(usize::try_from(next.at.n).unwrap() - 1);
        line.push((next.at, next.by));
        epoch += 1;
    }
}

/// What a node loses with its process.
struct Life {
    voters: Voters,
    suspicion: Suspicion,
    /// So many entries of its homeserver were read.
    read: usize,
    line: Vec<(Position, usize)>,
    lead: Option<Lead>,
    ask_at: i64,
}

struct Lead {
    epoch: Epoch,
    wrote: Position,
    finality: Finality,
    offset: Offset,
    written: BTreeMap<Offset, Position>,
    acts_from: i64,
}

struct Node {
    homeserver: usize,
    /// How often it reads its homeserver, percent of the steps.
    reads: u64,
    life: Option<Life>,
    /// What is durable.
    kept: Kept,
    lives: u64,
    /// Until when workers may go on under what it gave them.
    leased_until: i64,
}

struct Knows<'a> {
    life: &'a Life,
    own: &'a NodeDid,
    coordinator: Option<NodeDid>,
    now: i64,
}

impl<'a> Knows<'a> {
    fn new(life: &'a Life, own: &'a NodeDid, now: i64) -> Self {
        let coordinator = life.line.last().map(|(_, by)| did(*by));
        Self { life, own, coordinator, now }
    }
}

impl Knowledge for Knows<'_> {
    fn read(&self, _: RunId) -> Option<Position> {
        let led = self.life.lead.as_ref().map(|lead| lead.wrote);
        led.or_else(|| self.life.line.last().map(|(at, _)| *at))
    }

    fn coordinator(&self, _: RunId) -> Option<&NodeDid> {
        if self.life.lead.is_some() { Some(self.own) } else { self.coordinator.as_ref() }
    }

    fn is_open_to(&self, run: RunId, _: &NodeDid) -> bool {
        self.life.lead.is_none() && self.life.suspicion.is_silent(run, self.now)
    }
}

enum Packet {
    Said { from: usize, to: usize, message: VoterMessage },
    Entry { homeserver: usize, entry: Entry },
}

struct World {
    rng: Rng,
    now: i64,
    settings: Settings,
    nodes: Vec<Node>,
    /// The timelines.
    timelines: Vec<Vec<Entry>>,
    /// Pairs of homeservers that do not hear each other.
    cut: BTreeSet<(usize, usize)>,
    packets: Vec<(i64, Packet)>,
    /// What counted as final somewhere.
    finals: BTreeMap<u64, Position>,
    takeovers: u32,
    calm: bool,
    /// Messages take up to so much longer, ms.
    slow_ms: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let count = rng.between(2, 5) as usize;
        let homeservers = rng.between(2, 3) as usize;
        let slow_ms = rng.pick(&[0, 150, 300]).copied().unwrap_or(0);
        let node = |homeserver| Node {
            reads: 50,
            homeserver,
            life: None,
            kept: Kept::default(),
            lives: 0,
            leased_until: i64::MIN,
        };
        let nodes: Vec<Node> = (0..count).map(|_| node(rng.below(homeservers as u64) as usize)).collect();
        let first = Position::start(run()).after(run(), 0, "created");
        let entry = Entry { at: first, prev: Position::start(run()), by: 0, begins: false };
        let timelines = vec![vec![entry]; homeservers];
        let mut world = Self {
            rng,
            now: 0,
            settings: settings(),
            nodes,
            timelines,
            cut: BTreeSet::new(),
            packets: Vec::new(),
            finals: BTreeMap::new(),
            takeovers: 0,
            calm: false,
            slow_ms,
        };
        (0..count).for_each(|at| world.start(at));
        world
    }

    fn start(&mut self, at: usize) {
        let others = (0..self.nodes.len()).filter(|other| *other != at).map(did).collect();
        let node = &mut self.nodes[at];
        node.lives += 1;
        let mut voters = Voters::new(did(at), node.lives, node.kept.clone(), &self.settings);
        voters.set_others(Some(others));
        let suspicion = Suspicion::new(self.settings);
        node.life = Some(Life { voters, suspicion, read: 0, line: Vec::new(), lead: None, ask_at: 0 });
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }

    fn put(&mut self, delay_ms: u64, packet: Packet) {
        let at = self.now + self.rng.below(delay_ms) as i64;
        self.packets.push((at, packet));
    }

    fn say(&mut self, from: usize, to: &NodeDid, message: &VoterMessage) {
        let to = (0..self.nodes.len()).find(|at| did(*at) == *to).unwrap();
        let (here, there) = (self.nodes[from].homeserver, self.nodes[to].homeserver);
        if !self.calm && self.rng.percent(5) {
            return;
        }
        // What is under way to a homeserver that is not reached may come later.
        let late = if self.is_cut(here, there) {
            if self.rng.percent(50) {
                return;
            }
            self.rng.below(3000)
        } else {
            0
        };
        let copies = if !self.calm && self.rng.percent(3) { 2 } else { 1 };
        for _ in 0..copies {
            let slow = if self.calm { 0 } else { self.slow_ms };
            self.put(40 + slow + late, Packet::Said { from, to, message: message.clone() });
        }
    }

    /// Writes an entry at the homeserver of its writer; the others get it when they hear from that one.
    fn write(&mut self, entry: &Entry) {
        let own = self.nodes[entry.by].homeserver;
        let late = self.rng.pick(&[20, 400, 2000]).copied().unwrap_or(20);
        for homeserver in 0..self.timelines.len() {
            // Who is elected may be slow to say so.
            let slow = match entry.begins {
                _ if self.calm => 20,
                true => late,
                false if homeserver == own => 20,
                false => 1500,
            };
            let slow = if homeserver == own { slow } else { slow + 100 };
            self.put(slow, Packet::Entry { homeserver, entry: entry.clone() });
        }
    }

    fn effects(&mut self, at: usize, effects: Vec<VoterEffect>) {
        for effect in effects {
            match effect {
                VoterEffect::Send(to, message) => self.say(at, &to, &message),
                VoterEffect::Keep(then) => {
                    self.keep(at);
                    for (to, message) in then {
                        self.say(at, &to, &message);
                    }
                }
                VoterEffect::Begin(_, mandate) => {
                    self.keep(at);
                    self.take_over(at, mandate);
                }
            }
        }
    }

    fn keep(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if let Some(life) = &node.life {
            node.kept = life.voters.kept().clone();
        }
    }

    fn take_over(&mut self, at: usize, Mandate { epoch, after, .. }: Mandate) {
        let entry = after.after(run(), epoch, &format!("taken over by {at}"));
        self.takeovers += 1;
        self.write(&Entry { at: entry, prev: after, by: at, begins: true });
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += STEP_MS;
        if !self.calm {
            self.trouble();
        }
        let mut due = Vec::new();
        let (now, mut left) = (self.now, Vec::new());
        for (when, packet) in std::mem::take(&mut self.packets) {
            let holds = match &packet {
                // An entry waits until the homeservers hear each other.
                Packet::Entry { homeserver, entry } => {
                    self.is_cut(*homeserver, self.nodes[entry.by].homeserver)
                }
                Packet::Said { .. } => false,
            };
            if when <= now && !holds { due.push(packet) } else { left.push((when, packet)) }
        }
        self.packets = left;
        for packet in due {
            self.deliver(packet);
        }
        for at in 0..self.nodes.len() {
            self.tick(at)?;
        }
        Ok(())
    }

    fn trouble(&mut self) {
        let servers = self.timelines.len() as u64;
        if self.rng.below(150) == 0 {
            let (a, b) = (self.rng.below(servers) as usize, self.rng.below(servers) as usize);
            if a != b {
                self.cut.insert((a.min(b), a.max(b)));
            }
        }
        if self.rng.below(200) == 0 {
            self.cut.pop_first();
        }
        let at = self.rng.below(self.nodes.len() as u64) as usize;
        if self.rng.below(100) == 0 {
            self.nodes[at].reads = self.rng.pick(&[1, 5, 50]).copied().unwrap_or(50);
        }
        match self.nodes[at].life {
            Some(_) if self.rng.below(120) == 0 => self.nodes[at].life = None,
            None if self.rng.below(150) == 0 => self.start(at),
            _ => {}
        }
    }

    fn deliver(&mut self, packet: Packet) {
        match packet {
            Packet::Entry { homeserver, entry } => self.timelines[homeserver].push(entry),
            Packet::Said { from, to, message } => {
                let now = self.now;
                let Some(mut life) = self.nodes[to].life.take() else { return };
                let (mut out, own, from) = (Vec::new(), did(to), did(from));
                let mut voters = life.voters.clone();
                let heard = voters.handle(&from, message, &Knows::new(&life, &own, now), now, &mut out);
                life.voters = voters;
                match heard {
                    Some(Heard::Asked { lost }) => {
                        life.suspicion.heard(&from, now);
                        life.suspicion.gives_up(&from, &lost);
                    }
                    Some(Heard::Followed { read }) => {
                        if let Some(lead) = &mut life.lead {
                            for (_, at) in read {
                                if life.voters.follows_itself(run(), lead.epoch) {
                                    lead.finality.read_by(&from, at);
                                }
                            }
                        }
                    }
                    Some(Heard::TooLong { runs }) => panic!("an answer names {runs} runs"),
                    None => {}
                }
                self.nodes[to].life = Some(life);
                self.effects(to, out);
            }
        }
    }

    fn tick(&mut self, at: usize) -> Result<(), String> {
        let (now, settings) = (self.now, self.settings);
        let Some(mut life) = self.nodes[at].life.take() else { return Ok(()) };
        let timeline = &self.timelines[self.nodes[at].homeserver];
        if life.read < timeline.len() && (self.calm || self.rng.percent(self.nodes[at].reads)) {
            life.read = timeline.len();
            life.line = line_of(timeline);
            let (tip, by) = *life.line.last().unwrap();
            if by == at {
                life.suspicion.forget(run());
                if life.lead.as_ref().is_none_or(|lead| lead.epoch != tip.epoch) {
                    let mut finality = Finality::since(0, Some((1, tip)));
                    finality.set_majority(life.voters.majority());
                    let (written, acts_from) = (BTreeMap::from([(1, tip)]), now + settings.lease_bound_ms());
                    let lead = Lead { epoch: tip.epoch, wrote: tip, finality, offset: 1, written, acts_from };
                    life.lead = Some(lead);
                }
                let lead = life.lead.as_mut().unwrap();
                if life.voters.follows_itself(run(), lead.epoch) {
                    lead.finality.read_back(tip);
                }
            } else {
                life.lead = None;
                life.suspicion.watch(run(), tip.epoch, &did(by), now);
            }
        }
        let mut out = Vec::new();
        let before: Vec<NodeDid> = (0..at).map(did).collect();
        for _ in life.suspicion.due(Some(&before), now) {
            let (tip, by) = *life.line.last().unwrap();
            life.voters.stand(run(), tip, &did(by), &mut out);
        }
        let mut entry = None;
        if let Some(lead) = &mut life.lead {
            if life.ask_at <= now {
                life.ask_at = now + settings.alive_ms;
                let led = BTreeMap::from([(run(), (lead.epoch, Some(lead.wrote)))]);
                life.voters.ask(&led, now, &mut out);
            }
            let followed = life.voters.followed_at(run(), lead.epoch, now);
            if let Some(since) =
                followed.filter(|since| lead.acts_from <= now && *since + settings.lease_ms > now)
            {
                self.has_finals(&life.line, lead.epoch)?;
                let node = &mut self.nodes[at];
                node.leased_until = node.leased_until.max(since + settings.lease_ms);
                let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != at);
                for (other, known) in others {
                    if known.leased_until > now {
                        let until = known.leased_until;
                        return Err(format!(
                            "at {now} node {at} grants while node {other} may have workers until {until}"
                        ));
                    }
                }
            }
            if self.rng.percent(3) && !self.calm {
                lead.offset += 1;
                let (prev, n) = (lead.wrote, lead.offset);
                lead.wrote = prev.after(run(), lead.epoch, &format!("entry {n} of {at} at {now}"));
                lead.written.insert(n, lead.wrote);
                lead.finality.recorded(n, granted(n), did(at));
                lead.finality.written(n, lead.wrote);
                entry = Some(Entry { at: lead.wrote, prev, by: at, begins: false });
            }
            while let Some((offset, position)) = lead.written.pop_first() {
                if !lead.finality.is_final(offset) {
                    lead.written.insert(offset, position);
                    break;
                }
                let known = self.finals.entry(position.n).or_insert(position);
                if *known != position {
                    return Err(format!("two entries are final in one place: {known:?} and {position:?}"));
                }
            }
        }
        self.nodes[at].life = Some(life);
        if let Some(entry) = entry {
            self.write(&entry);
        }
        self.effects(at, out);
        Ok(())
    }

    /// What counts as final is on the line of a node that may grant something in a later term.
    fn has_finals(&self, line: &[(Position, usize)], epoch: Epoch) -> Result<(), String> {
        for (n, position) in self.finals.iter().filter(|(_, position)| position.epoch < epoch) {
            let here = usize::try_from(*n - 1).ok().and_then(|index| line.get(index)).map(|(at, _)| at);
            if here != Some(position) {
                return Err(format!("{here:?} stands in term {epoch} where {position:?} was final"));
            }
        }
        Ok(())
    }

    fn heal(&mut self) {
        self.calm = true;
        self.cut.clear();
        for at in 0..self.nodes.len() {
            if self.nodes[at].life.is_none() {
                self.start(at);
            }
        }
    }

    /// One node coordinates the run in the end, and all nodes know it.
    fn is_settled(&self) -> Result<(), String> {
        let lives: Vec<&Life> = self.nodes.iter().filter_map(|node| node.life.as_ref()).collect();
        let first = lives[0].line.last().copied();
        if lives.iter().any(|life| life.line.last().copied() != first) {
            let tips: Vec<_> = lives.iter().map(|life| life.line.last().copied()).collect();
            return Err(format!("the nodes do not agree in the end: {tips:?}"));
        }
        self.has_finals(&lives[0].line, Epoch::MAX)?;
        let leads = |life: &&&Life| {
            let lead = life.lead.as_ref();
            let followed = lead.and_then(|lead| life.voters.followed_at(run(), lead.epoch, self.now));
            followed.is_some_and(|at| self.now - at < self.settings.lease_ms / 2)
                && lead.is_some_and(|lead| lead.acts_from <= self.now)
        };
        match lives.iter().filter(leads).count() {
            1 => Ok(()),
            count => Err(format!("{count} nodes coordinate the run in the end")),
        }
    }
}

fn explore(seed: u64) -> Result<(u32, usize), String> {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step()?;
    }
    world.heal();
    for _ in 0..CALM_STEPS {
        world.step()?;
    }
    world.is_settled()?;
    Ok((world.takeovers, world.finals.len()))
}

#[test]
fn voters_at_several_homeservers_have_one_coordinator_and_keep_what_is_final() {
    let (takeovers, finals) = (Cell::new(0), Cell::new(0));
    for seed in seeds(15_000_000, SEEDS) {
        match explore(seed) {
            Ok((over, known)) => {
                takeovers.set(takeovers.get() + over);
                finals.set(finals.get() + known);
            }
            Err(wrong) => panic!(
                "seed {seed}: {wrong}\nreplay: CIS_SIM_SEED={seed} cargo nextest run -p cis-core --test federation votes"
            ),
        }
    }
    eprintln!("{} takeovers, {} final entries", takeovers.get(), finals.get());
    assert!(takeovers.get() > 0 && finals.get() > 0);
}
