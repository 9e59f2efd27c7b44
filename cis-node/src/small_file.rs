//! Reads a small file at a path that a task or a DAG file gave: whatever stands there, a pipe without
//! a writer or an endless device included, the answer comes at once and takes bounded memory.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use cis_local::{open_no_link, open_regular};

/// Whether the last part of a path may be a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// Somebody's own choice: mounted secrets are links.
    Follow,
    /// We chose the path, so a link there was put by somebody else.
    Refuse,
}

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// A directory, pipe, device, socket, or a link where none is followed.
    #[error("it is not a regular file")]
    NotRegular,
    /// What the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Its bytes, of which it reads one more than `bytes_max` at most: the caller tells what is too long.
///
/// # Errors
/// [`ReadError`]; a file that is not there is an `Io` of kind `NotFound`.
pub(super) fn read(path: &Path, bytes_max: u64, links: Links) -> Result<Vec<u8>, ReadError> {
    let open = if links == Links::Refuse { open_no_link } else { open_regular };
    let file = match open(fs::File::options().read(true), path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Err(ReadError::NotRegular),
        Err(e) => return Err(e.into()),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;
    use std::time::Duration;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    pub(crate) fn fifo(path: &Path) {
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

    /// What `work` gives; it fails where it does not end.
    pub(crate) fn at_once<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        std::thread::spawn(move || done.send(work()));
        result.recv_timeout(Duration::from_secs(10)).expect("it hangs")
    }

    #[test]
    fn whatever_stands_there_is_answered_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "words").unwrap();
        fifo(&path("fifo"));
        symlink(path("file"), path("link")).unwrap();
        symlink("/dev/zero", path("zero")).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        for name in ["fifo", "zero", "socket", "."] {
            let path = path(name);
            let got = at_once(move || read(&path, 10, Links::Follow));
            assert!(matches!(got, Err(ReadError::NotRegular)), "{name}: {got:?}");
        }
        assert_eq!(read(&path("link"), 10, Links::Follow).unwrap(), b"words");
        assert!(matches!(read(&path("link"), 10, Links::Refuse), Err(ReadError::NotRegular)));
        assert_eq!(read(&path("file"), 3, Links::Refuse).unwrap(), b"word", "one more than the limit");
        let missing = read(&path("missing"), 3, Links::Refuse);
        assert!(matches!(missing, Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::NotFound));
    }
}
