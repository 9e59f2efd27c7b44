//! What a coordinator may use of the concurrency groups of a room, and what it uses.

use std::collections::BTreeMap;

use crate::ids::AttemptId;

/// The part of the places in a room's groups that this coordinator may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomShare {
    /// All of them: no other node coordinates runs in the room.
    Whole,
    /// What the node that keeps the places of the room's groups gave to it.
    Part {
        /// Why there may be nothing.
        keeper: KeeperState,
        /// By group. Nothing starts in a group that is not here.
        quotas: BTreeMap<String, GroupQuota>,
    },
}

impl Default for RoomShare {
    fn default() -> Self {
        Self::Part { keeper: KeeperState::Silent, quotas: BTreeMap::new() }
    }
}

/// How the keeper of a room's groups is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeeperState {
    /// It answers.
    Answers,
    /// Nobody answers.
    Silent,
    /// It counts nothing for this node, which is no coordinator of the room.
    Refuses,
}

/// A coordinator's part of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupQuota {
    /// It may take so many places.
    pub places: u32,
    /// So many are taken by all coordinators, as far as the keeper knows.
    pub taken: u32,
}

/// What the runs of this coordinator have of a group of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupUse {
    /// Attempts under way, and whether each takes a place: one that waits for a human may leave it.
    pub attempts: BTreeMap<AttemptId, bool>,
    /// Tasks that wait for a place.
    pub waiting: u32,
}

impl GroupUse {
    /// Places that are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        u32::try_from(self.attempts.values().filter(|takes| **takes).count()).unwrap_or(u32::MAX)
    }
}
