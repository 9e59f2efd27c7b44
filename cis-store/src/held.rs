//! What this node has of tasks of other coordinators, for its next life.
//!
//! Owns the rows. What stands in them is the caller's matter.

use rusqlite::params;

use super::error::StoreError;
use super::reader::Reader;
use super::writer::Writer;
use cis_core::ids::{RunId, TaskId};

impl Writer {
    /// Keeps what is known of a task that this node has; none: it has it no more.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn hold(&mut self, run: RunId, task: &TaskId, what: Option<&str>) -> Result<(), StoreError> {
        let key = format!("{run}/{task}");
        self.change("keep a task of another node", |conn| {
            match what {
                Some(what) => conn
                    .prepare_cached(
                        "INSERT INTO held (task, what) VALUES (?1, ?2) ON CONFLICT (task) DO UPDATE SET what = ?2",
                    )?
                    .execute(params![key, what])?,
                None => conn.prepare_cached("DELETE FROM held WHERE task = ?1")?.execute([key])?,
            };
            Ok(())
        })
    }
}

impl Reader {
    /// All that was kept of tasks that this node has.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn held(&self) -> Result<Vec<String>, StoreError> {
        self.view("read the tasks of other nodes", |conn| {
            let mut read = conn.prepare_cached("SELECT what FROM held ORDER BY task")?;
            let rows = read.query_map((), |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}
