//! How the nodes of a room share the tasks of a run: grants with leases, results, and what follows when a node is lost.
//!
//! Pure: messages and times in, messages and effects out. Two halves, as a node may be either or both: the worker's
//! ([`worker`]) and the coordinator's ([`coordinator`]). Which coordinator counts is the journal's matter, which task
//! goes where is the scheduler's. How they share the groups of the room is in [`groups`]; how a majority of coordinators at several homeservers decides, in [`voters`]. Carriers may lose, repeat, delay and reorder messages; they say truthfully who sent one.

pub mod coordinator;
pub mod groups;
pub mod message;
mod settings;
pub mod suspicion;
#[cfg(test)]
mod tests;
pub mod voters;
pub mod worker;

pub use settings::{BootMs, Settings};
