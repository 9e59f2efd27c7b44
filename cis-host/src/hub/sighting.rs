//! What the monitor finds, and who is told.

use std::sync::Arc;

use cis_core::ids::SessionId;
use cis_core::monitor::Change;

/// What the monitor found, sanitised and redacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Whose.
    pub session: SessionId,
    /// What. Episodes are the monitor's own.
    pub change: Change,
    /// The lowest rows of its screen, at most [`cis_core::event::SCREEN_CHARS_MAX`] characters.
    pub screen: String,
}

/// Whom the hub tells what it sees, from its own task: it must not wait.
pub type Watcher = Arc<dyn Fn(Sighting) + Send + Sync>;
