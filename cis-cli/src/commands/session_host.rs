//! `cis session-host`: the process that owns the terminals of a node. Nodes start it.

use std::time::Duration;

use cis_host::host::{self, HostConfig};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::home::refuse_in_session;

/// A host that nothing needs any more ends after this time.
const LINGER: Duration = Duration::from_secs(2);

/// The process that owns the terminals of a node; nodes start it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// umask of sessions, octal
    #[arg(long, value_parser = umask)]
    session_umask: Option<u32>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let home = &context.home;
    refuse_in_session(&home.dir).map_err(CliError::unavailable)?;
    let config = HostConfig {
        socket: home.host_socket(),
        fallback: home.fallback_host_socket(),
        lock: home.host_lock(),
        home: home.dir.clone(),
        umask: args.session_umask,
        linger: LINGER,
    };
    host::run(config).map_err(|error| CliError::unavailable(error.to_string()))?;
    Ok(Exit::OK)
}

pub(super) fn umask(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mask| *mask <= 0o777)
        .ok_or_else(|| "an octal number up to 777".to_owned())
}
