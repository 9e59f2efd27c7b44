//! Reading: what clients ask for, from connections that never write and never make the writer wait.
//!
//! [`Readers`] is a small pool; a [`Reader`] taken from it can go to another thread and returns by
//! being dropped. Each method sees one moment of the store, whatever is committed meanwhile.

mod events;
mod find;
mod runs;
mod sessions;
mod values;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::error::{RowError, StoreError};
use super::schema;

pub(super) use events::{EVENT_COLUMNS, event};
pub use runs::OpenRun;
pub use sessions::AttemptView;
#[cfg(test)]
pub(super) use sessions::LIVE;
pub(super) use values::{json, task};

/// Connections that wait for the next reader; more are opened when needed (0.1 ms), and closed again, so
/// that a node at rest holds as few descriptors as it did when it started.
const IDLE_CONNECTIONS: usize = 1;

/// Listings give at most so many items at once.
const PAGE_MAX: u32 = 1000;

/// Readers of one store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readers {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// One connection that reads.
#[derive(Debug)]
pub struct Reader {
    conn: Option<Connection>,
    pool: Arc<Pool>,
}

impl Readers {
    /// Readers of the store at `path`, which a [`super::Writer`] made.
    ///
    /// # Errors
    /// There is none, or it is not one that this build can read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let conn = schema::open_reader(path)?;
        schema::version(path, &conn)?;
        let pool = Pool { path: path.to_owned(), idle: Mutex::new(vec![conn]) };
        Ok(Self { pool: Arc::new(pool) })
    }

    /// A connection of the pool, or a new one. It may be used from any thread that may block.
    ///
    /// # Errors
    /// No connection can be opened (descriptors, memory).
    pub fn get(&self) -> Result<Reader, StoreError> {
        let idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => schema::open_reader(&self.pool.path)?,
        };
        Ok(Reader { conn: Some(conn), pool: Arc::clone(&self.pool) })
    }
}

impl Reader {
    /// Several queries that see the same moment.
    fn view<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, RowError>,
    ) -> Result<T, StoreError> {
        let Some(conn) = &self.conn else { return Err(StoreError::Undone) };
        let look = || {
            let snapshot = conn.unchecked_transaction()?;
            let found = read(&snapshot)?;
            snapshot.finish()?;
            Ok(found)
        };
        look().map_err(|error: RowError| error.at(&self.pool.path, doing))
    }

    /// Entries that wait in the outbox.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn outbox_len(&self) -> Result<u64, StoreError> {
        self.view("count the outbox", |conn| {
            Ok(conn.query_row("SELECT count(*) FROM outbox", (), |row| row.get(0))?)
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_CONNECTIONS {
                idle.push(conn);
            }
        }
    }
}
