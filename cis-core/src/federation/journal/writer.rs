//! The one writer of a run's journal: events in, pages out that are ready to be signed.
//!
//! Owns numbers, hashes and the cutting into pages. Who calls it stores [`Writer::position`] in the transaction that
//! queues the pages: what was numbered once is never numbered otherwise.

use serde_json::Value;

use super::batch::{Blob, FILE_SIZE_MAX, FileBody, InlineBody};
use super::coalesce::Coalescer;
use super::{Fact, Piece};
use crate::federation::announcement::{Announcement, Announcer};
use crate::federation::link::{EntryHash, Position};
use crate::federation::room_event;
use crate::identity::canonical_json;
use crate::ids::{Epoch, NodeDid, RunId};

/// Bytes of a page beside its entries: `{"entries":[],"first":…,"prev":"…"}` with the longest number.
const PAGE_BYTES: usize = 120;

/// Writes the journal of one run, in one term.
#[derive(Debug, Clone)]
pub struct Writer {
    run: RunId,
    epoch: Epoch,
    by: NodeDid,
    at: Position,
    spec: Option<String>,
    coalescer: Coalescer,
    announcer: Option<Announcer>,
}

/// Entries that go into one envelope of type [`super::TYPE`].
#[derive(Debug, Clone, PartialEq)]
pub enum Page {
    /// In it.
    Inline {
        /// The envelope's body.
        body: Value,
        /// How many entries.
        count: usize,
    },
    /// Beside it, as they are too large or too many.
    File(FilePage),
}

/// Entries that go as a file: its bytes are sent first, and then the envelope that names it.
#[derive(Debug, Clone, PartialEq)]
pub struct FilePage {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    first: u64,
    prev: EntryHash,
    count: u64,
    head: EntryHash,
    blob: Blob,
}

/// An entry that was numbered.
struct Numbered {
    text: String,
    prev: EntryHash,
    at: Position,
}

impl Writer {
    /// A journal from its first entry on. `spec` is the text of the DAG file, redacted.
    #[must_use]
    pub fn begin(run: RunId, by: NodeDid, spec: Option<String>) -> Self {
        Self { spec, ..Self::resume(run, by, Position::start(run)) }
    }

    /// Goes on after `at`, in the same term.
    #[must_use]
    pub fn resume(run: RunId, by: NodeDid, at: Position) -> Self {
        Self { run, epoch: at.epoch, by, at, spec: None, coalescer: Coalescer::default(), announcer: None }
    }

    /// Gives what is written to this announcer as well.
    #[must_use]
    pub fn announcing(self, announcer: Announcer) -> Self {
        Self { announcer: Some(announcer), ..self }
    }

    /// What is announced of all that was written.
    #[must_use]
    pub fn announcements(self) -> Vec<Announcement> {
        self.announcer.map(Announcer::announcements).unwrap_or_default()
    }

    /// Begins the term after that of `cut`, the last entry that counts. The first event has to be
    /// [`crate::event::EventBody::RunTakenOver`] with this epoch and cut.
    #[must_use]
    pub fn take_over(run: RunId, by: NodeDid, cut: Position) -> Self {
        Self { epoch: cut.epoch.saturating_add(1), ..Self::resume(run, by, cut) }
    }

    /// The newest entry that was numbered.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at
    }

    /// The term that it writes in.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether everything was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.coalescer.is_empty()
    }

    /// How many pieces wait, at most.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.coalescer.len()
    }

    /// Takes the next event of the run.
    pub fn push(&mut self, fact: Fact) {
        self.coalescer.push(fact);
    }

    /// Writes all that was pushed. A page's body has at most `body_max` bytes; where there would be more than
    /// `pages_max` pages, the entries go as files.
    pub fn flush(&mut self, body_max: usize, pages_max: usize) -> Vec<Page> {
        let before = self.at;
        let numbered: Vec<Numbered> =
            self.coalescer.drain().into_iter().filter_map(|piece| self.number(&piece)).collect();
        let room = body_max.saturating_sub(PAGE_BYTES);
        let groups = grouped(&numbered, room);
        if groups.len() > pages_max {
            let large = usize::try_from(FILE_SIZE_MAX).unwrap_or(usize::MAX);
            return grouped(&numbered, large - PAGE_BYTES).into_iter().map(|g| file(g, before)).collect();
        }
        let page = |group: &[Numbered]| {
            if bytes_of(group) <= room { inline(group, before) } else { file(group, before) }
        };
        groups.into_iter().map(page).collect()
    }

    fn number(&mut self, piece: &Piece) -> Option<Numbered> {
        let spec = self.spec.as_deref();
        // What was stored is JSON, and what is packed has canonical JSON.
        let entry = room_event::to_entry(piece, &self.by, spec).ok()??;
        let text = canonical_json(&entry).ok()?;
        let prev = self.at.head;
        self.at = self.at.after(self.run, self.epoch, &text);
        if let Some(announcer) = &mut self.announcer {
            announcer.hear(&piece.fact, self.at);
        }
        Some(Numbered { text, prev, at: self.at })
    }
}

impl FilePage {
    /// The body of the envelope, once the carrier says how it finds the file.
    #[must_use]
    pub fn body(&self, media: Value) -> Value {
        let file = Blob { media, ..self.blob.clone() };
        let Self { first, prev, count, head, .. } = *self;
        json_of(&FileBody { first, prev, count, head, file })
    }
}

/// Neighbours that have at most `room` bytes together; a larger one is alone.
fn grouped(entries: &[Numbered], room: usize) -> Vec<&[Numbered]> {
    let mut groups = Vec::new();
    let (mut from, mut size) = (0, 0);
    for (index, entry) in entries.iter().enumerate() {
        let more = entry.text.len() + 1;
        if index > from && size + more > room {
            groups.push(&entries[from..index]);
            (from, size) = (index, 0);
        }
        size += more;
    }
    if from < entries.len() {
        groups.push(&entries[from..]);
    }
    groups
}

fn bytes_of(group: &[Numbered]) -> usize {
    group.iter().map(|entry| entry.text.len() + 1).sum()
}

fn inline(group: &[Numbered], before: Position) -> Page {
    let (first, prev) = beginning(group, before);
    let parsed = group.iter().filter_map(|entry| serde_json::from_str(&entry.text).ok());
    Page::Inline { body: json_of(&InlineBody { first, prev, entries: parsed.collect() }), count: group.len() }
}

fn file(group: &[Numbered], before: Position) -> Page {
    let (first, prev) = beginning(group, before);
    let texts: Vec<String> = group.iter().map(|entry| entry.text.clone()).collect();
    let (blob, bytes) = Blob::of(&texts, Value::Null);
    let head = group.last().map_or(before.head, |last| last.at.head);
    Page::File(FilePage { bytes, first, prev, count: group.len() as u64, head, blob })
}

fn beginning(group: &[Numbered], before: Position) -> (u64, EntryHash) {
    group.first().map_or((before.n + 1, before.head), |first| (first.at.n, first.prev))
}

fn json_of(value: &impl serde::Serialize) -> Value {
    // Plain structs with text keys: they have JSON.
    serde_json::to_value(value).unwrap_or_default()
}
