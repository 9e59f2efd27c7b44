//! The session host: one process that owns every PTY and pipe of a node, and outlives it.
//!
//! Owns the sessions' processes, their output until it is in their logs, and their exits until somebody
//! has recorded them. Knows the host protocol, and nothing of runs, tasks, the store or the network.
//! One thread, one epoll; nothing in it waits for a client, a disk that is full, or a program.

mod accept;
mod config;
mod connection;
mod deadlines;
mod end_trees;
mod ending;
mod environment;
mod inputs;
mod kill;
mod launch;
mod leftovers;
mod listener;
mod notes;
mod output;
mod pairs;
mod patience;
mod peers;
mod poll;
mod probe;
mod process_table;
mod queues;
mod renewal;
mod renewal_stage;
mod requests;
mod restart;
mod serve;
mod server;
mod session;
mod sessions;
mod slab;
mod start;
mod state;
mod supervise;
mod timers;
mod tree;
mod typing;
mod watching;

pub use config::{HostConfig, HostError, READY};
pub use renewal::{CAN_RENEW, FORMAT, RENEWED_FROM, can_renew, check_renewal};
pub use server::{run, run_renewed};
