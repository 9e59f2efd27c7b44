//! Putting files in place below a directory, all or none: written beside their places first, renamed
//! when every one is there and whole.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, accessat, fchmod, fstat, mkdirat, openat};
use rustix::fs::{renameat, unlinkat};
use rustix::io::Errno;

use super::tree::split;
use super::{FilesError, Stop, Tree, pieces};

/// Mode of a file or directory that a task with this umask would make.
pub(crate) fn mode(executable: bool, umask: u32) -> Mode {
    let all = if executable { 0o777 } else { 0o666 };
    Mode::from_raw_mode(all & !umask)
}

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

/// Files that wait beside their places. Dropped, what is left of them is removed.
pub(crate) struct Staging<'a> {
    tree: &'a mut Tree,
    name: String,
    dir: OwnedFd,
    count: usize,
}

impl<'a> Staging<'a> {
    /// A directory of this name below `tree`, empty: one that an earlier try left is emptied.
    pub(crate) fn new(tree: &'a mut Tree, name: String) -> Result<Self, FilesError> {
        let full = tree.path().join(&name);
        let refuse = |error: Errno| FilesError::Write { path: full.clone(), source: error.into() };
        match mkdirat(tree.root(), &*name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(refuse(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(tree.root(), &*name, flags, Mode::empty()).map_err(refuse)?;
        let mut old = 0;
        while unlinkat(&dir, old.to_string(), AtFlags::empty()).is_ok() {
            old += 1;
        }
        Ok(Self { tree, name, dir, count: 0 })
    }

    /// Writes the next file. It is placed under its number, from 0.
    pub(crate) fn add(
        &mut self,
        from: File,
        from_path: &Path,
        mode: Mode,
        stop: &Stop,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<usize, FilesError> {
        let number = self.count;
        let refuse = |source| FilesError::Write { path: self.tree.path().join(&self.name), source };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        let file = openat(&self.dir, number.to_string(), flags, private).map_err(|e| refuse(e.into()))?;
        let mut file = File::from(file);
        self.count += 1;
        pieces(from, from_path, stop, |piece| {
            seen(piece);
            file.write_all(piece).map_err(refuse)
        })?;
        fchmod(&file, mode).map_err(|e| refuse(e.into()))?;
        Ok(number)
    }

    /// Moves a file to its place, over one that is there.
    pub(crate) fn place(&mut self, number: usize, rel: &Path, umask: u32) -> Result<(), FilesError> {
        let (parent, name) = split(rel);
        let moved = self
            .tree
            .make_dirs(parent, mode(true, umask))
            .and_then(|()| self.tree.dir(parent))
            .and_then(|to| Ok(renameat(self.dir.as_fd(), number.to_string(), to, name)?));
        moved.map_err(|source| FilesError::Write { path: self.tree.path().join(rel), source })
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        for number in 0..self.count {
            let _ = unlinkat(&self.dir, number.to_string(), AtFlags::empty());
        }
        let _ = unlinkat(self.tree.root(), &*self.name, AtFlags::REMOVEDIR);
    }
}
