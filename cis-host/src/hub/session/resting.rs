//! When a session's model is saved, and when it is dropped.

use std::time::{Duration, Instant};

use super::super::Command;
use super::super::env::Env;
use super::super::saved::{self, Saved};
use super::Session;

impl Session {
    /// When its model is to be dropped, if nothing happens until then. None also while it has lines that scrolled out: its file has only the
    /// screen.
    pub(in crate::hub) fn idle_at(&self, patience: Duration) -> Option<Instant> {
        let model = self.model.as_deref()?;
        let is_free = !model.saving && self.viewers.is_empty() && !model.screen.has_scrolled_out();
        is_free.then(|| model.touched + patience)
    }

    /// Whether a file of it is being written.
    pub(in crate::hub) fn is_saving(&self) -> bool {
        self.model.as_ref().is_some_and(|model| model.saving)
    }

    /// Drops a model that is idle, or saves it first.
    pub(in crate::hub) fn rest(&mut self, now: Instant, patience: Duration, env: &mut Env) {
        if self.idle_at(patience).is_some_and(|at| at <= now) {
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
    pub(in crate::hub) fn saved(&mut self, offset: u64, worked: bool, env: &mut Env) {
        if worked {
            (self.on_disk, self.file) = (Some(offset), true);
        }
        if let Some(model) = &mut self.model {
            model.saving = false;
            env.models = true;
            if worked {
                // What came meanwhile is not in the file: then it stays.
                let now = Instant::now();
                let patience = env.limits.idle_crowded.min(env.limits.idle);
                if self.on_disk == Some(self.next) {
                    self.rest(now, patience, env);
                }
            } else {
                // Tried again after as long a rest as before.
                model.touched = Instant::now();
            }
        }
    }

    /// It is closed: its file is of no use any more.
    pub(in crate::hub) fn forget(self) {
        // One that is being written is removed once it is.
        if self.file {
            let log = self.log;
            tokio::task::spawn_blocking(move || saved::remove(&log));
        }
    }
}
