//! Workers that were not heard any more while they had sessions of this node's runs, which count as lost since then.
//!
//! Owns for how long this node stays because of them, also if it has nothing else to do. Such a session is frozen, and its worker asks what
//! to do with it when it reaches this node again. Only this node answers that: see `results`.

use std::collections::BTreeMap;

use super::super::Driver;
use crate::account::boot_ms;
use cis_core::federation::protocol::message::Granted;
use cis_core::federation::protocol::{BootMs, Settings};
use cis_core::ids::{NodeDid, RunId};

/// A worker that is heard asks at each of its heartbeats. So many of them are waited for, as a message may be lost.
const HEARTBEATS: i64 = 2;

/// See the module. By run, and until when each worker is waited for.
#[derive(Debug, Default)]
pub(super) struct Absent(BTreeMap<(RunId, NodeDid), BootMs>);

impl Absent {
    /// A session of a run is lost with a worker. If the worker stays away, it kills the session by itself in this time.
    fn lost(&mut self, run: RunId, worker: NodeDid, now: BootMs) {
        self.0.insert((run, worker), now.saturating_add(Settings::default().lost_keep_ms));
    }

    /// A worker gave a sign of life.
    pub(super) fn heard(&mut self, worker: &NodeDid, now: BootMs) {
        let has_asked = now.saturating_add(HEARTBEATS * Settings::default().heartbeat_ms);
        for ((_, absent), until) in &mut self.0 {
            if absent == worker {
                *until = has_asked.min(*until);
            }
        }
    }

    /// Another node coordinates a run, and answers.
    pub(super) fn leave(&mut self, run: RunId) {
        self.0.retain(|(of, _), _| *of != run);
    }

    /// Forgets those that are waited for no longer.
    pub(super) fn forget_until(&mut self, now: BootMs) {
        self.0.retain(|_, until| *until > now);
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When one of them is waited for no longer.
    pub(super) fn poll_timeout(&self) -> Option<BootMs> {
        self.0.values().min().copied()
    }
}

impl Driver {
    /// A grant counts as lost. Unless its worker was just heard, it may still have the session.
    pub(super) fn lost_with_worker(&mut self, room: &str, Granted { attempt, fence }: &Granted) {
        let task = self.parts.machine.run(&attempt.run).and_then(|run| run.task(&attempt.task));
        let live = task.and_then(|(_, entry)| entry.live.as_ref());
        let live = live.filter(|live| (live.attempt, live.fence) == (attempt.number, *fence));
        let Some(worker) = live.map(|live| live.node.clone()) else { return };
        let is_own = self.parts.identity.is_or_was(&worker);
        let room = self.federation.room(room);
        let is_heard = room.coordinator.heard(&worker).is_some_and(|(_, is_silent)| !is_silent);
        if !is_own && !is_heard {
            room.absent.lost(attempt.run, worker, boot_ms());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_worker_is_waited_for_until_it_has_asked_or_kills_its_session_by_itself() {
        let Settings { lost_keep_ms, heartbeat_ms, .. } = Settings::default();
        let (worker, other) = (NodeDid("did:key:w".to_owned()), NodeDid("did:key:o".to_owned()));
        let (one, two) = (RunId::from_parts(1, 1), RunId::from_parts(1, 2));
        let mut absent = Absent::default();
        absent.heard(&worker, 0);
        assert!(absent.is_empty() && absent.poll_timeout().is_none());
        absent.lost(one, worker.clone(), 1_000);
        absent.lost(two, other.clone(), 1_000);
        absent.heard(&other, 2_000);
        let asked = 2_000 + 2 * heartbeat_ms;
        absent.heard(&other, 3_000);
        assert_eq!(absent.poll_timeout(), Some(asked), "the first one counts");
        absent.forget_until(asked);
        assert_eq!(absent.poll_timeout(), Some(1_000 + lost_keep_ms));
        absent.heard(&worker, lost_keep_ms);
        absent.forget_until(1_000 + lost_keep_ms);
        assert!(absent.is_empty(), "not longer than without a sign of life");
        absent.lost(one, worker, 1_000);
        absent.leave(two);
        assert!(!absent.is_empty());
        absent.leave(one);
        assert!(absent.is_empty());
    }
}
