//! The node's own log: bounded at each start. What is in it is not known here.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A longer log is put aside when a node starts, bytes; the one before it is forgotten.
const LOG_BYTES_MAX: u64 = 10 << 20;

/// Puts a long log aside, and lets standard error go on in a new one, where it is that log.
pub(super) fn bound(log: &Path) {
    let long = fs::symlink_metadata(log).is_ok_and(|meta| meta.is_file() && meta.len() > LOG_BYTES_MAX);
    if !long {
        return;
    }
    match put_aside(log) {
        Ok(()) => tracing::info!(aside = %aside(log).display(), "the log was long and was put aside"),
        Err(error) => tracing::warn!(%error, "the log is long, and cannot be put aside"),
    }
}

fn aside(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

fn put_aside(log: &Path) -> io::Result<()> {
    let ours = is_stderr(log)?;
    fs::rename(log, aside(log))?;
    if ours {
        let fresh = OpenOptions::new().append(true).create(true).mode(0o600).open(log)?;
        rustix::stdio::dup2_stderr(&fresh)?;
    }
    Ok(())
}

fn is_stderr(log: &Path) -> io::Result<bool> {
    let (file, stderr) = (fs::metadata(log)?, rustix::fs::fstat(rustix::stdio::stderr())?);
    Ok((file.dev(), file.ino()) == (stderr.st_dev, stderr.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_put_aside_and_a_short_one_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("node.log");
        bound(&log);
        fs::write(&log, "short").unwrap();
        bound(&log);
        assert_eq!(fs::read(&log).unwrap(), b"short");
        fs::File::create(&log).unwrap().set_len(LOG_BYTES_MAX + 1).unwrap();
        bound(&log);
        assert!(!log.exists(), "standard error of this test is another file");
        assert_eq!(fs::metadata(aside(&log)).unwrap().len(), LOG_BYTES_MAX + 1);
    }
}
