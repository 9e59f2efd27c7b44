//! The node's home as commands see it: found from their environment, made before anything else is.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use cis_core::ids::NodeDid;
use cis_local::HomeError;
use cis_node::config::Keys;

pub(crate) use cis_local::Home;

use crate::error::CliError;

/// Hint for a home that is not writable.
pub(crate) const NOT_WRITABLE_HINT: &str =
    "make the home directory writable for this user, or use another one with --home DIR or CIS_HOME";

/// Hint for a home on a file system that was made read-only, as after an error of the disk.
pub(crate) const READ_ONLY_HINT: &str = "`cis store check` and `cis store backup FILE` work on a read-only disk; `dmesg` shows why it is read-only";

/// Finds it; see [`Home::locate`].
pub(crate) fn locate(
    cis_home: Option<OsString>,
    home: Option<OsString>,
    xdg_runtime: Option<OsString>,
) -> Result<Home, CliError> {
    Home::locate(cis_home, home, xdg_runtime).map_err(|error| match error {
        HomeError::Nowhere => CliError::bad_input("cannot find the home directory: HOME is not set")
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

/// Refuses to start a node or a session host in a process of a session. Such a process may have removed the environment of
/// its session, but it cannot raise its limit. Node and host of a home refuse each other if one of them has a limit.
pub(crate) fn refuse_in_session(home: &Path) -> Result<(), String> {
    let limit = cis_local::realtime_limit();
    if limit >= cis_local::realtime_limit_outside(home) {
        return Ok(());
    }
    Err(format!(
        "this process has a hard limit of realtime CPU time (RLIMIT_RTTIME, {limit} µs), as processes of sessions have; run \
         `cis node start --detach` outside of sessions, in a shell in which `prlimit --rttime` says `unlimited`. In a session, \
         use a home that is made there: `--home DIR`"
    ))
}
