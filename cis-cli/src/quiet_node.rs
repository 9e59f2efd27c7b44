//! What is wrong with a node that tells nothing: it may be why a run does not go on.
//!
//! Owns when a node is asked, and which of its warnings were told. How they are shown is the matter of those who follow a run.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use cis_client::Client;
use tokio::time::sleep;

/// A node that tells nothing for so long is asked.
const QUIET_TIME: Duration = Duration::from_secs(10);

type Looking<'a> = Pin<Box<dyn Future<Output = Vec<String>> + 'a>>;

/// See the module.
pub(crate) struct QuietNode<'a> {
    client: &'a Client,
    looking: Looking<'a>,
    told: BTreeSet<String>,
}

impl<'a> QuietNode<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
        Self { client, looking: look(client), told: BTreeSet::new() }
    }

    /// It told something just now.
    pub(crate) fn told(&mut self) {
        self.looking = look(self.client);
    }

    /// Returns warnings that were not told yet, as soon as there are some. Dropped in between, it goes on where it was.
    pub(crate) async fn warnings(&mut self) -> Vec<String> {
        loop {
            let mut warnings = self.looking.as_mut().await;
            self.looking = look(self.client);
            warnings.retain(|warning| self.told.insert(warning.clone()));
            if !warnings.is_empty() {
                return warnings;
            }
        }
    }
}

/// Nothing where it does not answer: those who follow it notice that.
fn look(client: &Client) -> Looking<'_> {
    Box::pin(async {
        sleep(QUIET_TIME).await;
        client.node().await.map(|node| node.warnings).unwrap_or_default()
    })
}
