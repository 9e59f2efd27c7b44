//! What people in a room see of runs, and what they can say: pure.
//!
//! Owns the messages that people read (cards, threads, questions, replies), the reading of what they write
//! (commands, replies, reactions), which events may act at all, and how the account's
//! allowance of messages is spent. Contents are JSON values; whoever calls sends them and keeps their
//! event ids. Knows nothing of homeservers, stores or clocks, and nothing of what machines say to each
//! other.
//!
//! Everything that a session, a file or a room says is hostile: it gets into a message through `clean`
//! alone, and what people write becomes a request whose every part has a shape.

pub mod budget;
pub mod card;
pub mod command;
pub mod freshness;
pub mod message;
mod on_machine;
pub mod pace;
mod page;
pub mod question;
pub mod reply;
pub mod thread;

pub use crate::matrix::{EventId, NameError, Place, RoomId, UserId, names_a_room};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod sample;
