//! Sessions: the host process that owns every PTY and pipe, their logs and evidence, and the node's end of it.
//!
//! Owns processes, what they print, and all `unsafe` of the program but socket options. Knows nothing of runs and of the store.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "not a pure crate")]

pub mod build;
pub mod control;
pub mod evidence;
pub mod exits;
pub mod frames;
pub mod host;
pub mod hub;
pub mod log;
mod os;
pub mod protocol;
pub mod quick;
pub mod recorder;

pub use os::{
    START_MS, allocate, boot_ms, die_by_signal, fail_large_writes, give_memory_back, hand_environment_over,
    mark_descriptors_close_on_exec, receive_environment, share_memory, stamp_at_start, unmap_code,
};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
#[path = "../../cis-local/src/testing.rs"]
mod testing;
