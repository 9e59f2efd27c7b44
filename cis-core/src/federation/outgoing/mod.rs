//! What leaves a node for a room: which envelope goes which way, under which number, and a run as a whole.
//!
//! Owns the count of a node's timeline envelopes (`numbering`) and snapshots of runs (`snapshot`). Sends nothing.

mod numbering;
mod snapshot;
#[cfg(test)]
mod tests;

pub use super::envelope_type::{EnvelopeType, Way};
pub use numbering::{Heard, Numbering};
use serde_json::Value;
pub use snapshot::{ReadSnapshot, Snapshot, SnapshotFile, SnapshotTold, UnreadSnapshot};
use ulid::Ulid;

use super::envelope::{Draft, Seq, Signed, Unsignable, Verified};
use super::journal;
use crate::event::Category;
use crate::identity::{NodeKey, Rotation};
use crate::ids::{Epoch, NodeDid, RunId};

/// Entries of a run's journal.
pub const JOURNAL: EnvelopeType =
    EnvelopeType { name: journal::TYPE, v: journal::VERSION, category: Category::Run, way: Way::Timeline };
/// A run as a whole, up to an entry of its journal.
pub const SNAPSHOT: EnvelopeType =
    EnvelopeType { name: "cis.dag.run.snapshot", v: 1, category: Category::Run, way: Way::Timeline };
/// A node took another key.
pub const ROTATED: EnvelopeType =
    EnvelopeType { name: "cis.dag.node.rotated", v: 1, category: Category::Node, way: Way::Timeline };

/// All types but those of [`super::announcement::ANNOUNCED`].
pub const TYPES: &[EnvelopeType] = &[JOURNAL, SNAPSHOT, ROTATED];

/// Where a node's envelopes go, and how large they may be there.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The room.
    pub room: String,
    /// The account that sends.
    pub sender: Option<String>,
    /// [`super::envelope::SIZE_MAX`], less where the room is encrypted.
    pub size_max: usize,
    /// The count of what went to the timeline.
    pub numbering: Numbering,
}

/// What an envelope is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct About {
    /// The run.
    pub run: Option<RunId>,
    /// Its term.
    pub epoch: Epoch,
}

impl Outgoing {
    /// The signed envelope. The number that it gets is used only where it could be signed.
    ///
    /// # Errors
    /// [`Unsignable`].
    pub fn envelope(
        &mut self,
        kind: EnvelopeType,
        id: Ulid,
        about: About,
        body: Value,
        key: &NodeKey,
    ) -> Result<Signed, Unsignable> {
        let mut counted = self.numbering;
        let seq = (kind.way == Way::Timeline).then(|| counted.take());
        let signed = self.draft(kind, id, about, seq, body).sign(key, self.size_max)?;
        self.numbering = counted;
        Ok(signed)
    }

    /// So many bytes the body of such an envelope may have.
    #[must_use]
    pub fn body_max(&self, kind: EnvelopeType, about: About, did: &NodeDid) -> usize {
        let longest =
            Seq { incarnation: crate::identity::INTEGER_MAX as u64, n: crate::identity::INTEGER_MAX as u64 };
        let seq = (kind.way == Way::Timeline).then_some(longest);
        let around = self.draft(kind, Ulid::nil(), about, seq, Value::Null).overhead(did);
        self.size_max.saturating_sub(around)
    }

    fn draft(&self, kind: EnvelopeType, id: Ulid, about: About, seq: Option<Seq>, body: Value) -> Draft {
        Draft {
            id,
            room: self.room.clone(),
            run: about.run,
            epoch: about.epoch,
            seq,
            type_name: kind.name.to_owned(),
            v: kind.v,
            sender: self.sender.clone(),
            body,
        }
    }
}

/// The statement in an envelope of type [`ROTATED`], which both keys signed. None: it holds none that does.
#[must_use]
pub fn read_rotation(envelope: &Verified) -> Option<Rotation> {
    let rotation: Rotation =
        serde_json::from_value(super::packed::unpack(envelope.body().clone()).ok()?).ok()?;
    rotation.verify().is_ok().then_some(rotation)
}

/// The body of an envelope of type [`ROTATED`].
#[must_use]
pub fn rotated(rotation: &Rotation) -> Value {
    super::packed::pack(rotation.to_json())
}
