//! What an ended run must still have before it is run again.
//!
//! Knows which blobs a retry reads, and keeps them from a cleaning that is under way. What runs again the
//! scheduler decides.

use super::restore::removed;
use cis_core::api::{Problem, ProblemKind};
use cis_core::event::{OutputRecord, RetryScope};
use cis_core::ids::{BlobId, TaskId};
use cis_core::scheduler::Run;
use cis_store::{Blobs, Cleaned, Readers, StoreError};

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
    for (task, name, blob) in outputs_read(run, scope) {
        let what = || format!("the secret output `{name}` of task `{task}`");
        keep(&what, blob)
            .map_err(|problem| problem.hint(format!("`cis dag retry {id}` runs `{task}` again as well")))?;
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

/// The real values that stay and that tasks which run again are given.
fn outputs_read<'a>(run: &'a Run, scope: &RetryScope) -> Vec<(&'a TaskId, &'a str, &'a BlobId)> {
    // One that the scheduler refuses reads nothing.
    let Ok(again) = run.runs_again(scope) else { return Vec::new() };
    let is_read = |index: u32| again[index as usize];
    let mut givers: Vec<u32> = (0..run.len())
        .filter(|index| is_read(*index))
        .flat_map(|index| run.needs_of(index))
        .flat_map(|need| run.find(need).into_iter().chain(run.items(need).into_iter().flatten().copied()))
        .filter(|giver| !is_read(*giver))
        .collect();
    givers.sort_unstable();
    givers.dedup();
    let secret =
        |(name, record): (&'a String, &'a OutputRecord)| Some((name.as_str(), record.blob.as_ref()?));
    let of = |giver| {
        let (task, outputs) = (&run.spec(giver).id, &run.entry(giver).outputs);
        outputs.iter().filter_map(secret).map(move |(name, blob)| (task, name, blob))
    };
    givers.into_iter().flat_map(of).collect()
}
