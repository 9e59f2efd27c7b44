//! What can go wrong with a store, in words that say what to do next.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::io::Errno;

use super::room::try_room;
use cis_core::api::{Problem, ProblemKind};

/// SQLITE_IOERR_SHORT_READ: the disk works, and the file is shorter than its header says.
const SHORT_READ: i32 = 522;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A rebuild has ended, but an error came after the new store was in place.
    #[error(
        "the rebuilt store {path} is in place, and the old one is {kept}, but its files could not be put in order ({detail}); \
         run `cis store rebuild` again"
    )]
    NotInOrder {
        /// The store.
        path: PathBuf,
        /// The old store.
        kept: PathBuf,
        /// What failed.
        detail: String,
    },
    /// The file is not a sound database.
    #[error(
        "the store {path} is damaged ({detail}); `cis store check` shows what is wrong and what can be saved, \
         `cis store rebuild` saves it into a new one"
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
    /// Another program's database, or a text file.
    #[error("{path} is not a store of CIS; set CIS_HOME to another directory, or move the file away")]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// A newer CIS wrote it.
    #[error(
        "the store {path} has version {found}, this cis works with versions up to {known}; use the newer cis that wrote it"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that this build knows.
        known: u32,
    },
    /// There is no store.
    #[error("there is no store at {path}; `cis node start --detach` makes one")]
    Missing {
        /// Where one would be.
        path: PathBuf,
    },
    /// Another process writes this store.
    #[error("the store {path} is in use by another process; `cis node stop` ends the node that has it")]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The disk, or the quota, is full. Nothing of the transaction was kept.
    #[error(
        "no space left to write {path}; free some space (`cis store gc --older-than 7d` removes what ended runs \
         left)"
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file, its directory or the whole mount cannot be written.
    #[error(
        "{path} cannot be written ({detail}); check its owner and mode, and whether its mount is read-only"
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// The system refused to read or write. Nothing of the transaction was kept.
    #[error("cannot read or write {path}: {detail}; look at the disk (`dmesg`, `df`)")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// This process, or the machine, has as many open files as it may have.
    #[error(
        "cannot open {path}: too many open files; raise the limit (`ulimit -n`), or wait until other work has ended"
    )]
    Descriptors {
        /// The file.
        path: PathBuf,
    },
    /// An earlier step of this transaction failed, and all of it was undone.
    #[error("this transaction was undone after an error; roll back, then repeat all of it")]
    Undone,
    /// A request that SQLite refuses: a fault of ours.
    #[error("the store {path} refused to {doing}: {detail}; `cis store check` shows whether it is damaged")]
    Refused {
        /// The database.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// What SQLite says.
        detail: String,
    },
    /// A stored value has a shape that this version does not know.
    #[error(
        "the store holds a {what} that cannot be read: {detail}; `cis store check` shows what is damaged"
    )]
    Value {
        /// Kind of the value.
        what: &'static str,
        /// Why.
        detail: String,
    },
    /// Nothing has that name.
    #[error("no {what} `{name}`")]
    NotFound {
        /// Run or session.
        what: &'static str,
        /// As asked for.
        name: String,
    },
    /// No listing gave that as its `next`.
    #[error("`{after}` is not the `next` of a page of this listing")]
    NoSuchPage {
        /// As asked for.
        after: String,
    },
    /// Several things have that name.
    #[error("`{name}` fits several: {}", candidates.join(", "))]
    Ambiguous {
        /// Run or session.
        what: &'static str,
        /// As asked for.
        name: String,
        /// Some of what it fits, each with a name that is unambiguous.
        candidates: Vec<String>,
    },
    /// A file with secrets is not what was written.
    #[error(
        "the file {path} is damaged: it does not match the checksum in its name; restore it from a backup"
    )]
    SecretDamaged {
        /// The file.
        path: PathBuf,
    },
    /// A file does not hold what its name says.
    #[error("the blob {id} is damaged: its content has another hash")]
    BlobDamaged {
        /// Its name.
        id: String,
    },
}

impl StoreError {
    /// Sorts an error of SQLite at work on `path`, while `doing`.
    pub(super) fn sql(path: &Path, doing: &'static str, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        let detail = error.to_string();
        if error.sqlite_error().is_some_and(|error| error.extended_code == SHORT_READ) {
            return Self::Corrupt { path, detail: "the file ends too early".to_owned() };
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { path, detail },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::ReadOnly { path, detail }
            }
            Some(ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed) => {
                Self::Io { path, detail }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            _ => Self::Refused { path, doing, detail },
        }
    }

    /// Sorts an error of the file system at work on `path`.
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)) {
            return Self::Descriptors { path };
        }
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path, detail: error.to_string() }
            }
            _ => Self::Io { path, detail: error.to_string() },
        }
    }

    /// Returns [`Self::Full`] instead of an unknown failure if the disk is full: SQLite does not recognize
    /// an exceeded quota, nor every other such failed write.
    pub(super) fn or_full(self) -> Self {
        match self {
            Self::Io { path, .. } if is_full(&path) => Self::Full { path },
            error => error,
        }
    }

    /// Whether the disk is full or broken, as opposed to a lock of another process or a file mode.
    #[must_use]
    pub fn is_of_disk(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Io { .. })
    }

    /// Whether the same request may work later, after the disk has free space again or is repaired, or other files are closed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Full { .. }
                | Self::Io { .. }
                | Self::Descriptors { .. }
                | Self::ReadOnly { .. }
                | Self::InUse { .. }
        )
    }

    /// Whether a file is proven to be another one than was written, as opposed to one that cannot be read now.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::BlobDamaged { .. } | Self::SecretDamaged { .. })
    }
}

/// Whether the disk has no space for the index of a long write-ahead log, which SQLite makes when it opens a database.
pub(super) fn is_full(path: &Path) -> bool {
    const OPENED_BYTES: usize = 1 << 20;
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    try_room(path.parent().unwrap_or(path), OPENED_BYTES).is_err_and(|error| full.contains(&error.kind()))
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        let kind = match error {
            StoreError::NotFound { .. } => ProblemKind::NotFound,
            StoreError::NoSuchPage { .. } => ProblemKind::BadInput,
            StoreError::Ambiguous { .. } => ProblemKind::Ambiguous,
            error if error.may_pass() => ProblemKind::Unavailable,
            _ => ProblemKind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

/// What the projector and the readers meet before the path is known.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Shape(String),
}

impl RowError {
    pub(super) fn at(self, path: &Path, doing: &'static str) -> StoreError {
        match self {
            Self::Sql(error) => StoreError::sql(path, doing, &error),
            Self::Json(error) => StoreError::Value { what: "JSON text", detail: error.to_string() },
            Self::Shape(detail) => StoreError::Value { what: "row", detail },
        }
    }
}
