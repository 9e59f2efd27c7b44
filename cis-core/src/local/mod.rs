//! What is this user's alone on the machine: directories, the Unix sockets in them, and lock files that name their
//! holder.
//!
//! Owns the checks that every connection to a node or a session host passes before a byte is sent, and those of the
//! process at the other end. Knows no protocol, and of paths only those that it is given.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "an io folder")]

mod conceal;
mod connect;
mod directory;
mod lock;
mod peer;
mod socket_file;

pub use conceal::{conceal, reveal};
pub use connect::{ConnectError, Place};
pub use directory::{DirectoryError, check_own, check_parent, check_private};
pub use lock::{Holder, Lock, LockFile, look};
#[cfg(feature = "node")]
pub(crate) use peer::PeerProcess;
pub use socket_file::{SocketFile, make_way};
