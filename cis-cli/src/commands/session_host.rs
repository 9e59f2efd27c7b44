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
    /// Only check whether the host whose state is in the socket on standard output can be taken over
    #[arg(long, hide = true, value_name = "FORMAT")]
    can_renew: Option<u32>,
    /// Go on with the host that the earlier program of this process was
    #[arg(long, hide = true, value_name = "DESCRIPTOR", conflicts_with = "can_renew")]
    renewed_from: Option<i32>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let failed = |error: host::HostError| CliError::unavailable(error.to_string());
    if let Some(format) = args.can_renew {
        host::check_renewal(format).map_err(failed)?;
        return Ok(Exit::OK);
    }
    if let Some(socket) = args.renewed_from {
        host::run_renewed(socket).map_err(failed)?;
        return Ok(Exit::OK);
    }
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
    host::run(config).map_err(failed)?;
    Ok(Exit::OK)
}

pub(super) fn umask(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mask| *mask <= 0o777)
        .ok_or_else(|| "an octal number up to 777".to_owned())
}
