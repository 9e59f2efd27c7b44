//! Messages of views, and their envelopes.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{Frame, ViewId};
use crate::event::Category;
use crate::federation::envelope::{Draft, Verified};
use crate::federation::envelope_type::EnvelopeType;
use crate::federation::packed::{pack, unpack};

/// The type of the envelope that carries a [`Segment`].
pub(super) const SEGMENT: EnvelopeType = EnvelopeType::device("cis.dag.session.view", Category::Session);

/// The type of the envelope that says that a view is unknown.
pub(super) const GONE: EnvelopeType = EnvelopeType::device("cis.dag.session.view_gone", Category::Session);

/// A numbered part of a view in one direction, or an acknowledgement alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The view.
    pub view: ViewId,
    /// Its number in its direction, from 0; none: it carries nothing, and only acknowledges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// All segments of the other direction below this number have come.
    pub next: u64,
    /// From the session's node: this life of the view there. From the viewer's node: the one that it talks to, so that nothing
    /// that was typed counts again in another one; only its first segment has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<u64>,
    /// The sender wants to know at once whether the receiver is still there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks: bool,
    /// What it carries, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<Frame>,
}

/// What nodes say to each other about a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewMessage {
    /// A part of it.
    Segment(Segment),
    /// The sender knows no such view: it restarted, or the view ended.
    Gone(ViewId),
}

#[derive(Serialize, Deserialize)]
struct Gone {
    view: ViewId,
}

impl ViewMessage {
    /// The view that it is about.
    #[must_use]
    pub fn view(&self) -> ViewId {
        match self {
            Self::Segment(segment) => segment.view,
            Self::Gone(view) => *view,
        }
    }

    /// As an envelope, before it is signed.
    #[must_use]
    pub fn draft(&self, room: &str, sender: &str) -> Draft {
        // Plain structs with text keys: they have JSON.
        let (kind, body) = match self {
            Self::Segment(segment) => (SEGMENT, serde_json::to_value(segment)),
            Self::Gone(view) => (GONE, serde_json::to_value(Gone { view: *view })),
        };
        let body = pack(body.unwrap_or_default());
        Draft { v: kind.v, ..Draft::of_room(kind.name, body, Ulid::new(), room, sender) }
    }

    /// What an envelope carries; none: something else.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(envelope: &Verified) -> Result<Option<Self>, String> {
        let kind = envelope.type_name();
        if kind != SEGMENT.name && kind != GONE.name {
            return Ok(None);
        }
        let body = unpack(envelope.body().clone()).map_err(|error| error.to_string())?;
        let read = if kind == SEGMENT.name {
            serde_json::from_value(body).map(Self::Segment)
        } else {
            serde_json::from_value(body).map(|Gone { view }| Self::Gone(view))
        };
        read.map(Some).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        Attach, AttachControl, AttachNotice, Problem, ProblemKind, ReadLog, SendInput, TermSize,
    };
    use crate::federation::envelope::{Carrier, SIZE_MAX_ENCRYPTED, verify};
    use crate::federation::sample::{key, run_id, session, task};
    use crate::federation::view::{Open, SEGMENT_BYTES_MAX, What};
    use crate::identity::Standing;
    use crate::ids::InputId;

    fn id() -> ViewId {
        InputId::from_parts(60_000, 7)
    }

    fn open(what: What) -> Frame {
        let by = "uid:1000".to_owned();
        Frame::Open(Box::new(Open {
            run: run_id(),
            task: task(1),
            attempt: 2,
            session: session(1),
            by,
            what,
        }))
    }

    fn frames() -> Vec<Frame> {
        let size = TermSize::default();
        vec![
            open(What::Terminal { attach: Attach { cols: Some(80), marks: true, ..Attach::default() } }),
            open(What::Log { read: ReadLog { follow: true, ..ReadLog::default() } }),
            open(What::Screen {}),
            open(What::Explain {}),
            open(What::Input { request: SendInput { data: vec![27], input: id() } }),
            Frame::Typed { data: vec![0, 27, 255] },
            Frame::Control { control: AttachControl::Resize(size) },
            Frame::Bye {},
            Frame::Output { data: b"\x1b[2J".to_vec(), next: Some(1 << 60) },
            Frame::Notice { notice: AttachNotice::Resized(size) },
            Frame::End { problem: Some(Box::new(Problem::new(ProblemKind::Conflict, "it has ended"))) },
        ]
    }

    fn carried(draft: &Draft, size_max: usize) -> Verified {
        let envelope = draft.sign(&key(1), size_max).unwrap();
        let carrier = Carrier { room: "!r:x", type_name: &draft.type_name, sender: Some("@n:x") };
        let content = serde_json::from_str(&envelope.content().to_string()).unwrap();
        verify(&content, carrier, |_| Standing::Trusted).unwrap()
    }

    #[test]
    fn every_message_comes_back_as_it_was_sent() {
        let segment =
            Segment { view: id(), number: Some(3), next: 4, life: Some(1), asks: true, frames: frames() };
        let alone =
            Segment { view: id(), number: None, next: 0, life: None, asks: false, frames: Vec::new() };
        for message in [ViewMessage::Segment(segment), ViewMessage::Segment(alone), ViewMessage::Gone(id())] {
            let read = ViewMessage::read(&carried(&message.draft("!r:x", "@n:x"), SIZE_MAX_ENCRYPTED));
            assert_eq!(read, Ok(Some(message)));
        }
    }

    #[test]
    fn a_full_segment_fits_into_an_encrypted_envelope() {
        let output = |bytes| Frame::Output { data: vec![255; bytes], next: Some(u64::MAX) };
        let frames = vec![output(SEGMENT_BYTES_MAX)];
        let whole = Segment {
            view: id(),
            number: Some(u64::MAX >> 12),
            next: u64::MAX >> 12,
            life: Some(u64::MAX >> 12),
            asks: true,
            frames,
        };
        carried(&ViewMessage::Segment(whole).draft("!r:x", "@n:x"), SIZE_MAX_ENCRYPTED);
    }

    #[test]
    fn what_was_signed_as_one_thing_is_no_other() {
        let mut draft = ViewMessage::Gone(id()).draft("!r:x", "@n:x");
        draft.type_name = SEGMENT.name.to_owned();
        assert!(ViewMessage::read(&carried(&draft, SIZE_MAX_ENCRYPTED)).is_err());
        draft.type_name = "cis.dag.node.alive".to_owned();
        assert_eq!(ViewMessage::read(&carried(&draft, SIZE_MAX_ENCRYPTED)), Ok(None));
    }
}
