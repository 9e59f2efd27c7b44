//! The shape of the database: numbered migrations, and how each kind of connection is opened.
//!
//! Owns pragmas and versions. Knows nothing of what the rows mean.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::error::{RowError, StoreError};
use super::projector::fill_inbox;

/// `MIGRATIONS[n]` leads from version n to n + 1. What was released is never edited. New ones only expand: tables, indexes,
/// and columns that may be NULL or have a default. So programs of earlier versions work on, after an update that is
/// taken back; see [`WORKS_FROM`]. Their SQL changes the shape alone. What fills a new table from the events is a function
/// in [`fill`], because it is called again for what an older program wrote.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
    // The gaps that an earlier version left are known.
    concat!(include_str!("migrations/0009.sql"), include_str!("migrations/gaps.sql")),
    include_str!("migrations/0010.sql"),
    include_str!("migrations/0011.sql"),
    include_str!("migrations/0012.sql"),
];

/// Programs that know this version, or a later one, work with a store of the newest. A migration that changes what they
/// read or write raises it.
pub(super) const WORKS_FROM: u32 = 9;

/// The first version that remembers where journals stand in rooms that runs have left.
const LEFT_VERSION: usize = 11;

/// The first version that remembers when runs were retried.
const RETRIED_VERSION: usize = 12;

/// Key of the version of the store and of [`WORKS_FROM`] as the program had it that made it so, as `10 from 9`.
const SCHEMA_KEY: &str = "schema";

/// Key of the oldest version that programs knew which have opened the store for writing since it had a newer one.
const OLDER_WROTE_KEY: &str = "older_wrote";

/// The version that made the inbox: what older stores know of it is in their events alone.
const INBOX_VERSION: usize = 3;

/// "CISS": tells our databases from others (`PRAGMA application_id`).
const APPLICATION_ID: i32 = 0x4349_5353;

/// Statements that a connection keeps prepared.
const STATEMENTS_KEPT: usize = 64;

/// No schema will ever have this version number or a higher one: a header with such a number is damaged.
const VERSION_PLAUSIBLE: u32 = 10_000;

/// How long a connection waits for another one's lock. Only recovery after a crash and the end of a
/// checkpoint hold one, both for milliseconds.
const BUSY: Duration = Duration::from_secs(10);

/// A command that looks at a store without a node holds its lock for less than this.
const LOOKS: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// WAL bytes that stay on disk after a checkpoint, to be written over again without growing the file.
const WAL_KEPT_BYTES: u32 = 64 << 20;

/// The newest version that this build knows.
pub(super) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// `path` with `suffix` appended to its file name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Takes the store for this process, until the file is dropped (flock, so that a crash frees it).
/// Never on the database itself: closing any descriptor of that would drop SQLite's own locks.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    refuse_special(path)?;
    let name = beside(path, ".lock");
    let file = private(&name).map_err(|e| StoreError::io(&name, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(e)) => Err(StoreError::io(&name, &e)),
    }
}

/// Takes the store as [`lock`] does, and waits a moment for a command that only looks at it.
pub(super) fn lock_soon(path: &Path) -> Result<File, StoreError> {
    let give_up = Instant::now() + LOOKS;
    loop {
        match lock(path) {
            // Nothing tells when somebody else's lock is released: polled.
            Err(StoreError::InUse { .. }) if Instant::now() < give_up => thread::sleep(LOOK_EVERY),
            taken => return taken,
        }
    }
}

/// Refuses files of a database that are not regular files: opening a named pipe would wait for ever.
pub(super) fn refuse_special(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let file = beside(path, suffix);
        if fs::metadata(&file).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(StoreError::Foreign { path: file });
        }
    }
    Ok(())
}

/// Opens or makes a file that only its owner can read.
pub(super) fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Makes the database file where there is none, so that it has its mode from the first moment on
/// (SQLite gives -wal and -shm the same). An existing one is not opened, for the reason at [`lock`].
/// Says whether it is new.
fn prepare_file(path: &Path) -> io::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path)?.permissions().mode();
            if mode & 0o077 != 0 {
                fs::set_permissions(path, Permissions::from_mode(0o600))?;
            }
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Which other connections may open a database that is opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Connections of every process. The index of the write-ahead log is a file, which SQLite makes.
    Processes,
    /// Connections of this process only. The index of the log is in memory, so opening the database needs no disk
    /// space.
    Threads,
}

/// The connection that writes: makes the database where there is none, and brings it to the newest version.
pub(super) fn open_writer(path: &Path, sharing: Sharing) -> Result<Connection, StoreError> {
    let fresh = prepare_file(path).map_err(|e| StoreError::io(path, &e))?;
    let mut conn = match sharing {
        Sharing::Processes => {
            open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?
        }
        Sharing::Threads => prepared(path, open_alone(path))?,
    };
    let sql = |e: rusqlite::Error| StoreError::sql(path, "set it up", &e);
    // Nothing in a new file is worth a wait for the disk (its first checkpoint waits): a power cut before
    // that leaves an empty database, which is made again.
    conn.execute_batch(if fresh { "PRAGMA synchronous=OFF" } else { "PRAGMA synchronous=NORMAL" })
        .map_err(sql)?;
    version(path, &conn)?;
    let mode: String = conn.query_row("PRAGMA journal_mode=WAL", (), |row| row.get(0)).map_err(sql)?;
    if mode != "wal" {
        let detail = format!("its file system supports no shared memory (journal mode {mode})");
        return Err(StoreError::Io { path: path.to_owned(), detail });
    }
    conn.execute_batch(&format!(
        "PRAGMA wal_autocheckpoint=0; PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY;
         PRAGMA cache_size=-16384; PRAGMA journal_size_limit={WAL_KEPT_BYTES};"
    ))
    .map_err(sql)?;
    migrate(path, &mut conn, MIGRATIONS, WORKS_FROM)?;
    conn.execute_batch("PRAGMA synchronous=NORMAL").map_err(sql)?;
    Ok(conn)
}

/// Makes a database that only this connection has, and that is gone with it. It is made for work on the store at `path`.
pub(super) fn private_database(path: &Path) -> Result<Connection, StoreError> {
    Connection::open("").map_err(|e| StoreError::sql(path, "make a private copy", &e))
}

/// Makes a database in `dir` that all processes can open, and removes it.
///
/// # Errors
/// The same as those of opening a store in `dir`.
pub(super) fn try_shared(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("room.db");
    let remove = || {
        ["", "-wal", "-shm", "-journal"]
            .iter()
            .for_each(|suffix| drop(fs::remove_file(beside(&path, suffix))));
    };
    remove();
    let opened = open_writer(&path, Sharing::Processes).map(drop);
    remove();
    opened
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.execute_batch("PRAGMA query_only=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-4096")
        .map_err(|e| StoreError::sql(path, "set up a reader", &e))?;
    Ok(conn)
}

/// A connection that checkpoints; it changes no row.
pub(super) fn open_checkpointer(path: &Path) -> Result<Connection, StoreError> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.execute_batch(&format!(
        "PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit={WAL_KEPT_BYTES}"
    ))
    .map_err(|e| StoreError::sql(path, "set up the checkpointer", &e))?;
    Ok(conn)
}

/// A connection for saving what can be read of a damaged store; it changes neither the file nor its write-ahead log, nor
/// the index of the log. It is opened for writing because SQLite reads the log of a crash only then. The caller has the
/// lock of the store.
pub(super) fn open_damaged(path: &Path) -> Result<Connection, StoreError> {
    let conn = prepared(path, open_alone(path))?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|e| StoreError::sql(path, "open it", &e))?;
    // Lets it be read although its end is cut off, or one of its tables is in pieces.
    conn.execute_batch("PRAGMA writable_schema=ON").map_err(|e| StoreError::sql(path, "open it", &e))?;
    conn.execute_batch("PRAGMA wal_autocheckpoint=0").map_err(|e| StoreError::sql(path, "open it", &e))?;
    Ok(conn)
}

/// Makes every connection of this process use an index of the write-ahead log in memory, for as long as the returned
/// connection is open. The index that a killed process left stays as it is: it shows what the log has lost. The caller
/// has the lock of the store. `None`: the file cannot be opened.
pub(super) fn private_index(path: &Path) -> Option<Connection> {
    let conn = open_alone(path).ok()?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).ok()?;
    // The first read takes the lock that the other connections share; an error of it is reported by them.
    let _ = conn.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()));
    Some(conn)
}

/// Opens a database for this process only. Later connections of this process share its index of the write-ahead log
/// without any setting (os_unix.c).
fn open_alone(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags_and_vfs(path, flags, c"unix-excl")
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    refuse_special(path)?;
    prepared(path, Connection::open_with_flags(path, flags))
}

fn prepared(path: &Path, opened: rusqlite::Result<Connection>) -> Result<Connection, StoreError> {
    let conn = opened.map_err(|e| StoreError::sql(path, "open it", &e))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    conn.busy_timeout(BUSY).map_err(|e| StoreError::sql(path, "open it", &e))?;
    Ok(conn)
}

/// Version of a database, after a look at whose it is. 0: it is empty.
pub(super) fn version(path: &Path, conn: &Connection) -> Result<u32, StoreError> {
    let read = |pragma| {
        conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
            .map_err(|e| StoreError::sql(path, "read its version", &e))
    };
    let (found, owner) = (read("user_version")?, read("application_id")?);
    let objects: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
        .map_err(|e| StoreError::sql(path, "read its schema", &e))?;
    let empty = found == 0 && owner == 0 && objects == 0;
    let damaged = |what: &str| StoreError::Corrupt { path: path.to_owned(), detail: what.to_owned() };
    if !empty && owner != i64::from(APPLICATION_ID) {
        let ours = "SELECT 1 FROM sqlite_schema WHERE name = 'events_never_change'";
        return Err(match conn.query_row(ours, (), |_| Ok(())) {
            Ok(()) => damaged("the mark of CIS in its header is damaged"),
            Err(_) => StoreError::Foreign { path: path.to_owned() },
        });
    }
    let found = u32::try_from(found).ok().filter(|found| *found < VERSION_PLAUSIBLE);
    let found = found.ok_or_else(|| damaged("the version in its header is damaged"))?;
    let encoding: String = conn
        .pragma_query_value(None, "encoding", |row| row.get(0))
        .map_err(|e| StoreError::sql(path, "read its header", &e))?;
    if (found == 0) != empty || encoding != "UTF-8" {
        return Err(damaged("its header is damaged"));
    }
    if found > newest() {
        let noted = value(conn, SCHEMA_KEY).map_err(|e| StoreError::sql(path, "read its version", &e))?;
        let noted = noted.as_deref().and_then(schema_of);
        if noted.is_some_and(|(version, _)| version != found) {
            return Err(damaged("the version in its header is damaged"));
        }
        if noted.is_none_or(|(_, from)| from > newest()) {
            return Err(StoreError::Newer { path: path.to_owned(), found, known: newest() });
        }
    }
    Ok(found)
}

fn value(conn: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

/// Whether an earlier version wrote to the store, and no node of this version has opened it since to fill in what is missing.
pub(crate) fn has_gaps_of_older(path: &Path, conn: &Connection) -> Result<bool, StoreError> {
    let older = value(conn, OLDER_WROTE_KEY);
    older
        .map(|older| older.is_some())
        .map_err(|e| StoreError::sql(path, "find out which version wrote it", &e))
}

/// The two versions of a value of [`SCHEMA_KEY`].
fn schema_of(value: &str) -> Option<(u32, u32)> {
    let (version, from) = value.split_once(" from ")?;
    Some((version.parse().ok()?, from.parse().ok()?))
}

/// The store has all that this program keeps besides the events, but for what an older program has made wrong.
pub(super) fn forget_older(conn: &Connection) -> rusqlite::Result<()> {
    let older = value(conn, OLDER_WROTE_KEY)?.and_then(|older| older.parse().ok());
    older.map_or(Ok(()), |older| forget_left(conn, older))?;
    conn.execute("DELETE FROM meta WHERE key = ?1", [OLDER_WROTE_KEY]).map(drop)
}

/// Fills what versions after `from` keep besides the events, up to version `to`. May be called again for the same versions.
fn fill(conn: &Connection, from: usize, to: usize) -> Result<(), RowError> {
    if (1..INBOX_VERSION).contains(&from) && to >= INBOX_VERSION {
        fill_inbox(conn)?;
    }
    if to >= LEFT_VERSION {
        forget_left(conn, from)?;
    }
    if (1..RETRIED_VERSION).contains(&from) && to >= RETRIED_VERSION {
        fill_retried(conn)?;
    }
    Ok(())
}

/// Finds out when runs were retried, of the events after the one that made the run.
fn fill_retried(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute(
        "UPDATE runs SET retried_ms = (SELECT at_ms FROM events
            WHERE events.run = runs.id AND type = 'cis.dag.run.retried' AND offset > runs.key
            ORDER BY offset DESC LIMIT 1)",
        (),
    )?;
    Ok(())
}

/// A program of version `from` may have written more of the journals in rooms that runs have left.
fn forget_left(conn: &Connection, from: usize) -> rusqlite::Result<()> {
    if (1..LEFT_VERSION).contains(&from) {
        conn.execute("DELETE FROM left_journals", ())?;
    }
    Ok(())
}

/// Brings the database to the end of `migrations`: all steps that are missing, or none. Where it has more of them, notes that
/// a program without them writes from now on.
pub(super) fn migrate(
    path: &Path,
    conn: &mut Connection,
    migrations: &[&str],
    works_from: u32,
) -> Result<(), StoreError> {
    let (found, known) = (version(path, conn)? as usize, migrations.len());
    let sql = |e: rusqlite::Error| StoreError::sql(path, "bring it to a newer version", &e);
    let older = if found == 0 { None } else { value(conn, OLDER_WROTE_KEY).map_err(sql)? };
    // What later versions keep besides the events is not there for what an older program wrote.
    let filled = older.and_then(|older| older.parse().ok()).unwrap_or(found).min(found);
    if filled == known {
        return Ok(());
    }
    let put = |conn: &Connection, key: &str, value: String| {
        conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", (key, value))
    };
    let step = conn.transaction().map_err(sql)?;
    for migration in migrations.get(found..).unwrap_or_default() {
        step.execute_batch(migration).map_err(sql)?;
    }
    fill(&step, filled, known).map_err(|e| e.at(path, "bring it to a newer version"))?;
    if found > known {
        put(&step, OLDER_WROTE_KEY, known.to_string()).map_err(sql)?;
    } else {
        forget_older(&step).map_err(sql)?;
        put(&step, SCHEMA_KEY, format!("{known} from {works_from}")).map_err(sql)?;
        step.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql)?;
        step.pragma_update(None, "user_version", i64::try_from(known).unwrap_or(i64::MAX)).map_err(sql)?;
    }
    step.commit().map_err(sql)
}
