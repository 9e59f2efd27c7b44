//! The room that this node made for runs without one: which it is, kept in a file of the home.
//!
//! Another account has another one.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::json_file;

/// It, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnRoom {
    /// The account that made it.
    pub(super) user: String,
    /// Its id.
    pub(super) room: String,
}

/// What is kept; none where nothing is.
pub(super) fn load(path: &Path) -> io::Result<Option<OwnRoom>> {
    json_file::load(path)
}

/// Keeps it: the whole of it, or what was there before.
pub(super) fn keep(path: &Path, own: &OwnRoom) -> io::Result<()> {
    json_file::keep(path, own)
}
