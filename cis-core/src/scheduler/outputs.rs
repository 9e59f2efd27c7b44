//! What a task left: its own outputs, or for a task with `foreach` the lists of its items'.

use serde_json::Value;

use super::state::Run;
use crate::event::{EndReason, OutputRecord, TaskState};
use crate::ids::TaskId;

/// The records behind an output.
#[derive(Debug, Clone, PartialEq)]
pub enum Output<'a> {
    /// Of a task.
    One(&'a OutputRecord),
    /// Of the items of a task with `foreach`, in their order; none: that item left no such output (null).
    Many(Vec<Option<&'a OutputRecord>>),
}

impl<'a> Output<'a> {
    /// The value, secrets replaced.
    #[must_use]
    pub fn redacted(&self) -> Value {
        match self {
            Self::One(record) => record.value.clone(),
            Self::Many(records) => records
                .iter()
                .map(|record| record.map_or(Value::Null, |record| record.value.clone()))
                .collect(),
        }
    }

    /// Every record.
    pub fn records(&self) -> impl Iterator<Item = &'a OutputRecord> + '_ {
        let (one, many) = match self {
            Self::One(record) => (Some(*record), None),
            Self::Many(records) => (None, Some(records)),
        };
        one.into_iter().chain(many.into_iter().flatten().copied().flatten())
    }
}

impl Run {
    /// The output `name` of a task that ended well; of one with `foreach`, once all of its items did.
    #[must_use]
    pub fn output(&self, task: &TaskId, name: &str) -> Option<Output<'_>> {
        let (_, entry) = self.task(task)?;
        if let Some(lists) = empty_lists(entry) {
            return lists.iter().any(|list| list == name).then(|| Output::Many(Vec::new()));
        }
        let Some(items) = self.ended_items(entry) else {
            return entry.outputs.get(name).map(Output::One);
        };
        let records: Vec<_> = items.iter().map(|item| self.entry(*item).outputs.get(name)).collect();
        records.iter().any(Option::is_some).then_some(Output::Many(records))
    }

    /// Names of the outputs that [`Self::output`] knows of a task, sorted.
    #[must_use]
    pub fn output_names(&self, task: &TaskId) -> Vec<&str> {
        let Some((_, entry)) = self.task(task) else { return Vec::new() };
        if let Some(lists) = empty_lists(entry) {
            return lists.iter().map(String::as_str).collect();
        }
        let own = std::slice::from_ref(entry);
        let mut names: Vec<&str> = match self.ended_items(entry) {
            None => own.iter().flat_map(|entry| entry.outputs.keys()).map(String::as_str).collect(),
            Some(items) => {
                items.iter().flat_map(|item| self.entry(*item).outputs.keys()).map(String::as_str).collect()
            }
        };
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Indexes of the items of a task's present list; none: it has none.
    #[must_use]
    pub fn items(&self, task: &TaskId) -> Option<&[u32]> {
        let expansion = self.task(task)?.1.expansion().filter(|expansion| expansion.count > 0)?;
        expansion.items.get(..expansion.count as usize)
    }

    /// The items of its present list, where all of them have ended well.
    fn ended_items<'a>(&self, entry: &'a super::TaskEntry) -> Option<&'a [u32]> {
        let expansion = entry.expansion().filter(|expansion| expansion.count > 0)?;
        let over = expansion.stand.open == 0 && expansion.stand.verdict() == TaskState::Succeeded;
        over.then(|| &expansion.items[..expansion.count as usize])
    }
}

/// Returns the outputs of a task that ended without items because its list is empty. `None`: the task ended
/// otherwise, or has not ended.
fn empty_lists(entry: &super::TaskEntry) -> Option<&[String]> {
    match &entry.end {
        Some(EndReason::Skipped { lists, .. }) if !lists.is_empty() => Some(lists),
        _ => None,
    }
}
