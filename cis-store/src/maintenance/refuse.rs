//! What is looked at before SQLite opens a store: it would drop a write-ahead log that is damaged, or has no database.

use std::fs::File;
use std::io;
use std::path::Path;

use super::bytes::PAGE_BYTES;
use super::salvage;
use super::wal::{Log, damage, is_empty};
use crate::error::StoreError;
use crate::schema::{self, beside};

/// Refuses a store whose log is damaged, before SQLite opens it. The caller has the lock of the store.
///
/// # Errors
/// [`StoreError::Corrupt`]: committed transactions would be lost. Nothing was changed.
pub(crate) fn refuse_damaged(path: &Path) -> Result<(), StoreError> {
    let found = || {
        let log = match File::open(beside(path, "-wal")) {
            Ok(file) => Log::read(&file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Log::default(),
            Err(error) => return Err(error),
        };
        damage(path, &log)
    };
    let detail = match orphan(path)? {
        None => found().map_err(|error| StoreError::io(path, &error))?,
        orphan => orphan,
    };
    detail.map_or(Ok(()), |detail| Err(StoreError::Corrupt { path: path.to_owned(), detail }))
}

/// Refuses the same before a reader opens the store, unless another process has the store.
///
/// # Errors
/// As [`refuse_damaged`].
pub(super) fn refuse_damaged_unless_in_use(path: &Path) -> Result<(), StoreError> {
    // A store that was closed in good order, and a copy, have no log.
    let has_log = ["-wal", "-shm"].iter().any(|suffix| beside(path, suffix).exists());
    if !has_log {
        return Ok(());
    }
    match schema::lock(path) {
        Ok(_lock) => refuse_damaged(path),
        Err(_) => Ok(()),
    }
}

/// Refuses a path where there is neither a database nor a write-ahead log of one.
///
/// # Errors
/// [`StoreError::Missing`], or that cannot be found out.
pub fn refuse_missing(path: &Path) -> Result<(), StoreError> {
    for file in [path.to_owned(), beside(path, "-wal")] {
        if file.try_exists().map_err(|error| StoreError::io(&file, &error))? {
            return Ok(());
        }
    }
    Err(StoreError::Missing { path: path.to_owned() })
}

/// Describes a log with events whose database is missing or empty: SQLite would remove the log. The caller has the
/// lock of the store.
pub(super) fn orphan(path: &Path) -> Result<Option<String>, StoreError> {
    let log = beside(path, "-wal");
    if !log.exists() || !is_empty(path).map_err(|error| StoreError::io(path, &error))? {
        return Ok(None);
    }
    let (events, _) = salvage::scan(path, &mut |_| Ok(()))?;
    let what = if path.exists() { "the file is empty" } else { "the file is missing" };
    let count = match events.len() {
        0 => return Ok(None),
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    };
    Ok(Some(format!("{what}, but its write-ahead log {} has {count}", log.display())))
}

/// Makes the database of an orphan log, without content, so that SQLite reads all pages from the log. A node still
/// refuses to start.
pub(super) fn adopt_orphan(path: &Path) -> Result<(), StoreError> {
    if orphan(path)?.is_none() {
        return Ok(());
    }
    let adopt = || {
        let log = Log::read(&File::open(beside(path, "-wal"))?)?;
        schema::private(path)?.set_len(u64::from(log.size.max(1)) * PAGE_BYTES as u64)
    };
    adopt().map_err(|error| StoreError::io(path, &error))
}
