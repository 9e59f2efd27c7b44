//! Rebuilds a store from the readable parts of the old one.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use ulid::Ulid;

use super::gaps;
use super::refuse;
use super::salvage::{self, LostEvents, NamedRun, Saved};
use super::{Folded, fold, tasks_of_rows};
use crate::append::{insert_event, newest};
use crate::error::{RowError, StoreError};
use crate::facts::TaskSeed;
use crate::progress::{first_ahead, progress};
use crate::projector::{Beside, Place, Projector};
use crate::schema::{self, Sharing, beside, flush};
use crate::values::ulid;
use cis_core::event::{EventBody, EventDraft, RunCreated};
use cis_core::ids::RunId;

/// What became of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildReport {
    /// Events that are in the new store.
    pub events: u64,
    /// Events that could not be read.
    pub lost: Vec<LostEvents>,
    /// The last events could not be read, either; how many they were is not known.
    pub end_lost: bool,
    /// Events that are kept, but whose body says nothing to this version.
    pub silent_events: u64,
    /// Damaged tables that cannot be restored from events; [`super::lost_with`] says what is lost with them.
    pub torn_tables: Vec<String>,
    /// Open runs that were ended because some of their events are lost, or may be.
    pub ended: Vec<NamedRun>,
    /// Runs that had ended before and lack events.
    pub incomplete: Vec<NamedRun>,
    /// Runs whose first event is lost, so that they are not listed any more.
    pub hidden: Vec<RunId>,
    /// Where the old file is now.
    pub kept: PathBuf,
}

/// Detail of a run that was ended by a rebuild. It cannot be folded or retried.
pub const INCOMPLETE: &str =
    "events of this run were lost when the database was damaged, so it cannot continue safely";

/// Saves every readable event of the store at `path` into a new file, projects them again, and puts the new file
/// into the place of the old one, which stays unchanged next to it. No node may run. `tasks` reads a run's file
/// and returns its tasks in their order. If it returns none, the tasks come from the old tables, and if those are
/// lost, from the events.
///
/// An open run that misses events ends with an error, because one of its tasks might run a second time.
///
/// Interrupted at any point, either file is in place, and it can be done again.
///
/// # Errors
/// [`StoreError::InUse`]: a node runs. [`StoreError::Newer`], [`StoreError::Foreign`]: it is not a store that this
/// version can rebuild. Otherwise the new file could not be written; the old one is unchanged.
pub fn rebuild(
    path: &Path,
    mut tasks: impl FnMut(&RunCreated) -> Option<Vec<TaskSeed>>,
) -> Result<RebuildReport, StoreError> {
    let path = absolute(path).map_err(|e| StoreError::io(path, &e))?;
    if !path.exists() && !beside(&path, "-wal").exists() {
        return Err(StoreError::NotFound { what: "store", name: path.display().to_string() });
    }
    let _lock = schema::lock(&path)?;
    refuse::adopt_orphan(&path)?;
    if !path.exists() {
        return Err(StoreError::NotFound { what: "store", name: path.display().to_string() });
    }
    let fresh = beside(&path, ".rebuilding");
    remove(&fresh)?;
    let made = schema::open_writer(&fresh, Sharing::Processes).and_then(|new| {
        let made = fill(&path, &new, &mut tasks)?;
        flush(&fresh, &new)?;
        Ok(made)
    });
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            let _ = remove(&fresh);
            return Err(error);
        }
    };
    let kept = swap(&path, &fresh)?;
    Ok(RebuildReport { kept, ..made })
}

/// Does everything that a rebuild does, in a database that is thrown away. The caller has the lock of the store.
pub(super) fn try_out(path: &Path) -> Result<RebuildReport, StoreError> {
    let mut new = schema::private_database(path)?;
    schema::migrate(path, &mut new, schema::MIGRATIONS, schema::WORKS_FROM)?;
    fill(path, &new, &mut |_| None)
}

/// Fills the new store.
fn fill(
    path: &Path,
    new: &Connection,
    tasks: &mut impl FnMut(&RunCreated) -> Option<Vec<TaskSeed>>,
) -> Result<RebuildReport, StoreError> {
    let doing = "save what can be read";
    let sql = |e: rusqlite::Error| StoreError::sql(path, doing, &e);
    let row = |e: RowError| e.at(path, doing);
    new.execute_batch("BEGIN").map_err(sql)?;
    // The old file is read before SQLite opens it and may change it.
    let (found, log_torn) = salvage::events(path, new)?;
    let old = open_old(path, !found.is_empty())?;
    let old = old.as_ref();
    let saved = salvage::losses(old, &found, log_torn);
    forget(new, &saved.misplaced).map_err(sql)?;
    let folded =
        fold(new, "main", |run, facts| tasks(facts).or_else(|| tasks_of_rows(old?, "main", run).ok()))
            .map_err(row)?;
    let torn_tables = match old {
        Some(old) => {
            let torn = salvage::rest(old, new).map_err(row)?;
            schema::forget_older(new).map_err(sql)?;
            torn
        }
        None => vec!["everything".to_owned()],
    };
    let ended = end_incomplete(old, new, &saved, &folded).map_err(row)?;
    let hidden = hidden(new).map_err(row)?;
    gaps::note(new).map_err(sql)?;
    new.execute_batch("COMMIT").map_err(sql)?;
    Ok(RebuildReport {
        events: saved.events,
        lost: saved.lost,
        end_lost: saved.end_lost,
        silent_events: folded.unknown + folded.bad.len() as u64,
        torn_tables,
        ended,
        incomplete: saved.ended,
        hidden,
        kept: PathBuf::new(),
    })
}

/// Removes events whose run is damaged.
fn forget(new: &Connection, offsets: &[i64]) -> rusqlite::Result<()> {
    // Triggers keep events from being removed.
    new.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, offsets.is_empty())?;
    let mut delete = new.prepare("DELETE FROM events WHERE offset = ?1")?;
    for offset in offsets {
        delete.execute([offset])?;
    }
    new.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true).map(drop)
}

/// Opens the old store. `None`: SQLite cannot open it. `ours`: it has events of CIS, so any other header is damage.
fn open_old(path: &Path, ours: bool) -> Result<Option<Connection>, StoreError> {
    let old = schema::open_damaged(path).and_then(|conn| {
        let found = schema::version(path, &conn)?;
        if found > schema::newest() {
            // What only the later version knows would be lost.
            return Err(StoreError::Newer { path: path.to_owned(), found, known: schema::newest() });
        }
        Ok(conn)
    });
    match old {
        Ok(conn) => Ok(Some(conn)),
        Err(StoreError::Foreign { .. }) if ours => Ok(None),
        Err(error @ (StoreError::Foreign { .. } | StoreError::Newer { .. } | StoreError::InUse { .. })) => {
            Err(error)
        }
        // No other error of SQLite is a reason to give up the events that were found.
        Err(_) => Ok(None),
    }
}

/// Ends open runs that miss events, or may miss some. Returns these runs.
fn end_incomplete(
    old: Option<&Connection>,
    new: &Connection,
    saved: &Saved,
    folded: &Folded,
) -> Result<Vec<NamedRun>, RowError> {
    let mut incomplete: HashSet<RunId> = saved.open.iter().map(|run| run.id).collect();
    for (offset, _) in &folded.bad {
        let sql = "SELECT run FROM events WHERE offset = ?1 AND run IS NOT NULL";
        if let Ok(id) = new.query_row(sql, [offset], |row| row.get(0)) {
            incomplete.insert(RunId(Ulid::from_bytes(id)));
        }
    }
    let open = named_runs(new, "SELECT id, dag FROM runs WHERE ended_ms IS NULL ORDER BY key")?;
    if let Some(old) = old {
        for run in &open {
            // A table that cannot be read says nothing.
            let told = progress(old, run.id).unwrap_or_default();
            if first_ahead(&told, &progress(new, run.id)?).is_some() {
                incomplete.insert(run.id);
            }
        }
    }
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let at_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let mut projector = Projector::default();
    let mut ended = Vec::new();
    for run in open.into_iter().filter(|run| incomplete.contains(&run.id)) {
        let offset = newest(new)? + 1;
        let body = EventBody::RunErrored { detail: INCOMPLETE.to_owned() };
        let draft = EventDraft { run: Some(run.id), at_ms, actor: None, cause: None, body };
        insert_event(new, offset, &draft, Ulid::new())?;
        projector.apply(new, Place { offset, run: draft.run, at_ms }, &draft.body, Beside::Nothing)?;
        ended.push(run);
    }
    Ok(ended)
}

fn named_runs(conn: &Connection, sql: &str) -> Result<Vec<NamedRun>, RowError> {
    let mut read = conn.prepare(sql)?;
    let mut rows = read.query(())?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        runs.push(NamedRun { id: RunId(ulid(row, 0)?), dag: row.get(1)? });
    }
    Ok(runs)
}

/// Returns runs that have events, but not the event that created the run.
fn hidden(new: &Connection) -> Result<Vec<RunId>, RowError> {
    let mut read = new.prepare(
        "SELECT DISTINCT run FROM events WHERE run IS NOT NULL AND run NOT IN (SELECT id FROM runs)",
    )?;
    let mut rows = read.query(())?;
    let mut hidden = Vec::new();
    while let Some(row) = rows.next()? {
        hidden.push(RunId(ulid(row, 0)?));
    }
    Ok(hidden)
}

/// Puts `fresh` into the place of `path`. The old file gets a second name first, so that at every moment
/// there is a store at `path`.
fn swap(path: &Path, fresh: &Path) -> Result<PathBuf, StoreError> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let kept = beside(path, &format!(".before-rebuild-{now_ms}"));
    let io = |e: io::Error| StoreError::io(path, &e);
    if fs::hard_link(path, &kept).is_err() {
        fs::copy(path, &kept).map_err(io)?;
    }
    // The log of the old file (there is one only if it could not be copied into it) must not be taken for
    // that of the new one.
    move_if_there(&beside(path, "-wal"), &beside(&kept, "-wal")).map_err(io)?;
    remove_if_there(&beside(path, "-shm")).map_err(io)?;
    fs::rename(fresh, path).map_err(io)?;
    remove(fresh)?;
    if let Some(dir) = path.parent() {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
    }
    Ok(kept)
}

/// Removes a database with its log, where it is there.
fn remove(path: &Path) -> Result<(), StoreError> {
    for name in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm"), beside(path, "-journal")] {
        remove_if_there(&name).map_err(|e| StoreError::io(&name, &e))?;
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    ignore_missing(fs::remove_file(path))
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    ignore_missing(fs::rename(from, to))
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
