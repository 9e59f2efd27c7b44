//! Entries as they travel: several in one envelope, or in a file that an envelope names.
//!
//! Owns both forms and what can be said of a batch by itself. Where it belongs in the journal is the reader's matter.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::line::Step;
use crate::federation::envelope::Verified;
use crate::federation::link::{EntryHash, Position};
use crate::federation::room_event::{BadEntry, Entry, read_entry};
use crate::identity::{INTEGER_MAX, NotCanonical, canonical_json};
use crate::ids::{Epoch, NodeDid, RunId};

/// Type of an envelope that holds a batch.
pub const TYPE: &str = "cis.dag.run.journal";
/// Version of its shape.
pub const VERSION: u32 = 1;
/// A file of entries has at most so many bytes.
pub const FILE_SIZE_MAX: u64 = 16 << 20;

const CREATED: &str = "cis.dag.run.created";
const TAKEN_OVER: &str = "cis.dag.run.taken_over";

/// Body of an envelope with the entries in it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct InlineBody {
    /// Number of the first entry.
    pub(super) first: u64,
    /// Hash of the entry before it.
    pub(super) prev: EntryHash,
    /// The entries, numbered without a gap.
    pub(super) entries: Vec<Value>,
}

/// Body of an envelope whose entries are in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FileBody {
    /// Number of the first entry.
    pub(super) first: u64,
    /// Hash of the entry before it.
    pub(super) prev: EntryHash,
    /// How many entries there are.
    pub(super) count: u64,
    /// Hash of the last of them.
    pub(super) head: EntryHash,
    /// Where they are.
    pub(super) file: Blob,
}

/// A file that was sent apart: its content is the canonical JSON of an array of entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Blob {
    /// SHA-256 of its bytes, before any encryption.
    pub(crate) sha256: EntryHash,
    /// Its bytes.
    pub(crate) size: u64,
    /// How the carrier finds it: in a room, its `mxc://` URI or the keys of an encrypted file.
    pub(crate) media: Value,
}

/// Why a batch does not count.
#[derive(Debug, thiserror::Error)]
pub enum BadBatch {
    /// It is of another type, or a later version made it.
    #[error("`{type_name}` version {v} is no batch that this version of CIS reads")]
    Kind {
        /// Its type.
        type_name: String,
        /// Its version.
        v: u32,
    },
    /// A field is missing, or says what cannot be.
    #[error("the batch makes no sense: {0}")]
    Shape(String),
    /// An entry is none.
    #[error("entry {n} of the batch: {why}")]
    Entry {
        /// Its number.
        n: u64,
        /// Why.
        why: BadEntry,
    },
    /// An entry holds what cannot be signed.
    #[error("entry {n} of the batch: {why}")]
    NotCanonical {
        /// Its number.
        n: u64,
        /// Why.
        why: NotCanonical,
    },
    /// The file is not the one that was signed.
    #[error("the file of the batch is another one than {by} signed")]
    File {
        /// Who signed.
        by: NodeDid,
    },
    /// The file is larger than a file of entries may be.
    #[error("the file of the batch has {size} bytes, and {FILE_SIZE_MAX} are the most")]
    TooLarge {
        /// Its size.
        size: u64,
    },
    /// Somebody says to coordinate a run in another's name, or out of place.
    #[error("entry {n} is forged: {by} {what}")]
    Forged {
        /// Its number.
        n: u64,
        /// Who signed it.
        by: NodeDid,
        /// What is wrong.
        what: &'static str,
    },
}

/// What an envelope of a journal holds.
#[derive(Debug)]
pub enum Told {
    /// Entries.
    Batch(Batch),
    /// Where they are.
    File(FileRef),
}

/// Entries of one coordinator that follow each other, each with its hash.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(super) run: RunId,
    pub(super) by: NodeDid,
    pub(super) entries: Vec<Linked>,
}

/// An entry in its place.
#[derive(Debug, Clone)]
pub(super) struct Linked {
    pub(super) at: Position,
    pub(super) prev: EntryHash,
    /// What it does to its term.
    pub(super) step: Step,
    /// It came in a file.
    pub(super) in_file: bool,
    pub(super) entry: Entry,
    /// Bytes of its canonical JSON.
    pub(super) size: usize,
}

/// A file of entries that is to be fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRef {
    run: RunId,
    epoch: Epoch,
    by: NodeDid,
    first: u64,
    prev: EntryHash,
    count: u64,
    head: EntryHash,
    blob: Blob,
}

impl Batch {
    /// What a checked envelope holds.
    ///
    /// # Errors
    /// [`BadBatch`].
    pub fn read(envelope: &Verified) -> Result<Told, BadBatch> {
        let (by, epoch) = (envelope.did().clone(), envelope.epoch());
        if envelope.type_name() != TYPE || envelope.v() != VERSION {
            return Err(BadBatch::Kind { type_name: envelope.type_name().to_owned(), v: envelope.v() });
        }
        let Some(run) = envelope.run() else { return Err(shape(&"it names no run")) };
        let body = envelope.body();
        if body.get("file").is_some() {
            let FileBody { first, prev, count, head, file } =
                FileBody::deserialize(body).map_err(|e| shape(&e))?;
            if file.size > FILE_SIZE_MAX {
                return Err(BadBatch::TooLarge { size: file.size });
            }
            return Ok(Told::File(FileRef { run, epoch, by, first, prev, count, head, blob: file }));
        }
        let InlineBody { first, prev, entries } = InlineBody::deserialize(body).map_err(|e| shape(&e))?;
        Self::linked(run, epoch, by, (first, prev), entries).map(Told::Batch)
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The entry that begins a new term, where one does.
    pub(crate) fn takeover(&self) -> Option<EntryHash> {
        self.entries.iter().find(|linked| linked.step.takes_over()).map(|linked| linked.at.head)
    }

    /// Who signed it.
    #[must_use]
    pub fn by(&self) -> &NodeDid {
        &self.by
    }

    pub(super) fn linked(
        run: RunId,
        epoch: Epoch,
        by: NodeDid,
        (first, prev): (u64, EntryHash),
        packed: Vec<Value>,
    ) -> Result<Self, BadBatch> {
        let last = first
            .checked_add(packed.len() as u64)
            .filter(|n| i64::try_from(*n).is_ok_and(|n| n < INTEGER_MAX));
        if first == 0 || last.is_none() || packed.is_empty() {
            return Err(shape(&"it has no entries, or they are numbered beyond all numbers"));
        }
        let mut at = Position { epoch, n: first - 1, head: prev };
        let mut entries = Vec::with_capacity(packed.len());
        for (index, packed) in packed.into_iter().enumerate() {
            let n = at.n + 1;
            let text = canonical_json(&packed).map_err(|why| BadBatch::NotCanonical { n, why })?;
            let entry = read_entry(packed).map_err(|why| BadBatch::Entry { n, why })?;
            let prev = at.head;
            at = at.after(run, epoch, &text);
            let forged = |what| BadBatch::Forged { n, by: by.clone(), what };
            let step = step(&entry, at, &by, index == 0).map_err(forged)?;
            if n == 1 && prev == Position::start(run).head && entry.type_name != CREATED {
                return Err(forged("begins a journal without its run"));
            }
            entries.push(Linked { at, prev, step, in_file: false, entry, size: text.len() });
        }
        Ok(Self { run, by, entries })
    }
}

impl FileRef {
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

    /// The place of its last entry.
    #[must_use]
    pub fn last(&self) -> Position {
        Position {
            epoch: self.epoch,
            n: self.first.saturating_add(self.count).saturating_sub(1),
            head: self.head,
        }
    }

    /// How the carrier finds the file.
    #[must_use]
    pub fn media(&self) -> &Value {
        &self.blob.media
    }

    /// Its bytes; not more are to be fetched.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blob.size
    }

    /// The entries in the file, whose bytes these are.
    ///
    /// # Errors
    /// [`BadBatch`].
    pub fn open(&self, bytes: &[u8]) -> Result<Batch, BadBatch> {
        let another = || BadBatch::File { by: self.by.clone() };
        let entries = self.blob.entries(bytes).ok_or_else(another)?;
        if entries.len() as u64 != self.count {
            return Err(another());
        }
        let mut batch =
            Batch::linked(self.run, self.epoch, self.by.clone(), (self.first, self.prev), entries)?;
        batch.entries.iter_mut().for_each(|linked| linked.in_file = true);
        let head = batch.entries.last().map(|last| last.at.head);
        if head == Some(self.head) { Ok(batch) } else { Err(another()) }
    }
}

impl Blob {
    /// The file of `entries`, each as canonical JSON, and its bytes.
    pub(crate) fn of(entries: &[String], media: Value) -> (Self, Vec<u8>) {
        let bytes = format!("[{}]", entries.join(",")).into_bytes();
        let sha256 = EntryHash(Sha256::digest(&bytes).into());
        (Self { sha256, size: bytes.len() as u64, media }, bytes)
    }

    /// The entries in `bytes`, where those are the file's.
    pub(crate) fn entries(&self, bytes: &[u8]) -> Option<Vec<Value>> {
        let same = bytes.len() as u64 == self.size && EntryHash(Sha256::digest(bytes).into()) == self.sha256;
        if !same || self.size > FILE_SIZE_MAX {
            return None;
        }
        serde_json::from_slice(bytes).ok()
    }
}

/// Whether `entry` begins a term of `by`; what is wrong with it where it says so and does not.
fn step(entry: &Entry, at: Position, by: &NodeDid, first: bool) -> Result<Step, &'static str> {
    let field = |name: &str| entry.body.get(name);
    let owner = || field("owner").and_then(Value::as_str) == Some(&by.0);
    match entry.type_name.as_str() {
        CREATED if at.n != 1 || at.epoch != 0 => Err("creates a run that is there"),
        CREATED if !owner() => Err("creates a run for somebody else"),
        TAKEN_OVER if !first || at.epoch == 0 => Err("takes over without a new term"),
        TAKEN_OVER if !owner() => Err("takes over for somebody else"),
        TAKEN_OVER => {
            let number = |name: &str| field(name).and_then(Value::as_u64);
            if number("epoch") != Some(u64::from(at.epoch)) || number("cut") != Some(at.n - 1) {
                return Err("takes over another term than it writes in");
            }
            let is = |name: &str| field(name).and_then(Value::as_bool) == Some(true);
            Ok(match (is("forced"), is("lost")) {
                (true, _) => Step::TakesOverAnywhere { voted: is("voted") },
                (false, true) => Step::TakesOverBeforeFile,
                (false, false) => Step::TakesOver,
            })
        }
        _ => Ok(Step::Follows),
    }
}

fn shape(detail: &dyn std::fmt::Display) -> BadBatch {
    BadBatch::Shape(detail.to_string().chars().flat_map(char::escape_debug).take(160).collect())
}
