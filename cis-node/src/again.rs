//! What an ended run must still have before it is run again.
//!
//! Knows which blobs a retry reads, and keeps them from a cleaning that is under way. What runs again the
//! scheduler decides.

use std::collections::BTreeMap;

use super::restore::removed;
use cis_core::api::{Problem, ProblemKind};
use cis_core::dag::{Foreach, template};
use cis_core::event::{OutputRecord, RetryScope};
use cis_core::ids::{BlobId, TaskId};
use cis_core::scheduler::Run;
use cis_store::{Blobs, Cleaned, Readers, StoreError};

/// So many outputs are named in one message.
const NAMED_MAX: usize = 3;

/// A retry begins at so many tasks before all of them are the simpler choice.
const MAKERS_MAX: usize = 8;

/// Makes every blob new that `run` needs to run again: a cleaning that counted before the retry was durable
/// takes no new one.
///
/// # Errors
/// One is not there, or cannot be made new.
pub(super) fn keep_for(
    readers: &Readers,
    blobs: &Blobs,
    run: &Run,
    scope: &RetryScope,
) -> Result<(), Problem> {
    if !run.state().is_terminal() {
        // Nothing of an open run is cleaned, and it cannot be retried anyway.
        return Ok(());
    }
    let id = run.id();
    let cleaned = readers.get().and_then(|reader| reader.cleaned(Some(id), None));
    let cleaned = cleaned.map_err(|error| Problem::from(&error))?;
    let keep = |what: &dyn Fn() -> String, blob: &BlobId| match blobs.refresh(blob) {
        Ok(true) => Ok(()),
        Ok(false) => Err(gone(&what(), blob, cleaned.as_ref())),
        Err(error) => Err(unsure(&what(), &error)),
    };
    keep(&|| format!("the file of run {id}"), &run.facts().spec)?;
    if let Some(base) = &run.facts().base_env {
        keep(&|| format!("the environment of run {id}"), base)?;
    }
    for file in &run.facts().kept {
        keep(&|| format!("the program {} of run {id}", file.path), &file.blob)?;
    }
    let mut missing = Vec::new();
    for ((giver, name), blob) in outputs_read(run, scope) {
        let task = &run.spec(giver).id;
        match blobs.refresh(blob) {
            Ok(true) => {}
            Ok(false) => missing.push((task, name, blob)),
            Err(error) => return Err(unsure(&secret_output(task, name), &error)),
        }
    }
    if let Some((_, _, blob)) = missing.first() {
        return Err(gone(&all_of(&missing), blob, cleaned.as_ref()).hint(how_to_make(run, &missing)));
    }
    if cleaned.is_some() {
        keep_the_rest(blobs, run)?;
    }
    Ok(())
}

/// What no task reads, but people may: what is left of it stays.
fn keep_the_rest(blobs: &Blobs, run: &Run) -> Result<(), Problem> {
    for (task, entry) in run.tasks() {
        let outputs = entry.outputs.values().filter_map(|record| record.blob.as_ref());
        for blob in outputs.chain(entry.artifacts().iter().map(|artifact| &artifact.blob)) {
            let refreshed = blobs.refresh(blob);
            refreshed.map_err(|error| unsure(&format!("what task `{}` left", task.id), &error))?;
        }
    }
    Ok(())
}

fn secret_output(task: &TaskId, name: &str) -> String {
    format!("the secret output `{name}` of task `{task}`")
}

/// Names secret outputs that are not there.
fn all_of(missing: &[(&TaskId, &str, &BlobId)]) -> String {
    if let [(task, name, _)] = missing {
        return secret_output(task, name);
    }
    let mut named: Vec<String> =
        missing.iter().take(NAMED_MAX).map(|(task, name, _)| secret_output(task, name)).collect();
    if missing.len() > NAMED_MAX {
        named.push(format!("{} more", missing.len() - NAMED_MAX));
    }
    format!("what the retry needs ({})", named.join(", "))
}

/// Which retry makes them anew.
fn how_to_make(run: &Run, missing: &[(&TaskId, &str, &BlobId)]) -> String {
    let id = run.id();
    // They come in the order of their tasks.
    let mut makers: Vec<&TaskId> = missing.iter().map(|(task, ..)| *task).collect();
    makers.dedup();
    if makers.len() > MAKERS_MAX {
        return format!("`cis dag retry {id}` runs all tasks again");
    }
    let from: String = makers.iter().map(|task| format!(" --from {task}")).collect();
    let named = makers.iter().map(|task| format!("`{task}`")).collect::<Vec<_>>().join(", ");
    let them = if makers.len() == 1 { "it" } else { "them" };
    format!("`cis dag retry {id}{from}` runs {named} again, and what needs {them}")
}

fn gone(what: &str, blob: &BlobId, cleaned: Option<&Cleaned>) -> Problem {
    match cleaned {
        Some(cleaned) => removed(what, cleaned),
        None => {
            Problem::new(ProblemKind::Unavailable, format!("{what} is gone: restore {blob} from a backup"))
        }
    }
}

fn unsure(what: &str, error: &StoreError) -> Problem {
    Problem::new(ProblemKind::Unavailable, format!("{what} cannot be kept from being cleaned: {error}"))
}

/// The real values that stay and that tasks which run again are given, by the task that left them and their name: all of the
/// tasks that they need, and those of other tasks that their templates name.
fn outputs_read<'a>(run: &'a Run, scope: &RetryScope) -> BTreeMap<(u32, &'a str), &'a BlobId> {
    let mut read = BTreeMap::new();
    let is_secret = |record: &OutputRecord| record.blob.is_some();
    if !run.tasks().any(|(_, entry)| entry.outputs.values().any(is_secret)) {
        return read;
    }
    // One that the scheduler refuses reads nothing.
    let Ok(again) = run.runs_again(scope) else { return read };
    let runs_again = |index: u32| again[index as usize];
    let givers = |task: &TaskId| {
        let all = run.find(task).into_iter().chain(run.items(task).into_iter().flatten().copied());
        all.filter(|giver| !runs_again(*giver)).collect::<Vec<u32>>()
    };
    let mut add = |giver: u32, name: &'a String, record: &'a OutputRecord| {
        if let Some(blob) = &record.blob {
            read.insert((giver, name.as_str()), blob);
        }
    };
    for index in (0..run.len()).filter(|index| runs_again(*index)) {
        for giver in run.needs_of(index).iter().flat_map(givers) {
            run.entry(giver).outputs.iter().for_each(|(name, record)| add(giver, name, record));
        }
        for (task, name) in named_outputs(run, index) {
            for giver in givers(&task) {
                let output = run.entry(giver).outputs.get_key_value(&name);
                if let Some((name, record)) = output {
                    add(giver, name, record);
                }
            }
        }
    }
    read
}

/// The outputs of other tasks whose real values a task is rendered with.
fn named_outputs(run: &Run, index: u32) -> Vec<(TaskId, String)> {
    let spec = run.spec(index);
    let mut names = template::referenced_outputs(spec);
    // An item gets its value by the list of its task.
    let of = spec.item.as_ref().and_then(|item| run.task(&item.of)).map_or(spec, |(of, _)| of);
    if matches!(of.foreach, Some(Foreach::Expression(_))) {
        names.extend(template::decision_outputs(of));
    }
    names
}
