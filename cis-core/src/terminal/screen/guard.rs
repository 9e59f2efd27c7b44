//! What stands before the emulator: cuts endless strings and repetitions, and remembers how the
//! stream stands between two chunks.

use crate::terminal::filter::lexer::{Kind, Lexer, Now};
use crate::terminal::filter::{REPEAT_MAX, csi_first_param};

/// More of a string (title, link …) is not given to the emulator, which keeps it whole in memory, bytes.
const STRING_BYTES_MAX: usize = 64 << 10;
/// So much of an open sequence is remembered, bytes.
const UNFINISHED_BYTES_MAX: usize = 4096;

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// For the emulator.
    Bytes(&'a [u8]),
    /// OSC 7501 with `?`: does this terminal understand reports of a program's status?
    StatusQuery,
}

#[derive(Debug, Default)]
pub(super) struct Guard {
    lexer: Lexer,
    /// The open sequence; outside of sequences: the bytes of a character that is not complete.
    unfinished: Vec<u8>,
    /// Length of the open sequence, bytes.
    length: usize,
}

impl Guard {
    pub(super) fn unfinished(&self) -> &[u8] {
        &self.unfinished
    }

    /// Gives `sink` what the emulator may see of `bytes`, in as few pieces as can be, and in their place the
    /// queries that the emulator does not know.
    pub(super) fn run(&mut self, bytes: &[u8], mut sink: impl FnMut(Piece<'_>)) {
        let (mut sent, mut at, mut text_from) = (0, 0, 0);
        while at < bytes.len() {
            if self.lexer.is_ground() {
                match memchr::memchr(0x1B, &bytes[at..]) {
                    Some(plain) => at += plain,
                    None => break,
                }
            }
            let byte = bytes[at];
            let step = self.lexer.step(byte);
            if step.fresh > 0 {
                self.begin(if step.fresh == 2 { &[0x1B] } else { &[] });
            }
            self.remember(byte);
            match step.now {
                Now::More if self.length > STRING_BYTES_MAX && self.in_string() => {
                    sink(Piece::Bytes(&bytes[sent..at]));
                    sent = at + 1;
                }
                Now::End(Kind::Osc) if is_status_query(&self.unfinished) => {
                    sink(Piece::Bytes(&bytes[sent..=at]));
                    sink(Piece::StatusQuery);
                    sent = at + 1;
                }
                Now::End(Kind::Csi) if byte == b'b' && self.repeats_too_often() => {
                    // CAN in place of the last byte: the sequence is forgotten.
                    sink(Piece::Bytes(&bytes[sent..at]));
                    sink(Piece::Bytes(format!("\x18\x1b[{REPEAT_MAX}b").as_bytes()));
                    sent = at + 1;
                }
                _ => {}
            }
            at += 1;
            if self.lexer.is_ground() {
                self.begin(&[]);
                text_from = at;
            }
        }
        sink(Piece::Bytes(&bytes[sent..]));
        if self.lexer.is_ground() {
            self.remember_character(&bytes[text_from..]);
        }
    }

    fn in_string(&self) -> bool {
        !matches!(self.lexer.kind(), None | Some(Kind::Esc | Kind::Csi))
    }

    fn begin(&mut self, with: &[u8]) {
        self.unfinished.clear();
        if self.unfinished.capacity() > 256 {
            self.unfinished = Vec::new();
        }
        self.unfinished.extend_from_slice(with);
        self.length = with.len();
    }

    fn remember(&mut self, byte: u8) {
        self.length += 1;
        if self.unfinished.len() < UNFINISHED_BYTES_MAX {
            self.unfinished.push(byte);
        }
    }

    fn repeats_too_often(&self) -> bool {
        self.length > UNFINISHED_BYTES_MAX || csi_first_param(&self.unfinished) > REPEAT_MAX
    }

    /// Keeps the end of `text` where it is the beginning of a character.
    fn remember_character(&mut self, text: &[u8]) {
        let mut end = std::mem::take(&mut self.unfinished);
        end.extend_from_slice(&text[text.len().saturating_sub(3)..]);
        let keep = open_character(&end);
        end.drain(..end.len() - keep);
        self.unfinished = end;
        self.length = 0;
    }
}

/// `ESC ] 7501 ; ?`, ended in either way.
fn is_status_query(sequence: &[u8]) -> bool {
    let query = sequence.strip_prefix(b"\x1b]7501;");
    query.is_some_and(|query| matches!(query, b"?\x07" | b"?\x1b\\"))
}

/// So many bytes at the end are the beginning of a UTF-8 character that is not complete.
fn open_character(bytes: &[u8]) -> usize {
    for (length, byte) in (1..=3).zip(bytes.iter().rev()) {
        let whole = match byte {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => return 0,
        };
        return if whole > length { length } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(guard: &mut Guard, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        guard.run(bytes, |piece| match piece {
            Piece::Bytes(safe) => out.extend_from_slice(safe),
            Piece::StatusQuery => out.extend_from_slice(b"<query>"),
        });
        out
    }

    #[test]
    fn strings_and_repetitions_are_cut_and_the_rest_is_exact() {
        let mut guard = Guard::default();
        let title = [b"\x1b]2;".as_slice(), &[b'x'; 100_000], b"\x07after"].concat();
        let out = run(&mut guard, &title);
        assert_eq!(out.len(), STRING_BYTES_MAX + 1 + 5);
        assert!(out.ends_with(b"xx\x07after"));
        assert_eq!(run(&mut guard, b"a\x1b[9b"), b"a\x1b[9b");
        assert_eq!(run(&mut guard, b"a\x1b[65535b"), b"a\x1b[65535\x18\x1b[4096b");
        let zeros = [b"\x1b[".as_slice(), &[b'0'; 5000], b"65535b"].concat();
        assert!(run(&mut guard, &zeros).ends_with(b"\x18\x1b[4096b"));
    }

    #[test]
    fn a_query_of_the_status_is_told_in_its_place_however_it_is_cut() {
        let stream = b"a\x1b]7501;?\x07b\x1b]7501;?\x1b\\c\x1b]7501;state=idle\x07\x1b]7501;?x\x07";
        let want =
            b"a\x1b]7501;?\x07<query>b\x1b]7501;?\x1b\\<query>c\x1b]7501;state=idle\x07\x1b]7501;?x\x07";
        for cut in 0..stream.len() {
            let mut guard = Guard::default();
            let mut out = run(&mut guard, &stream[..cut]);
            out.extend(run(&mut guard, &stream[cut..]));
            assert_eq!(out.escape_ascii().to_string(), want.escape_ascii().to_string(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_complete_is_remembered() {
        let mut guard = Guard::default();
        for (bytes, open) in [
            (b"text".as_slice(), b"".as_slice()),
            (b"a\x1b[3", b"\x1b[3"),
            (b"1;", b"\x1b[31;"),
            (b"1mx\xe6\xbc", b"\xe6\xbc"),
            (b"\xa2", b""),
            (b"\xf0", b"\xf0"),
            (b"\x9f", b"\xf0\x9f"),
            (b"\x98", b"\xf0\x9f\x98"),
            (b"\x80\x1b]0;t\x1b", b"\x1b]0;t\x1b"),
            (b"[", b"\x1b["),
            (b"m\xff", b""),
        ] {
            run(&mut guard, bytes);
            assert_eq!(guard.unfinished(), open, "{}", bytes.escape_ascii());
        }
    }
}
