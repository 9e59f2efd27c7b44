//! Pages of a database file, read without SQLite: SQLite stops at the first page that it cannot follow, this
//! module finds all intact pages of a damaged store.
//!
//! Owns the layout of the file, of its write-ahead log and of leaf pages (<https://www.sqlite.org/fileformat2.html>).
//! Does not know the meaning of the records.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::store::schema::beside;

/// The page size of every store; CIS has never set another one.
pub(super) const PAGE_BYTES: usize = 4096;
/// Lengths of the header of the write-ahead log, and of the header of each frame, bytes.
const WAL_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// First bytes of a database.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Length of the database header on page 1, bytes.
const FILE_HEADER_BYTES: usize = 100;
/// Type byte of a leaf page of a table.
const TABLE_LEAF: u8 = 0x0D;
/// Maximum length of a record, bytes. A longer one is damaged: no event is nearly as large.
const RECORD_BYTES_MAX: usize = 64 << 20;

pub(super) type Page = [u8; PAGE_BYTES];

/// The pages of a database file and its write-ahead log.
pub(super) struct Pages {
    file: File,
    wal: Option<File>,
    /// Offsets of the newest version of each page in the log, as SQLite reads it: up to the first damaged frame.
    in_wal: HashMap<u32, u64>,
    /// The same for the frames after a damaged one.
    beyond: HashMap<u32, u64>,
    count: u32,
    /// Frames of the log that were written and cannot be read.
    pub(super) lost_frames: u64,
}

/// Which versions of pages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The versions that SQLite reads.
    Sound,
    /// Versions from frames after a damaged one. They may belong to a transaction that was rolled back, so they never
    /// replace what the first view has.
    Beyond,
    /// Versions in the file of pages that are newer in the log.
    Replaced,
}

impl Pages {
    /// Opens the database at `path`. This process must have no connection to it: closing a file drops
    /// SQLite's locks.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let whole = file.metadata()?.len() / PAGE_BYTES as u64;
        let mut pages = Self {
            file,
            wal: None,
            in_wal: HashMap::new(),
            beyond: HashMap::new(),
            count: u32::try_from(whole).unwrap_or(u32::MAX),
            lost_frames: 0,
        };
        match File::open(beside(path, "-wal")) {
            Ok(wal) => {
                pages.read_wal(&wal)?;
                pages.wal = Some(wal);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(pages)
    }

    /// Returns the numbers of the pages that the view has.
    pub(super) fn numbers(&self, view: View) -> Vec<u32> {
        match view {
            View::Sound => (1..=self.count).collect(),
            View::Beyond => self.beyond.keys().copied().collect(),
            View::Replaced => self.in_wal.keys().copied().collect(),
        }
    }

    /// Reads a page. `None`: the file ends before the page, or the disk cannot read it.
    fn read(&self, number: u32, view: View) -> Option<Box<Page>> {
        let mut page = Box::new([0; PAGE_BYTES]);
        let beyond = self.beyond.get(&number).filter(|_| view == View::Beyond);
        let in_wal = self.in_wal.get(&number).filter(|_| view != View::Replaced);
        let read = match (beyond.or(in_wal), &self.wal) {
            (Some(at), Some(wal)) => wal.read_exact_at(&mut *page, *at),
            _ => {
                let at = u64::from(number.checked_sub(1)?) * PAGE_BYTES as u64;
                self.file.read_exact_at(&mut *page, at)
            }
        };
        read.ok().map(|()| page)
    }

    /// Finds the pages in the committed part of the log. A frame is valid if its checksum follows from that of the
    /// frame before.
    fn read_wal(&mut self, wal: &File) -> io::Result<()> {
        let length = wal.metadata()?.len();
        let mut header = [0; WAL_HEADER_BYTES];
        let mut frame = vec![0; FRAME_HEADER_BYTES + PAGE_BYTES];
        if length < (WAL_HEADER_BYTES + frame.len()) as u64 {
            return Ok(());
        }
        wal.read_exact_at(&mut header, 0)?;
        let checksum = Checksum { big_endian: header[3] & 1 == 1 };
        let mut seed = pair(&header[24..]);
        // Without the header SQLite reads nothing of the log.
        let mut view = View::Sound;
        let mut salt: [u8; 8] = take(&header[16..]);
        if checksum.of([0, 0], &header[..24]) != seed {
            view = View::Beyond;
            wal.read_exact_at(&mut frame, WAL_HEADER_BYTES as u64)?;
            salt = take(&frame[8..]);
        }
        // Pages and damaged frames since the last commit. A later commit frame shows that they were committed.
        let (mut open, mut bad) = (Vec::new(), 0);
        let mut at = WAL_HEADER_BYTES as u64;
        while at + frame.len() as u64 <= length {
            wal.read_exact_at(&mut frame, at)?;
            let follows = checksum.of(checksum.of(seed, &frame[..8]), &frame[FRAME_HEADER_BYTES..]);
            seed = pair(&frame[16..]);
            // Frames of an older round of the log have another salt.
            if frame[8..16] == salt && follows == seed {
                open.push((number(&frame), at + FRAME_HEADER_BYTES as u64));
                let size = number(&frame[4..]);
                if size > 0 {
                    let into = if view == View::Sound { &mut self.in_wal } else { &mut self.beyond };
                    into.extend(open.drain(..));
                    self.count = self.count.max(if view == View::Sound { size } else { 0 });
                    self.lost_frames += std::mem::take(&mut bad);
                }
            } else {
                if view == View::Sound {
                    open.clear();
                }
                view = View::Beyond;
                bad += 1;
            }
            at += frame.len() as u64;
        }
        Ok(())
    }
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

fn take<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    taken.copy_from_slice(&bytes[..N]);
    taken
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(take(bytes))
}

fn pair(bytes: &[u8]) -> [u32; 2] {
    [number(bytes), number(&bytes[4..])]
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    Null,
    Integer(i64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
    /// A floating-point number; no column of a store has one.
    Real,
}

/// A row of a table: its rowid and its values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) rowid: i64,
    /// `None`: the record is damaged, or a page of it is gone.
    pub(super) fields: Option<Vec<Field>>,
}

/// Reads the rows of a leaf page of a table. Any other page has none.
pub(super) fn rows(pages: &Pages, view: View, page_number: u32) -> Vec<Record> {
    let Some(page) = pages.read(page_number, view) else { return Vec::new() };
    let start = if page_number == 1 && page.starts_with(MAGIC) { FILE_HEADER_BYTES } else { 0 };
    if page[start] != TABLE_LEAF {
        return Vec::new();
    }
    let cells = usize::from(u16::from_be_bytes(take(&page[start + 3..])));
    let pointers = page[start + 8..].chunks_exact(2).take(cells);
    pointers.filter_map(|at| row(pages, view, &page, usize::from(u16::from_be_bytes(take(at))))).collect()
}

fn row(pages: &Pages, view: View, page: &Page, at: usize) -> Option<Record> {
    let mut cell = page.get(at..)?;
    let length = varint(&mut cell)?;
    let rowid = varint(&mut cell)?;
    let fields = usize::try_from(length)
        .ok()
        .filter(|length| *length <= RECORD_BYTES_MAX)
        .and_then(|length| payload(pages, view, cell, length))
        .and_then(|payload| fields(&payload));
    Some(Record { rowid, fields })
}

/// Reads the payload of a cell, including the part on overflow pages (section 1.6 of the file format).
fn payload(pages: &Pages, view: View, cell: &[u8], length: usize) -> Option<Vec<u8>> {
    const MAX_LOCAL: usize = PAGE_BYTES - 35;
    const MIN_LOCAL: usize = (PAGE_BYTES - 12) * 32 / 255 - 23;
    const PER_PAGE: usize = PAGE_BYTES - 4;
    if length <= MAX_LOCAL {
        return Some(cell.get(..length)?.to_vec());
    }
    let fitting = MIN_LOCAL + (length - MIN_LOCAL) % PER_PAGE;
    let local = if fitting <= MAX_LOCAL { fitting } else { MIN_LOCAL };
    let mut payload = cell.get(..local)?.to_vec();
    let mut next = number(cell.get(local..local + 4)?);
    // Each page makes the payload longer, so the loop ends even if the pages form a cycle.
    while payload.len() < length {
        let page = pages.read(next, view)?;
        payload.extend_from_slice(&page[4..][..(length - payload.len()).min(PER_PAGE)]);
        next = number(&page[..4]);
    }
    Some(payload)
}

/// Reads the values of a record (section 2.1 of the file format).
fn fields(payload: &[u8]) -> Option<Vec<Field>> {
    let mut rest = payload;
    let header = usize::try_from(varint(&mut rest)?).ok()?;
    let mut kinds = payload.get(payload.len() - rest.len()..header)?;
    let mut body = payload.get(header..)?;
    let mut fields = Vec::new();
    while !kinds.is_empty() {
        fields.push(field(varint(&mut kinds)?, &mut body)?);
    }
    body.is_empty().then_some(fields)
}

fn field(kind: i64, body: &mut &[u8]) -> Option<Field> {
    let mut bytes = |count: usize| body.split_off(..count);
    Some(match kind {
        0 => Field::Null,
        1..=6 => {
            let bytes = bytes([1, 2, 3, 4, 6, 8][usize::try_from(kind - 1).ok()?])?;
            let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
            Field::Integer(bytes.iter().fold(sign, |value: i64, byte| (value << 8) | i64::from(*byte)))
        }
        7 => bytes(8).map(|_| Field::Real)?,
        8 | 9 => Field::Integer(kind - 8),
        12.. => {
            let bytes = bytes(usize::try_from((kind - 12) / 2).ok()?)?.to_vec();
            if kind % 2 == 0 { Field::Blob(bytes) } else { Field::Text(bytes) }
        }
        _ => return None,
    })
}

/// Removes a number of 1 to 9 bytes from the beginning of `bytes`.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value: u64 = 0;
    for n in 0..9 {
        let byte = *bytes.split_off_first()?;
        if n == 8 {
            return Some(((value << 8) | u64::from(byte)).cast_signed());
        }
        value = (value << 7) | u64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value.cast_signed())
}
