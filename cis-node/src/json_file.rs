//! Something small that is kept as JSON in a file of the home: the whole of it, or what was there before.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::small_file::{self, Links, ReadError};

/// A longer file is none of ours, bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// What is kept; none where nothing is.
pub(super) fn load<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    load_up_to(FILE_BYTES_MAX, path)
}

/// The same, of a file with at most so many bytes.
pub(super) fn load_up_to<T: DeserializeOwned>(bytes_max: u64, path: &Path) -> io::Result<Option<T>> {
    match small_file::read(path, bytes_max, Links::Refuse) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(ReadError::Io(error)) => Err(error),
        Err(error @ ReadError::NotRegular) => Err(io::Error::other(error)),
    }
}

/// Keeps it.
///
/// # Errors
/// It cannot be written, or could not be read again.
pub(super) fn keep<T: Serialize>(path: &Path, what: &T) -> io::Result<()> {
    keep_up_to(FILE_BYTES_MAX, path, what)
}

/// The same, if it has at most so many bytes.
pub(super) fn keep_up_to<T: Serialize>(bytes_max: u64, path: &Path, what: &T) -> io::Result<()> {
    let text = serde_json::to_vec(what).map_err(io::Error::other)?;
    if text.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it has {} bytes; {bytes_max} are kept at most", text.len())));
    }
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
    use crate::own_room::OwnRoom;

    #[test]
    fn what_is_kept_is_read_and_what_is_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own-room.json");
        assert_eq!(load::<OwnRoom>(&path).unwrap(), None);
        for room in ["!a:example.org", "!b"] {
            let own = OwnRoom { user: "@cis:example.org".to_owned(), room: room.to_owned() };
            keep(&path, &own).unwrap();
            assert_eq!(load(&path).unwrap(), Some(own));
        }
        assert!(keep_up_to(10, &path, &"longer than that").is_err(), "it could not be read again");
        assert_eq!(load::<OwnRoom>(&path).unwrap().unwrap().room, "!b", "what was there before");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        fs::write(&path, "{}").unwrap();
        assert!(load::<OwnRoom>(&path).is_err());
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(load::<OwnRoom>(&path).is_err());
    }
}
