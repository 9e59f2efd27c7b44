//! A lock file that says who holds it and where the holder listens.
//!
//! The lock itself (flock(2)) ends with the process. The content of the file is valid only while the lock is
//! held.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::regular::open_regular;

/// Number of attempts to take the lock, and the pause between them. A process that only looks at the lock holds
/// it for some µs, and must not keep others from taking it.
const ATTEMPTS: (u32, Duration) = (25, Duration::from_millis(2));
/// Maximum length of the file, bytes: a path (PATH_MAX) and a few words.
const TEXT_BYTES_MAX: u64 = 8192;
/// First line of a file that is in use. After a session host was killed, the file still begins with this
/// line.
const LIVE: &str = "live";
/// Begins the line with the identity of the file, by which a copy is recognized.
const FILE: &str = "file ";
/// Content of a file that is not in use. An empty file would need new space on a full disk.
const ENDED: &[u8] = b"ended\n";

/// The process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Pid of the process.
    pub pid: u32,
    /// The socket at which the process listens.
    pub socket: PathBuf,
}

/// State of a lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// No process holds the lock.
    Free,
    /// A process holds the lock; `None` while the process has not written its name yet.
    Held(Option<Holder>),
}

/// A lock that this process holds until the value is dropped.
#[derive(Debug)]
pub struct LockFile(File);

impl LockFile {
    /// Takes the lock. `None`: another process holds it.
    ///
    /// # Errors
    /// The file cannot be made or locked.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = open_regular(&mut options, path)?;
        let (times, pause) = ATTEMPTS;
        for _ in 0..times {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self(file))),
                Err(Errno::WOULDBLOCK) => std::thread::sleep(pause),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The lock that an earlier program of this process held by the same open file.
    #[must_use]
    pub fn held_by(file: OwnedFd) -> Self {
        Self(file.into())
    }

    /// Whether the previous holder ended without [`Self::clear`]. A copy of a lock file had no holder.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn was_left(&mut self) -> io::Result<bool> {
        let text = text_of(&self.0)?;
        Ok(!text.is_empty() && text != ENDED && !is_copy(&text, &identity(&self.0)?))
    }

    /// Returns the holder that [`Self::name`] wrote last, unless [`Self::clear`] was called since.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        read(&self.0).ok().flatten()
    }

    /// Marks the file as in use, without naming the holder yet.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(&mut self) -> io::Result<()> {
        let text = format!("{LIVE}\n{FILE}{}\n", identity(&self.0)?);
        self.write(text.as_bytes())
    }

    /// Writes the name of the holder.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn name(&mut self, holder: &Holder) -> io::Result<()> {
        let identity = identity(&self.0)?;
        let mut text = format!("{LIVE}\n{FILE}{identity}\npid {}\nsocket ", holder.pid).into_bytes();
        text.extend_from_slice(holder.socket.as_os_str().as_bytes());
        text.push(b'\n');
        self.write(&text)
    }

    /// Marks the file as not in use: the holder ends normally.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn clear(&mut self) -> io::Result<()> {
        self.write(ENDED)
    }

    /// Writes the whole text in one call, so that no process reads half of it.
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.0.rewind()?;
        self.0.write_all(text)?;
        self.0.set_len(text.len() as u64)
    }
}

impl AsFd for LockFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Reads whether a lock is held, and by which process.
///
/// # Errors
/// The file cannot be opened. If the file does not exist, the lock was never held.
pub fn look(path: &Path) -> io::Result<Lock> {
    let file = open_regular(File::options().read(true), path)?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Lock::Free),
        Err(Errno::WOULDBLOCK) => Ok(Lock::Held(read(&file)?)),
        Err(error) => Err(error.into()),
    }
}

/// Whether a process holds the lock. A lock whose file does not exist was never held.
///
/// # Errors
/// The file cannot be opened, so a process may hold the lock.
pub fn is_held(path: &Path) -> io::Result<bool> {
    match look(path) {
        Ok(lock) => Ok(lock != Lock::Free),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether no process holds the lock, and its last holder called [`LockFile::clear`].
///
/// # Errors
/// The file cannot be opened or read.
pub fn is_cleared(path: &Path) -> io::Result<bool> {
    let is_free = look(path)? == Lock::Free;
    Ok(is_free && std::fs::read(path)? == ENDED)
}

/// Whether a file does not exist, according to the error of opening it.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read(file: &File) -> io::Result<Option<Holder>> {
    let text = text_of(file)?;
    Ok(parse(&text).filter(|_| identity(file).is_ok_and(|identity| !is_copy(&text, &identity))))
}

/// Returns the content. Empty if the file became shorter meanwhile.
fn text_of(file: &File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len().min(TEXT_BYTES_MAX);
    let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
    match file.read_exact_at(&mut text, 0) {
        Ok(()) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Device and inode of a file. They stay the same if the file is moved, and no copy has them.
fn identity(file: &File) -> io::Result<String> {
    let meta = file.metadata()?;
    Ok(format!("{}:{}", meta.dev(), meta.ino()))
}

/// Whether this text was written into another file than that of this identity. An earlier version did not write the identity.
fn is_copy(text: &[u8], identity: &str) -> bool {
    let written =
        text.split(|byte| *byte == b'\n').nth(1).and_then(|line| line.strip_prefix(FILE.as_bytes()));
    written.is_some_and(|written| written != identity.as_bytes())
}

/// Parses the content. A path may contain newlines, so it is the last entry and ends at the last newline.
fn parse(text: &[u8]) -> Option<Holder> {
    let rest = text.strip_prefix(LIVE.as_bytes())?.strip_prefix(b"\n")?;
    let rest = match rest.strip_prefix(FILE.as_bytes()) {
        Some(file) => &file[file.iter().position(|byte| *byte == b'\n')? + 1..],
        None => rest,
    };
    let rest = rest.strip_prefix(b"pid ")?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let pid = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    let path = rest[end..].strip_prefix(b"\nsocket ")?.strip_suffix(b"\n")?;
    let socket = PathBuf::from(OsString::from_vec(path.to_vec()));
    socket.is_absolute().then_some(Holder { pid, socket })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_names_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(look(&path).is_err());
        let mut lock = LockFile::take(&path).unwrap().unwrap();
        assert!(!lock.was_left().unwrap());
        assert_eq!(look(&path).unwrap(), Lock::Held(None));
        lock.begin().unwrap();
        assert_eq!(look(&path).unwrap(), Lock::Held(None));
        assert!(LockFile::take(&path).unwrap().is_none());
        for name in ["/run/a", "/run/a name\nwith a newline"] {
            let holder = Holder { pid: 42, socket: name.into() };
            lock.name(&holder).unwrap();
            assert_eq!(look(&path).unwrap(), Lock::Held(Some(holder)));
        }
        drop(lock);
        assert_eq!(look(&path).unwrap(), Lock::Free);
        assert!(!is_cleared(&path).unwrap());
        let mut lock = LockFile::take(&path).unwrap().unwrap();
        assert!(lock.was_left().unwrap(), "its holder did not clear it");
        assert_eq!(lock.holder().map(|before| before.pid), Some(42));
        lock.clear().unwrap();
        assert!(!is_cleared(&path).unwrap(), "it is held");
        drop(lock);
        assert!(is_cleared(&path).unwrap());
        assert!(!LockFile::take(&path).unwrap().unwrap().was_left().unwrap());
    }

    #[test]
    fn a_copy_of_a_lock_file_was_left_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let [path, moved, copy] = ["lock", "moved", "copy"].map(|name| folder.path().join(name));
        let mut lock = LockFile::take(&path).unwrap().unwrap();
        let holder = Holder { pid: 42, socket: "/run/a".into() };
        lock.name(&holder).unwrap();
        std::fs::copy(&path, &copy).unwrap();
        let mut copied = LockFile::take(&copy).unwrap().unwrap();
        assert_eq!((copied.was_left().unwrap(), copied.holder()), (false, None));
        lock.begin().unwrap();
        drop(copied);
        std::fs::copy(&path, &copy).unwrap();
        assert!(!LockFile::take(&copy).unwrap().unwrap().was_left().unwrap());
        lock.name(&holder).unwrap();
        drop(lock);
        std::fs::rename(&path, &moved).unwrap();
        let mut moved = LockFile::take(&moved).unwrap().unwrap();
        assert_eq!((moved.was_left().unwrap(), moved.holder()), (true, Some(holder.clone())));
        std::fs::write(&path, "live\npid 42\nsocket /run/a\n").unwrap();
        let mut earlier = LockFile::take(&path).unwrap().unwrap();
        assert_eq!(
            (earlier.was_left().unwrap(), earlier.holder()),
            (true, Some(holder)),
            "an earlier version's"
        );
    }

    #[test]
    fn a_malformed_lock_file_names_no_holder() {
        let bad: [&[u8]; 6] = [
            b"",
            b"live\n",
            b"live\npid x\nsocket /a\n",
            b"live\npid 7\n",
            b"live\npid 7\nsocket a\n",
            b"\xff",
        ];
        for text in bad {
            assert_eq!(parse(text), None);
        }
        assert!(parse(b"live\npid 7\nsocket /a\n").is_some());
    }

    #[test]
    fn looking_at_a_lock_does_not_block_taking_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        File::create(&path).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    look(&path).unwrap();
                    std::thread::yield_now();
                }
            });
            let taken = (0..100).all(|_| LockFile::take(&path).unwrap().is_some());
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(taken);
        });
    }
}
