//! What a node and its session host say to each other, on a Unix stream socket.
//!
//! A frame is `length: u32 LE` (of what follows), `kind: u8`, payload. Kind 0: a JSON message.
//! Kind 1 (host → node) and 2 (node → host): bytes of a session: `session: 16 bytes` (the ULID, big
//! endian), `offset: u64 LE`, data. For kind 2 the offset field holds 0, or 1 ([`frame::REPORT`]).
//! Requests are idempotent: a start by its session, an input by its id. Unknown fields and kinds of
//! frames are ignored, so that a host and a node of neighbouring versions understand each other; a
//! message of an unknown type is answered with `Refused` and the connection is closed.

mod from_host;
mod to_host;

use serde::{Deserialize, Serialize};

pub use self::from_host::{Exit, FromHost, Known, StartFailure};
pub use self::to_host::{AtDeadline, Io, Lease, Line, Start, ToHost};

/// Version of this protocol. A host of another one is refused with its number.
pub const VERSION: u32 = 1;

/// No frame is longer; a peer that announces one is cut off.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// So much input of a session waits in the host for a program that does not read, bytes.
pub const INPUT_BYTES_MAX: usize = 1 << 20;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Starts sessions and is told of exits. One at a time: a new one replaces the old.
    Control,
    /// Watches output and types. Any number.
    Stream,
}

/// Kinds of frames.
pub mod frame {
    /// A JSON message.
    pub const JSON: u8 = 0;
    /// Output of a session, host to node.
    pub const OUTPUT: u8 = 1;
    /// Input for a session, node to host.
    pub const INPUT: u8 = 2;
    /// In the offset field of input: the terminal sends it by itself (a reply to a query, a movement of the mouse), and nobody typed
    /// it. Hosts of earlier versions ignore that field.
    pub const REPORT: u64 = 1;
    /// Bytes before the data in frames of bytes: session and offset.
    pub const BYTES_HEADER: usize = 24;
}

#[cfg(test)]
mod tests;
