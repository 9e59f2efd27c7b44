//! Waiting for one descriptor, with a deadline, outside of the runtime.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Waits until `fd` can be read without blocking, its other side is gone included; whether that came
/// before the deadline.
pub(crate) fn readable(fd: impl AsFd, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bytes_and_ends_are_noticed_and_nothing_is_not() {
        let (reader, writer) = io::pipe().unwrap();
        let soon = || Instant::now() + Duration::from_millis(20);
        assert!(!readable(&reader, soon()).unwrap());
        drop(writer);
        assert!(readable(&reader, soon()).unwrap());
    }
}
