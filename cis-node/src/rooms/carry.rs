//! Sending: which entry goes next, and what follows from what the homeserver says.

use std::time::Duration;

use cis_matrix::{Batch, MatrixError, RoomEvent};

use super::heads::Head;
use super::publish::Ready;
use super::refusing::{Matter, Reach, may_have_arrived, reach};
use super::tell::{message, what};
use super::{Rooms, Stop, Trouble};
use crate::account::Opened;
use crate::node::Node;
use cis_core::api::{OutboxEntry, Priority, RoomMessage, RoomWrite};
use cis_core::federation::outgoing::SNAPSHOT;
use cis_core::ids::{RunId, TimestampMs};
use cis_core::policy::redact::shapes;
use cis_core::room::budget::Class;
use cis_local::now_ms;

/// If a homeserver fails, an entry of a run that its room follows no longer is tried at most this many times again.
const LEFT_TRIES_MAX: u32 = 8;
/// The pause before the first of these tries, ms. Each of the following ones is longer by this time.
const LEFT_PAUSE_MS: i64 = 5_000;

impl Rooms {
    /// Sends the first of a class. False: nothing can be sent for a while.
    pub(super) async fn send_first(&mut self, class: Class, now: TimestampMs) -> Result<bool, Trouble> {
        let Some(opened) = self.opened().await else {
            self.budget.spared(now);
            return Ok(false);
        };
        let Some(head) = self.head(class, now) else {
            self.budget.spared(now);
            return Ok(true);
        };
        // Opening the account may have taken a while.
        let now = now_ms().max(now);
        self.asked_ms = now;
        let done = match &head {
            Head::Entry(entry) => self.send(entry, &opened).await,
            Head::Journal(run) => {
                // What is written is queued, and sent as an entry.
                self.budget.spared(now);
                self.publish(*run, &opened).await
            }
            Head::Card(run) => self.queue_card(*run, now).await,
        };
        match done {
            Ok(()) => Ok(true),
            Err(Stop::Trouble(problem)) => {
                self.budget.unsent(now_ms());
                Err(problem)
            }
            Err(Stop::Matrix(error)) => self.not_taken(&head, &error).await,
        }
    }

    /// What follows where something was not taken. False: nothing can be sent for a while.
    async fn not_taken(&mut self, head: &Head, error: &MatrixError) -> Result<bool, Trouble> {
        let room = match head {
            Head::Entry(entry) => Some(entry.message.room.clone()),
            Head::Journal(run) | Head::Card(run) => self.runs.get(run).map(|run| run.kept.room.clone()),
        };
        let (Some(room), reach) = (room, reach(error)) else { return Ok(true) };
        if reach == Reach::Account {
            let goes_on = self.refused(error);
            self.keep_allowance().await;
            return Ok(goes_on);
        }
        let now = now_ms();
        // Whether the homeserver counted it is left to time.
        self.budget.unsent(now);
        let matter = match (reach, head) {
            (Reach::Message, Head::Entry(entry)) => Matter::Message(entry.id, room),
            (Reach::Message, Head::Journal(run)) => Matter::Journal(*run, room),
            _ => Matter::Room(room),
        };
        if !self.runs.values().any(|run| run.kept.room == matter.room()) {
            tracing::info!(%error, ?matter, "a room that follows nothing any more does not take what it is to be told");
            return self.give_up(&matter, error, now).await.map(|()| true);
        }
        tracing::warn!(%error, ?matter, "a room does not take what it is to be told; it is tried again");
        let until = self.refusing.put_off(matter.clone(), error, now);
        match (matter, head) {
            (Matter::Message(..), Head::Entry(entry)) => {
                let later = self.later(entry, until);
                self.keep(later).await?;
            }
            (Matter::Room(_), _) => self.put_off().await?,
            _ => {}
        }
        self.says_how_it_stands();
        Ok(true)
    }

    /// What waits for a room that follows nothing is not sent, or later if the homeserver may take it then.
    async fn give_up(
        &mut self,
        matter: &Matter,
        error: &MatrixError,
        now: TimestampMs,
    ) -> Result<(), Trouble> {
        let is_about = |entry: &&OutboxEntry| match matter {
            Matter::Message(id, _) => entry.id == *id,
            _ => entry.message.room == matter.room(),
        };
        let writes = |entry: &OutboxEntry| match error {
            MatrixError::Other { .. } if entry.tries < LEFT_TRIES_MAX => {
                vec![RoomWrite::Postpone {
                    id: entry.id,
                    due_ms: now + LEFT_PAUSE_MS * i64::from(entry.tries + 1),
                }]
            }
            _ => unsent(entry),
        };
        self.keep(self.outbox.iter().filter(is_about).flat_map(writes).collect()).await
    }

    /// What waits for rooms that take nothing is put off, and given up where no such room has a part in it any more.
    pub(super) async fn put_off(&mut self) -> Result<(), Trouble> {
        let now = now_ms();
        let of_refusing = |entry: &&OutboxEntry| self.refusing.room_waits(&entry.message.room, now).is_some();
        let writes: Vec<RoomWrite> = self
            .outbox
            .iter()
            .filter(of_refusing)
            .flat_map(|entry| {
                let room = &entry.message.room;
                let due_ms = self.refusing.room_waits(room, now).unwrap_or(now);
                let waits = if entry.message.what == what::REPLY {
                    // The room takes messages again, perhaps: somebody asked there after it took none.
                    self.refusing.refused(room).is_some_and(|refused| refused < entry.message.due_ms)
                } else {
                    self.refusing.has_failed(room) && entry.tries < LEFT_TRIES_MAX
                };
                if waits {
                    vec![RoomWrite::Postpone { id: entry.id, due_ms }]
                } else {
                    self.later(entry, due_ms)
                }
            })
            .collect();
        if !writes.is_empty() {
            let refusing = &self.refusing;
            self.outbox.retain(|entry| refusing.room_waits(&entry.message.room, now).is_none());
            self.keep(writes).await?;
        }
        Ok(())
    }

    /// Whether an entry may have been sent by an earlier life of the node.
    pub(super) fn is_earlier(&self, entry: &OutboxEntry) -> bool {
        self.earlier.is_none_or(|newest| entry.id <= newest)
    }

    /// An entry that is not taken now.
    fn later(&self, entry: &OutboxEntry, due_ms: TimestampMs) -> Vec<RoomWrite> {
        let of = entry.message.run.and_then(|run| self.runs.get(&run));
        let mut is_followed = of.is_some_and(|followed| followed.kept.room == entry.message.room);
        // Without it, what comes after it is a stranger's.
        if entry.message.what == what::ROTATED {
            is_followed = self.runs.values().any(|followed| followed.kept.room == entry.message.room);
        }
        // Whoever asked has gone on by then; and a room that follows a run no longer is told so if it listens.
        if entry.message.what == what::REPLY || !is_followed {
            return unsent(entry);
        }
        vec![RoomWrite::Postpone { id: entry.id, due_ms }]
    }

    /// Rooms that took nothing are tried again where what happens there may be the reason.
    pub(super) async fn hears(&mut self, batch: &Batch) -> Result<(), Trouble> {
        let own = self.account.as_ref().map(|(opened, _)| opened.session.user.clone());
        let is_reason = |event: &RoomEvent| match event.kind.as_str() {
            "m.room.power_levels" => event.state_key.is_some(),
            "m.room.member" => event.state_key == own,
            _ => false,
        };
        let due_ms = now_ms();
        let mut writes = Vec::new();
        for news in batch.rooms.iter().filter(|news| news.limited || news.events.iter().any(is_reason)) {
            if self.refusing.has(&news.room) {
                self.refusing.hasten(&news.room, due_ms);
                writes.push(RoomWrite::Hasten { room: news.room.clone(), due_ms });
            }
        }
        if writes.is_empty() { Ok(()) } else { self.keep(writes).await }
    }

    /// Queues an edit of a card that says something new.
    async fn queue_card(&mut self, run: RunId, now: TimestampMs) -> Result<(), Stop> {
        self.budget.spared(now);
        let short = self.budget.is_short();
        let began = now_ms();
        let says_more = self.card_says_more(run).await?;
        let Some(followed) = self.runs.get_mut(&run) else { return Ok(()) };
        followed.card.cost(now_ms() - began);
        if says_more {
            let card = message(&followed.kept.room, (what::CARD, Priority::Progress), Some(run), None);
            self.keep(vec![RoomWrite::Queue(card)]).await?;
        }
        if let Some(followed) = self.runs.get_mut(&run) {
            followed.card.told(now, short);
        }
        self.count_cards();
        Ok(())
    }

    async fn send(&mut self, entry: &OutboxEntry, opened: &Opened) -> Result<(), Stop> {
        // What may have arrived is sent again as it was: under its name the homeserver gives what there is.
        let rendered = match self.unknown.get(&entry.id) {
            Some(sent) => sent.clone(),
            None => self.render(entry).await?,
        };
        let mut message = None;
        if let Some((kind, mut content)) = rendered.event.clone() {
            if entry.message.payload.is_empty() {
                shapes::hide_json(&mut content);
            } else {
                // Of a journal the room must never know more than this machine after a power cut.
                self.sync().await?;
            }
            // With the name that it has here the homeserver takes it once, however often it is sent.
            let transaction = transaction_of(&self.node, rendered.named.unwrap_or(entry.id));
            self.asked_ms = now_ms();
            let sent = opened.client.send(&entry.message.room, &kind, content, &transaction).await;
            match sent {
                Ok(event) => {
                    // Until the store knows.
                    self.unknown.insert(entry.id, rendered.clone());
                    self.budget.accepted(now_ms());
                    self.keep_allowance().await;
                    self.is_back();
                    message = rendered.remembered.then(|| RoomMessage {
                        event,
                        room: entry.message.room.clone(),
                        what: remembered_as(&entry.message.what).to_owned(),
                        run: entry.message.run,
                        item: entry.message.item.clone(),
                        at_ms: now_ms(),
                    });
                }
                Err(error) => {
                    if may_have_arrived(&error) {
                        self.unknown.insert(entry.id, rendered);
                    }
                    return Err(error.into());
                }
            }
            self.taken(entry);
            let is_earlier = self.is_earlier(entry);
            if let Some(followed) = entry.message.run.and_then(|run| self.runs.get_mut(&run))
                && followed.kept.room == entry.message.room
            {
                followed.has_card |= entry.message.what == what::CARD;
                if matches!(entry.message.what.as_str(), what::CARD | what::LEFT) {
                    followed.essence.clone_from(&rendered.essence);
                    // The room may have what an earlier life of the node sent under this name.
                    if is_earlier {
                        followed.essence = None;
                        followed.card.changed(now_ms());
                    }
                }
            }
            self.count_cards();
        } else {
            self.budget.spared(now_ms());
        }
        let mut writes = Vec::new();
        let asked = message.as_ref().filter(|message| message.what == what::QUESTION);
        if let Some((item, run)) = asked.and_then(|sent| Some((sent.item.clone()?, sent.run?))) {
            // Its end may have come before it was known to stand in the room.
            if self.item(&item).await?.is_some_and(|item| item.closed.is_some()) {
                let about = (what::CLOSED, Priority::Human);
                writes.push(RoomWrite::Queue(message_of(entry, about, Some(item.clone()))));
            }
            if let Some(followed) = self.runs.get_mut(&run) {
                followed.asked.insert(item);
            }
        }
        writes.push(RoomWrite::Settle { id: entry.id, message });
        // Behind what is settled: one that waits already is enough.
        if rendered.again {
            writes.push(RoomWrite::Queue(entry.message.clone()));
        }
        writes.extend(rendered.more.into_iter().map(RoomWrite::Queue));
        let others = rendered.others.into_iter().filter(|id| *id != entry.id);
        writes.extend(others.map(|id| RoomWrite::Settle { id, message: None }));
        self.keep(writes).await?;
        Ok(())
    }

    /// It arrived: what was put off for the same reason is not refused any more.
    fn taken(&mut self, entry: &OutboxEntry) {
        let room = entry.message.room.clone();
        let was_refused = self.refusing.taken(&Matter::Room(room.clone()));
        if self.refusing.taken(&Matter::Message(entry.id, room)) || was_refused {
            self.says_how_it_stands();
        }
    }

    /// What the homeserver says about the account as a whole. False: nothing can be sent for a while.
    fn refused(&mut self, error: &MatrixError) -> bool {
        let now = now_ms();
        match error {
            MatrixError::RateLimited { retry_after } => {
                tracing::debug!(%error, "a room is told later");
                // It counts from when the homeserver decided, and some keep a refusal back for a while: whoever waited
                // for longer would come behind another program of the account each time.
                self.budget.refused(self.asked_ms, u64::try_from(retry_after.as_millis()).ok());
                true
            }
            MatrixError::Unauthorized { .. } => {
                self.budget.unsent(now);
                tracing::error!(%error, "rooms are told nothing more; runs go on, and what happens is kept");
                self.account = None;
                self.pause(error, now);
                false
            }
            _ => {
                self.budget.unsent(now);
                if self.away.is_none() {
                    tracing::warn!(%error, "the homeserver takes nothing now; what happens is kept, and told later");
                }
                self.pause(error, now);
                true
            }
        }
    }

    fn pause(&mut self, error: &MatrixError, now: TimestampMs) {
        let pause = self.backoff.after(error);
        self.wait(pause, now);
    }

    fn wait(&mut self, pause: Duration, now: TimestampMs) {
        self.away = Some(now + i64::try_from(pause.as_millis()).unwrap_or(0));
    }

    /// The homeserver answers: what waits is sent now.
    pub(super) fn is_back(&mut self) {
        self.away = None;
        self.backoff.reset();
    }

    /// The account; none: nobody is logged in, or it cannot be used.
    pub(super) async fn opened(&mut self) -> Option<Opened> {
        if let Some((opened, _)) = &self.account {
            return Some(opened.clone());
        }
        let opened = match self.node.matrix.open().await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, "rooms cannot be told anything; it waits");
                let pause = self.backoff.after_own_failure();
                self.wait(pause, now_ms());
                return None;
            }
        };
        // Who is in a room, with which level and devices, is known by following it.
        self.asked_ms = now_ms();
        if let Err(error) = opened.feed.refresh().await {
            self.refused(&error);
            return None;
        }
        self.recall_allowance(&opened.session.user).await;
        let news = opened.feed.subscribe();
        self.account = Some((opened.clone(), news));
        Some(opened)
    }
}

/// An entry that is never sent. Without its beginning, a journal does not go on in that room. Without another part, it has a gap.
fn unsent(entry: &OutboxEntry) -> Vec<RoomWrite> {
    let settled = RoomWrite::Settle { id: entry.id, message: None };
    let run = entry.message.run.filter(|_| entry.message.what == what::JOURNAL && begins(entry));
    let broken = run.map(|run| RoomWrite::Broken { run, room: entry.message.room.clone() });
    std::iter::once(settled).chain(broken).collect()
}

/// Whether a part of a journal is its beginning.
fn begins(entry: &OutboxEntry) -> bool {
    let Ok(ready) = serde_json::from_str::<Ready>(&entry.message.payload) else { return false };
    ready.kind == SNAPSHOT.name || ready.content["body"]["first"] == 1
}

/// Another message about the same, in the same room.
fn message_of(entry: &OutboxEntry, about: (&str, Priority), item: Option<String>) -> cis_core::api::Outgoing {
    message(&entry.message.room, about, entry.message.run, item)
}

/// The name by which the homeserver takes an entry once, and under which this device finds it again.
pub(super) fn transaction_of(node: &Node, entry: i64) -> String {
    match node.outbox_name.as_str() {
        "" => format!("{}-{entry}", node.did),
        name => format!("{}-{name}-{entry}", node.did),
    }
}

/// As what a message is found again: one that rings again is as good to answer as the first, and what a room says of a
/// question that is not its own any more is the end of it there.
pub(super) fn remembered_as(what: &str) -> &str {
    match what {
        what::ESCALATED => what::QUESTION,
        what::LEFT => what::CLOSED,
        other => other,
    }
}
