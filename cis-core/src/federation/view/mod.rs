//! Views: what a node shows of its sessions to people at another node of the room, and what they type there.
//!
//! Owns the messages, their envelopes, and the pipe that numbers them. What is shown, and to whom, is the matter of the
//! node that has the session. Pure: sends nothing, and is told what time it is.

mod frame;
mod pipe;
mod segment;

pub use frame::{Frame, Open, What};
pub use pipe::{Pace, Pipe, Role, SEGMENT_BYTES_MAX};
pub use segment::{Segment, ViewMessage};

/// Names a view. Its time is when it was asked for.
pub type ViewId = crate::ids::InputId;
