//! Whole nodes in one process: API, driver, store and session host are real; rooms are in memory, and there is no `cis`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of a crate that is not pure")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests, in a program of their own")]

mod asking;
mod failover;
mod files;
mod files_between;
mod harness;
mod homeserver;
mod left;
mod members;
mod policy;
mod restarts;
mod rooms;
mod runs;
mod secrets;
mod server;
mod sessions;
mod shared;
mod slots;
mod store;
mod tokens;
mod views;
mod wire;
