//! The queue of sessions that coordinators send ahead of their turn: how many may wait here, of which run
//! (`docs/decisions/0011-grants-ahead.md`).
//!
//! Owns what this node offers, and refuses what may not wait. The waiting itself is the worker's and the session host's.

use cis_core::api::{Refusal, Report};
use cis_core::federation::protocol::message::Granted;
use cis_core::ids::RunId;
use cis_core::scheduler::placement::Ahead;

use super::{Federation, Held};
use crate::account::boot_ms;
use crate::driver::Driver;
use crate::worker::pace::{Durations, is_news};

/// See [`Federation::queue`].
pub(super) struct QueueOffer {
    run: RunId,
    durations: Durations,
    count: u32,
}

impl Federation {
    /// Sessions that may wait here, where this node has those of one run alone.
    pub(super) fn ahead(&self) -> Option<Ahead> {
        let QueueOffer { run, count, .. } = self.queue.as_ref().filter(|queue| queue.count > 0)?;
        // The result of one that ended may be kept for long: until its coordinator is there again.
        let is_over = |held: &Held| {
            let worker = self.rooms.get(&held.room).and_then(|room| room.worker.as_ref());
            worker.is_some_and(|worker| worker.has_ended(&held.granted))
        };
        let is_alone = self.held.values().all(|held| held.granted.attempt.run == *run || is_over(held));
        let mut workers = self.rooms.values().filter_map(|room| room.worker.as_ref());
        let is_alone = is_alone && !workers.any(|worker| worker.is_short_of_slots());
        is_alone.then_some(Ahead { run: *run, count: *count })
    }

    /// A session of another node's run ended. Gives whether this node lets more or fewer of them wait from now on.
    pub(super) fn queue_ended(&mut self, run: RunId, report: &Report, slots: u32) -> bool {
        let queue = match self.queue.take().filter(|queue| queue.run == run) {
            Some(queue) => self.queue.insert(queue),
            None => self.queue.insert(QueueOffer { run, durations: Durations::default(), count: 0 }),
        };
        let Some(started_ms) = report.started_ms else { return false };
        let took_ms = report.ended_ms.saturating_sub(started_ms);
        let count = queue.durations.ended_for_remote(took_ms, slots).unwrap_or(queue.count);
        let is_news = is_news(queue.count, count);
        if is_news {
            queue.count = count;
        }
        is_news
    }

    /// That run has a session that takes too long for others to wait. Gives whether this node let some wait until now.
    pub(super) fn queue_slows(&mut self, run: RunId) -> bool {
        self.queue.take_if(|queue| queue.run == run).is_some_and(|queue| queue.count > 0)
    }

    /// Whether this node lets sessions wait, be it of a run that is not the only one any more.
    pub(super) fn queues(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.count > 0)
    }
}

impl Driver {
    /// Refuses a session that would have to wait here for its turn when this node does not offer that any more: another node may have
    /// a free slot. `at_once`: how many sessions of its run may run here at a time.
    pub(super) fn refusal_of_queue(
        &mut self,
        room: &str,
        granted: &Granted,
        at_once: u32,
    ) -> Option<Refusal> {
        let run = granted.attempt.run;
        let queues = self.federation.ahead().is_some_and(|ahead| ahead.run == run);
        if queues {
            return None;
        }
        let slots = self.parts.config.settings.federation.slots;
        let worker = self.federation.worker(room)?;
        if worker.working_sessions_of(run) > at_once as usize {
            return Some(Refusal::Withdrawn { full: false });
        }
        worker.lacks_slot(granted, slots, boot_ms()).then_some(Refusal::Withdrawn { full: true })
    }

    /// Whether sessions of other nodes wait here for their turn, so that several results follow each other soon.
    pub(super) fn has_queue(&mut self, room: &str) -> bool {
        let slots = self.parts.config.settings.federation.slots as usize;
        self.federation.queues()
            && self.federation.worker(room).is_some_and(|worker| worker.live_sessions() > slots)
    }

    /// Runs of rooms have sessions that take longer than others should wait for: the coordinators are told to send none ahead.
    pub(in crate::driver) fn offer_less(&mut self) {
        for run in std::mem::take(&mut self.parts.worker.slowed) {
            if self.federation.queue_slows(run) {
                self.offer_changed();
            }
        }
    }
}
