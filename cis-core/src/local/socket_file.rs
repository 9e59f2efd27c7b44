//! The file by which a listening socket is found. Cleaners of temporary directories remove it, and so does a person;
//! the process listens on, and nobody can reach it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::directory::{DirectoryError, check_own, check_parent};

/// A socket's file, told from any other that stands at its path later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode; none where it was gone at once.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// The one that stands there now.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let identity = identity(&path);
        Self { path, identity }
    }

    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it still stands there. One system call.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.identity.is_some() && identity(&self.path) == self.identity
    }

    /// Removes it, unless another one stands there.
    pub fn remove(&self) {
        if self.is_in_place() {
            // Nobody listens any more: whoever finds it is refused.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Makes the directory of a socket, and what is above it, where that is missing; removes what stands at the socket's
/// path. Whoever calls this holds the lock that goes with the path.
///
/// # Errors
/// The directory cannot be made or is not safe, or what stands there cannot be removed.
pub fn make_way(socket: &Path) -> Result<(), DirectoryError> {
    let directory = socket.parent().unwrap_or(socket);
    let failed = |source| DirectoryError::Io { path: directory.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    check_own(directory)?;
    let real = directory.canonicalize().map_err(failed)?;
    check_parent(real.parent().unwrap_or(&real))?;
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_file_is_in_place_until_it_is_removed_or_replaced() {
        let folder = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .tempdir()
            .unwrap();
        let path = folder.path().join("run/a/s");
        assert!(!SocketFile::at(&path).is_in_place());
        make_way(&path).unwrap();
        let _first = UnixListener::bind(&path).unwrap();
        let file = SocketFile::at(&path);
        assert!(file.is_in_place());
        make_way(&path).unwrap();
        assert!(!file.is_in_place(), "removed");
        let _second = UnixListener::bind(&path).unwrap();
        assert!(!file.is_in_place(), "replaced");
        file.remove();
        assert!(path.exists(), "another one's is left alone");
        let file = SocketFile::at(&path);
        fs::remove_dir_all(folder.path().join("run")).unwrap();
        assert!(!file.is_in_place(), "with its directory");
    }
}
