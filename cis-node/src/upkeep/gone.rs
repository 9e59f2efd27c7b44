//! A home whose store is gone: nothing may take it for a new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::bring_back::ASIDE;
use cis_local::Home;

/// The home holds logs of sessions, but no store.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot open the store {}: it is missing or empty, but {} holds logs of its sessions; restore a backup \
     (`cis store restore FILE --force`), or move that directory away to start with an empty store",
    database.display(), logs.display()
)]
pub struct StoreGone {
    database: PathBuf,
    logs: PathBuf,
}

/// A home without a store has the directory of a restore that did not end.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no store at {}: a restore was interrupted, which left {}; run `cis store restore FILE --force`, or move that \
     directory away to start with an empty store: it has files of the backup",
    database.display(), left.display()
)]
pub struct HalfRestored {
    database: PathBuf,
    left: PathBuf,
}

/// Refuses a home without a store in which a restore was interrupted.
///
/// # Errors
/// The store is not there, because the restore has not put it in place.
pub fn refuse_half_restored(home: &Home) -> Result<(), HalfRestored> {
    let database = home.database();
    if fs::symlink_metadata(&database).is_ok() {
        return Ok(());
    }
    let entries = fs::read_dir(&home.dir).into_iter().flatten().flatten();
    let mut left = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(ASIDE.as_bytes()));
    match left.next() {
        Some(left) => Err(HalfRestored { database, left: left.path() }),
        None => Ok(()),
    }
}

/// Refuses a home with logs whose store is missing or empty.
///
/// # Errors
/// All events are lost.
pub fn refuse_gone(home: &Home) -> Result<(), StoreGone> {
    let (database, logs) = (home.database(), home.logs());
    let is_gone = |file: &Path| match fs::metadata(file) {
        Ok(metadata) => metadata.len() == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    // What a write-ahead log without its database holds is said where the store is opened.
    let is_gone = is_gone(&database)
        && is_gone(&database.with_extension("db-wal"))
        && fs::read_dir(&logs).is_ok_and(|mut all| all.next().is_some());
    if is_gone { Err(StoreGone { database, logs }) } else { Ok(()) }
}
