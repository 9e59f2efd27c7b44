//! A run as a whole: its events so far, merged, and the canonical state that they fold to.
//!
//! A room gets one when a run begins to be followed there, and later ones bound what has to be read. It stands for all
//! entries of the journal up to its own place; the journal goes on after it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SNAPSHOT;
use crate::federation::canonical::Fold;
use crate::federation::envelope::Verified;
use crate::federation::journal::{BadBatch, Blob, Coalescer, EntryHash, Fact, Position};
use crate::federation::room_event::{self, Entry};
use crate::identity::canonical_json;
use crate::ids::{NodeDid, RunId};

/// Bytes of the body beside its entries.
const BODY_BYTES: usize = 300;

/// A snapshot, ready to be signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    at: Position,
    state: String,
    entries: Vec<String>,
}

/// A snapshot whose entries go as a file.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotFile {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    body: Body,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Body {
    /// Number of the newest entry that it stands for.
    n: u64,
    /// Hash of that.
    head: EntryHash,
    /// SHA-256 of the canonical state, hex.
    state: String,
    /// The entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<Value>>,
    /// Where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Blob>,
}

/// What an envelope of type [`SNAPSHOT`] holds.
#[derive(Debug)]
pub enum SnapshotTold {
    /// All of it.
    Whole(ReadSnapshot),
    /// Its entries are in a file that is to be fetched.
    File(UnreadSnapshot),
}

/// A snapshot whose file was not read yet.
#[derive(Debug, Clone, PartialEq)]
pub struct UnreadSnapshot {
    run: RunId,
    by: NodeDid,
    at: Position,
    state: String,
    file: Blob,
}

/// A snapshot that came.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadSnapshot {
    /// The run.
    pub run: RunId,
    /// Who coordinated it, and signed this.
    pub by: NodeDid,
    /// The newest entry that it stands for: the journal goes on after it.
    pub at: Position,
    /// SHA-256 of the canonical state that the entries fold to, hex.
    pub state: String,
    /// Its entries.
    pub entries: Vec<Entry>,
}

impl Snapshot {
    /// Of a run whose journal begins with it: all its events so far, and the canonical state after them. The writer
    /// goes on at [`Self::position`].
    #[must_use]
    pub fn first(
        run: RunId,
        facts: impl IntoIterator<Item = Fact>,
        by: &NodeDid,
        spec: Option<&str>,
        fold: &Fold,
    ) -> Self {
        let entries = merged(facts, by, spec);
        let start = Position::start(run);
        let at = entries.iter().fold(start, |at, entry| at.after(run, start.epoch, entry));
        Self { at, state: fold.canonical_hash(), entries }
    }

    /// Of a run whose journal is at `at`: all its events up to there, and the canonical state after them.
    #[must_use]
    pub fn later(
        at: Position,
        facts: impl IntoIterator<Item = Fact>,
        by: &NodeDid,
        spec: Option<&str>,
        fold: &Fold,
    ) -> Self {
        Self { at, state: fold.canonical_hash(), entries: merged(facts, by, spec) }
    }

    /// Where the journal goes on.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at
    }

    /// The body of the envelope, where it has at most `body_max` bytes; otherwise what goes as a file.
    ///
    /// # Errors
    /// The file, which is sent first.
    pub fn body(self, body_max: usize) -> Result<Value, SnapshotFile> {
        let Position { n, head, .. } = self.at;
        let size: usize = self.entries.iter().map(|entry| entry.len() + 1).sum();
        let body = Body { n, head, state: self.state, entries: None, file: None };
        if size + BODY_BYTES > body_max {
            let (file, bytes) = Blob::of(&self.entries, Value::Null);
            return Err(SnapshotFile { bytes, body: Body { file: Some(file), ..body } });
        }
        let entries = self.entries.iter().filter_map(|entry| serde_json::from_str(entry).ok()).collect();
        Ok(json_of(&Body { entries: Some(entries), ..body }))
    }
}

impl SnapshotFile {
    /// The body of the envelope, once the carrier says how it finds the file.
    #[must_use]
    pub fn body(self, media: Value) -> Value {
        let file = self.body.file.map(|file| Blob { media, ..file });
        json_of(&Body { file, ..self.body })
    }
}

impl SnapshotTold {
    /// What a checked envelope holds.
    ///
    /// # Errors
    /// [`BadBatch`].
    pub fn read(envelope: &Verified) -> Result<Self, BadBatch> {
        if envelope.type_name() != SNAPSHOT.name || envelope.v() != SNAPSHOT.v {
            return Err(BadBatch::Kind { type_name: envelope.type_name().to_owned(), v: envelope.v() });
        }
        let Some(run) = envelope.run() else { return Err(BadBatch::Shape("it names no run".to_owned())) };
        let body = Body::deserialize(envelope.body()).map_err(|e| BadBatch::Shape(e.to_string()))?;
        let (by, at) =
            (envelope.did().clone(), Position { epoch: envelope.epoch(), n: body.n, head: body.head });
        match (body.entries, body.file) {
            (Some(packed), None) => {
                let entries = read_all(packed)?;
                Ok(Self::Whole(ReadSnapshot { run, by, at, state: body.state, entries }))
            }
            (None, Some(file)) => Ok(Self::File(UnreadSnapshot { run, by, at, state: body.state, file })),
            _ => Err(BadBatch::Shape("it has either entries or a file".to_owned())),
        }
    }
}

impl UnreadSnapshot {
    /// Who signed it.
    #[must_use]
    pub fn by(&self) -> &NodeDid {
        &self.by
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    /// How the carrier finds the file.
    #[must_use]
    pub fn media(&self) -> &Value {
        &self.file.media
    }

    /// Its bytes; not more are to be fetched.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.file.size
    }

    /// The snapshot with its file, whose bytes these are.
    ///
    /// # Errors
    /// [`BadBatch`].
    pub fn open(self, bytes: &[u8]) -> Result<ReadSnapshot, BadBatch> {
        let packed = self.file.entries(bytes).ok_or_else(|| BadBatch::File { by: self.by.clone() })?;
        let Self { run, by, at, state, .. } = self;
        Ok(ReadSnapshot { run, by, at, state, entries: read_all(packed)? })
    }
}

impl ReadSnapshot {
    /// Whether the run that was folded from its entries is the one that was signed.
    #[must_use]
    pub fn is_state_of(&self, fold: &Fold) -> bool {
        fold.run().id() == self.run && fold.canonical_hash() == self.state
    }
}

fn merged(facts: impl IntoIterator<Item = Fact>, by: &NodeDid, spec: Option<&str>) -> Vec<String> {
    let mut coalescer = Coalescer::default();
    facts.into_iter().for_each(|fact| coalescer.push(fact));
    let entry = |piece| canonical_json(&room_event::to_entry(&piece, by, spec).ok()??).ok();
    coalescer.drain().into_iter().filter_map(entry).collect()
}

fn read_all(packed: Vec<Value>) -> Result<Vec<Entry>, BadBatch> {
    let read = |(n, packed)| room_event::read_entry(packed).map_err(|why| BadBatch::Entry { n, why });
    (1..).zip(packed).map(read).collect()
}

fn json_of(value: &impl Serialize) -> Value {
    // Plain structs with text keys: they have JSON.
    serde_json::to_value(value).unwrap_or_default()
}
