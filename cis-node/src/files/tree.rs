//! A directory, and what is below it: each part of a path is opened by itself, and a part that is a link
//! is refused (openat(2), `O_NOFOLLOW`).

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fstat, mkdirat, openat, statat};
use rustix::io::Errno;

use super::FilesError;

/// Opens a directory below another that is one, and no link to one.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// See the module.
pub(crate) struct Tree {
    root: OwnedFd,
    path: PathBuf,
    /// The directory that was used last: neighbours are asked for one after the other.
    last: Option<(PathBuf, OwnedFd)>,
}

impl Tree {
    /// The directory at `path`; links in this path are its owner's choice.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { root, path: path.to_owned(), last: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// A directory below it; the empty path is itself.
    pub(crate) fn dir(&mut self, rel: &Path) -> io::Result<BorrowedFd<'_>> {
        if rel.as_os_str().is_empty() {
            return Ok(self.root.as_fd());
        }
        if self.last.as_ref().is_none_or(|(known, _)| known != rel) {
            let mut at: Option<OwnedFd> = None;
            for name in rel {
                let parent = at.as_ref().map_or(self.root.as_fd(), |fd| fd.as_fd());
                at = Some(openat(parent, name, DIRECTORY, Mode::empty())?);
            }
            let Some(fd) = at else { return Err(io::ErrorKind::InvalidInput.into()) };
            self.last = Some((rel.to_owned(), fd));
        }
        match &self.last {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// A regular file below it, to be read.
    pub(crate) fn file(&mut self, rel: &Path) -> Result<File, FilesError> {
        let full = self.path.join(rel);
        let (parent, name) = split(rel);
        // open(2) of a FIFO waits for a writer; O_NONBLOCK keeps it from that.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = self.dir(parent).and_then(|dir| Ok(openat(dir, name, flags, Mode::empty())?));
        let fd = match opened {
            Ok(fd) => fd,
            Err(error) => return Err(refused(full, error)),
        };
        match fstat(&fd) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(File::from(fd)),
            Ok(_) => Err(FilesError::NotRegular { path: full }),
            Err(error) => Err(FilesError::Read { path: full, source: error.into() }),
        }
    }

    /// What stands at a path, a link as itself; none: nothing, or a part above it is missing.
    pub(crate) fn kind(&mut self, rel: &Path) -> io::Result<Option<FileType>> {
        let (parent, name) = split(rel);
        let stat = self.dir(parent).and_then(|dir| Ok(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?));
        match stat {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the directories of a path that are missing, with this mode.
    pub(super) fn make_dirs(&mut self, rel: &Path, mode: Mode) -> io::Result<()> {
        let mut at: Option<OwnedFd> = None;
        for name in rel {
            let parent = at.as_ref().map_or(self.root.as_fd(), |fd| fd.as_fd());
            let made = match mkdirat(parent, name, Mode::RWXU) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(error) => return Err(error.into()),
            };
            let dir = openat(parent, name, DIRECTORY, Mode::empty())?;
            if made {
                // The node's own umask would leave less.
                fchmod(&dir, mode)?;
            }
            at = Some(dir);
        }
        Ok(())
    }
}

/// The directory and the name of a path below.
pub(crate) fn split(rel: &Path) -> (&Path, &OsStr) {
    (rel.parent().unwrap_or(Path::new("")), rel.file_name().unwrap_or_default())
}

fn refused(path: PathBuf, source: io::Error) -> FilesError {
    // ELOOP, ENOTDIR: a link, or a file for a directory (open(2)); ENXIO: a socket.
    match Errno::from_io_error(&source) {
        Some(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => FilesError::NotRegular { path },
        _ => FilesError::Read { path, source },
    }
}
