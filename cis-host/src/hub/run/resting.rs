//! When models are looked at, and how long each may rest before it goes.

use std::time::{Duration, Instant};

use super::super::session::Session;
use super::Task;
use crate::os;

/// So many screens are written at a time: each has a thread while it is.
const SAVES_AT_ONCE: usize = 8;
/// With so many written, the others are looked at again after this.
const SAVE_PAUSE: Duration = Duration::from_millis(10);
/// After so many models were dropped, what they had is given back to the system.
const DROPPED_MANY: usize = 16;

impl Task {
    /// Lets idle models go. A few may stay for long; of many, those that rest for a moment go.
    pub(super) fn rest(&mut self, now: Instant) {
        let models = self.models();
        let limits = self.env.limits;
        let patience =
            if models > limits.models { limits.idle_crowded.min(limits.idle) } else { limits.idle };
        let mut saving = self.sessions.values().filter(|session| session.is_saving()).count();
        for session in self.sessions.values_mut() {
            if saving >= SAVES_AT_ONCE {
                break;
            }
            session.rest(now, patience, &mut self.env);
            saving += usize::from(session.is_saving());
        }
        // Where a viewer or a file on its way keeps a model, their end sets the time.
        self.rest_at = self.sessions.values().filter_map(|session| session.idle_at(patience)).min();
        if saving >= SAVES_AT_ONCE {
            self.rest_at = self.rest_at.map(|at| at.max(now + SAVE_PAUSE));
        }
        self.most_models = self.most_models.max(models);
        let left = self.models();
        if left + DROPPED_MANY <= self.most_models && (left <= limits.models || saving == 0) {
            self.most_models = left;
            os::give_memory_back();
        }
    }

    fn models(&self) -> usize {
        self.sessions.values().filter(|session: &&Session| session.has_model()).count()
    }
}
