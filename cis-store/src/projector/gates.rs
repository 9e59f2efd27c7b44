//! Rows of what few tasks have: approvals, items, artifacts. And the node's groups.

use rusqlite::{Connection, params};

use super::Run;
use super::seeds::index;
use crate::error::RowError;
use cis_core::dag::Group;
use cis_core::event::{AttemptResult, EndReason, QueueReason, TaskState};
use cis_core::ids::TaskId;

/// Whether a task waits for approval from now on. One that never did costs nothing.
pub(super) fn asked(
    conn: &Connection,
    run: &mut Run,
    idx: i64,
    queued: Option<&QueueReason>,
) -> Result<(), RowError> {
    if let Some(QueueReason::Approval { prompt, until_ms }) = queued {
        conn.prepare_cached(
            "INSERT OR REPLACE INTO approvals (run, idx, prompt, until_ms) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![run.key, idx, prompt, until_ms])?;
        run.asked.insert(idx);
    } else if run.asked.remove(&idx) {
        conn.prepare_cached("DELETE FROM approvals WHERE run = ?1 AND idx = ?2")?
            .execute(params![run.key, idx])?;
    }
    Ok(())
}

/// A human approved a task: it waits for its turn.
pub(super) fn approved(conn: &Connection, run: &mut Run, task: &TaskId) -> Result<(), RowError> {
    let idx = index(conn, run, task)?;
    set(conn, run.key, idx, TaskState::Queued, None)?;
    asked(conn, run, idx, None)
}

/// A task became its items; those of an earlier, longer list are over.
pub(super) fn expanded(
    conn: &Connection,
    run: &mut Run,
    task: &TaskId,
    count: usize,
) -> Result<(), RowError> {
    let idx = index(conn, run, task)?;
    conn.prepare_cached("INSERT OR REPLACE INTO task_items (run, idx, count) VALUES (?1, ?2, ?3)")?
        .execute(params![run.key, idx, i64::try_from(count).unwrap_or(i64::MAX)])?;
    let reason = format!("its {count} items are at work");
    set(conn, run.key, idx, TaskState::Queued, Some(&reason))?;
    asked(conn, run, idx, None)?;
    let mut forget = [
        conn.prepare_cached("DELETE FROM task_outputs WHERE run = ?1 AND idx = ?2")?,
        conn.prepare_cached("DELETE FROM task_artifacts WHERE run = ?1 AND idx = ?2")?,
    ];
    // An earlier list of the task may have been empty.
    for table in &mut forget {
        table.execute(params![run.key, idx])?;
    }
    for number in 1.. {
        let Ok(id) = TaskId::new(&format!("{task}.{number}")) else { break };
        if number > count && !run.tasks.contains_key(&id) {
            break;
        }
        let idx = index(conn, run, &id)?;
        for table in &mut forget {
            table.execute(params![run.key, idx])?;
        }
        if number <= count {
            set(conn, run.key, idx, TaskState::Queued, None)?;
        } else {
            let end = EndReason::skipped(format!("`{task}` has only {count} items now"));
            set(conn, run.key, idx, TaskState::Completed, Some(&end.to_string()))?;
        }
    }
    Ok(())
}

fn set(
    conn: &Connection,
    run: i64,
    idx: i64,
    state: TaskState,
    reason: Option<&str>,
) -> Result<(), RowError> {
    conn.prepare_cached("UPDATE tasks SET state = ?3, reason = ?4 WHERE run = ?1 AND idx = ?2")?
        .execute(params![run, idx, state.as_str(), reason])?;
    Ok(())
}

/// The files of a success replace those of an earlier one.
pub(super) fn keep_artifacts(
    conn: &Connection,
    run: i64,
    idx: i64,
    result: &AttemptResult,
) -> Result<(), RowError> {
    if !result.artifacts.is_empty() {
        conn.prepare_cached(
            "INSERT OR REPLACE INTO task_artifacts (run, idx, artifacts) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![run, idx, serde_json::to_string(&result.artifacts)?])?;
    } else if result.attempt > 1 {
        conn.prepare_cached("DELETE FROM task_artifacts WHERE run = ?1 AND idx = ?2")?
            .execute(params![run, idx])?;
    }
    Ok(())
}

/// A group of the node was made, changed or removed.
pub(super) fn group(conn: &Connection, name: &str, group: Option<Group>) -> Result<(), RowError> {
    match group {
        Some(group) => conn
            .prepare_cached(
                "INSERT OR REPLACE INTO node_groups (name, places, frees_when_blocked) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![name, group.limit, group.frees_when_blocked])?,
        None => conn.prepare_cached("DELETE FROM node_groups WHERE name = ?1")?.execute([name])?,
    };
    Ok(())
}
