//! What becomes of a task whose needs let it start: first `if`, then approval, then its items or its turn.
//!
//! Decided by the redacted values that events hold, so that every fold of them decides the same: a
//! condition sees secrets replaced. The decision itself is what the events record.

use std::collections::BTreeMap;

use serde_json::Value;

use super::state::Run;
use crate::dag::template::{self, MAX_ITEMS, RenderError, SecretValues, Values};
use crate::dag::{Approval, Foreach, Task};
use crate::event::{EndReason, OutputRecord, QueueReason, TaskState};
use crate::ids::{TaskId, TimestampMs};
use crate::text::clean::MASK;

/// A run takes at most so many tasks beyond those of its file: items, and those that sessions ask for.
pub(super) const ADDED_TASKS_MAX: usize = 100_000;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Begin {
    /// It waits.
    Queue(QueueReason),
    /// It becomes these items.
    Expand(Vec<Value>),
    /// It has ended.
    End(TaskState, EndReason),
}

impl Begin {
    /// Decides on a pending task. `coming` tasks, items of others, are added before its own.
    pub(super) fn of(run: &Run, index: u32, now: TimestampMs, coming: usize) -> Self {
        let spec = run.spec(index);
        if spec.condition.is_none() && spec.approval.is_none() && spec.foreach.is_none() {
            return Self::Queue(Run::turn(spec));
        }
        Self::decide(run, spec, now, coming).unwrap_or_else(|error| failed(error.to_string()))
    }

    fn decide(run: &Run, spec: &Task, now: TimestampMs, coming: usize) -> Result<Self, RenderError> {
        let known = Known::of(run, spec, template::decision_outputs(spec));
        if let Some(condition) = &spec.condition
            && !template::condition(condition, spec, &known.values(run))?
        {
            let detail = format!("`if` is false: {condition}");
            return Ok(Self::End(TaskState::Completed, EndReason::skipped(detail)));
        }
        if let Some(Approval { prompt, timeout_ms, .. }) = &spec.approval {
            let prompt = template::text(prompt, spec, &known.values(run), "approval.prompt")?;
            let limit = timeout_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
            let until_ms = limit.map(|ms| now.saturating_add(ms));
            return Ok(Self::Queue(QueueReason::Approval { prompt, until_ms }));
        }
        expand(run, spec, &known, coming)
    }

    /// Goes on with a task that a human approved.
    pub(super) fn approved(run: &Run, index: u32, coming: usize) -> Self {
        let spec = run.spec(index);
        expand(run, spec, &Known::of(run, spec, template::decision_outputs(spec)), coming)
            .unwrap_or_else(|error| failed(error.to_string()))
    }
}

/// A text of a task with its values in place, as far as events tell them: secrets are replaced.
pub(super) fn words(run: &Run, index: u32, text: &str, place: &str) -> Result<String, RenderError> {
    let spec = run.spec(index);
    let known = Known::of(run, spec, template::spoken_outputs(spec));
    let attempt = run.entry(index).attempts;
    template::text(text, spec, &Values { attempt, ..known.values(run) }, place)
}

/// The template of such a text that uses a value with a secret: it would have `***` for it, or what it makes of that.
pub(super) fn secret_in(run: &Run, index: u32, text: &str) -> Option<String> {
    if !template::has_template(text) {
        return None;
    }
    let spec = run.spec(index);
    let is_secret = |(task, name): &(TaskId, String)| {
        let is_hidden = |record: &OutputRecord| record.blob.is_some() || record.hidden;
        run.output(task, name).is_some_and(|output| output.records().any(is_hidden))
    };
    let outputs = template::spoken_outputs(spec).into_iter().filter(is_secret).collect();
    let item = spec.item.as_ref().is_some_and(|item| item.value.to_string().contains(MASK));
    SecretValues { outputs, item }.used_in(text)
}

fn failed(detail: String) -> Begin {
    Begin::End(TaskState::Failed, EndReason::Expression { detail })
}

fn expand(run: &Run, spec: &Task, known: &Known, coming: usize) -> Result<Begin, RenderError> {
    let items = match &spec.foreach {
        None => return Ok(Begin::Queue(Run::turn(spec))),
        Some(Foreach::Items(items)) => items.clone(),
        Some(Foreach::Expression(text)) => template::items(text, spec, &known.values(run))?,
    };
    if items.is_empty() {
        let (detail, lists) = ("its list is empty".to_owned(), spec.outputs.keys().cloned().collect());
        return Ok(Begin::End(TaskState::Completed, EndReason::Skipped { detail, lists }));
    }
    if items.len() > MAX_ITEMS {
        return Ok(failed(format!("foreach: {} items, and at most {MAX_ITEMS} are possible", items.len())));
    }
    let longest = format!("{}.{}", spec.id, items.len());
    if TaskId::new(&longest).is_err() {
        return Ok(failed(format!(
            "foreach: the item `{longest}` would have a name of more than 64 characters"
        )));
    }
    if run.added.len() + coming + tasks_added(run, &spec.id, items.len()) > ADDED_TASKS_MAX {
        return Ok(failed(format!(
            "foreach: with its {} items the run would have more than {ADDED_TASKS_MAX} tasks that are not in the file",
            items.len()
        )));
    }
    Ok(Begin::Expand(items))
}

/// How many tasks a run gets when a task of it becomes so many items: those of an earlier list are there already.
pub(super) fn tasks_added(run: &Run, task: &TaskId, items: usize) -> usize {
    let known = run.task(task).and_then(|(_, entry)| entry.expansion());
    items.saturating_sub(known.map_or(0, |known| known.items.len()))
}

/// Values that decisions are made by.
struct Known {
    run: String,
    outputs: BTreeMap<TaskId, BTreeMap<String, Value>>,
    tails: BTreeMap<TaskId, String>,
    item: Option<Value>,
}

impl Known {
    fn of(run: &Run, spec: &Task, names: Vec<(TaskId, String)>) -> Self {
        let mut outputs: BTreeMap<TaskId, BTreeMap<String, Value>> = BTreeMap::new();
        for (task, name) in names {
            if let Some(value) = run.output(&task, &name).map(|output| output.redacted()) {
                outputs.entry(task).or_default().insert(name, value);
            }
        }
        let item = spec.item.as_ref().map(|item| item.value.clone());
        Self { run: run.id().to_string(), outputs, tails: BTreeMap::new(), item }
    }

    fn values<'a>(&'a self, run: &'a Run) -> Values<'a> {
        Values {
            run: &self.run,
            dag: &run.facts().dag,
            attempt: 1,
            params: &run.facts().params,
            outputs: &self.outputs,
            tails: &self.tails,
            item: self.item.as_ref(),
        }
    }
}
