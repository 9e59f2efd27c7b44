//! Which tasks `dag retry` runs again.
//!
//! A task that runs again voids what came after it: everything that needs it, however far away, runs
//! again too, whatever it ended as. So with `failed`, a cleaning-up task (`always`) or a report
//! (`one_failed`) that succeeded after the failure is decided anew, as the endings that it was decided
//! on are gone. What neither failed nor depends on something that did keeps its result.

use super::input::Rejected;
use super::state::Run;
use super::trigger::{Says, says};
use crate::event::{RetryScope, TaskState};

/// Indexes of those tasks, in the order of the file.
pub(super) fn selection(run: &Run, scope: &RetryScope) -> Result<Vec<u32>, Rejected> {
    let all = 0..run.len();
    let chosen: Vec<u32> = match scope {
        RetryScope::All => all.collect(),
        RetryScope::Failed => {
            let bad = |state| matches!(state, TaskState::Failed | TaskState::Error | TaskState::Cancelled);
            with_descendants(run, all.filter(|index| bad(run.entry(*index).state)))
        }
        RetryScope::From { task } => {
            let missing = || Rejected::NoTask { run: run.id(), task: task.clone() };
            let index = run.find(task).ok_or_else(missing)?;
            if says(run.spec(index).trigger, run.entry(index).needs) == Says::GiveUp {
                return Err(Rejected::State(format!(
                    "task `{task}` needs one that did not succeed, so it could not start: `cis dag retry {} --failed`",
                    run.id()
                )));
            }
            with_descendants(run, [index])
        }
    };
    if chosen.is_empty() {
        return Err(Rejected::State(format!("run {} has no task to run again", run.id())));
    }
    Ok(chosen)
}

fn with_descendants(run: &Run, seeds: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut chosen = vec![false; run.len() as usize];
    let mut work: Vec<u32> = seeds.into_iter().collect();
    while let Some(index) = work.pop() {
        if !std::mem::replace(&mut chosen[index as usize], true) {
            work.extend(run.links.dependents(index));
        }
    }
    (0..run.len()).filter(|index| chosen[*index as usize]).collect()
}
