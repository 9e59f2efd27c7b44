//! `cis dag kill`.

use std::time::Duration;

use cis_core::api::KillSession;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};

/// Ends a session with all its processes
///
/// They get SIGTERM, and SIGKILL when the grace is over. The task ends as cancelled and is not tried again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The session: its id or the beginning or last characters of it, its task, or its name
    #[arg(value_name = "SESSION")]
    session: String,
    /// Between SIGTERM and SIGKILL [default: as the task says, or 10s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    grace: Option<Duration>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    kill(context, &args.session, args.grace)
}

/// Ends it; `cis session terminate` does the same.
pub(crate) fn kill(context: &Context, session: &str, grace: Option<Duration>) -> Result<Exit, CliError> {
    let grace_ms = grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
    let client = context.client()?;
    context.block_on(async {
        client.kill_session(session, &KillSession { grace_ms }).await?;
        let answer = serde_json::json!({ "session": session, "terminating": true });
        output::show(context, &answer, |_| format!("Session {} is being ended.\n", clean(session)))?;
        Ok(Exit::OK)
    })
}
