//! Profiles: what is known of a program beforehand, and how its screen is read.
//!
//! Owns the keys of the monitor's part of a profile and the built-in ones. How a program is started and
//! logged in is not its business.

use std::sync::Arc;

/// What is known of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Lines that begin with `ERROR:`, `PERMISSION:`, `QUESTION:`, `COMPLETE:` count.
    pub markers: bool,
    /// Nothing but a spinner has moved for so long: it is stalled, ms.
    pub stalled_after_ms: u64,
}

impl Profile {
    /// Commands without an agent.
    #[must_use]
    pub fn plain() -> Arc<Self> {
        Arc::new(Self { name: "plain".to_owned(), markers: false, stalled_after_ms: 600_000 })
    }

    /// A built-in profile by its name.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Arc<Self>> {
        (name == "plain").then(Self::plain)
    }
}
