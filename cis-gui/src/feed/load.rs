//! What the model lacks is asked for, each thing once however often it was missed meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cis_core::api::{ListInbox, ListSessions, ProblemKind};
use cis_core::client::{Client, ClientError};
use tokio::time::Instant;

use super::Shared;
use crate::model::{Update, Want};

/// Between two rounds at least so long.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Of the time at most a fourth is spent with asking.
const PAUSE_TIMES: u32 = 3;

/// Serves the model's wants, for ever.
pub(super) async fn serve(client: Arc<Client>, shared: Arc<Shared>) {
    loop {
        shared.wanted.notified().await;
        let began = Instant::now();
        let mut missed = BTreeSet::new();
        for want in shared.take_wants() {
            // Before the request goes out: what happens from now on may not be in the answer.
            shared.model().taken(want);
            match ask(&client, want).await {
                Ok(update) => shared.apply(update),
                Err(ClientError::Problem(problem)) if problem.kind == ProblemKind::NotFound => {
                    if let Want::Run(run) = want {
                        shared.apply(Update::RunGone(run));
                    }
                }
                Err(error) if error.is_away() => {
                    // All is asked anew when the node is back, but for runs that were only looked at.
                    if matches!(want, Want::Run(_)) {
                        missed.insert(want);
                    }
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep((began.elapsed() * PAUSE_TIMES).max(PAUSE_MIN)).await;
        if !missed.is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            shared.want(missed);
        }
    }
}

async fn ask(client: &Client, want: Want) -> Result<Update, ClientError> {
    Ok(match want {
        Want::Inbox => Update::Inbox(client.whole_inbox(ListInbox::default()).await?),
        Want::Run(run) => Update::Run(Box::new(client.run(&run.to_string()).await?)),
        Want::Sessions => Update::Sessions(client.sessions(&ListSessions::default()).await?.items),
        Want::Node => Update::Node(Box::new(client.node().await?)),
        Want::Groups => Update::Groups(client.groups().await?.items),
    })
}
