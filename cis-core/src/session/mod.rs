//! Sessions: the host process that owns every PTY and pipe, its logs, the terminal models.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "an io folder")]

pub mod control;
pub mod evidence;
pub(crate) mod exits;
pub mod frames;
pub mod host;
pub mod hub;
pub mod log;
mod os;
pub mod protocol;
pub mod quick;
pub mod recorder;

pub use crate::terminal::{filter, sanitizer, screen};
pub(crate) use os::{
    START_MS, allocate, boot_ms, give_memory_back, share_memory, stamp_at_start, unmap_code,
};
pub use os::{fail_large_writes, hand_environment_over, receive_environment};

#[cfg(test)]
mod fuzz;
