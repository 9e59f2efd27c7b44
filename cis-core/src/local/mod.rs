//! Directories, Unix sockets and lock files that belong to this user alone.
//!
//! Owns the checks that every connection to a node or a session host passes before a byte is sent, and the checks
//! of the process at the other end. Knows no protocol, and no paths of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "an io folder")]

mod conceal;
mod connect;
mod directory;
mod limit;
mod lock;
mod peer;
mod process;
mod socket_file;

pub use conceal::{conceal, reveal};
pub use connect::{ConnectError, Place};
pub use directory::{DirectoryError, check_own, check_parent, check_private};
pub use limit::{keep_realtime_limit_outside, realtime_limit, realtime_limit_outside};
pub use lock::{Holder, Lock, LockFile, is_held, look};
#[cfg(feature = "node")]
pub(crate) use peer::PeerProcess;
pub use process::{is_stopped, realtime_limit_of, stat_of};
pub use socket_file::{SocketFile, make_way};
