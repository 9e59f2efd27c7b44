//! Checksums of events: SQLite notices damage to the structure of a page, but not to a value.

use crc32fast::Hasher;

/// The columns of an event as they are stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub(crate) offset: i64,
    pub(crate) id: &'a [u8],
    pub(crate) run: Option<&'a [u8]>,
    pub(crate) v: i64,
    pub(crate) kind: &'a [u8],
    pub(crate) at_ms: i64,
    pub(crate) actor: Option<&'a [u8]>,
    pub(crate) cause: Option<&'a [u8]>,
    pub(crate) body: &'a [u8],
}

impl Columns<'_> {
    /// Returns the CRC-32 of all columns, each with its length.
    pub(crate) fn sum(&self) -> i64 {
        let mut hasher = Hasher::new();
        for number in [self.offset, self.v, self.at_ms] {
            hasher.update(&number.to_le_bytes());
        }
        for bytes in [Some(self.id), self.run, Some(self.kind), self.actor, self.cause, Some(self.body)] {
            let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
            hasher.update(&length.to_le_bytes());
            hasher.update(bytes.unwrap_or_default());
        }
        i64::from(hasher.finalize())
    }

    /// Whether `sum`, which was stored with the columns, is theirs. `None`: an earlier version stored no checksum.
    pub(crate) fn matches(&self, sum: Option<i64>) -> bool {
        sum.is_none_or(|sum| sum == self.sum())
    }
}
