//! What people typed since a prompt came: an answer would follow it, and so be another one.

use cis_core::ids::TimestampMs;
use cis_core::monitor::Verdict;

/// Keys of a terminal, as far as they matter to an answer.
#[derive(Debug, Default)]
pub(super) struct Hands {
    /// When somebody last typed.
    at_ms: Option<TimestampMs>,
    /// The prompt that stood there then.
    at: Option<u32>,
    /// Characters that a terminal still keeps, as their line is not ended.
    kept: usize,
}

impl Hands {
    /// Somebody typed these. `lines`: the terminal collects lines.
    pub(super) fn typed(&mut self, bytes: &[u8], lines: bool, prompt: Option<u32>, now: TimestampMs) {
        self.at_ms = Some(now);
        self.at = prompt;
        self.kept = bytes.iter().fold(if lines { self.kept } else { 0 }, kept);
        if !lines {
            self.kept = 0;
        }
    }

    /// Whether somebody typed at that time or later.
    pub(super) fn typed_since(&self, at_ms: TimestampMs) -> bool {
        self.at_ms.is_some_and(|typed_ms| typed_ms >= at_ms)
    }

    /// Whether what was typed would stand before an answer to this prompt.
    pub(super) fn are_at(&self, verdict: &Verdict, lines: bool) -> bool {
        let since = self.at_ms.is_some_and(|at| at > verdict.since_ms);
        self.at == Some(verdict.episode) || since || (lines && self.kept > 0)
    }
}

/// So much of a line is kept after one more byte.
fn kept(before: usize, byte: &u8) -> usize {
    match byte {
        // The line's end: Enter, Ctrl+C, Ctrl+D; Ctrl+U empties it.
        b'\r' | b'\n' | 0x03 | 0x04 | 0x15 => 0,
        0x08 | 0x7f => before.saturating_sub(1),
        // A character counts with its first byte.
        byte => before + usize::from(byte & 0xc0 != 0x80),
    }
}

/// What was typed without what terminals send by themselves: that they came to the front, or left it.
pub(super) fn pressed(bytes: &[u8]) -> Vec<u8> {
    let mut rest = bytes;
    let mut keys = Vec::with_capacity(bytes.len());
    while let Some((first, others)) = rest.split_first() {
        match rest {
            [0x1b, b'[', b'I' | b'O', after @ ..] => rest = after,
            _ => {
                keys.push(*first);
                rest = others;
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::event::{Layer, PromptKind};

    fn prompt(episode: u32, since_ms: TimestampMs) -> Verdict {
        Verdict {
            episode,
            since_ms,
            kind: PromptKind::Question,
            layer: Layer::Kernel,
            confidence: 90,
            hash: String::new(),
            question: String::new(),
            options: Vec::new(),
            waited_ms: 0,
            at_shell: false,
        }
    }

    #[test]
    fn what_was_typed_at_a_prompt_stands_before_an_answer_to_it() {
        let mut hands = Hands::default();
        assert!(!hands.are_at(&prompt(1, 0), true));
        hands.typed(b"y\r", true, Some(1), 50);
        assert!(hands.are_at(&prompt(1, 0), true));
        assert!(!hands.are_at(&prompt(2, 60), true), "the next prompt came after it");
        // It stood there, and was not known to be a prompt yet.
        hands.typed(b"y", false, None, 100);
        assert!(hands.are_at(&prompt(3, 90), false));
        assert!(!hands.are_at(&prompt(3, 110), false));
    }

    #[test]
    fn a_line_that_is_not_ended_stands_before_whatever_is_asked_next() {
        let mut hands = Hands::default();
        hands.typed("né".as_bytes(), true, None, 10);
        assert!(hands.are_at(&prompt(2, 20), true));
        assert!(!hands.are_at(&prompt(2, 20), false), "where keys are taken as they come none is kept");
        hands.typed(b"\x7f\x7f\x7f", true, None, 11);
        assert!(!hands.are_at(&prompt(2, 20), true));
        hands.typed(b"no\x15", true, None, 12);
        assert!(!hands.are_at(&prompt(2, 20), true));
        hands.typed(b"q", false, None, 13);
        assert!(!hands.are_at(&prompt(2, 20), true), "a program took it");
    }

    #[test]
    fn a_terminal_that_comes_to_the_front_is_nobody_who_types() {
        assert_eq!(pressed(b"\x1b[I"), b"");
        assert_eq!(pressed(b"a\x1b[Ob\x1bOA"), b"ab\x1bOA");
    }
}
