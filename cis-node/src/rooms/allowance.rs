//! What was learned of the account's allowance, kept over restarts of the node in a file of the home.
//!
//! A homeserver counts on while a node restarts: one that began with what homeservers allow as they come would learn
//! the same again each time, by refusals. Another account has another allowance.

use serde::{Deserialize, Serialize};

use super::Rooms;
use crate::json_file;
use cis_core::room::budget::{Budget, Learned};
use cis_local::now_ms;

/// It, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Allowance {
    user: String,
    #[serde(flatten)]
    learned: Learned,
}

impl Rooms {
    /// The allowance of the account that is logged in now, as far as it is known.
    pub(super) async fn recall_allowance(&mut self, user: &str) {
        if self.allowance.as_ref().is_some_and(|known| known.user == user) {
            return;
        }
        let path = self.node.home.allowance();
        let kept = tokio::task::spawn_blocking(move || json_file::load::<Allowance>(&path)).await;
        let kept = kept.ok().and_then(|kept| {
            kept.inspect_err(|error| tracing::warn!(%error, "the account's allowance is learned anew"))
                .ok()?
        });
        let fresh = Budget::new(now_ms());
        self.budget = match kept.filter(|kept| kept.user == user) {
            Some(kept) => fresh.remembering(kept.learned),
            None => fresh,
        };
        self.allowance = Some(Allowance { user: user.to_owned(), learned: self.budget.learned() });
    }

    /// Keeps what was learned since. Where it cannot be, it is learned again.
    pub(super) async fn keep_allowance(&mut self) {
        let learned = self.budget.learned();
        let Some(known) = self.allowance.as_mut().filter(|known| known.learned != learned) else { return };
        known.learned = learned;
        let (path, kept) = (self.node.home.allowance(), known.clone());
        let kept = tokio::task::spawn_blocking(move || json_file::keep(&path, &kept)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "what was learned of the account's allowance cannot be kept");
        }
    }
}
