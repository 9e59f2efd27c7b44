//! What belongs to this user alone on this machine: a node's home, and its directories, Unix sockets and lock files.
//!
//! Owns the paths of a home, the checks that every connection to a node or a session host passes before a byte is sent, and the
//! checks of the process at the other end; waits for children that nobody else waits for. Knows no protocol, and not what is in a file.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "not a pure crate")]

mod anchor;
mod clock;
mod conceal;
mod connect;
mod directory;
mod home;
mod limit;
mod lock;
mod peer;
mod process;
mod reap;
mod regular;
mod reserve;
mod socket_file;
#[cfg(test)]
mod testing;

pub use anchor::Anchor;
pub use clock::{Clocks, now_ms};
pub use conceal::{conceal, reveal};
pub use connect::{ConnectError, Place};
pub use directory::{DirectoryError, check_own, check_parent, check_private};
pub use home::{Home, HomeError};
pub use limit::{keep_realtime_limit_outside, realtime_limit, realtime_limit_outside};
pub use lock::{Holder, Lock, LockFile, is_cleared, is_held, look};
pub use peer::PeerProcess;
pub use process::{is_stopped, realtime_limit_of, stat_of};
pub use reap::reap;
pub use regular::{open_no_link, open_regular, read_regular, read_regular_at_most, read_regular_text};
pub use reserve::reserve;
pub use socket_file::{SocketFile, check_unused, make_way};
