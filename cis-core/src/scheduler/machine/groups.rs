//! Concurrency groups: the node's own, which all runs share, and how many places are taken in each.
//!
//! Limits come from the configuration and, above it, from commands. What is taken follows from the runs,
//! so nothing is stored: after a restart it is counted again. Groups of a file are the run's own matter.

use std::collections::{BTreeMap, BTreeSet};

use super::{Machine, Turn};
use crate::api::GroupView;
use crate::dag::{Dag, Group, Task};
use crate::event::EventBody;
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
    /// Groups that tasks of runs name.
    used: BTreeMap<Box<str>, Used>,
}

/// What runs have of a group.
#[derive(Debug, Clone, Default)]
struct Used {
    load: Load,
    runs: BTreeSet<RunId>,
}

impl Groups {
    fn limit(&self, name: &str) -> Option<Group> {
        self.commanded.get(name).or_else(|| self.configured.get(name)).copied()
    }

    /// Nothing starts in a group that does not exist: it may have been a lock.
    fn is_full(&self, name: &str) -> bool {
        let load = self.used.get(name).map(|used| used.load).unwrap_or_default();
        self.limit(name).is_none_or(|group| load.taken(group) >= group.limit)
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
        self.refill(name);
        self.take_back_above(name);
        Ok(())
    }

    /// Where a group of the node has more sessions than it may have now, at least those that have not begun
    /// are to wait here.
    pub(super) fn take_back_above(&mut self, name: &str) {
        let (Some(group), Some(used)) = (self.groups.limit(name), self.groups.used.get(name)) else { return };
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
        let user = self.groups.used.get(name).and_then(|used| used.runs.first());
        match user {
            Some(run) if !self.groups.configured.contains_key(name) => Err(Rejected::State(format!(
                "run {run} has tasks in group `{name}`, and without it they could not start: wait for its end, or `cis dag cancel {run}`"
            ))),
            _ => Ok(()),
        }
    }

    /// A file may only name groups that it makes itself or that the node has.
    pub(super) fn check_groups<'a>(
        &self,
        dag: &Dag,
        tasks: impl IntoIterator<Item = &'a Task>,
    ) -> Result<(), Rejected> {
        for task in tasks {
            let Some(name) = &task.group else { continue };
            if !dag.groups.contains_key(name) && self.groups.limit(name).is_none() {
                return Err(Rejected::Invalid(format!(
                    "task `{}` is in group `{name}`, which neither the file ([dag.groups.{name}]) nor this node has: `cis group set {name} --limit N` makes it",
                    task.id
                )));
            }
        }
        Ok(())
    }

    /// Every group: the node's, then those of the files of open runs.
    #[must_use]
    pub fn group_views(&self) -> Vec<GroupView> {
        let mut views = Vec::new();
        for name in self.groups.names() {
            let Some(group) = self.groups.limit(name) else { continue };
            let load = self.groups.used.get(name).map(|used| used.load).unwrap_or_default();
            let runs = self.groups.used.get(name).into_iter().flat_map(|used| &used.runs);
            let waiting = runs.filter_map(|id| {
                let run = self.run(id)?;
                Some(run.index.lane(run.index.lane_of(Some(name))).ready.len())
            });
            let commanded = self.groups.commanded.contains_key(name);
            views.push(GroupView {
                name: name.to_owned(),
                run: None,
                limit: group.limit,
                frees_when_blocked: group.frees_when_blocked,
                active: load.taken(group),
                waiting: narrow(waiting.sum()),
                origin: if commanded { "command" } else { "configuration" }.to_owned(),
            });
        }
        for run in self.open_runs() {
            views.extend(run.index.lanes().filter_map(|lane| {
                let (name, group) = (lane.group.as_ref()?, lane.own?);
                Some(GroupView {
                    name: name.to_string(),
                    run: Some(run.id()),
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

    /// Limit and places taken of the group that the task at `index` is in; none: no such group.
    pub(super) fn group_of(&self, run: &Run, index: u32) -> Option<(Group, Load)> {
        let name = run.spec(index).group.as_deref()?;
        let lane = run.index.lane(run.index.lane_of(Some(name)));
        match lane.own {
            Some(group) => Some((group, lane.load)),
            None => Some((self.groups.limit(name)?, self.groups.used.get(name)?.load)),
        }
    }

    /// Counts what has changed in a run's lanes of the node's groups.
    pub(super) fn count_groups(&mut self, id: RunId) {
        let Some(slot) = self.runs.get_mut(&id) else { return };
        for lane in slot.run.index.take_changed() {
            let Some(slot) = self.runs.get_mut(&id) else { return };
            let (old, new) = slot.run.index.tell(lane);
            let Some(name) = slot.run.index.lane(lane).group.clone() else { continue };
            let was_full = self.groups.is_full(&name);
            let used = self.groups.used.entry(name.clone()).or_default();
            used.load.live = used.load.live + new.live - old.live;
            used.load.blocked = used.load.blocked + new.blocked - old.blocked;
            let joins = used.runs.insert(id);
            if self.groups.is_full(&name) != was_full {
                self.refill(&name);
            } else if joins {
                self.tell_lane(id, &name, was_full);
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
            let Some(name) = run.index.lane(lane).group.clone() else { continue };
            let Some(used) = self.groups.used.get_mut(&name) else { continue };
            used.load.live -= told.live;
            used.load.blocked -= told.blocked;
            used.runs.remove(&id);
            if used.runs.is_empty() {
                self.groups.used.remove(&name);
            } else {
                self.refill(&name);
            }
        }
    }

    fn refill_all(&mut self) {
        for name in self.groups.used.keys().cloned().collect::<Vec<_>>() {
            self.refill(&name);
        }
    }

    /// Lets the runs that have tasks in a group know whether it has a place.
    fn refill(&mut self, name: &str) {
        let full = self.groups.is_full(name);
        let runs: Vec<RunId> =
            self.groups.used.get(name).map(|used| used.runs.iter().copied().collect()).unwrap_or_default();
        for id in runs {
            self.tell_lane(id, name, full);
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
