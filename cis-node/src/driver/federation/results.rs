//! Results of tasks of a room until they are final: what their coordinator tells their workers, and when.
//!
//! Owns no state: what waits is `Finality`'s. Whether a result counts is the scheduler's decision.

use super::super::Driver;
use crate::restore;
use cis_core::api::RoomWrite;
use cis_core::federation::direct::TaskPayload;
use cis_core::federation::finality::Finality;
use cis_core::federation::lead;
use cis_core::federation::protocol::message::{Granted, Message};
use cis_core::ids::{AttemptId, Fence, NodeDid, Offset, RunId, TimestampMs};

impl Driver {
    /// The result is durable here. Where no other node coordinates in the room, it is final with that.
    pub(in crate::driver) fn acknowledge_in_room(
        &mut self,
        attempt: AttemptId,
        fence: Fence,
        now: TimestampMs,
    ) {
        let granted = Granted { attempt, fence };
        let Some((name, room)) = self.federation.room_of(granted.attempt.run) else { return };
        let Some(worker) = room.coordinator.worker_of(&granted).cloned() else { return };
        if room.coordinator.is_sole() {
            return self.is_final(&name, &granted, &worker, now);
        }
        let newest = self.newest_of(granted.attempt.run);
        let room = self.federation.room(&name);
        let mut out = Vec::new();
        room.coordinator.recorded(&granted, &mut out);
        let finality = room.finality.entry(granted.attempt.run).or_insert_with(|| Finality::since(0, None));
        finality.recorded(newest, granted, worker);
        self.lead(&name, out, now);
    }

    /// The newest event of a run in the store.
    pub(super) fn newest_of(&self, run: RunId) -> Offset {
        let newest = self.parts.readers.get().and_then(|reader| reader.newest_of(run));
        // Later than it is: what waits for that waits for longer.
        newest.unwrap_or_else(|_| self.parts.writer.last_offset())
    }

    /// The worker of a result need not keep it any more.
    pub(super) fn is_final(&mut self, name: &str, granted: &Granted, worker: &NodeDid, now: TimestampMs) {
        let mut out = Vec::new();
        self.federation.room(name).coordinator.release(granted, worker, &mut out);
        self.lead(name, out, now);
    }

    /// The journal of a run was written up to an event.
    pub(in crate::driver) fn journal_written(&mut self, writes: &[RoomWrite], now: TimestampMs) {
        for write in writes {
            if let RoomWrite::Published { run, room: written, offset, journal } = write
                && let Some(position) = restore::position(journal)
                && let Some((name, room)) = self.federation.room_of(*run)
                && name == *written
                && let Some(finality) = room.finality.get_mut(run)
            {
                let finals = finality.written(*offset, position);
                finals.iter().for_each(|(granted, worker)| self.is_final(&name, granted, worker, now));
                self.more_is_final(&name, *run, now);
            }
        }
    }

    /// Whether a message is about a result that an earlier coordinator, or an earlier life of this one, may have recorded, and that
    /// is not final yet. Its worker repeats it.
    pub(super) fn is_of_before(&self, name: &str, message: &Message<TaskPayload>) -> bool {
        let Message::Result { granted, .. } = message else { return false };
        let Some(room) = self.federation.rooms.get(name) else { return false };
        let finality = room.finality.get(&granted.attempt.run);
        room.coordinator.worker_of(granted).is_none()
            && !room.coordinator.is_sole()
            && finality.is_some_and(|finality| !finality.is_caught_up())
    }

    /// The grant that a message is about, where its run is none that this node coordinates any more, or ever did.
    pub(super) fn of_ended(&self, name: &str, message: &Message<TaskPayload>) -> Option<Granted> {
        let granted = lead::waits_for_answer(message)?;
        let run = granted.attempt.run;
        let room = self.federation.rooms.get(name)?;
        let is_open = room.coordinator.epoch(run).is_some() || self.parts.machine.run(&run).is_some();
        (!is_open).then(|| granted.clone())
    }

    /// A worker still has something of a run that ended, perhaps in an earlier life of this node, which could not say so.
    pub(super) fn forget_of_ended(
        &mut self,
        name: &str,
        worker: &NodeDid,
        granted: Granted,
        now: TimestampMs,
    ) {
        let run = granted.attempt.run;
        let Ok(reader) = self.parts.readers.get() else { return };
        let (Ok((owner, epoch, _)), Ok(view)) = (reader.term(run), reader.run(run)) else { return };
        let is_told =
            restore::published(&self.parts.readers, run).is_none_or(|(upto, _)| upto >= self.newest_of(run));
        if self.parts.identity.is_or_was(&owner) && view.state.is_terminal() && is_told {
            self.send(name, worker.clone(), Message::Forget { epoch, granted }, now);
        }
    }
}
