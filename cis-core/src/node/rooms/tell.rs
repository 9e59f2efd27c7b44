//! What people are to be told of new events: which messages are queued, and what is new for card and journal.

use super::{Rooms, Trouble};
use crate::api::{Outgoing, Priority, RoomWrite};
use crate::event::{Event, EventBody, QueueReason, TaskState};
use crate::ids::{InboxId, RunId};
use crate::node::driver::now_ms;

/// Events that are read at a time.
const EVENTS_AT_ONCE: usize = 2_000;

/// Kinds of messages.
pub(super) mod what {
    /// The card of a run.
    pub(in crate::node) const CARD: &str = "card";
    /// Entries of its journal.
    pub(in crate::node) const JOURNAL: &str = "journal";
    /// Something waits for a human.
    pub(in crate::node) const QUESTION: &str = "question";
    /// It waits no more: the question is edited.
    pub(in crate::node) const CLOSED: &str = "closed";
    /// It has waited for too long.
    pub(in crate::node) const ESCALATED: &str = "escalated";
    /// A task did not end well.
    pub(in crate::node) const FAILURE: &str = "failure";
    /// A run has ended.
    pub(in crate::node) const SUMMARY: &str = "summary";
}

/// What one event means for the room.
#[derive(Debug, Default)]
struct Found {
    queued: Vec<(&'static str, Priority, Option<String>)>,
    /// The run has ended, or begins again.
    turn: bool,
}

impl Rooms {
    /// Queues what people are to be told of events that were not looked at yet.
    pub(super) async fn tell(&mut self) -> Result<(), Trouble> {
        let untold: Vec<RunId> =
            self.runs.iter().filter(|(_, run)| run.untold).map(|(run, _)| *run).collect();
        for run in untold {
            while self.tell_some(run).await? {}
        }
        Ok(())
    }

    /// Whether there may be more.
    async fn tell_some(&mut self, run: RunId) -> Result<bool, Trouble> {
        let Some(followed) = self.runs.get_mut(&run) else { return Ok(false) };
        followed.untold = false;
        let (after, room) = (followed.kept.told, followed.kept.room.clone());
        let events = self.node.read(move |reader| reader.events(after, Some(run), EVENTS_AT_ONCE)).await?;
        let now = now_ms();
        let Some(Some(followed)) = events.last().map(|_| self.runs.get_mut(&run)) else {
            // What was told before the node stopped may not be in the journal.
            if let Some(followed) = self.runs.get_mut(&run).filter(|run| run.kept.published < run.kept.told) {
                followed.journal.changed(now);
            }
            return Ok(false);
        };
        let mut writes = Vec::new();
        for event in &events {
            let found = found(event);
            followed.journal.changed(now);
            followed.card.changed(now);
            if found.turn {
                followed.journal.ended(now);
                followed.card.ended(now);
            }
            writes.extend(found.queued.into_iter().map(|(what, priority, item)| {
                RoomWrite::Queue(Outgoing {
                    room: room.clone(),
                    priority,
                    what: what.to_owned(),
                    run: Some(run),
                    item,
                    payload: String::new(),
                    due_ms: now,
                })
            }));
        }
        let newest = events.last().map_or(after, |event| event.offset);
        followed.kept.told = newest;
        // Only what is queued has to be durable: looked at again, other events say the same again.
        if !writes.is_empty() {
            writes.push(RoomWrite::Told { run, offset: newest });
            self.keep(writes).await?;
        }
        Ok(events.len() == EVENTS_AT_ONCE)
    }
}

/// What an event means for the room. One that this version does not know is a change of the card.
fn found(event: &Event) -> Found {
    let mut found = Found::default();
    let Ok(body) = event.decode() else { return found };
    let mut queue = |what, priority, item: Option<String>| found.queued.push((what, priority, item));
    match body {
        EventBody::RunCreated(_) | EventBody::RunModeChanged { .. } => {
            queue(what::CARD, Priority::Terminal, None);
        }
        EventBody::RunCompleted {}
        | EventBody::RunFailed { .. }
        | EventBody::RunErrored { .. }
        | EventBody::RunCancelled {} => {
            queue(what::CARD, Priority::Terminal, None);
            queue(what::SUMMARY, Priority::Terminal, None);
            found.turn = true;
        }
        EventBody::RunRetried { .. } => found.turn = true,
        EventBody::SessionBlocked { session, prompt, .. } => {
            queue(what::QUESTION, Priority::Human, Some(name(&prompt.item, &session.to_string())));
        }
        EventBody::SessionAsked { session, ask, .. } => {
            queue(what::QUESTION, Priority::Human, Some(name(&ask.item, &session.to_string())));
        }
        EventBody::SessionEscalated { session, item, .. } => {
            queue(what::ESCALATED, Priority::Human, Some(name(&item, &session.to_string())));
        }
        EventBody::SessionAnswered { session, item, .. } | EventBody::AskWithdrawn { session, item, .. } => {
            queue(what::CLOSED, Priority::Human, Some(name(&item, &session.to_string())));
        }
        EventBody::SessionRecovered { session, episode, .. } => {
            let item = InboxId::of_prompt(session, episode);
            queue(what::CLOSED, Priority::Terminal, Some(name(&item, &session.to_string())));
        }
        EventBody::TaskStatus { changes } => {
            for change in changes {
                if let (Some(QueueReason::Approval { .. }), Some(run)) = (&change.queued, event.run) {
                    let item = InboxId::of_approval(run, &change.task, event.at_ms);
                    queue(what::QUESTION, Priority::Human, Some(name(&item, &run.to_string())));
                }
                if is_failure(change.state) {
                    queue(what::FAILURE, Priority::Terminal, Some(change.task.to_string()));
                }
            }
        }
        EventBody::TaskResult(result) if is_failure(result.state) => {
            queue(what::FAILURE, Priority::Terminal, Some(result.task.to_string()));
        }
        _ => {}
    }
    found
}

pub(super) fn is_failure(state: TaskState) -> bool {
    matches!(state, TaskState::Failed | TaskState::Error)
}

/// The one name that an item shares with no other.
fn name(item: &InboxId, of: &str) -> String {
    format!("{item}@{of}")
}
