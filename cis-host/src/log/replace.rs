//! Replaces a log by another content, once nobody writes it any more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::layout::{self, TAILS};

/// Replaces all files of a log by one with what `write` writes. Readers see the old head or the new one; times are removed, as they
/// belong to offsets of the old one.
///
/// # Errors
/// A file cannot be written or removed. Then the old content may still be there, in part or as a whole.
pub fn replace(log: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let new = layout::with_suffix(log, ".replacing");
    remove(&new)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    write(&mut file)?;
    fs::rename(&new, log)?;
    for slot in 0..TAILS {
        remove(&layout::tail(log, slot))?;
    }
    remove(&layout::times(log))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
