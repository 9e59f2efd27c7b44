//! The session host as a process of its own, driven over its socket.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of a crate that is not pure")]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests, in a program of their own")]

mod adoption;
mod answers;
mod begun_lines;
mod endings;
mod evidence;
mod exits;
mod hogs;
mod idle;
mod limits;
mod orphans;
mod queues;
mod renewal;
mod sessions;
mod streams;
mod supervision;
mod support;
#[path = "../../../cis-local/src/testing.rs"]
mod testing;
