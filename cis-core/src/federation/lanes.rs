//! Messages that wait for others to one node, to go into an envelope with them.
//!
//! An envelope costs both machines, and the homeserver, much more than a message in it. What nobody's work waits for goes along
//! with what is urgent, or a moment later; and what comes while envelopes are under way goes into the next one. Pure: sends
//! nothing, and is told what time it is.

use std::collections::{BTreeMap, VecDeque};

use super::direct::{self, TOGETHER_MAX, TaskPayload};
use super::protocol::BootMs;
use super::protocol::message::Message;
use crate::ids::NodeDid;

/// Bytes of the messages in one envelope, at most. The largest one still goes into an envelope alone.
const TOGETHER_BYTES_MAX: usize = 24 << 10;

/// Messages that wait for one node; more are dropped, and repeated by those who need an answer.
const WAITING_MAX: usize = 4096;

/// Bytes of them.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// What is not urgent waits so long for something that is, ms.
const PATIENCE_MS: BootMs = 40;
/// The same of what more of its kind follow soon: results of a node at which other sessions of the run wait for their turn.
const BATCH_MS: BootMs = 100;
/// How long an answer waits for a message that is more urgent, ms. An envelope costs the homeserver as much as some MB of a file that may be on its
/// way, and often the next message says the same. Much shorter than [`super::protocol::Settings::resend_ms`], after which a node that waits for it asks again.
const ANSWER_MS: BootMs = 300;

/// Envelopes with something urgent that are under way to one node at a time.
const URGENT_UNDER_WAY_MAX: usize = 2;

/// An envelope that was not taken within this time, ms, is not waited for any longer.
const LATE_MS: BootMs = 2_000;

/// So many messages before a new one are looked at for those that it says, too.
const SUPERSEDED_MAX: usize = 256;

/// A node in a room.
pub type To = (String, NodeDid);

#[derive(Debug)]
struct Waiting {
    message: Message<TaskPayload>,
    /// Bytes of it, about.
    size: usize,
    is_urgent: bool,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
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
pub struct Ready {
    /// To whom.
    pub to: To,
    /// For [`Lanes::sent`].
    pub number: u64,
    /// In order.
    pub messages: Vec<Message<TaskPayload>>,
    /// Bytes of them, about.
    pub bytes: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Lanes {
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
        | Message::Groups { .. }
        | Message::Voters { .. }
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

/// How long a message waits for one that is urgent. A result may wait for [`Message::Noted`].
const fn patience_ms(message: &Message<TaskPayload>, can_wait: bool) -> BootMs {
    match message {
        Message::Claimed { .. } | Message::Recorded { .. } | Message::Forget { .. } => ANSWER_MS,
        _ if can_wait => BATCH_MS,
        _ => PATIENCE_MS,
    }
}

/// Whether the receiver learns nothing from a message that is followed by `next`.
fn is_superseded(message: &Message<TaskPayload>, next: &Message<TaskPayload>) -> bool {
    match (message, next) {
        // Who works on it, or has ended it, has taken it.
        (Message::Claimed { granted }, Message::Progress { granted: of, .. } | Message::Result { granted: of, .. })
        // What is forgotten needs no answers.
        | (
            Message::Noted { granted, .. } | Message::Recorded { granted, .. },
            Message::Forget { granted: of, .. },
        ) => granted == of,
        _ => false,
    }
}

impl Lanes {
    /// Puts a message into the lane of its node. `can_wait`: more of the kind follow soon.
    pub fn push(&mut self, to: To, message: Message<TaskPayload>, can_wait: bool, now: BootMs) {
        let size = direct::size_of(&message);
        let lane = self.lanes.entry(to).or_default();
        lane.leave_out_before(&message);
        if lane.waiting.len() < WAITING_MAX && lane.bytes + size <= WAITING_BYTES_MAX {
            let until = now + patience_ms(&message, can_wait);
            let is_first = lane.waiting.is_empty();
            lane.patient_until = if is_first { until } else { until.min(lane.patient_until) };
            let is_urgent = !can_wait && is_urgent(&message);
            lane.urgent += usize::from(is_urgent);
            lane.bytes += size;
            lane.waiting.push_back(Waiting { message, size, is_urgent });
        }
    }

    /// What is to be sent now, and is under way from now on.
    pub fn take_ready(&mut self, now: BootMs) -> Vec<Ready> {
        let mut ready = Vec::new();
        for (to, lane) in &mut self.lanes {
            lane.under_way.retain(|_, since| now.saturating_sub(*since) < LATE_MS);
            if lane.ready_at().is_some_and(|at| at <= now) {
                self.number += 1;
                lane.under_way.insert(self.number, now);
                let (messages, bytes) = lane.take_part(now);
                ready.push(Ready { to: to.clone(), number: self.number, messages, bytes });
            }
        }
        ready
    }

    /// Makes all waiting messages urgent: the node stops.
    pub fn make_all_urgent(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.waiting.iter_mut().for_each(|waiting| waiting.is_urgent = true);
            lane.urgent = lane.waiting.len();
        }
    }

    /// Nothing waits, and nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.values().all(|lane| lane.waiting.is_empty() && lane.under_way.is_empty())
    }

    /// When there is something to be sent that nobody waits for, at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootMs> {
        self.lanes.values().filter_map(Lane::ready_at).min()
    }

    /// The homeserver took an envelope, or will not.
    pub fn sent(&mut self, to: &To, number: u64) {
        if let Some(lane) = self.lanes.get_mut(to) {
            lane.under_way.remove(&number);
            if lane.waiting.is_empty() && lane.under_way.is_empty() {
                self.lanes.remove(to);
            }
        }
    }
}

impl Lane {
    /// Takes out what needs not be said before this message.
    fn leave_out_before(&mut self, next: &Message<TaskPayload>) {
        if !matches!(next, Message::Progress { .. } | Message::Result { .. } | Message::Forget { .. }) {
            return;
        }
        let mut at = self.waiting.len().saturating_sub(SUPERSEDED_MAX);
        while let Some(waiting) = self.waiting.get(at) {
            if !is_superseded(&waiting.message, next) {
                at += 1;
            } else if let Some(left_out) = self.waiting.remove(at) {
                self.bytes -= left_out.size;
                self.urgent -= usize::from(left_out.is_urgent);
            }
        }
    }

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

    /// The messages of one envelope, and their bytes.
    fn take_part(&mut self, now: BootMs) -> (Vec<Message<TaskPayload>>, usize) {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.waiting.pop_front() {
            if !part.is_empty() && bytes + next.size > TOGETHER_BYTES_MAX {
                self.waiting.push_front(next);
                break;
            }
            bytes += next.size;
            self.bytes -= next.size;
            self.urgent -= usize::from(next.is_urgent);
            part.push(next.message);
            if part.len() == TOGETHER_MAX {
                break;
            }
        }
        self.patient_until = now + PATIENCE_MS;
        (part, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federation::protocol::Settings;
    use crate::federation::protocol::message::Granted;
    use crate::ids::{AttemptId, RunId, TaskId};

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
        lanes.push(to("a"), beat(1), false, 0);
        lanes.push(to("a"), beat(2), false, 10);
        assert!(lanes.take_ready(PATIENCE_MS - 1).is_empty());
        assert_eq!(lanes.poll_timeout(), Some(PATIENCE_MS));
        lanes.push(to("a"), recover(1), false, 11);
        let ready = lanes.take_ready(11);
        assert_eq!(ready[0].messages, [beat(1), beat(2), recover(1)], "in order");
        lanes.sent(&to("a"), ready[0].number);
        assert!(lanes.lanes.is_empty() && lanes.poll_timeout().is_none());
        lanes.push(to("a"), beat(3), false, 20);
        assert_eq!(nonces(&lanes.take_ready(20 + PATIENCE_MS)[0].messages), [3]);
    }

    #[test]
    fn what_the_next_message_says_too_is_left_out() {
        let attempt =
            |n| AttemptId { run: RunId::from_parts(1, 1), task: TaskId::new("t").unwrap(), number: n };
        let granted = |n| Granted { attempt: attempt(n), fence: 7 };
        let mut lanes = Lanes::default();
        let mut left = |messages: &[Message<TaskPayload>]| {
            messages.iter().for_each(|message| lanes.push(to("a"), message.clone(), false, 0));
            let Ready { to, number, messages, .. } = lanes.take_ready(ANSWER_MS).remove(0);
            lanes.sent(&to, number);
            assert!(lanes.is_empty());
            messages
        };
        let claimed = |n| Message::Claimed { granted: granted(n) };
        let progress = |n| Message::Progress { granted: granted(n), first: 0, progress: Vec::new() };
        assert_eq!(left(&[claimed(1), claimed(2), progress(1)]), [claimed(2), progress(1)]);
        assert_eq!(left(&[progress(1), claimed(1)]), [progress(1), claimed(1)]);
        let recorded = |n| Message::Recorded { epoch: 1, granted: granted(n) };
        let forget = |n| Message::Forget { epoch: 1, granted: granted(n) };
        let noted = Message::Noted { epoch: 1, granted: granted(2), next: 1 };
        assert_eq!(left(&[recorded(1), noted, recorded(2), forget(2)]), [recorded(1), forget(2)]);
    }

    #[test]
    fn an_answer_waits_longer_than_news_and_goes_with_them() {
        let attempt = AttemptId { run: RunId::from_parts(1, 1), task: TaskId::new("t").unwrap(), number: 1 };
        let claimed = Message::Claimed { granted: Granted { attempt, fence: 7 } };
        let mut lanes = Lanes::default();
        lanes.push(to("a"), claimed.clone(), false, 0);
        lanes.push(to("b"), claimed.clone(), false, 0);
        lanes.push(to("b"), beat(1), false, 10);
        let ready = lanes.take_ready(ANSWER_MS - 1);
        assert_eq!(ready.len(), 1);
        assert_eq!((&ready[0].to, &*ready[0].messages), (&to("b"), &[claimed.clone(), beat(1)][..]));
        let ready = lanes.take_ready(ANSWER_MS);
        assert_eq!((ready.len(), &*ready[0].messages), (1, &[claimed][..]));
        assert!(2 * ANSWER_MS < Settings::default().resend_ms, "or it spares no repetition");
    }

    #[test]
    fn nothing_waits_before_a_stop() {
        let mut lanes = Lanes::default();
        lanes.push(to("a"), beat(1), false, 0);
        lanes.push(to("b"), recover(1), true, 0);
        lanes.make_all_urgent();
        let ready = lanes.take_ready(0);
        assert_eq!(ready.len(), 2);
        assert!(!lanes.is_empty(), "they are under way");
        ready.iter().for_each(|one| lanes.sent(&one.to, one.number));
        assert!(lanes.is_empty());
    }

    #[test]
    fn what_others_follow_waits_for_them() {
        let mut lanes = Lanes::default();
        lanes.push(to("a"), recover(1), true, 0);
        lanes.push(to("a"), recover(2), true, 50);
        assert!(lanes.take_ready(BATCH_MS - 1).is_empty());
        assert_eq!(lanes.take_ready(BATCH_MS)[0].messages, [recover(1), recover(2)]);
        lanes.sent(&to("a"), 1);
        lanes.push(to("a"), recover(3), true, 200);
        lanes.push(to("a"), beat(4), false, 210);
        assert_eq!(
            lanes.poll_timeout(),
            Some(210 + PATIENCE_MS),
            "the first that cannot wait takes it along"
        );
        lanes.push(to("a"), recover(5), false, 211);
        assert_eq!(lanes.take_ready(211)[0].messages, [recover(3), beat(4), recover(5)]);
    }

    #[test]
    fn what_comes_while_envelopes_are_under_way_goes_into_the_next_one() {
        let mut lanes = Lanes::default();
        for epoch in 1..=2 {
            lanes.push(to("a"), recover(epoch), false, 0);
            assert_eq!(lanes.take_ready(0)[0].messages, [recover(epoch)]);
        }
        (3..=4).for_each(|epoch| lanes.push(to("a"), recover(epoch), false, 0));
        lanes.push(to("b"), recover(9), false, 0);
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
        lanes.push(to("a"), recover(1), false, 0);
        let late = lanes.take_ready(0)[0].number;
        lanes.push(to("a"), beat(2), false, 0);
        assert!(lanes.take_ready(LATE_MS - 1).is_empty());
        assert_eq!(lanes.poll_timeout(), Some(LATE_MS));
        assert_eq!(nonces(&lanes.take_ready(LATE_MS)[0].messages), [2]);
        lanes.sent(&to("a"), late);
        lanes.push(to("a"), beat(3), false, LATE_MS);
        assert!(lanes.take_ready(LATE_MS + PATIENCE_MS).is_empty(), "the second one is under way still");
    }

    #[test]
    fn an_envelope_and_a_lane_are_bounded() {
        let mut lanes = Lanes::default();
        (0..WAITING_MAX as u64 + 10).for_each(|nonce| lanes.push(to("a"), beat(nonce), false, 0));
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
