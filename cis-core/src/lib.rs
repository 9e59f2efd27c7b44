//! Everything of CIS that is pure: no clock, no randomness, no IO. `ARCHITECTURE.md` is the map.

pub mod agent;
pub mod answers;
pub mod api;
pub mod dag;
pub mod event;
pub mod federation;
pub mod fence;
pub mod identity;
pub mod ids;
pub mod live;
pub mod matrix;
pub mod monitor;
mod named;
pub mod people;
pub mod policy;
pub mod proc;
pub mod prompt;
pub mod rate;
pub mod room;
pub mod scheduler;
pub mod term_size;
pub mod terminal;
#[cfg(test)]
mod testing;
pub mod text;
