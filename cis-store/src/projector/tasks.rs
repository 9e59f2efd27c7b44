//! Rows of tasks and their attempts.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;

use super::seeds::{index, seed};
use super::sessions::{self, Places};
use super::{Beside, Place, Run, gates};
use crate::error::RowError;
use cis_core::dag::Task;
use cis_core::event::{
    AttemptOutcome, AttemptResult, EndReason, ExitStatus, FailureCause, GrantRecord, QueueReason,
    SessionState, TaskChange, TaskState,
};
use cis_core::ids::TaskId;
use cis_core::live::{reason, reason_of_result};

/// Tasks that a session of the run asked for.
pub(super) fn added(conn: &Connection, run: &mut Run, tasks: &[Task]) -> Result<(), RowError> {
    seed(conn, run, tasks.iter().map(|task| (&task.id, task.needs.as_slice())))
}

/// Changes that no grant and no result explains: one statement, however many.
pub(super) fn changed(
    conn: &Connection,
    run: &mut Run,
    at: Place,
    changes: &[TaskChange],
) -> Result<(), RowError> {
    let mut update =
        conn.prepare_cached("UPDATE tasks SET state = ?3, reason = ?4 WHERE run = ?1 AND idx = ?2")?;
    for change in changes {
        let idx = index(conn, run, &change.task)?;
        if change.queued == Some(QueueReason::Withdrawn) {
            withdrawn(conn, run.key, idx)?;
        }
        if let Some((outcome, detail)) = refused(change) {
            conn.prepare_cached(
                "UPDATE sessions SET state = ?3, pid = NULL, ended_ms = ?4, outcome = ?5, detail = ?6
                 WHERE id = (SELECT session FROM tasks WHERE run = ?1 AND idx = ?2) AND ended_ms IS NULL",
            )?
            .execute(params![
                run.key,
                idx,
                SessionState::Terminated.as_str(),
                at.at_ms,
                outcome,
                detail
            ])?;
        }
        let reason = reason(change.end.as_ref(), change.queued.as_ref(), at.at_ms);
        update.execute(params![run.key, idx, change.state.as_str(), reason])?;
        gates::asked(conn, run, idx, change.queued.as_ref())?;
        if let Some(EndReason::Skipped { lists, .. }) = &change.end
            && !lists.is_empty()
        {
            let outputs: BTreeMap<_, [(); 0]> = lists.iter().map(|name| (name, [])).collect();
            put_outputs(conn, run.key, idx, &outputs)?;
        }
    }
    Ok(())
}

/// The session of an attempt has a process: a task that was given ahead of its turn has begun.
pub(super) fn began(conn: &Connection, run: &mut Run, task: &TaskId) -> Result<(), RowError> {
    let idx = index(conn, run, task)?;
    conn.prepare_cached("UPDATE tasks SET state = ?3 WHERE run = ?1 AND idx = ?2 AND state = ?4")?
        .execute(params![run.key, idx, TaskState::Running.as_str(), TaskState::Queued.as_str()])?;
    Ok(())
}

/// A grant was taken back before anything began: there was no such attempt.
fn withdrawn(conn: &Connection, run: i64, idx: i64) -> Result<(), RowError> {
    conn.prepare_cached(
        "DELETE FROM sessions WHERE id = (SELECT session FROM tasks WHERE run = ?1 AND idx = ?2)
         RETURNING prev",
    )?
    .query_row(params![run, idx], |row| row.get::<_, Option<Vec<u8>>>(0))
    .optional()?
    .map(|before| {
        conn.prepare_cached(
            "UPDATE tasks SET attempts = max(attempts - 1, 0), session = ?3 WHERE run = ?1 AND idx = ?2",
        )?
        .execute(params![run, idx, before])
    })
    .transpose()?;
    Ok(())
}

/// A change that may end an attempt whose grant was not taken: no result comes for it. Gives the outcome
/// and detail of that attempt.
fn refused(change: &TaskChange) -> Option<(&'static str, String)> {
    match (&change.queued, change.state) {
        (Some(QueueReason::Resources { detail, .. }), TaskState::Queued) => {
            Some(("error", format!("not started: {detail}")))
        }
        (_, TaskState::Cancelled) => {
            Some(("cancelled", change.end.as_ref().map(ToString::to_string).unwrap_or_default()))
        }
        _ => None,
    }
}

/// A grant: a new attempt with its session.
pub(super) fn assigned(
    conn: &Connection,
    at: Place,
    run: &mut Run,
    places: &mut Option<Places>,
    grant: &GrantRecord,
    beside: Beside<'_>,
) -> Result<(), RowError> {
    let idx = index(conn, run, &grant.task)?;
    let place = sessions::place(places, conn, &grant.node.0, grant.host)?;
    sessions::insert(
        conn,
        &sessions::Fresh {
            id: grant.session,
            attempt: Some((run.key, idx, grant)),
            place,
            name: None,
            argv: &[],
            at_ms: at.at_ms,
        },
        beside,
    )?;
    // One that waits at the worker is where it was for all who look, until it is known to have begun.
    let state = if grant.ahead { TaskState::Queued } else { TaskState::Running };
    conn.prepare_cached(
        "UPDATE tasks SET state = ?3, attempts = ?4, session = ?5, reason = NULL WHERE run = ?1 AND idx = ?2",
    )?
    .execute(params![run.key, idx, state.as_str(), grant.attempt, grant.session.0.to_bytes()])?;
    Ok(())
}

/// The end of an attempt.
pub(super) fn ended(
    conn: &Connection,
    run: &mut Run,
    at: Place,
    result: &AttemptResult,
) -> Result<(), RowError> {
    let idx = index(conn, run, &result.task)?;
    let lost = result.lost_output.as_ref().map(ToString::to_string);
    let detail = [Some(result.outcome.detail()), lost].into_iter().flatten().filter(|part| !part.is_empty());
    let detail = detail.collect::<Vec<_>>().join("; ");
    conn.prepare_cached(
        "UPDATE sessions SET state = ?2, pid = NULL, started_ms = coalesce(?3, started_ms), ended_ms = ?4,
            exit_code = ?5, outcome = ?6, detail = ?7, log_bytes = ?8
         WHERE id = ?1",
    )?
    .execute(params![
        result.session.0.to_bytes(),
        session_state(result).as_str(),
        result.started_ms,
        result.ended_ms,
        result.exit.and_then(ExitStatus::code),
        result.outcome.word(),
        (!detail.is_empty()).then_some(&detail),
        sessions::count(result.log_bytes),
    ])?;
    let why = reason_of_result(result, at.at_ms);
    conn.prepare_cached("UPDATE tasks SET state = ?3, reason = ?4 WHERE run = ?1 AND idx = ?2")?
        .execute(params![run.key, idx, result.state.as_str(), why])?;
    if result.state.counts_as_success() {
        keep_outputs(conn, run.key, idx, result)?;
        gates::keep_artifacts(conn, run.key, idx, result)?;
    }
    Ok(())
}

fn put_outputs(conn: &Connection, run: i64, idx: i64, values: &impl Serialize) -> Result<(), RowError> {
    conn.prepare_cached("INSERT OR REPLACE INTO task_outputs (run, idx, outputs) VALUES (?1, ?2, ?3)")?
        .execute(params![run, idx, serde_json::to_string(values)?])?;
    Ok(())
}

/// The outputs of a success replace those of an earlier one.
fn keep_outputs(conn: &Connection, run: i64, idx: i64, result: &AttemptResult) -> Result<(), RowError> {
    if !result.outputs.is_empty() {
        let values: BTreeMap<_, _> =
            result.outputs.iter().map(|(name, record)| (name, &record.value)).collect();
        put_outputs(conn, run, idx, &values)?;
    } else if result.attempt > 1 {
        conn.prepare_cached("DELETE FROM task_outputs WHERE run = ?1 AND idx = ?2")?
            .execute(params![run, idx])?;
    }
    Ok(())
}

fn session_state(result: &AttemptResult) -> SessionState {
    let by_us = matches!(
        result.outcome,
        AttemptOutcome::Cancelled
            | AttemptOutcome::Lost { .. }
            | AttemptOutcome::SpawnError { .. }
            | AttemptOutcome::Failed {
                cause: FailureCause::Timeout { .. }
                    | FailureCause::Idle { .. }
                    | FailureCause::Blocked { .. }
                    | FailureCause::Login { .. }
            }
    );
    if by_us || result.exit.is_none() { SessionState::Terminated } else { SessionState::Exited }
}
