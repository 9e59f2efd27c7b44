//! Whether a store is sound: its pages, its events, and its tables against its events.

use std::fs::File;
use std::ops::RangeInclusive;
use std::path::{Path, absolute};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Row};

use super::gaps;
use super::pages::Pages;
use super::rebuild::{self, RebuildReport};
use super::refuse;
use super::salvage::{self, LostEvents, NamedRun, Saved};
use super::wal;
use super::{Folded, fold, tasks_of_rows};
use crate::error::{RowError, StoreError};
use crate::reader::Readers;
use crate::schema;

/// So many findings of a kind are told one by one.
const FINDINGS_MAX: usize = 20;

/// The tables that are projected, with the columns that events decide.
pub(crate) const PROJECTED: &[(&str, &str)] = &[
    (
        "runs",
        "key, id, dag, source, state, mode, owner, room, parent, epoch, created_ms, started_ms, ended_ms,
         detail, cancelling, counts, retried_ms",
    ),
    ("run_facts", "run, spec, params, workdir, base_env, max_parallel, seeded"),
    ("tasks", "run, idx, id, state, attempts, session, reason"),
    ("task_needs", "run, idx, needs"),
    ("task_outputs", "run, idx, outputs"),
    ("task_artifacts", "run, idx, artifacts"),
    ("task_items", "run, idx, count"),
    ("approvals", "run, idx, prompt, until_ms"),
    ("node_groups", "name, places, frees_when_blocked"),
    ("policy_rules", "number, rule, by, since_ms"),
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
    /// What the findings mean.
    pub verdict: Verdict,
}

impl CheckReport {
    /// The report on a store of which nothing is left. `why` says so.
    #[must_use]
    pub fn of_nothing(why: &str) -> Self {
        let lost = Losses { end: true, tables: vec!["everything".to_owned()], ..Losses::default() };
        Self {
            events: 0,
            unknown_events: 0,
            findings: vec![why.to_owned()],
            verdict: Verdict::Damaged { node: Err(why.to_owned()), lost: Some(lost) },
        }
    }
}

/// What the findings mean for a node and for a rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Sound,
    /// Something is damaged.
    Damaged {
        /// Whether a node can start, which then fails only where it reads damaged pages; otherwise why it
        /// cannot.
        node: Result<(), String>,
        /// What a rebuild would lose; none: unknown while a node uses the store.
        lost: Option<Losses>,
    },
}

/// What a rebuild would lose. If everything is empty: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Events that cannot be read.
    pub events: Vec<LostEvents>,
    /// Whether events may be missing after the last readable one; their number is unknown.
    pub end: bool,
    /// Damaged tables that cannot be restored from events.
    pub tables: Vec<String>,
    /// Open runs that would end with an error, because they lack events, or may lack some.
    pub ended: Vec<NamedRun>,
    /// Runs that have ended and lack events.
    pub incomplete: Vec<NamedRun>,
}

/// Checks the store at `path`, also while a node uses it: every page, every event, and whether the tables
/// are what the events say. `quick` leaves out the comparison of indices with their tables.
///
/// # Errors
/// There is no store there, or it belongs to another version. Damage is no error here: it is reported.
pub fn check(path: &Path, quick: bool) -> Result<CheckReport, StoreError> {
    let path = absolute(path).map_err(|e| StoreError::io(path, &e))?;
    schema::refuse_special(&path)?;
    refuse::refuse_missing(&path)?;
    let mut report =
        CheckReport { events: 0, unknown_events: 0, findings: Vec::new(), verdict: Verdict::Sound };
    // None: a node runs, which has read the log. Otherwise the log is read before SQLite opens it.
    let lock = schema::lock(&path).ok();
    if lock.is_some()
        && let Some(orphan) = refuse::orphan(&path)?
    {
        report.findings.push(orphan.clone());
        report.verdict = Verdict::Damaged { node: Err(orphan), lost: Some(losses_of_orphan(&path)?) };
        return Ok(report);
    }
    let log_damage = match &lock {
        Some(_) => Pages::open(&path).map_err(|e| StoreError::io(&path, &e))?.log_damage,
        None => None,
    };
    let index = lock.as_ref().map(|_| schema::private_index(&path));
    let mut is_counted = true;
    match look(&path, quick, &mut report) {
        Ok(()) => {}
        Err(error) if is_damage(&error) => {
            let detail = match error {
                StoreError::Corrupt { detail, .. } => detail,
                StoreError::Value { what, detail } => format!("a {what}: {detail}"),
                StoreError::Refused { doing, detail, .. } => format!("it cannot {doing}: {detail}"),
                error => error.to_string(),
            };
            report.findings.push(format!("cannot read the store to its end: {detail}"));
            is_counted = report.events > 0;
        }
        Err(error) => return Err(error),
    }
    report.findings.splice(0..0, log_damage.clone());
    if report.findings.is_empty() {
        return Ok(report);
    }
    let node = log_damage.map_or_else(|| starts(&path), Err);
    drop(index);
    let lost = lock.as_ref().and_then(|lock| match losses(&path, lock) {
        Ok((lost, saved)) => {
            if !is_counted {
                report.events = saved;
            }
            Some(lost)
        }
        Err(error) => {
            report.findings.push(format!(
                "cannot say what a rebuild would lose, because it cannot be tried in a temporary file: {error}; set \
                 SQLITE_TMPDIR to a directory with as much space as the database needs"
            ));
            None
        }
    });
    report.verdict = Verdict::Damaged { node, lost };
    Ok(report)
}

/// Whether an error means that the file is damaged.
fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Corrupt { .. } | StoreError::Value { .. } | StoreError::Refused { .. })
}

/// Reads what a node reads at its start. The error says why a node cannot start.
fn starts(path: &Path) -> Result<(), String> {
    let start = || {
        let reader = Readers::open(path)?.get()?;
        reader.last_offset()?;
        reader.node_groups()?;
        reader.node_rules()?;
        reader.open_runs().map(drop)
    };
    start().map_err(|error: StoreError| match error {
        StoreError::Corrupt { detail, .. } => detail,
        error => error.to_string(),
    })
}

/// Returns what a rebuild would lose and how many events it would save, by doing one in a database that is thrown away. This process must
/// have no connection to the store, but its lock.
fn losses(path: &Path, _lock: &File) -> Result<(Losses, u64), StoreError> {
    let RebuildReport { events, lost, end_lost, torn_tables, ended, incomplete, .. } =
        rebuild::try_out(path)?;
    Ok((Losses { events: lost, end: end_lost, tables: torn_tables, ended, incomplete }, events))
}

/// Returns what a rebuild from the write-ahead log alone would lose at most.
fn losses_of_orphan(path: &Path) -> Result<Losses, StoreError> {
    if wal::has_all_pages(path).map_err(|e| StoreError::io(path, &e))? {
        return Ok(Losses::default());
    }
    let (found, log_torn) = salvage::scan(path, &mut |_| Ok(()))?;
    let Saved { lost, end_lost, open, ended, .. } = salvage::losses(None, &found, log_torn);
    let tables = vec!["everything".to_owned()];
    Ok(Losses { events: lost, end: end_lost, tables, ended: open, incomplete: ended })
}

fn look(path: &Path, quick: bool, report: &mut CheckReport) -> Result<(), StoreError> {
    let reader = schema::open_reader(path)?;
    let version = schema::version(path, &reader)?;
    pages(path, &reader, quick, report)?;
    if version != schema::newest() || schema::has_gaps_of_older(path, &reader)? {
        // Its tables have another shape until a node opens it, lack what an earlier version did not project, or have what a later
        // version projected; its pages were checked.
        return Ok(());
    }
    drop(reader);
    let (conn, folded) = refold(path)?;
    report.events = folded.events;
    report.unknown_events = folded.unknown;
    let bad = folded.bad.len();
    let told = folded.bad.into_iter().take(FINDINGS_MAX);
    report.findings.extend(told.map(|(offset, why)| format!("event {offset} cannot be read: {why}")));
    if bad > FINDINGS_MAX {
        report.findings.push(format!("and {} more such events", bad - FINDINGS_MAX));
    }
    report.findings.extend(missing(&conn).map_err(|e| StoreError::sql(path, "look for missing events", &e))?);
    for (table, columns) in PROJECTED {
        match differences(&conn, table, columns) {
            Ok(0) => {}
            Ok(differ) => {
                report.findings.push(format!("{differ} rows of table {table} are not what the events say"));
            }
            Err(error) => {
                let error = StoreError::sql(path, "compare its tables with its events", &error);
                if !is_damage(&error) {
                    return Err(error);
                }
                report.findings.push(format!("the table {table} cannot be read to its end"));
            }
        }
    }
    for table in salvage::torn(&conn, "live").map_err(|e| e.at(path, "read its tables"))? {
        report.findings.push(format!("the table {table} has rows that cannot be read"));
    }
    Ok(())
}

fn pages(path: &Path, conn: &Connection, quick: bool, report: &mut CheckReport) -> Result<(), StoreError> {
    let sql = if quick { "PRAGMA quick_check(20)" } else { "PRAGMA integrity_check(20)" };
    // A message about a damaged page may quote its content.
    let line = |row: &Row<'_>| {
        row.get_ref(0).map(|text| String::from_utf8_lossy(text.as_bytes().unwrap_or_default()).into_owned())
    };
    let read = || -> rusqlite::Result<Vec<String>> { conn.prepare(sql)?.query_map((), line)?.collect() };
    let lines = read().map_err(|e| StoreError::sql(path, "check its pages", &e))?;
    report.findings.extend(lines.into_iter().filter(|line| line != "ok"));
    Ok(())
}

/// A private database in which everything is projected anew, with the store attached as `live`. Both are
/// held in one transaction: a node may go on writing meanwhile.
fn refold(path: &Path) -> Result<(Connection, Folded), StoreError> {
    let private = |e: rusqlite::Error| StoreError::sql(path, "make a private copy", &e);
    let mut conn = schema::private_database(path)?;
    // A check changes nothing, so it leaves the write-ahead log of a crash in place.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(private)?;
    schema::migrate(path, &mut conn, schema::MIGRATIONS, schema::WORKS_FROM)?;
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

/// Names the events that were removed.
fn missing(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut read = conn.prepare("SELECT offset FROM live.events ORDER BY offset")?;
    let offsets = read.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let known = gaps::read(conn, "live")?;
    let named = |gap: RangeInclusive<i64>| match (gap.start(), gap.end()) {
        (one, last) if one == last => format!("event {one} is missing"),
        (first, last) => format!("events {first} to {last} are missing"),
    };
    Ok(gaps::without(&offsets, &known).into_iter().map(named).collect())
}

/// Rows that only one of the two has.
fn differences(conn: &Connection, table: &str, columns: &str) -> rusqlite::Result<i64> {
    // The sessions of a run that another node has told anew stay, but its former tasks, whose order is in no event, do
    // not: these sessions cannot be projected again as they are.
    let known = match table {
        "sessions" => "WHERE run IS NULL OR run IN (SELECT key FROM main.runs)",
        _ => "",
    };
    let only = |one: &str, other: &str| {
        format!(
            "SELECT count(*) FROM
                (SELECT {columns} FROM {one}.{table} {known} EXCEPT SELECT {columns} FROM {other}.{table} {known})"
        )
    };
    let count = |sql: String| conn.query_row(&sql, (), |row| row.get::<_, i64>(0));
    Ok(count(only("main", "live"))?.max(count(only("live", "main"))?))
}
