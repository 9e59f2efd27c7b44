//! How the screen of an agent is read: the monitor's profile, and what it was made from.

use std::sync::{Arc, OnceLock};

use crate::monitor::{Profile, ProfileError};

/// See the module.
#[derive(Debug, Clone)]
pub struct Screen {
    name: String,
    /// Read when it is first asked for: every command reads the configuration, few of them a screen.
    profile: OnceLock<Arc<Profile>>,
    /// The tables that were laid over each other, the lowest first.
    written: Vec<toml::Table>,
}

impl Default for Screen {
    fn default() -> Self {
        Self::builtin("plain")
    }
}

impl PartialEq for Screen {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.written == other.written
    }
}

impl Eq for Screen {}

impl Screen {
    /// That of a built-in profile; the plain one where there is none of this name.
    pub(super) fn builtin(name: &str) -> Self {
        Self { name: name.to_owned(), profile: OnceLock::new(), written: Vec::new() }
    }

    /// With what the table `screen` of a profile says otherwise.
    pub(super) fn with(self, name: &str, table: &toml::Table) -> Result<Self, ProfileError> {
        let profile = Profile::from_table(name, Some(self.profile()), table)?;
        let mut written = self.written;
        written.push(table.clone());
        Ok(Self { name: name.to_owned(), profile: profile.into(), written })
    }

    /// What the monitor reads it by.
    #[must_use]
    pub fn profile(&self) -> &Arc<Profile> {
        self.profile.get_or_init(|| Profile::builtin(&self.name).unwrap_or_else(Profile::plain))
    }
}
