//! A copy of the store as it is at one moment, while a node goes on writing.

use std::fs::File;
use std::path::{Path, absolute};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::refuse;
use crate::error::StoreError;
use crate::schema;

/// Copied between two words about how far it is, pages.
const PAGES_PER_STEP: i32 = 2048;

/// Copies the store at `path` into the new file `to`. It is a reader: nobody waits for it, and what is
/// committed meanwhile is not in the copy. `progress` gets the pages that are done, and how many there are.
///
/// # Errors
/// One of the two cannot be used; then `to` is not a store.
pub fn copy(path: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), StoreError> {
    let path = absolute(path).map_err(|e| StoreError::io(path, &e))?;
    let sql = |e: rusqlite::Error| StoreError::sql(&path, "copy it", &e);
    refuse::refuse_missing(&path)?;
    refuse::refuse_damaged_unless_in_use(&path)?;
    let from = schema::open_reader(&path)?;
    schema::version(&path, &from)?;
    // What a transaction sees does not change: otherwise each commit of the node would begin the copy anew.
    from.execute_batch("BEGIN").map_err(sql)?;
    from.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(())).map_err(sql)?;
    schema::private(to).map_err(|e| StoreError::io(to, &e))?;
    let mut into = Connection::open(to).map_err(|e| StoreError::sql(to, "open the copy", &e))?;
    into.execute_batch("PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF")
        .map_err(|e| StoreError::sql(to, "open the copy", &e))?;
    {
        let copying = Backup::new(&from, &mut into).map_err(sql)?;
        loop {
            let step = copying.step(PAGES_PER_STEP).map_err(|e| StoreError::sql(to, "write the copy", &e))?;
            let at = copying.progress();
            let total = u64::try_from(at.pagecount).unwrap_or(0);
            progress(total.saturating_sub(u64::try_from(at.remaining).unwrap_or(0)), total);
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                // Nobody else has the copy, and a reader of the store is never in anybody's way.
                _ => return Err(StoreError::InUse { path: to.to_owned() }),
            }
        }
    }
    drop(into);
    File::open(to).and_then(|file| file.sync_all()).map_err(|e| StoreError::io(to, &e))
}
