//! What the monitor finds, and who is told.

use std::sync::Arc;

use cis_core::ids::SessionId;
use cis_core::monitor::Change;
use cis_core::term_size::TermSize;

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

/// What the hub finds out by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubNews {
    /// The monitor found something.
    Seen(Sighting),
    /// A session's terminal has another size.
    Resized {
        /// The session.
        session: SessionId,
        /// The size.
        size: TermSize,
    },
}

/// Subscriber of the hub's news. It is called from the hub's own task: it must not wait.
pub type Watcher = Arc<dyn Fn(HubNews) + Send + Sync>;
