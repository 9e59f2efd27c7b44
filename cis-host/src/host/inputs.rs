//! Input that waits for a program to read it, and the ids of what was taken before.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::protocol::INPUT_BYTES_MAX;
use cis_core::ids::InputId;

/// So many ids of a session are remembered, the oldest forgotten first.
const IDS_MAX: usize = 4096;

/// An input that is typed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) input: InputId,
    /// It is typed only while there is no more than this.
    pub(super) only_at: Option<Judged>,
}

/// What an answer was judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) output_bytes: u64,
    /// None: whoever typed does not matter.
    pub(super) input_bytes: Option<u64>,
}

/// Input of one session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inputs {
    waiting: VecDeque<u8>,
    /// Id to the output there was when it was taken.
    taken: HashMap<InputId, u64>,
    order: VecDeque<InputId>,
    /// Bytes that came for the session, whatever became of them.
    pub(super) came: u64,
    /// Characters that somebody typed and the terminal keeps, as their line is not ended.
    #[serde(default)]
    kept: usize,
    /// The terminal may keep some that it sent by itself.
    #[serde(default)]
    reported: bool,
    /// End of file after what waits.
    pub(super) close: bool,
    /// epoll tells when more can be written.
    #[serde(skip)]
    pub(super) polled: bool,
}

impl Inputs {
    /// The output there was when this id was taken, where it was.
    pub(super) fn taken_at(&self, id: InputId) -> Option<u64> {
        self.taken.get(&id).copied()
    }

    pub(super) fn remember(&mut self, id: InputId, output_bytes: u64) {
        if self.order.len() >= IDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.taken.remove(&oldest);
        }
        self.taken.insert(id, output_bytes);
        self.order.push_back(id);
    }

    /// Whether so much more may wait.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.waiting.len() + bytes <= INPUT_BYTES_MAX
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// These are to be written. `lines`: the terminal collects lines.
    pub(super) fn push(&mut self, data: &[u8], lines: bool) {
        if lines {
            self.reported &= !data.iter().any(ends_line);
            self.kept = data.iter().fold(self.kept, kept);
        }
        self.waiting.extend(data);
    }

    /// These are to be written. Nobody typed them.
    pub(super) fn push_report(&mut self, data: &[u8], lines: bool) {
        self.reported |= lines;
        self.waiting.extend(data);
    }

    /// The terminal keeps the beginning of a line that somebody typed.
    pub(super) fn has_begun_line(&self) -> bool {
        self.kept > 0
    }

    /// The terminal may keep the beginning of a line, typed or not, and nothing waits here.
    pub(super) fn is_in_line(&self) -> bool {
        (self.kept > 0 || self.reported) && self.waiting.is_empty()
    }

    /// A program has read all of that, and not as a line.
    pub(super) fn were_read(&mut self) {
        (self.kept, self.reported) = (0, false);
    }

    /// Makes what is written next a line of its own: it comes behind the key that removes a line (`kill`) if nobody typed what may stand
    /// there. In an empty line that key does nothing, and programs do not see it. False where the terminal has no such key.
    pub(super) fn remove_reports(&mut self, kill: Option<u8>) -> bool {
        if !self.reported || self.kept > 0 {
            return true;
        }
        self.reported = kill.is_none();
        self.waiting.extend(kill);
        kill.is_some()
    }

    /// What is to be written next.
    pub(super) fn front(&self) -> &[u8] {
        self.waiting.as_slices().0
    }

    pub(super) fn written(&mut self, bytes: usize) {
        self.waiting.drain(..bytes);
        if self.waiting.is_empty() {
            self.waiting.shrink_to(4096);
        }
    }

    /// Nobody will read it.
    pub(super) fn discard(&mut self) {
        self.waiting = VecDeque::new();
    }
}

/// Enter, Ctrl+C, Ctrl+D, Ctrl+Z, Ctrl+\; Ctrl+U empties the line.
fn ends_line(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0x03 | 0x04 | 0x15 | 0x1a | 0x1c)
}

/// So much of a line is kept after one more byte.
fn kept(before: usize, byte: &u8) -> usize {
    match byte {
        byte if ends_line(byte) => 0,
        0x08 | 0x7f => before.saturating_sub(1),
        // A character counts with its first byte.
        byte => before + usize::from(byte & 0xc0 != 0x80),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_ended_is_kept() {
        let mut inputs = Inputs::default();
        for (typed, lines, begun) in [
            ("né", true, true),
            ("\x7f\x7f\x7f", true, false),
            ("no\x15", true, false),
            ("q", false, false),
            ("y\r", true, false),
            ("y", true, true),
            ("\x03", true, false),
        ] {
            inputs.push(typed.as_bytes(), lines);
            assert_eq!(inputs.has_begun_line(), begun, "{typed:?}");
        }
    }

    #[test]
    fn a_begun_line_stays_one_until_it_was_read_key_by_key() {
        let mut inputs = Inputs::default();
        inputs.push(b"no", true);
        inputs.push(b"q", false);
        assert!(inputs.has_begun_line() && !inputs.is_in_line(), "it waits to be written");
        inputs.written(3);
        assert!(inputs.is_in_line());
        inputs.were_read();
        assert!(!inputs.has_begun_line() && !inputs.is_in_line());
    }

    /// What is written for an answer `y` after this; none: it may not be.
    fn answered(mut inputs: Inputs, kill: Option<u8>) -> Option<Vec<u8>> {
        inputs.written(inputs.waiting());
        let is_alone = inputs.remove_reports(kill);
        inputs.push(b"y\r", true);
        assert!(inputs.remove_reports(None), "the line is ended");
        is_alone.then(|| inputs.waiting.into())
    }

    #[test]
    fn only_what_nobody_typed_is_removed_before_an_answer() {
        let mut inputs = Inputs::default();
        assert_eq!(answered(inputs.clone(), None).unwrap(), b"y\r");
        inputs.push_report(b"\x1b[I", false);
        assert_eq!(answered(inputs.clone(), None).unwrap(), b"y\r", "that program takes keys");
        inputs.push_report(b"\x1b[0n", true);
        assert!(!inputs.has_begun_line());
        assert_eq!(answered(inputs.clone(), Some(0x15)).unwrap(), b"\x15y\r");
        assert_eq!(answered(inputs.clone(), None), None);
        inputs.push(b"no", true);
        assert!(inputs.has_begun_line());
        assert_eq!(answered(inputs.clone(), Some(0x15)).unwrap(), b"y\r");
        inputs.push(b"\r", true);
        assert!(!inputs.has_begun_line());
        assert_eq!(answered(inputs, None).unwrap(), b"y\r");
    }

    #[test]
    fn ids_are_remembered_up_to_a_bound_the_oldest_going_first() {
        let mut inputs = Inputs::default();
        let id = |n: usize| InputId::from_parts(1, n as u128);
        for n in 0..=IDS_MAX {
            inputs.remember(id(n), n as u64);
        }
        assert_eq!(inputs.taken_at(id(0)), None);
        assert_eq!(inputs.taken_at(id(1)), Some(1));
        assert_eq!(inputs.taken_at(id(IDS_MAX)), Some(IDS_MAX as u64));
    }

    #[test]
    fn no_more_waits_than_the_protocol_says() {
        let mut inputs = Inputs::default();
        inputs.push(&vec![0; INPUT_BYTES_MAX - 1], false);
        assert!(inputs.has_room(1));
        assert!(!inputs.has_room(2));
        inputs.written(10);
        assert!(inputs.has_room(11));
    }
}
