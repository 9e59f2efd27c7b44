//! The room that this node made for runs without one: which it is, kept in a file of the home.
//!
//! Another account has another one.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::small_file::{self, Links, ReadError};

/// A longer file is none of ours, bytes.
const FILE_BYTES_MAX: u64 = 4096;

/// It, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnRoom {
    /// The account that made it.
    pub(super) user: String,
    /// Its id.
    pub(super) room: String,
}

/// What is kept; none where nothing is.
pub(super) fn load(path: &Path) -> io::Result<Option<OwnRoom>> {
    match small_file::read(path, FILE_BYTES_MAX, Links::Refuse) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(ReadError::Io(error)) => Err(error),
        Err(error @ ReadError::NotRegular) => Err(io::Error::other(error)),
    }
}

/// Keeps it: the whole of it, or what was there before.
pub(super) fn keep(path: &Path, own: &OwnRoom) -> io::Result<()> {
    let text = serde_json::to_vec(own).map_err(io::Error::other)?;
    let tmp = path.with_extension("new");
    match fs::remove_file(&tmp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&tmp)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&tmp, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_and_what_is_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own-room.json");
        assert_eq!(load(&path).unwrap(), None);
        for room in ["!a:example.org", "!b"] {
            let own = OwnRoom { user: "@cis:example.org".to_owned(), room: room.to_owned() };
            keep(&path, &own).unwrap();
            assert_eq!(load(&path).unwrap(), Some(own));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        fs::write(&path, "{}").unwrap();
        assert!(load(&path).is_err());
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(load(&path).is_err());
    }
}
