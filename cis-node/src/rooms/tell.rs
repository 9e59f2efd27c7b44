//! What people are to be told of new events: which messages are queued, and what is new for card and journal.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use super::{Followed, Rooms, Trouble};
use cis_core::api::{Outgoing, Priority, RoomWrite};
use cis_core::event::{Event, EventBody, QueueReason, TaskState};
use cis_core::ids::{InboxId, Offset, RunId};
use cis_local::now_ms;
use cis_store::InboxFilter;

/// Events that are read at a time.
const EVENTS_AT_ONCE: usize = 2_000;

/// Kinds of messages.
pub(super) mod what {
    /// The card of a run.
    pub(crate) const CARD: &str = "card";
    /// Entries of its journal.
    pub(crate) const JOURNAL: &str = "journal";
    /// A small event beside it.
    pub(crate) const ANNOUNCED: &str = "announced";
    /// Something waits for a human.
    pub(crate) const QUESTION: &str = "question";
    /// It waits no more: the question is edited.
    pub(crate) const CLOSED: &str = "closed";
    /// It has waited for too long.
    pub(crate) const ESCALATED: &str = "escalated";
    /// A task did not end well.
    pub(crate) const FAILURE: &str = "failure";
    /// A run has ended.
    pub(crate) const SUMMARY: &str = "summary";
    /// A room does not follow a run any more: its card there; with an item, the question there.
    pub(crate) const LEFT: &str = "left";
    /// The node has another key; the item is its DID.
    pub(crate) const ROTATED: &str = "rotated";
    /// What is said to somebody; the item is the event that it replies to.
    pub(crate) const REPLY: &str = "reply";
}

/// What one event means for the room.
#[derive(Debug, Default)]
struct Found {
    queued: Vec<(&'static str, Priority, Option<String>)>,
    /// The run has ended (yes), or begins again (no).
    ended: Option<bool>,
    /// Perhaps another room follows from here on: it hears what waits by now.
    begins: bool,
}

/// A message that is made when it is sent.
pub(super) fn message(
    room: &str,
    (what, priority): (&str, Priority),
    run: Option<RunId>,
    item: Option<String>,
) -> Outgoing {
    Outgoing {
        room: room.to_owned(),
        priority,
        what: what.to_owned(),
        run,
        item,
        payload: String::new(),
        due_ms: now_ms(),
    }
}

impl Rooms {
    /// Queues what people are to be told of events that were not looked at yet.
    pub(super) async fn tell(&mut self) -> Result<(), Trouble> {
        let untold = |run: &Followed| run.untold || !run.fresh.is_empty();
        let runs: Vec<RunId> = self.runs.iter().filter(|(_, run)| untold(run)).map(|(run, _)| *run).collect();
        for run in runs {
            while self.tell_missed(run).await? {}
            let Some(followed) = self.runs.get_mut(&run) else { continue };
            let mut fresh = std::mem::take(&mut followed.fresh);
            fresh.retain(|event| event.offset > followed.kept.told);
            if let Err(trouble) = self.tell_of(run, &fresh).await {
                // They are no longer at hand; the store has them.
                self.runs.get_mut(&run).into_iter().for_each(Followed::missed);
                return Err(trouble);
            }
        }
        self.count_cards();
        Ok(())
    }

    /// Queues what people are to be told of events up to `upto`, which the journal is about to say.
    pub(super) async fn tell_up_to(&mut self, run: RunId, upto: Offset) -> Result<(), Trouble> {
        if let Some(followed) = self.runs.get_mut(&run).filter(|followed| followed.kept.told < upto) {
            followed.missed();
            while self.tell_missed(run).await? {}
            self.count_cards();
        }
        Ok(())
    }

    /// Tells of events that only the store has. Whether there may be more of them.
    async fn tell_missed(&mut self, run: RunId) -> Result<bool, Trouble> {
        let Some(followed) = self.runs.get_mut(&run).filter(|followed| followed.untold) else {
            return Ok(false);
        };
        let after = followed.kept.told;
        // What was told before the node stopped may not be in the journal.
        if followed.kept.published < after {
            followed.journal.changed(now_ms());
        }
        let events = self.node.read(move |reader| reader.events(after, Some(run), EVENTS_AT_ONCE)).await?;
        self.tell_of(run, &events).await?;
        if events.len() < EVENTS_AT_ONCE
            && let Some(followed) = self.runs.get_mut(&run)
        {
            followed.untold = false;
        }
        // Nothing is told from where it goes elsewhere.
        let is_told = self.runs.get(&run).is_some_and(|followed| followed.kept.told > after);
        Ok(events.len() == EVENTS_AT_ONCE && is_told)
    }

    /// Tells of events that follow those which were told.
    async fn tell_of<E: Borrow<Event>>(&mut self, run: RunId, events: &[E]) -> Result<(), Trouble> {
        let Some(followed) = self.runs.get_mut(&run) else { return Ok(()) };
        let room = &followed.kept.room;
        // From where it goes elsewhere another room is told, or none: it is looked at anew who follows it.
        let events = match events.iter().position(|event| leaves(event.borrow(), room)) {
            Some(at) => {
                followed.missed();
                &events[..at]
            }
            None => events,
        };
        let Some(newest) = events.last().map(|event| event.borrow().offset) else { return Ok(()) };
        let found: Vec<Found> = events.iter().map(|event| found(event.borrow())).collect();
        let begins = found.iter().any(|found| found.begins);
        let asked = self.runs.get(&run).map(|followed| followed.asked.clone()).unwrap_or_default();
        let waiting = if begins || !asked.is_empty() { self.waiting(run).await? } else { BTreeSet::new() };
        // They stand in the room as open ones and are not: answered, decided, or over with their session.
        let over: BTreeSet<String> = asked.difference(&waiting).cloned().collect();
        let Some(followed) = self.runs.get_mut(&run) else { return Ok(()) };
        let now = now_ms();
        let mut queued = Vec::new();
        followed.journal.changed(now);
        followed.card.changed(now);
        for found in found {
            if let Some(has_ended) = found.ended {
                followed.has_ended = has_ended;
                followed.journal.ended(now);
                followed.card.ended(now);
            }
            queued.extend(found.queued);
        }
        // Little follows after its end: the card says that without a pause.
        if followed.has_ended {
            followed.card.ended(now);
        }
        if begins {
            queued.extend(waiting.into_iter().map(|item| (what::QUESTION, Priority::Human, Some(item))));
        }
        queued.extend(over.iter().map(|item| (what::CLOSED, Priority::Human, Some(item.clone()))));
        let room = &followed.kept.room;
        let mut writes: Vec<RoomWrite> = queued
            .into_iter()
            .map(|(what, priority, item)| RoomWrite::Queue(message(room, (what, priority), Some(run), item)))
            .collect();
        // Only what is queued has to be durable: looked at again, other events say the same again.
        if !writes.is_empty() {
            writes.push(RoomWrite::Told { run, room: room.clone(), offset: newest });
            self.keep(writes).await?;
        }
        if let Some(followed) = self.runs.get_mut(&run) {
            followed.kept.told = newest;
            followed.asked.retain(|item| !over.contains(item));
        }
        Ok(())
    }

    /// What waits for a human in a run, by the names that are shared with nothing else.
    async fn waiting(&self, run: RunId) -> Result<BTreeSet<String>, Trouble> {
        let of_run = InboxFilter { run: Some(run), session: None };
        let open = self.node.read(move |reader| reader.open_items(of_run)).await?;
        Ok(open.iter().map(|known| known.item.name()).collect())
    }
}

/// Whether a run is followed by another room than this from here on, or by none.
fn leaves(event: &Event, room: &str) -> bool {
    let body = event.decode();
    matches!(body, Ok(EventBody::RunModeChanged { room: to, .. }) if to.as_deref() != Some(room))
}

/// What an event means for the room. One that this version does not know is a change of the card.
fn found(event: &Event) -> Found {
    let mut found = Found::default();
    let Ok(body) = event.decode() else { return found };
    let mut queue = |what, priority, item: Option<String>| found.queued.push((what, priority, item));
    match body {
        EventBody::RunCreated(_) => queue(what::CARD, Priority::Terminal, None),
        EventBody::RunModeChanged { .. } => {
            queue(what::CARD, Priority::Terminal, None);
            found.begins = true;
        }
        EventBody::RunCompleted {} | EventBody::RunCancelled {} => {
            queue(what::CARD, Priority::Terminal, None);
            queue(what::SUMMARY, Priority::Terminal, None);
            found.ended = Some(true);
        }
        EventBody::RunFailed { .. } | EventBody::RunErrored { .. } => {
            queue(what::CARD, Priority::Terminal, None);
            // It rings: somebody has to look.
            queue(what::SUMMARY, Priority::Human, None);
            found.ended = Some(true);
        }
        EventBody::RunRetried { .. } => found.ended = Some(false),
        EventBody::SessionBlocked { session, prompt, .. } => {
            queue(what::QUESTION, Priority::Human, Some(prompt.item.name(session)));
        }
        EventBody::SessionAsked { session, ask, .. } => {
            queue(what::QUESTION, Priority::Human, Some(ask.item.name(session)));
        }
        EventBody::SessionEscalated { session, item, .. } => {
            queue(what::ESCALATED, Priority::Human, Some(item.name(session)));
        }
        EventBody::TaskStatus { changes } => {
            for change in changes {
                if let (Some(QueueReason::Approval { .. }), Some(run)) = (&change.queued, event.run) {
                    let item = InboxId::of_approval(run, &change.task, event.at_ms);
                    queue(what::QUESTION, Priority::Human, Some(item.name(run)));
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
