//! Whether a directory can be changed by this user alone.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Why a directory cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another user owns it, or could change what is in it.
    #[error("the directory {} is not safe: {why}", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// A directory is in the place of a socket.
    #[error("a directory is in the place of the socket {path}; remove it: `rm -r {path}`", path = path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// Another process listens at the socket.
    #[error(
        "another process{} listens at the socket {}: probably a node, or a session host, whose home was moved or whose lock file was deleted \
         while it ran. Stop it (`cis --home DIR node stop --kill-sessions`, with the place that the home has now), or end the \
         process",
        pid.map(|pid| format!(", pid {pid},")).unwrap_or_default(),
        path.display()
    )]
    InUse {
        /// The socket.
        path: PathBuf,
        /// Who listens, where that can be told.
        pid: Option<u32>,
    },
    /// The directory cannot be inspected.
    #[error("cannot inspect the directory {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

impl DirectoryError {
    /// Whether the directory does not exist.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        let absent = |kind| matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        matches!(self, Self::Io { source, .. } if absent(source.kind()))
    }
}

/// Checks that a directory belongs to this user and is closed to all others. A symbolic link is refused: its owner
/// can point it elsewhere.
///
/// # Errors
/// [`DirectoryError`].
pub fn check_private(path: &Path) -> Result<(), DirectoryError> {
    check(path, 0o077, "enter it")
}

/// Checks that a directory belongs to this user and that no other user can put anything into it. A symbolic link is
/// refused.
///
/// # Errors
/// [`DirectoryError`].
pub fn check_own(path: &Path) -> Result<(), DirectoryError> {
    check(path, 0o022, "write to it")
}

fn check(path: &Path, closed: u32, what: &str) -> Result<(), DirectoryError> {
    let meta =
        fs::symlink_metadata(path).map_err(|source| dangling(path).unwrap_or(io_error(path, source)))?;
    let me = rustix::process::geteuid().as_raw();
    let mode = meta.permissions().mode();
    let why = if !meta.is_dir() {
        "it is not a directory".to_owned()
    } else if meta.uid() != me {
        format!("it belongs to uid {}, not to uid {me}", meta.uid())
    } else if mode & closed != 0 {
        format!("others can {what} (mode {:o})", mode & 0o777)
    } else {
        return Ok(());
    };
    Err(DirectoryError::Unsafe { path: path.to_owned(), why })
}

/// Checks that only this user and root can replace a private directory inside this one.
///
/// # Errors
/// [`DirectoryError`].
pub fn check_parent(path: &Path) -> Result<(), DirectoryError> {
    let meta = fs::metadata(path).map_err(|source| io_error(path, source))?;
    match replaceable(&meta, rustix::process::geteuid().as_raw()) {
        None => Ok(()),
        Some(why) => Err(DirectoryError::Unsafe { path: path.to_owned(), why }),
    }
}

/// Returns why another user can replace an entry of this directory. In a sticky directory only the owner of
/// the entry can.
fn replaceable(meta: &Metadata, me: u32) -> Option<String> {
    let (owner, mode) = (meta.uid(), meta.permissions().mode());
    if owner != me && owner != 0 {
        return Some(format!("it belongs to uid {owner}, not to uid {me} or root"));
    }
    let open = mode & 0o022 != 0 && mode & 0o1000 == 0;
    open.then(|| format!("others can write to it (mode {:o})", mode & 0o7777))
}

/// Returns why a missing directory cannot be made: a symbolic link above it has no target.
fn dangling(path: &Path) -> Option<DirectoryError> {
    let (path, meta) =
        path.ancestors().find_map(|above| fs::symlink_metadata(above).ok().map(|meta| (above, meta)))?;
    let why = || format!("it is a symbolic link of uid {} to a missing directory", meta.uid());
    meta.is_symlink().then(|| DirectoryError::Unsafe { path: path.to_owned(), why: why() })
}

fn io_error(path: &Path, source: io::Error) -> DirectoryError {
    DirectoryError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_mode(mode: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        folder
    }

    #[test]
    fn only_a_closed_directory_of_the_user_is_private() {
        for (mode, private) in [(0o700, true), (0o500, true), (0o750, false), (0o701, false), (0o1777, false)]
        {
            assert_eq!(check_private(with_mode(mode).path()).is_ok(), private, "{mode:o}");
        }
        for (mode, own) in [(0o700, true), (0o755, true), (0o770, false), (0o1777, false)] {
            assert_eq!(check_own(with_mode(mode).path()).is_ok(), own, "{mode:o}");
        }
        let folder = with_mode(0o700);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(check_private(&link).is_err(), "a link");
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(check_private(&folder.path().join("file")).is_err(), "a file");
        for gone in ["none", "file/none"] {
            assert!(check_private(&folder.path().join(gone)).is_err_and(|error| error.is_absent()), "{gone}");
        }
    }

    #[test]
    fn a_directory_below_a_dangling_link_is_not_just_missing() {
        let folder = with_mode(0o700);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/nonexistent", &link).unwrap();
        let error = check_private(&link.join("a/b")).unwrap_err();
        assert!(!error.is_absent());
        let me = rustix::process::geteuid().as_raw();
        let why = format!("it is a symbolic link of uid {me} to a missing directory");
        assert!(matches!(error, DirectoryError::Unsafe { path, why: said } if path == link && said == why));
    }

    #[test]
    fn a_sticky_parent_may_be_open() {
        for (mode, safe) in [(0o700, true), (0o755, true), (0o1777, true), (0o777, false), (0o770, false)] {
            assert_eq!(check_parent(with_mode(mode).path()).is_ok(), safe, "{mode:o}");
        }
        assert!(check_parent(Path::new("/")).is_ok(), "root's");
    }

    #[test]
    fn a_directory_of_another_user_is_refused() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: giving a directory to another user needs root");
            return;
        }
        let folder = with_mode(0o700);
        std::os::unix::fs::chown(folder.path(), Some(61_001), None).unwrap();
        assert!(check_private(folder.path()).is_err());
        assert!(check_parent(folder.path()).is_err());
    }
}
