//! A log writer on its way to the next program of its process: its open files are passed, not opened again.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{LogPath, LogWriter, Place, Shares, TAILS, TimesWriter};
use crate::log::Mark;
use crate::os::{Incoming, Outgoing, PassedNumber};
use cis_core::ids::TimestampMs;

/// A [`LogWriter`] with numbers for its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PassedLog {
    path: PathBuf,
    opened_from: usize,
    shares: Shares,
    place: PassedPlace,
    head_bytes: u64,
    tail_bytes: [u64; TAILS],
    next_slot: usize,
    total: u64,
    told_of_trouble: bool,
    lost_bytes: u64,
    lost_cause: Option<String>,
    looked_ms: TimestampMs,
    times: PassedTimes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum PassedPlace {
    Head(Option<PassedNumber>),
    Tail { file: PassedNumber, slot: usize },
    Broken { retry_at_ms: TimestampMs },
    Finished,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum PassedTimes {
    Empty,
    One(Mark),
    Open { file: PassedNumber, last_ms: TimestampMs, pace_ms: i64, records: u32 },
    Closed,
}

impl LogWriter {
    /// Puts its files among those that are passed.
    pub(crate) fn put_into<'a>(&'a self, outgoing: &mut Outgoing<'a>) -> PassedLog {
        let place = match &self.place {
            Place::Head(file) => PassedPlace::Head(file.as_ref().map(|file| outgoing.put(file))),
            Place::Tail { file, slot } => PassedPlace::Tail { file: outgoing.put(file), slot: *slot },
            Place::Broken { retry_at_ms } => PassedPlace::Broken { retry_at_ms: *retry_at_ms },
            Place::Finished => PassedPlace::Finished,
        };
        let times = match &self.times {
            TimesWriter::Empty => PassedTimes::Empty,
            TimesWriter::One(mark) => PassedTimes::One(*mark),
            TimesWriter::Open { file, last_ms, pace_ms, records } => PassedTimes::Open {
                file: outgoing.put(file),
                last_ms: *last_ms,
                pace_ms: *pace_ms,
                records: *records,
            },
            TimesWriter::Closed => PassedTimes::Closed,
        };
        PassedLog {
            path: self.path.path.clone(),
            opened_from: self.path.opened_from,
            shares: self.shares,
            place,
            head_bytes: self.head_bytes,
            tail_bytes: self.tail_bytes,
            next_slot: self.next_slot,
            total: self.total,
            told_of_trouble: self.told_of_trouble,
            lost_bytes: self.lost_bytes,
            lost_cause: self.lost_cause.clone(),
            looked_ms: self.looked_ms,
            times,
        }
    }
}

impl PassedLog {
    /// Returns the writer, which goes on where the earlier program stopped.
    ///
    /// # Errors
    /// A file was not passed, or a number is not one of a log.
    pub(crate) fn take_from(self, incoming: &mut Incoming) -> io::Result<LogWriter> {
        let is_slot = |slot: usize| slot < TAILS;
        if self.opened_from > self.path.as_os_str().len() || !is_slot(self.next_slot) {
            return Err(io::Error::other("the state of a log is invalid"));
        }
        let mut take = |number| incoming.take(number).map(File::from);
        let place = match self.place {
            PassedPlace::Head(file) => Place::Head(file.map(&mut take).transpose()?),
            PassedPlace::Tail { file, slot } if is_slot(slot) => Place::Tail { file: take(file)?, slot },
            PassedPlace::Tail { .. } => return Err(io::Error::other("the state of a log is invalid")),
            PassedPlace::Broken { retry_at_ms } => Place::Broken { retry_at_ms },
            PassedPlace::Finished => Place::Finished,
        };
        let times = match self.times {
            PassedTimes::Empty => TimesWriter::Empty,
            PassedTimes::One(mark) => TimesWriter::One(mark),
            PassedTimes::Open { file, last_ms, pace_ms, records } => {
                TimesWriter::Open { file: take(file)?, last_ms, pace_ms, records }
            }
            PassedTimes::Closed => TimesWriter::Closed,
        };
        Ok(LogWriter {
            path: LogPath { path: self.path, opened_from: self.opened_from },
            shares: self.shares,
            place,
            head_bytes: self.head_bytes,
            tail_bytes: self.tail_bytes,
            next_slot: self.next_slot,
            total: self.total,
            told_of_trouble: self.told_of_trouble,
            lost_bytes: self.lost_bytes,
            lost_cause: self.lost_cause,
            looked_ms: self.looked_ms,
            times,
        })
    }
}
