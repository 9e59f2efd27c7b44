//! What the host polls, as a number that fits an epoll event.

use rustix::event::epoll;

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

    pub(super) fn data(self) -> epoll::EventData {
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
