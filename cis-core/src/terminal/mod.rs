//! What a session's terminal shows: a model of it, and what of a terminal's bytes may reach another one.
//!
//! Owns emulation, pictures and filters. Knows nothing of processes, sockets and files: the node feeds it what
//! the host brings, a dashboard what the node sends.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the emulator's types")]

pub mod filter;
pub mod sanitizer;
pub mod screen;
