//! Rows of runs.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::{Beside, Place, Projector, Run, seeds, tasks};
use crate::error::RowError;
use cis_core::event::{EventBody, RunCreated, RunState};
use cis_core::ids::{RunId, TaskId};

impl Projector {
    /// A new run, with its tasks where they are known.
    pub(super) fn create_run(
        &mut self,
        conn: &Connection,
        at: Place,
        facts: &RunCreated,
        beside: Beside<'_>,
    ) -> Result<(), RowError> {
        let Some(id) = at.run else { return Ok(()) };
        let key = i64::try_from(at.offset).map_err(|e| RowError::Shape(e.to_string()))?;
        let made = conn
            .prepare_cached(
                "INSERT INTO runs (key, id, dag, source, state, mode, owner, room, parent, epoch, created_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                key,
                id.0.to_bytes(),
                facts.dag,
                facts.source,
                RunState::Created.as_str(),
                facts.mode.as_str(),
                facts.owner.0,
                facts.room,
                facts.parent.as_ref().map(ToString::to_string),
                facts.epoch,
                at.at_ms,
            ])?;
        if made == 0 {
            return Ok(());
        }
        let mut run = Run { key, tasks: HashMap::new(), asked: HashSet::new() };
        if let Beside::Tasks(seeds) = beside {
            seeds::seed(conn, &mut run, seeds.iter().map(|seed| (&seed.id, seed.needs.as_slice())))?;
        }
        conn.prepare_cached(
            "INSERT INTO run_facts (run, spec, params, workdir, base_env, max_parallel, seeded)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            key,
            facts.spec.0,
            serde_json::to_string(&facts.params)?,
            facts.workdir,
            facts.base_env.as_ref().map(|blob| &blob.0),
            facts.max_parallel,
            run.tasks.len(),
        ])?;
        self.runs.insert(id, run);
        Ok(())
    }
}

/// A run as its rows have it.
pub(super) fn load(conn: &Connection, id: RunId) -> Result<Option<Run>, RowError> {
    let key: Option<i64> = conn
        .prepare_cached("SELECT key FROM runs WHERE id = ?1")?
        .query_row([id.0.to_bytes()], |row| row.get(0))
        .optional()?;
    let Some(key) = key else { return Ok(None) };
    let mut tasks = HashMap::new();
    let mut read = conn.prepare_cached("SELECT id, idx FROM tasks WHERE run = ?1")?;
    let mut rows = read.query([key])?;
    while let Some(row) = rows.next()? {
        let id = TaskId::new(row.get_ref(0)?.as_str().map_err(|e| RowError::Shape(e.to_string()))?)
            .map_err(|e| RowError::Shape(e.to_string()))?;
        tasks.insert(id, row.get(1)?);
    }
    let mut read = conn.prepare_cached("SELECT idx FROM approvals WHERE run = ?1")?;
    let asked = read.query_map([key], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(Some(Run { key, tasks, asked }))
}

/// Tables whose rows are of one run, by its key.
const OF_RUNS: [&str; 7] =
    ["run_facts", "tasks", "task_needs", "task_outputs", "task_artifacts", "task_items", "approvals"];

/// The run is told anew. Its sessions stay, as their logs do, until attempts of the new story have them.
pub(super) fn void(conn: &Connection, id: RunId) -> Result<(), RowError> {
    let id = id.0.to_bytes();
    for table in OF_RUNS {
        let of_run = format!("DELETE FROM {table} WHERE run = (SELECT key FROM runs WHERE id = ?1)");
        conn.prepare_cached(&of_run)?.execute([id])?;
    }
    conn.prepare_cached("DELETE FROM inbox WHERE run = ?1")?.execute([id])?;
    conn.prepare_cached("DELETE FROM runs WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// An event of a run as a whole. Says whether the run has ended with it.
pub(super) fn changed(
    conn: &Connection,
    run: &mut Run,
    at: Place,
    body: &EventBody,
) -> Result<bool, RowError> {
    let key = run.key;
    match body {
        EventBody::RunStarted {} => {
            conn.prepare_cached(
                "UPDATE runs SET state = ?2, started_ms = coalesce(started_ms, ?3) WHERE key = ?1",
            )?
            .execute(params![key, RunState::Running.as_str(), at.at_ms])?;
        }
        EventBody::RunPaused {} => set_state(conn, key, RunState::Paused)?,
        EventBody::RunResumed {} => set_state(conn, key, RunState::Running)?,
        EventBody::RunCancelling { reason } => {
            // Asked for twice, the first reason stays.
            conn.prepare_cached(
                "UPDATE runs SET cancelling = 1, detail = ?2 WHERE key = ?1 AND cancelling = 0",
            )?
            .execute(params![key, reason.to_string()])?;
        }
        EventBody::RunCompleted {} => return end(conn, key, at, RunState::Succeeded, None),
        EventBody::RunFailed { detail } => return end(conn, key, at, RunState::Failed, Some(detail)),
        EventBody::RunErrored { detail } => return end(conn, key, at, RunState::Error, Some(detail)),
        EventBody::RunCancelled {} => return end(conn, key, at, RunState::Cancelled, None),
        EventBody::RunRetried { changes, .. } => {
            conn.prepare_cached(
                "UPDATE runs SET state = ?2, started_ms = coalesce(started_ms, ?3), retried_ms = ?3,
                    ended_ms = NULL, detail = NULL, cancelling = 0, counts = NULL
                 WHERE key = ?1",
            )?
            .execute(params![key, RunState::Running.as_str(), at.at_ms])?;
            tasks::changed(conn, run, at, changes)?;
        }
        EventBody::RunModeChanged { mode, room } => {
            conn.prepare_cached("UPDATE runs SET mode = ?2, room = ?3 WHERE key = ?1")?.execute(params![
                key,
                mode.as_str(),
                room
            ])?;
        }
        EventBody::RunTakenOver { owner, epoch, .. } => {
            conn.prepare_cached("UPDATE runs SET owner = ?2, epoch = ?3 WHERE key = ?1")?
                .execute(params![key, owner.0, epoch])?;
        }
        _ => {}
    }
    Ok(false)
}

fn set_state(conn: &Connection, key: i64, state: RunState) -> Result<(), RowError> {
    conn.prepare_cached("UPDATE runs SET state = ?2 WHERE key = ?1")?
        .execute(params![key, state.as_str()])?;
    Ok(())
}

/// The end of a run. Its tasks are counted now, once, so that a listing of ended runs counts nothing.
/// Without a detail of its own it keeps why it was cancelled.
fn end(
    conn: &Connection,
    key: i64,
    at: Place,
    state: RunState,
    detail: Option<&String>,
) -> Result<bool, RowError> {
    conn.prepare_cached(
        "UPDATE runs SET state = ?2, ended_ms = ?3, cancelling = 0,
            detail = CASE WHEN ?2 = 'succeeded' THEN NULL ELSE coalesce(?4, detail) END,
            counts = (SELECT json_group_object(state, n) FROM
                (SELECT state, count(*) AS n FROM tasks WHERE run = ?1 GROUP BY state))
         WHERE key = ?1",
    )?
    .execute(params![key, state.as_str(), at.at_ms, detail])?;
    Ok(true)
}
