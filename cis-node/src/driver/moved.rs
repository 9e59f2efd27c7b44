//! A home that is moved while its node or its sessions run.

use super::{Driver, Stopping};
use cis_core::ids::TimestampMs;
use cis_store::StoreError;

/// Key of the path of the home when a node last started.
const HOME: &str = "home";

/// Key of the time when a node first noticed that the home was moved, Unix ms.
const MOVED: &str = "home_moved_ms";

impl Driver {
    /// Ends the node if its home was moved, because its paths lead elsewhere now, perhaps to another home. It restarts with the
    /// present path. Returns whether it ends.
    pub(super) fn follow_home(&mut self) -> bool {
        let Some(home) = self.parts.anchor.moved_to() else { return false };
        let (was, now) = (self.parts.home.dir.display(), home.display());
        let reason = format!(
            "the home was moved from {was} to {now}: the node restarts there; run commands with `--home {now}`"
        );
        tracing::warn!("{reason}");
        // What is not durable yet would be performed at the old path. The host and the callers ask again.
        self.turn.give_up();
        let _ = self.parts.shared.restart.set(home);
        self.stopping = Some(Stopping { kill_sessions: false, reason });
        true
    }

    /// Compares the path of the home with the one that it had when a node last started. Sessions that have the old one in their
    /// environment may live on.
    pub(super) fn recall_home(&mut self, now: TimestampMs) {
        let home = self.parts.home.dir.display().to_string();
        let writer = &mut self.parts.writer;
        let mut recall = || -> Result<Option<String>, StoreError> {
            let was = writer.get_meta(HOME)?;
            if was.as_ref() != Some(&home) {
                writer.set_meta(HOME, &home)?;
                if was.is_some() {
                    writer.set_meta(MOVED, &now.to_string())?;
                }
            }
            writer.get_meta(MOVED)
        };
        match recall() {
            Ok(moved) => self.parts.worker.home_moved(moved.and_then(|at| at.parse().ok())),
            // On a full disk it is noted at a later start.
            Err(error) => {
                self.parts.writer.rollback();
                tracing::debug!(%error, "the path of the home is not noted");
            }
        }
    }
}
