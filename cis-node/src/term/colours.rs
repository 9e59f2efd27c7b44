//! Lets text, colours, tabs and line breaks of a log through to a terminal, and nothing else: a log
//! that is shown later must not move the cursor, ask the terminal questions or change its title.

/// A longer sequence is no colour.
const SEQUENCE_MAX: usize = 64;

/// The filter. Sequences may be split at any byte.
#[derive(Debug, Default)]
pub(crate) struct Colours {
    state: State,
    sequence: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and intermediate bytes: one more follows.
    Charset,
    /// After `ESC [`.
    Csi,
    /// In a string (OSC, DCS, SOS, PM, APC) up to BEL or ST.
    String,
    /// In a string, after ESC.
    StringEscape,
}

impl Colours {
    /// Adds to `out` what may be shown of `input`.
    pub(crate) fn pass(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for &byte in input {
            self.state = self.step(byte, out);
        }
    }

    /// The grammar of ECMA-48, section 5.
    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match (self.state, byte) {
            (State::String, 0x07) => State::Text,
            (State::String, 0x1b) => State::StringEscape,
            (State::String, _) => State::String,
            (State::StringEscape, b'\\') => State::Text,
            (_, 0x1b) => {
                self.sequence.clear();
                self.sequence.push(byte);
                State::Escape
            }
            (State::Text, 0x20..=0x7e | 0x80.. | b'\n' | b'\t' | b'\r') => {
                out.push(byte);
                State::Text
            }
            (State::Text, _) => State::Text,
            (State::Escape | State::StringEscape, b'[') => {
                self.sequence.truncate(1);
                self.sequence.push(byte);
                State::Csi
            }
            (State::Escape | State::StringEscape, b']' | b'P' | b'X' | b'^' | b'_') => State::String,
            (State::Escape | State::StringEscape | State::Charset, 0x20..=0x2f) => State::Charset,
            (State::Escape | State::StringEscape | State::Charset, _) => State::Text,
            (State::Csi, b'm') => {
                if self.sequence.iter().skip(2).all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')) {
                    out.extend_from_slice(&self.sequence);
                    out.push(b'm');
                }
                State::Text
            }
            (State::Csi, 0x40..=0x7e) => State::Text,
            (State::Csi, _) if self.sequence.len() >= SEQUENCE_MAX => State::Text,
            (State::Csi, _) => {
                self.sequence.push(byte);
                State::Csi
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_and_commands_go_at_whatever_byte_they_are_split() {
        let input = "\x1b[1;31mred\x1b[0m\tä\r\n\x1b[2J\x1b]0;title\x07\x1b[6n\x1bP+q\x1b\\a\x1b(Bb\x07\x1b[?25l\x1b[>4;1mc\x1b]8;;x\x1b\\d"
            .as_bytes();
        let expected = "\x1b[1;31mred\x1b[0m\tä\r\nabcd".as_bytes();
        for split in 0..input.len() {
            let (mut filter, mut out) = (Colours::default(), Vec::new());
            filter.pass(&input[..split], &mut out);
            filter.pass(&input[split..], &mut out);
            assert_eq!(out, expected, "split at {split}");
        }
    }
}
