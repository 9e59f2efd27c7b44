//! All processes, and whose they are: read at most once in a turn, and remembered for a moment, so that looking at one
//! session costs nothing for the processes of all others.

use std::rc::Rc;
use std::time::Instant;

use super::environment::LABEL;
use super::sessions::Sessions;
use super::tree::{Forest, Marks, OwnChildren, forest, known_owner};
use crate::evidence::PROCESSES_MAX;
use crate::os::{ProcFs, Process, ProcessKey, Processes, descend};
use cis_core::ids::SessionId;

/// Orphans are looked at anew after this time, ms, and after so many times what looking takes.
const FRESH_MS: u64 = 2000;
const FRESH_TIMES: u64 = 200;

/// The same where some of them may be missed: a program passes on what is typed, and nobody is seen to whom.
const MISSED_MS: u64 = 50;
const MISSED_TIMES: u64 = 20;

/// What the host knows of processes.
#[derive(Debug)]
pub(super) struct ProcessTable {
    pub(super) system: ProcFs,
    pub(super) own_pid: u32,
    /// All processes as they were in this turn.
    snapshot: Option<Rc<Forest>>,
    orphans: Orphans,
}

/// The orphans of all sessions, as they were.
#[derive(Debug, Default)]
struct Orphans {
    stale_at: u64,
    missed_at: u64,
    of: Vec<(SessionId, ProcessKey)>,
}

impl ProcessTable {
    pub(super) fn new(system: ProcFs) -> Self {
        Self { system, own_pid: std::process::id(), snapshot: None, orphans: Orphans::default() }
    }

    /// Processes have changed.
    pub(super) fn drop_snapshot(&mut self) {
        self.snapshot = None;
    }

    /// All processes, and whose they are. `own`: children of the host that belong to no session.
    pub(super) fn forest(&self, sessions: &Sessions, own: OwnChildren) -> Forest {
        let claims = sessions.claims(self.system.ticks_per_second());
        forest(self.system.all(), self.own_pid, own, &claims, &self.system)
    }

    /// The same, read once in a turn for all sessions that are looked at in it.
    pub(super) fn forest_of_turn(&mut self, sessions: &Sessions, own: OwnChildren) -> Rc<Forest> {
        if let Some(forest) = &self.snapshot {
            return Rc::clone(forest);
        }
        let forest = Rc::new(self.forest(sessions, own));
        self.snapshot = Some(Rc::clone(&forest));
        forest
    }

    /// The live processes of a session. Orphans that were never seen while they had a parent are found a
    /// little later than the others.
    pub(super) fn of_session(
        &mut self,
        slot: usize,
        sessions: &mut Sessions,
        own: OwnChildren,
        now: u64,
    ) -> Vec<Process> {
        if now >= self.orphans.stale_at {
            self.find_orphans(sessions, own, now);
        }
        let Some(session) = sessions.get(slot) else { return Vec::new() };
        let there = |key: &ProcessKey| self.system.one(key.pid).filter(|process| process.key() == *key);
        let leader = session.life.leader_lives().then_some(session.pid);
        let orphans = self.orphans.of.iter().filter(|(of, _)| *of == session.id);
        let roots = leader.and_then(|pid| self.system.one(pid)).into_iter();
        let roots = roots.chain(orphans.filter_map(|(_, key)| there(key)));
        let Some(mut live) = descend(&self.system, roots, PROCESSES_MAX) else {
            let forest = self.forest_of_turn(sessions, own);
            return sessions.look(slot, &forest).live;
        };
        // Those that lost their parents since the last look.
        let is_live = |live: &[Process], key: &ProcessKey| live.iter().any(|process| process.key() == *key);
        for key in &session.seen {
            if let Some(orphan) = Some(key).filter(|key| !is_live(&live, key)).and_then(there) {
                let room = PROCESSES_MAX.saturating_sub(live.len());
                let family = descend(&self.system, [orphan], room).unwrap_or_default();
                let new: Vec<Process> =
                    family.into_iter().filter(|process| !is_live(&live, &process.key())).collect();
                live.extend(new);
            }
        }
        if let Some(session) = sessions.get_mut(slot) {
            session.seen = live.iter().map(Process::key).collect();
        }
        live
    }

    /// The same with orphans that came since they were looked at; none: there are none, or that was just now.
    pub(super) fn more_of_session(
        &mut self,
        slot: usize,
        sessions: &mut Sessions,
        own: OwnChildren,
        now: u64,
    ) -> Option<Vec<Process>> {
        if now < self.orphans.missed_at {
            return None;
        }
        let before = std::mem::take(&mut self.orphans.of);
        self.find_orphans(sessions, own, now);
        (self.orphans.of != before).then(|| self.of_session(slot, sessions, own, now))
    }

    fn find_orphans(&mut self, sessions: &Sessions, own: OwnChildren, now: u64) {
        let began = Instant::now();
        let host = self.system.one(self.own_pid);
        let children = host.and_then(|host| self.system.children(&host)).unwrap_or_default();
        let is_orphan = |pid: &u32| !sessions.is_leader(*pid) && !own.contains(&Some(*pid));
        let orphans: Vec<u32> = children.into_iter().filter(is_orphan).collect();
        let mut of = Vec::new();
        if !orphans.is_empty() {
            let claims = sessions.claims(self.system.ticks_per_second());
            let orphans = orphans.into_iter().filter_map(|pid| self.system.one(pid));
            for orphan in orphans.filter(|orphan| !orphan.zombie && orphan.parent == self.own_pid) {
                let owner = known_owner(&orphan, &claims, &self.system);
                let owner = owner.and_then(|slot| sessions.get(slot));
                of.extend(owner.map(|session| (session.id, orphan.key())));
            }
        }
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX / FRESH_TIMES);
        let stale_at = now + FRESH_MS.max(took * FRESH_TIMES);
        self.orphans = Orphans { stale_at, missed_at: now + MISSED_MS.max(took * MISSED_TIMES), of };
    }
}

impl Marks for ProcFs {
    fn stamp(&self, pid: u32) -> Option<u64> {
        Processes::stamp(self, pid)
    }

    fn label(&self, pid: u32) -> Option<Vec<u8>> {
        self.variable(pid, LABEL)
    }
}
