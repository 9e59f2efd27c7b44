//! Keeps a session's output on our screen: takes out what would switch the caller's terminal to its
//! main screen or reset it, and says that the screen has to be painted again.
//!
//! The session's two screens live in the node; the caller's terminal shows whichever is current on one.
//! Everything else passes untouched and without delay, but for the bytes of an unfinished escape sequence.

/// A sequence that is longer than this is no switch: it passes.
const HELD_MAX: usize = 64;

/// The filter. Sequences may be split at any byte.
#[derive(Debug, Default)]
pub(crate) struct ScreenSwitches {
    /// An escape sequence that is not complete.
    held: Vec<u8>,
}

enum Parsed {
    /// It needs more bytes.
    Incomplete,
    /// No sequence that concerns us, of this length.
    Other(usize),
    /// A mode sequence `CSI ? … h|l` of this length.
    Modes(usize),
    /// RIS, `ESC c`.
    Reset,
}

impl ScreenSwitches {
    /// Adds to `out` what may be shown of `input`; whether the screen was switched.
    pub(crate) fn pass(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        let joined;
        let mut rest = if self.held.is_empty() {
            input
        } else {
            self.held.extend_from_slice(input);
            joined = std::mem::take(&mut self.held);
            joined.as_slice()
        };
        let mut switched = false;
        while let Some(start) = rest.iter().position(|byte| *byte == 0x1b) {
            out.extend_from_slice(&rest[..start]);
            rest = &rest[start..];
            let length = match parse(rest) {
                Parsed::Incomplete if rest.len() <= HELD_MAX => {
                    self.held = rest.to_vec();
                    return switched;
                }
                Parsed::Incomplete => rest.len(),
                Parsed::Other(length) => length,
                Parsed::Modes(length) => {
                    switched |= modes(&rest[..length], out);
                    rest = &rest[length..];
                    continue;
                }
                Parsed::Reset => {
                    // Soft reset (DECSTR), colours, and an empty screen instead.
                    out.extend_from_slice(b"\x1b[!p\x1b[0m\x1b[H\x1b[2J");
                    switched = true;
                    rest = &rest[2..];
                    continue;
                }
            };
            out.extend_from_slice(&rest[..length]);
            rest = &rest[length..];
        }
        out.extend_from_slice(rest);
        switched
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
        Some(_) => Parsed::Other(1),
    }
}

/// Writes the sequence without the modes of screens (xterm: 47, 1047, 1049); whether there were any.
fn modes(sequence: &[u8], out: &mut Vec<u8>) -> bool {
    let (numbers, last) = (&sequence[3..sequence.len() - 1], sequence[sequence.len() - 1]);
    let is_screen = |mode: &&[u8]| matches!(*mode, b"47" | b"1047" | b"1049");
    let all = || numbers.split(|byte| *byte == b';');
    if !all().any(|mode| is_screen(&mode)) {
        out.extend_from_slice(sequence);
        return false;
    }
    let kept: Vec<&[u8]> = all().filter(|mode| !is_screen(mode)).collect();
    if !kept.is_empty() {
        out.extend_from_slice(b"\x1b[?");
        out.extend_from_slice(&kept.join(&b';'));
        out.push(last);
    }
    out.extend_from_slice(b"\x1b[H\x1b[2J");
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pass(chunks: &[&[u8]]) -> (Vec<u8>, bool) {
        let (mut filter, mut out, mut switched) = (ScreenSwitches::default(), Vec::new(), false);
        for chunk in chunks {
            switched |= filter.pass(chunk, &mut out);
        }
        (out, switched)
    }

    #[test]
    fn switches_are_taken_out_at_whatever_byte_they_are_split() {
        let input = b"a\x1b[?1049hb\x1b[?1;47;25lc\x1bcd";
        let expected = b"a\x1b[H\x1b[2Jb\x1b[?1;25l\x1b[H\x1b[2Jc\x1b[!p\x1b[0m\x1b[H\x1b[2Jd";
        for split in 0..input.len() {
            let (out, switched) = pass(&[&input[..split], &input[split..]]);
            assert_eq!((out.as_slice(), switched), (&expected[..], true), "split at {split}");
        }
    }

    #[test]
    fn everything_else_passes() {
        let input = b"\x1b[?25l\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[?2004h\x1bM\x1b[?6c";
        assert_eq!(pass(&[input]), (input.to_vec(), false));
    }

    proptest! {
        #[test]
        fn no_split_changes_what_comes_out(input in "(\x1b|\\[|\\?|1049|47|;|h|l|c|x){0,40}", at in 0usize..80) {
            let input = input.as_bytes();
            let at = at.min(input.len());
            prop_assert_eq!(pass(&[input, b"."]), pass(&[&input[..at], &input[at..], b"."]));
        }
    }
}
