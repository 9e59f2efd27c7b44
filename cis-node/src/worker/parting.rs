//! The end of an agent whose work is done: it is asked to end in its own way, and told to where it does not.

use std::collections::VecDeque;

use super::LocalWorker;
use cis_core::ids::{SessionId, TimestampMs};
use cis_host::protocol::ToHost;

/// Between what is typed, ms: a program may take keys that come at once for a paste.
const STEP_MS: i64 = 300;
/// So long it may take to save what it has, ms.
const LAST_MS: i64 = 5_000;

/// An agent that is being asked to end.
pub(super) struct Parting {
    session: SessionId,
    steps: VecDeque<String>,
    due: TimestampMs,
    grace_ms: u64,
}

impl LocalWorker {
    /// Ends a session whose result was handed in.
    pub(super) fn part(&mut self, session: SessionId, grace_ms: u64) {
        let profile = self.live.get(&session).and_then(|live| live.profile.as_deref());
        let agent = profile.and_then(|name| self.settings.agents.get(name));
        let steps: VecDeque<String> =
            agent.map(|agent| agent.exit.iter().cloned().collect()).unwrap_or_default();
        if steps.is_empty() {
            self.to_host.push(ToHost::Kill { session, grace_ms: Some(grace_ms) });
            return;
        }
        // Asked twice, it is no other end.
        if !self.partings.iter().any(|parting| parting.session == session) {
            self.partings.push(Parting { session, steps, due: self.now_ms, grace_ms });
        }
    }

    /// When something is to be typed, or somebody has not ended.
    pub(super) fn next_parting(&self) -> Option<TimestampMs> {
        self.partings.iter().map(|parting| parting.due).min()
    }

    /// Types what is due. Who has ended meanwhile needs nothing more.
    pub(super) fn go_on_parting(&mut self) {
        let mut partings = std::mem::take(&mut self.partings);
        partings.retain_mut(|parting| {
            let lives = self.live.get(&parting.session).is_some_and(|live| !live.life.is_reported());
            if !lives || parting.due > self.now_ms {
                return lives;
            }
            let Some(step) = parting.steps.pop_front() else {
                let grace_ms = Some(parting.grace_ms);
                self.to_host.push(ToHost::Kill { session: parting.session, grace_ms });
                return false;
            };
            self.to_type.push((parting.session, step));
            parting.due = self.now_ms + if parting.steps.is_empty() { LAST_MS } else { STEP_MS };
            true
        });
        self.partings = partings;
    }
}
