//! When a session's model is saved, and when it is dropped.

use std::time::Instant;

use super::super::saved::{self, Saved};
use super::super::{Command, Limits};
use super::{Env, Session};

impl Session {
    /// When its model is to be dropped, if nothing happens until then.
    pub(in crate::session::hub) fn idle_at(&self, limits: &Limits) -> Option<Instant> {
        let model = self.model.as_ref().filter(|model| !model.saving && self.viewers.is_empty())?;
        Some(model.touched + limits.idle)
    }

    /// Drops a model that is idle, or saves it first.
    pub(in crate::session::hub) fn rest(&mut self, now: Instant, env: &mut Env) {
        if self.idle_at(&env.limits).is_some_and(|at| at <= now) {
            let saved = self.next == 0 || self.on_disk == Some(self.next);
            if saved { self.model = None } else { self.save(env) }
        }
    }

    /// Writes the screen to its file, on a thread for such work.
    pub(super) fn save(&mut self, env: &Env) {
        let (Some(model), Some(own)) = (&mut self.model, env.own.upgrade()) else { return };
        if model.saving {
            return;
        }
        (model.saving, model.saved) = (true, self.next);
        let mut paint = model.screen.paint();
        paint.extend_from_slice(model.screen.unfinished());
        let (id, log) = (self.id, self.log.clone());
        let saved = Saved { offset: self.next, size: model.screen.size(), paint };
        tokio::task::spawn_blocking(move || {
            let written = saved::write(&log, &saved);
            if let Err(error) = &written {
                tracing::warn!(session = %id, %error, "a screen could not be saved");
            }
            // Nobody is interested any more if this fails.
            let _ = own.send(Command::Saved { id, log, offset: saved.offset, worked: written.is_ok() });
        });
    }

    /// A file was written, or not.
    pub(in crate::session::hub) fn saved(&mut self, offset: u64, worked: bool, env: &mut Env) {
        if worked {
            (self.on_disk, self.file) = (Some(offset), true);
        }
        if let Some(model) = &mut self.model {
            model.saving = false;
            env.models = true;
            if worked {
                self.rest(Instant::now(), env);
            } else {
                // Tried again after as long a rest as before.
                model.touched = Instant::now();
            }
        }
    }

    /// It is closed: its file is of no use any more.
    pub(in crate::session::hub) fn forget(self) {
        // One that is being written is removed once it is.
        if self.file {
            let log = self.log;
            tokio::task::spawn_blocking(move || saved::remove(&log));
        }
    }
}
