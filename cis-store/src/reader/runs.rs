//! Runs and their tasks, as clients get them.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, ToSql};
use serde_json::Value;

use super::{PAGE_MAX, Reader, behind, gates, page_of};
use crate::error::{RowError, StoreError};
use crate::progress::{Progress, progress};
use crate::values::{json, maybe_ulid, named, task, text, ulid};
use cis_core::api::{
    ApprovalView, CreatedOrder, ListRuns, Listing, RunDetail, RunView, SaidView, TaskCounts, TaskView,
    WaitsView,
};
use cis_core::event::{ExecutionMode, PromptKind, RunState, SaidKind, TaskState};
use cis_core::ids::{BlobId, Epoch, InboxId, NodeDid, Offset, RunId, SessionId, TaskId};
use cis_core::live::TURN;

/// Runs of a page where nobody says how many.
const PAGE_RUNS: u32 = 50;

/// What a view of a run is read from. Open runs are counted here; ended ones were counted at their end.
const RUN: &str =
    "SELECT key, id, dag, state, mode, source, created_ms, started_ms, ended_ms, detail, cancelling,
        CASE WHEN counts IS NOT NULL THEN counts ELSE
            (SELECT json_group_object(state, n) FROM
                (SELECT state, count(*) AS n FROM tasks WHERE tasks.run = runs.key GROUP BY state)) END,
        (SELECT max(offset) FROM events WHERE events.run = runs.id),
        (SELECT json_group_array(t.id) FROM approvals a JOIN tasks t ON t.run = a.run AND t.idx = a.idx
            WHERE a.run = runs.key AND runs.ended_ms IS NULL), room, owner, retried_ms
    FROM runs";

/// What a view of a task is read from.
const TASK: &str =
    "SELECT t.id, t.state, t.attempts, t.session, t.reason, s.created_ms, s.ended_ms, s.exit_code,
        o.outputs, n.needs, f.artifacts, i.count, a.prompt, a.until_ms,
        w.kind, w.text, w.percent, w.at_ms, q.id, q.kind, q.question, q.since_ms
    FROM tasks t LEFT JOIN sessions s ON s.id = t.session
        LEFT JOIN task_outputs o ON o.run = t.run AND o.idx = t.idx
        LEFT JOIN task_needs n ON n.run = t.run AND n.idx = t.idx
        LEFT JOIN task_artifacts f ON f.run = t.run AND f.idx = t.idx
        LEFT JOIN task_items i ON i.run = t.run AND i.idx = t.idx
        LEFT JOIN approvals a ON a.run = t.run AND a.idx = t.idx
            AND NOT EXISTS (SELECT 1 FROM runs WHERE key = t.run AND ended_ms IS NOT NULL)
        LEFT JOIN session_said w ON w.session = t.session
        LEFT JOIN inbox q ON q.key = (SELECT min(key) FROM inbox
            WHERE session = t.session AND closed_ms IS NULL AND waits)";

/// A run that has not ended: what its restoring begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// It.
    pub run: RunId,
    /// Its state.
    pub state: RunState,
    /// The node that coordinates it.
    pub owner: NodeDid,
    /// The text it was made from.
    pub spec: BlobId,
    /// The environment it was submitted with (a secret blob).
    pub base_env: Option<BlobId>,
    /// The directory it was submitted from.
    pub workdir: String,
    /// Offset of the event that made it: its events are this one and later ones.
    pub created: Offset,
}

impl Reader {
    /// The node that coordinates a run, its term, and the room that follows it.
    ///
    /// # Errors
    /// The store cannot be read; or it does not know the run.
    pub fn term(&self, run: RunId) -> Result<(NodeDid, Epoch, Option<String>), StoreError> {
        let term = self.view("read who coordinates a run", |conn| {
            let mut read = conn.prepare_cached("SELECT owner, epoch, room FROM runs WHERE id = ?1")?;
            Ok(read
                .query_row([run.0.to_bytes()], |row| Ok((NodeDid(row.get(0)?), row.get(1)?, row.get(2)?)))
                .optional()?)
        })?;
        term.ok_or_else(|| not_found(run))
    }

    /// Runs, newest first unless asked for otherwise.
    ///
    /// # Errors
    /// The store cannot be read; or `after` is not one that a listing gave.
    pub fn list_runs(&self, query: &ListRuns) -> Result<Listing<RunView>, StoreError> {
        let limit = query.limit.unwrap_or(PAGE_RUNS).clamp(1, PAGE_MAX);
        let (than, order, first) = match query.sort.unwrap_or_default() {
            CreatedOrder::NewestFirst => ("<", "DESC", i64::MAX),
            CreatedOrder::OldestFirst => (">", "ASC", i64::MIN),
        };
        let last = behind(query.after.as_deref(), first)?;
        let open = if query.open { "AND ended_ms IS NULL" } else { "" };
        let state = query.state.map(RunState::as_str);
        self.view("list runs", |conn| {
            let mut read = conn.prepare_cached(&format!(
                "{RUN} WHERE key {than} ?1 {open} AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR dag = ?4)
                 ORDER BY key {order} LIMIT ?2"
            ))?;
            let rows = read.query(rusqlite::params![last, i64::from(limit) + 1, state, query.dag])?;
            page_of(rows, limit, run_view)
        })
    }

    /// The newest runs that this room follows, the newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn runs_of_room(&self, room: &str, limit: u32) -> Result<Vec<RunView>, StoreError> {
        self.view("list runs of a room", |conn| {
            let mut read = conn.prepare_cached(&format!(
                "{RUN} WHERE id IN (SELECT run FROM room_runs WHERE room = ?1) ORDER BY key DESC LIMIT ?2"
            ))?;
            let mut rows = read.query(rusqlite::params![room, limit])?;
            let mut runs = Vec::new();
            while let Some(row) = rows.next()? {
                runs.push(run_view(row)?);
            }
            Ok(runs)
        })
    }

    /// One run.
    ///
    /// # Errors
    /// The store cannot be read; or has no such run.
    pub fn run(&self, id: RunId) -> Result<RunView, StoreError> {
        let found = self.view("read a run", |conn| run_by_id(conn, id))?;
        found.map(|(_, run)| run).ok_or_else(|| not_found(id))
    }

    /// One run with its tasks.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_detail(&self, id: RunId) -> Result<RunDetail, StoreError> {
        let found = self.view("read a run", |conn| {
            let Some((key, run)) = run_by_id(conn, id)? else { return Ok(None) };
            let params: BTreeMap<String, Value> = conn
                .prepare_cached("SELECT params FROM run_facts WHERE run = ?1")?
                .query_row([key], |row| Ok(json(row, 0)))
                .optional()?
                .transpose()?
                .unwrap_or_default();
            Ok(Some(RunDetail { run, params, tasks: tasks(conn, key)? }))
        })?;
        found.ok_or_else(|| not_found(id))
    }

    /// One run with what people are shown of its tasks at a glance: those that run, those that wait for an approval, and the
    /// first `failed_max` that did not end well, in the order of the file and without what they need. What it costs
    /// hardly grows with the run.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_at_a_glance(&self, id: RunId, failed_max: u32) -> Result<RunDetail, StoreError> {
        self.run_showing(
            id,
            "t.idx IN (
                SELECT idx FROM tasks WHERE run = ?1 AND state IN ('running', 'processing')
                UNION SELECT idx FROM approvals WHERE run = ?1
                UNION SELECT idx FROM (SELECT idx FROM tasks WHERE run = ?1 AND state IN ('failed', 'error')
                    ORDER BY idx LIMIT ?2))",
            &failed_max,
        )
    }

    /// One run with the tasks of these names, without what they need. Names that it does not have are left out.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_with_tasks(&self, id: RunId, names: &[String]) -> Result<RunDetail, StoreError> {
        let names = Value::from(names).to_string();
        self.run_showing(id, "t.id IN (SELECT value FROM json_each(?2))", &names)
    }

    /// One run with some of its tasks: those of which `which` holds, in the order of the file.
    fn run_showing(&self, id: RunId, which: &str, given: &dyn ToSql) -> Result<RunDetail, StoreError> {
        let found = self.view("read a run", |conn| {
            let Some((key, run)) = run_by_id(conn, id)? else { return Ok(None) };
            let mut read =
                conn.prepare_cached(&format!("{TASK} WHERE t.run = ?1 AND {which} ORDER BY t.idx"))?;
            let mut rows = read.query(rusqlite::params![key, given])?;
            let mut tasks = Vec::new();
            while let Some(row) = rows.next()? {
                tasks.push(task_view(row)?);
            }
            Ok(Some(RunDetail { run, params: BTreeMap::new(), tasks }))
        })?;
        found.ok_or_else(|| not_found(id))
    }

    /// The blob of its file.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_spec(&self, id: RunId) -> Result<BlobId, StoreError> {
        let found = self.view("read a run", |conn| {
            let sql = "SELECT f.spec FROM run_facts f JOIN runs r ON r.key = f.run WHERE r.id = ?1";
            let mut read = conn.prepare_cached(sql)?;
            Ok(read.query_row([id.0.to_bytes()], |row| row.get::<_, String>(0)).optional()?)
        })?;
        found.map(BlobId).ok_or_else(|| not_found(id))
    }

    /// Returns how far each task of a run is, as the table of tasks has it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn progress(&self, run: RunId) -> Result<BTreeMap<TaskId, Progress>, StoreError> {
        self.view("read how far a run is", |conn| progress(conn, run))
    }

    /// Every run that has not ended, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open_runs(&self) -> Result<Vec<OpenRun>, StoreError> {
        self.view("find open runs", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT id, state, spec, base_env, workdir, key, owner
                 FROM runs JOIN run_facts ON run_facts.run = runs.key
                 WHERE ended_ms IS NULL ORDER BY key",
            )?;
            let mut rows = read.query(())?;
            let mut open = Vec::new();
            while let Some(row) = rows.next()? {
                open.push(OpenRun {
                    run: RunId(ulid(row, 0)?),
                    state: named(row, 1, RunState::parse)?,
                    spec: BlobId(row.get(2)?),
                    base_env: row.get::<_, Option<String>>(3)?.map(BlobId),
                    workdir: row.get(4)?,
                    created: row.get(5)?,
                    owner: NodeDid(row.get(6)?),
                });
            }
            Ok(open)
        })
    }
}

fn not_found(id: RunId) -> StoreError {
    StoreError::NotFound { what: "run", name: id.to_string() }
}

fn run_by_id(conn: &Connection, id: RunId) -> Result<Option<(i64, RunView)>, RowError> {
    let mut read = conn.prepare_cached(&format!("{RUN} WHERE id = ?1"))?;
    let mut rows = read.query([id.0.to_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some((row.get(0)?, run_view(row)?)))
}

fn run_view(row: &Row<'_>) -> Result<RunView, RowError> {
    Ok(RunView {
        id: RunId(ulid(row, 1)?),
        dag: row.get(2)?,
        state: named(row, 3, RunState::parse)?,
        mode: named(row, 4, ExecutionMode::parse)?,
        source: row.get(5)?,
        created_ms: row.get(6)?,
        started_ms: row.get(7)?,
        retried_ms: row.get(16)?,
        ended_ms: row.get(8)?,
        detail: row.get(9)?,
        cancelling: row.get(10)?,
        counts: json::<TaskCounts>(row, 11)?,
        approvals: json(row, 13)?,
        room: row.get(14)?,
        node: NodeDid(row.get(15)?),
        last_offset: row.get::<_, Option<Offset>>(12)?.unwrap_or(0),
    })
}

fn tasks(conn: &Connection, key: i64) -> Result<Vec<TaskView>, RowError> {
    let mut read = conn.prepare_cached(&format!("{TASK} WHERE t.run = ?1 ORDER BY t.idx"))?;
    let mut rows = read.query([key])?;
    let mut tasks = Vec::new();
    let mut needs: Vec<Vec<usize>> = Vec::new();
    let mut lists: Vec<(usize, u32)> = Vec::new();
    while let Some(row) = rows.next()? {
        lists.extend(row.get::<_, Option<u32>>(11)?.map(|count| (tasks.len(), count)));
        tasks.push(task_view(row)?);
        needs.push(json(row, 9)?);
    }
    gates::gather_outputs(&mut tasks, &lists);
    let names: Vec<TaskId> = tasks.iter().map(|task| task.id.clone()).collect();
    for (task, needs) in tasks.iter_mut().zip(needs) {
        task.needs = needs.into_iter().filter_map(|idx| names.get(idx)).cloned().collect();
    }
    Ok(tasks)
}

/// A task without its needs.
fn task_view(row: &Row<'_>) -> Result<TaskView, RowError> {
    let state = named(row, 1, TaskState::parse)?;
    let reason: Option<String> = row.get(4)?;
    Ok(TaskView {
        id: task(row, 0)?,
        state,
        needs: Vec::new(),
        // The file says it.
        agent: None,
        attempts: row.get(2)?,
        // Read for runs of rooms only.
        node: None,
        session: maybe_ulid(row, 3)?.map(SessionId),
        started_ms: row.get(5)?,
        ended_ms: row.get(6)?,
        exit_code: row.get(7)?,
        reason: reason.or_else(|| (state == TaskState::Queued).then(|| TURN.to_owned())),
        outputs: json(row, 8)?,
        outputs_omitted: false,
        artifacts: json(row, 10)?,
        artifacts_omitted: false,
        approval: row
            .get::<_, Option<String>>(12)?
            .map(|prompt| Ok::<_, RowError>(ApprovalView { prompt, until_ms: row.get(13)?, allowed: None }))
            .transpose()?,
        said: said(row)?,
        waits: waits(row)?,
    })
}

/// What the session of its newest try told last.
fn said(row: &Row<'_>) -> Result<Option<SaidView>, RowError> {
    let Some(text) = row.get::<_, Option<String>>(15)? else { return Ok(None) };
    let kind = named(row, 14, SaidKind::parse)?;
    Ok(Some(SaidView { kind, text, percent: row.get(16)?, at_ms: row.get(17)? }))
}

/// What its session waits for.
fn waits(row: &Row<'_>) -> Result<Option<WaitsView>, RowError> {
    let Some(item) = row.get::<_, Option<String>>(18)? else { return Ok(None) };
    let kind = named(row, 19, PromptKind::parse)?;
    Ok(Some(WaitsView { item: InboxId(item), kind, question: row.get(20)?, since_ms: row.get(21)? }))
}

/// A run as a candidate: its short name with what tells it from others.
pub(super) fn describe(row: &Row<'_>) -> Result<String, RowError> {
    let id = RunId(ulid(row, 0)?);
    Ok(format!("{} ({}, {})", id, text(row, 1)?, text(row, 2)?))
}
