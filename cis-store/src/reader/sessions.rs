//! Sessions and attempts, as clients get them.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use super::{PAGE_MAX, Reader};
use crate::error::{RowError, StoreError};
use crate::values::{json, maybe_ulid, named, task, ulid};
use cis_core::api::{ListSessions, Listing, SessionView, TermSize};
use cis_core::event::SessionState;
use cis_core::ids::{Fence, NodeDid, RunId, SessionId, TaskId, TimestampMs};

/// What a view of a session is read from.
const COLUMNS: &str = "s.id, r.id, t.id, s.attempt, s.name, s.state, s.pid, s.tty, s.cols, s.rows, s.command,
    s.created_ms, s.ended_ms, s.exit_code, s.detail";

/// Its tables.
const FROM: &str =
    "sessions s LEFT JOIN runs r ON r.key = s.run LEFT JOIN tasks t ON t.run = s.run AND t.idx = s.task";

/// Ids of all live sessions. Those of attempts are found through the tasks of open runs, so that starting
/// and ending an attempt touches no index for it. The cross join keeps SQLite from looking at the tasks of
/// every run there ever was.
pub(crate) const LIVE: &str =
    "SELECT x.session FROM runs y INDEXED BY runs_open CROSS JOIN tasks x ON x.run = y.key
        WHERE y.ended_ms IS NULL AND x.state IN ('running', 'processing')
    UNION ALL SELECT id FROM sessions WHERE run IS NULL AND ended_ms IS NULL";

/// An attempt of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptView {
    /// Which try, from 1.
    pub number: u32,
    /// Of its grant.
    pub fence: Fence,
    /// Its session.
    pub session: SessionId,
    /// DID of the node that it was granted to.
    pub node: String,
    /// State of its session.
    pub state: SessionState,
    /// succeeded, failed, error or cancelled; none: it has not ended.
    pub outcome: Option<String>,
    /// What there is to say about that.
    pub detail: Option<String>,
    /// Where its process called exit.
    pub exit_code: Option<i32>,
    /// When it was granted, Unix ms.
    pub granted_ms: TimestampMs,
    /// When its process started.
    pub started_ms: Option<TimestampMs>,
    /// When it ended.
    pub ended_ms: Option<TimestampMs>,
    /// Bytes of output, those cut from the log included.
    pub log_bytes: Option<u64>,
    /// Path of the log, where one was set.
    pub log: Option<String>,
}

impl Reader {
    /// Returns the arguments that a standalone session was asked to run. `None`: the store has no such
    /// request.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn session_argv(&self, session: SessionId) -> Result<Option<Vec<String>>, StoreError> {
        self.view("read what a session runs", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT e.body ->> '$.argv' FROM sessions s JOIN events e INDEXED BY events_audit
                    ON e.at_ms = s.created_ms AND e.actor IS NOT NULL
                 WHERE s.id = ?1 AND e.type = 'cis.dag.session.created' AND e.body ->> '$.session' = ?2",
            )?;
            let mut rows = read.query(params![session.0.to_bytes(), session.to_string()])?;
            rows.next()?.map(|row| json(row, 0)).transpose()
        })
    }

    /// Sessions, newest first, at most 1,000 at a time: the live ones, or with `all` every one, of all runs and
    /// those without, or of `run` alone (`query.run` is a name: whoever calls has found its id).
    ///
    /// # Errors
    /// The store cannot be read; or `query.after` is not one that a listing gave.
    pub fn list_sessions(
        &self,
        query: &ListSessions,
        run: Option<RunId>,
    ) -> Result<Listing<SessionView>, StoreError> {
        let id = run.map(|run| run.0.to_bytes());
        let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        // Nothing is newer than this id.
        let before = match &query.after {
            Some(after) => {
                after.parse::<SessionId>().map_err(|_| StoreError::NoSuchPage { after: after.clone() })?
            }
            None => SessionId::from_parts(u64::MAX, u128::MAX),
        };
        let before = before.0.to_bytes();
        let live = format!("s.id IN ({LIVE}) AND s.ended_ms IS NULL AND s.id < ?1");
        let standalone = if query.standalone { " AND s.run IS NULL" } else { "" };
        let mut items = self.view("list sessions", |conn| match (query.all, id) {
            (false, None) => page(conn, &format!("{live}{standalone}"), &[&before], limit + 1),
            (false, Some(run)) => {
                page(conn, &format!("{live} AND r.id = ?2{standalone}"), &[&before, &run], limit + 1)
            }
            (true, None) => page(conn, &format!("s.id < ?1{standalone}"), &[&before], limit + 1),
            (true, Some(run)) => page(conn, &format!("{OF_RUN}{standalone}"), &[&before, &run], limit + 1),
        })?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| more).map(|last| last.id.to_string());
        Ok(Listing { items, next })
    }

    /// All live sessions without a run, newest first, however many there are.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn live_standalone(&self) -> Result<Vec<SessionView>, StoreError> {
        let live = "s.id IN (SELECT id FROM sessions WHERE run IS NULL AND ended_ms IS NULL)";
        self.view("list sessions", |conn| page(conn, live, &[], u32::MAX))
    }

    /// One session.
    ///
    /// # Errors
    /// The store cannot be read; or has no such session.
    pub fn session(&self, id: SessionId) -> Result<SessionView, StoreError> {
        let bytes = id.0.to_bytes();
        let mut found = self.view("read a session", |conn| select(conn, "s.id = ?1", &[&bytes]))?;
        found.pop().ok_or_else(|| StoreError::NotFound { what: "session", name: id.to_string() })
    }

    /// Returns why a session ended before it had a process. `None`: it was started, or is still waiting to start.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn session_not_started(&self, id: SessionId) -> Result<Option<String>, StoreError> {
        self.view("read a session", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT detail FROM sessions WHERE id = ?1 AND started_ms IS NULL AND ended_ms IS NOT NULL",
            )?;
            let mut rows = read.query([id.0.to_bytes()])?;
            let detail = rows.next()?.map(|row| row.get::<_, Option<String>>(0)).transpose()?;
            Ok(detail.map(Option::unwrap_or_default))
        })
    }

    /// Path of a session's log, where one was set.
    ///
    /// # Errors
    /// As [`Self::session`].
    pub fn session_log(&self, id: SessionId) -> Result<Option<String>, StoreError> {
        let found = self.view("read a session", |conn| {
            let mut read = conn.prepare_cached("SELECT log FROM sessions WHERE id = ?1")?;
            let mut rows = read.query([id.0.to_bytes()])?;
            rows.next()?.map(|row| row.get::<_, Option<String>>(0)).transpose().map_err(RowError::from)
        })?;
        found.ok_or_else(|| StoreError::NotFound { what: "session", name: id.to_string() })
    }

    /// Returns the number of bytes that a session wrote, including those missing from its log. `None`: the
    /// session has not ended.
    ///
    /// # Errors
    /// As [`Self::session`].
    pub fn session_output(&self, id: SessionId) -> Result<Option<u64>, StoreError> {
        self.view("read a session", |conn| {
            let mut read = conn.prepare_cached("SELECT log_bytes FROM sessions WHERE id = ?1")?;
            let mut rows = read.query([id.0.to_bytes()])?;
            let bytes = rows.next()?.map(|row| row.get::<_, Option<u64>>(0)).transpose()?;
            Ok(bytes.flatten())
        })
    }

    /// The node that has a session of a run; none: it is of no run, or not known.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn node_of(&self, session: SessionId) -> Result<Option<NodeDid>, StoreError> {
        let node: Option<String> = self.view("read the node of a session", |conn| {
            Ok(conn
                .prepare_cached(
                    "SELECT p.node FROM sessions s JOIN places p ON p.key = s.place WHERE s.id = ?1",
                )?
                .query_row([session.0.to_bytes()], |row| row.get(0))
                .optional()?)
        })?;
        Ok(node.filter(|node| !node.is_empty()).map(NodeDid))
    }

    /// The nodes that have or had the newest attempts of a run's tasks.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn nodes_of(&self, run: RunId) -> Result<BTreeMap<TaskId, NodeDid>, StoreError> {
        self.view("read the nodes of a run", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT t.id, p.node FROM runs r JOIN tasks t ON t.run = r.key
                    JOIN sessions s ON s.id = t.session JOIN places p ON p.key = s.place
                 WHERE r.id = ?1 AND p.node <> ''",
            )?;
            let mut rows = read.query([run.0.to_bytes()])?;
            let mut nodes = BTreeMap::new();
            while let Some(row) = rows.next()? {
                nodes.insert(task(row, 0)?, NodeDid(row.get(1)?));
            }
            Ok(nodes)
        })
    }

    /// The attempts of a task, newest first; empty where the task was never granted or is not there.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn attempts(&self, run: RunId, task: &TaskId) -> Result<Vec<AttemptView>, StoreError> {
        self.view("read attempts", |conn| {
            let mut read = conn.prepare_cached(
                "WITH RECURSIVE chain (id) AS (
                    SELECT t.session FROM tasks t JOIN runs r ON r.key = t.run WHERE r.id = ?1 AND t.id = ?2
                    UNION SELECT s.prev FROM chain c JOIN sessions s ON s.id = c.id)
                 SELECT s.attempt, s.fence, s.id, p.node, s.state, s.outcome, s.detail, s.exit_code,
                    s.created_ms, s.started_ms, s.ended_ms, s.log_bytes, s.log
                 FROM chain c JOIN sessions s ON s.id = c.id LEFT JOIN places p ON p.key = s.place
                 ORDER BY s.attempt DESC LIMIT ?3",
            )?;
            let mut rows = read.query(params![run.0.to_bytes(), task.as_str(), PAGE_MAX])?;
            let mut attempts = Vec::new();
            while let Some(row) = rows.next()? {
                attempts.push(attempt_view(row)?);
            }
            Ok(attempts)
        })
    }
}

/// Every session of the run `?2`: those of its tasks' newest attempts, and the ones before them.
const OF_RUN: &str = "s.id < ?1 AND s.id IN (WITH RECURSIVE chain (id) AS (
        SELECT x.session FROM tasks x JOIN runs y ON y.key = x.run WHERE y.id = ?2
        UNION SELECT z.prev FROM chain c JOIN sessions z ON z.id = c.id)
    SELECT id FROM chain WHERE id IS NOT NULL)";

/// Sessions that `which` is true of, newest first.
pub(super) fn select(
    conn: &Connection,
    which: &str,
    params: &[&dyn ToSql],
) -> Result<Vec<SessionView>, RowError> {
    page(conn, which, params, PAGE_MAX)
}

/// The same, so many.
fn page(
    conn: &Connection,
    which: &str,
    params: &[&dyn ToSql],
    limit: u32,
) -> Result<Vec<SessionView>, RowError> {
    let mut read = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM {FROM} WHERE {which} ORDER BY s.id DESC LIMIT {limit}"
    ))?;
    let mut rows = read.query(params)?;
    let mut sessions = Vec::new();
    while let Some(row) = rows.next()? {
        sessions.push(session_view(row)?);
    }
    Ok(sessions)
}

fn session_view(row: &Row<'_>) -> Result<SessionView, RowError> {
    let (cols, rows): (Option<u16>, Option<u16>) = (row.get(8)?, row.get(9)?);
    let has_task = row.get_ref(2)? != rusqlite::types::ValueRef::Null;
    Ok(SessionView {
        id: SessionId(ulid(row, 0)?),
        run: maybe_ulid(row, 1)?.map(RunId),
        task: has_task.then(|| task(row, 2)).transpose()?,
        attempt: row.get(3)?,
        name: row.get(4)?,
        state: named(row, 5, SessionState::parse)?,
        // Of a process of another machine no pid is told.
        pid: row.get::<_, Option<u32>>(6)?.filter(|pid| *pid != 0),
        tty: row.get(7)?,
        size: cols.zip(rows).map(|(cols, rows)| TermSize { cols, rows }),
        command: row.get::<_, Option<String>>(10)?.unwrap_or_default(),
        created_ms: row.get(11)?,
        ended_ms: row.get(12)?,
        exit_code: row.get(13)?,
        detail: row.get(14)?,
    })
}

fn attempt_view(row: &Row<'_>) -> Result<AttemptView, RowError> {
    Ok(AttemptView {
        number: row.get(0)?,
        fence: row.get(1)?,
        session: SessionId(ulid(row, 2)?),
        node: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
        state: named(row, 4, SessionState::parse)?,
        outcome: row.get(5)?,
        detail: row.get(6)?,
        exit_code: row.get(7)?,
        granted_ms: row.get(8)?,
        started_ms: row.get(9)?,
        ended_ms: row.get(10)?,
        log_bytes: row.get(11)?,
        log: row.get(12)?,
    })
}
