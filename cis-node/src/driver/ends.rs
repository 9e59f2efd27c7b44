//! Sessions that people end while the disk is full: they end before that is recorded, because what fills the disk may be one of
//! them. The reserve of the home is released for the record.
//!
//! If the node dies before the record, the host's note of the exit says that people ended the session.

use super::Driver;
use crate::commands::Command;
use crate::upkeep::reserve;
use cis_core::ids::{RunId, SessionId};
use cis_host::protocol::ToHost;
use cis_local::now_ms;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Sessions that this turn ends on request.
    wanted: Vec<ToHost>,
    /// Some of them were ended without a record.
    unrecorded: bool,
}

impl Ends {
    /// Notes the end of a session.
    pub(super) fn want(&mut self, session: SessionId, grace_ms: Option<u64>) {
        self.wanted.push(ToHost::Kill { session, grace_ms });
    }

    /// The turn is durable.
    pub(super) fn recorded(&mut self) {
        self.wanted.clear();
        self.unrecorded = false;
    }
}

impl Driver {
    /// Notes the ends of all live sessions of a run that is cancelled.
    pub(super) fn want_ends_of(&mut self, run: RunId) {
        for session in self.parts.worker.sessions_of(run) {
            self.ends.want(session, None);
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
        wanted.iter().for_each(|end| self.tell_host(end));
        self.host.flush();
    }

    /// Frees space for the record of such ends.
    pub(super) fn free_space_for_ends(&mut self) {
        if std::mem::take(&mut self.ends.unrecorded) && reserve::release(&self.parts.home.dir) {
            tracing::warn!("the disk is full: the reserve is released to record the end of sessions");
        }
    }
}
