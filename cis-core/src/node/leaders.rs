//! The first processes of live sessions. The driver learns of them from the session host, and threads of the API ask.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::ids::SessionId;

/// Pids of first processes, by session.
#[derive(Debug, Default)]
pub(super) struct Leaders(Mutex<HashMap<SessionId, u32>>);

impl Leaders {
    /// Returns the pid of a session's first process. `None`: the session has ended, or its start is not known yet.
    pub(super) fn of(&self, session: SessionId) -> Option<u32> {
        self.with(|leaders| leaders.get(&session).copied())
    }

    /// Adds a session that started.
    pub(super) fn add(&self, session: SessionId, pid: u32) {
        self.with(|leaders| leaders.insert(session, pid));
    }

    /// Removes a session that ended.
    pub(super) fn remove(&self, session: SessionId) {
        self.with(|leaders| leaders.remove(&session));
    }

    /// Replaces all by the sessions of another host.
    pub(super) fn replace(&self, sessions: impl Iterator<Item = (SessionId, u32)>) {
        self.with(|leaders| *leaders = sessions.collect());
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<SessionId, u32>) -> T) -> T {
        // A map is whole after each of these calls, also if another thread panicked.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
