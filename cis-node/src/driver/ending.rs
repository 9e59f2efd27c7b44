//! When the node has nothing to do, when it ends, and what it does then.

use std::sync::atomic::Ordering;

use super::retry::RetryAt;
use super::{Driver, Stopping};
use cis_core::api::{Problem, ProblemKind};
use cis_core::event::EventBody;
use cis_core::ids::TimestampMs;
use cis_local::now_ms;
use cis_store::try_room;

/// So long after the newest event free memory goes back, ms.
pub(super) const QUIET_MS: i64 = 10_000;

/// Interval at which a node that was started on a full disk checks for free space, ms.
const SPACE_LOOK_MS: i64 = 2_000;

/// Free space with which the node restarts normally, bytes.
const SPACE_BYTES: usize = 4 << 20;

/// Minimum time between two such restarts, and the time to the next check if the restart would not help, ms.
const RESTART_PAUSE_MS: i64 = 60_000;

/// Why a node without anything to do ends.
const IDLE: &str = "nothing left to do";

/// Key of the time of the last such restart, Unix ms.
const RESTARTED: &str = "restarted_ms";

/// Runs `work` in a new thread, because it takes too long for the driver's thread.
pub(super) fn run_in_thread(work: impl FnOnce() + Send + 'static) {
    let _ = std::thread::Builder::new().name("cis-memory".to_owned()).spawn(work);
}

impl Driver {
    /// Notes since when there has been nothing to do.
    pub(super) fn watch_idleness(&mut self, now: TimestampMs) {
        let busy = self.parts.stays
            || self.parts.machine.open_runs().next().is_some()
            || self.parts.worker.live_count() > 0
            || self.loners.live_count() > 0
            || !self.unread.sessions.is_empty()
            || self.federation.awaits_workers()
            || self.parts.shared.viewers.load(Ordering::Relaxed) > 0
            || self.parts.writer.outbox_waits().unwrap_or(false);
        match (busy, self.idle_since) {
            (true, _) => self.idle_since = None,
            (false, None) => self.idle_since = Some(now),
            // Somebody who stops it in this turn is not contradicted.
            (false, Some(since)) if now - since >= self.idle_exit_ms() && self.stopping.is_none() => {
                self.stopping = Some(Stopping { kill_sessions: false, reason: IDLE.to_owned() });
            }
            (false, Some(_)) => {}
        }
    }

    /// What the start or many tasks needed for a moment is not kept: after the start, and once nothing happens, the system gets it
    /// back.
    pub(super) fn watch_memory(&mut self, now: TimestampMs) {
        if self.start_over_at.is_some_and(|at| at <= now) {
            self.start_over_at = None;
            run_in_thread(cis_host::unmap_code);
        }
        if self.give_back_at.is_some_and(|at| at <= now) {
            self.give_back_at = None;
            run_in_thread(cis_host::give_memory_back);
        }
    }

    /// Restarts a node that was started on a full disk once there is free space. Until then the node keeps other
    /// processes from its database.
    pub(super) fn watch_space(&mut self, now: TimestampMs) {
        if !self.parts.writer.excludes_processes() || self.look_for_space_at.is_some_and(|at| !at.is_due()) {
            return;
        }
        self.look_for_space_at = Some(RetryAt::after(SPACE_LOOK_MS));
        let last = self.parts.writer.get_meta(RESTARTED).ok().flatten();
        let last: TimestampMs = last.and_then(|at| at.parse().ok()).unwrap_or_default();
        let too_soon = (0..RESTART_PAUSE_MS).contains(&now.saturating_sub(last));
        if self.stopping.is_some() || too_soon || try_room(&self.parts.home.dir, SPACE_BYTES).is_err() {
            return;
        }
        if !self.parts.writer.could_be_shared() {
            // The restarted node would open its database in the same way as this one.
            self.look_for_space_at = Some(RetryAt::after(RESTART_PAUSE_MS));
            return;
        }
        let _ = self.parts.shared.restart.set(self.parts.home.dir.clone());
        let reason = "the disk has space again: the node restarts".to_owned();
        self.stopping = Some(Stopping { kill_sessions: false, reason });
    }

    /// A node that was started by a command ends after so long without anything to do, ms.
    pub(super) fn idle_exit_ms(&self) -> i64 {
        i64::try_from(self.parts.config.settings.node.idle_exit_ms).unwrap_or(i64::MAX)
    }

    pub(super) fn finished(&self) -> bool {
        self.stopping.is_some()
    }

    pub(super) fn end(mut self) {
        let Some(stopping) = self.stopping.take() else { return };
        self.parts.shared.is_idle.store(stopping.reason == IDLE, Ordering::Relaxed);
        let now = now_ms();
        let restarts_in = self.parts.shared.restart.get();
        let (restarts, is_moved) =
            (restarts_in.is_some(), restarts_in.is_some_and(|home| *home != self.parts.home.dir));
        if !restarts {
            self.leave_rooms(now);
        }
        let why_moved = is_moved.then(|| stopping.reason.clone());
        self.draft(EventBody::NodeStopped { reason: stopping.reason });
        if restarts && !is_moved && self.parts.writer.set_meta(RESTARTED, &now.to_string()).is_err() {
            self.parts.writer.rollback();
        }
        if is_moved {
            // Nothing is performed at the old path.
            self.persist(now);
            self.publish(now);
        } else {
            self.finish_turn(now);
        }
        if self.host.fd().is_none() && !is_moved {
            // A host that died may have left processes: the next one ends them before it says hello.
            let _ = self.host.connect(now);
        }
        let alone = self.parts.worker.live_count() == 0
            && self.loners.live_count() == 0
            && self.unread.sessions.is_empty();
        self.host.leave(stopping.kill_sessions || alone);
        // Only where a turn was not written: nobody may believe that it counts.
        let why = why_moved.or_else(|| self.stuck.take().map(|(why, _)| why)).unwrap_or_default();
        for confirm in self.turn.take_confirmations() {
            let detail = format!("nothing was recorded, and the node is stopping: {why}");
            confirm(Err(Problem::new(ProblemKind::Unavailable, detail)));
        }
    }
}
