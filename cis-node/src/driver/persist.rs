//! Making a turn durable, and what happens while that cannot be done.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::answers::answered;
use super::asks::{asked, handed_in, said};
use super::ending::QUIET_MS;
use super::idempotency::KeyDigests;
use super::requests::typed_into;
use super::{Beside, Driver, STUCK_RETRY_MS};
use crate::commands::{cancelled, decided, retried};
use crate::upkeep::reserve;
use cis_core::api::RoomWrite;
use cis_core::event::{EndReason, Event, EventBody, EventDraft, ExecutionMode, TaskChange};
use cis_core::ids::{InputId, Offset, RunId, TimestampMs};
use cis_store::{SessionFacts, StoreError};

impl Driver {
    /// Writes the events of this turn in one transaction and tells the streams. Answers whether the
    /// turn may go on: after a failure everything is kept, nothing is performed, and it is tried again.
    pub(super) fn persist(&mut self, now: TimestampMs) -> bool {
        if self.drafts.is_empty() && self.room_writes.is_empty() && self.parts.worker.exposed.is_empty() {
            self.stuck = None;
            self.ends.recorded();
            return true;
        }
        match self.write() {
            Ok(events) => {
                if self.stuck.take().is_some() {
                    tracing::info!("the database can be written again");
                    reserve::keep(&self.parts.home.dir);
                }
                let told = |(draft, beside): &(EventDraft, Beside)| match beside {
                    Beside::Told(_) => draft.run,
                    _ => None,
                };
                let told: BTreeSet<RunId> = self.drafts.iter().filter_map(told).collect();
                self.ends.recorded();
                self.drafts.clear();
                self.room_writes.clear();
                if std::mem::take(&mut self.followed) {
                    self.parts.rooms.wake();
                }
                self.key_digests.made(self.made.keys());
                self.made.clear();
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
                self.refuse_cleanings(&error);
                self.stuck = Some((error.to_string(), now + STUCK_RETRY_MS));
                false
            }
        }
    }

    /// Fails the cleanings of this turn: a cleaning makes space, so it cannot wait for space.
    fn refuse_cleanings(&mut self, why: &StoreError) {
        if !self.cleanings.is_empty() {
            self.drafts.retain(|(draft, _)| !matches!(draft.body, EventBody::NodeCleaned { .. }));
            self.cleanings.drain(..).for_each(|confirm| confirm(Err(why.into())));
        }
    }

    fn write(&mut self) -> Result<Vec<Arc<Event>>, StoreError> {
        for (draft, beside) in &self.drafts {
            self.followed |=
                append(&mut self.parts.writer, draft, beside, self.ids.next(), &self.key_digests)?;
        }
        for write in &self.room_writes {
            self.parts.writer.room(write)?;
        }
        for exposure in &self.parts.worker.exposed {
            let facts = SessionFacts {
                tty: exposure.tty,
                size: exposure.size,
                command: exposure.command.clone(),
                log: Some(exposure.log.display().to_string()),
            };
            self.parts.writer.session_facts(exposure.session, &facts)?;
        }
        self.parts.writer.commit()
    }
}

/// Whether a room follows a run from now on, or no longer, or has to listen again.
fn append(
    writer: &mut cis_store::Writer,
    draft: &EventDraft,
    beside: &Beside,
    id: ulid::Ulid,
    digests: &KeyDigests,
) -> Result<bool, StoreError> {
    let offset = match beside {
        Beside::Nothing => writer.append(draft, id)?,
        Beside::Tasks(tasks) => writer.append_run(draft, id, tasks)?,
        Beside::Session(facts) => writer.append_session(draft, id, facts)?,
        Beside::Told(tasks) => {
            match tasks {
                Some(tasks) => writer.append_run(draft, id, tasks)?,
                None => writer.append(draft, id)?,
            };
            return Ok(false);
        }
    };
    let following = following(draft, offset);
    // In the room of a run that ended long ago nobody was heard any more.
    let again = matches!(draft.body, EventBody::RunRetried { .. });
    if let Some(write) = &following {
        writer.room(write)?;
    }
    remember(writer, draft, digests)?;
    Ok(following.is_some() || again)
}

/// What an input made is known as soon as it is made: sent again, it makes nothing.
fn remember(
    writer: &mut cis_store::Writer,
    draft: &EventDraft,
    digests: &KeyDigests,
) -> Result<(), StoreError> {
    let mut remember = |input: InputId, made: &str| writer.remember_input(input, &digests.noted(input, made));
    match (&draft.body, draft.cause, draft.run) {
        (EventBody::RunCreated(_), Some(input), Some(run)) => remember(input, &run.to_string()),
        (EventBody::SessionCreated { session, .. }, Some(input), _) => remember(input, &session.to_string()),
        (EventBody::SessionInput { session, .. }, Some(input), _) => remember(input, &typed_into(*session)),
        (EventBody::SessionAsked { session, ask, .. }, Some(input), _) => {
            remember(input, &asked(*session, &ask.item))
        }
        (EventBody::SessionSaid { session, .. }, Some(input), _) => remember(input, &said(*session)),
        (EventBody::TaskHandedIn { session, .. }, Some(input), _) => remember(input, &handed_in(*session)),
        (EventBody::RunCancelling { .. }, Some(input), Some(run)) => remember(input, &cancelled(run)),
        (EventBody::RunRetried { .. }, Some(input), Some(run)) => remember(input, &retried(run)),
        (EventBody::TaskApproved { task, .. }, Some(input), Some(run)) => {
            remember(input, &decided(run, task))
        }
        (EventBody::TaskStatus { changes }, Some(input), Some(run)) => {
            let rejects = |change: &&TaskChange| matches!(change.end, Some(EndReason::Rejected { .. }));
            match changes.iter().find(rejects) {
                Some(change) => remember(input, &decided(run, &change.task)),
                None => Ok(()),
            }
        }
        (EventBody::SessionAnswered { session, item, .. }, Some(input), _) => {
            remember(input, &answered(*session, item))
        }
        _ => Ok(()),
    }
}

/// Whether a room follows a run from this event on, or no longer.
fn following(draft: &EventDraft, offset: Offset) -> Option<RoomWrite> {
    let run = draft.run?;
    let (mode, room) = match &draft.body {
        EventBody::RunCreated(facts) => (facts.mode, &facts.room),
        EventBody::RunModeChanged { mode, room } => (*mode, room),
        _ => return None,
    };
    match (mode, room) {
        (ExecutionMode::Local, _) if matches!(draft.body, EventBody::RunCreated(_)) => None,
        (ExecutionMode::Local, _) | (_, None) => Some(RoomWrite::Unfollow { run }),
        (_, Some(room)) => {
            Some(RoomWrite::Follow { run, room: room.clone(), from: offset.saturating_sub(1) })
        }
    }
}
