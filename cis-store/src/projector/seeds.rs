//! The rows that tasks begin with, and their indices.

use rusqlite::{Connection, params};

use super::Run;
use crate::error::RowError;
use cis_core::event::TaskState;
use cis_core::ids::TaskId;

/// Adds tasks, pending, behind those that are there. Names that are there already stay as they are.
pub(super) fn seed<'a>(
    conn: &Connection,
    run: &mut Run,
    tasks: impl Iterator<Item = (&'a TaskId, &'a [TaskId])> + Clone,
) -> Result<(), RowError> {
    let mut fresh = Vec::new();
    let mut insert =
        conn.prepare_cached("INSERT INTO tasks (run, idx, id, state) VALUES (?1, ?2, ?3, ?4)")?;
    for (id, needs) in tasks {
        if !run.tasks.contains_key(id) {
            let idx = next_index(run)?;
            insert.execute(params![run.key, idx, id.as_str(), TaskState::Pending.as_str()])?;
            run.tasks.insert(id.clone(), idx);
            fresh.push((idx, needs));
        }
    }
    // Only now has every name of the list its index.
    let mut insert = conn.prepare_cached("INSERT INTO task_needs (run, idx, needs) VALUES (?1, ?2, ?3)")?;
    for (idx, needs) in fresh {
        let indices: Vec<i64> = needs.iter().filter_map(|need| run.tasks.get(need)).copied().collect();
        if !indices.is_empty() {
            insert.execute(params![run.key, idx, serde_json::to_string(&indices)?])?;
        }
    }
    Ok(())
}

/// Index of a task. One that the run is not known to have (its file is lost) comes last.
pub(super) fn index(conn: &Connection, run: &mut Run, task: &TaskId) -> Result<i64, RowError> {
    if let Some(idx) = run.tasks.get(task) {
        return Ok(*idx);
    }
    seed(conn, run, [(task, [].as_slice())].into_iter())?;
    run.tasks.get(task).copied().ok_or_else(|| RowError::Shape(format!("task {task} has no row")))
}

fn next_index(run: &Run) -> Result<i64, RowError> {
    i64::try_from(run.tasks.len()).map_err(|e| RowError::Shape(e.to_string()))
}
