//! What is sent next: which class of the allowance a message is of, and the first of each class that is due.

use super::Rooms;
use super::refusing::Matter;
use super::tell::what;
use cis_core::api::{OutboxEntry, Priority};
use cis_core::ids::{RunId, TimestampMs};
use cis_core::room::budget::{Class, Heads};
use cis_local::now_ms;

/// What is sent next of a class.
pub(super) enum Head {
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
        let now = now_ms();
        let short = self.budget.is_short();
        let entries = self.outbox.iter().map(|entry| (self.class(entry), entry.message.due_ms));
        let journals = self.writable(short, now).map(|(run, due)| (self.journal(Some(run)), due));
        let cards = self.edited(short, now).map(|(_, due)| (Class::Progress, due));
        entries.chain(journals).chain(cards).collect()
    }

    /// What an entry is to the allowance.
    fn class(&self, entry: &OutboxEntry) -> Class {
        let message = &entry.message;
        match (message.what.as_str(), message.priority) {
            (what::JOURNAL, _) => self.journal(message.run),
            // Before all that the new key signs, also the ends of runs.
            (what::ROTATED, _) => Class::End,
            (what::REPLY, _) => Class::Reply,
            (what::ANNOUNCED, Priority::Progress) => Class::Announcement,
            // The journal names the card that it belongs to.
            (what::CARD, _) if !self.has_card(message.run, &message.room) => self.journal(message.run),
            (what::CARD, priority) if priority == Priority::Terminal || self.has_ended(message.run) => {
                Class::End
            }
            (_, Priority::Human) => Class::Human,
            (_, Priority::Terminal) => Class::Terminal,
            (_, Priority::Progress) => Class::Progress,
        }
    }

    /// What a part of a run's journal is to the allowance.
    fn journal(&self, run: Option<RunId>) -> Class {
        if self.has_ended(run) { Class::End } else { Class::Journal }
    }

    fn has_ended(&self, run: Option<RunId>) -> bool {
        run.and_then(|run| self.runs.get(&run)).is_some_and(|followed| followed.has_ended)
    }

    /// Whether the card of a run stands in its room, as far as that is known here.
    fn has_card(&self, run: Option<RunId>, room: &str) -> bool {
        let followed = run.and_then(|run| self.runs.get(&run)).filter(|followed| followed.kept.room == room);
        followed.is_none_or(|followed| followed.has_card)
    }

    /// Runs whose journal may be written, and when. Not while a part of it waits to be sent: parts keep their order.
    fn writable(&self, short: bool, now: TimestampMs) -> impl Iterator<Item = (RunId, TimestampMs)> {
        let waits = move |run: RunId, room: &str| {
            let journal = Matter::Journal(run, room.to_owned());
            self.refusing.room_waits(room, now).is_some() || self.refusing.waits(&journal, now).is_some()
        };
        self.runs
            .iter()
            .filter(move |(run, followed)| !self.unsent.contains(run) && !waits(**run, &followed.kept.room))
            .filter_map(move |(run, followed)| Some((*run, followed.journal.due(short)?)))
    }

    /// Runs whose card is to be edited, and when.
    fn edited(&self, short: bool, now: TimestampMs) -> impl Iterator<Item = (RunId, TimestampMs)> {
        self.runs
            .iter()
            .filter(move |(_, followed)| self.refusing.room_waits(&followed.kept.room, now).is_none())
            .filter_map(move |(run, followed)| Some((*run, followed.card.due(short)?)))
    }

    /// The first of a class that is due.
    pub(super) fn head(&self, class: Class, now: TimestampMs) -> Option<Head> {
        let due = |entry: &&OutboxEntry| self.class(entry) == class && entry.message.due_ms <= now;
        if let Some(entry) = self.outbox.iter().find(due) {
            return Some(Head::Entry(entry.clone()));
        }
        let short = self.budget.is_short();
        match class {
            Class::Human | Class::Terminal | Class::Reply | Class::Announcement => None,
            Class::End | Class::Journal => {
                let of_class = self
                    .writable(short, now)
                    .filter(|(run, due)| *due <= now && self.journal(Some(*run)) == class);
                of_class.min_by_key(|(_, due)| *due).map(|(run, _)| Head::Journal(run))
            }
            Class::Progress => {
                let cards = self.edited(short, now).filter(|(_, due)| *due <= now);
                cards.min_by_key(|(_, due)| *due).map(|(run, _)| Head::Card(run))
            }
        }
    }
}
