//! Waiting for the end of a child that nobody else waits for.

use std::io;
use std::process::Child;
use std::thread;

/// Stack of the thread, bytes: it only waits.
const STACK_BYTES: usize = 64 << 10;

/// Waits for the end of a child on a thread of its own, however long that takes, so that the child leaves no zombie.
///
/// # Errors
/// There can be no more threads. The child goes on, and will be a zombie from its end to that of this process.
pub fn reap(mut child: Child) -> io::Result<()> {
    thread::Builder::new()
        .name("cis-reaper".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || child.wait())
        .map(drop)
}
