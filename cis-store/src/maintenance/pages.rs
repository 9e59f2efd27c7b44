//! Pages of a database file, read without SQLite: SQLite stops at the first page that it cannot follow, this
//! module finds all intact pages of a damaged store.
//!
//! Owns the layout of the file and of leaf pages (<https://www.sqlite.org/fileformat2.html>).
//! Does not know the meaning of the records.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::bytes::{PAGE_BYTES, number, take};
use super::wal::{self, Log};
use crate::schema::beside;

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
    /// `None`: the file is missing.
    file: Option<File>,
    log: Log,
    log_file: Option<File>,
    count: u32,
    /// What the log has lost.
    pub(super) log_damage: Option<String>,
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
        let open = |path: &Path| match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => file.map(Some),
        };
        let (file, log_file) = (open(path)?, open(&beside(path, "-wal"))?);
        let length = file.as_ref().map(File::metadata).transpose()?.map_or(0, |file| file.len());
        let whole = length / PAGE_BYTES as u64;
        let log = log_file.as_ref().map(Log::read).transpose()?.unwrap_or_default();
        let log_damage = wal::damage(path, &log)?;
        let count = u32::try_from(whole).unwrap_or(u32::MAX).max(log.size);
        Ok(Self { file, log, log_file, count, log_damage })
    }

    /// Returns the numbers of the pages that the view has.
    pub(super) fn numbers(&self, view: View) -> Vec<u32> {
        match view {
            View::Sound => (1..=self.count).collect(),
            View::Beyond => self.log.beyond.keys().copied().collect(),
            View::Replaced => self.log.sound.keys().copied().collect(),
        }
    }

    /// Reads a page. `None`: the file ends before the page, or the disk cannot read it.
    fn read(&self, number: u32, view: View) -> Option<Box<Page>> {
        let mut page = Box::new([0; PAGE_BYTES]);
        let beyond = self.log.beyond.get(&number).filter(|_| view == View::Beyond);
        let sound = self.log.sound.get(&number).filter(|_| view != View::Replaced);
        let read = match (beyond.or(sound), &self.log_file) {
            (Some(at), Some(log)) => log.read_exact_at(&mut *page, *at),
            _ => {
                let at = u64::from(number.checked_sub(1)?) * PAGE_BYTES as u64;
                self.file.as_ref()?.read_exact_at(&mut *page, at)
            }
        };
        read.ok().map(|()| page)
    }
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

impl Field {
    /// The bytes of a text or blob.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(bytes) | Self::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }
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
