//! Where the time of a run went, as the node computes it. The timeline and the graph share this answer, so that both show
//! the same critical path.
//!
//! Owns when the node is asked again. Draws nothing.

use std::time::Duration;

use cis_core::api::TimeView;
use cis_core::ids::{Offset, TimestampMs};
use eframe::egui::Ui;

use crate::command::{Command, Slot};
use crate::model::Entry;
use crate::panels::Scene;

/// Minimum time between two requests, ms.
const ASK_MS: i64 = 1_000;

/// No event has this offset.
const NOTHING: Offset = 0;

/// The newest answer of the node.
#[derive(Debug, Default)]
pub(super) struct Times {
    view: Option<TimeView>,
    version: u64,
    asked: Option<(Slot<TimeView>, Offset)>,
    /// The newest event in the answer, and when the answer arrived.
    known: Option<(Offset, TimestampMs)>,
    failed: Option<String>,
}

impl Times {
    /// Returns the newest answer; none: it has not arrived yet.
    pub(super) fn view(&self) -> Option<&TimeView> {
        self.view.as_ref()
    }

    /// Returns a number that changes with each answer.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Returns why there is no answer.
    pub(super) fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Asks the node if the run has changed since the last request, but not at each event.
    pub(super) fn ask(&mut self, ui: &Ui, entry: &Entry, scene: &Scene<'_>) {
        if let Some((slot, offset)) = &self.asked
            && let Some(answer) = slot.take()
        {
            // After a failure the node is asked again, also if the run has ended.
            self.known = Some((if answer.is_ok() { *offset } else { NOTHING }, scene.now));
            self.asked = None;
            match answer {
                Ok(view) => {
                    (self.view, self.failed) = (Some(view), None);
                    self.version += 1;
                }
                Err(problem) => self.failed = Some(problem.detail),
            }
        }
        let run = entry.view();
        let due = match self.known {
            _ if self.asked.is_some() => return,
            None => true,
            Some((offset, _)) if offset == run.last_offset => return,
            Some((_, at)) => scene.now - at >= ASK_MS,
        };
        if due {
            let slot = Slot::default();
            scene.to.send(Command::Times(run.id, slot.clone()));
            self.asked = Some((slot, run.last_offset));
        } else {
            ui.ctx().request_repaint_after(Duration::from_millis(ASK_MS.unsigned_abs()));
        }
    }
}
