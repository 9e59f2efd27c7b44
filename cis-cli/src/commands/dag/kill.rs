//! `cis dag kill`.

use std::time::Duration;

use cis_client::{Client, EventFollower};
use cis_core::api::KillSession;
use cis_core::ids::SessionId;

use super::no_session;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};
use crate::restart::FollowedNode;
use crate::settings;

/// End a session and all of its processes
///
/// The processes get SIGTERM, and SIGKILL after the grace period. The command returns when the last one has ended.
/// The task ends as cancelled and is not retried.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag kill build
  cis dag kill 4r1xec --grace 1s")]
pub(crate) struct Args {
    /// The session: its id or the beginning or last characters of it, its task, or its name
    #[arg(value_name = "SESSION")]
    session: String,
    /// Grace period between SIGTERM and SIGKILL [default: the task's own, or 10s]
    #[arg(long, value_name = "TIME", value_parser = settings::duration)]
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
        let id = match client.session(session).await {
            Ok(found) => found.id,
            Err(error) => return Err(no_session::explain(&client, session, error.into()).await),
        };
        // Opened before it is told: what comes after cannot be missed.
        let client = context.follower(client);
        let mut events = client.events(None, None).await?;
        client.kill_session(&id.to_string(), &KillSession { grace_ms }).await?;
        let node = FollowedNode::new(context, format!("cis dag kill {id}"));
        until_ended(node, &client, &mut events, id).await?;
        let answer = serde_json::json!({ "session": id, "ended": true });
        output::show(context.json, &answer, |_| format!("Session {} has ended.\n", clean(session)))?;
        Ok(Exit::OK)
    })
}

/// Waits until the end of the session is recorded. Ctrl+C leaves; the session ends all the same.
async fn until_ended(
    mut node: FollowedNode<'_>,
    client: &Client,
    events: &mut EventFollower<'_>,
    session: SessionId,
) -> Result<(), CliError> {
    let id = session.to_string();
    loop {
        let Some(frame) = node.next(events).await? else {
            // Its end may have been recorded before the events are followed again.
            if client.session(&id).await?.ended_ms.is_some() {
                return Ok(());
            }
            continue;
        };
        let ended = frame.views()?.iter().any(|event| {
            let ends = matches!(&*event.type_name, "cis.dag.task.result" | "cis.dag.session.ended");
            ends && event.body.get().contains(&id)
        });
        if ended {
            return Ok(());
        }
    }
}
