//! The part of the reducer by which a run gets more tasks: those that sessions ask for, and items.

use std::collections::BTreeSet;

use serde_json::Value;

use super::apply_error::ApplyError;
use super::narrow::narrow;
use super::state::Run;
use super::task::{Expansion, Stand, Tally, TaskEntry};
use crate::dag::template::MAX_ITEMS;
use crate::dag::{Commit, Item, Task};
use crate::event::{EndReason, EventBody, QueueReason, TaskState};
use crate::ids::{TaskId, TimestampMs};

impl Run {
    pub(super) fn add(
        &mut self,
        body: &EventBody,
        parent: &TaskId,
        tasks: &[Task],
        at_ms: TimestampMs,
    ) -> Result<(), ApplyError> {
        self.require(body, !self.phase.state.is_terminal())?;
        let parent = self.index_of(parent)?;
        let mut before: BTreeSet<&TaskId> = BTreeSet::new();
        for task in tasks {
            let known = |name: &TaskId| self.names.contains(name) || before.contains(name);
            if known(&task.id) {
                return Err(self.list_error(format!("a task `{}` is there already", task.id)));
            }
            if let Some(need) = task.needs.iter().find(|need| !known(need)) {
                return Err(
                    self.list_error(format!("`{}` needs `{need}`, which is not there before it", task.id))
                );
            }
            if task.item.is_some() {
                return Err(self
                    .list_error(format!("`{}` says that it is an item, which only foreach makes", task.id)));
            }
            before.insert(&task.id);
        }
        for task in tasks {
            self.append(task.clone(), at_ms);
        }
        self.tasks[parent as usize].children += narrow(tasks.len());
        Ok(())
    }

    fn list_error(&self, detail: String) -> ApplyError {
        ApplyError::List { run: self.id, detail }
    }

    /// One more task, pending.
    fn append(&mut self, task: Task, at_ms: TimestampMs) -> u32 {
        let index = narrow(self.tasks.len());
        let mut tally = Tally::default();
        for need in &task.needs {
            if let Some(need) = self.find(need) {
                tally.add(self.entry(need).state);
                self.links.add(need, index);
            }
        }
        if let Some(group) = &task.group {
            self.index.add_lane(group, self.dag.groups.get(group).copied());
        }
        self.names.insert(task.id.clone());
        self.commits |= task.commit == Commit::Room;
        self.added.push(task);
        self.tasks.push(TaskEntry::new(tally, at_ms));
        self.index.entered(TaskState::Pending);
        index
    }

    pub(super) fn approve(
        &mut self,
        body: &EventBody,
        task: &TaskId,
        by: &str,
        at_ms: TimestampMs,
    ) -> Result<(), ApplyError> {
        self.require(body, !self.phase.state.is_terminal())?;
        let index = self.index_of(task)?;
        if !self.entry(index).waits_for_approval() {
            return Err(self.task_error(index, TaskState::Queued));
        }
        let spec = self.spec(index);
        // One with a list waits for it, which comes next.
        let queued = if spec.foreach.is_some() { QueueReason::Items { count: 0 } } else { Self::turn(spec) };
        self.move_task(index, TaskState::Queued, None, Some(queued), at_ms);
        self.tasks[index as usize].more.get_or_insert_default().approved_by = Some(by.to_owned());
        Ok(())
    }

    /// A task becomes its items. Those of an earlier list take the new values; what is left of a longer
    /// one ends as skipped.
    pub(super) fn expand(
        &mut self,
        body: &EventBody,
        task: &TaskId,
        items: &[Value],
        at_ms: TimestampMs,
    ) -> Result<(), ApplyError> {
        self.require(body, !self.phase.state.is_terminal())?;
        let index = self.index_of(task)?;
        let fresh = self.fresh_items(index, items)?;
        let spec = self.spec(index).clone();
        let mut known = self.entry(index).expansion().map(|old| old.items.clone()).unwrap_or_default();
        for (id, (number, value)) in fresh.into_iter().zip((1..).zip(items)) {
            let item = item_spec(&spec, id, number, value.clone());
            match known.get(number as usize - 1) {
                Some(at) => self.added[*at as usize - self.dag.tasks.len()] = item,
                None => known.push(self.append(item, at_ms)),
            }
        }
        let count = narrow(items.len());
        let old = known.clone();
        let stand = Stand { open: count, ..Stand::default() };
        let expansion = Expansion { items: known, count, at_ms, stand };
        self.tasks[index as usize].more.get_or_insert_default().expansion = Some(expansion);
        self.move_task(index, TaskState::Queued, None, Some(QueueReason::Items { count }), at_ms);
        let turn = Self::turn(&spec);
        for (number, item) in (1..).zip(old) {
            if number <= count {
                self.move_task(item, TaskState::Queued, None, Some(turn.clone()), at_ms);
            } else {
                let detail = format!("`{task}` has only {count} items now");
                let end = Some(EndReason::skipped(detail));
                self.move_task(item, TaskState::Completed, end, None, at_ms);
            }
        }
        Ok(())
    }

    /// Names of the items of a task that may become them.
    fn fresh_items(&self, index: u32, items: &[Value]) -> Result<Vec<TaskId>, ApplyError> {
        let (spec, entry) = (self.spec(index), self.entry(index));
        let waits = entry.state == TaskState::Pending
            || (entry.state == TaskState::Queued && entry.waits_for_items() && entry.items().is_none());
        if spec.foreach.is_none() || !waits {
            return Err(self.task_error(index, TaskState::Queued));
        }
        if items.is_empty() || items.len() > MAX_ITEMS {
            return Err(self.list_error(format!("`{}` cannot have {} items", spec.id, items.len())));
        }
        let known = entry.expansion().map_or(&[][..], |old| &old.items);
        if let Some(busy) = known.iter().find(|item| self.entry(**item).state != TaskState::Pending) {
            return Err(self.list_error(format!("`{}` has not been put back yet", self.spec(*busy).id)));
        }
        let named = |number: usize| {
            let id =
                TaskId::new(&format!("{}.{number}", spec.id)).map_err(|e| self.list_error(e.to_string()))?;
            match self.find(&id) {
                Some(_) if number > known.len() => {
                    Err(self.list_error(format!("a task `{id}` is there already")))
                }
                _ => Ok(id),
            }
        };
        (1..=items.len()).map(named).collect()
    }

    /// Keeps count of the items of the present list.
    pub(super) fn item_moved(&mut self, index: u32, from: TaskState, to: TaskState) {
        let Some((parent, item)) = self.item_of(index) else { return };
        let number = item.number;
        let expansion = self.tasks[parent as usize].more.as_mut().and_then(|more| more.expansion.as_mut());
        if let Some(expansion) = expansion.filter(|expansion| number <= expansion.count) {
            expansion.stand.moved(from, to);
        }
    }

    /// Whether a task has items, and all of them have ended.
    pub(super) fn items_are_done(&self, index: u32) -> bool {
        self.entry(index).expansion().is_some_and(|old| old.count > 0 && old.stand.open == 0)
    }
}

/// What an item is: its task, once, for one value.
fn item_spec(of: &Task, id: TaskId, number: u32, value: Value) -> Task {
    Task {
        id,
        needs: Vec::new(),
        condition: None,
        foreach: None,
        approval: None,
        item: Some(Item { of: of.id.clone(), number, value }),
        ..of.clone()
    }
}
