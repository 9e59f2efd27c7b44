//! `cis status`.

use cis_core::api::{ListRuns, ListSessions, NodeView, RunView, SessionView};
use serde::Serialize;

use super::node;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// Show the node, open runs and live sessions on one screen; starts no node
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis status
  cis status --json | jq .node")]
pub(crate) struct Args {
    /// Maximum number of runs
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, Serialize)]
struct Status {
    node: NodeView,
    runs: Vec<RunView>,
    sessions: Vec<SessionView>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    if !context.overrides.is_empty() {
        // This command uses none of them, but refuses unknown settings as the others do.
        context.config()?;
    }
    let status = context.block_on(async {
        let node = node::view(context).await?;
        if !node.running {
            return Ok(Status { node, runs: Vec::new(), sessions: Vec::new() });
        }
        let client = context.client_of_running()?;
        let open = ListRuns { open: true, limit: Some(args.limit), ..ListRuns::default() };
        let runs = client.runs(&open).await?.items;
        let sessions = client.all_sessions(&ListSessions::default()).await?.items;
        Ok(Status { node, runs, sessions })
    })?;
    output::show(context.json, &status, |status| {
        let now = now_ms();
        let mut text = human::node(&status.node, now);
        if status.node.running {
            text.push('\n');
            text.push_str(&match status.runs.as_slice() {
                [] => "No open runs.\n".to_owned(),
                runs => human::runs(runs, now),
            });
            text.push('\n');
            text.push_str(&match (status.sessions.as_slice(), status.node.live_sessions) {
                ([], 1) => "1 session is starting.\n".to_owned(),
                ([], starting @ 2..) => format!("{starting} sessions are starting.\n"),
                (sessions, _) => human::sessions(sessions, now),
            });
        }
        text
    })?;
    Ok(Exit::OK)
}
