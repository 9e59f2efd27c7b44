//! Wakes the tasks of rooms.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use ulid::Ulid;

use cis_core::federation::journal::Position;
use cis_core::federation::protocol::voters::Mandate;
use cis_core::ids::{Epoch, RunId, TimestampMs};

/// Tells the tasks that something changed which events do not say: a room follows a run, somebody logged in.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoomWaker {
    pub(crate) tells: Arc<Notify>,
    pub(crate) listens: Arc<Notify>,
    pub(crate) observes: Arc<Notify>,
    /// Something is to be sent that does not follow from an event.
    pub(crate) queued: Arc<Notify>,
    claims: Arc<Mutex<Vec<Claim>>>,
    groups: Arc<Mutex<Vec<GroupsClaim>>>,
    hurried: Arc<Mutex<BTreeSet<RunId>>>,
}

/// A room whose groups this node wants to keep from now on.
#[derive(Debug, Clone)]
pub(crate) struct GroupsClaim {
    pub(crate) room: String,
    pub(crate) epoch: Epoch,
    /// Of the entry in the room.
    pub(crate) id: Ulid,
}

/// What decides that a takeover counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChosenBy {
    /// Its place in the timeline of the one homeserver that all use.
    Timeline,
    /// A person, where coordinators use several homeservers.
    Person,
    /// A majority of the voters.
    Votes(Mandate),
}

/// A run that this node wants to coordinate from now on.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) room: String,
    pub(crate) run: RunId,
    /// After which entry of its journal.
    pub(crate) cut: Position,
    pub(crate) chosen_by: ChosenBy,
    /// What follows after `cut` is missing.
    pub(crate) lost: bool,
    /// When, Unix ms.
    pub(crate) at_ms: TimestampMs,
}

impl RoomWaker {
    pub(crate) fn wake(&self) {
        self.tells.notify_one();
        self.listens.notify_one();
        self.observes.notify_one();
    }

    /// Has a takeover written. It is lost where the homeserver does not answer, and comes again.
    pub(crate) fn claim(&self, claim: Claim) {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
        self.queued.notify_one();
    }

    /// Has the beginning of a keeper's term written. It is lost where the homeserver does not answer, and comes again.
    pub(crate) fn keep_groups(&self, claim: GroupsClaim) {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
        self.queued.notify_one();
    }

    /// Has a run's journal written as soon as the allowance of the account lets it: tasks wait for that.
    pub(crate) fn hurry(&self, run: RunId) {
        self.hurried.lock().unwrap_or_else(PoisonError::into_inner).insert(run);
        self.queued.notify_one();
    }

    pub(crate) fn take_hurried(&self) -> BTreeSet<RunId> {
        std::mem::take(&mut *self.hurried.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn take_groups_claims(&self) -> Vec<GroupsClaim> {
        std::mem::take(&mut *self.groups.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn take_claims(&self) -> Vec<Claim> {
        std::mem::take(&mut *self.claims.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
