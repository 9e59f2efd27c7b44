//! The one that writes: appends events, keeps the tables that are projected from them, and commits
//! both at once.
//!
//! A [`Writer`] belongs to one thread, the node's driver. A transaction begins with the first
//! change and ends with [`Writer::commit`]; nothing is visible to readers before. **Nothing is ever
//! half done**: the first error undoes the whole transaction, and from then on everything but
//! [`Writer::rollback`] is refused with [`StoreError::Undone`], so that no later part of a turn can
//! be committed without its beginning. The driver keeps what it wanted to write until `commit` says
//! Ok; when it does not, it rolls back, waits, and writes the same again (with the same ids).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use ulid::Ulid;

use super::append::{insert_event, newest};
use super::error::{RowError, StoreError};
use super::facts::{SessionFacts, TaskSeed, one_line};
use super::maintenance::{LeftOut, refuse_damaged};
use super::projector::{Beside, Place, Projector};
use super::pulse::Pulse;
use super::schema::{self, Sharing};
use cis_core::event::{Event, EventDraft};
use cis_core::ids::{InputId, Offset, SessionId};
use cis_core::term_size::TermSize;

/// Where the present transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There is none.
    Idle,
    /// Begun.
    Open,
    /// Undone by an error.
    Undone,
}

/// What a checkpoint did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copied {
    All,
    /// What no reader still looks at the old state of.
    Some,
    /// The checkpointer is at it just now.
    Nothing,
}

/// What was committed at a moment and may not be on the disk. What leaves the log meanwhile does so only after a checkpoint wrote
/// it to the database file, durably.
#[derive(Debug)]
#[must_use = "nothing waits for the disk before `wait`"]
pub struct Unsynced {
    path: PathBuf,
    log: File,
}

impl Unsynced {
    /// Waits until it is on the disk.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn wait(self) -> Result<(), StoreError> {
        self.log.sync_data().map_err(|e| StoreError::io(&self.path, &e))
    }
}

/// The only writer of a store.
#[derive(Debug)]
pub struct Writer {
    // Fields are dropped in this order: the lock goes last.
    conn: Connection,
    path: PathBuf,
    /// Device and inode of the file when it was opened; none: not known.
    file: Option<(u64, u64)>,
    projector: Projector,
    /// Events of the present transaction.
    appended: Vec<Arc<Event>>,
    /// Offset of the newest event, those of the present transaction included.
    newest: Offset,
    /// That of the newest committed one.
    committed: Offset,
    turn: Turn,
    pulse: Arc<Pulse>,
    /// Whether the database file itself is known to be on the disk.
    grounded: bool,
    sharing: Sharing,
    _lock: File,
}

/// Device and inode of the file at a path.
fn file_at(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

impl Writer {
    /// Opens the store at `path`, makes it where there is none, and brings it to the newest version.
    ///
    /// # Errors
    /// [`StoreError::InUse`]: another process writes it. [`StoreError::Corrupt`], [`StoreError::Newer`],
    /// [`StoreError::Foreign`]: the file is not one that this build can use. [`StoreError::Full`],
    /// [`StoreError::ReadOnly`], [`StoreError::Io`]: the system says no.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_by(path, schema::open_writer)
    }

    pub(super) fn open_by(
        path: &Path,
        open: impl Fn(&Path, Sharing) -> Result<Connection, StoreError>,
    ) -> Result<Self, StoreError> {
        let lock = schema::lock_soon(path)?;
        refuse_damaged(path)?;
        let (conn, sharing) = match open(path, Sharing::Processes).map_err(StoreError::or_full) {
            Ok(conn) => (conn, Sharing::Processes),
            // A store on a full disk can still be read. Any other failure would persist after there is space again.
            Err(full @ StoreError::Full { .. }) => {
                let conn = open(path, Sharing::Threads).map_err(|_| full)?;
                // The index that a killed process left is not kept up to date, so it would describe another log.
                let _ = fs::remove_file(schema::beside(path, "-shm"));
                (conn, Sharing::Threads)
            }
            Err(error) => return Err(error),
        };
        let newest = newest(&conn).map_err(|e| StoreError::sql(path, "find its newest event", &e))?;
        Ok(Self {
            conn,
            path: path.to_owned(),
            file: file_at(path),
            projector: Projector::default(),
            appended: Vec::new(),
            newest,
            committed: newest,
            turn: Turn::Idle,
            pulse: Arc::default(),
            grounded: false,
            sharing,
            _lock: lock,
        })
    }

    /// Whether the file that it writes to is still at its path. If somebody removed or replaced it, what is written is gone when it is
    /// closed.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        file_at(&self.path) == self.file
    }

    /// Whether no other process can read the store while this writer is open, because the disk was full when it was
    /// opened.
    #[must_use]
    pub fn excludes_processes(&self) -> bool {
        self.sharing == Sharing::Threads
    }

    /// Whether a store that is opened now could be shared with other processes.
    #[must_use]
    pub fn could_be_shared(&self) -> bool {
        schema::try_shared(self.path.parent().unwrap_or(&self.path)).is_ok()
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Offset of the newest committed event; 0: there is none.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.committed
    }

    /// Appends an event and applies it to the tables.
    ///
    /// # Errors
    /// The whole transaction is undone; see the module's head.
    pub fn append(&mut self, draft: &EventDraft, id: Ulid) -> Result<Offset, StoreError> {
        self.append_beside(draft, id, Beside::Nothing)
    }

    /// Appends a [`cis_core::event::EventBody::RunCreated`] with the tasks of its file, in the order of the file.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_run(
        &mut self,
        draft: &EventDraft,
        id: Ulid,
        tasks: &[TaskSeed],
    ) -> Result<Offset, StoreError> {
        self.append_beside(draft, id, Beside::Tasks(tasks))
    }

    /// Appends the event that makes a session (assigned, or session created) with what else is known of
    /// it: one statement less than [`Self::session_facts`] afterwards.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_session(
        &mut self,
        draft: &EventDraft,
        id: Ulid,
        facts: &SessionFacts,
    ) -> Result<Offset, StoreError> {
        self.append_beside(draft, id, Beside::Session(facts))
    }

    fn append_beside(
        &mut self,
        draft: &EventDraft,
        id: Ulid,
        beside: Beside<'_>,
    ) -> Result<Offset, StoreError> {
        self.begin()?;
        let offset = self.newest + 1;
        let appended = insert_event(&self.conn, offset, draft, id).and_then(|event| {
            let at = Place { offset, run: draft.run, at_ms: draft.at_ms };
            self.projector.apply(&self.conn, at, &draft.body, beside)?;
            Ok(event)
        });
        match appended {
            Ok(event) => {
                self.newest = offset;
                self.appended.push(Arc::new(event));
                Ok(offset)
            }
            Err(error) => Err(self.undo(error, "append an event")),
        }
    }

    /// Sets what is known of a session that has its row: a new size, the path of its log.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn session_facts(&mut self, session: SessionId, facts: &SessionFacts) -> Result<(), StoreError> {
        self.change("set what is known of a session", |conn| {
            conn.prepare_cached(
                "UPDATE sessions SET tty = ?2, cols = ?3, rows = ?4, command = ?5, log = ?6 WHERE id = ?1",
            )?
            .execute(params![
                session.0.to_bytes(),
                facts.tty,
                facts.size.map(|size| size.cols),
                facts.size.map(|size| size.rows),
                one_line(&facts.command),
                facts.log,
            ])?;
            Ok(())
        })
    }

    /// Sets the size of a session's terminal. A session without a row stays without one.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn session_resized(&mut self, session: SessionId, size: TermSize) -> Result<(), StoreError> {
        self.change("set the size of a session", |conn| {
            conn.prepare_cached("UPDATE sessions SET cols = ?2, rows = ?3 WHERE id = ?1 AND tty")?
                .execute(params![session.0.to_bytes(), size.cols, size.rows])?;
            Ok(())
        })
    }

    /// Keeps a value by a name, such as how far something was read.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn set_meta(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        self.change("keep a value", |conn| {
            conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
                .execute([key, value])?;
            Ok(())
        })
    }

    /// The value of that name, those of the present transaction included.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn get_meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.look("read a value", "SELECT value FROM meta WHERE key = ?1", [key])
    }

    /// Notes that the logs of runs and sessions that have ended are not in this home.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn note_left_out(&mut self, logs: LeftOut) -> Result<(), StoreError> {
        self.set_meta(LeftOut::KEY, &logs.to_string())
    }

    /// Notes that an input was taken and what it made, such as a run's id. What was noted first stays.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn remember_input(&mut self, input: InputId, what: &str) -> Result<(), StoreError> {
        self.change("note an input", |conn| {
            conn.prepare_cached("INSERT INTO inputs (id, what) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                .execute(params![input.0.to_bytes(), what])?;
            Ok(())
        })
    }

    /// What that input made, where it was taken; those of the present transaction included.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find_input(&self, input: InputId) -> Result<Option<String>, StoreError> {
        self.look("look an input up", "SELECT what FROM inputs WHERE id = ?1", [input.0.to_bytes()])
    }

    /// Makes everything since the last commit durable (it survives kill -9) and visible. Gives the events
    /// of the transaction, to be published.
    ///
    /// # Errors
    /// Nothing of the transaction was kept; see the module's head.
    pub fn commit(&mut self) -> Result<Vec<Arc<Event>>, StoreError> {
        match self.turn {
            Turn::Idle => return Ok(Vec::new()),
            Turn::Undone => return Err(StoreError::Undone),
            Turn::Open => {}
        }
        if let Err(error) = run(&self.conn, "COMMIT") {
            return Err(self.undo(error.into(), "commit"));
        }
        self.turn = Turn::Idle;
        self.committed = self.newest;
        self.pulse.beat(self.appended.len());
        Ok(std::mem::take(&mut self.appended))
    }

    /// Undoes everything since the last commit, and takes writes again after an error.
    pub fn rollback(&mut self) {
        if self.turn != Turn::Idle {
            self.drop_transaction();
            self.turn = Turn::Idle;
        }
    }

    /// Waits until everything committed is on the disk: it survives a power cut. For what must not be
    /// forgotten once it has left the machine. Takes milliseconds, and much longer while the disk writes other files.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.unsynced()?.wait()
    }

    /// What is committed by now, for another thread to wait until the disk has it.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub fn unsynced(&mut self) -> Result<Unsynced, StoreError> {
        if !self.grounded && self.turn == Turn::Idle {
            // The first time the database file, too. A reader may keep that from being done: then the next
            // time, and the log alone will do for now.
            self.grounded = self.checkpoint()? == Copied::All;
        }
        let path = schema::beside(&self.path, "-wal");
        let log = File::open(&path).map_err(|e| StoreError::io(&path, &e))?;
        Ok(Unsynced { path, log })
    }

    /// Work that can wait until a turn's effects are under way: call it after them. Mostly it does
    /// nothing. When the write-ahead log has grown long although [`super::Checkpointer`] copied nearly all
    /// of it, it copies the rest here, where nothing is added meanwhile, so that the log starts over.
    ///
    /// # Errors
    /// The disk refuses; nothing is lost, and it is tried again.
    pub fn maintain(&mut self) -> Result<(), StoreError> {
        if self.turn == Turn::Idle && self.pulse.take_request() && self.checkpoint()? == Copied::Nothing {
            self.pulse.ask();
        }
        Ok(())
    }

    pub(super) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// Copies the log into the database file, and waits until both are on the disk.
    fn checkpoint(&self) -> Result<Copied, StoreError> {
        self.conn
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| {
                let (busy, pages, copied): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(match busy {
                    0 if pages == copied => Copied::All,
                    0 => Copied::Some,
                    _ => Copied::Nothing,
                })
            })
            .map_err(|e| StoreError::sql(&self.path, "checkpoint", &e))
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        match self.turn {
            Turn::Open => Ok(()),
            Turn::Undone => Err(StoreError::Undone),
            Turn::Idle => match run(&self.conn, "BEGIN IMMEDIATE") {
                Ok(()) => {
                    self.turn = Turn::Open;
                    Ok(())
                }
                Err(error) => Err(self.undo(error.into(), "begin a transaction")),
            },
        }
    }

    /// One change within the transaction.
    pub(super) fn change<T>(
        &mut self,
        doing: &'static str,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.begin()?;
        change(&self.conn).map_err(|error| self.undo(error.into(), doing))
    }

    /// One query with the transaction's own changes in view.
    pub(super) fn query<T>(
        &self,
        doing: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        query(&self.conn).map_err(|error| StoreError::sql(&self.path, doing, &error))
    }

    fn look(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<Option<String>, StoreError> {
        self.query(doing, |conn| conn.prepare_cached(sql)?.query_row(params, |row| row.get(0)).optional())
    }

    fn undo(&mut self, error: RowError, doing: &'static str) -> StoreError {
        self.drop_transaction();
        self.turn = Turn::Undone;
        error.at(&self.path, doing).or_full()
    }

    fn drop_transaction(&mut self) {
        // SQLite has rolled back by itself after some errors (full, IO); a second time is none.
        if !self.conn.is_autocommit() {
            let _ = run(&self.conn, "ROLLBACK");
        }
        self.projector.forget();
        self.appended.clear();
        self.newest = self.committed;
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.conn
    }
}

fn run(conn: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute(()).map(|_| ())
}
