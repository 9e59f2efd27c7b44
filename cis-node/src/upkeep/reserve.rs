//! Disk space that is reserved for cleaning: a file in the home that is removed when the disk is full, and restored
//! when there is space.
//!
//! Owns that file. Knows nothing of what is cleaned.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use cis_host::allocate;
use cis_local::open_regular;
use cis_store::noise;

/// Size of the reserve, bytes: enough for what a cleaning of some ten thousand runs records, and for the
/// files that SQLite makes.
const RESERVE_BYTES: usize = 1 << 20;
/// The reserve is made only if at least this much is free, bytes.
const ROOM_BYTES: u64 = 16 << 20;

fn path(home: &Path) -> PathBuf {
    home.join("disk-reserve")
}

/// Returns the bytes that this user can still write. `None`: unknown.
pub(crate) fn free_bytes(home: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(home).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Whether the reserve exists.
pub(super) fn is_whole(home: &Path) -> bool {
    fs::symlink_metadata(path(home)).is_ok_and(|meta| meta.len() >= RESERVE_BYTES as u64)
}

/// Makes the reserve of `home`, unless it is there or the disk is nearly full.
pub(crate) fn keep(home: &Path) {
    keep_with(home, ROOM_BYTES);
}

/// Restores the reserve after it was released, if the cleaning freed at least as much.
pub(super) fn take_back(home: &Path) {
    keep_with(home, 2 * RESERVE_BYTES as u64);
}

fn keep_with(home: &Path, room_bytes: u64) {
    let path = path(home);
    if is_whole(home) || free_bytes(home).is_none_or(|free| free < room_bytes) {
        return;
    }
    if let Err(error) = make(&path) {
        let _ = fs::remove_file(&path);
        tracing::warn!(%error, path = %path.display(), "cannot reserve disk space for cleaning");
    }
}

fn make(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = open_regular(&mut options, path)?;
    if allocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES as u64)? {
        return Ok(());
    }
    // A file system that compresses keeps no space for zeros.
    file.write_all(&noise(RESERVE_BYTES))
}

/// Frees the space of the reserve. Returns whether there was a reserve.
pub(crate) fn release(home: &Path) -> bool {
    fs::remove_file(path(home)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_takes_its_space_until_it_is_released() {
        let home = tempfile::tempdir().unwrap();
        assert!(!release(home.path()));
        keep(home.path());
        let made = fs::metadata(path(home.path())).unwrap();
        assert_eq!(made.len(), RESERVE_BYTES as u64);
        keep(home.path());
        assert_eq!(fs::metadata(path(home.path())).unwrap().modified().unwrap(), made.modified().unwrap());
        fs::write(path(home.path()), "cut short").unwrap();
        keep(home.path());
        assert_eq!(fs::metadata(path(home.path())).unwrap().len(), RESERVE_BYTES as u64);
        assert!(release(home.path()));
        assert!(!path(home.path()).exists());
    }
}
