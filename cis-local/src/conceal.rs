//! Protection of this process against other processes of the same user.

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Closes this process to all others of its user: they can neither trace it nor take its descriptors, nor read its
/// memory and its environment (`PR_SET_DUMPABLE`, prctl(2); the checks are those of ptrace(2)). It also leaves no core
/// dump. A program that this process executes is not protected.
///
/// # Errors
/// The system has no such setting.
pub fn conceal() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Undoes [`conceal`].
///
/// # Errors
/// The same as [`conceal`].
pub fn reveal() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?)
}
