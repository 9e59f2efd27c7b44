//! Who may remove files of a home, and who may rely on them: one lock (flock, so that a crash frees it).
//! Its file's time is when the home was last cleaned.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::error::UpkeepError;
use cis_local::open_regular;

/// How long a backup or a cleaning that somebody asked for waits for the other.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// What the file says; the lengths differ.
const CLEANED: &str = "cleaned\n";
const PUT_OFF: &str = "put off once\n";

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Held until it is dropped. None: the file system is read-only and has no lock file, so nobody can hold the lock.
#[derive(Debug)]
pub(super) struct Hold(Option<File>);

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

/// Whether a backup or a cleaning would wait now: `alone` for a lock that excludes both, otherwise for a shared one.
#[must_use]
pub fn is_busy(home: &Path, alone: bool) -> bool {
    let Ok(file) = open_regular(OpenOptions::new().read(true), &path(home)) else { return false };
    let taken = if alone { file.try_lock() } else { file.try_lock_shared() };
    matches!(taken, Err(TryLockError::WouldBlock))
}

impl Hold {
    /// To remove files. Waits a while for backups, and for another cleaning, as long as somebody `wants` it.
    pub(super) fn alone(
        home: &Path,
        patience: Duration,
        wants: impl Fn() -> bool,
    ) -> Result<Self, UpkeepError> {
        let file = open(home)?;
        wait(home, patience, wants, "a backup, or a cleaning,", || file.try_lock())?;
        Ok(Self(Some(file)))
    }

    /// To read files that must not go away meanwhile. Waits a while for a cleaning, as long as somebody `wants` it.
    pub(super) fn shared(
        home: &Path,
        patience: Duration,
        wants: impl Fn() -> bool,
    ) -> Result<Self, UpkeepError> {
        let Some(file) = open_to_read(home)? else { return Ok(Self(None)) };
        wait(home, patience, wants, "a cleaning", || file.try_lock_shared())?;
        Ok(Self(Some(file)))
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
        let Some(file) = &self.0 else { return Ok(()) };
        file.write_all_at(what.as_bytes(), 0)?;
        file.set_len(what.len() as u64)?;
        file.set_modified(now)
    }
}

/// Takes the lock with `take`, for which it waits at most this long. `what`: what else may hold it.
fn wait(
    home: &Path,
    patience: Duration,
    wants: impl Fn() -> bool,
    what: &'static str,
    take: impl Fn() -> Result<(), TryLockError>,
) -> Result<(), UpkeepError> {
    let give_up = Instant::now() + patience;
    loop {
        match take() {
            Ok(()) => return Ok(()),
            // Nothing tells when somebody else's lock is released: polled.
            Err(TryLockError::WouldBlock) if Instant::now() < give_up && wants() => {
                std::thread::sleep(LOOK_EVERY);
            }
            Err(TryLockError::WouldBlock) => return Err(UpkeepError::Busy { what, home: home.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(UpkeepError::file("lock", &path(home))(source)),
        }
    }
}

/// Opens the file, on a read-only file system only for reading. None: there it does not exist.
fn open_to_read(home: &Path) -> Result<Option<File>, UpkeepError> {
    match open(home) {
        Err(UpkeepError::File { source, .. }) if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {}
        opened => return opened.map(Some),
    }
    let path = path(home);
    match open_regular(OpenOptions::new().read(true), &path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(UpkeepError::file("open the lock", &path)(error)),
    }
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
    fn a_cleaner_waits_for_readers_and_they_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let reader = Hold::shared(dir.path(), Duration::ZERO, || true).unwrap();
        std::thread::scope(|scope| {
            let cleaner = scope.spawn(|| Hold::alone(dir.path(), PATIENCE, || true).unwrap());
            drop(reader);
            let cleaner = cleaner.join().unwrap();
            let reader = scope.spawn(|| Hold::shared(dir.path(), PATIENCE, || true).unwrap());
            drop(cleaner);
            reader.join().unwrap();
        });
    }

    #[test]
    fn readers_share_and_keep_a_cleaner_out() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (
            Hold::shared(dir.path(), Duration::ZERO, || true).unwrap(),
            Hold::shared(dir.path(), Duration::ZERO, || true).unwrap(),
        );
        assert!(matches!(Hold::alone(dir.path(), Duration::ZERO, || true), Err(UpkeepError::Busy { .. })));
        assert!(is_busy(dir.path(), true) && !is_busy(dir.path(), false));
        drop((one, two));
        assert!(!is_busy(dir.path(), true));
        let cleaner = Hold::alone(dir.path(), Duration::ZERO, || true).unwrap();
        assert!(is_busy(dir.path(), true) && is_busy(dir.path(), false));
        assert!(matches!(Hold::shared(dir.path(), Duration::ZERO, || true), Err(UpkeepError::Busy { .. })));
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
