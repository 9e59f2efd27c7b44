//! Whether a store is sound: its pages, its events, and its tables against its events.

use std::path::{Path, absolute};

use rusqlite::Connection;

use super::{Folded, fold, tasks_of_rows};
use crate::store::error::{RowError, StoreError};
use crate::store::schema;

/// So many findings of a kind are told one by one.
const FINDINGS_MAX: usize = 20;

/// The tables that are projected, with the columns that events decide.
pub(in crate::store) const PROJECTED: &[(&str, &str)] = &[
    (
        "runs",
        "key, id, dag, source, state, mode, owner, room, parent, epoch, created_ms, started_ms, ended_ms,
         detail, cancelling, counts",
    ),
    ("run_facts", "run, spec, params, workdir, base_env, max_parallel, seeded"),
    ("tasks", "run, idx, id, state, attempts, session, reason"),
    ("task_needs", "run, idx, needs"),
    ("task_outputs", "run, idx, outputs"),
    ("task_artifacts", "run, idx, artifacts"),
    ("task_items", "run, idx, count"),
    ("approvals", "run, idx, prompt, until_ms"),
    ("node_groups", "name, places, frees_when_blocked"),
    (
        "sessions",
        "id, run, task, attempt, fence, prev, place, name, state, pid, created_ms, started_ms, ended_ms,
         exit_code, outcome, detail, log_bytes",
    ),
    ("places", "key, node, host"),
    (
        "inbox",
        "key, id, run, task, session, kind, question, options, since_ms, confidence, layer, episode, hash,
         screen, ask, ask_type, urgency, thread, waits, waited, until_ms, answered_ms, answer, input, closed_ms,
         closed, detail",
    ),
    ("thread_messages", "key, session, thread, at_ms, by, what, text, item"),
    ("session_said", "session, kind, text, percent, at_ms"),
];

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// Events that were read.
    pub events: u64,
    /// Of those, of types that this version does not know: no fault.
    pub unknown_events: u64,
    /// What is wrong, in words. Empty: the store is sound.
    pub findings: Vec<String>,
}

/// Checks the store at `path`, also while a node uses it: every page, every event, and whether the tables
/// are what the events say. `quick` leaves out the comparison of indices with their tables.
///
/// # Errors
/// There is no store there, or it belongs to another version. Damage is no error here: it is reported.
pub fn check(path: &Path, quick: bool) -> Result<CheckReport, StoreError> {
    let path = absolute(path).map_err(|e| StoreError::io(path, &e))?;
    let mut report = CheckReport { events: 0, unknown_events: 0, findings: Vec::new() };
    match look(&path, quick, &mut report) {
        Ok(()) => Ok(report),
        Err(StoreError::Corrupt { detail, .. }) => {
            report.findings.push(format!("reading it ended at damage: {detail}"));
            Ok(report)
        }
        Err(StoreError::Value { what, detail }) => {
            report.findings.push(format!("a {what} cannot be read: {detail}"));
            Ok(report)
        }
        Err(error) => Err(error),
    }
}

fn look(path: &Path, quick: bool, report: &mut CheckReport) -> Result<(), StoreError> {
    let reader = schema::open_reader(path)?;
    let version = schema::version(path, &reader)?;
    pages(path, &reader, quick, report)?;
    drop(reader);
    if version < schema::newest() {
        // Its tables have another shape until a node opens it; its pages were checked.
        return Ok(());
    }
    let (conn, folded) = refold(path)?;
    report.events = folded.events;
    report.unknown_events = folded.unknown;
    let bad = folded.bad.len();
    let told = folded.bad.into_iter().take(FINDINGS_MAX);
    report.findings.extend(told.map(|(offset, why)| format!("event {offset} cannot be read: {why}")));
    if bad > FINDINGS_MAX {
        report.findings.push(format!("and {} more such events", bad - FINDINGS_MAX));
    }
    for (table, columns) in PROJECTED {
        let differ = differences(&conn, table, columns)
            .map_err(|e| StoreError::sql(path, "compare its tables with its events", &e))?;
        if differ > 0 {
            report.findings.push(format!("{differ} rows of table {table} are not what the events say"));
        }
    }
    Ok(())
}

fn pages(path: &Path, conn: &Connection, quick: bool, report: &mut CheckReport) -> Result<(), StoreError> {
    let sql = if quick { "PRAGMA quick_check(20)" } else { "PRAGMA integrity_check(20)" };
    let read =
        || -> rusqlite::Result<Vec<String>> { conn.prepare(sql)?.query_map((), |row| row.get(0))?.collect() };
    let lines = read().map_err(|e| StoreError::sql(path, "check its pages", &e))?;
    report.findings.extend(lines.into_iter().filter(|line| line != "ok"));
    Ok(())
}

/// A private database in which everything is projected anew, with the store attached as `live`. Both are
/// held in one transaction: a node may go on writing meanwhile.
fn refold(path: &Path) -> Result<(Connection, Folded), StoreError> {
    let mut conn = Connection::open("").map_err(|e| StoreError::sql(path, "make a private copy", &e))?;
    schema::migrate(path, &mut conn, schema::MIGRATIONS)?;
    let sql = |e: rusqlite::Error| StoreError::sql(path, "read it", &e);
    let name = path.to_str().ok_or_else(|| StoreError::Io {
        path: path.to_owned(),
        detail: "its path is not UTF-8".to_owned(),
    })?;
    conn.execute("ATTACH ?1 AS live", [name]).map_err(sql)?;
    conn.execute_batch("BEGIN").map_err(sql)?;
    let folded = fold(&conn, "live", |run, _| tasks_of_rows(&conn, "live", run).ok())
        .map_err(|e: RowError| e.at(path, "project its events anew"))?;
    Ok((conn, folded))
}

/// Rows that only one of the two has.
fn differences(conn: &Connection, table: &str, columns: &str) -> rusqlite::Result<i64> {
    let only = |one, other| {
        format!(
            "SELECT count(*) FROM
                (SELECT {columns} FROM {one}.{table} EXCEPT SELECT {columns} FROM {other}.{table})"
        )
    };
    let count = |sql: String| conn.query_row(&sql, (), |row| row.get::<_, i64>(0));
    Ok(count(only("main", "live"))?.max(count(only("live", "main"))?))
}
