//! Concurrency groups of rooms: what a room declares, this coordinator's share of it, and what its runs there use.
//!
//! Counts nothing: that is done in [`super::groups`], as for groups of the node. How the coordinators of a room come to their
//! shares is `federation::groups`' matter.

use std::collections::BTreeMap;

use super::Machine;
use super::attempt_id;
use crate::api::GroupView;
use crate::dag::Group;
use crate::event::ExecutionMode;
use crate::ids::RunId;
use crate::scheduler::room_share::{GroupUse, OpenPlaces, RoomShare};
use crate::scheduler::state::Run;

/// A group of the node or of a room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// None: the node's.
    pub(super) room: Option<Box<str>>,
    pub(super) name: Box<str>,
}

/// The groups of a room.
#[derive(Debug, Clone, Default)]
pub(super) struct RoomGroups {
    declared: BTreeMap<String, Group>,
    pub(super) places: OpenPlaces,
}

impl RoomGroups {
    pub(super) fn has(&self, name: &str) -> bool {
        self.declared.contains_key(name)
    }

    pub(super) fn limit(&self, name: &str) -> Option<Group> {
        self.declared.get(name).copied()
    }
}

impl Machine {
    pub(super) fn set_room_groups(&mut self, room: &str, groups: BTreeMap<String, Group>) {
        if self.groups.rooms.get(room).map_or_else(|| groups.is_empty(), |of| of.declared == groups) {
            return;
        }
        // Names that the room has from now on were the node's until now, and the other way round.
        let runs: Vec<RunId> = self.runs_in(room).map(Run::id).collect();
        runs.iter().for_each(|id| self.uncount_run(*id));
        self.groups.rooms.entry(room.to_owned()).or_default().declared = groups;
        runs.iter().for_each(|id| self.count_anew(*id));
        for key in self.room_keys(room) {
            self.take_back_above(&key);
        }
    }

    pub(super) fn set_room_share(&mut self, room: &str, share: RoomShare) {
        self.groups.rooms.entry(room.to_owned()).or_default().places.set(share);
        for key in self.room_keys(room) {
            self.refill(&key);
        }
    }

    /// What the runs of this node have of the groups of a room.
    #[must_use]
    pub fn room_group_use(&self, room: &str) -> BTreeMap<String, GroupUse> {
        let mut uses: BTreeMap<String, GroupUse> = BTreeMap::new();
        for run in self.runs_in(room).filter(|run| self.is_ours(run)) {
            let lanes = run.index.lanes().filter(|lane| lane.own.is_none());
            for name in lanes.filter_map(|lane| lane.group.as_deref()) {
                let key = self.groups.key_of(run, name);
                let Some(group) = key.room.as_ref().and_then(|_| self.groups.limit(&key)) else { continue };
                let lane = run.index.lane(run.index.lane_of(Some(name)));
                let of = uses.entry(name.to_owned()).or_default();
                // A place for one that waits for another node would be kept from others.
                let waiting = lane.ready.iter().filter(|rank| !run.waits_for_submitter(rank.1)).count();
                of.waiting = of.waiting.saturating_add(u32::try_from(waiting).unwrap_or(u32::MAX));
                for index in run.live().filter(|index| run.spec(*index).group.as_deref() == Some(name)) {
                    let Some(live) = &run.entry(index).live else { continue };
                    let takes = !(group.frees_when_blocked && live.is_away());
                    of.attempts.insert(attempt_id(run, index, live.attempt), takes);
                }
            }
        }
        uses
    }

    pub(super) fn room_group_views(&self) -> Vec<GroupView> {
        let view = |(room, name, group): (&String, &String, &Group)| {
            let key = Key { room: Some(room.as_str().into()), name: name.as_str().into() };
            let here = self.groups.load(&key).taken(*group);
            let all = self.groups.rooms.get(room).and_then(|of| of.places.quota(name));
            GroupView {
                name: name.clone(),
                run: None,
                room: Some(room.clone()),
                limit: group.limit,
                frees_when_blocked: group.frees_when_blocked,
                active: all.map_or(here, |quota| quota.taken.max(here)),
                waiting: self.waiting(&key),
                origin: "room".to_owned(),
            }
        };
        let declared = self
            .groups
            .rooms
            .iter()
            .flat_map(|(room, of)| of.declared.iter().map(move |(name, group)| (room, name, group)));
        declared.map(view).collect()
    }

    fn room_keys(&self, room: &str) -> Vec<Key> {
        let declared = self.groups.rooms.get(room).into_iter().flat_map(|of| of.declared.keys());
        declared.map(|name| Key { room: Some(room.into()), name: name.as_str().into() }).collect()
    }

    /// Runs in Matrix mode in a room.
    fn runs_in<'a>(&'a self, room: &'a str) -> impl Iterator<Item = &'a Run> {
        let runs = self.runs.values().map(|slot| &slot.run);
        runs.filter(move |run| {
            run.facts().mode == ExecutionMode::Matrix && run.facts().room.as_deref() == Some(room)
        })
    }
}
