//! The node's home as commands see it: found from their environment, made before anything else is.

use std::ffi::OsString;
use std::io;

use cis_core::config::{HomeError, Keys};
use cis_core::ids::NodeDid;

pub(crate) use cis_core::config::Home;

use crate::error::CliError;

/// Hint for a home that is not writable.
pub(crate) const NOT_WRITABLE_HINT: &str =
    "make the home directory writable for this user, or use another one with --home DIR or CIS_HOME";

/// Finds it; see [`Home::locate`].
pub(crate) fn locate(
    cis_home: Option<OsString>,
    home: Option<OsString>,
    xdg_runtime: Option<OsString>,
) -> Result<Home, CliError> {
    Home::locate(cis_home, home, xdg_runtime).map_err(|error| match error {
        HomeError::Nowhere => CliError::bad_input("no home directory is known: HOME is not set")
            .hint("give one with --home DIR or CIS_HOME"),
        other => CliError::bad_input(other.to_string()),
    })
}

/// Makes the directories (0700); whether the home was missing.
pub(crate) fn create(home: &Home) -> io::Result<bool> {
    let missing = !home.dir.exists();
    home.make().map_err(io::Error::other)?;
    Ok(missing)
}

/// Who the node is: its key, made now where there is none; whether it was made.
pub(crate) fn key(home: &Home) -> io::Result<(NodeDid, bool)> {
    let missing = !home.identity_key().exists();
    let keys = Keys::load_or_make(&home.dir).map_err(io::Error::other)?;
    Ok((keys.node.did(), missing))
}
