//! Reading: what clients ask for, from connections that never write and never make the writer wait.
//!
//! [`Readers`] is a small pool; a [`Reader`] taken from it can go to another thread and returns by
//! being dropped. Each method sees one moment of the store, whatever is committed meanwhile.

mod cleaned;
mod events;
mod find;
mod find_item;
mod gates;
mod in_room;
mod inbox;
mod policy;
mod rooms;
mod runs;
mod sessions;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Row, Rows};

use super::error::{RowError, StoreError};
use super::schema;
use cis_core::api::Listing;

pub use cleaned::Cleaned;
pub use in_room::{InRoom, NewestTry};
pub use inbox::{InboxFilter, KnownItem};
pub use runs::OpenRun;
pub use sessions::AttemptView;
#[cfg(test)]
pub(super) use sessions::LIVE;
pub use waiting::Waited;

/// Connections of a pool, all opened at the start: a node at rest holds as many descriptors as it did
/// then. (SQLite keeps the descriptor of a connection that is closed while others read.)
const CONNECTIONS: usize = 3;

/// When all are in use for so long, another one is opened for the moment.
const PATIENCE: Duration = Duration::from_secs(5);

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
    returned: Condvar,
    /// Error of the first read that found damage.
    damage: Mutex<Option<String>>,
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
        let mut idle = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let conn = schema::open_reader(path)?;
            schema::version(path, &conn)?;
            idle.push(conn);
        }
        let pool = Pool {
            path: path.to_owned(),
            idle: Mutex::new(idle),
            returned: Condvar::new(),
            damage: Mutex::default(),
        };
        Ok(Self { pool: Arc::new(pool) })
    }

    /// Returns the error of the first read that found damage in the store. `None`: no read has found any.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        self.pool.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection of the pool, waited for where all are in use. It may be used from any thread that may
    /// block.
    ///
    /// # Errors
    /// No connection can be opened (descriptors, memory).
    pub fn get(&self) -> Result<Reader, StoreError> {
        let idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.pool.returned.wait_timeout_while(idle, PATIENCE, |idle| idle.is_empty());
        let (mut idle, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let conn = idle.pop();
        drop(idle);
        let conn = match conn {
            Some(conn) => conn,
            None => schema::open_reader(&self.pool.path)?,
        };
        Ok(Reader { conn: Some(conn), pool: Arc::clone(&self.pool) })
    }
}

impl Reader {
    /// Several queries that see the same moment.
    pub(crate) fn view<T>(
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
        look().map_err(|error: RowError| {
            let error = error.at(&self.pool.path, doing);
            if matches!(error, StoreError::Corrupt { .. } | StoreError::Value { .. }) {
                let mut damage = self.pool.damage.lock().unwrap_or_else(PoisonError::into_inner);
                damage.get_or_insert_with(|| error.to_string());
            }
            error
        })
    }
}

/// The key that a page begins behind; without one, that is `first`.
fn behind(after: Option<&str>, first: i64) -> Result<i64, StoreError> {
    let wrong = |after: &str| StoreError::NoSuchPage { after: after.to_owned() };
    after.map_or(Ok(first), |after| after.parse().map_err(|_| wrong(after)))
}

/// Reads a page of at most `limit` items. If there is one more row, the next page begins behind the `key` of the last item.
fn page_of<T>(
    mut rows: Rows<'_>,
    limit: u32,
    item: impl Fn(&Row<'_>) -> Result<T, RowError>,
) -> Result<Listing<T>, RowError> {
    let (mut items, mut last) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if items.len() >= limit as usize {
            return Ok(Listing { items, next: Some(last.to_string()) });
        }
        last = row.get::<_, i64>("key")?;
        items.push(item(row)?);
    }
    Ok(Listing { items, next: None })
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < CONNECTIONS {
                idle.push(conn);
                self.pool.returned.notify_one();
            }
        }
    }
}
