//! The scheduler: a pure machine that decides which attempt is granted when, and what every result means.
//!
//! Owns the state of runs and tasks and all moves between them. Does no IO and reads no clock:
//! inputs come with their time, events and effects go out, and whoever drives it makes the events
//! durable before it performs the effects.

mod input;

pub use input::{Effect, IdSource, Input, InputKind, Rejected, WakeReason};
