//! When which byte of a log was written: for replaying a recording at its pace.
//!
//! `LOG.times` holds records of 16 bytes: offset u64 LE, Unix ms i64 LE. It is sparse, and absent
//! where all output came in one burst.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::layout;
use super::reader::open_if_there;
use cis_core::ids::TimestampMs;
use cis_local::open_no_link;

/// Output closer together than this is one burst, ms.
const BURST_MS: i64 = 100;
/// After so many records (1 MiB) bursts count as twice as long, so that the file grows with the
/// logarithm of the session's age.
const RECORDS_PER_PACE: u32 = 1 << 16;
/// Readers take no more than this, bytes.
const READ_BYTES_MAX: u64 = 64 << 20;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// First byte of a burst.
    pub offset: u64,
    /// When it was written, Unix ms.
    pub at_ms: TimestampMs,
}

impl Mark {
    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&self.at_ms.to_le_bytes());
        bytes
    }
}

/// Writes the marks. They are an extra: where the disk fails there are none from there on.
#[derive(Debug, Default)]
pub(super) enum TimesWriter {
    #[default]
    Empty,
    /// One burst so far: nothing on disk.
    One(Mark),
    Open {
        file: File,
        last_ms: TimestampMs,
        pace_ms: i64,
        records: u32,
    },
    Closed,
}

impl TimesWriter {
    /// Output of this log that begins at `offset` came now.
    pub(super) fn note(&mut self, log: &Path, offset: u64, now_ms: TimestampMs) {
        let mark = Mark { offset, at_ms: now_ms };
        match self {
            Self::Empty => *self = Self::One(mark),
            Self::One(first) if now_ms - first.at_ms >= BURST_MS => {
                let both = [first.to_bytes(), mark.to_bytes()].concat();
                let made = create(&layout::times(log));
                let opened = made.and_then(|mut file| file.write_all(&both).map(|()| file));
                *self = opened.map_or(Self::Closed, |file| Self::Open {
                    file,
                    last_ms: now_ms,
                    pace_ms: BURST_MS,
                    records: 2,
                });
            }
            Self::Open { file, last_ms, pace_ms, records } if now_ms - *last_ms >= *pace_ms => {
                if file.write_all(&mark.to_bytes()).is_err() {
                    *self = Self::Closed;
                    return;
                }
                *last_ms = now_ms;
                *records += 1;
                if *records >= RECORDS_PER_PACE {
                    (*records, *pace_ms) = (0, *pace_ms * 2);
                }
            }
            Self::One(_) | Self::Open { .. } | Self::Closed => {}
        }
    }

    pub(super) fn finish(&mut self) {
        *self = Self::Closed;
    }
}

fn create(path: &Path) -> io::Result<File> {
    open_no_link(OpenOptions::new().write(true).create(true).truncate(true).mode(0o600), path)
}

/// The marks of the log at `log`, in order; none where all its output was one burst. A half-written
/// last record is left out, and so is what does not go forward.
///
/// # Errors
/// Of opening and reading the file.
pub fn read_times(log: &Path) -> io::Result<Vec<Mark>> {
    let Some(file) = open_if_there(&layout::times(log))? else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, READ_BYTES_MAX), &mut bytes)?;
    let mut marks: Vec<Mark> = Vec::with_capacity(bytes.len() / 16);
    for record in bytes.as_chunks::<16>().0 {
        let (offset, at) = record.split_at(8);
        let (Ok(offset), Ok(at)) = (offset.try_into(), at.try_into()) else { continue };
        let mark = Mark { offset: u64::from_le_bytes(offset), at_ms: i64::from_le_bytes(at) };
        if marks.last().is_none_or(|last| last.offset <= mark.offset) {
            marks.push(mark);
        }
    }
    Ok(marks)
}
