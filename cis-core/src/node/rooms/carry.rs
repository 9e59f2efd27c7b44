//! Sending: which entry goes next, and what follows from what the homeserver says.

use cis_matrix::MatrixError;

use super::tell::{message, what};
use super::{AWAY_FIRST_MS, AWAY_MAX_MS, Rooms, Stop, Trouble};
use crate::api::{OutboxEntry, Priority, RoomMessage, RoomWrite};
use crate::ids::{RunId, TimestampMs};
use crate::matrix::Opened;
use crate::node::driver::now_ms;
use crate::policy::redact::shapes;
use crate::room::budget::Heads;

/// A room that refuses is tried again after so long: rights come back, people are invited again.
const REFUSED_PAUSE_MS: i64 = 60_000;

/// What is sent next of a class.
enum Head {
    /// An entry of the outbox.
    Entry(OutboxEntry),
    /// The journal of this run is to be written.
    Journal(RunId),
    /// The card of this run is to be edited.
    Card(RunId),
}

impl Rooms {
    /// When the first of each class is due.
    pub(super) fn heads(&self) -> Heads {
        let short = self.budget.is_short();
        let of = |class| {
            let due = |entry: &&OutboxEntry| entry.message.priority == class;
            self.outbox.iter().filter(due).map(|entry| entry.message.due_ms).min()
        };
        let journals = self.writable(short).map(|(_, due)| due).min();
        let cards = self.runs.values().filter_map(|run| run.card.due(short)).min();
        let first = |one: Option<TimestampMs>, other: Option<TimestampMs>| one.into_iter().chain(other).min();
        Heads {
            human: of(Priority::Human),
            terminal: first(of(Priority::Terminal), journals),
            progress: first(of(Priority::Progress), cards),
        }
    }

    /// Runs whose journal may be written, and when. Not while a part of it waits to be sent: parts keep their order.
    fn writable(&self, short: bool) -> impl Iterator<Item = (RunId, TimestampMs)> {
        self.runs
            .iter()
            .filter(|(run, _)| !self.unsent.contains(run))
            .filter_map(move |(run, followed)| Some((*run, followed.journal.due(short)?)))
    }

    /// The first of a class that is due.
    fn head(&self, class: Priority, now: TimestampMs) -> Option<Head> {
        let due = |entry: &&OutboxEntry| entry.message.priority == class && entry.message.due_ms <= now;
        if let Some(entry) = self.outbox.iter().find(due) {
            return Some(Head::Entry(entry.clone()));
        }
        let short = self.budget.is_short();
        match class {
            Priority::Human => None,
            Priority::Terminal => {
                let first = self.writable(short).filter(|(_, due)| *due <= now).min_by_key(|(_, due)| *due);
                first.map(|(run, _)| Head::Journal(run))
            }
            Priority::Progress => {
                let cards = self.runs.iter().filter_map(|(run, it)| Some((*run, it.card.due(short)?)));
                cards
                    .filter(|(_, due)| *due <= now)
                    .min_by_key(|(_, due)| *due)
                    .map(|(run, _)| Head::Card(run))
            }
        }
    }

    /// Sends the first of a class. False: nothing can be sent for a while.
    pub(super) async fn send_first(&mut self, class: Priority, now: TimestampMs) -> Result<bool, Trouble> {
        let Some(opened) = self.opened().await else {
            self.budget.spared(now);
            return Ok(false);
        };
        let Some(head) = self.head(class, now) else {
            self.budget.spared(now);
            return Ok(true);
        };
        let done = match head {
            Head::Entry(entry) => self.send(&entry, &opened).await,
            Head::Journal(run) => {
                // What is written is queued, and sent as an entry.
                self.budget.spared(now);
                self.publish(run, &opened).await
            }
            Head::Card(run) => self.queue_card(run, now).await,
        };
        match done {
            Ok(()) => Ok(true),
            Err(Stop::Trouble(problem)) => {
                self.budget.unsent(now_ms());
                Err(problem)
            }
            Err(Stop::Matrix(error)) => Ok(self.refused(&error)),
        }
    }

    /// Queues an edit of a card that says something new.
    async fn queue_card(&mut self, run: RunId, now: TimestampMs) -> Result<(), Stop> {
        self.budget.spared(now);
        let short = self.budget.is_short();
        let began = now_ms();
        let says_more = self.card_says_more(run).await?;
        let Some(followed) = self.runs.get_mut(&run) else { return Ok(()) };
        followed.card.cost(now_ms() - began);
        followed.card.told(now, short);
        if !says_more {
            return Ok(());
        }
        let card = message(&followed.kept.room, (what::CARD, Priority::Progress), Some(run), None);
        self.keep(vec![RoomWrite::Queue(card)]).await?;
        Ok(())
    }

    async fn send(&mut self, entry: &OutboxEntry, opened: &Opened) -> Result<(), Stop> {
        let rendered = self.render(entry).await?;
        let mut message = None;
        if let Some((kind, mut content)) = rendered.event {
            if entry.message.payload.is_empty() {
                shapes::hide_json(&mut content);
            } else {
                // Of a journal the room must never know more than this machine after a power cut.
                self.sync().await?;
            }
            // With the name that it has here the homeserver takes it once, however often it is sent.
            let transaction = format!("{}-{}", self.node.did, entry.id);
            let sent = opened.client.send(&entry.message.room, &kind, content, &transaction).await;
            match sent {
                Ok(event) => {
                    self.budget.accepted(now_ms());
                    self.away = None;
                    message = rendered.remembered.then(|| RoomMessage {
                        event,
                        room: entry.message.room.clone(),
                        what: remembered_as(&entry.message.what).to_owned(),
                        run: entry.message.run,
                        item: entry.message.item.clone(),
                        at_ms: now_ms(),
                    });
                }
                Err(MatrixError::TooLarge { detail }) => {
                    // It was made to fit: no second try makes it smaller.
                    self.budget.accepted(now_ms());
                    tracing::error!(detail, what = entry.message.what, "a message is too large for its room");
                }
                Err(error @ (MatrixError::Forbidden { .. } | MatrixError::NotJoined { .. })) => {
                    self.budget.accepted(now_ms());
                    self.put_off(&entry.message.room, &error).await?;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        } else {
            self.budget.spared(now_ms());
        }
        let asked = message.as_ref().filter(|message| message.what == what::QUESTION);
        if let Some((item, run)) = asked.and_then(|sent| Some((sent.item.clone()?, sent.run?)))
            && let Some(followed) = self.runs.get_mut(&run)
        {
            followed.asked.insert(item);
        }
        let mut writes = vec![RoomWrite::Settle { id: entry.id, message }];
        if rendered.again {
            writes.push(RoomWrite::Queue(entry.message.clone()));
        }
        let others = rendered.others.into_iter().filter(|id| *id != entry.id);
        writes.extend(others.map(|id| RoomWrite::Settle { id, message: None }));
        self.keep(writes).await?;
        Ok(())
    }

    /// A room that takes nothing from us: all that waits for it is tried again later.
    async fn put_off(&mut self, room: &str, error: &MatrixError) -> Result<(), Stop> {
        tracing::warn!(%error, room, "a room does not take what it is to be told; it is tried again in a minute");
        let due_ms = now_ms() + REFUSED_PAUSE_MS;
        let waiting = self.outbox.iter().filter(|entry| entry.message.room == room);
        let later = |entry: &OutboxEntry| match entry.message.what.as_str() {
            // Whoever asked has gone on by then.
            what::REPLY => RoomWrite::Settle { id: entry.id, message: None },
            _ => RoomWrite::Postpone { id: entry.id, due_ms },
        };
        let writes = waiting.map(later).collect();
        self.keep(writes).await?;
        Ok(())
    }

    /// What the homeserver says about the account as a whole. False: nothing can be sent for a while.
    fn refused(&mut self, error: &MatrixError) -> bool {
        let now = now_ms();
        match error {
            MatrixError::RateLimited { retry_after } => {
                tracing::debug!(%error, "a room is told later");
                self.budget.refused(now, u64::try_from(retry_after.as_millis()).ok());
                true
            }
            MatrixError::Unauthorized { .. } => {
                self.budget.unsent(now);
                tracing::error!(%error, "rooms are told nothing more; runs go on, and what happens is kept");
                self.account = None;
                self.pause(now);
                false
            }
            _ => {
                self.budget.unsent(now);
                if self.away.is_none() {
                    tracing::warn!(%error, "the homeserver takes nothing now; what happens is kept, and told later");
                }
                self.pause(now);
                true
            }
        }
    }

    fn pause(&mut self, now: TimestampMs) {
        let pause = self.away.map_or(AWAY_FIRST_MS, |(_, pause)| (pause * 2).min(AWAY_MAX_MS));
        self.away = Some((now + pause, pause));
    }

    /// The account; none: nobody is logged in, or it cannot be used.
    async fn opened(&mut self) -> Option<Opened> {
        if let Some((opened, _)) = &self.account {
            return Some(opened.clone());
        }
        let opened = match self.node.matrix.open().await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, "rooms cannot be told anything; it waits");
                self.pause(now_ms());
                return None;
            }
        };
        // Who is in a room, with which level and devices, is known by following it.
        if let Err(error) = opened.feed.refresh().await {
            self.refused(&error);
            return None;
        }
        let hold = opened.feed.hold();
        self.account = Some((opened.clone(), hold));
        Some(opened)
    }
}

/// As what a message is found again: one that rings again is as good to answer as the first.
fn remembered_as(what: &str) -> &str {
    if what == what::ESCALATED { what::QUESTION } else { what }
}
