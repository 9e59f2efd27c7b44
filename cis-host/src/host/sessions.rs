//! All sessions of the host: by number, id and leader.

use std::collections::{HashMap, VecDeque};

use super::session::Session;
use super::slab::Slab;
use super::tree::{Claim, Forest};
use crate::os::Process;
use cis_core::event::ExitStatus;
use cis_core::ids::{SessionId, TimestampMs};

/// The sessions, and those of them that something is to be done about in this turn.
#[derive(Debug)]
pub(super) struct Sessions {
    all: Slab<Session>,
    by_id: HashMap<SessionId, usize>,
    /// Leaders that were not waited for yet.
    by_pid: HashMap<u32, usize>,
    /// Sessions whose leader ended, to be looked at in this turn.
    pub(super) ended: Vec<usize>,
    /// Sessions that are being ended, to be looked at in this turn.
    pub(super) ending: Vec<usize>,
    /// Sessions that were started a moment ago and are not polled yet, in the order of their start.
    pub(super) fresh: VecDeque<usize>,
}

/// What a look at a session finds.
pub(super) struct Look {
    /// Its processes.
    pub(super) live: Vec<Process>,
    /// Orphans without a mark that most probably come from it.
    pub(super) unmarked: Vec<Process>,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self {
            all: Slab::new(),
            by_id: HashMap::new(),
            by_pid: HashMap::new(),
            ended: Vec::new(),
            ending: Vec::new(),
            fresh: VecDeque::new(),
        }
    }

    /// Takes in a session that was just started.
    pub(super) fn insert(&mut self, session: Session) -> usize {
        let (id, pid) = (session.id, session.pid);
        let slot = self.all.insert(session);
        self.by_id.insert(id, slot);
        self.by_pid.insert(pid, slot);
        self.fresh.push_back(slot);
        slot
    }

    /// Takes in a session that an earlier program of this process started, in whatever state it is.
    pub(super) fn insert_known(&mut self, session: Session) -> usize {
        let (id, pid, lives) = (session.id, session.pid, session.lives());
        let leader_lives = session.life.leader_lives();
        let slot = self.all.insert(session);
        self.by_id.insert(id, slot);
        if leader_lives {
            self.by_pid.insert(pid, slot);
        } else if lives {
            self.ended.push(slot);
        }
        slot
    }

    pub(super) fn get(&self, slot: usize) -> Option<&Session> {
        self.all.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Session> {
        self.all.get_mut(slot)
    }

    pub(super) fn slot_of(&self, id: SessionId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// In the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Session)> {
        self.all.iter()
    }

    /// Those whose exit is not known yet.
    pub(super) fn living(&self) -> impl Iterator<Item = (usize, &Session)> {
        self.iter().filter(|(_, session)| session.lives())
    }

    /// Number of leaders that were not waited for.
    pub(super) fn leaders(&self) -> usize {
        self.by_pid.len()
    }

    pub(super) fn is_leader(&self, pid: u32) -> bool {
        self.by_pid.contains_key(&pid)
    }

    /// A child has ended. Returns the slot of the session that it was the leader of.
    pub(super) fn leader_ended(&mut self, pid: u32, status: ExitStatus, at_ms: TimestampMs) -> Option<usize> {
        let slot = self.by_pid.remove(&pid)?;
        if let Some(session) = self.all.get_mut(slot) {
            session.life.leader_ended(status, at_ms);
        }
        self.ended.push(slot);
        Some(slot)
    }

    /// Forgets a session whose exit is recorded and whose output nobody waits for.
    pub(super) fn forget_if_done(&mut self, slot: usize) {
        let is_done = |session: &&Session| session.is_acknowledged() && session.watchers.is_empty();
        if let Some(id) = self.all.get(slot).filter(is_done).map(|session| session.id) {
            self.all.remove(slot);
            self.by_id.remove(&id);
        }
    }

    /// What every session that lives is known by.
    pub(super) fn claims(&self, ticks_per_second: u64) -> Vec<Claim<'_>> {
        let claims = self.living().map(|(slot, session)| Claim {
            slot,
            leader: session.pid,
            leader_gone: !session.life.leader_lives(),
            started: session.started * ticks_per_second / 1000,
            label: &session.label,
            stamp: session.stamp,
            seen: &session.seen,
        });
        claims.collect()
    }

    /// What there is of a session, among all processes of a moment.
    pub(super) fn look(&mut self, slot: usize, forest: &Forest) -> Look {
        let Some(tree) = forest.tree(slot) else { return Look { live: Vec::new(), unmarked: Vec::new() } };
        let those = |numbers: &[usize]| -> Vec<Process> {
            numbers.iter().filter_map(|at| forest.all.get(*at).cloned()).collect()
        };
        let (live, unmarked) = (those(&tree.live), those(&tree.unmarked));
        if let Some(session) = self.all.get_mut(slot) {
            session.seen = live.iter().map(Process::key).collect();
        }
        Look { live, unmarked }
    }
}
