//! Messages that are too large for an envelope, in parts.
//!
//! A result with large outputs, or a task with a long prompt, has more bytes than an event of Matrix. Its JSON is sent as text in
//! several envelopes, in any order, and read when all of them are there. Pure, and bounded: what a node sends too much of is
//! dropped, and the message repeated.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use super::envelope::{Draft, Verified};
use super::envelope_type::EnvelopeType;
use super::protocol::BootMs;
use crate::event::Category;
use crate::ids::NodeDid;

/// The type of the envelope that carries a part.
pub const PART: EnvelopeType = EnvelopeType::device("cis.dag.node.part", Category::Node);

/// A message has at most so many bytes as JSON.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// A part has at most so many bytes of text. As a string in JSON they may be twice as many, and 4/3 of that when encrypted.
const PART_BYTES_MAX: usize = 20 << 10;

const COUNT_MAX: usize = MESSAGE_BYTES_MAX / PART_BYTES_MAX + 1;

/// Unfinished messages of one node.
const UNFINISHED_MAX: usize = 8;

/// All parts of a message come within this time, ms.
const TIME_MAX_MS: BootMs = 60_000;

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Part {
    /// The message.
    of: Ulid,
    /// Its place, from 0.
    at: usize,
    /// So many parts the message has.
    count: usize,
    text: String,
}

/// The parts of a message, whose JSON this is, as envelopes before they are signed. `id` gives the id of each envelope. None: it is larger than
/// a message may be. A message that is sent again has the same parts, so that those that were lost are all that matters.
pub fn split(text: &str, room: &str, sender: &str, id: impl Fn() -> Ulid) -> Option<Vec<Draft>> {
    if text.len() > MESSAGE_BYTES_MAX {
        return None;
    }
    let hash = Sha256::digest(text);
    let of = Ulid(hash.iter().take(16).fold(0, |name, byte| name << 8 | u128::from(*byte)));
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rest.floor_char_boundary(PART_BYTES_MAX));
        pieces.push(piece);
        rest = more;
    }
    let count = pieces.len();
    let draft = |(at, text)| {
        let body = json!({ "of": of.to_string(), "at": at, "count": count, "text": text });
        Draft { v: PART.v, ..Draft::of_room(PART.name, body, id(), room, sender) }
    };
    Some(pieces.into_iter().enumerate().map(draft).collect())
}

/// The part in an envelope. None: it carries something else.
///
/// # Errors
/// What is wrong with it.
pub fn read(envelope: &Verified) -> Result<Option<Part>, String> {
    if envelope.type_name() != PART.name {
        return Ok(None);
    }
    let part = Part::deserialize(envelope.body()).map_err(|error| error.to_string())?;
    let is_sound = part.at < part.count && part.count <= COUNT_MAX && part.text.len() <= PART_BYTES_MAX;
    if is_sound { Ok(Some(part)) } else { Err("a part that no message has".to_owned()) }
}

#[derive(Debug)]
struct Unfinished {
    of: Ulid,
    since: BootMs,
    pieces: Vec<Option<String>>,
}

/// Messages of which not all parts are there.
#[derive(Debug, Default)]
pub struct Parts(BTreeMap<NodeDid, Vec<Unfinished>>);

impl Parts {
    /// Takes a part that a node sent. Gives the JSON of the message if it was the last one that was missing.
    pub fn take(&mut self, from: &NodeDid, part: Part, now: BootMs) -> Option<String> {
        let Part { of, at, count, text } = part;
        self.0.retain(|_, all| {
            all.retain(|message| now.saturating_sub(message.since) <= TIME_MAX_MS);
            !all.is_empty()
        });
        let all = self.0.entry(from.clone()).or_default();
        let index = match all.iter().position(|message| message.of == of) {
            Some(index) => index,
            None => {
                if all.len() >= UNFINISHED_MAX {
                    all.remove(0);
                }
                all.push(Unfinished { of, since: now, pieces: vec![None; count] });
                all.len() - 1
            }
        };
        // Another count: it is not the same message.
        *all.get_mut(index)?.pieces.get_mut(at)? = Some(text);
        let is_whole = all[index].pieces.iter().all(Option::is_some);
        let whole = is_whole.then(|| all.remove(index).pieces.into_iter().flatten().collect());
        if all.is_empty() {
            self.0.remove(from);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::federation::envelope::{Carrier, SIZE_MAX_ENCRYPTED, verify};
    use crate::federation::sample::key;
    use crate::identity::Standing;

    const ROOM: &str = "!r:x";
    const SENDER: &str = "@node:x";

    fn parts(text: &str) -> Vec<Part> {
        let drafts = split(text, ROOM, SENDER, || Ulid(7)).unwrap();
        let sent = |draft: Draft| {
            let content = draft.sign(&key(1), SIZE_MAX_ENCRYPTED).unwrap().into_content();
            let carrier = Carrier { room: ROOM, type_name: PART.name, sender: Some(SENDER) };
            read(&verify(&content, carrier, |_| Standing::Trusted).unwrap()).unwrap().unwrap()
        };
        drafts.into_iter().map(sent).collect()
    }

    proptest! {
        #[test]
        fn a_message_comes_whole_in_each_order(
            text in "[a\"\\\\ü漢]{0,300}",
            times in 1_usize..300,
            (order, again) in (any::<prop::sample::Index>(), any::<bool>()),
        ) {
            let text = format!("{{{}", text.repeat(times));
            let mut sent = parts(&text);
            let (count, from) = (sent.len(), key(2).did());
            sent.rotate_left(order.index(count));
            if again {
                sent.insert(0, sent[0].clone());
            }
            let last = sent.pop().unwrap();
            let mut known = Parts::default();
            for part in sent {
                let whole = known.take(&from, part, 1);
                prop_assert!(count == 1 || whole.is_none());
            }
            prop_assert_eq!(known.take(&from, last, 2), Some(text));
            prop_assert!(known.0.is_empty());
        }
    }

    #[test]
    fn what_does_not_end_is_dropped() {
        let text = |n: u32| format!("{n:03}{}", "x".repeat(PART_BYTES_MAX));
        let (first, second) = (|n| parts(&text(n)).remove(0), |n| parts(&text(n)).remove(1));
        let (mut known, from) = (Parts::default(), key(2).did());
        for n in 0..100 {
            assert_eq!(known.take(&from, first(n), 1), None);
        }
        assert_eq!(known.0[&from].len(), UNFINISHED_MAX);
        assert_eq!(known.take(&from, second(0), 1), None, "its beginning was dropped");
        assert_eq!(known.take(&from, first(0), 1), Some(text(0)), "it was sent again");
        assert_eq!(known.take(&from, second(99), 2), Some(text(99)));
        assert_eq!(known.take(&key(3).did(), second(97), 2), None, "it is another node's");
        assert_eq!(known.take(&from, second(98), TIME_MAX_MS + 2), None, "it came too late");
        assert_eq!(known.0.len(), 2);
        assert_eq!(known.take(&from, first(0), 3 * TIME_MAX_MS), None);
        assert_eq!(known.0.len(), 1, "what other nodes did not finish is dropped, too");
        assert!(split(&"x".repeat(MESSAGE_BYTES_MAX + 1), ROOM, SENDER, || Ulid(7)).is_none());
    }

    #[test]
    fn parts_that_no_message_has_are_refused() {
        let mut known = Parts::default();
        for (at, count, size) in [(2, 2, 1), (0, 1_000_000, 1), (0, 0, 1), (0, 2, PART_BYTES_MAX + 1)] {
            let body =
                json!({ "of": Ulid(1).to_string(), "at": at, "count": count, "text": "x".repeat(size) });
            let draft = Draft::of_room(PART.name, body, Ulid(7), ROOM, SENDER);
            let content = draft.sign(&key(1), SIZE_MAX_ENCRYPTED).unwrap().into_content();
            let carrier = Carrier { room: ROOM, type_name: PART.name, sender: Some(SENDER) };
            let envelope = verify(&content, carrier, |_| Standing::Trusted).unwrap();
            assert!(read(&envelope).is_err(), "{at} of {count}");
        }
        let from = key(2).did();
        let part = |at, count| Part { of: Ulid(1), at, count, text: "x".to_owned() };
        assert_eq!(known.take(&from, part(0, 2), 1), None);
        assert_eq!(known.take(&from, part(5, 9), 1), None, "another count");
        assert_eq!(known.take(&from, part(1, 2), 1), Some("xx".to_owned()));
    }
}
