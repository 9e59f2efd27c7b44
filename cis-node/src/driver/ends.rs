//! Sessions that people end while the disk is full: they end before that is recorded, because what fills the disk may be one of
//! them. The reserve of the home is released for the record.
//!
//! If the node dies before the record, the host's note of the exit says that people ended the session, and a note in the home which
//! runs they cancelled.

use std::collections::BTreeSet;

use super::Driver;
use crate::commands::{Command, cancelled};
use crate::upkeep::cancels::{self, UnrecordedCancel};
use crate::upkeep::reserve;
use cis_core::ids::{RunId, SessionId, TimestampMs};
use cis_core::scheduler::{Input, InputKind, LiveAttempt};
use cis_host::protocol::ToHost;
use cis_local::now_ms;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Sessions that this turn ends on request.
    wanted: Vec<ToHost>,
    /// Runs that this turn cancels on request.
    cancels: Vec<UnrecordedCancel>,
    /// The newest of them is in no note.
    is_news: bool,
    /// Some of them were ended without a record.
    unrecorded: bool,
    /// The home has a note of such cancels.
    noted: bool,
}

impl Ends {
    /// Notes the end of a session.
    pub(super) fn want(&mut self, session: SessionId, grace_ms: Option<u64>) {
        self.wanted.push(ToHost::Kill { session, grace_ms });
    }

    /// The turn is durable. Gives whether a note of its cancels is to be removed.
    #[must_use]
    pub(super) fn recorded(&mut self) -> bool {
        self.wanted.clear();
        self.cancels.clear();
        self.is_news = false;
        self.unrecorded = false;
        std::mem::take(&mut self.noted)
    }
}

impl Driver {
    /// Notes the ends of the sessions that a cancel ends: not of those that clean up.
    pub(super) fn want_ends_of(&mut self, cancel: UnrecordedCancel) {
        let run = cancel.run;
        self.ends.cancels.push(cancel);
        self.ends.is_news = true;
        self.want_ends_of_sessions(run);
    }

    fn want_ends_of_sessions(&mut self, run: RunId) {
        let is_ended = |live: &LiveAttempt| live.attempt.run == run && live.cancelling;
        let ended: BTreeSet<SessionId> =
            self.parts.machine.live_attempts().filter(is_ended).map(|live| live.session).collect();
        for session in self.parts.worker.sessions_of(run) {
            if ended.contains(&session) {
                self.ends.want(session, None);
            }
        }
    }

    /// Carries out a kill or a cancel although nothing can be recorded. The request is answered when it is recorded.
    pub(super) fn end_unrecorded(&mut self, command: Command) {
        self.obey(command, now_ms());
        self.end_wanted();
    }

    /// Ends the sessions that this turn ends, after it could not be recorded because the disk is full.
    pub(super) fn end_wanted(&mut self) {
        let wanted = std::mem::take(&mut self.ends.wanted);
        self.ends.unrecorded |= !wanted.is_empty();
        if self.ends.is_news {
            (self.ends.is_news, self.ends.noted) = (false, true);
            if let Err(error) = cancels::note(&self.parts.home.dir, &self.ends.cancels) {
                tracing::warn!(%error, "if the node ends before there is space, the cancel is forgotten");
            }
        }
        wanted.iter().for_each(|end| self.tell_host(end));
        self.host.flush();
    }

    /// What is noted of ends needs no note any more.
    pub(super) fn ends_recorded(&mut self) {
        if self.ends.recorded()
            && let Err(error) = cancels::note(&self.parts.home.dir, &[])
        {
            self.ends.noted = true;
            tracing::debug!(%error, "the note of cancels stays until it can be removed");
        }
    }

    /// Cancels the runs that an earlier life of this node had begun to cancel, and could not record.
    pub(super) fn resume_cancels(&mut self, now: TimestampMs) {
        for cancel in cancels::noted(&self.parts.home.dir) {
            self.ends.noted = true;
            let UnrecordedCancel { run, actor, input, now: at_once } = cancel.clone();
            // It may have been recorded, and the note not removed.
            if self.parts.machine.run(&run).is_none_or(|run| run.cancelling().is_some()) {
                continue;
            }
            let kind = InputKind::Cancel { run, now: at_once };
            self.handle(Input { kind, actor: Some(actor), cause: input }, now);
            if let Some(input) = input {
                self.turn.make(input, cancelled(run));
            }
            // Whatever is noted next is noted beside it.
            self.ends.cancels.push(cancel);
        }
    }

    /// Notes the ends of the live sessions of those runs, now that the host is there.
    pub(super) fn resume_ends(&mut self) {
        for run in self.ends.cancels.iter().map(|cancel| cancel.run).collect::<Vec<_>>() {
            self.want_ends_of_sessions(run);
        }
    }

    /// Frees space for the record of such ends.
    pub(super) fn free_space_for_ends(&mut self) {
        if std::mem::take(&mut self.ends.unrecorded) && reserve::release(&self.parts.home.dir) {
            tracing::warn!("the disk is full: the reserve is released to record the end of sessions");
        }
    }
}
