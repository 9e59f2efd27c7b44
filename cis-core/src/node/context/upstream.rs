//! What a run knows of the tasks that another one needs.

use serde_json::Value;

use crate::dag::{Item, Task};
use crate::event::{ArtifactRecord, OutputRecord};
use crate::ids::TaskId;
use crate::scheduler::{Run, TaskEntry};
use crate::store::Blobs;

/// An output, with where its real value lies.
pub(super) struct Record<'a>(&'a OutputRecord);

impl Record<'_> {
    /// Secrets replaced.
    pub(super) fn shown(&self) -> Value {
        self.0.value.clone()
    }

    /// It has a secret in it.
    pub(super) fn is_hidden(&self) -> bool {
        self.0.blob.is_some()
    }

    pub(super) fn real(&self, blobs: &Blobs) -> Result<Value, String> {
        real(self.0, blobs)
    }
}

fn real(record: &OutputRecord, blobs: &Blobs) -> Result<Value, String> {
    let Some(blob) = &record.blob else { return Ok(record.value.clone()) };
    let bytes = blobs
        .get(blob)
        .map_err(|e| format!("the value of an output cannot be read: {e}"))?
        .ok_or_else(|| "the value of an output is gone from the blobs".to_owned())?;
    serde_json::from_slice(&bytes).map_err(|e| format!("the value of an output is damaged: {e}"))
}

pub(super) fn output<'a>(run: &'a Run, task: &TaskId, name: &str) -> Option<Record<'a>> {
    run.task(task)?.1.outputs.get(name).map(Record)
}

pub(super) fn output_names<'a>(run: &'a Run, task: &TaskId) -> Vec<&'a str> {
    run.task(task).map(|(_, entry)| entry.outputs.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// What `task` needs; an item needs what its task needs.
pub(super) fn needs<'a>(run: &'a Run, task: &'a Task) -> &'a [TaskId] {
    match task.item.as_ref().and_then(|item| run.task(&item.of)) {
        Some((of, _)) => &of.needs,
        None => &task.needs,
    }
}

/// Files that it left.
pub(super) fn artifacts<'a>(_run: &'a Run, _entry: &'a TaskEntry) -> &'a [ArtifactRecord] {
    &[]
}

/// The items of a task with `foreach` that ended well; none: it is another task.
pub(super) fn items(_run: &Run, _entry: &TaskEntry) -> Option<Vec<u32>> {
    None
}

/// The real value of an item.
pub(super) fn item_value(_run: &Run, item: &Item, _blobs: &Blobs) -> Result<Value, String> {
    Ok(item.value.clone())
}
