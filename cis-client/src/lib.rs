//! The client of a node's API: HTTP/1 and WebSocket over its Unix socket, or over TCP with TLS.
//!
//! Owns connections, whom they trust, typed calls, and streams that ride over a node's restart. Knows nothing of
//! terminals, the environment or where a node lives: path or URL, and token are arguments, and starting a
//! node is the caller's.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "not a pure crate")]

mod attach;
mod calls;
mod endpoint;
mod error;
mod events;
mod http;
mod identity;
mod input_id;
mod log;
mod policy;
mod query;
mod raw;
mod tokens;
mod trust;
mod verification;
mod ws;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
#[path = "../../cis-local/src/testing.rs"]
mod testing;
#[cfg(test)]
mod tests;

pub use attach::{AttachFrame, AttachStream};
pub use error::ClientError;
pub use events::{EventFollower, EventFrame, EventRef, Followed};
pub use http::{Client, Revive};
pub use input_id::input_id;
pub use log::LogStream;
pub use raw::RawAnswer;
pub use trust::{Fingerprint, ServerTrust};
