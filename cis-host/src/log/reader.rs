//! Reads a log by offset, while it is written and long after.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::layout::{self, TAIL_HEADER, TAILS};
use cis_local::open_regular;

/// More is not read at once, bytes.
const READ_BYTES_MAX: usize = 64 << 20;

/// What stands at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes, at least one.
    Data {
        /// Of the first.
        offset: u64,
        /// They.
        bytes: Vec<u8>,
    },
    /// These are in no file: the limit, or a disk that failed.
    Cut {
        /// First missing byte.
        from: u64,
        /// First byte after them.
        to: u64,
    },
    /// Nothing more is in the files (for now, where the session lives).
    End,
}

#[derive(Debug)]
struct Tail {
    file: File,
    start: u64,
}

impl Tail {
    fn end(&self) -> io::Result<u64> {
        Ok(self.start.saturating_add(self.file.metadata()?.len().saturating_sub(TAIL_HEADER)))
    }
}

/// Reads one log. Files that are not there yet are looked for again with each read.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    head: Option<File>,
    tails: Vec<Tail>,
}

impl LogReader {
    /// The log at `path`. A log without files is one of a session without output.
    ///
    /// # Errors
    /// Of opening the head, other than that it is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), head: open_if_there(path)?, tails: Vec::new() })
    }

    /// The offset after the last byte in the files. A cut at the very end is not seen here: the exit
    /// of a session tells how much there was in all.
    ///
    /// # Errors
    /// Of opening and reading the files.
    pub fn total(&mut self) -> io::Result<u64> {
        self.look_for_tails()?;
        let mut total = self.head_end()?;
        for tail in &self.tails {
            total = total.max(tail.end()?);
        }
        Ok(total)
    }

    /// What stands at `offset`: at most `max` bytes (up to 64 MiB), fewer where a file ends.
    ///
    /// # Errors
    /// Of opening and reading the files.
    pub fn read(&mut self, offset: u64, max: usize) -> io::Result<Chunk> {
        let max = max.min(READ_BYTES_MAX);
        if let Some(chunk) = self.read_present(offset, max)? {
            return Ok(chunk);
        }
        self.look_for_tails()?;
        if let Some(chunk) = self.read_present(offset, max)? {
            return Ok(chunk);
        }
        let next = self.tails.iter().map(|tail| tail.start).filter(|start| *start > offset).min();
        Ok(next.map_or(Chunk::End, |to| Chunk::Cut { from: offset, to }))
    }

    fn head_end(&mut self) -> io::Result<u64> {
        if self.head.is_none() {
            self.head = open_if_there(&self.path)?;
        }
        self.head.as_ref().map_or(Ok(0), |head| Ok(head.metadata()?.len()))
    }

    /// Bytes of the files that are open; none where they do not have this offset.
    fn read_present(&mut self, offset: u64, max: usize) -> io::Result<Option<Chunk>> {
        if self.head.is_none() {
            self.head = open_if_there(&self.path)?;
        }
        if let Some(head) = &self.head
            && let Some(chunk) = read_at(head, offset, offset, max)?
        {
            return Ok(Some(chunk));
        }
        // The newest that begins at or before the offset has it, if any has.
        let tail = self.tails.iter().filter(|tail| tail.start <= offset).max_by_key(|tail| tail.start);
        let Some(tail) = tail else { return Ok(None) };
        read_at(&tail.file, (offset - tail.start).saturating_add(TAIL_HEADER), offset, max)
    }

    fn look_for_tails(&mut self) -> io::Result<()> {
        self.tails.clear();
        for slot in 0..TAILS {
            let Some(file) = open_if_there(&layout::tail(&self.path, slot))? else { continue };
            let mut start = [0; TAIL_HEADER as usize];
            // Opened between its making and its first bytes: it holds nothing yet.
            if file.read_exact_at(&mut start, 0).is_ok() {
                self.tails.push(Tail { file, start: u64::from_le_bytes(start) });
            }
        }
        Ok(())
    }
}

/// Opens a file of a log to read it. Returns `None` if it is not there. Who reads logs must never wait for a pipe or a device in
/// its place.
pub(super) fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match open_regular(File::options().read(true), path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            let why = format!("cannot open log {}: not a regular file", path.display());
            Err(io::Error::new(ErrorKind::InvalidInput, why))
        }
        opened => opened.map(Some),
    }
}

/// Bytes at a position of a file; none at its end and beyond.
fn read_at(file: &File, position: u64, offset: u64, max: usize) -> io::Result<Option<Chunk>> {
    // No file is so long; the system calls such a position invalid.
    if position > i64::MAX as u64 - max as u64 {
        return Ok(None);
    }
    let mut bytes = vec![0; max];
    loop {
        match file.read_at(&mut bytes, position) {
            Ok(0) => return Ok(None),
            Ok(read) => {
                bytes.truncate(read);
                return Ok(Some(Chunk::Data { offset, bytes }));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
