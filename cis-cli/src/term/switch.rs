//! Keeps a session's output on our screen: takes out what would switch the caller's terminal to its
//! main screen or reset it, and says when the screen has to be painted again because of that.
//!
//! A session has two screens (xterm's primary and alternate one), which live in the node; the caller's
//! terminal shows whichever is current on one. Everything else passes untouched and without delay, but for the bytes of
//! an unfinished escape sequence.

/// A sequence that is longer than this is no switch: it passes.
const HELD_MAX: usize = 64;
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";
/// Instead of RIS: soft reset (DECSTR), colours, line wrap, an empty screen.
const RESET: &[u8] = b"\x1b[!p\x1b[0m\x1b[?7h\x1b[H\x1b[2J";

/// The filter. Sequences may be split at any byte.
#[derive(Debug, Default)]
pub(crate) struct ScreenSwitches {
    /// An escape sequence that is not complete.
    held: Vec<u8>,
    /// The session shows its alternate screen.
    alternate: bool,
    /// Output that belongs together is under way (mode 2026): a picture may switch back and forth in it.
    together: bool,
    /// What the session shows now is not what stands on our screen.
    stale: bool,
    /// The session changed the terminal's colours.
    pub(crate) coloured: bool,
}

enum Parsed {
    /// It needs more bytes.
    Incomplete,
    /// No sequence that concerns us; so many bytes of it pass.
    Other(usize),
    /// A mode sequence `CSI ? … h|l` of this length.
    Modes(usize),
    /// RIS, `ESC c`.
    Reset,
    /// OSC 4, 10, 11 or 12; so many bytes of it pass.
    Colour(usize),
}

impl ScreenSwitches {
    /// Adds to `out` what may be shown of `input`; whether the screen has to be painted again now.
    pub(crate) fn pass(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        let joined;
        let mut rest = if self.held.is_empty() {
            input
        } else {
            self.held.extend_from_slice(input);
            joined = std::mem::take(&mut self.held);
            joined.as_slice()
        };
        while let Some(start) = memchr::memchr(0x1b, rest) {
            out.extend_from_slice(&rest[..start]);
            rest = &rest[start..];
            let length = match parse(rest) {
                Parsed::Incomplete if rest.len() <= HELD_MAX => {
                    self.held = rest.to_vec();
                    return self.repaint();
                }
                Parsed::Incomplete => rest.len(),
                Parsed::Other(length) => length,
                Parsed::Colour(length) => {
                    self.coloured = true;
                    length
                }
                Parsed::Modes(length) => {
                    self.modes(&rest[..length], out);
                    rest = &rest[length..];
                    continue;
                }
                Parsed::Reset => {
                    out.extend_from_slice(RESET);
                    (self.alternate, self.together, self.stale) = (false, false, false);
                    rest = &rest[2..];
                    continue;
                }
            };
            out.extend_from_slice(&rest[..length]);
            rest = &rest[length..];
        }
        out.extend_from_slice(rest);
        self.repaint()
    }

    fn repaint(&mut self) -> bool {
        !self.together && std::mem::take(&mut self.stale)
    }

    /// Writes the sequence without the modes that switch screens.
    fn modes(&mut self, sequence: &[u8], out: &mut Vec<u8>) {
        let (numbers, last) = (&sequence[3..sequence.len() - 1], sequence[sequence.len() - 1]);
        let on = last == b'h';
        let mut kept = Vec::new();
        let mut clear = false;
        for mode in numbers.split(|byte| *byte == b';') {
            match mode {
                b"47" | b"1047" | b"1049" => {
                    if self.alternate != on {
                        self.alternate = on;
                        clear = true;
                        // xterm clears the alternate screen on the way to it by 1049 only.
                        self.stale = !(on && mode == b"1049");
                    }
                    continue;
                }
                b"2026" => self.together = on,
                _ => {}
            }
            kept.push(mode);
        }
        if !kept.is_empty() {
            out.extend_from_slice(b"\x1b[?");
            out.extend_from_slice(&kept.join(&b';'));
            out.push(last);
        }
        if clear {
            out.extend_from_slice(CLEAR);
        }
    }
}

fn parse(text: &[u8]) -> Parsed {
    match text.get(1) {
        None => Parsed::Incomplete,
        Some(b'c') => Parsed::Reset,
        Some(b'[') => match text.get(2) {
            None => Parsed::Incomplete,
            Some(b'?') => {
                let end = text[3..].iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';'));
                match end.map(|end| (end + 4, text[end + 3])) {
                    None => Parsed::Incomplete,
                    Some((length, b'h' | b'l')) => Parsed::Modes(length),
                    Some(_) => Parsed::Other(3),
                }
            }
            Some(_) => Parsed::Other(2),
        },
        Some(b']') => {
            let number = text[2..].iter().take(3).position(|byte| !byte.is_ascii_digit());
            match number.map(|end| &text[2..end + 2]) {
                None if text.len() < 5 => Parsed::Incomplete,
                Some(b"4" | b"10" | b"11" | b"12") => Parsed::Colour(2),
                Some(_) | None => Parsed::Other(2),
            }
        }
        Some(_) => Parsed::Other(1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pass(chunks: &[&[u8]]) -> (Vec<u8>, bool) {
        let (mut filter, mut out, mut repaint) = (ScreenSwitches::default(), Vec::new(), false);
        for chunk in chunks {
            repaint |= filter.pass(chunk, &mut out);
        }
        (out, repaint)
    }

    #[test]
    fn switches_are_taken_out_at_whatever_byte_they_are_split() {
        let input = b"a\x1b[?1049hb\x1b[?1;47;25lc\x1bcd";
        let expected = b"a\x1b[H\x1b[2Jb\x1b[?1;25l\x1b[H\x1b[2Jc\x1b[!p\x1b[0m\x1b[?7h\x1b[H\x1b[2Jd";
        for split in 0..input.len() {
            let (out, _) = pass(&[&input[..split], &input[split..]]);
            assert_eq!(out, expected, "split at {split}");
        }
    }

    #[test]
    fn leaving_the_alternate_screen_asks_for_the_other_one() {
        assert!(!pass(&[b"\x1b[?1049h"]).1, "it begins empty");
        assert!(pass(&[b"\x1b[?1049h\x1b[?1049l"]).1);
        assert!(pass(&[b"\x1b[?47h"]).1, "this one keeps what it showed");
        assert!(!pass(&[b"\x1b[?1049l\x1b[H"]).1, "there is nothing to leave");
        assert!(!pass(&[b"\x1b[?1049h", b"\x1bc"]).1, "a reset screen is empty");
    }

    #[test]
    fn a_picture_that_switches_back_and_forth_is_not_asked_for_again() {
        // As a node paints a session that shows its alternate screen.
        let mut filter = ScreenSwitches::default();
        for piece in [&b"\x1b[?2026h\x1b[?1049l\x1b[H\x1b[2Jprimary"[..], b"\x1b[?1049halternate\x1b[?2026l"]
        {
            for _ in 0..2 {
                assert!(!filter.pass(piece, &mut Vec::new()));
            }
        }
        assert!(filter.pass(b"\x1b[?1049l", &mut Vec::new()));
        assert!(!filter.pass(b"\x1b[?2026h\x1b[?1049l\x1b[Hprimary\x1b[?2026l", &mut Vec::new()));
    }

    #[test]
    fn everything_else_passes() {
        let input = b"\x1b[?25l\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[?2004h\x1bM\x1b[?6c\x1b]8;;x\x07";
        assert_eq!(pass(&[input]), (input.to_vec(), false));
    }

    #[test]
    fn changed_colours_are_noticed() {
        let coloured = |text: &[u8]| {
            let mut filter = ScreenSwitches::default();
            filter.pass(text, &mut Vec::new());
            filter.coloured
        };
        assert!(coloured(b"\x1b]11;#000\x07") && coloured(b"\x1b]4;1;red\x07"));
        assert!(
            !coloured(b"\x1b]0;4;\x07") && !coloured(b"\x1b]52;c;x\x07") && !coloured(b"\x1b]1337;x\x07")
        );
    }

    proptest! {
        #[test]
        fn no_split_changes_what_comes_out(input in "(\x1b|\\[|\\?|\\]|1049|47|2026|;|h|l|c|x){0,40}", at in 0usize..80) {
            let input = input.as_bytes();
            let at = at.min(input.len());
            prop_assert_eq!(pass(&[input, b"."]).0, pass(&[&input[..at], &input[at..], b"."]).0);
        }
    }
}
