//! Where the directory of a home is now: somebody can move it while its node runs.
//!
//! A process keeps the path with which it was started. After a move, that path leads to nothing, or to another home.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

/// An open directory.
#[derive(Debug)]
pub struct Anchor {
    path: PathBuf,
    directory: OwnedFd,
    /// Device and inode.
    identity: (u64, u64),
}

impl Anchor {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn at(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self::of(path, open(path, flags, Mode::empty())?)
    }

    /// Returns the anchor of a directory that is open already, and was once at `path`.
    ///
    /// # Errors
    /// Its identity cannot be read.
    pub fn of(path: &Path, directory: OwnedFd) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&directory)?;
        Ok(Self { path: path.to_owned(), directory, identity: (stat.st_dev, stat.st_ino) })
    }

    /// Returns the path that the directory has now, if it was moved. `None`: it is in place, or it has no path any more.
    /// Costs one system call while it is in place.
    #[must_use]
    pub fn moved_to(&self) -> Option<PathBuf> {
        if self.is_at(&self.path) {
            return None;
        }
        let path = fs::read_link(format!("/proc/self/fd/{}", self.directory.as_raw_fd())).ok()?;
        // The path of a directory that was removed, or whose file system was detached, leads elsewhere.
        self.is_at(&path).then_some(path)
    }

    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity)
    }
}

impl AsFd for Anchor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_found_after_each_move_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.join(name));
        fs::create_dir(&a).unwrap();
        let anchor = Anchor::at(&a).unwrap();
        assert_eq!(anchor.moved_to(), None);
        fs::rename(&a, &b).unwrap();
        assert_eq!(anchor.moved_to(), Some(b.clone()));
        fs::create_dir(&a).unwrap();
        assert_eq!(anchor.moved_to(), Some(b.clone()), "another one is in its place");
        fs::create_dir(&c).unwrap();
        fs::rename(&b, c.join("b")).unwrap();
        fs::rename(&c, folder.join("d")).unwrap();
        assert_eq!(anchor.moved_to(), Some(folder.join("d/b")), "one above it was moved");
        fs::remove_dir(&a).unwrap();
        fs::rename(folder.join("d/b"), &a).unwrap();
        assert_eq!(anchor.moved_to(), None, "it is back");
        fs::remove_dir(&a).unwrap();
        assert_eq!(anchor.moved_to(), None, "it has no path");
    }
}
