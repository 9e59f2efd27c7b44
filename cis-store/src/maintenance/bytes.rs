//! Numbers in a database file, and the size of its pages (SQLite, "Database File Format").

/// The page size of every store; CIS has never set another one.
pub(super) const PAGE_BYTES: usize = 4096;

pub(super) fn take<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    taken.copy_from_slice(&bytes[..N]);
    taken
}

pub(super) fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(take(bytes))
}
