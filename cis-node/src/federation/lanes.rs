//! Messages that wait for others to one node, to go into an envelope with them.
//!
//! An envelope costs both machines, and the homeserver, much more than a message in it. What nobody's work waits for goes along
//! with what is urgent, or a moment later; and what comes while envelopes are under way goes into the next one. Pure: sends
//! nothing, and is told what time it is.

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

/// Bytes of them.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// What is not urgent waits so long for something that is, ms.
const PATIENCE_MS: BootMs = 40;

/// Envelopes with something urgent that are under way to one node at a time.
const URGENT_UNDER_WAY_MAX: usize = 2;

/// An envelope that was not taken within this time, ms, is not waited for any longer.
const LATE_MS: BootMs = 2_000;

/// A node in a room.
pub(super) type To = (String, NodeDid);

#[derive(Debug, Default)]
struct Lane {
    /// With their bytes, about.
    waiting: VecDeque<(Message<TaskPayload>, usize)>,
    /// So many of them are urgent.
    urgent: usize,
    /// When those that are not go even so.
    patient_until: BootMs,
    /// Envelopes under way, by their numbers, and since when.
    under_way: BTreeMap<u64, BootMs>,
    bytes: usize,
}

/// An envelope that is to be sent now.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) to: To,
    /// For [`Lanes::sent`].
    pub(super) number: u64,
    pub(super) messages: Vec<Message<TaskPayload>>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<To, Lane>,
    number: u64,
}

/// Whether somebody's work waits for a message. Others tell how things are, and go along.
const fn is_urgent(message: &Message<TaskPayload>) -> bool {
    match message {
        Message::Grant { .. }
        | Message::Cancel { .. }
        | Message::Recover { .. }
        | Message::Holding { .. }
        | Message::Refused { .. }
        | Message::Unknown { .. }
        | Message::Result { .. } => true,
        Message::Heartbeat { .. }
        | Message::Alive {}
        | Message::Renew { .. }
        | Message::Noted { .. }
        | Message::Recorded { .. }
        | Message::Forget { .. }
        | Message::Claimed { .. }
        | Message::Progress { .. } => false,
    }
}

impl Lanes {
    pub(super) fn push(&mut self, to: To, message: Message<TaskPayload>, now: BootMs) {
        let size = direct::size_of(&message);
        let lane = self.lanes.entry(to).or_default();
        if lane.waiting.len() < WAITING_MAX && lane.bytes + size <= WAITING_BYTES_MAX {
            if lane.waiting.is_empty() {
                lane.patient_until = now + PATIENCE_MS;
            }
            lane.urgent += usize::from(is_urgent(&message));
            lane.bytes += size;
            lane.waiting.push_back((message, size));
        }
    }

    /// What is to be sent now, and is under way from now on.
    pub(super) fn take_ready(&mut self, now: BootMs) -> Vec<Ready> {
        let mut ready = Vec::new();
        for (to, lane) in &mut self.lanes {
            lane.under_way.retain(|_, since| now.saturating_sub(*since) < LATE_MS);
            if lane.ready_at().is_some_and(|at| at <= now) {
                self.number += 1;
                lane.under_way.insert(self.number, now);
                ready.push(Ready { to: to.clone(), number: self.number, messages: lane.take_part(now) });
            }
        }
        ready
    }

    /// When there is something to be sent that nobody waits for, at the latest.
    pub(super) fn poll_timeout(&self) -> Option<BootMs> {
        self.lanes.values().filter_map(Lane::ready_at).min()
    }

    /// The homeserver took an envelope, or will not.
    pub(super) fn sent(&mut self, to: &To, number: u64) {
        if let Some(lane) = self.lanes.get_mut(to) {
            lane.under_way.remove(&number);
            if lane.waiting.is_empty() && lane.under_way.is_empty() {
                self.lanes.remove(to);
            }
        }
    }
}

impl Lane {
    /// When the next envelope can go; none: nothing waits, or others are under way.
    fn ready_at(&self) -> Option<BootMs> {
        let late = self.under_way.values().min().map(|since| since + LATE_MS);
        match (self.urgent, self.under_way.len()) {
            _ if self.waiting.is_empty() => None,
            (1.., 0..URGENT_UNDER_WAY_MAX) => Some(BootMs::MIN),
            (0, 0) => Some(self.patient_until),
            _ => late,
        }
    }

    /// The messages of one envelope.
    fn take_part(&mut self, now: BootMs) -> Vec<Message<TaskPayload>> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some((message, size)) = self.waiting.pop_front() {
            if !part.is_empty() && bytes + size > TOGETHER_BYTES_MAX {
                self.waiting.push_front((message, size));
                break;
            }
            bytes += size;
            self.bytes -= size;
            self.urgent -= usize::from(is_urgent(&message));
            part.push(message);
            if part.len() == TOGETHER_MAX {
                break;
            }
        }
        self.patient_until = now + PATIENCE_MS;
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::ids::RunId;

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

    fn recover(epoch: u32) -> Message<TaskPayload> {
        Message::Recover { run: RunId::from_parts(1, 1), epoch }
    }

    #[test]
    fn what_is_not_urgent_waits_for_what_is() {
        let mut lanes = Lanes::default();
        lanes.push(to("a"), beat(1), 0);
        lanes.push(to("a"), beat(2), 10);
        assert!(lanes.take_ready(PATIENCE_MS - 1).is_empty());
        assert_eq!(lanes.poll_timeout(), Some(PATIENCE_MS));
        lanes.push(to("a"), recover(1), 11);
        let ready = lanes.take_ready(11);
        assert_eq!(ready[0].messages, [beat(1), beat(2), recover(1)], "in order");
        lanes.sent(&to("a"), ready[0].number);
        assert!(lanes.lanes.is_empty() && lanes.poll_timeout().is_none());
        lanes.push(to("a"), beat(3), 20);
        assert_eq!(nonces(&lanes.take_ready(20 + PATIENCE_MS)[0].messages), [3]);
    }

    #[test]
    fn what_comes_while_envelopes_are_under_way_goes_into_the_next_one() {
        let mut lanes = Lanes::default();
        for epoch in 1..=2 {
            lanes.push(to("a"), recover(epoch), 0);
            assert_eq!(lanes.take_ready(0)[0].messages, [recover(epoch)]);
        }
        (3..=4).for_each(|epoch| lanes.push(to("a"), recover(epoch), 0));
        lanes.push(to("b"), recover(9), 0);
        let ready = lanes.take_ready(1);
        assert_eq!(
            (ready.len(), &ready[0].messages[..]),
            (1, &[recover(9)][..]),
            "the other node does not wait"
        );
        lanes.sent(&to("a"), 1);
        assert_eq!(lanes.take_ready(2)[0].messages, [recover(3), recover(4)]);
    }

    #[test]
    fn nobody_waits_for_an_envelope_without_end() {
        let mut lanes = Lanes::default();
        lanes.push(to("a"), recover(1), 0);
        let late = lanes.take_ready(0)[0].number;
        lanes.push(to("a"), beat(2), 0);
        assert!(lanes.take_ready(LATE_MS - 1).is_empty());
        assert_eq!(lanes.poll_timeout(), Some(LATE_MS));
        assert_eq!(nonces(&lanes.take_ready(LATE_MS)[0].messages), [2]);
        lanes.sent(&to("a"), late);
        lanes.push(to("a"), beat(3), LATE_MS);
        assert!(lanes.take_ready(LATE_MS + PATIENCE_MS).is_empty(), "the second one is under way still");
    }

    #[test]
    fn an_envelope_and_a_lane_are_bounded() {
        let mut lanes = Lanes::default();
        (0..WAITING_MAX as u64 + 10).for_each(|nonce| lanes.push(to("a"), beat(nonce), 0));
        let size = direct::size_of(&beat(1000));
        let (mut all, mut now) = (Vec::new(), 0);
        loop {
            now += PATIENCE_MS;
            let Some(Ready { messages: part, number, .. }) = lanes.take_ready(now).pop() else { break };
            assert!(part.len() <= TOGETHER_MAX && part.len() * size <= TOGETHER_BYTES_MAX + size);
            all.extend(nonces(&part));
            lanes.sent(&to("a"), number);
        }
        assert_eq!(all, (0..WAITING_MAX as u64).collect::<Vec<_>>());
    }
}
