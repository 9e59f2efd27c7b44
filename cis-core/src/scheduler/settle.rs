//! What follows from the endings of tasks for those that wait: one list of changes, however far it reaches.
//!
//! Pure in the strict sense: looks at a run and changes nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::begin::{Begin, tasks_added};
use super::state::Run;
use super::task::{Stand, Tally};
use super::trigger::{Says, says};
use crate::dag::Item;
use crate::event::{EndReason, RunState, TaskChange, TaskState};
use crate::ids::{TaskId, TimestampMs};

/// What is to be put into events: one list of changes, then tasks that become their items.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) changes: Vec<TaskChange>,
    pub(super) expansions: Vec<(TaskId, Vec<Value>)>,
    /// Tasks to settle once the changes are applied: they may use outputs that exist only then.
    pub(super) later: Vec<u32>,
}

impl Settled {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.expansions.is_empty()
    }

    /// Adds what becomes of a task that may start.
    pub(super) fn begin(&mut self, run: &Run, index: u32, begin: Begin) {
        let task = run.spec(index).id.clone();
        match begin {
            Begin::Expand(items) => self.expansions.push((task, items)),
            Begin::Queue(reason) => {
                let (state, queued) = (TaskState::Queued, Some(reason));
                self.changes.push(TaskChange { task, state, end: None, queued });
            }
            Begin::End(state, end) => {
                self.changes.push(TaskChange { task, state, end: Some(end), queued: None });
            }
        }
    }
}

/// Changes of waiting tasks, in the order of the file, when those in `seeds` are looked at again.
pub(super) fn settle(run: &Run, seeds: impl IntoIterator<Item = u32>, now: TimestampMs) -> Settled {
    let mut preview = Preview { run, now, ..Preview::new(run) };
    // A list and not recursion: a chain may be as long as the file.
    preview.work.extend(seeds);
    preview.work.reverse();
    while let Some(index) = preview.work.pop() {
        match preview.look_at(index) {
            Some(Begin::Expand(items)) => {
                preview.coming += tasks_added(run, &run.spec(index).id, items.len());
                preview.expansions.insert(index, items);
            }
            Some(Begin::Queue(reason)) => {
                preview.changes.insert(index, preview.change(index, TaskState::Queued, None, Some(reason)));
            }
            Some(Begin::End(state, end)) => {
                preview.ends(index, state, leaves_outputs(&end));
                // That all went well is no reason worth a word.
                let end = (state != TaskState::Succeeded).then_some(end);
                preview.changes.insert(index, preview.change(index, state, end, None));
            }
            None => {}
        }
    }
    let name = |(index, items)| (run.spec(index).id.clone(), items);
    Settled {
        changes: preview.changes.into_values().collect(),
        expansions: preview.expansions.into_iter().map(name).collect(),
        later: preview.later,
    }
}

/// Whether a task that ends for this reason, without an attempt, leaves outputs.
fn leaves_outputs(end: &EndReason) -> bool {
    matches!(end, EndReason::Skipped { lists, .. } if !lists.is_empty())
}

/// The run as it will be after the changes that are known so far.
struct Preview<'a> {
    run: &'a Run,
    now: TimestampMs,
    work: Vec<u32>,
    changes: BTreeMap<u32, TaskChange>,
    expansions: BTreeMap<u32, Vec<Value>>,
    /// Tasks that those add.
    coming: usize,
    needs: BTreeMap<u32, Tally>,
    stands: BTreeMap<u32, Stand>,
    later: Vec<u32>,
}

impl<'a> Preview<'a> {
    fn new(run: &'a Run) -> Self {
        Self {
            run,
            now: 0,
            work: Vec::new(),
            changes: BTreeMap::new(),
            expansions: BTreeMap::new(),
            coming: 0,
            needs: BTreeMap::new(),
            stands: BTreeMap::new(),
            later: Vec::new(),
        }
    }

    fn change(
        &self,
        index: u32,
        state: TaskState,
        end: Option<EndReason>,
        queued: Option<crate::event::QueueReason>,
    ) -> TaskChange {
        TaskChange { task: self.run.spec(index).id.clone(), state, end, queued }
    }

    /// Settles the tasks that the end of a task affects: now, or after the changes are applied if the task leaves
    /// outputs.
    fn ends(&mut self, index: u32, state: TaskState, leaves_outputs: bool) {
        let run = self.run;
        let from = run.entry(index).state;
        for dependent in run.links.dependents(index) {
            if leaves_outputs {
                self.later.push(dependent);
                continue;
            }
            let known = run.entry(dependent).needs;
            self.needs.entry(dependent).or_insert(known).moved(from, state);
            self.work.push(dependent);
        }
        if let Some((parent, item)) = run.item_of(index)
            && let Some(expansion) = run.entry(parent).expansion()
        {
            if item.number <= expansion.count {
                self.stands.entry(parent).or_insert(expansion.stand).moved(from, state);
            }
            self.work.push(parent);
        }
        if let Some(expansion) = run.entry(index).expansion() {
            self.work.extend(&expansion.items);
        }
    }

    fn state(&self, index: u32) -> TaskState {
        self.changes.get(&index).map_or(self.run.entry(index).state, |change| change.state)
    }

    fn look_at(&self, index: u32) -> Option<Begin> {
        let run = self.run;
        let entry = run.entry(index);
        let waits = matches!(entry.state, TaskState::Pending | TaskState::Queued);
        if !waits || self.changes.contains_key(&index) || self.expansions.contains_key(&index) {
            return None;
        }
        if entry.waits_for_items() && entry.items().is_some() {
            return self.items_ended(index);
        }
        if let Some(reason) = run.swept(index) {
            let unmeant = run.handler(index).filter(|handler| !handler.survives(reason));
            return Some(match unmeant.filter(|_| entry.state == TaskState::Pending) {
                Some(handler) => Begin::End(TaskState::Completed, handler.does_not_apply(reason)),
                None => Begin::End(TaskState::Cancelled, reason.clone()),
            });
        }
        if run.state() == RunState::Created {
            return None;
        }
        if entry.state == TaskState::Queued {
            // One with a list goes on once it is approved.
            return entry.waits_for_items().then(|| Begin::approved(run, index, self.coming));
        }
        if let Some((parent, item)) = run.item_of(index) {
            return self.item(parent, item, index);
        }
        if run.handler(index).is_some() {
            return None;
        }
        let spec = run.spec(index);
        let needs = self.needs.get(&index).copied().unwrap_or(entry.needs);
        match says(spec.trigger, needs) {
            Says::Wait => None,
            Says::Start => Some(Begin::of(run, index, self.now, self.coming)),
            Says::Skip => {
                let detail = "trigger one_failed, and no need of it failed".to_owned();
                Some(Begin::End(TaskState::Completed, EndReason::skipped(detail)))
            }
            Says::GiveUp => {
                let need = spec.needs.iter().find(|need| self.ended_badly(need));
                let need = need.map_or_else(String::new, ToString::to_string);
                Some(Begin::End(TaskState::Cancelled, EndReason::NeedFailed { need }))
            }
        }
    }

    /// An item that was there before a `dag retry`.
    fn item(&self, parent: u32, item: &Item, index: u32) -> Option<Begin> {
        let entry = self.run.entry(parent);
        let skipped = |detail: String| Some(Begin::End(TaskState::Completed, EndReason::skipped(detail)));
        if self.state(parent).is_terminal() {
            return skipped(format!("`{}` is not repeated this time", item.of));
        }
        match entry.items().filter(|_| entry.waits_for_items()) {
            Some(count) if item.number > count => {
                skipped(format!("`{}` has only {count} items now", item.of))
            }
            Some(_) => Some(Begin::Queue(Run::turn(self.run.spec(index)))),
            None => None,
        }
    }

    /// A task whose items have all ended.
    fn items_ended(&self, index: u32) -> Option<Begin> {
        let expansion = self.run.entry(index).expansion()?;
        let stand = self.stands.get(&index).copied().unwrap_or(expansion.stand);
        if stand.open > 0 {
            return None;
        }
        let items = &expansion.items[..expansion.count as usize];
        let state = stand.verdict();
        let first = items.iter().find(|item| !self.state(**item).counts_as_success());
        let detail = first.map(|first| {
            let how = self.changes.get(first).map_or(&self.run.entry(*first).end, |change| &change.end);
            let how = how.as_ref().map_or_else(String::new, |end| format!(" ({end})"));
            let (bad, all, first) = (stand.bad(), items.len(), &self.run.spec(*first).id);
            format!("{bad} of its {all} items did not end well, the first: `{first}`{how}")
        });
        Some(Begin::End(state, EndReason::Items { detail: detail.unwrap_or_default() }))
    }

    fn ended_badly(&self, need: &TaskId) -> bool {
        let Some(index) = self.run.find(need) else { return false };
        let state = self.state(index);
        state.is_terminal() && !state.counts_as_success()
    }
}
