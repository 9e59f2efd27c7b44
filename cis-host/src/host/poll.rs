//! What the host polls: descriptors, each with a number that fits an epoll event.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, EventFlags};

/// What an epoll event is about; its number is in the event's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Listener,
    Signals,
    Timers,
    Connection(usize),
    /// Output of a session; of a PTY also room for input.
    Output(usize),
    /// Room in the stdin pipe of a session.
    Input(usize),
}

impl Source {
    const BITS: u32 = 56;

    fn data(self) -> epoll::EventData {
        let (kind, number) = match self {
            Self::Listener => (0, 0),
            Self::Signals => (1, 0),
            Self::Timers => (2, 0),
            Self::Connection(at) => (3, at),
            Self::Output(at) => (4, at),
            Self::Input(at) => (5, at),
        };
        epoll::EventData::new_u64(kind << Self::BITS | number as u64)
    }

    pub(super) fn of(data: epoll::EventData) -> Self {
        let at = usize::try_from(data.u64() & ((1 << Self::BITS) - 1)).unwrap_or(usize::MAX);
        match data.u64() >> Self::BITS {
            0 => Self::Listener,
            1 => Self::Signals,
            2 => Self::Timers,
            3 => Self::Connection(at),
            4 => Self::Output(at),
            _ => Self::Input(at),
        }
    }
}

/// The epoll instance of the host.
#[derive(Debug)]
pub(super) struct Poll(OwnedFd);

impl Poll {
    pub(super) fn new() -> rustix::io::Result<Self> {
        epoll::create(epoll::CreateFlags::CLOEXEC).map(Self)
    }

    pub(super) fn add(
        &self,
        descriptor: impl AsFd,
        source: Source,
        flags: EventFlags,
    ) -> rustix::io::Result<()> {
        epoll::add(&self.0, descriptor, source.data(), flags)
    }

    pub(super) fn change(
        &self,
        descriptor: impl AsFd,
        source: Source,
        flags: EventFlags,
    ) -> rustix::io::Result<()> {
        epoll::modify(&self.0, descriptor, source.data(), flags)
    }

    /// Takes a descriptor out that is about to be closed. Closing does not do it at once:
    /// a child that was just started holds copies of all descriptors until the middle of its execve,
    /// which the host does not wait for, and epoll would go on telling of them.
    pub(super) fn remove(&self, descriptor: impl AsFd) {
        // Where it was not polled, there is nothing to do.
        let _ = epoll::delete(&self.0, descriptor);
    }
}

impl AsFd for Poll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_read_back_from_its_number() {
        let sources = [
            Source::Listener,
            Source::Signals,
            Source::Timers,
            Source::Connection(0),
            Source::Output(7),
            Source::Input((1 << Source::BITS) - 1),
        ];
        for source in sources {
            assert_eq!(Source::of(source.data()), source);
        }
    }
}
