//! A run as a file that can be checked without the nodes and the room that it comes from.
//!
//! Owns the format ([`Line`]) and the check ([`verify`]). Whoever writes the file reads the room, and whoever checks it knows
//! the owners of that room. Pure: reads no files and asks nobody.

mod line;
mod verdict;
mod verify;

pub use line::{FORMAT, Line, VERSION};
pub use verdict::{Answered, Coordinator, MemberView, Specification, TaskClaim, Verdict};
pub use verify::{BadExport, verify};

#[cfg(test)]
mod tests;
