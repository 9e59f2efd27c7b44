//! Making a turn durable, and what happens while that cannot be done.

use std::sync::Arc;

use super::ending::QUIET_MS;
use super::retry::RetryAt;
use super::turn::Written;
use super::{Driver, STUCK_RETRY_MS};
use crate::exposure::Exposure;
use crate::upkeep::{cancels, reserve};
use cis_core::event::Event;
use cis_core::ids::TimestampMs;
use cis_store::{SessionFacts, StoreError};

impl Driver {
    /// Writes the events of this turn in one transaction and tells the streams. Answers whether the
    /// turn may go on: after a failure everything is kept, nothing is performed, and it is tried again.
    pub(super) fn persist(&mut self, now: TimestampMs) -> bool {
        if !self.turn.writes() && self.parts.worker.exposed.is_empty() {
            self.stuck = None;
            self.ends_recorded();
            return true;
        }
        match self.write() {
            Ok(events) => {
                if self.stuck.take().is_some() {
                    tracing::info!("the database can be written again");
                    reserve::keep(&self.parts.home.dir);
                    cancels::keep(&self.parts.home.dir);
                }
                self.ends_recorded();
                let Written { told, followed } = self.turn.written(&mut self.key_digests);
                if followed {
                    self.parts.rooms.wake();
                }
                self.open_exposed();
                let is_told = |event: &Event| event.run.is_some_and(|run| told.contains(&run));
                self.notices.see(events.iter().filter(|event| !is_told(event)));
                if !events.is_empty() {
                    self.give_back_at = Some(now + QUIET_MS);
                }
                self.unpublished.extend(events);
                true
            }
            Err(error) => {
                self.parts.writer.rollback();
                if self.stuck.is_none() {
                    tracing::error!(%error, "the database cannot be written; nothing starts until it can");
                }
                if error.is_of_disk() {
                    self.parts.worker.disk_failed(now, self.stuck.is_some());
                    self.end_wanted();
                }
                self.turn.refuse_cleanings(&error);
                self.stuck = Some((error.to_string(), RetryAt::after(STUCK_RETRY_MS)));
                false
            }
        }
    }

    /// The terminal of a session that an earlier life of this node started has the size that was recorded last.
    fn recall_sizes(&mut self) {
        let adopted = |exposure: &&mut Exposure| exposure.adopted && exposure.tty;
        for exposure in self.parts.worker.exposed.iter_mut().filter(adopted) {
            let known = self.parts.readers.get().and_then(|reader| reader.session(exposure.session));
            if let Some(size) = known.ok().and_then(|known| known.size) {
                exposure.size = Some(size);
            }
        }
    }

    fn write(&mut self) -> Result<Vec<Arc<Event>>, StoreError> {
        self.recall_sizes();
        self.turn.write(&mut self.parts.writer, || self.ids.next(), &self.key_digests)?;
        for exposure in &self.parts.worker.exposed {
            let facts = SessionFacts {
                tty: exposure.tty,
                size: exposure.size,
                command: exposure.command.clone(),
                log: Some(exposure.log.display().to_string()),
            };
            self.parts.writer.session_facts(exposure.session, &facts)?;
        }
        self.turn.write_sizes(&mut self.parts.writer)?;
        self.parts.writer.commit()
    }
}
