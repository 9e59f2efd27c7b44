//! Appends to a log, keeps it within its limit, and goes on where the disk does not.

mod passed;

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::layout::{self, Shares, TAILS};
use super::times::TimesWriter;
use cis_core::event::LostOutput;
use cis_core::ids::TimestampMs;
use cis_local::open_no_link;
pub(crate) use passed::PassedLog;

/// After an error the disk is tried again so much later, ms.
const RETRY_MS: i64 = 500;
/// Interval at which the log checks whether its current file was removed, ms.
const LOOK_MS: i64 = 1000;

/// Cause of output that was written and is missing.
const REMOVED: &str = "the files of the log were removed";

/// A log that cannot be written. Said once, until writing works again.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log {path} cannot be written: {source}; the session goes on, its output is counted and not kept"
)]
pub struct Trouble {
    /// Which file.
    pub path: PathBuf,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

/// Where the next byte goes.
#[derive(Debug)]
enum Place {
    /// Into the head; its file is made with the first byte.
    Head(Option<File>),
    /// Into the tail of this slot.
    Tail { file: File, slot: usize },
    /// Nowhere for now.
    Broken { retry_at_ms: TimestampMs },
    /// Nothing more comes.
    Finished,
}

/// The path of a log, and the path by which its files are opened. That is an end of the first one for a log below the
/// directory in which this process works.
#[derive(Debug)]
struct LogPath {
    path: PathBuf,
    opened_from: usize,
}

impl LogPath {
    fn opened(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path.as_os_str().as_bytes()[self.opened_from..]))
    }

    /// Length of the path that is relative to the directory. `None`: the log is elsewhere.
    fn bytes_below(&self, directory: &Path) -> Option<usize> {
        let below = self.path.as_os_str().as_bytes().strip_prefix(directory.as_os_str().as_bytes());
        let below = below.and_then(|below| below.strip_prefix(b"/"))?;
        (!below.is_empty() && !below.starts_with(b"/")).then_some(below.len())
    }
}

/// Writes one session's log.
#[derive(Debug)]
pub struct LogWriter {
    path: LogPath,
    shares: Shares,
    place: Place,
    head_bytes: u64,
    tail_bytes: [u64; TAILS],
    next_slot: usize,
    total: u64,
    told_of_trouble: bool,
    /// Bytes that could not be written, and bytes in files that were removed.
    lost_bytes: u64,
    /// The first cause.
    lost_cause: Option<String>,
    looked_ms: TimestampMs,
    times: TimesWriter,
}

impl LogWriter {
    /// A log at `path`, of `limit` bytes in all its files. Touches no disk yet: a session without
    /// output has no file.
    #[must_use]
    pub fn new(path: PathBuf, limit: u64) -> Self {
        Self {
            path: LogPath { path, opened_from: 0 },
            shares: Shares::of(limit),
            place: Place::Head(None),
            head_bytes: 0,
            tail_bytes: [0; TAILS],
            next_slot: 0,
            total: 0,
            told_of_trouble: false,
            lost_bytes: 0,
            lost_cause: None,
            looked_ms: 0,
            times: TimesWriter::default(),
        }
    }

    /// The same log, for a process that works in `directory`: its files are still found if that directory is moved.
    #[must_use]
    pub fn within(mut self, directory: &Path) -> Self {
        if let Some(bytes) = self.path.bytes_below(directory) {
            self.path.opened_from = self.path.path.as_os_str().len() - bytes;
        }
        self
    }

    /// Whether its files are opened by a path that is relative to a directory.
    #[must_use]
    pub fn is_within(&self) -> bool {
        self.path.opened_from > 0
    }

    /// The path of the head by which this process opens it.
    #[must_use]
    pub fn opened(&self) -> &Path {
        self.path.opened()
    }

    /// Of the head.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path.path
    }

    /// Bytes that were given to [`Self::append`]: the offset of the next one.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Of those, bytes that are in no file.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.total - self.head_bytes - self.tail_bytes.iter().sum::<u64>()
    }

    /// The output that is missing although the log's limit left room for it.
    #[must_use]
    pub fn lost(&self) -> Option<LostOutput> {
        let cause = self.lost_cause.clone().filter(|_| self.lost_bytes > 0)?;
        Some(LostOutput { bytes: self.lost_bytes, cause })
    }

    /// Appends, at this time. Never fails: what the disk does not take is counted as cut, and the first
    /// error of a trouble is handed out.
    pub fn append(&mut self, bytes: &[u8], now_ms: TimestampMs) -> Option<Trouble> {
        let mut rest = bytes;
        let mut trouble = self.look_for_removed(now_ms);
        let start = self.total;
        while !rest.is_empty() {
            match self.write_some(rest, now_ms) {
                Ok(Some(written)) => {
                    self.total += written as u64;
                    rest = &rest[written..];
                    // An empty tail is no proof that the disk takes bytes again.
                    self.told_of_trouble &= written == 0;
                }
                Ok(None) => break,
                Err(error) => {
                    self.place = Place::Broken { retry_at_ms: now_ms + RETRY_MS };
                    self.lost_cause.get_or_insert_with(|| error.source.to_string());
                    if !self.told_of_trouble {
                        self.told_of_trouble = true;
                        trouble = Some(error);
                    }
                }
            }
        }
        if rest.len() < bytes.len() {
            self.times.note(self.path.opened(), start, now_ms);
        }
        self.total += rest.len() as u64;
        if matches!(self.place, Place::Broken { .. }) {
            self.lost_bytes += rest.len() as u64;
        }
        trouble
    }

    /// Closes the files. What is appended later is counted as cut.
    pub fn finish(&mut self) {
        if self.is_removed() {
            self.forget_removed();
        }
        self.place = Place::Finished;
        self.times.finish();
    }

    /// Checks from time to time whether the current file still exists for readers.
    fn look_for_removed(&mut self, now_ms: TimestampMs) -> Option<Trouble> {
        if (self.looked_ms..self.looked_ms + LOOK_MS).contains(&now_ms) {
            return None;
        }
        let first = std::mem::replace(&mut self.looked_ms, now_ms) == 0;
        if first || !self.is_removed() {
            return None;
        }
        self.forget_removed();
        self.place = Place::Broken { retry_at_ms: 0 };
        let source = io::Error::new(ErrorKind::NotFound, REMOVED);
        Some(Trouble { path: self.path.path.clone(), source })
    }

    /// Whether the current file has no name any more.
    fn is_removed(&self) -> bool {
        let (Place::Head(Some(file)) | Place::Tail { file, .. }) = &self.place else { return false };
        rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Counts the bytes of files that do not exist any more.
    fn forget_removed(&mut self) {
        self.lost_cause.get_or_insert_with(|| REMOVED.to_owned());
        let gone = |path: &Path| std::fs::symlink_metadata(path).is_err();
        if self.head_bytes > 0 && gone(self.path.opened()) {
            self.lost_bytes += std::mem::take(&mut self.head_bytes);
        }
        for (slot, bytes) in self.tail_bytes.iter_mut().enumerate() {
            if *bytes > 0 && gone(&layout::tail(self.path.opened(), slot)) {
                self.lost_bytes += std::mem::take(bytes);
            }
        }
    }

    /// Writes a part into the place that is current; none while the log is out of order.
    fn write_some(&mut self, bytes: &[u8], now_ms: TimestampMs) -> Result<Option<usize>, Trouble> {
        let (file, path, used, room) = match &mut self.place {
            Place::Head(file) if self.head_bytes < self.shares.head => {
                let file = match file {
                    Some(file) => file,
                    None => file.insert(create(self.path.opened())?),
                };
                (file, None, &mut self.head_bytes, self.shares.head)
            }
            Place::Tail { file, slot } if self.tail_bytes[*slot] < self.shares.tail => {
                (file, Some(*slot), &mut self.tail_bytes[*slot], self.shares.tail)
            }
            Place::Broken { retry_at_ms } if now_ms < *retry_at_ms => return Ok(None),
            Place::Finished => return Ok(None),
            Place::Head(_) | Place::Tail { .. } | Place::Broken { .. } => {
                self.turn_to_next_tail()?;
                return Ok(Some(0));
            }
        };
        let part = &bytes[..bytes.len().min(usize::try_from(room - *used).unwrap_or(usize::MAX))];
        loop {
            match file.write(part) {
                Ok(written) if written > 0 => {
                    *used += written as u64;
                    return Ok(Some(written));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => {
                    let source = outcome.err().unwrap_or_else(|| ErrorKind::WriteZero.into());
                    let path = path
                        .map_or_else(|| self.path.path.clone(), |slot| layout::tail(&self.path.path, slot));
                    return Err(Trouble { path, source });
                }
            }
        }
    }

    /// Replaces the oldest tail by an empty one that begins at the present offset.
    fn turn_to_next_tail(&mut self) -> Result<(), Trouble> {
        let slot = self.next_slot;
        let path = layout::tail(self.path.opened(), slot);
        self.place = Place::Broken { retry_at_ms: 0 };
        self.tail_bytes[slot] = 0;
        // A new file, not the old one emptied: who reads the old one goes on reading what it was.
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => return Err(Trouble { path, source }),
            _ => {}
        }
        let mut file = create(&path)?;
        if let Err(source) = file.write_all(&self.total.to_le_bytes()) {
            return Err(Trouble { path, source });
        }
        self.place = Place::Tail { file, slot };
        self.next_slot = (slot + 1) % TAILS;
        Ok(())
    }
}

/// Makes a file of a log: private, and no link is followed out of its directory. A pipe or a device in its place is refused,
/// because the host must never wait for it. Restores the directory if it was removed.
fn create(path: &Path) -> Result<File, Trouble> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let opened = match open_no_link(&mut options, path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = path.parent().map(|folder| DirBuilder::new().mode(0o700).create(folder));
            if matches!(made, Some(Ok(()))) { open_no_link(&mut options, path) } else { Err(error) }
        }
        opened => opened,
    };
    opened.map_err(|source| Trouble { path: path.to_owned(), source })
}
