//! Makes a store anew from what can be read of the old one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

use super::salvage::{self, Saved};
use super::{Folded, fold, tasks_of_rows};
use crate::event::RunCreated;
use crate::ids::Offset;
use crate::store::checkpoint::flush;
use crate::store::error::StoreError;
use crate::store::facts::TaskSeed;
use crate::store::schema::{self, beside};

/// What became of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildReport {
    /// Events that are in the new store.
    pub events: u64,
    /// Offsets of events that could not be read, as ranges, ends included.
    pub lost_events: Vec<(Offset, Offset)>,
    /// The last events could not be read, either; how many they were is not known.
    pub end_lost: bool,
    /// Events that are kept, but whose body says nothing to this version.
    pub silent_events: u64,
    /// Tables that no event can make anew and of which something is lost.
    pub torn_tables: Vec<String>,
    /// Where the old file is now.
    pub kept: PathBuf,
}

/// Saves every readable event of the store at `path` into a new file, projects them anew, and puts the
/// new file into the place of the old one, which stays beside it. No node may run. `tasks` reads a run's
/// file and gives its tasks in their order; none: what the old tables say is taken, and if those are
/// lost, the tasks that the events name.
///
/// Interrupted at any point, either file is in place, and it can be done again.
///
/// # Errors
/// [`StoreError::InUse`]: a node runs. [`StoreError::Newer`], [`StoreError::Foreign`]: it is not ours to
/// make anew. Otherwise the new file could not be written; the old one is as it was.
pub fn rebuild(
    path: &Path,
    mut tasks: impl FnMut(&RunCreated) -> Option<Vec<TaskSeed>>,
) -> Result<RebuildReport, StoreError> {
    let path = absolute(path).map_err(|e| StoreError::io(path, &e))?;
    if !path.exists() {
        return Err(StoreError::NotFound { what: "store", name: path.display().to_string() });
    }
    let _lock = schema::lock(&path)?;
    let fresh = beside(&path, ".rebuilding");
    remove(&fresh)?;
    let old = open_old(&path)?;
    let new = schema::open_writer(&fresh)?;
    let made = fill(&fresh, old.as_ref(), &new, &mut tasks);
    let flushed = made.and_then(|made| {
        flush(&fresh, &new)?;
        Ok(made)
    });
    drop((old, new));
    let (saved, torn_tables, folded) = match flushed {
        Ok(made) => made,
        Err(error) => {
            let _ = remove(&fresh);
            return Err(error);
        }
    };
    let kept = swap(&path, &fresh)?;
    Ok(RebuildReport {
        events: saved.events,
        lost_events: saved.lost,
        end_lost: saved.end_lost,
        silent_events: folded.unknown + folded.bad.len() as u64,
        torn_tables,
        kept,
    })
}

/// The old store, where it can be opened at all.
fn open_old(path: &Path) -> Result<Option<Connection>, StoreError> {
    let old = schema::open_damaged(path).and_then(|conn| {
        schema::version(path, &conn)?;
        Ok(conn)
    });
    match old {
        Ok(conn) => Ok(Some(conn)),
        Err(StoreError::Corrupt { .. } | StoreError::Value { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn fill(
    path: &Path,
    old: Option<&Connection>,
    new: &Connection,
    tasks: &mut impl FnMut(&RunCreated) -> Option<Vec<TaskSeed>>,
) -> Result<(Saved, Vec<String>, Folded), StoreError> {
    let doing = "save what can be read";
    let sql = |e: rusqlite::Error| StoreError::sql(path, doing, &e);
    new.execute_batch("BEGIN").map_err(sql)?;
    let saved = match old {
        Some(old) => salvage::events(old, new).map_err(|e| e.at(path, doing))?,
        None => Saved::default(),
    };
    let folded =
        fold(new, "main", |run, facts| tasks(facts).or_else(|| tasks_of_rows(old?, "main", run).ok()))
            .map_err(|e| e.at(path, doing))?;
    let torn = match old {
        Some(old) => salvage::rest(old, new).map_err(|e| e.at(path, doing))?,
        None => vec!["everything".to_owned()],
    };
    new.execute_batch("COMMIT").map_err(sql)?;
    Ok((saved, torn, folded))
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
