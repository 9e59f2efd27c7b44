//! Views that stay right while events go by: a client asks for a run once, and folds what happens after
//! that into it.
//!
//! Owns the fold and its words. Asks nobody: where an event does not say enough, the fold says so
//! ([`Applied::Ask`]) and its owner asks the node again.

mod history;
mod reason;
mod run;

pub use history::History;
pub use reason::{TURN, reason, reason_of_result};
pub use run::{Applied, LiveRun};
