//! Concurrency groups: the node's own, which all runs share, those of rooms, which runs in Matrix mode there share, and how
//! many places are taken in each.
//!
//! Limits of the node's groups come from the configuration and, above it, from commands. What is taken follows from the runs,
//! so nothing is stored: after a restart it is counted again. Groups of a file are the run's own matter; what rooms declare
//! comes from [`super::room_groups`]. A group of a file hides one of the room, and that one of the node.

use std::collections::{BTreeMap, BTreeSet};

use super::room_groups::{Key, RoomGroups};
use super::{Machine, Turn};
use crate::api::GroupView;
use crate::dag::{Dag, Group, Task};
use crate::event::{EventBody, ExecutionMode};
use crate::ids::RunId;
use crate::scheduler::index::{FREE_LANE, Load};
use crate::scheduler::input::Rejected;
use crate::scheduler::narrow::narrow;
use crate::scheduler::state::Run;

/// The node's groups.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    configured: BTreeMap<String, Group>,
    commanded: BTreeMap<String, Group>,
    /// By room.
    pub(super) rooms: BTreeMap<String, RoomGroups>,
    /// Groups that tasks of runs name.
    used: BTreeMap<Key, Used>,
}

/// What runs have of a group.
#[derive(Debug, Clone, Default)]
struct Used {
    load: Load,
    runs: BTreeSet<RunId>,
}

impl Groups {
    /// The group of a name that a run is in, where its file has none.
    pub(super) fn key(&self, mode: ExecutionMode, room: Option<&str>, name: &str) -> Key {
        let room = room.filter(|room| {
            mode == ExecutionMode::Matrix && self.rooms.get(*room).is_some_and(|of| of.has(name))
        });
        Key { room: room.map(Into::into), name: name.into() }
    }

    pub(super) fn key_of(&self, run: &Run, name: &str) -> Key {
        self.key(run.facts().mode, run.facts().room.as_deref(), name)
    }

    fn node_limit(&self, name: &str) -> Option<Group> {
        self.commanded.get(name).or_else(|| self.configured.get(name)).copied()
    }

    /// What is declared of a group.
    pub(super) fn limit(&self, key: &Key) -> Option<Group> {
        match &key.room {
            Some(room) => self.rooms.get(&**room)?.limit(&key.name),
            None => self.node_limit(&key.name),
        }
    }

    pub(super) fn load(&self, key: &Key) -> Load {
        self.used.get(key).map(|used| used.load).unwrap_or_default()
    }

    /// Runs that have tasks in a group.
    pub(super) fn runs(&self, key: &Key) -> impl Iterator<Item = RunId> {
        self.used.get(key).into_iter().flat_map(|used| used.runs.iter().copied())
    }

    /// Nothing starts in a group that does not exist: it may have been a lock.
    fn is_full(&self, key: &Key) -> bool {
        let places = self.limit(key).map(|group| match &key.room {
            Some(room) => {
                let share = self.rooms.get(&**room).map_or(0, |of| of.places.of(&key.name));
                (group, share.min(group.limit))
            }
            None => (group, group.limit),
        });
        places.is_none_or(|(group, places)| self.load(key).taken(group) >= places)
    }

    fn names(&self) -> BTreeSet<&str> {
        self.configured.keys().chain(self.commanded.keys()).map(String::as_str).collect()
    }
}

impl Machine {
    /// The groups of the configuration, in place of those that it had before.
    pub fn configure_groups(&mut self, groups: BTreeMap<String, Group>) {
        self.groups.configured = groups;
        self.refill_all();
    }

    /// The groups that commands made, as the store remembers them.
    pub fn restore_groups(&mut self, groups: BTreeMap<String, Group>) {
        self.groups.commanded = groups;
        self.refill_all();
    }

    pub(super) fn set_group(
        &mut self,
        name: &str,
        group: Option<Group>,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        Group::check(name, group).map_err(Rejected::Invalid)?;
        if group.is_none() {
            self.may_remove(name)?;
        }
        match group {
            Some(group) => self.groups.commanded.insert(name.to_owned(), group),
            None => self.groups.commanded.remove(name),
        };
        self.push(None, EventBody::NodeGroup { name: name.to_owned(), group }, turn);
        let key = Key { room: None, name: name.into() };
        self.refill(&key);
        self.take_back_above(&key);
        Ok(())
    }

    /// Where a group has more sessions than it may have now, at least those that have not begun are to wait here.
    pub(super) fn take_back_above(&mut self, key: &Key) {
        let (Some(group), Some(used)) = (self.groups.limit(key), self.groups.used.get(key)) else { return };
        if used.load.taken(group) > group.limit {
            used.runs.clone().into_iter().for_each(|id| self.take_back(id));
        }
    }

    fn may_remove(&self, name: &str) -> Result<(), Rejected> {
        if !self.groups.commanded.contains_key(name) {
            return Err(if self.groups.configured.contains_key(name) {
                Rejected::State(format!(
                    "group `{name}` stands in the configuration: remove it there (`cis config path`)"
                ))
            } else {
                Rejected::NoGroup(name.to_owned())
            });
        }
        match self.groups.runs(&Key { room: None, name: name.into() }).next() {
            Some(run) if !self.groups.configured.contains_key(name) => Err(Rejected::State(format!(
                "run {run} has tasks in group `{name}`, and without it they could not start: wait for its end, or `cis dag cancel {run}`"
            ))),
            _ => Ok(()),
        }
    }

    /// A file may only name groups that it makes itself, or that its room or the node has.
    pub(super) fn check_groups<'a>(
        &self,
        dag: &Dag,
        tasks: impl IntoIterator<Item = &'a Task>,
        mode: ExecutionMode,
        room: Option<&str>,
    ) -> Result<(), Rejected> {
        for task in tasks {
            let Some(name) = &task.group else { continue };
            if dag.groups.contains_key(name)
                || self.groups.limit(&self.groups.key(mode, room, name)).is_some()
            {
                continue;
            }
            let (others, for_room) = match room.filter(|_| mode == ExecutionMode::Matrix) {
                Some(room) => (
                    format!("nor room {room} nor this node has"),
                    format!("; with `--room '{room}'` for all nodes of the room"),
                ),
                None => ("nor this node has".to_owned(), String::new()),
            };
            return Err(Rejected::Invalid(format!(
                "task `{}` is in group `{name}`, which neither the file ([dag.groups.{name}]) {others}: `cis group set {name} --limit N` makes it{for_room}",
                task.id
            )));
        }
        Ok(())
    }

    /// Every group: the node's, those of rooms, then those of the files of open runs.
    #[must_use]
    pub fn group_views(&self) -> Vec<GroupView> {
        let mut views = Vec::new();
        for name in self.groups.names() {
            let Some(group) = self.groups.node_limit(name) else { continue };
            let key = Key { room: None, name: name.into() };
            let commanded = self.groups.commanded.contains_key(name);
            views.push(GroupView {
                name: name.to_owned(),
                run: None,
                room: None,
                limit: group.limit,
                frees_when_blocked: group.frees_when_blocked,
                active: self.groups.load(&key).taken(group),
                waiting: self.waiting(&key),
                origin: if commanded { "command" } else { "configuration" }.to_owned(),
            });
        }
        views.extend(self.room_group_views());
        for run in self.open_runs() {
            views.extend(run.index.lanes().filter_map(|lane| {
                let (name, group) = (lane.group.as_ref()?, lane.own?);
                Some(GroupView {
                    name: name.to_string(),
                    run: Some(run.id()),
                    room: None,
                    limit: group.limit,
                    frees_when_blocked: group.frees_when_blocked,
                    active: lane.load.taken(group),
                    waiting: narrow(lane.ready.len()),
                    origin: "file".to_owned(),
                })
            }));
        }
        views
    }

    /// Tasks that wait for a place in a group.
    pub(super) fn waiting(&self, key: &Key) -> u32 {
        let ready = |id: RunId| {
            let run = self.run(&id)?;
            Some(run.index.lane(run.index.lane_of(Some(&key.name))).ready.len())
        };
        narrow(self.groups.runs(key).filter_map(ready).sum())
    }

    /// Limit and places taken of the group that the task at `index` is in; none: no such group.
    pub(super) fn group_of(&self, run: &Run, index: u32) -> Option<(Group, Load)> {
        let name = run.spec(index).group.as_deref()?;
        let lane = run.index.lane(run.index.lane_of(Some(name)));
        match lane.own {
            Some(group) => Some((group, lane.load)),
            None => {
                let key = self.groups.key_of(run, name);
                Some((self.groups.limit(&key)?, self.groups.used.get(&key)?.load))
            }
        }
    }

    /// Counts what has changed in a run's lanes of the groups of the node and of its room.
    pub(super) fn count_groups(&mut self, id: RunId) {
        let Some(slot) = self.runs.get_mut(&id) else { return };
        for lane in slot.run.index.take_changed() {
            let Some(slot) = self.runs.get_mut(&id) else { return };
            let (old, new) = slot.run.index.tell(lane);
            let Some(name) = slot.run.index.lane(lane).group.as_deref() else { continue };
            let key = self.groups.key_of(&slot.run, name);
            let was_full = self.groups.is_full(&key);
            let used = self.groups.used.entry(key.clone()).or_default();
            used.load.live = used.load.live + new.live - old.live;
            used.load.blocked = used.load.blocked + new.blocked - old.blocked;
            let joins = used.runs.insert(id);
            if let Some(of) = key.room.as_ref().and_then(|room| self.groups.rooms.get_mut(&**room)) {
                of.places.ended(&key.name, old.live.saturating_sub(new.live));
            }
            if self.groups.is_full(&key) != was_full {
                self.refill(&key);
            } else if joins {
                self.tell_lane(id, &key.name, was_full);
            }
        }
    }

    /// A run leaves: what it had is free.
    pub(super) fn uncount_groups(&mut self, run: &mut Run) {
        let id = run.id();
        let lanes = run.index.lanes().count();
        for lane in (FREE_LANE + 1)..lanes {
            if run.index.lane(lane).own.is_some() {
                continue;
            }
            let (told, _) = run.index.tell(lane);
            let Some(name) = run.index.lane(lane).group.as_deref() else { continue };
            let key = self.groups.key_of(run, name);
            let Some(used) = self.groups.used.get_mut(&key) else { continue };
            used.load.live -= told.live;
            used.load.blocked -= told.blocked;
            used.runs.remove(&id);
            if used.runs.is_empty() {
                self.groups.used.remove(&key);
            } else {
                self.refill(&key);
            }
        }
    }

    /// The same of a run that stays: its groups may be others from now on. [`Self::count_anew`] has to follow.
    pub(super) fn uncount_run(&mut self, id: RunId) {
        if let Some(mut slot) = self.runs.remove(&id) {
            self.uncount_groups(&mut slot.run);
            self.runs.insert(id, slot);
        }
    }

    pub(super) fn count_anew(&mut self, id: RunId) {
        if let Some(slot) = self.runs.get_mut(&id) {
            slot.run.index.untold();
        }
        self.touch(id);
    }

    fn refill_all(&mut self) {
        for key in self.groups.used.keys().cloned().collect::<Vec<_>>() {
            self.refill(&key);
        }
    }

    /// Lets the runs that have tasks in a group know whether it has a place.
    pub(super) fn refill(&mut self, key: &Key) {
        let full = self.groups.is_full(key);
        for id in self.groups.runs(key).collect::<Vec<_>>() {
            self.tell_lane(id, &key.name, full);
        }
    }

    fn tell_lane(&mut self, id: RunId, name: &str, full: bool) {
        if let Some(slot) = self.runs.get_mut(&id) {
            let lane = slot.run.index.lane_of(Some(name));
            slot.run.index.set_full(lane, full);
            self.look_for_hunger(id);
        }
    }
}
