//! Why a home could not be looked after, in words that say what to do next.

use std::io;
use std::path::{Path, PathBuf};

use cis_core::api::{Problem, ProblemKind};
use cis_local::DirectoryError;
use cis_store::StoreError;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error("cannot {doing} {path}: {source}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write the backup: {0}")]
    Write(io::Error),
    /// The archive cannot be read.
    #[error("cannot read the backup: {0}; is the file whole?")]
    Read(io::Error),
    /// Two that exclude each other.
    #[error("{what} is under way in {home}: wait until it has ended, then try again")]
    Busy {
        /// What.
        what: &'static str,
        /// Where.
        home: PathBuf,
    },
    /// It is no backup, or not one that this version understands.
    #[error("this is no backup of CIS that this version can read: {0}")]
    NotABackup(String),
    /// Its content is not what it should be. Nothing was changed.
    #[error("the backup is damaged or was tampered with: {0}; nothing was changed")]
    Damaged(String),
    /// There is something in the home.
    #[error(
        "{home} is not empty: `--force` puts the backup into its place, and keeps what is there beside it"
    )]
    Occupied {
        /// The home.
        home: PathBuf,
    },
    /// A node or a session host uses the home.
    #[error("{who} uses {home}: `cis node stop --kill-sessions` ends it")]
    InUse {
        /// Which process.
        who: &'static str,
        /// The home.
        home: PathBuf,
    },
    /// A process listens at a socket of the home, without its lock.
    #[error(transparent)]
    Socket(#[from] DirectoryError),
    /// The old home cannot be put aside.
    #[error(
        "{home} cannot be put aside ({source}): it may be a mount; move what is in it away, then restore into the empty directory"
    )]
    NotAside {
        /// The home.
        home: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The backup is in place, but may not be on the disk.
    #[error(
        "the backup is restored into {home}, and the old home is {kept}, but the disk did not confirm it ({source}): check the disk, and \
         keep the old home until then"
    )]
    NotFlushed {
        /// The home.
        home: PathBuf,
        /// The old home.
        kept: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The node did not record what is to be removed.
    #[error("{}", .0.detail)]
    NotRecorded(Problem),
}

impl UpkeepError {
    pub(super) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { doing, path: path.to_owned(), source }
    }
}

impl From<&UpkeepError> for Problem {
    fn from(error: &UpkeepError) -> Self {
        let kind = match error {
            UpkeepError::Store(error) => return error.into(),
            UpkeepError::NotRecorded(problem) => return problem.clone(),
            UpkeepError::Busy { .. }
            | UpkeepError::Occupied { .. }
            | UpkeepError::InUse { .. }
            | UpkeepError::Socket(_) => ProblemKind::Conflict,
            UpkeepError::NotABackup(_) | UpkeepError::Damaged(_) | UpkeepError::Read(_) => {
                ProblemKind::BadInput
            }
            _ => ProblemKind::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}
