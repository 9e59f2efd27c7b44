//! The node: where scheduler, sessions, store and API meet.
//!
//! Owns the driver (the only loop that changes anything: gather, handle, persist, perform, confirm),
//! the wiring of everything else, restoring after a crash, and shutting down.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "not a pure crate")]

pub mod account;
mod again;
mod agents;
mod api;
mod artifacts;
mod bound_tasks;
pub mod cache;
mod chores;
mod commands;
pub mod config;
mod context;
mod control;
mod control_requests;
mod declared;
mod driver;
mod environment;
mod environments;
mod explain;
mod exposure;
mod federation;
mod file_jobs;
mod files;
mod held_asks;
mod host_health;
mod identity;
mod inbox;
mod json_file;
mod kept;
mod known_uploads;
mod leaders;
mod link;
mod logs;
mod machine;
mod matrix;
mod members;
mod node;
mod node_policy;
mod notices;
mod open_views;
mod outbox_name;
mod own_commands;
mod own_log;
mod own_room;
mod principal;
mod problems;
mod redactors;
mod remote;
mod reports;
mod restore;
mod room_choice;
mod room_nodes;
mod room_waker;
mod rooms;
mod secret_file;
pub mod server;
mod shared;
mod small_file;
mod start_checks;
mod streams;
mod submit;
#[cfg(test)]
#[path = "../../cis-local/src/testing.rs"]
mod testing;
mod tokens;
mod transfers;
pub mod upkeep;
mod upload_ahead;
mod verification;
mod verifications;
mod victims;
mod views;
mod wiring;
mod worker;
mod wrong;

pub use account::{GivenAccount, Homeserver, TakeChunk};
pub use federation::RoomsInMemory;
pub use remote::RemoteError;
pub use wiring::{Ended, NodeError, NodeOptions, Readiness, run};

/// What the API of such a node says of itself. Needs no node that runs.
#[must_use]
pub fn api_documents() -> server::Documents {
    server::documents::<node::Node>()
}
