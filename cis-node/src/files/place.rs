//! Putting files in place below a directory, all or none: written beside their places first, renamed
//! when every one is there and whole.

use std::ffi::CStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    Access, AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, accessat, fchmod, flock, fstat,
};
use rustix::fs::{mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::tree::split;
use super::{FilesError, STAGING, Tree, is_own_group};

/// What stands at a path where a regular file is to be put: one, or nothing.
///
/// # Errors
/// Something else stands there, or a part of the path is no directory of the same file system that can be
/// written to.
pub(crate) fn fits(tree: &mut Tree, rel: &Path) -> Result<Option<File>, FilesError> {
    let full = tree.path().join(rel);
    let refuse = |why: String| FilesError::Place { path: full.clone(), why };
    let root = fstat(tree.root()).map_err(|error| refuse(error.to_string()))?;
    // The deepest directory that is there.
    let mut above = split(rel).0;
    let mut whole = true;
    loop {
        match tree.dir(above) {
            Ok(dir) => {
                let writable = accessat(dir, c".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty());
                writable.map_err(|error| refuse(error.to_string()))?;
                let there = fstat(dir).map_err(|error| refuse(error.to_string()))?;
                if there.st_dev != root.st_dev {
                    return Err(refuse("its directory lies on another file system".to_owned()));
                }
                break;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                whole = false;
                above = split(above).0;
            }
            Err(_) => return Err(refuse("a part of its path is a link or no directory".to_owned())),
        }
    }
    if !whole {
        return Ok(None);
    }
    match tree.kind(rel) {
        Ok(None) => Ok(None),
        Ok(Some(FileType::RegularFile)) => tree.file(rel).map(Some),
        Ok(Some(_)) => Err(refuse("a link, a directory or something else stands there".to_owned())),
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// A directory in which nothing was written for so long, and which nobody has locked, was left, s.
const LEFT_SECS: u64 = 3600;

/// Files that wait next to their places. Dropped, what is left of them is removed.
pub(crate) struct Staging {
    tree: Tree,
    name: String,
    dir: OwnedFd,
    count: usize,
}

/// A staged file that is being written.
pub(crate) struct Staged {
    number: usize,
    file: File,
    /// The directory that it is in.
    dir: PathBuf,
}

impl Staged {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        self.file.write_all(bytes).map_err(|source| FilesError::Write { path: self.dir.clone(), source })
    }

    /// Gives it its mode. Returns the number under which it is placed. What its group may do is for the node's own group: in a directory that
    /// gives its group to new files (setgid), only the owner may, unless everybody may.
    pub(crate) fn finish(self, mode: Mode) -> Result<usize, FilesError> {
        let refuse = |error: Errno| FilesError::Write { path: self.dir.clone(), source: error.into() };
        let is_ours = is_own_group(&fstat(&self.file).map_err(refuse)?);
        let for_all = mode.contains(Mode::ROTH);
        let mode = if is_ours || for_all { mode } else { mode - Mode::RWXG };
        fchmod(&self.file, mode).map_err(refuse)?;
        Ok(self.number)
    }
}

/// Removes the files in a directory.
fn empty(dir: &OwnedFd) {
    let entries = Dir::read_from(dir).into_iter().flatten().flatten();
    let is_dots = |name: &CStr| name == c"." || name == c"..";
    entries.filter(|entry| !is_dots(entry.file_name())).for_each(|entry| {
        let _ = unlinkat(dir, entry.file_name(), AtFlags::empty());
    });
}

/// Removes what was left by a node that was killed while it put files in place.
fn remove_left(root: BorrowedFd<'_>) {
    let Ok(entries) = Dir::read_from(root) else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.to_bytes().starts_with(STAGING.as_bytes()) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(dir) = openat(root, name, flags, Mode::empty()) else { continue };
        let age =
            fstat(&dir).map_or(0, |stat| now.saturating_sub(u64::try_from(stat.st_mtime).unwrap_or(now)));
        // Earlier versions lock none.
        if age > LEFT_SECS && flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
            empty(&dir);
            let _ = unlinkat(root, name, AtFlags::REMOVEDIR);
        }
    }
}

impl Staging {
    /// A directory of this name below `tree`, empty: one that an earlier try left is emptied. Others that were left are removed.
    pub(crate) fn new(tree: Tree, name: String) -> Result<Self, FilesError> {
        let full = tree.path().join(&name);
        let refuse = |error: Errno| FilesError::Write { path: full.clone(), source: error.into() };
        match mkdirat(tree.root(), &*name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(refuse(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(tree.root(), &*name, flags, Mode::empty()).map_err(refuse)?;
        empty(&dir);
        // For as long as it is locked, nobody takes it for one that was left.
        let _ = flock(&dir, FlockOperation::NonBlockingLockExclusive);
        remove_left(tree.root());
        Ok(Self { tree, name, dir, count: 0 })
    }

    /// The directory below which the files are placed.
    pub(crate) fn tree(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// Makes the next file, empty, with space for `size` bytes.
    pub(crate) fn create(&mut self, size: u64) -> Result<Staged, FilesError> {
        let number = self.count;
        let dir = self.tree.path().join(&self.name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        match openat(&self.dir, number.to_string(), flags, private) {
            Ok(file) => {
                self.count += 1;
                let file = File::from(file);
                cis_local::reserve(&file, size);
                Ok(Staged { number, file, dir })
            }
            Err(error) => Err(FilesError::Write { path: dir, source: error.into() }),
        }
    }

    /// Moves a file to its place, over one that is there.
    pub(crate) fn place(&mut self, number: usize, rel: &Path, umask: u32) -> Result<(), FilesError> {
        let (parent, name) = split(rel);
        let moved = self
            .tree
            .make_dirs(parent, Mode::from_raw_mode(0o777 & !umask))
            .and_then(|()| self.tree.dir(parent))
            .and_then(|to| Ok(renameat(self.dir.as_fd(), number.to_string(), to, name)?));
        moved.map_err(|source| FilesError::Write { path: self.tree.path().join(rel), source })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        for number in 0..self.count {
            let _ = unlinkat(&self.dir, number.to_string(), AtFlags::empty());
        }
        let _ = unlinkat(self.tree.root(), &*self.name, AtFlags::REMOVEDIR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Timespec, Timestamps, futimens};

    #[test]
    fn what_was_left_by_a_killed_node_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let left = |name: &str, age: i64| {
            let path = home.path().join(format!("{STAGING}{name}"));
            std::fs::create_dir(&path).unwrap();
            // Those before it are in their places.
            std::fs::write(path.join("7"), "text").unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let time = Timespec { tv_sec: i64::try_from(now).unwrap() - age, tv_nsec: 0 };
            let dir = File::open(&path).unwrap();
            futimens(&dir, &Timestamps { last_access: time, last_modification: time }).unwrap();
            (path, dir)
        };
        let ((old, _), (new, _)) = (left("old", 7200), left("new", 60));
        let (used, lock) = left("used", 7200);
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let staging = Staging::new(Tree::open(home.path()).unwrap(), format!("{STAGING}own")).unwrap();
        assert_eq!((old.exists(), new.exists(), used.exists()), (false, true, true));
        drop(staging);
        assert!(!home.path().join(format!("{STAGING}own")).exists());
    }
}
