//! The file of a listening socket. A cleaner of temporary directories or a person can remove it; then the process
//! still listens, but no client can reach it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::directory::{DirectoryError, check_own, check_parent};
use super::peer::credentials;

/// A socket's file, distinguished from a later file at the same path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode; none if the file was already gone.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// The file that is at `path` now.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let identity = identity(&path);
        Self { path, identity }
    }

    /// The file with this identity, whatever is at `path` now.
    #[must_use]
    pub fn with_identity(path: impl Into<PathBuf>, identity: Option<(u64, u64)>) -> Self {
        Self { path: path.into(), identity }
    }

    /// Device and inode of the file. `None`: the file was already gone.
    #[must_use]
    pub fn identity(&self) -> Option<(u64, u64)> {
        self.identity
    }

    /// Path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is still at its path. Costs one system call.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.identity.is_some() && identity(&self.path) == self.identity
    }

    /// Removes the file, unless another file has replaced it.
    pub fn remove(&self) {
        if self.is_in_place() {
            // A leftover file is harmless: connections to it are refused.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// A process that has released its lock closes its socket within this time.
const CLOSES: (u32, Duration) = (50, Duration::from_millis(10));

/// Creates the missing directories of a socket's path, and removes an old file at that path. The caller must hold
/// the lock that belongs to the path.
///
/// # Errors
/// A directory cannot be created or is not safe, the old file cannot be removed, or a process listens there: that of a home
/// that was at the same place before.
pub fn make_way(socket: &Path) -> Result<(), DirectoryError> {
    let directory = socket.parent().unwrap_or(socket);
    let failed = |source| DirectoryError::Io { path: directory.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    check_own(directory)?;
    let real = directory.canonicalize().map_err(failed)?;
    check_parent(real.parent().unwrap_or(&real))?;
    check_unused(socket)?;
    match fs::remove_file(socket) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            Err(DirectoryError::Occupied { path: socket.to_owned() })
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Checks that no process listens at this path. The caller must hold the lock that belongs to the path: who listens there is of another
/// home.
///
/// # Errors
/// [`DirectoryError::InUse`].
pub fn check_unused(socket: &Path) -> Result<(), DirectoryError> {
    let (times, pause) = CLOSES;
    let mut found = listener(socket);
    for _ in 1..times {
        if found.is_none() {
            return Ok(());
        }
        thread::sleep(pause);
        found = listener(socket);
    }
    match found {
        Some(Listener { pid }) => Err(DirectoryError::InUse { path: socket.to_owned(), pid }),
        None => Ok(()),
    }
}

/// A process that listens at a socket.
struct Listener {
    /// None: it is busy, and cannot be told.
    pid: Option<u32>,
}

/// Who listens at this path. Does not wait for it.
fn listener(path: &Path) -> Option<Listener> {
    let address = SocketAddrUnix::new(path).ok()?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    match connect(&socket, &address) {
        Ok(()) => Some(Listener { pid: credentials(socket.as_fd()).ok().and_then(|(pid, _)| pid) }),
        // Its backlog is full (connect(2)).
        Err(Errno::AGAIN) => Some(Listener { pid: None }),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_file_is_in_place_until_it_is_removed_or_replaced() {
        let folder = crate::testing::private_directory();
        let path = folder.path().join("run/a/s");
        assert!(!SocketFile::at(&path).is_in_place());
        make_way(&path).unwrap();
        let _first = UnixListener::bind(&path).unwrap();
        let file = SocketFile::at(&path);
        assert!(file.is_in_place());
        let refused = make_way(&path).unwrap_err();
        let own = Some(std::process::id());
        assert!(matches!(refused, DirectoryError::InUse { pid, .. } if pid == own), "{refused}");
        assert!(file.is_in_place());
        fs::remove_file(&path).unwrap();
        make_way(&path).unwrap();
        assert!(!file.is_in_place(), "removed");
        let _second = UnixListener::bind(&path).unwrap();
        assert!(!file.is_in_place(), "replaced");
        fs::create_dir_all(path.with_extension("d")).unwrap();
        let refused = make_way(&path.with_extension("d")).unwrap_err().to_string();
        assert!(refused.contains("a directory is in the place") && refused.contains("`rm -r "), "{refused}");
        file.remove();
        assert!(path.exists(), "another one's is left alone");
        let file = SocketFile::at(&path);
        fs::remove_dir_all(folder.path().join("run")).unwrap();
        assert!(!file.is_in_place(), "with its directory");
    }
}
