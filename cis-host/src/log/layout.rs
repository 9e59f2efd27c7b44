//! Names and sizes of a log's files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A smaller limit is raised to this, bytes.
pub const LIMIT_BYTES_MIN: u64 = 16 << 10;
/// So many files hold the newest bytes, one replaced at a time.
pub(super) const TAILS: usize = 4;
/// A tail file begins with the offset of its first byte, u64 LE.
pub(super) const TAIL_HEADER: u64 = 8;

/// How a limit is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shares {
    /// Bytes of the head.
    pub(super) head: u64,
    /// Bytes of each tail file, without its header.
    pub(super) tail: u64,
}

impl Shares {
    /// Half for the head, the rest for the tails: between 3/8 and 1/2 of the limit is the newest part.
    pub(super) fn of(limit: u64) -> Self {
        let limit = limit.max(LIMIT_BYTES_MIN);
        Self { head: limit / 2, tail: limit / 2 / TAILS as u64 }
    }
}

/// `LOG.tailN`.
pub(super) fn tail(log: &Path, slot: usize) -> PathBuf {
    with_suffix(log, &format!(".tail{slot}"))
}

/// `LOG.times`.
pub(super) fn times(log: &Path) -> PathBuf {
    with_suffix(log, ".times")
}

pub(super) fn with_suffix(log: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(log);
    name.push(suffix);
    PathBuf::from(name)
}
