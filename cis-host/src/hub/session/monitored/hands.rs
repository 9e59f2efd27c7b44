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

/// Whether a person pressed something. Terminals also send sequences by themselves: that they came to the front or left it, and
/// each movement of the mouse, and each button that is released.
pub(in crate::hub::session) fn is_pressed(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return false,
            [0x1b, b'[', b'I' | b'O', after @ ..] => after,
            [0x1b, b'[', b'M', button, _column, _row, after @ ..] if !is_button(button.wrapping_sub(32)) => {
                after
            }
            [0x1b, b'[', b'<', report @ ..] => match after_mouse(report) {
                Some(after) => after,
                None => return true,
            },
            _ => return true,
        };
    }
}

/// What follows a report of the mouse (xterm's mode 1006, `BUTTON;COLUMN;ROW` and `M` or `m`); none if it says that a button was pressed,
/// or if it is no such report.
fn after_mouse(report: &[u8]) -> Option<&[u8]> {
    let end = report.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';'))?;
    let (numbers, [last, after @ ..]) = report.split_at(end) else { return None };
    let button = numbers.split(|byte| *byte == b';').next()?;
    let button: u8 = str::from_utf8(button).ok()?.parse().ok()?;
    let is_quiet = match last {
        b'm' => true,
        b'M' => !is_button(button),
        _ => false,
    };
    is_quiet.then_some(after)
}

/// A button that goes down, or the wheel: neither a movement (32), nor a release (3).
fn is_button(button: u8) -> bool {
    button & 32 == 0 && button & (64 | 128 | 3) != 3
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
        assert!(!is_pressed(b"\x1b[I"));
        assert!(!is_pressed(b""));
        assert!(is_pressed(b"\x1b[Ob"));
        assert!(is_pressed(b"\x1bOA"));
        assert!(is_pressed(b"\x1b"));
    }

    #[test]
    fn a_mouse_that_only_moves_presses_nothing() {
        for quiet in ["\x1b[<35;10;4M", "\x1b[<0;10;4m", "\x1b[<35;1;1M\x1b[<39;2;1M\x1b[I", "\x1b[MC!!"] {
            assert!(!is_pressed(quiet.as_bytes()), "{quiet:?}");
        }
        for pressed in
            ["\x1b[<0;10;4M", "\x1b[<35;1;1My", "\x1b[M !!", "\x1b[<0;1", "\x1b[<999;1;1M", "\x1b[M"]
        {
            assert!(is_pressed(pressed.as_bytes()), "{pressed:?}");
        }
    }
}
