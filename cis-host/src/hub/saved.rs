//! Screens on disk: what a model showed, and at which byte of the output, so that a model that was
//! dropped, or is another node's, need not read the whole log again.
//!
//! The file stands beside the log (`LOG.screen`, 0600) and holds what the log holds: raw bytes. A
//! file that is not whole counts as none.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use cis_core::api::TermSize;

const MAGIC: &[u8; 8] = b"CISSCRN1";
const HEADER: usize = 8 + 8 + 2 + 2;
const SUM: usize = 32;
/// A larger file is none of ours, bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A screen at a point of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Saved {
    /// Bytes of output that it shows.
    pub(super) offset: u64,
    /// Its size.
    pub(super) size: TermSize,
    /// What paints it, and the beginning of a sequence where the output stands in one.
    pub(super) paint: Vec<u8>,
}

pub(super) fn path(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".screen");
    name.into()
}

/// Writes it in place of an earlier one, in one step.
pub(super) fn write(log: &Path, saved: &Saved) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEADER + saved.paint.len() + SUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&saved.offset.to_le_bytes());
    bytes.extend_from_slice(&saved.size.cols.to_le_bytes());
    bytes.extend_from_slice(&saved.size.rows.to_le_bytes());
    bytes.extend_from_slice(&saved.paint);
    let sum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&sum);
    let target = path(log);
    let mut aside = target.clone().into_os_string();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&aside)
        .and_then(|mut file| file.write_all(&bytes))
        .and_then(|()| fs::rename(&aside, &target));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

/// What was saved; none where there is nothing whole.
pub(super) fn read(log: &Path) -> Option<Saved> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path(log)).ok()?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
    if Sha256::digest(content).as_slice() != sum {
        return None;
    }
    let (magic, rest) = content.split_first_chunk::<8>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (cols, rest) = rest.split_first_chunk::<2>()?;
    let (rows, paint) = rest.split_first_chunk::<2>()?;
    let size = TermSize { cols: u16::from_le_bytes(*cols), rows: u16::from_le_bytes(*rows) };
    (magic == MAGIC).then(|| Saved { offset: u64::from_le_bytes(*offset), size, paint: paint.to_vec() })
}

/// Forgets it.
pub(super) fn remove(log: &Path) {
    let _ = fs::remove_file(path(log));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_screen_reads_back_and_a_damaged_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("s.log");
        assert_eq!(read(&log), None);
        let saved = Saved { offset: 7, size: TermSize { cols: 80, rows: 24 }, paint: b"\x1b[Hx".to_vec() };
        write(&log, &saved).unwrap();
        assert_eq!(read(&log), Some(saved.clone()));
        let file = path(&log);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        let mut bytes = fs::read(&file).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            fs::write(&file, &bytes).unwrap();
            assert_eq!(read(&log), None, "byte {at}");
            bytes[at] ^= 1;
            fs::write(&file, &bytes[..at]).unwrap();
            assert_eq!(read(&log), None, "cut at {at}");
        }
        remove(&log);
        assert!(!file.exists());
        assert!(write(&dir.path().join("none/s.log"), &saved).is_err());
    }
}
