//! Small files of a home. A process of a session can put a named pipe or a link to a device in place of one: opening it must not
//! wait, and reading it must end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Maximum length of a file of the home that is read as a whole, bytes.
const BYTES_MAX: u64 = 16 << 20;

/// Opens a regular file, or a link to one. Flags that the options have beside those of their methods are lost.
///
/// # Errors
/// Those of open(2), and [`io::ErrorKind::InvalidInput`] if it is not a regular file, for example a pipe without a writer.
pub fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    open(options, OFlags::empty(), path)
}

/// Opens a regular file, and no link.
///
/// # Errors
/// The same as [`open_regular`].
pub fn open_no_link(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    open(options, OFlags::NOFOLLOW, path)
}

fn open(options: &mut OpenOptions, flags: OFlags, path: &Path) -> io::Result<File> {
    let not_regular = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
    // open(2) of a FIFO waits for the other end, of some devices for a carrier; O_NONBLOCK keeps it from both.
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match options.custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => file,
        // ELOOP: a link that is not followed; ENXIO: a socket, a pipe without a reader, or a device without a driver.
        Err(error) if [Errno::LOOP, Errno::NXIO].map(Some).contains(&Errno::from_io_error(&error)) => {
            return Err(not_regular());
        }
        Err(error) => return Err(error),
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Reads a regular file, or a link to one.
///
/// # Errors
/// The same as [`open_regular`], and [`io::ErrorKind::FileTooLarge`] if it has more than 16 MiB.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    read_regular_at_most(path, BYTES_MAX)
}

/// Reads a regular file, or a link to one, of at most `bytes_max` bytes.
///
/// # Errors
/// The same as [`open_regular`], and [`io::ErrorKind::FileTooLarge`].
pub fn read_regular_at_most(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(File::options().read(true), path)?;
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let why = format!("it has more than {} MiB", bytes_max >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// Reads a text as [`read_regular`].
///
/// # Errors
/// The same, and [`io::ErrorKind::InvalidData`] if it is not UTF-8.
pub fn read_regular_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_regular(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::sync::mpsc;
    use std::time::Duration;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::{LockFile, look};

    /// What `work` gives; it fails where it does not end.
    fn at_once<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        std::thread::spawn(move || done.send(work()));
        result.recv_timeout(Duration::from_secs(10)).expect("it hangs")
    }

    /// Whatever is not a regular file, and a link to it.
    fn irregular(folder: &Path) -> Vec<PathBuf> {
        let fifo = folder.join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        symlink("/dev/zero", folder.join("zero")).unwrap();
        symlink("fifo", folder.join("link")).unwrap();
        symlink("self", folder.join("self")).unwrap();
        ["fifo", "zero", "link", "self", "."].map(|name| folder.join(name)).to_vec()
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in irregular(folder.path()) {
            for writes in [false, true] {
                let path = path.clone();
                let opened =
                    at_once(move || open_regular(File::options().read(!writes).append(writes), &path));
                assert!(opened.is_err(), "{opened:?}");
            }
            let [read, taken, looked] = [path.clone(), path.clone(), path];
            assert!(at_once(move || read_regular(&read)).is_err());
            assert!(at_once(move || LockFile::take(&taken)).is_err());
            assert!(at_once(move || look(&looked)).is_err());
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "words").unwrap();
        symlink("file", folder.path().join("to file")).unwrap();
        assert_eq!(read_regular_text(&folder.path().join("to file")).unwrap(), "words");
        File::options().write(true).open(&file).unwrap().set_len(BYTES_MAX + 1).unwrap();
        assert_eq!(read_regular(&file).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
