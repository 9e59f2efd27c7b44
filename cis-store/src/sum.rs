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
        let mut gathered = Gathered::default();
        for number in [self.offset, self.v, self.at_ms] {
            gathered.put(&number.to_le_bytes());
        }
        for bytes in [Some(self.id), self.run, Some(self.kind), self.actor, self.cause, Some(self.body)] {
            let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
            gathered.put(&length.to_le_bytes());
            gathered.put(bytes.unwrap_or_default());
        }
        i64::from(gathered.finish())
    }

    /// Whether `sum`, which was stored with the columns, is theirs. `None`: an earlier version stored no checksum.
    pub(crate) fn matches(&self, sum: Option<i64>) -> bool {
        sum.is_none_or(|sum| sum == self.sum())
    }
}

/// Hashes short columns together: [`Hasher`] is several times as fast with 128 bytes or more.
struct Gathered {
    hasher: Hasher,
    block: [u8; BLOCK],
    used: usize,
}

/// All columns of most events, bytes.
const BLOCK: usize = 512;

impl Default for Gathered {
    fn default() -> Self {
        Self { hasher: Hasher::new(), block: [0; BLOCK], used: 0 }
    }
}

impl Gathered {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(free) = self.block[self.used..].get_mut(..bytes.len()) {
            free.copy_from_slice(bytes);
            self.used += bytes.len();
        } else {
            self.hasher.update(&self.block[..self.used]);
            self.hasher.update(bytes);
            self.used = 0;
        }
    }

    fn finish(mut self) -> u32 {
        self.hasher.update(&self.block[..self.used]);
        self.hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_gathered_has_the_sum_of_its_parts(parts: Vec<Vec<u8>>, long in 0..3 * BLOCK) {
            let (mut gathered, mut hasher) = (Gathered::default(), Hasher::new());
            for part in parts.iter().chain([&vec![7; long]]).chain(&parts) {
                gathered.put(part);
                hasher.update(part);
            }
            proptest::prop_assert_eq!(gathered.finish(), hasher.finalize());
        }
    }
}
