//! Runs out of what a room has of them: its events in any order in, what happened to each run out.
//!
//! Owns which envelopes count, where a run's journal begins, and how far it is whole. It fetches and keeps nothing: files
//! that envelopes name are brought by the caller.

use std::collections::BTreeMap;

use serde_json::Value;

use super::canonical::Fold;
use super::envelope::{Carrier, Refused, Verified, verify};
use super::journal::{BadBatch, Batch, Fact, FileRef, Placed, Position, Reader, Told};
use super::outgoing::{JOURNAL, ReadSnapshot, SNAPSHOT, SnapshotTold, UnreadSnapshot};
use super::room_event::{Entry, spec_text, to_facts};
use crate::identity::Standing;
use crate::ids::{NodeDid, RunId};
use crate::scheduler::{ApplyError, Run};

/// An event of the room, as somebody sent it.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Its type.
    pub type_name: &'a str,
    /// The account that sent it.
    pub sender: &'a str,
    /// What stands in it.
    pub content: &'a Value,
}

/// A file that an envelope names, and that belongs to a run's journal.
#[derive(Debug)]
pub enum File {
    /// Entries.
    Entries(FileRef),
    /// A snapshot's.
    Snapshot(UnreadSnapshot),
}

/// What a room has of its runs, as far as it was read.
#[derive(Debug)]
pub struct Recovery {
    room: String,
    runs: BTreeMap<RunId, Journal>,
    strangers: BTreeMap<NodeDid, u64>,
    refused: u64,
}

/// What was read of one run's journal.
#[derive(Debug)]
struct Journal {
    reader: Reader,
    begun: Option<ReadSnapshot>,
    placed: Vec<Placed>,
    /// Who wrote what came first of it.
    by: Option<NodeDid>,
    /// Why something of it is not there.
    lacks: Vec<String>,
}

/// A run as its room has it.
#[derive(Debug)]
pub struct RecoveredRun {
    /// It.
    pub run: RunId,
    /// Who coordinated it last.
    pub by: NodeDid,
    /// The text of its file, in which secrets are hidden; none: the room does not have it.
    pub text: Option<String>,
    /// What happened, in order.
    pub facts: Vec<Fact>,
    /// So many of them the snapshot told that its journal begins with.
    told_by_snapshot: usize,
    snapshot: Option<ReadSnapshot>,
    /// Where its journal stands.
    pub at: Position,
    /// Why something of it is not there; empty: it is whole.
    pub lacks: Vec<String>,
}

impl Recovery {
    /// Of a room, nothing of which was read.
    #[must_use]
    pub fn new(room: String) -> Self {
        Self { room, runs: BTreeMap::new(), strangers: BTreeMap::new(), refused: 0 }
    }

    /// Takes an event. Gives the file that has to be fetched for it: brought to [`Self::fetched`].
    pub fn hear(&mut self, event: Found<'_>, standing: impl FnOnce(&NodeDid) -> Standing) -> Option<File> {
        if ![JOURNAL.name, SNAPSHOT.name].contains(&event.type_name) {
            return None;
        }
        let carrier = Carrier { room: &self.room, type_name: event.type_name, sender: Some(event.sender) };
        let envelope = match verify(event.content, carrier, standing) {
            Ok(envelope) => envelope,
            Err(Refused::UnknownKey(did)) => {
                *self.strangers.entry(did).or_default() += 1;
                return None;
            }
            Err(_) => {
                self.refused += 1;
                return None;
            }
        };
        self.take(&envelope)
    }

    /// Takes an envelope that was checked. Gives the file that has to be fetched for it.
    pub fn take(&mut self, envelope: &Verified) -> Option<File> {
        if ![JOURNAL.name, SNAPSHOT.name].contains(&envelope.type_name()) {
            return None;
        }
        self.read(envelope).unwrap_or_else(|bad| {
            self.lacks(envelope.run(), bad.to_string());
            None
        })
    }

    fn read(&mut self, envelope: &Verified) -> Result<Option<File>, BadBatch> {
        if envelope.type_name() == SNAPSHOT.name {
            return Ok(match SnapshotTold::read(envelope)? {
                SnapshotTold::Whole(snapshot) => {
                    self.begins(snapshot);
                    None
                }
                SnapshotTold::File(file) => Some(File::Snapshot(file)),
            });
        }
        Ok(match Batch::read(envelope)? {
            Told::Batch(batch) => {
                self.add(batch);
                None
            }
            Told::File(file) => Some(File::Entries(file)),
        })
    }

    /// A file came, or (`Err`: why) did not.
    pub fn fetched(&mut self, file: File, bytes: Result<&[u8], String>) {
        let run = file.run();
        let read = match (file, bytes) {
            (_, Err(why)) => Err(why),
            (File::Entries(file), Ok(bytes)) => {
                file.open(bytes).map(|batch| self.add(batch)).map_err(|bad| bad.to_string())
            }
            (File::Snapshot(file), Ok(bytes)) => {
                file.open(bytes).map(|snapshot| self.begins(snapshot)).map_err(|bad| bad.to_string())
            }
        };
        if let Err(why) = read {
            self.lacks(Some(run), why);
        }
    }

    fn journal(&mut self, run: RunId) -> &mut Journal {
        self.runs.entry(run).or_insert_with(|| Journal {
            reader: Reader::new(run),
            begun: None,
            placed: Vec::new(),
            by: None,
            lacks: Vec::new(),
        })
    }

    fn lacks(&mut self, run: Option<RunId>, why: String) {
        if let Some(run) = run {
            self.journal(run).lacks.push(why);
        }
    }

    fn add(&mut self, batch: Batch) {
        let journal = self.journal(batch.run());
        journal.by.get_or_insert_with(|| batch.by().clone());
        let taken = journal.reader.take(batch);
        journal.goes_on(taken.cut, taken.entries);
    }

    /// A journal begins with a snapshot where its room did not follow the run from the beginning.
    fn begins(&mut self, snapshot: ReadSnapshot) {
        let journal = self.journal(snapshot.run);
        if journal.begun.is_none() && journal.placed.is_empty() {
            let taken = journal.reader.begin_after(snapshot.at, snapshot.by.clone());
            journal.begun = Some(snapshot);
            journal.goes_on(taken.cut, taken.entries);
        }
    }

    /// Who wrote here and is not trusted, and how many envelopes.
    #[must_use]
    pub fn strangers(&self) -> &BTreeMap<NodeDid, u64> {
        &self.strangers
    }

    /// Envelopes that change nothing: forged, copied from elsewhere, of a key that is void.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// What was read, run by run.
    #[must_use]
    pub fn runs(self) -> Vec<RecoveredRun> {
        self.runs.into_iter().filter_map(|(run, journal)| journal.run(run)).collect()
    }
}

impl File {
    /// How the carrier finds it.
    #[must_use]
    pub fn media(&self) -> &Value {
        match self {
            Self::Entries(file) => file.media(),
            Self::Snapshot(file) => file.media(),
        }
    }

    fn run(&self) -> RunId {
        match self {
            Self::Entries(file) => file.run(),
            Self::Snapshot(file) => file.run(),
        }
    }
}

impl Journal {
    fn goes_on(&mut self, cut: Option<Position>, entries: Vec<Placed>) {
        if let Some(cut) = cut {
            let from = self.placed.iter().position(|placed| placed.at == cut).map_or(0, |at| at + 1);
            self.placed.truncate(from);
        }
        self.placed.extend(entries);
    }

    /// None: nothing of it can be read.
    fn run(self, run: RunId) -> Option<RecoveredRun> {
        let mut lacks = self.lacks;
        for missing in self.reader.missing() {
            lacks.push(format!(
                "entries {} to {} of its journal are not in the room",
                missing.from, missing.to
            ));
        }
        let snapshot_entries =
            self.begun.iter().flat_map(|snapshot| snapshot.entries.iter().map(|entry| (entry, &snapshot.by)));
        let (mut text, mut facts) = (None, Vec::new());
        let mut read = |entry: &Entry, by: &NodeDid, facts: &mut Vec<Fact>| {
            if text.is_none() {
                text = spec_text(entry).map(str::to_owned);
            }
            match to_facts(entry, by) {
                Ok(more) => facts.extend(more),
                Err(bad) => lacks.push(bad.to_string()),
            }
        };
        for (entry, by) in snapshot_entries {
            read(entry, by, &mut facts);
        }
        let told_by_snapshot = facts.len();
        for placed in &self.placed {
            read(&placed.entry, &placed.by, &mut facts);
        }
        let last = self.placed.last().map(|placed| placed.by.clone());
        let by = last.or_else(|| self.begun.as_ref().map(|snapshot| snapshot.by.clone())).or(self.by)?;
        let at = self.reader.position();
        Some(RecoveredRun { run, by, text, facts, told_by_snapshot, snapshot: self.begun, at, lacks })
    }
}

impl RecoveredRun {
    /// The state that it comes to. What does not follow from what was before is left out, with all after it, and said.
    pub fn fold(&mut self, begun: Run) -> Fold {
        let mut fold = Fold::new(begun);
        for index in 1..self.facts.len() {
            if index == self.told_by_snapshot {
                self.check(&fold);
            }
            let applied: Result<(), ApplyError> = fold.apply(&self.facts[index]);
            if let Err(error) = applied {
                self.lacks.push(format!("what happened after event {index} does not follow: {error}"));
                self.facts.truncate(index);
                return fold;
            }
        }
        if self.facts.len() == self.told_by_snapshot {
            self.check(&fold);
        }
        fold
    }

    fn check(&mut self, fold: &Fold) {
        if self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.is_state_of(fold)) {
            self.lacks.push("its snapshot says another state than its events come to".to_owned());
        }
    }
}
