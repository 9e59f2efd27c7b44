//! Runs out of what a room has of them: its events in the order of its timeline in, what happened to each run out.
//!
//! Owns which envelopes count, where a run's journal begins, and how far it is whole. It fetches and keeps nothing: files
//! that envelopes name are brought by the caller. Read to its end, a room gives its runs ([`Recovery::runs`]); read as it
//! is written, it gives what is new of them ([`Recovery::fresh`]).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::announcement::announced_type;
use super::canonical::Fold;
use super::envelope::{Carrier, Refused, Verified, verify};
use super::journal::{
    BadBatch, Batch, FILE_SIZE_MAX, Fact, FileRef, Missing, Placed, Position, Reader, Report, Told,
};
use super::link::EntryHash;
use super::outgoing::{
    JOURNAL, ROTATED, ReadSnapshot, SNAPSHOT, SnapshotTold, UnreadSnapshot, read_rotation,
};
use super::room_event::{Entry, spec_text, to_facts};
use crate::event::EventBody;
use crate::identity::Standing;
use crate::ids::{Epoch, NodeDid, RunId};
use crate::scheduler::{ApplyError, Run};

/// So many nodes that are not trusted are known by name.
const STRANGERS_MAX: usize = 50;

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
    /// What nodes that count were before they took another key, by that key.
    former: BTreeMap<NodeDid, NodeDid>,
    /// Who may take runs over.
    coordinators: BTreeSet<NodeDid>,
    /// Who tried to without being one of them, and of which run the last time.
    usurpers: BTreeMap<NodeDid, RunId>,
    /// Runs of which a batch was read that did not follow from what was read before: something may be missing between.
    waiting: BTreeSet<RunId>,
    /// Takeovers by those who were not.
    void_takeovers: BTreeSet<EntryHash>,
}

/// Takeovers that are remembered as void.
const VOID_MAX: usize = 10_000;

/// What was read of one run's journal.
#[derive(Debug)]
struct Journal {
    reader: Reader,
    begun: Option<ReadSnapshot>,
    /// Who wrote the newest entry that counts, or what came first of it.
    by: Option<NodeDid>,
    /// The first key of whoever wrote what came first.
    writer: Option<NodeDid>,
    /// The text of its file.
    text: Option<String>,
    /// What happened, without those that were given by [`Recovery::fresh`].
    facts: Vec<Fact>,
    /// So many were.
    given: usize,
    /// Some of those do not count any more.
    voids: bool,
    /// So many of all the snapshot told.
    told_by_snapshot: usize,
    /// The entries that count, and how many facts there were behind each.
    placed: Vec<(Position, usize)>,
    lacks: Vec<Lack>,
    /// Who signed the envelope that told of the first of these.
    lacks_of: Option<NodeDid>,
    /// The first place that two entries have.
    fork: Option<Fork>,
    /// How far it went when that was given last.
    extent: Extent,
    /// That may have changed.
    is_touched: bool,
}

/// How far what was read of a run's journal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// To its end.
    Whole,
    /// To a place after which a file or entries are missing.
    Part,
    /// Something before that place or of a later term cannot be read: how the run stands is not known.
    Unknown,
}

/// Something of a journal that is not there.
#[derive(Debug)]
struct Lack {
    place: LackAt,
    why: String,
}

/// Where it is missing.
#[derive(Debug)]
enum LackAt {
    /// Where the journal begins.
    Beginning,
    /// The content of an entry.
    Entry(Position),
    /// Entries of a term, up to `last` where that is told.
    Rest { epoch: Epoch, last: Option<Position> },
}

/// Two entries of a run's journal that have the same place. Every reader takes the first one in the order of the timeline, and what
/// follows the other one does not count. A node that wrote after its store was restored does that, two nodes with one key do, or one
/// that lies: an operator has to look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The term.
    pub epoch: Epoch,
    /// The number of the entry.
    pub n: u64,
    /// The key that signed the second one.
    pub by: NodeDid,
}

/// What is new of a run.
#[derive(Debug)]
pub struct Fresh {
    /// It.
    pub run: RunId,
    /// Who wrote its newest entry.
    pub by: NodeDid,
    /// By which key that node was known when it began to write the journal.
    pub writer: NodeDid,
    /// All keys of those two, as far as the room tells of them.
    pub keys: BTreeSet<NodeDid>,
    /// Where its journal stands.
    pub at: Position,
    /// How far that is.
    pub extent: Extent,
    /// The text of its file, where the room has it.
    pub text: Option<String>,
    /// The place of the first of `facts` among all that happened to it.
    pub from: usize,
    /// What happened, in order.
    pub facts: Vec<Fact>,
    /// What was given of it from here on before is void: a takeover cut it off.
    pub void: bool,
}

/// A run as its room has it.
#[derive(Debug)]
pub struct RecoveredRun {
    /// It.
    pub run: RunId,
    /// Who coordinated it last. Of a run of which nothing can be read: who told of it, which may be somebody else.
    pub by: NodeDid,
    /// By which key that node was known when it began to write the journal.
    pub writer: NodeDid,
    /// All keys of those two, as far as the room tells of them.
    pub keys: BTreeSet<NodeDid>,
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

/// Whether the content of an event was removed (redactions in the Matrix specification, room versions). Nobody forged such
/// an event; if a node wrote it, its number is missing.
pub(super) fn is_redacted(content: &Value) -> bool {
    content.as_object().is_some_and(Map::is_empty)
}

impl Recovery {
    /// Of a room, nothing of which was read. `coordinators`: who may take over runs of others.
    #[must_use]
    pub fn new(room: String, coordinators: BTreeSet<NodeDid>) -> Self {
        Self {
            room,
            runs: BTreeMap::new(),
            strangers: BTreeMap::new(),
            refused: 0,
            former: BTreeMap::new(),
            coordinators,
            usurpers: BTreeMap::new(),
            waiting: BTreeSet::new(),
            void_takeovers: BTreeSet::new(),
        }
    }

    /// From here on in the timeline, these may take over runs of others. What was said before is judged by who might then.
    pub fn set_coordinators(&mut self, coordinators: BTreeSet<NodeDid>) {
        self.coordinators = coordinators;
    }

    /// The room is read once more from some place on, in the order of its timeline. Nothing of the runs that are known is
    /// new before [`Self::read_to_end`].
    pub fn read_again(&mut self) {
        self.runs.values_mut().for_each(|journal| journal.reader.read_again());
    }

    /// The room was read to its end.
    pub fn read_to_end(&mut self) {
        for journal in self.runs.values_mut() {
            let taken = journal.reader.read_to_end();
            journal.goes_on(taken.cut, taken.entries);
            journal.is_touched = true;
        }
    }

    /// Takes an event. Gives the file that has to be fetched for it: brought to [`Self::fetched`].
    pub fn hear(&mut self, event: Found<'_>, standing: impl Fn(&NodeDid) -> Standing) -> Option<File> {
        if is_redacted(event.content) {
            return None;
        }
        let carrier = Carrier { room: &self.room, type_name: event.type_name, sender: Some(event.sender) };
        if event.type_name == ROTATED.name {
            match verify(event.content, carrier, |_| Standing::Trusted) {
                Ok(envelope) => self.rotated(&envelope, standing),
                Err(_) => self.refused += 1,
            }
            return None;
        }
        // Announcements change nothing; who forges them is told all the same.
        let is_known = [JOURNAL.name, SNAPSHOT.name].contains(&event.type_name)
            || announced_type(event.type_name).is_some();
        if !is_known {
            return None;
        }
        let envelope = match verify(event.content, carrier, |did| self.standing_of(did, &standing)) {
            Ok(envelope) => envelope,
            Err(Refused::UnknownKey(did)) => {
                self.stranger(did);
                return None;
            }
            Err(_) => {
                self.refused += 1;
                return None;
            }
        };
        self.take(&envelope)
    }

    /// A node says that it has another key: what it writes from here on is the same node's.
    pub fn rotated(&mut self, envelope: &Verified, standing: impl Fn(&NodeDid) -> Standing) {
        let Some(rotation) = read_rotation(envelope) else {
            self.refused += 1;
            return;
        };
        let counts = self.standing_of(&rotation.old, standing).counts_in_history();
        if counts && self.root(&rotation.old) != self.root(&rotation.new) {
            self.former.entry(rotation.new).or_insert(rotation.old);
        } else if !counts {
            self.stranger(rotation.old);
        }
    }

    /// Somebody wrote who is not trusted. Anybody can be many: the first ones are counted by name.
    fn stranger(&mut self, did: NodeDid) {
        if self.strangers.len() < STRANGERS_MAX || self.strangers.contains_key(&did) {
            *self.strangers.entry(did).or_default() += 1;
        } else {
            self.refused += 1;
        }
    }

    /// What is thought of a key at this place of the timeline. One that is not known itself is trusted if a trusted node took it, until
    /// one of that node's earlier keys is revoked.
    pub fn standing_of(&self, did: &NodeDid, standing: impl Fn(&NodeDid) -> Standing) -> Standing {
        match standing(did) {
            Standing::Unknown if self.former.contains_key(did) => {
                let mut former = std::iter::successors(self.former.get(did), |did| self.former.get(*did));
                let is_void = former.any(|did| standing(did) == Standing::Revoked);
                if is_void { Standing::Revoked } else { Standing::Trusted }
            }
            known => known,
        }
    }

    /// Whether a node may take runs over at this place of the timeline. `writer`: its first key; `by`: the one that signed.
    fn may_coordinate(&self, writer: &NodeDid, by: &NodeDid) -> bool {
        self.coordinators.contains(writer) || self.coordinators.contains(by)
    }

    /// The keys that took the place of others: the newer one, and the one before it.
    #[must_use]
    pub fn former_keys(&self) -> &BTreeMap<NodeDid, NodeDid> {
        &self.former
    }

    /// The first key of a node.
    fn root(&self, did: &NodeDid) -> NodeDid {
        root_of(did, &self.former).clone()
    }

    /// Takes an envelope that was checked. Gives the file that has to be fetched for it.
    pub fn take(&mut self, envelope: &Verified) -> Option<File> {
        if ![JOURNAL.name, SNAPSHOT.name].contains(&envelope.type_name()) {
            return None;
        }
        self.read(envelope).unwrap_or_else(|bad| {
            if let Some(run) = envelope.run().filter(|run| self.may_write(*run, envelope.did())) {
                let place = if envelope.type_name() == SNAPSHOT.name {
                    LackAt::Beginning
                } else {
                    LackAt::Rest { epoch: envelope.epoch(), last: None }
                };
                self.lacks(run, place, envelope.did(), bad.to_string());
            } else {
                self.refused += 1;
            }
            None
        })
    }

    /// Whether a node may write into the journal of a run, as far as that is known.
    fn may_write(&self, run: RunId, by: &NodeDid) -> bool {
        let first = self.root(by);
        let Some(journal) = self.runs.get(&run) else { return true };
        // Who coordinates it goes on to, also if owners took that right back.
        let goes_on = journal.by.as_ref().is_some_and(|newest| self.root(newest) == first);
        let begins = journal.writer.as_ref().is_none_or(|writer| *writer == first);
        begins || goes_on || self.may_coordinate(&first, by)
    }

    fn read(&mut self, envelope: &Verified) -> Result<Option<File>, BadBatch> {
        if envelope.type_name() == SNAPSHOT.name {
            return Ok(match SnapshotTold::read(envelope)? {
                SnapshotTold::Whole(snapshot) => {
                    self.begins(snapshot);
                    None
                }
                SnapshotTold::File(file) => {
                    let file = File::Snapshot(file);
                    self.may_write(file.run(), envelope.did()).then_some(file)
                }
            });
        }
        Ok(match Batch::read(envelope)? {
            Told::Batch(batch) => {
                self.add(batch);
                None
            }
            Told::File(file) if self.may_write(file.run(), envelope.did()) => Some(File::Entries(file)),
            Told::File(_) => {
                self.refused += 1;
                None
            }
        })
    }

    /// A file came, or (`Err`: why) did not.
    pub fn fetched(&mut self, file: File, bytes: Result<&[u8], String>) {
        let (run, place, by) = (file.run(), file.place(), file.by().clone());
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
            self.lacks(run, place, &by, why);
        }
    }

    fn journal(&mut self, run: RunId) -> &mut Journal {
        self.runs.entry(run).or_insert_with(|| Journal {
            reader: Reader::new(run),
            begun: None,
            by: None,
            writer: None,
            text: None,
            facts: Vec::new(),
            given: 0,
            voids: false,
            told_by_snapshot: 0,
            placed: Vec::new(),
            lacks: Vec::new(),
            lacks_of: None,
            fork: None,
            extent: Extent::Whole,
            is_touched: false,
        })
    }

    fn lacks(&mut self, run: RunId, place: LackAt, by: &NodeDid, why: String) {
        let journal = self.journal(run);
        journal.lacks_of.get_or_insert_with(|| by.clone());
        journal.lacks.push(Lack { place, why });
        journal.is_touched = true;
    }

    fn add(&mut self, batch: Batch) {
        let writer = self.root(batch.by());
        if let Some(takeover) = batch.takeover()
            && (self.void_takeovers.contains(&takeover) || !self.may_coordinate(&writer, batch.by()))
        {
            // For good, also if its writer may coordinate when the room is read again.
            if self.void_takeovers.len() < VOID_MAX {
                self.void_takeovers.insert(takeover);
            }
            self.refused += 1;
            if self.usurpers.len() < STRANGERS_MAX {
                self.usurpers.insert(batch.by().clone(), batch.run());
            }
            return;
        }
        let run = batch.run();
        let journal = self.journal(run);
        journal.by.get_or_insert_with(|| batch.by().clone());
        journal.writer.get_or_insert_with(|| writer.clone());
        let taken = journal.reader.take_as(batch, &writer);
        let fork = taken.reports.into_iter().find_map(|report| match report {
            Report::Fork { epoch, n, by } => Some(Fork { epoch, n, by }),
            _ => None,
        });
        journal.fork = journal.fork.take().or(fork);
        let waits = taken.entries.is_empty();
        journal.goes_on(taken.cut, taken.entries);
        journal.is_touched = true;
        if waits {
            self.waiting.insert(run);
        }
    }

    /// A journal begins with a snapshot where its room did not follow the run from the beginning.
    fn begins(&mut self, snapshot: ReadSnapshot) {
        let writer = self.root(&snapshot.by);
        if snapshot.at.epoch > 0 && !self.may_coordinate(&writer, &snapshot.by) {
            self.refused += 1;
            return;
        }
        let journal = self.journal(snapshot.run);
        if journal.begun.is_none() && journal.placed.is_empty() {
            let taken = journal.reader.begin_after(snapshot.at, writer.clone());
            journal.writer = Some(writer);
            for entry in &snapshot.entries {
                journal.read(entry, snapshot.at, &snapshot.by);
            }
            journal.told_by_snapshot = journal.facts.len();
            journal.by = Some(snapshot.by.clone());
            journal.begun = Some(snapshot);
            journal.goes_on(taken.cut, taken.entries);
            journal.is_touched = true;
        }
    }

    /// Who wrote here and is not trusted, and how many envelopes.
    #[must_use]
    pub fn strangers(&self) -> &BTreeMap<NodeDid, u64> {
        &self.strangers
    }

    /// Trusted nodes that may not coordinate and took a run over: that does not count.
    #[must_use]
    pub fn usurpers(&self) -> &BTreeMap<NodeDid, RunId> {
        &self.usurpers
    }

    /// Runs whose journal has two entries in one place, with the first such place.
    pub fn forks(&self) -> impl Iterator<Item = (RunId, &Fork)> {
        self.runs.iter().filter_map(|(run, journal)| Some((*run, journal.fork.as_ref()?)))
    }

    /// Whether an entry of a run's journal counts. None: that is not known yet, as it or one before it was not read. Of an entry that
    /// this node wrote itself, `false` means that its own story of the run is not the room's: it may not go on in that term.
    #[must_use]
    pub fn counts(&self, run: RunId, entry: Position) -> Option<bool> {
        self.runs.get(&run)?.reader.counts(entry)
    }

    /// Envelopes that change nothing: forged, copied from elsewhere, of a key that is void.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The runs of which something is new.
    pub fn news(&mut self) -> Vec<RunId> {
        let may = some_key_in(&self.coordinators, &self.former);
        self.runs.iter_mut().filter_map(|(run, journal)| journal.has_news(&may).then_some(*run)).collect()
    }

    /// The runs of which something is missing, how far they are read, and the first reason.
    pub fn incomplete(&self) -> impl Iterator<Item = (RunId, Extent, &str)> {
        self.runs
            .iter()
            .filter_map(|(run, journal)| Some((*run, journal.extent, journal.open_lacks().next()?)))
    }

    /// The parts of journals that are missing between what was read, of runs whose writers `may` write them.
    pub fn gaps(&mut self, may: impl Fn(&NodeDid) -> bool) -> Vec<(RunId, Missing)> {
        let runs = &self.runs;
        let missing = |run: &RunId| runs.get(run).map(|journal| journal.reader.missing()).unwrap_or_default();
        self.waiting.retain(|run| !missing(run).is_empty());
        let by = |run: &RunId| runs.get(run).and_then(|journal| journal.writer.as_ref());
        let counts = self.waiting.iter().filter(|run| by(run).is_some_and(&may));
        counts.flat_map(|run| missing(run).into_iter().map(|part| (*run, part))).collect()
    }

    /// What is new of a run since this was asked last; none: nothing.
    pub fn fresh(&mut self, run: RunId) -> Option<Fresh> {
        let may = some_key_in(&self.coordinators, &self.former);
        let journal = self.runs.get_mut(&run)?;
        let by = journal.by.clone().filter(|_| journal.has_news(&may))?;
        let (extent, void) = (journal.extent_now(&may), journal.voids);
        (journal.extent, journal.voids, journal.is_touched) = (extent, false, false);
        let facts = std::mem::take(&mut journal.facts);
        let from = journal.given;
        journal.given += facts.len();
        let at = journal.reader.position();
        let writer = journal.writer.clone().unwrap_or_else(|| by.clone());
        let keys = keys_of([&by, &writer], &self.former);
        Some(Fresh { run, by, writer, keys, at, extent, text: journal.text.clone(), from, facts, void })
    }

    /// What was read, run by run.
    #[must_use]
    pub fn runs(self) -> Vec<RecoveredRun> {
        let Self { runs, coordinators, former, .. } = self;
        let may = some_key_in(&coordinators, &former);
        runs.into_iter().filter_map(|(run, journal)| journal.run(run, &may, &former)).collect()
    }
}

/// The first key of a node.
fn root_of<'a>(did: &'a NodeDid, former: &'a BTreeMap<NodeDid, NodeDid>) -> &'a NodeDid {
    // No key names two former ones, and none leads back to itself.
    std::iter::successors(Some(did), |did| former.get(*did)).last().unwrap_or(did)
}

/// All keys of the nodes that these keys belong to.
fn keys_of(dids: [&NodeDid; 2], former: &BTreeMap<NodeDid, NodeDid>) -> BTreeSet<NodeDid> {
    let roots = dids.map(|did| root_of(did, former));
    let all = former.keys().chain(roots).chain(dids);
    all.filter(|did| roots.contains(&root_of(did, former))).cloned().collect()
}

/// Whether one of these coordinators is the node that this key, or the one after it, belongs to.
fn some_key_in<'a>(
    coordinators: &'a BTreeSet<NodeDid>,
    former: &'a BTreeMap<NodeDid, NodeDid>,
) -> impl Fn(&NodeDid) -> bool + 'a {
    |writer| {
        let newer = former.iter().filter(|(_, old)| *old == writer).map(|(new, _)| new);
        std::iter::once(writer).chain(newer).any(|did| coordinators.contains(did))
    }
}

impl Fresh {
    /// Whether a node coordinated the run at some time, by what is new of it.
    #[must_use]
    pub fn was_coordinated_by(&self, did: &NodeDid) -> bool {
        let took_over = |fact: &Fact| match &fact.body {
            EventBody::RunTakenOver { owner, .. } => owner == did,
            _ => false,
        };
        self.keys.contains(did) || self.facts.iter().any(took_over)
    }
}

impl File {
    /// Whether it says to be larger than such a file may be: nobody fetches it then.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.size() > FILE_SIZE_MAX
    }

    /// The size in bytes that its event states.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Entries(file) => file.size(),
            Self::Snapshot(file) => file.size(),
        }
    }

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

    fn by(&self) -> &NodeDid {
        match self {
            Self::Entries(file) => file.by(),
            Self::Snapshot(file) => file.by(),
        }
    }

    fn place(&self) -> LackAt {
        match self {
            Self::Entries(file) => {
                let last = file.last();
                LackAt::Rest { epoch: last.epoch, last: Some(last) }
            }
            Self::Snapshot(_) => LackAt::Beginning,
        }
    }
}

impl Journal {
    fn goes_on(&mut self, cut: Option<Position>, entries: Vec<Placed>) {
        if let Some(cut) = cut {
            let kept = self.placed.iter().position(|(at, _)| *at == cut).map_or(0, |at| at + 1);
            self.placed.truncate(kept);
            let facts = self.placed.last().map_or(self.told_by_snapshot, |(_, facts)| *facts);
            self.voids |= facts < self.given;
            self.facts.truncate(facts.saturating_sub(self.given));
            self.given = self.given.min(facts);
        }
        for placed in entries {
            self.read(&placed.entry, placed.at, &placed.by);
            self.placed.push((placed.at, self.given + self.facts.len()));
            self.by = Some(placed.by);
        }
    }

    fn read(&mut self, entry: &Entry, at: Position, by: &NodeDid) {
        if self.text.is_none() {
            self.text = spec_text(entry).map(str::to_owned);
        }
        match to_facts(entry, by) {
            Ok(more) => self.facts.extend(more),
            Err(bad) => {
                self.lacks.push(Lack { place: LackAt::Entry(at), why: bad.to_string() });
                self.is_touched = true;
            }
        }
    }

    /// Why something of it is not there.
    fn open_lacks(&self) -> impl Iterator<Item = &str> {
        self.lacks.iter().filter(|lack| self.is_open(&lack.place)).map(|lack| lack.why.as_str())
    }

    /// Whether what is missing matters: it was not read in another way, and is not void.
    fn is_open(&self, place: &LackAt) -> bool {
        match place {
            LackAt::Beginning => self.begun.is_none() && self.placed.is_empty(),
            LackAt::Entry(at) => self.reader.counts(*at) == Some(true),
            LackAt::Rest { epoch, last } => {
                *epoch >= self.reader.position().epoch
                    && last.and_then(|last| self.reader.counts(last)).is_none()
            }
        }
    }

    /// `may`: whether a node, told by its first key, may take the run over.
    fn extent_now(&self, may: impl Fn(&NodeDid) -> bool) -> Extent {
        let mut open =
            self.lacks.iter().map(|lack| &lack.place).filter(|place| self.is_open(place)).peekable();
        let is_part = open.peek().is_some() || !self.reader.missing().is_empty();
        match is_part {
            false => Extent::Whole,
            true if self.reader.knows_later_term(may) => Extent::Unknown,
            true if open.all(|place| matches!(place, LackAt::Rest { .. })) => Extent::Part,
            true => Extent::Unknown,
        }
    }

    fn has_news(&mut self, may: impl Fn(&NodeDid) -> bool) -> bool {
        if self.voids || !self.facts.is_empty() {
            return true;
        }
        // Of what does not begin, nothing is told.
        self.is_touched = self.is_touched && self.given > 0 && self.extent_now(may) != self.extent;
        self.is_touched
    }

    /// None: nobody told of it.
    fn run(
        self,
        run: RunId,
        may: impl Fn(&NodeDid) -> bool,
        former: &BTreeMap<NodeDid, NodeDid>,
    ) -> Option<RecoveredRun> {
        let mut lacks: Vec<String> = self.open_lacks().map(str::to_owned).collect();
        for missing in self.reader.missing() {
            lacks.push(format!(
                "entries {} to {} of its journal are not in the room",
                missing.from, missing.to
            ));
        }
        if let Some(epoch) = self.reader.unfounded(may) {
            lacks.push(format!("the takeover with which term {epoch} of its coordinators began is missing"));
        }
        let by = self.by.or(self.lacks_of)?;
        let writer = self.writer.unwrap_or_else(|| by.clone());
        Some(RecoveredRun {
            run,
            keys: keys_of([&by, &writer], former),
            writer,
            by,
            text: self.text,
            facts: self.facts,
            told_by_snapshot: self.told_by_snapshot,
            snapshot: self.begun,
            at: self.reader.position(),
            lacks,
        })
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
