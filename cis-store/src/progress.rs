//! How far the tasks of a run are. The table of tasks is a second copy of what the events say: if it says more than they do,
//! events of the run are lost.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::error::RowError;
use crate::values::{named, task};
use cis_core::event::TaskState;
use cis_core::ids::{RunId, TaskId};

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Its state.
    pub state: TaskState,
    /// Attempts so far.
    pub attempts: u32,
}

impl Progress {
    fn is_ahead_of(self, other: Self) -> bool {
        self.attempts > other.attempts || self.state.is_terminal() && self.state != other.state
    }
}

/// Returns the first task that `table` has further than `events` have it.
#[must_use]
pub fn first_ahead<'a>(
    table: &'a BTreeMap<TaskId, Progress>,
    events: &BTreeMap<TaskId, Progress>,
) -> Option<(&'a TaskId, Progress)> {
    let new = Progress { state: TaskState::Pending, attempts: 0 };
    let is_ahead =
        |(task, told): &(&TaskId, &Progress)| told.is_ahead_of(events.get(*task).copied().unwrap_or(new));
    table.iter().find(is_ahead).map(|(task, progress)| (task, *progress))
}

/// Reads the progress of a run's tasks.
pub(crate) fn progress(conn: &Connection, run: RunId) -> Result<BTreeMap<TaskId, Progress>, RowError> {
    let mut read = conn.prepare_cached(
        "SELECT t.id, t.state, t.attempts FROM tasks t JOIN runs r ON r.key = t.run WHERE r.id = ?1",
    )?;
    let mut rows = read.query([run.0.to_bytes()])?;
    let mut all = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let progress = Progress { state: named(row, 1, TaskState::parse)?, attempts: row.get(2)? };
        all.insert(task(row, 0)?, progress);
    }
    Ok(all)
}
