//! The engine of CIS. `ARCHITECTURE.md` is the map.
//!
//! Pure folders (no clock, no randomness, no IO) are always there; io folders sit behind the
//! features `client` and `node`.

pub mod agent;
pub mod api;
pub mod dag;
pub mod event;
pub mod federation;
pub mod identity;
pub mod ids;
pub mod live;
pub mod monitor;
pub mod policy;
pub mod proc;
pub mod room;
pub mod scheduler;
#[cfg(test)]
mod testing;
pub mod text;

#[cfg(feature = "client")]
pub mod client;
#[cfg(any(feature = "client", feature = "node"))]
pub mod config;
#[cfg(any(feature = "client", feature = "node"))]
pub mod local;
#[cfg(feature = "node")]
pub mod matrix;
#[cfg(feature = "node")]
pub mod node;
#[cfg(feature = "node")]
pub mod server;
#[cfg(feature = "node")]
pub mod session;
#[cfg(feature = "node")]
pub mod store;
#[cfg(feature = "screen")]
pub mod terminal;
