//! Whose are the processes that lost their parents? Remembered for a moment, so that looking at one session
//! costs nothing for the processes of all others.

use std::time::Instant;

use super::server::Host;
use super::tree::known_owner;
use crate::evidence::PROCESSES_MAX;
use crate::os::{Process, ProcessKey, Processes, descend};
use cis_core::ids::SessionId;

/// They are looked at anew after this time, ms, and after so many times what looking takes.
const FRESH_MS: u64 = 2000;
const FRESH_TIMES: u64 = 200;

/// The orphans of all sessions, as they were.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    stale_at: u64,
    of: Vec<(SessionId, ProcessKey)>,
}

impl Host {
    /// The live processes of a session. Orphans that were never seen while they had a parent are found a
    /// little later than the others.
    pub(super) fn processes_of(&mut self, slot: usize) -> Vec<Process> {
        if self.now >= self.orphans.stale_at {
            self.find_orphans();
        }
        let Some(session) = self.sessions.get(slot) else { return Vec::new() };
        let there = |key: &ProcessKey| self.processes.one(key.pid).filter(|process| process.key() == *key);
        let leader = session.leader_end.is_none().then_some(session.pid);
        let orphans = self.orphans.of.iter().filter(|(of, _)| *of == session.id);
        let roots = leader.and_then(|pid| self.processes.one(pid)).into_iter();
        let roots = roots.chain(orphans.filter_map(|(_, key)| there(key)));
        let Some(mut live) = descend(&self.processes, roots, PROCESSES_MAX) else {
            let forest = self.forest_of_turn();
            return self.look_in(slot, &forest).live;
        };
        // Those that lost their parents since the last look.
        let is_live = |live: &[Process], key: &ProcessKey| live.iter().any(|process| process.key() == *key);
        for key in &session.seen {
            if let Some(orphan) = Some(key).filter(|key| !is_live(&live, key)).and_then(there) {
                let room = PROCESSES_MAX.saturating_sub(live.len());
                let family = descend(&self.processes, [orphan], room).unwrap_or_default();
                let new: Vec<Process> =
                    family.into_iter().filter(|process| !is_live(&live, &process.key())).collect();
                live.extend(new);
            }
        }
        if let Some(session) = self.sessions.get_mut(slot) {
            session.seen = live.iter().map(Process::key).collect();
        }
        live
    }

    fn find_orphans(&mut self) {
        let began = Instant::now();
        let own = self.processes.one(self.own_pid);
        let children = own.and_then(|own| self.processes.children(&own)).unwrap_or_default();
        let is_orphan = |pid: &u32| !self.by_pid.contains_key(pid) && self.supervise.node != Some(*pid);
        let orphans: Vec<u32> = children.into_iter().filter(is_orphan).collect();
        let mut of = Vec::new();
        if !orphans.is_empty() {
            let claims = self.claims();
            let orphans = orphans.into_iter().filter_map(|pid| self.processes.one(pid));
            for orphan in orphans.filter(|orphan| !orphan.zombie && orphan.parent == self.own_pid) {
                let owner = known_owner(&orphan, &claims, &self.processes);
                let owner = owner.and_then(|slot| self.sessions.get(slot));
                of.extend(owner.map(|session| (session.id, orphan.key())));
            }
        }
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX / FRESH_TIMES);
        self.orphans = Orphans { stale_at: self.now + FRESH_MS.max(took * FRESH_TIMES), of };
    }
}
