//! The session host: one process that owns every PTY and pipe of a node, and outlives it.
//!
//! Owns the sessions' processes, their output until it is in their logs, and their exits until somebody
//! has recorded them. Knows the host protocol, and nothing of runs, tasks, the store or the network.
//! One thread, one epoll; nothing in it waits for a client, a disk that is full, or a program.

mod config;
mod connection;
mod ending;
mod environment;
mod inputs;
mod kill;
mod leftovers;
mod line;
mod listener;
mod orphans;
mod output;
mod patience;
mod peers;
mod place;
mod probe;
mod requests;
mod server;
mod session;
mod slab;
mod source;
mod start;
mod supervise;
mod timers;
mod tree;
mod typing;
mod watching;

pub use config::{HostConfig, HostError, READY};
pub use server::run;
