//! The listed sessions. A session counts as ended as soon as an event says so.

use cis_core::api::SessionView;
use cis_core::event::SessionState;
use cis_core::ids::{SessionId, TimestampMs};

/// Live sessions, and ended sessions without a run.
#[derive(Debug, Default)]
pub struct Sessions {
    views: Vec<SessionView>,
}

impl Sessions {
    /// Takes the listing of the node.
    pub(super) fn listed(views: Vec<SessionView>) -> Self {
        Self { views }
    }

    /// Returns all sessions: live ones first, each group newest first.
    pub fn all(&self) -> impl Iterator<Item = &SessionView> {
        let ended = self.views.iter().filter(|session| !session.state.is_live());
        self.live().chain(ended)
    }

    /// Returns the sessions whose process may be running.
    pub fn live(&self) -> impl Iterator<Item = &SessionView> {
        self.views.iter().filter(|session| session.state.is_live())
    }

    /// Whether no session is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// Returns a session by its id.
    #[must_use]
    pub fn get(&self, session: SessionId) -> Option<&SessionView> {
        self.views.iter().find(|view| view.id == session)
    }

    /// Marks a session as ended. The next listing has its exit code.
    pub(super) fn ended(&mut self, session: SessionId, at_ms: TimestampMs) {
        let found = self.views.iter_mut().find(|view| view.id == session);
        if let Some(view) = found.filter(|view| view.state.is_live()) {
            (view.state, view.ended_ms) = (SessionState::Exited, Some(at_ms));
        }
    }
}
