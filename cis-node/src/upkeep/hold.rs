//! Who may remove files of a home, and who may rely on them: one lock (flock, so that a crash frees it).
//! Its file's time is when the home was last cleaned.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::error::UpkeepError;
use cis_local::open_regular;

/// How long a backup waits for a cleaning.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// What the file says; the lengths differ.
const CLEANED: &str = "cleaned\n";
const PUT_OFF: &str = "put off once\n";

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Hold(File);

fn path(home: &Path) -> PathBuf {
    home.join("upkeep.lock")
}

/// When this home was last cleaned, or that was put off; none: never, or that is not known.
pub(super) fn last_cleaned(home: &Path) -> Option<SystemTime> {
    let meta = std::fs::symlink_metadata(path(home)).ok()?;
    // Made with the lock, before anything was cleaned.
    meta.modified().ok().filter(|_| meta.len() > 0)
}

/// Whether it was put off then.
pub(super) fn was_put_off(home: &Path) -> bool {
    std::fs::symlink_metadata(path(home)).is_ok_and(|meta| meta.len() == PUT_OFF.len() as u64)
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

    /// To read files that must not go away meanwhile. Waits a while for a cleaning.
    pub(super) fn shared(home: &Path, patience: Duration) -> Result<Self, UpkeepError> {
        let file = open(home)?;
        let give_up = Instant::now() + patience;
        loop {
            match file.try_lock_shared() {
                Ok(()) => return Ok(Self(file)),
                // Nothing tells when somebody else's lock is released: polled.
                Err(TryLockError::WouldBlock) if Instant::now() < give_up => std::thread::sleep(LOOK_EVERY),
                Err(TryLockError::WouldBlock) => return Err(busy(home, "a cleaning")),
                Err(TryLockError::Error(source)) => {
                    return Err(UpkeepError::file("lock", &path(home))(source));
                }
            }
        }
    }

    /// Notes that it was cleaned now.
    pub(super) fn cleaned(&self, now: SystemTime) -> io::Result<()> {
        self.note(CLEANED, now)
    }

    /// Notes that it would have been cleaned now.
    pub(super) fn put_off(&self, now: SystemTime) -> io::Result<()> {
        self.note(PUT_OFF, now)
    }

    fn note(&self, what: &str, now: SystemTime) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        self.0.write_all_at(what.as_bytes(), 0)?;
        self.0.set_len(what.len() as u64)?;
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
        let (one, two) = (
            Hold::shared(dir.path(), Duration::ZERO).unwrap(),
            Hold::shared(dir.path(), Duration::ZERO).unwrap(),
        );
        assert!(matches!(Hold::alone(dir.path()), Err(UpkeepError::Busy { .. })));
        drop((one, two));
        let cleaner = Hold::alone(dir.path()).unwrap();
        assert!(matches!(Hold::shared(dir.path(), Duration::ZERO), Err(UpkeepError::Busy { .. })));
        assert_eq!(last_cleaned(dir.path()), None);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        cleaner.cleaned(now).unwrap();
        assert_eq!((last_cleaned(dir.path()), was_put_off(dir.path())), (Some(now), false));
        cleaner.put_off(now).unwrap();
        assert_eq!((last_cleaned(dir.path()), was_put_off(dir.path())), (Some(now), true));
        cleaner.cleaned(now).unwrap();
        assert!(!was_put_off(dir.path()));
    }
}
