//! Disk space that is reserved before it is written.

use std::fs::File;
use std::io;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, retry_on_intr};

/// Reserves the space of a part of a file (fallocate(2)). False: the file system does not support that.
///
/// # Errors
/// There is no space, or the system refuses it.
pub fn allocate(file: &File, flags: FallocateFlags, start: u64, length: u64) -> io::Result<bool> {
    match retry_on_intr(|| fallocate(file, flags, start, length)) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
