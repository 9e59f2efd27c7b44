//! Space for a file that is about to be written.

use std::fs::File;

use rustix::fs::{FallocateFlags, fallocate};

/// Smaller files gain nothing, bytes.
const BYTES_MIN: u64 = 1 << 20;

/// Space is set aside for no more bytes: the size may be what another node says.
const BYTES_MAX: u64 = 64 << 20;

/// Sets space aside for a file that is empty and will have `bytes` bytes, so that the file system does not look for some at each write(2). The file keeps its
/// length. Where that cannot be done, writing the file says why, or does it anyway.
pub fn reserve(file: &File, bytes: u64) {
    if bytes > BYTES_MIN {
        let reserved = fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes.min(BYTES_MAX));
        if reserved.is_err() {
            // ext4 keeps what it found before the disk was full.
            let _ = file.set_len(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_file_has_its_space_and_keeps_its_length() {
        let file = tempfile::tempfile().unwrap();
        reserve(&file, 3 << 20);
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), 0);
        // A file system without fallocate(2) gives none.
        assert!(matches!(metadata.blocks(), 0 | 6144..));
    }
}
