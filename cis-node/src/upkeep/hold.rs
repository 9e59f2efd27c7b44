//! Who may remove files of a home, and who may rely on them: one lock (flock, so that a crash frees it).
//! Its file's time is when the home was last cleaned.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::UpkeepError;
use cis_local::open_regular;

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Hold(File);

fn path(home: &Path) -> PathBuf {
    home.join("upkeep.lock")
}

/// When this home was last cleaned; none: never, or that is not known.
pub(super) fn last_cleaned(home: &Path) -> Option<SystemTime> {
    let meta = std::fs::symlink_metadata(path(home)).ok()?;
    // Made with the lock, before anything was cleaned.
    meta.modified().ok().filter(|_| meta.len() > 0)
}

impl Hold {
    /// To remove files. Does not wait.
    pub(super) fn alone(home: &Path) -> Result<Self, UpkeepError> {
        let file = open(home)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(busy(home, "a backup, or a cleaning,")),
            Err(TryLockError::Error(source)) => Err(UpkeepError::file("lock", &path(home))(source)),
        }
    }

    /// To read files that must not go away meanwhile. Does not wait.
    pub(super) fn shared(home: &Path) -> Result<Self, UpkeepError> {
        let file = open(home)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(busy(home, "a cleaning")),
            Err(TryLockError::Error(source)) => Err(UpkeepError::file("lock", &path(home))(source)),
        }
    }

    /// Notes that it was cleaned now.
    pub(super) fn cleaned(&self, now: SystemTime) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        self.0.write_all_at(b"cleaned\n", 0)?;
        self.0.set_modified(now)
    }
}

fn busy(home: &Path, what: &'static str) -> UpkeepError {
    UpkeepError::Busy { what, home: home.to_owned() }
}

fn open(home: &Path) -> Result<File, UpkeepError> {
    let path = path(home);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    open_regular(&mut options, &path).map_err(UpkeepError::file("open the lock", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_keep_a_cleaner_out() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Hold::shared(dir.path()).unwrap(), Hold::shared(dir.path()).unwrap());
        assert!(matches!(Hold::alone(dir.path()), Err(UpkeepError::Busy { .. })));
        drop((one, two));
        let cleaner = Hold::alone(dir.path()).unwrap();
        assert!(matches!(Hold::shared(dir.path()), Err(UpkeepError::Busy { .. })));
        assert_eq!(last_cleaned(dir.path()), None);
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        cleaner.cleaned(now).unwrap();
        assert_eq!(last_cleaned(dir.path()), Some(now));
    }
}
