//! A task of `[dag.on]`, and when it runs. Knows no run.

use indexmap::IndexSet;

use super::narrow::narrow;
use crate::dag;
use crate::event::EndReason;
use crate::ids::TaskId;

/// How the other tasks of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
    Cancel,
}

/// When a handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    End(Outcome),
    /// However it ended, after the others.
    Always,
    /// As soon as a session waits for a human.
    Blocked,
}

/// A task of `[dag.on]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handler {
    pub(super) index: u32,
    pub(super) when: When,
}

impl Handler {
    pub(super) fn is_last(&self) -> bool {
        self.when == When::Always
    }

    /// Whether a run that is ended for `reason` still runs it.
    pub(super) fn survives(&self, reason: &EndReason) -> bool {
        self.is_last() || self.when == When::End(cancelled_for(reason))
    }

    /// Why it is skipped.
    pub(super) fn does_not_apply(&self, why: &dyn std::fmt::Display) -> EndReason {
        EndReason::skipped(format!("{} does not apply: {why}", self.when.name()))
    }
}

impl When {
    /// As in the file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::End(Outcome::Success) => "on.success",
            Self::End(Outcome::Failure) => "on.failure",
            Self::End(Outcome::Cancel) => "on.cancel",
            Self::Always => "on.always",
            Self::Blocked => "on.blocked",
        }
    }
}

pub(super) fn cancelled_for(reason: &EndReason) -> Outcome {
    if *reason == EndReason::RunTimeout { Outcome::Failure } else { Outcome::Cancel }
}

/// The handlers of a file, in its order; or what is wrong with them.
pub(super) fn of(on: &dag::Handlers, names: &IndexSet<TaskId>) -> Result<Vec<Handler>, String> {
    let all = [
        (When::End(Outcome::Success), &on.success),
        (When::End(Outcome::Failure), &on.failure),
        (When::End(Outcome::Cancel), &on.cancel),
        (When::Always, &on.always),
        (When::Blocked, &on.blocked),
    ];
    let mut found: Vec<Handler> = Vec::new();
    for (when, id) in all {
        let Some(id) = id else { continue };
        let index = names.get_index_of(id).map(narrow);
        let index = index.ok_or_else(|| format!("[dag.on] names `{id}`, which is not there"))?;
        if found.iter().any(|handler| handler.index == index) {
            return Err(format!("[dag.on] names `{id}` twice"));
        }
        found.push(Handler { index, when });
    }
    found.sort_by_key(|handler| handler.index);
    Ok(found)
}
