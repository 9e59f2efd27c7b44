//! Finds out whether a disk accepts bytes by writing some: statistics do not include quotas.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Writes this number of bytes to a file in `dir` and removes the file.
///
/// # Errors
/// [`io::ErrorKind::StorageFull`] or [`io::ErrorKind::QuotaExceeded`]: the disk is full.
pub fn try_room(dir: &Path, bytes: usize) -> io::Result<()> {
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!("room-{}-{number}", std::process::id()));
    // An earlier process with the same pid may have left it.
    let _ = fs::remove_file(&path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    // Without a name, a crash leaves nothing behind.
    fs::remove_file(&path)?;
    file.write_all(&noise(bytes))
}

/// Returns bytes that a file system cannot compress.
#[must_use]
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_room_is_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        try_room(dir.path(), 100_001).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(noise(100_001).len(), 100_001);
        assert_eq!(try_room(&dir.path().join("none"), 1).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
