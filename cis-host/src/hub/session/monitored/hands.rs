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
}

impl Hands {
    /// Somebody typed.
    pub(super) fn typed(&mut self, prompt: Option<u32>, now: TimestampMs) {
        self.at_ms = Some(now);
        self.at = prompt;
    }

    /// Whether somebody typed at that time or later.
    pub(super) fn typed_since(&self, at_ms: TimestampMs) -> bool {
        self.at_ms.is_some_and(|typed_ms| typed_ms >= at_ms)
    }

    /// Whether what was typed would stand before an answer to this prompt.
    pub(super) fn are_at(&self, verdict: &Verdict) -> bool {
        let since = self.at_ms.is_some_and(|at| at > verdict.since_ms);
        self.at == Some(verdict.episode) || since
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
        assert!(!hands.are_at(&prompt(1, 0)));
        hands.typed(Some(1), 50);
        assert!(hands.are_at(&prompt(1, 0)));
        assert!(!hands.are_at(&prompt(2, 60)), "the next prompt came after it");
        // It stood there, and was not known to be a prompt yet.
        hands.typed(None, 100);
        assert!(hands.are_at(&prompt(3, 90)));
        assert!(!hands.are_at(&prompt(3, 110)));
    }

    #[test]
    fn a_terminal_that_comes_to_the_front_is_nobody_who_types() {
        assert_eq!(pressed(b"\x1b[I"), b"");
        assert_eq!(pressed(b"a\x1b[Ob\x1bOA"), b"ab\x1bOA");
    }
}
