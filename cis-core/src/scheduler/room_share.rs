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
    /// Of its places so many may be taken again when their tasks end; the others go back.
    pub fair: u32,
}

/// How many places may be taken now: those of the share, without those that go back when their tasks end.
#[derive(Debug, Clone, Default)]
pub struct OpenPlaces {
    share: RoomShare,
    open: BTreeMap<String, u32>,
}

impl OpenPlaces {
    /// The share is another one.
    pub fn set(&mut self, share: RoomShare) {
        let before = std::mem::replace(&mut self.share, share);
        let RoomShare::Part { quotas, .. } = &self.share else { return self.open.clear() };
        let places = |name: &String| match &before {
            RoomShare::Whole => 0,
            RoomShare::Part { quotas, .. } => quotas.get(name).map_or(0, |quota| quota.places),
        };
        let open = |(name, quota): (&String, &GroupQuota)| {
            let known = self.open.get(name).copied().unwrap_or(0);
            let added = quota.places.saturating_sub(places(name));
            let fair = quota.fair.min(quota.places);
            (name.clone(), known.saturating_add(added).min(quota.places).max(fair))
        };
        self.open = quotas.iter().map(open).collect();
    }

    /// Tasks of a group ended.
    pub fn ended(&mut self, name: &str, count: u32) {
        if let (Some(quota), Some(open)) = (self.quota(name), self.open.get_mut(name)) {
            *open = open.saturating_sub(count).max(quota.fair.min(*open));
        }
    }

    /// So many may be taken of a group, whatever its limit.
    #[must_use]
    pub fn of(&self, name: &str) -> u32 {
        match &self.share {
            RoomShare::Whole => u32::MAX,
            RoomShare::Part { .. } => self.open.get(name).copied().unwrap_or(0),
        }
    }

    /// What is known of a group over all coordinators.
    #[must_use]
    pub fn quota(&self, name: &str) -> Option<GroupQuota> {
        match &self.share {
            RoomShare::Whole => None,
            RoomShare::Part { quotas, .. } => quotas.get(name).copied(),
        }
    }

    /// The share.
    #[must_use]
    pub fn share(&self) -> &RoomShare {
        &self.share
    }
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
