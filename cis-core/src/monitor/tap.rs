//! What a program says to its terminal beside text: found in its bytes before the emulator gets them.
//!
//! Owns the recognition of titles, notifications, marks of shells, status reports, bells and of pastes in
//! brackets. It makes
//! no difference how the stream is cut into pieces. Memory is bounded: a string that is too long is
//! left out. Nothing found is trusted: it is text of the program, made clean.
//!
//! Sources: xterm's `ctlseqs` (OSC 0, 2), ConEmu and iTerm2 (9), rxvt-unicode (777), kitty (99),
//! FinalTerm (133), and the program status protocol (7501).

use super::clean;
use super::evidence::Signal;

/// A string that is longer is left out, bytes.
const STRING_BYTES_MAX: usize = 4096;
/// A title or notification is cut after so many characters.
const TEXT_CHARS_MAX: usize = 300;
/// Parameters of a sequence that are longer are left out, bytes.
const PARAMETERS_BYTES_MAX: usize = 32;
/// A word of a status report is cut after so many characters.
const WORD_CHARS_MAX: usize = 40;

const BEL: u8 = 0x07;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;
/// ST as one byte; in UTF-8 it is C2 9C.
const ST: u8 = 0x9c;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// ESC outside of strings.
    Escape,
    /// In the parameters of a CSI sequence.
    Csi,
    /// In an OSC string.
    Osc,
    /// In a string that is nothing to us: DCS, SOS, PM, APC.
    Other,
    /// ESC in a string: `\` ends it, all else begins anew.
    StringEscape,
}

/// Replaces secrets in a text of the program.
pub(crate) type Hide<'a> = &'a dyn Fn(&str) -> String;

/// Finds signals in a stream of bytes.
#[derive(Debug, Clone, Default)]
pub struct Tap {
    state: State,
    /// The string that [`State::StringEscape`] may end is an OSC.
    osc: bool,
    /// What an OSC string, or the parameters of a sequence, hold so far.
    held: Vec<u8>,
    /// It is too long: what is held is left out at its end.
    overflow: bool,
    /// So many bytes of a UTF-8 character are still to come in a string.
    continuation: u8,
    /// The character began with C2: with 9C it is ST.
    after_c2: bool,
}

impl Tap {
    /// Takes the next bytes and appends what is found. `hide` gets texts before they are cut: a part of a secret would not be known.
    pub fn feed(&mut self, bytes: &[u8], hide: Hide<'_>, found: &mut Vec<Signal>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.state == State::Ground {
                let Some(next) = memchr::memchr2(ESC, BEL, rest) else { return };
                if rest[next] == BEL {
                    found.push(Signal::Bell);
                } else {
                    self.state = State::Escape;
                }
                rest = &rest[next + 1..];
            } else {
                self.step(rest[0], hide, found);
                rest = &rest[1..];
            }
        }
    }

    fn step(&mut self, byte: u8, hide: Hide<'_>, found: &mut Vec<Signal>) {
        match self.state {
            State::Ground => {}
            State::Escape => self.escape(byte, found),
            State::Csi => self.sequence(byte, found),
            State::Osc | State::Other => self.string(byte, hide, found),
            State::StringEscape => {
                if self.osc {
                    // Without its backslash too: terminals carry a string out when ESC comes.
                    self.end(hide, found);
                }
                self.state = State::Ground;
                if byte != b'\\' {
                    self.escape(byte, found);
                }
            }
        }
    }

    fn escape(&mut self, byte: u8, found: &mut Vec<Signal>) {
        self.state = match byte {
            b']' => {
                self.begin();
                State::Osc
            }
            b'[' => {
                self.begin();
                State::Csi
            }
            b'P' | b'X' | b'^' | b'_' => {
                self.begin();
                State::Other
            }
            ESC => State::Escape,
            BEL => {
                found.push(Signal::Bell);
                State::Escape
            }
            // Other controls are carried out in the midst of a sequence; it goes on after them.
            0x00..=0x17 | 0x19 | 0x1c..=0x1f => State::Escape,
            _ => State::Ground,
        };
    }

    fn sequence(&mut self, byte: u8, found: &mut Vec<Signal>) {
        match byte {
            ESC => self.state = State::Escape,
            CAN | SUB => self.state = State::Ground,
            BEL => found.push(Signal::Bell),
            // Other controls are carried out in its midst.
            0x00..=0x1f => {}
            0x20..=0x3f if self.held.len() < PARAMETERS_BYTES_MAX => self.held.push(byte),
            0x20..=0x3f => self.overflow = true,
            _ => {
                if !self.overflow {
                    found.extend(mode(&self.held, byte));
                }
                self.held.clear();
                self.state = State::Ground;
            }
        }
    }

    fn begin(&mut self) {
        self.held.clear();
        self.overflow = false;
        self.continuation = 0;
        self.after_c2 = false;
    }

    fn string(&mut self, byte: u8, hide: Hide<'_>, found: &mut Vec<Signal>) {
        let osc = self.state == State::Osc;
        let inside = self.continuation > 0 && (0x80..0xc0).contains(&byte);
        let ends = match byte {
            BEL => osc,
            ST => !inside || self.after_c2,
            _ => false,
        };
        if ends {
            if self.after_c2 && inside {
                self.held.pop();
            }
            if osc {
                self.end(hide, found);
            }
            self.state = State::Ground;
            return;
        }
        match byte {
            ESC => {
                self.osc = osc;
                self.state = State::StringEscape;
            }
            CAN | SUB => self.state = State::Ground,
            _ => {
                self.character(byte, inside);
                if osc {
                    self.hold(byte);
                }
            }
        }
    }

    /// Follows where characters of UTF-8 begin and end.
    fn character(&mut self, byte: u8, inside: bool) {
        self.after_c2 = byte == 0xc2;
        self.continuation = match byte {
            _ if inside => self.continuation - 1,
            0xc2..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf4 => 3,
            _ => 0,
        };
    }

    fn hold(&mut self, byte: u8) {
        if self.held.len() < STRING_BYTES_MAX {
            self.held.push(byte);
        } else {
            self.overflow = true;
        }
    }

    fn end(&mut self, hide: Hide<'_>, found: &mut Vec<Signal>) {
        if !self.overflow {
            found.extend(osc(&self.held, hide));
        }
        self.held.clear();
        self.overflow = false;
    }
}

/// The meaning of a CSI sequence: of the modes that it sets or resets, one is told.
fn mode(parameters: &[u8], end: u8) -> Option<Signal> {
    let modes = parameters.strip_prefix(b"?").filter(|_| matches!(end, b'h' | b'l'))?;
    let brackets = modes.split(|byte| *byte == b';').any(|mode| mode == b"2004");
    brackets.then_some(Signal::PasteBrackets { on: end == b'h' })
}

/// The meaning of an OSC string.
fn osc(string: &[u8], hide: Hide<'_>) -> Option<Signal> {
    let (number, rest) = split(string, b';');
    match number {
        b"0" | b"2" => Some(Signal::Title { text: text_of(rest, TEXT_CHARS_MAX, hide) }),
        b"9" => notification(rest, hide),
        b"777" => match split(rest, b';') {
            (b"notify", text) => said(text, hide),
            _ => None,
        },
        b"99" => kitty(rest, hide),
        b"133" => shell(rest),
        b"7501" => status(rest, hide),
        _ => None,
    }
}

/// OSC 9: a notification, but for ConEmu's `9 ; number ; …`: progress and the like.
fn notification(text: &[u8], hide: Hide<'_>) -> Option<Signal> {
    let (first, rest) = split(text, b';');
    let numbered = !first.is_empty() && first.iter().all(u8::is_ascii_digit) && first.len() < text.len();
    if numbered && !rest.is_empty() { None } else { said(text, hide) }
}

/// OSC 99: `metadata ; payload`, where `e=1` is base64 and `p` says what it carries.
fn kitty(rest: &[u8], hide: Hide<'_>) -> Option<Signal> {
    let (metadata, payload) = split(rest, b';');
    let mut encoded = false;
    for pair in metadata.split(|byte| *byte == b':') {
        match split(pair, b'=') {
            (b"e", b"1") => encoded = true,
            (b"p", b"title" | b"body") => {}
            (b"p", _) => return None,
            _ => {}
        }
    }
    if encoded { said(&base64(payload)?, hide) } else { said(payload, hide) }
}

fn said(text: &[u8], hide: Hide<'_>) -> Option<Signal> {
    let text = text_of(text, TEXT_CHARS_MAX, hide);
    (!text.is_empty()).then_some(Signal::Notification { text })
}

/// One line of text without secrets, cut.
fn text_of(bytes: &[u8], chars: usize, hide: Hide<'_>) -> String {
    clean::line(hide(&String::from_utf8_lossy(bytes)).as_bytes(), chars)
}

fn shell(rest: &[u8]) -> Option<Signal> {
    let (mark, rest) = split(rest, b';');
    let [mark @ (b'A' | b'B' | b'C' | b'D')] = mark else { return None };
    let (code, _) = split(rest, b';');
    let code = std::str::from_utf8(code).ok().and_then(|code| code.parse().ok());
    Some(Signal::Shell { mark: char::from(*mark), code: code.filter(|_| *mark == b'D') })
}

/// OSC 7501: `?`, or pairs with colons or semicolons between them.
fn status(rest: &[u8], hide: Hide<'_>) -> Option<Signal> {
    if rest == b"?" {
        return Some(Signal::StatusQuery);
    }
    let word = |value: &[u8]| Some(text_of(value, WORD_CHARS_MAX, hide)).filter(|word| !word.is_empty());
    let (mut state, mut app, mut kind, mut message) = (None, None, None, None);
    for pair in rest.split(|byte| matches!(byte, b':' | b';')) {
        match split(pair, b'=') {
            (b"state", value) => state = word(value),
            (b"app", value) => app = word(value),
            (b"kind", value) => kind = word(value),
            (b"msg", value) => message = base64(value).map(|bytes| text_of(&bytes, TEXT_CHARS_MAX, hide)),
            _ => {}
        }
    }
    Some(Signal::Status { state: state?, app, kind, message: message.filter(|text| !text.is_empty()) })
}

/// What stands before the first `at` and what after it.
fn split(bytes: &[u8], at: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(at, bytes) {
        Some(place) => (&bytes[..place], &bytes[place + 1..]),
        None => (bytes, &[]),
    }
}

/// Base64 of either alphabet, padded or not; none, where it is something else.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.iter().take_while(|byte| **byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests;
