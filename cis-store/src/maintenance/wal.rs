//! The write-ahead log of a database, read without SQLite: SQLite takes the first damaged frame for the end of the
//! log and drops all later transactions without an error.
//!
//! Owns the layout of the log and of its index (<https://www.sqlite.org/walformat.html>). Does not know the meaning
//! of the pages.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use super::bytes::{PAGE_BYTES, number, take};
use crate::schema::beside;

/// Lengths of the header of the log, and of the header of each frame, bytes.
const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const FRAME_BYTES: usize = FRAME_HEADER_BYTES + PAGE_BYTES;
/// Length of one of the two headers of the index, bytes.
const INDEX_HEADER_BYTES: usize = 48;

/// The frames of a log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Offsets of the newest version of each page, as SQLite reads it: up to the first damaged frame.
    pub(super) sound: HashMap<u32, u64>,
    /// The same for the frames after a damaged one.
    pub(super) beyond: HashMap<u32, u64>,
    /// Pages of the database after the last transaction that SQLite reads.
    pub(super) size: u32,
    /// Frames that SQLite reads.
    frames: u32,
    /// Damaged frames with a commit after them. A damaged end is no loss that can be seen: a transaction that a
    /// crash interrupted looks the same.
    lost_frames: u32,
    /// Salts of the header. `None`: SQLite cannot read the header.
    salt: Option<[u8; 8]>,
}

impl Log {
    /// Reads the log. A frame is valid if its checksum follows from that of the frame before, and if it has the salts of
    /// the header; frames with other salts are from an older round of the log.
    pub(super) fn read(file: &File) -> io::Result<Self> {
        let mut log = Self::default();
        let length = file.metadata()?.len();
        let mut header = [0; HEADER_BYTES];
        let mut frame = vec![0; FRAME_BYTES];
        if length < (HEADER_BYTES + FRAME_BYTES) as u64 {
            return Ok(log);
        }
        file.read_exact_at(&mut header, 0)?;
        let checksum = Checksum { big_endian: header[3] & 1 == 1 };
        let mut seed = pair(&header[24..]);
        let mut salt: [u8; 8] = take(&header[16..]);
        if checksum.of([0, 0], &header[..24]) == seed {
            log.salt = Some(salt);
        }
        // Without the header SQLite reads nothing of the log.
        let mut is_sound = log.salt.is_some();
        let mut bad = u32::from(!is_sound);
        // Pages since the last commit.
        let mut open = Vec::new();
        let mut at = HEADER_BYTES as u64;
        let mut index = 0;
        while at + FRAME_BYTES as u64 <= length {
            file.read_exact_at(&mut frame, at)?;
            index += 1;
            let follows = frame[8..16] == salt
                && checksum.of(checksum.of(seed, &frame[..8]), &frame[FRAME_HEADER_BYTES..])
                    == pair(&frame[16..]);
            seed = pair(&frame[16..]);
            if follows {
                open.push((number(&frame), at + FRAME_HEADER_BYTES as u64));
                let size = number(&frame[4..]);
                if size > 0 && is_sound {
                    log.sound.extend(open.drain(..));
                    (log.size, log.frames) = (size, index);
                } else if size > 0 {
                    log.beyond.extend(open.drain(..));
                    log.lost_frames += std::mem::take(&mut bad);
                }
            } else {
                if is_sound {
                    open.clear();
                }
                is_sound = false;
                bad += 1;
                if log.salt.is_none() && open.is_empty() && log.beyond.is_empty() {
                    salt = take(&frame[8..]);
                }
            }
            at += FRAME_BYTES as u64;
        }
        Ok(log)
    }
}

/// Describes what the log of the database at `path` has lost. `None`: nothing that can be seen.
///
/// The caller has the lock of the store, and no connection was opened since the last process that wrote it: the first
/// connection writes the index anew.
pub(super) fn damage(path: &Path, log: &Log) -> io::Result<Option<String>> {
    let index = Index::read(path)?;
    let lost = |count: u32| {
        let frames = if count == 1 { "1 page".to_owned() } else { format!("{count} pages") };
        Some(format!(
            "{frames} of its write-ahead log cannot be read; a node would lose all transactions from there on"
        ))
    };
    if let Some(index) = index {
        let is_of_log = log.salt.is_none_or(|salt| salt == index.salt);
        // Without a frame, the file has all pages that were copied into it.
        let copied = if log.frames == 0 { index.copied } else { 0 };
        if is_of_log && index.frames > log.frames.max(copied) {
            return Ok(lost(index.frames - log.frames));
        }
    }
    // Nothing of a new database is synced before its first checkpoint: after a power loss any part may be missing.
    let is_new = fs::metadata(path).map_or(0, |file| file.len()) < PAGE_BYTES as u64;
    Ok(if log.lost_frames > 0 && !is_new { lost(log.lost_frames) } else { None })
}

/// Whether the log at `path` has every page of its database.
pub(super) fn has_all_pages(path: &Path) -> io::Result<bool> {
    let log = Log::read(&File::open(beside(path, "-wal"))?)?;
    let all = log.size > 0 && (1..=log.size).all(|page| log.sound.contains_key(&page));
    Ok(all && damage(path, &log)?.is_none())
}

/// Whether a database has no content. Opens only a file without blocks on the disk, for the reason at
/// [`schema::lock`].
pub(super) fn is_empty(path: &Path) -> io::Result<bool> {
    let file = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        file => file?,
    };
    if file.len() < PAGE_BYTES as u64 || file.blocks() > 0 {
        return Ok(file.len() == 0);
    }
    let mut page = [0; PAGE_BYTES];
    File::open(path)?.read_exact_at(&mut page, 0)?;
    Ok(page == [0; PAGE_BYTES])
}

/// What the index of the log says, which is a file in memory that SQLite shares between processes.
#[derive(Debug, PartialEq, Eq)]
struct Index {
    salt: [u8; 8],
    /// Frames up to the last commit.
    frames: u32,
    /// Frames that were copied into the database file.
    copied: u32,
}

impl Index {
    /// Reads the index that a killed process left. `None`: there is none, or it says nothing about the log, because the
    /// machine was started since then: the kernel writes both files in any order.
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(beside(path, "-shm")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = [0; 2 * INDEX_HEADER_BYTES + 4];
        if !is_of_this_boot(&file)? || file.read_exact_at(&mut bytes, 0).is_err() {
            return Ok(None);
        }
        let (headers, copied) = bytes.split_at(2 * INDEX_HEADER_BYTES);
        // A process that is killed while it writes them leaves one of the two whole.
        let header = headers.chunks_exact(INDEX_HEADER_BYTES).find(|header| {
            let native = Checksum { big_endian: cfg!(target_endian = "big") };
            let sum = [u32::from_ne_bytes(take(&header[40..])), u32::from_ne_bytes(take(&header[44..]))];
            header[12] == 1 && native.of([0, 0], &header[..40]) == sum
        });
        Ok(header.map(|header| Self {
            salt: take(&header[32..]),
            frames: u32::from_ne_bytes(take(&header[16..])),
            copied: u32::from_ne_bytes(take(copied)),
        }))
    }
}

/// Whether the file was written since the machine was started.
fn is_of_this_boot(file: &File) -> io::Result<bool> {
    let up = clock_gettime(ClockId::Boottime);
    let up = Duration::from_secs(u64::try_from(up.tv_sec).unwrap_or(0));
    let written = file.metadata()?.modified()?;
    Ok(SystemTime::now().checked_sub(up).is_some_and(|boot| written >= boot))
}

/// The checksum of the log (section 4.2 of the file format).
#[derive(Clone, Copy)]
struct Checksum {
    big_endian: bool,
}

impl Checksum {
    fn of(self, [mut first, mut second]: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        for words in bytes.chunks_exact(8) {
            let word = |at: usize| {
                let word = take(&words[at..]);
                if self.big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
            };
            first = first.wrapping_add(word(0)).wrapping_add(second);
            second = second.wrapping_add(word(4)).wrapping_add(first);
        }
        [first, second]
    }
}

fn pair(bytes: &[u8]) -> [u32; 2] {
    [number(bytes), number(&bytes[4..])]
}
