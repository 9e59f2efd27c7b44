//! What a run knows of the tasks that another one needs, with real values.

use std::collections::BTreeMap;

use serde_json::Value;

use cis_core::dag::{Foreach, Item, Task, template};
use cis_core::event::OutputRecord;
use cis_core::ids::TaskId;
use cis_core::scheduler::{Output, Run};
use cis_store::Blobs;

/// It has a secret in it.
pub(super) fn is_hidden(output: &Output<'_>) -> bool {
    output.records().any(|record| record.blob.is_some() || record.hidden)
}

/// The value as the task wrote it; of a task with `foreach` the list of its items'.
pub(super) fn real(output: &Output<'_>, blobs: &Blobs) -> Result<Value, String> {
    match output {
        Output::One(record) => real_one(record, blobs),
        Output::Many(records) => {
            let one = |record: &Option<&OutputRecord>| match record {
                Some(record) => real_one(record, blobs),
                None => Ok(Value::Null),
            };
            records.iter().map(one).collect()
        }
    }
}

fn real_one(record: &OutputRecord, blobs: &Blobs) -> Result<Value, String> {
    let Some(blob) = &record.blob else {
        let elsewhere = "the value of an output holds a secret, and only the node that coordinated the run before has it: \
             retry the task that made it";
        return if record.hidden { Err(elsewhere.to_owned()) } else { Ok(record.value.clone()) };
    };
    let bytes = blobs
        .get(blob)
        .map_err(|e| format!("the value of an output cannot be read: {e}"))?
        .ok_or_else(|| "the value of an output is gone from the blobs".to_owned())?;
    serde_json::from_slice(&bytes).map_err(|e| format!("the value of an output is damaged: {e}"))
}

/// What `task` needs; an item needs what its task needs.
pub(super) fn needs<'a>(run: &'a Run, task: &'a Task) -> &'a [TaskId] {
    match task.item.as_ref().and_then(|item| run.task(&item.of)) {
        Some((of, _)) => &of.needs,
        None => &task.needs,
    }
}

/// The real value of an item. The list was decided over outputs with secrets replaced: where one of them
/// has a secret, the same expression is evaluated over the real ones.
pub(super) fn item_value(run: &Run, item: &Item, blobs: &Blobs) -> Result<Value, String> {
    let Some((of, _)) = run.task(&item.of) else { return Ok(item.value.clone()) };
    let Some(Foreach::Expression(text)) = &of.foreach else { return Ok(item.value.clone()) };
    let mut hidden = false;
    let mut outputs: BTreeMap<TaskId, BTreeMap<String, Value>> = BTreeMap::new();
    for (task, name) in template::decision_outputs(of) {
        if let Some(output) = run.output(&task, &name) {
            hidden |= is_hidden(&output);
            outputs.entry(task).or_default().insert(name, real(&output, blobs)?);
        }
    }
    if !hidden {
        return Ok(item.value.clone());
    }
    let (run_id, facts, tails) = (run.id().to_string(), run.facts(), BTreeMap::new());
    let values = template::Values {
        run: &run_id,
        dag: &facts.dag,
        attempt: 1,
        params: &facts.params,
        outputs: &outputs,
        tails: &tails,
        item: None,
    };
    let mut list = template::items(text, of, &values).map_err(|e| e.to_string())?;
    let count = run.items(&item.of).map_or(0, <[u32]>::len);
    let at = (item.number as usize).saturating_sub(1);
    if list.len() != count || at >= count {
        return Err(format!(
            "the list of `{}` is another with the real values of secrets than without: let it not depend on them",
            item.of
        ));
    }
    Ok(list.swap_remove(at))
}
