//! What could not be read when the node started: runs whose file or events are not to be had, and
//! the list of sessions without a run. Whatever the host has and nobody claims may be theirs, so it is
//! left alone until everything could be read, which is tried again and again.

use std::collections::{BTreeMap, BTreeSet};

use super::Driver;
use super::retry::RetryAt;
use crate::restore::{self, RestoreError};
use cis_core::ids::{RunId, SessionId, TimestampMs};
use cis_core::scheduler::{Input, InputKind};
use cis_host::protocol::{Known, ToHost};
use cis_store::StoreError;

/// Between tries, ms.
const RETRY_MS: i64 = 5_000;

/// See the module.
#[derive(Default)]
pub(super) struct Unread {
    /// Open runs, and why each of them cannot go on.
    runs: BTreeMap<RunId, String>,
    /// Those of them that lack events: another try would change nothing.
    lacking: BTreeSet<RunId>,
    /// Why the sessions without a run are not known.
    pub(super) loners: Option<String>,
    /// Sessions of the host that nobody has claimed.
    pub(super) sessions: BTreeMap<SessionId, Known>,
    retry_at: Option<RetryAt>,
    /// Number of sessions of the host that the store did not know. Each is recorded before it starts, so the store has
    /// lost its newest events.
    unknown: usize,
}

impl Unread {
    pub(super) fn new(runs: BTreeMap<RunId, String>) -> Self {
        Self { runs, ..Self::default() }
    }

    pub(super) fn has_run(&self, run: RunId) -> bool {
        self.runs.contains_key(&run)
    }

    pub(super) fn run_count(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn retry_at(&self, now: TimestampMs) -> Option<TimestampMs> {
        // The first try is at once.
        (!self.is_settled()).then(|| self.retry_at.map_or(now, |at| at.on_wall(now)))
    }

    fn is_settled(&self) -> bool {
        self.runs.is_empty() && self.loners.is_none()
    }

    /// For `node status`.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        let runs = self.runs.values().map(|why| {
            format!("a run cannot continue: {why}; its sessions keep running, and it is tried again")
        });
        let loners = self
            .loners
            .iter()
            .map(|why| format!("sessions without a run cannot be read, and it is tried again: {why}"));
        runs.chain(loners)
    }

    /// Returns the number of sessions of the host that the store did not know.
    pub(super) fn unknown(&self) -> usize {
        self.unknown
    }
}

impl Driver {
    /// Reads a run again that could not be read, and takes its sessions over. `to_cancel`: the caller cancels it, which needs no environment.
    ///
    /// # Errors
    /// It still cannot be read.
    pub(super) fn read_again(
        &mut self,
        run: RunId,
        to_cancel: bool,
        now: TimestampMs,
    ) -> Result<(), RestoreError> {
        let load = if to_cancel { restore::load_open_run } else { restore::load_whole_run };
        let agents = &self.parts.config.settings.agents;
        let folded = match load(&self.parts.readers, &self.parts.blobs, agents, run) {
            Ok(folded) => folded,
            Err(error) => {
                if matches!(error, RestoreError::Lacking { .. }) {
                    self.unread.lacking.insert(run);
                }
                self.unread.runs.insert(run, error.to_string());
                return Err(error);
            }
        };
        tracing::info!(%run, "a run can be read again and goes on");
        self.unread.runs.remove(&run);
        self.parts.machine.restore(folded);
        // Without a host they are settled when there is one.
        if self.host.fd().is_some() {
            let live: Vec<_> =
                self.parts.machine.live_attempts().filter(|live| live.attempt.run == run).collect();
            live.into_iter().for_each(|live| self.settle(live, now));
        }
        self.let_go_of_nobodys();
        self.serve_room_of(run);
        if !to_cancel {
            self.handle(Input::internal(InputKind::Tick), now);
            self.worker_said(now);
        }
        Ok(())
    }

    /// Tries again what could not be read, where it is time.
    pub(super) fn retry_unread(&mut self, now: TimestampMs) {
        if self.unread.retry_at.is_some_and(|at| !at.is_due()) {
            return;
        }
        let can_change = |run: &RunId| !self.unread.lacking.contains(run);
        for run in self.unread.runs.keys().copied().filter(can_change).collect::<Vec<_>>() {
            // Why not is kept for `node status`.
            let _ = self.read_again(run, false, now);
        }
        if self.unread.loners.is_some() && self.host.fd().is_some() {
            self.reconcile_loners(now);
            self.let_go_of_nobodys();
        }
        self.unread.retry_at = (!self.unread.is_settled()).then(|| RetryAt::after(RETRY_MS));
    }

    /// Once everything could be read, what is left is nobody's: its result is recorded, or it was
    /// started for a run that is gone.
    pub(super) fn let_go_of_nobodys(&mut self) {
        if !self.unread.is_settled() {
            return;
        }
        let nobodys = std::mem::take(&mut self.unread.sessions);
        let reader = self.parts.readers.get();
        for (session, known) in nobodys {
            let found = reader.as_ref().map(|reader| reader.session(session));
            if matches!(found, Ok(Err(StoreError::NotFound { .. }))) {
                tracing::error!(%session, "a session of the host is unknown to the database, which has lost its newest events");
                self.unread.unknown += 1;
            }
            self.tell_host(&match known.exit {
                Some(_) => ToHost::AckExit { session },
                None => ToHost::Kill { session, grace_ms: None },
            });
        }
    }
}
