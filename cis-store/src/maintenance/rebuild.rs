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
use crate::schema::{self, Sharing, beside};
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
/// Interrupted at any point, either store is in place with its log (see `STEPS`), and it can be done again.
///
/// # Errors
/// [`StoreError::InUse`]: a node runs. [`StoreError::Newer`], [`StoreError::Foreign`]: it is not a store that this
/// version can rebuild. [`StoreError::NotInOrder`]: the new store is in place. Otherwise the new file could not be written; the
/// old one is unchanged.
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
    let made = match make(&path, &fresh, &mut tasks) {
        Ok(made) => made,
        Err(error) => {
            let _ = remove(&fresh);
            return Err(error);
        }
    };
    let kept = Swap::new(&path, &fresh).run()?;
    Ok(RebuildReport { kept, ..made })
}

/// Makes the new store, as [`STEPS`] need it.
fn make(
    path: &Path,
    fresh: &Path,
    tasks: &mut impl FnMut(&RunCreated) -> Option<Vec<TaskSeed>>,
) -> Result<RebuildReport, StoreError> {
    let new = schema::open_writer(fresh, Sharing::Processes)?;
    let made = fill(path, &new, tasks)?;
    settle(fresh, &new)?;
    Ok(made)
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

/// Copies the log of the new store into its file and leaves the log in place: [`STEPS`] need both, on the disk.
fn settle(fresh: &Path, new: &Connection) -> Result<(), StoreError> {
    let sql = |e: rusqlite::Error| StoreError::sql(fresh, "checkpoint", &e);
    let is_busy: bool = new.query_row("PRAGMA wal_checkpoint(FULL)", (), |row| row.get(0)).map_err(sql)?;
    if is_busy {
        return Err(StoreError::InUse { path: fresh.to_owned() });
    }
    new.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop).map_err(sql)
}

/// Names of the files of a rebuild that ends.
struct Swap {
    path: PathBuf,
    fresh: PathBuf,
    kept: PathBuf,
}

/// Puts the new store into the place of the old one. After each step, the files at `path` are either the whole old
/// store or the whole new one, because the log of the new store has all its pages, and so has its file:
///
/// | after | file | log | what SQLite reads |
/// |---|---|---|---|
/// | `keep` | old | old | the old store: both files only have second names |
/// | `replace_log` | old | new | the new store, from the log alone: this rename decides |
/// | `replace_file` | new | new | the new store |
/// | `remove_index` | new | new | the same. The index shows what the old log has lost: it stays while that log does |
/// | `remove_log` | new | – | the new store, from its file alone |
///
/// If the rebuild is killed after `replace_log`, the next checkpoint writes to the old file, which has its second name
/// too: then `kept` is not what it was, but nothing that was saved is lost.
const STEPS: [fn(&Swap) -> io::Result<()>; 5] =
    [Swap::keep, Swap::replace_log, Swap::replace_file, Swap::remove_index, Swap::remove_log];

/// The first so many of [`STEPS`] end with the one that decides.
const DECIDES: usize = 2;

impl Swap {
    fn new(path: &Path, fresh: &Path) -> Self {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let kept = beside(path, &format!(".before-rebuild-{now_ms}"));
        Self { path: path.to_owned(), fresh: fresh.to_owned(), kept }
    }

    fn run(self) -> Result<PathBuf, StoreError> {
        let (before, after) = STEPS.split_at(DECIDES);
        for step in before {
            step(&self).map_err(|e| StoreError::io(&self.path, &e))?;
        }
        let order = || {
            after.iter().try_for_each(|step| step(&self))?;
            sync_names(&self.path)
        };
        if let Err(error) = order() {
            let Self { path, kept, .. } = self;
            return Err(StoreError::NotInOrder { path, kept, detail: error.to_string() });
        }
        remove(&self.fresh)?;
        Ok(self.kept)
    }

    fn keep(&self) -> io::Result<()> {
        second_name(&self.path, &self.kept)?;
        ignore_missing(second_name(&beside(&self.path, "-wal"), &beside(&self.kept, "-wal")))?;
        // The names of the new files are on the disk before one of them is needed.
        sync_names(&self.path)
    }

    fn replace_log(&self) -> io::Result<()> {
        fs::rename(beside(&self.fresh, "-wal"), beside(&self.path, "-wal"))
    }

    fn replace_file(&self) -> io::Result<()> {
        // The new log is on the disk before its file is needed.
        sync_names(&self.path)?;
        fs::rename(&self.fresh, &self.path)?;
        sync_names(&self.path)
    }

    fn remove_index(&self) -> io::Result<()> {
        remove_if_there(&beside(&self.path, "-shm"))
    }

    fn remove_log(&self) -> io::Result<()> {
        remove_if_there(&beside(&self.path, "-wal"))
    }
}

/// Gives a file a second name, or copies it where a file has only one.
fn second_name(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => fs::copy(from, to).map(drop),
        linked => linked,
    }
}

/// The names of files next to `path` are on the disk.
fn sync_names(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
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

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Writer;
    use crate::maintenance::check;

    /// A store whose newest events are in its log alone, as a killed node leaves it.
    fn killed(dir: &Path) -> PathBuf {
        let (live, path) = (dir.join("live.db"), dir.join("cis.db"));
        let mut writer = Writer::open(&live).unwrap();
        for n in 1..=3 {
            let body = EventBody::NodeStopped { reason: "test".to_owned() };
            let draft = EventDraft { run: None, at_ms: 1, actor: None, cause: None, body };
            writer.append(&draft, Ulid(n)).unwrap();
        }
        writer.commit().unwrap();
        for suffix in ["", "-wal"] {
            fs::copy(beside(&live, suffix), beside(&path, suffix)).unwrap();
        }
        path
    }

    #[test]
    fn a_swap_that_is_killed_after_any_step_leaves_a_whole_store() {
        for steps in 0..=STEPS.len() {
            let dir = tempfile::tempdir().unwrap();
            let path = killed(dir.path());
            let fresh = beside(&path, ".rebuilding");
            make(&path, &fresh, &mut |_| None).unwrap();
            let swap = Swap::new(&path, &fresh);
            STEPS[..steps].iter().for_each(|step| step(&swap).unwrap());
            let report = check(&path, false).unwrap();
            assert_eq!((report.events, report.findings), (3, Vec::new()), "after {steps} steps");
            assert_eq!(Writer::open(&path).unwrap().last_offset(), 3, "after {steps} steps");
            rebuild(&path, |_| None).unwrap();
            assert_eq!(Writer::open(&path).unwrap().last_offset(), 3, "again after {steps} steps");
        }
    }
}
