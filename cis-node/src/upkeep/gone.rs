//! A home whose store is gone: nothing may take it for a new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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
