//! What the machine asks for often, kept beside the tasks. All of it follows from them, but for whether
//! a group of the node is full, which the machine says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::task::Waits;
use crate::dag::Group;
use crate::event::TaskState;
use crate::ids::TimestampMs;

/// Whose turn it is among the tasks of a run: higher priority first, then the order of the file.
pub(super) type Rank = (Reverse<i32>, u32);

/// Where a task stands in line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) lane: usize,
    pub(super) rank: Rank,
}

impl Seat {
    pub(super) fn task(self) -> u32 {
        self.rank.1
    }
}

/// The lane of tasks without a group.
pub(super) const FREE_LANE: usize = 0;

/// Derived from the tasks of a run; each change costs O(log n).
#[derive(Debug, Clone)]
pub(super) struct Index {
    /// Tasks per state, in the order of [`TaskState::ALL`].
    counts: [u32; TaskState::ALL.len()],
    /// One line per group, so that nobody waits behind those of a group that is full.
    lanes: Vec<Lane>,
    by_group: BTreeMap<Box<str>, usize>,
    /// The first of each lane that is not full.
    heads: BTreeSet<Rank>,
    /// Queued until a time.
    pub(super) timers: BTreeSet<(TimestampMs, u32)>,
    /// Waiting for approval until a time.
    pub(super) expiries: BTreeSet<(TimestampMs, u32)>,
    /// Waiting at a prompt of which something is due at a time.
    pub(super) prompts: BTreeSet<(TimestampMs, u32)>,
    /// When, by task.
    armed: BTreeMap<u32, TimestampMs>,
    /// Since when the answer of the file has been asked for, for a prompt that is still there. Known to this
    /// life of the node alone, which is why it may be asked for twice.
    pub(super) defaults: BTreeMap<u32, TimestampMs>,
    /// Prompts are left alone until then: what the screens of an earlier life of the node show is not known yet.
    pub(super) calm_until: TimestampMs,
    /// With an attempt under way.
    pub(super) live: BTreeSet<u32>,
    /// Of those: waiting for a human, and away from their slots.
    pub(super) blocked: u32,
    /// Lanes of the node's groups whose live sessions have changed since [`Self::take_changed`].
    changed: Vec<usize>,
}

/// The tasks of one group.
#[derive(Debug, Clone, Default)]
pub(super) struct Lane {
    /// None: the tasks without a group.
    pub(super) group: Option<Box<str>>,
    /// Its limit, where the file says it; otherwise it is a group of the node.
    pub(super) own: Option<Group>,
    /// Queued and free to start.
    pub(super) ready: BTreeSet<Rank>,
    /// Sessions.
    pub(super) load: Load,
    /// Of those, what the machine has counted.
    told: Load,
    full: bool,
    head: Option<Rank>,
}

/// Sessions of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) live: u32,
    /// Of those: waiting for a human, and away.
    pub(super) blocked: u32,
}

impl Load {
    /// Places that are taken.
    pub(super) fn taken(self, group: Group) -> u32 {
        if group.frees_when_blocked { self.live - self.blocked } else { self.live }
    }
}

impl Default for Index {
    fn default() -> Self {
        Self {
            counts: [0; TaskState::ALL.len()],
            lanes: vec![Lane::default()],
            by_group: BTreeMap::new(),
            heads: BTreeSet::new(),
            timers: BTreeSet::new(),
            expiries: BTreeSet::new(),
            prompts: BTreeSet::new(),
            armed: BTreeMap::new(),
            defaults: BTreeMap::new(),
            calm_until: 0,
            live: BTreeSet::new(),
            blocked: 0,
            changed: Vec::new(),
        }
    }
}

impl Index {
    pub(super) fn count(&self, state: TaskState) -> u32 {
        self.counts[state as usize]
    }

    pub(super) fn entered(&mut self, state: TaskState) {
        self.counts[state as usize] += 1;
    }

    pub(super) fn left(&mut self, state: TaskState) {
        self.counts[state as usize] -= 1;
    }

    /// Tasks that have not ended.
    pub(super) fn open(&self) -> u32 {
        TaskState::ALL.iter().filter(|s| !s.is_terminal()).map(|s| self.count(*s)).sum()
    }

    /// Makes the lane of a group where there is none. Says whether it is new.
    pub(super) fn add_lane(&mut self, group: &str, own: Option<Group>) -> bool {
        if self.by_group.contains_key(group) {
            return false;
        }
        self.by_group.insert(group.into(), self.lanes.len());
        // A group of the node gives no place before the machine has looked.
        let full = own.is_none_or(|group| group.limit == 0);
        self.lanes.push(Lane { group: Some(group.into()), own, full, ..Lane::default() });
        if own.is_none() {
            self.changed.push(self.lanes.len() - 1);
        }
        true
    }

    /// Lane of a group; that of tasks without one where it is not known.
    pub(super) fn lane_of(&self, group: Option<&str>) -> usize {
        group.and_then(|group| self.by_group.get(group)).copied().unwrap_or(FREE_LANE)
    }

    pub(super) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter()
    }

    pub(super) fn lane(&self, lane: usize) -> &Lane {
        &self.lanes[lane]
    }

    /// Whose turn it is: the first that no group holds back.
    pub(super) fn next(&self) -> Option<u32> {
        self.heads.first().map(|rank| rank.1)
    }

    /// Tasks that may start, in the order of their turns: none of a group that is full.
    pub(super) fn ready(&self) -> impl Iterator<Item = u32> + '_ {
        let mut lanes: Vec<_> =
            self.lanes.iter().filter(|lane| !lane.full).map(|lane| lane.ready.iter().peekable()).collect();
        std::iter::from_fn(move || {
            let heads = lanes.iter_mut().enumerate().filter_map(|(at, lane)| Some((**lane.peek()?, at)));
            let (_, first) = heads.min()?;
            lanes[first].next().map(|rank| rank.1)
        })
    }

    pub(super) fn enqueue(&mut self, seat: Seat, waits: Waits) {
        match waits {
            Waits::Turn => {
                self.lanes[seat.lane].ready.insert(seat.rank);
                self.refresh(seat.lane);
            }
            Waits::Until(at_ms) => self.timers.extend([(at_ms, seat.task())]),
            Waits::Human(until_ms) => self.expiries.extend(until_ms.map(|at_ms| (at_ms, seat.task()))),
            Waits::Items => {}
        }
    }

    pub(super) fn dequeue(&mut self, seat: Seat, waits: Waits) {
        match waits {
            Waits::Until(at_ms) if self.timers.remove(&(at_ms, seat.task())) => {}
            Waits::Turn | Waits::Until(_) => {
                self.lanes[seat.lane].ready.remove(&seat.rank);
                self.refresh(seat.lane);
            }
            Waits::Human(Some(at_ms)) => {
                self.expiries.remove(&(at_ms, seat.task()));
            }
            Waits::Human(None) | Waits::Items => {}
        }
    }

    /// Something is due then of the prompt that a task waits at.
    pub(super) fn arm(&mut self, task: u32, at_ms: Option<TimestampMs>) {
        let before = match at_ms {
            Some(at_ms) => self.armed.insert(task, at_ms),
            None => self.armed.remove(&task),
        };
        if let Some(before) = before {
            self.prompts.remove(&(before, task));
        }
        self.prompts.extend(at_ms.map(|at_ms| (at_ms, task)));
    }

    /// Tasks that wait at a prompt of which something is due.
    pub(super) fn armed(&self) -> impl Iterator<Item = u32> + '_ {
        self.armed.keys().copied()
    }

    /// Takes a task off the timers whose time has come.
    pub(super) fn due(&mut self, now: TimestampMs) -> Option<u32> {
        let (at_ms, task) = self.timers.first().copied()?;
        if at_ms > now {
            return None;
        }
        self.timers.pop_first();
        Some(task)
    }

    /// Sessions of a lane came or went, or began or ceased to wait for a human.
    pub(super) fn load(&mut self, lane: usize, change: impl FnOnce(&mut Load)) {
        if lane == FREE_LANE {
            return;
        }
        let place = &mut self.lanes[lane];
        change(&mut place.load);
        match place.own {
            Some(group) => {
                place.full = place.load.taken(group) >= group.limit;
                self.refresh(lane);
            }
            None => self.changed.push(lane),
        }
    }

    /// Lanes of the node's groups that are to be counted anew.
    pub(super) fn take_changed(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.changed)
    }

    /// What the machine has counted of a lane, and what is true; afterwards it has counted that.
    pub(super) fn tell(&mut self, lane: usize) -> (Load, Load) {
        let place = &mut self.lanes[lane];
        (std::mem::replace(&mut place.told, place.load), place.load)
    }

    /// No machine has counted anything: all lanes of the node's groups are to be looked at.
    pub(super) fn untold(&mut self) {
        self.changed.clear();
        for lane in 0..self.lanes.len() {
            if lane != FREE_LANE && self.lanes[lane].own.is_none() {
                self.lanes[lane].told = Load::default();
                self.set_full(lane, true);
                self.changed.push(lane);
            }
        }
    }

    /// Whether a group of the node has a place left.
    pub(super) fn set_full(&mut self, lane: usize, full: bool) {
        self.lanes[lane].full = full;
        self.refresh(lane);
    }

    fn refresh(&mut self, lane: usize) {
        let place = &mut self.lanes[lane];
        let head = if place.full { None } else { place.ready.first().copied() };
        if head == place.head {
            return;
        }
        if let Some(old) = std::mem::replace(&mut place.head, head) {
            self.heads.remove(&old);
        }
        self.heads.extend(head);
    }

    /// Whether `other` says the same of the tasks, and its heads are right.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let lanes =
            self.lanes.len() == other.lanes.len()
                && self.lanes.iter().zip(&other.lanes).all(|(a, b)| {
                    a.group == b.group && a.own == b.own && a.ready == b.ready && a.load == b.load
                });
        let heads: BTreeSet<Rank> = self
            .lanes
            .iter()
            .filter(|lane| !lane.full)
            .filter_map(|lane| lane.ready.first().copied())
            .collect();
        let full =
            |lane: &Lane| lane.own.is_none_or(|group| lane.full == (lane.load.taken(group) >= group.limit));
        TaskState::ALL.iter().all(|s| self.count(*s) == other.count(*s))
            && lanes
            && heads == self.heads
            && self.lanes.iter().all(full)
            && self.timers == other.timers
            && self.expiries == other.expiries
            && self.prompts == other.prompts
            && self.live == other.live
            && self.blocked == other.blocked
    }
}
