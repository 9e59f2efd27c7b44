//! Files below a directory that a task fills: found by globs, read and put in place without following
//! any link below it, so that nothing outside of it is ever touched.
//!
//! Knows nothing of tasks, artifacts or caches. Work that may take long asks a [`Stop`] between pieces.

mod glob;
mod known;
mod place;
mod tree;
mod walk;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::Stat;
use rustix::io::Errno;
use rustix::process::getegid;
use tokio_util::sync::CancellationToken;

use cis_store::StoreError;

pub(super) use glob::Globs;
pub(super) use known::{KnownFiles, stamp_of};
pub(super) use place::{Staged, Staging, fits};
pub(super) use tree::{Tree, split};
pub(super) use walk::{Found, Kind, Limits, find};

/// Directories in which files wait for their places begin so; no search looks into them.
pub(super) const STAGING: &str = ".cis-restore-";

/// Read at a time, bytes.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// Maximum number of searches for files that are renamed or removed before they are read.
const SEARCHES_MAX: usize = 3;

/// Tells work on another thread, or what waits, to end early.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(CancellationToken);

impl Stop {
    pub(super) fn set(&self) {
        self.0.cancel();
    }

    /// One that is also set with this one.
    pub(super) fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for something, until it is set.
    pub(super) async fn or<T>(&self, waiting: impl Future<Output = T>) -> Result<T, FilesError> {
        self.0.run_until_cancelled(waiting).await.ok_or(FilesError::Stopped)
    }

    pub(super) fn check(&self) -> Result<(), FilesError> {
        if self.is_set() { Err(FilesError::Stopped) } else { Ok(()) }
    }
}

/// Why files cannot be found, read or put in place.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilesError {
    #[error("it was stopped")]
    Stopped,
    #[error("`{glob}` is no glob: {why}")]
    Glob { glob: String, why: String },
    #[error("`{glob}` matches no file in {}{hint}", dir.display())]
    Nothing { glob: String, dir: PathBuf, hint: String },
    #[error("more than {max} files match: name fewer, or pack them into one")]
    TooMany { max: usize },
    #[error(
        "more than {max} entries of directories were looked at below {}: let the globs begin with a folder",
        dir.display()
    )]
    TooWide { max: usize, dir: PathBuf },
    #[error("the files have more than {} together: name fewer", cis_core::text::bytes(*max))]
    TooLarge { max: u64 },
    #[error("the directory {} lies more than {max} levels deep", path.display())]
    TooDeep { path: PathBuf, max: usize },
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("what {} links to cannot be read: {source}", path.display())]
    BehindLink { path: PathBuf, source: io::Error },
    #[error(
        "files keep changing while they are read: in each of {} searches one was renamed or removed after it was found, at last {}",
        SEARCHES_MAX, path.display()
    )]
    Changing { path: PathBuf },
    #[error("{} is not a regular file any more", path.display())]
    NotRegular { path: PathBuf },
    #[error("the name {} is not UTF-8: rename the file", path.display())]
    NotUtf8 { path: PathBuf },
    #[error("the name {name} holds a secret, and names are shown: name the file otherwise")]
    SecretName { name: String },
    #[error("their names may hold secrets that are not known: {why}")]
    Withheld { why: String },
    #[error("{} cannot be put in place: {why}", path.display())]
    Place { path: PathBuf, why: String },
    #[error("{} cannot be put in place: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FilesError {
    /// Whether the machine is short of something, or broken: it is no matter of the files.
    pub(super) fn is_shortage(&self) -> bool {
        match self {
            Self::Store(error) => error.may_pass(),
            Self::Read { source, .. } | Self::Write { source, .. } => {
                let short = [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
                Errno::from_io_error(source).is_some_and(|error| short.contains(&error))
            }
            _ => false,
        }
    }

    /// Whether it is [`is_short_of_descriptors`].
    pub(super) fn is_short_of_descriptors(&self) -> bool {
        match self {
            Self::Store(error) => matches!(error, StoreError::Descriptors { .. }),
            Self::Read { source, .. } | Self::Write { source, .. } | Self::BehindLink { source, .. } => {
                is_short_of_descriptors(source)
            }
            _ => false,
        }
    }
}

/// Whether this process, or the machine, has as many open files as it may have.
pub(super) fn is_short_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Calls `work`, which searches files below a directory and reads them, until no file vanishes in between. A file that is renamed then has a new
/// name that the search did not find.
///
/// # Errors
/// Those of `work`; the directory cannot be opened; a file vanished in each of [`SEARCHES_MAX`] searches.
pub(super) fn search_until_stable<T>(
    dir: &Path,
    mut work: impl FnMut(Tree) -> Result<T, FilesError>,
) -> Result<T, FilesError> {
    let mut searches = 1;
    loop {
        let tree = Tree::open(dir).map_err(|source| FilesError::Read { path: dir.to_owned(), source })?;
        match work(tree) {
            Err(FilesError::Read { path, source }) if source.kind() == io::ErrorKind::NotFound => {
                if searches == SEARCHES_MAX {
                    return Err(FilesError::Changing { path });
                }
                searches += 1;
            }
            done => return done,
        }
    }
}

/// Gives a file's bytes to `take`, piece by piece; answers how many there were.
pub(super) fn pieces(
    mut file: impl Read,
    path: &Path,
    stop: &Stop,
    mut take: impl FnMut(&[u8]) -> Result<(), FilesError>,
) -> Result<u64, FilesError> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut total = 0;
    loop {
        stop.check()?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(read) => {
                take(&buffer[..read])?;
                total += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(FilesError::Read { path: path.to_owned(), source }),
        }
    }
}

/// Whether the group of a file is that of the files which this process makes, where the directory gives them no other one.
pub(super) fn is_own_group(file: &Stat) -> bool {
    file.st_gid == getegid().as_raw()
}

/// A path that stays below a directory: relative, without `.`, `..` and empty parts.
pub(super) fn stays_below(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    !bytes.contains(&0) && bytes.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_stay_below() {
        for good in ["a", "a/b.txt", ".hidden/x", "a b", "..."] {
            assert!(stays_below(Path::new(good)), "{good}");
        }
        for bad in ["", "/a", "..", "../a", "a/../b", "./a", "a/./b", "a//b", "a/", "a\0b"] {
            assert!(!stays_below(Path::new(bad)), "{bad}");
        }
    }

    #[test]
    fn what_is_stopped_ends_between_pieces() {
        let stop = Stop::default();
        let mut seen = 0;
        let result = pieces(io::repeat(1), Path::new("x"), &stop, |piece| {
            seen += piece.len();
            stop.set();
            Ok(())
        });
        assert!(matches!(result, Err(FilesError::Stopped)));
        assert_eq!(seen, PIECE_BYTES);
    }
}
