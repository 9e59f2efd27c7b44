//! Messages that wait until the ones before them were taken by the homeserver.
//!
//! One envelope is under way to a node at a time, and all that waits behind it goes into the next one: an envelope costs both
//! machines, and the homeserver, much more than a message in it. Pure: sends nothing, and is told what time it is.

use std::collections::{BTreeMap, VecDeque};

use cis_core::federation::direct::{self, TaskPayload};
use cis_core::federation::protocol::BootMs;
use cis_core::federation::protocol::message::Message;
use cis_core::ids::NodeDid;

/// Messages in one envelope, and bytes of them, at most. The largest one still goes into an envelope alone.
const TOGETHER_MAX: usize = 128;
const TOGETHER_BYTES_MAX: usize = 24 << 10;

/// Messages that wait for one node; more are dropped, and repeated by those who need an answer.
const WAITING_MAX: usize = 4096;

/// An envelope that was not taken within this time, ms, is not waited for any longer.
const LATE_MS: BootMs = 2_000;

/// A node in a room.
pub(super) type To = (String, NodeDid);

#[derive(Debug, Default)]
struct Lane {
    /// With their bytes, about.
    waiting: VecDeque<(Message<TaskPayload>, usize)>,
    /// Since when an envelope is under way.
    under_way: Option<BootMs>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lanes(BTreeMap<To, Lane>);

impl Lanes {
    pub(super) fn push(&mut self, to: To, message: Message<TaskPayload>) {
        let lane = self.0.entry(to).or_default();
        if lane.waiting.len() < WAITING_MAX {
            let size = direct::size_of(&message);
            lane.waiting.push_back((message, size));
        }
    }

    /// What is to be sent now, and is under way from now on.
    pub(super) fn take_ready(&mut self, now: BootMs) -> Vec<(To, Vec<Message<TaskPayload>>)> {
        let mut ready = Vec::new();
        for (to, lane) in &mut self.0 {
            let is_free = lane.under_way.is_none_or(|since| now.saturating_sub(since) >= LATE_MS);
            if is_free && !lane.waiting.is_empty() {
                lane.under_way = Some(now);
                ready.push((to.clone(), lane.take_part()));
            }
        }
        ready
    }

    /// The homeserver took an envelope, or will not.
    pub(super) fn sent(&mut self, to: &To) {
        if let Some(lane) = self.0.get_mut(to) {
            lane.under_way = None;
            if lane.waiting.is_empty() {
                self.0.remove(to);
            }
        }
    }
}

impl Lane {
    /// The messages of one envelope.
    fn take_part(&mut self) -> Vec<Message<TaskPayload>> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some((message, size)) = self.waiting.pop_front() {
            if !part.is_empty() && bytes + size > TOGETHER_BYTES_MAX {
                self.waiting.push_front((message, size));
                break;
            }
            bytes += size;
            part.push(message);
            if part.len() == TOGETHER_MAX {
                break;
            }
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(node: &str) -> To {
        ("!r:x".to_owned(), NodeDid(node.to_owned()))
    }

    fn beat(nonce: u64) -> Message<TaskPayload> {
        Message::Heartbeat { nonce, status: Default::default() }
    }

    fn nonces(messages: &[Message<TaskPayload>]) -> Vec<u64> {
        let nonce = |message: &Message<TaskPayload>| match message {
            Message::Heartbeat { nonce, .. } => *nonce,
            other => panic!("{other:?}"),
        };
        messages.iter().map(nonce).collect()
    }

    #[test]
    fn what_comes_while_an_envelope_is_under_way_goes_into_the_next_one() {
        let mut lanes = Lanes::default();
        lanes.push(to("a"), beat(1));
        assert_eq!(nonces(&lanes.take_ready(0)[0].1), [1]);
        (2..5).for_each(|nonce| lanes.push(to("a"), beat(nonce)));
        lanes.push(to("b"), beat(9));
        let ready = lanes.take_ready(1);
        assert_eq!((ready.len(), nonces(&ready[0].1)), (1, vec![9]), "the other node does not wait");
        lanes.sent(&to("a"));
        assert_eq!(nonces(&lanes.take_ready(2)[0].1), [2, 3, 4]);
        lanes.sent(&to("a"));
        lanes.sent(&to("b"));
        assert!(lanes.0.is_empty() && lanes.take_ready(3).is_empty());
    }

    #[test]
    fn nobody_waits_for_an_envelope_without_end() {
        let mut lanes = Lanes::default();
        lanes.push(to("a"), beat(1));
        lanes.take_ready(0);
        lanes.push(to("a"), beat(2));
        assert!(lanes.take_ready(LATE_MS - 1).is_empty());
        assert_eq!(nonces(&lanes.take_ready(LATE_MS)[0].1), [2]);
    }

    #[test]
    fn an_envelope_and_a_lane_are_bounded() {
        let mut lanes = Lanes::default();
        (0..WAITING_MAX as u64 + 10).for_each(|nonce| lanes.push(to("a"), beat(nonce)));
        let size = direct::size_of(&beat(1000));
        let mut all = Vec::new();
        loop {
            let Some((_, part)) = lanes.take_ready(0).pop() else { break };
            assert!(part.len() <= TOGETHER_MAX && part.len() * size <= TOGETHER_BYTES_MAX + size);
            all.extend(nonces(&part));
            lanes.sent(&to("a"));
        }
        assert_eq!(all, (0..WAITING_MAX as u64).collect::<Vec<_>>());
    }
}
