//! The scheduler: a pure machine that decides which attempt is granted when, and what every result means.
//!
//! Owns the state of runs and tasks and all moves between them. Does no IO and reads no clock:
//! inputs come with their time, events and effects go out, and whoever drives it makes the events
//! durable before it performs the effects. Recovery folds the stored events by [`Run::apply`], which is
//! also the only way by which the machine changes a run.

mod apply_error;
mod audit;
mod begin;
mod ending;
mod grow;
mod handler;
mod handlers;
mod index;
mod input;
mod links;
mod live;
mod machine;
mod narrow;
mod outcome;
mod outputs;
pub mod placement;
mod prompts;
mod reduce;
mod retry;
mod room_share;
mod settle;
mod state;
mod submitter;
mod task;
mod time;
mod trigger;

#[cfg(test)]
mod tests;

pub use apply_error::ApplyError;
pub use input::{Effect, IdSource, Input, InputKind, Rejected, WakeReason};
pub use live::{Live, Prompt, Stop};
pub use machine::{Breaker, LiveAttempt, Machine};
pub use outputs::Output;
pub use room_share::{GroupQuota, GroupUse, KeeperState, OpenPlaces, RoomShare};
pub use state::Run;
pub use task::{Ended, Spent, Tally, TaskEntry};
