//! Keys out of what a terminal sends. Pure; pieces may be split anywhere.
//!
//! A lone Escape looks like the beginning of every other special key. Whoever reads waits a moment when
//! [`Keys::is_open`] says so, and then calls [`Keys::close`].

/// A longer sequence is none that we know.
const SEQUENCE_MAX: usize = 32;
/// Longer texts are not pasted.
const PASTE_BYTES_MAX: usize = 64 << 10;

/// A key, or what was pasted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    /// Ctrl with a letter.
    Ctrl(char),
    Enter,
    Escape,
    Tab,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    /// Text that came from a clipboard: never commands.
    Pasted(String),
}

/// What terminals send around pasted text, after it was asked for (xterm's mode 2004).
const PASTE_BEGINS: &[u8] = b"\x1b[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// Reads keys.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    held: Vec<u8>,
    /// Inside of a pasted text.
    pasted: Option<Vec<u8>>,
}

impl Keys {
    /// The keys that are complete with these bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.held.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while self.step(&mut keys) {}
        keys
    }

    /// The beginning of a special key, or a lone Escape, is there.
    pub(crate) fn is_open(&self) -> bool {
        self.pasted.is_none() && self.held.first() == Some(&0x1b)
    }

    /// Nothing more came: it was Escape.
    pub(crate) fn close(&mut self) -> Vec<Key> {
        if !self.is_open() {
            return Vec::new();
        }
        let rest = self.held.split_off(1);
        self.held.clear();
        let mut keys = vec![Key::Escape];
        // What follows a sequence that was never finished is no command.
        if !rest.starts_with(b"[") && !rest.starts_with(b"O") {
            keys.extend(self.feed(&rest));
        }
        keys
    }

    fn step(&mut self, keys: &mut Vec<Key>) -> bool {
        if self.pasted.is_some() {
            return self.paste(keys);
        }
        if self.held.starts_with(PASTE_BEGINS) {
            self.held.drain(..PASTE_BEGINS.len());
            self.pasted = Some(Vec::new());
            return true;
        }
        let Some((used, key)) = first_key(&self.held) else { return false };
        self.held.drain(..used);
        keys.extend(key);
        true
    }

    fn paste(&mut self, keys: &mut Vec<Key>) -> bool {
        let Some(text) = &mut self.pasted else { return false };
        let end = memchr::memmem::find(&self.held, PASTE_ENDS);
        // The end itself may be split.
        let part = end.unwrap_or(self.held.len().saturating_sub(PASTE_ENDS.len() - 1));
        let room = PASTE_BYTES_MAX.saturating_sub(text.len());
        text.extend(self.held.drain(..part).take(room));
        if end.is_none() {
            return false;
        }
        self.held.drain(..PASTE_ENDS.len());
        let text = self.pasted.take().unwrap_or_default();
        keys.push(Key::Pasted(String::from_utf8_lossy(&text).into_owned()));
        true
    }
}

/// How many bytes the first key takes, and which it is; none of it: one that means nothing here.
fn first_key(bytes: &[u8]) -> Option<(usize, Option<Key>)> {
    let key = match *bytes.first()? {
        0x1b => return special(bytes),
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x7f | 0x08 => Key::Backspace,
        byte @ 1..=26 => Key::Ctrl(char::from(byte + b'a' - 1)),
        byte @ 0x20..=0x7e => Key::Char(char::from(byte)),
        byte @ 0xc2..=0xf4 => return letter(bytes, byte),
        _ => return Some((1, None)),
    };
    Some((1, Some(key)))
}

/// A character of several bytes.
fn letter(bytes: &[u8], first: u8) -> Option<(usize, Option<Key>)> {
    let length = match first {
        0xf0.. => 4,
        0xe0.. => 3,
        _ => 2,
    };
    let there = bytes.get(..length).unwrap_or(bytes);
    match std::str::from_utf8(there) {
        Ok(text) => Some((length, text.chars().next().filter(|c| !c.is_control()).map(Key::Char))),
        // Not all of it is there yet.
        Err(error) if error.error_len().is_none() && there.len() < length => None,
        Err(_) => Some((1, None)),
    }
}

/// A sequence that begins with Escape (ECMA-48 CSI, and SS3 for keys of application mode).
fn special(bytes: &[u8]) -> Option<(usize, Option<Key>)> {
    match bytes.get(1)? {
        b'[' => {}
        b'O' => return bytes.get(2).map(|last| (3, named(&[], *last))),
        0x1b => return Some((1, Some(Key::Escape))),
        // Alt with a key: nothing here.
        _ => return Some((2, None)),
    }
    let Some(end) = bytes[2..].iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
        return (bytes.len() > SEQUENCE_MAX).then_some((bytes.len(), None));
    };
    Some((end + 3, named(&bytes[2..end + 2], bytes[end + 2])))
}

fn named(parameters: &[u8], last: u8) -> Option<Key> {
    Some(match (last, parameters) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'~', b"5") => Key::PageUp,
        (b'~', b"6") => Key::PageDown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_at_whatever_byte_they_are_split() {
        let input =
            "j\x1b[A\x1bOB\x1b[6~ä\r\x7f\x03\x1b[1;5C\x1b[200~c\ry\x1b[31m\x1b[201~q\x1b[99X☃".as_bytes();
        let expected = [
            Key::Char('j'),
            Key::Up,
            Key::Down,
            Key::PageDown,
            Key::Char('ä'),
            Key::Enter,
            Key::Backspace,
            Key::Ctrl('c'),
            Key::Right,
            Key::Pasted("c\ry\x1b[31m".to_owned()),
            Key::Char('q'),
            Key::Char('☃'),
        ];
        for split in 0..=input.len() {
            let mut keys = Keys::default();
            let mut got = keys.feed(&input[..split]);
            got.extend(keys.feed(&input[split..]));
            assert_eq!(got, expected, "split at {split}");
            assert!(!keys.is_open());
        }
    }

    #[test]
    fn a_lone_escape_is_one_once_nothing_follows() {
        let mut keys = Keys::default();
        assert_eq!(keys.feed(b"\x1b"), []);
        assert!(keys.is_open());
        assert_eq!(keys.close(), [Key::Escape]);
        assert_eq!(keys.close(), []);
        // Twice, and before a letter that came with it.
        assert_eq!(keys.feed(b"\x1b\x1b"), [Key::Escape]);
        assert_eq!(keys.close(), [Key::Escape]);
        // A sequence that breaks off is no commands.
        assert_eq!(keys.feed(b"\x1b[1;"), []);
        assert_eq!(keys.close(), [Key::Escape]);
        assert_eq!(keys.feed(b"q"), [Key::Char('q')]);
    }

    #[test]
    fn rubbish_is_bounded_and_means_nothing() {
        let mut keys = Keys::default();
        assert_eq!(keys.feed(&[0xff, 0xc3, 0x28, 0x80, 0, 0x1c]), [Key::Char('(')]);
        keys.feed(b"\x1b[");
        for _ in 0..10_000 {
            assert_eq!(keys.feed(b";1"), []);
            assert!(keys.held.len() < 200);
            if keys.held.is_empty() {
                keys.feed(b"\x1b[");
            }
        }
        let mut keys = Keys::default();
        keys.feed(PASTE_BEGINS);
        for _ in 0..10_000 {
            keys.feed(&[b'x'; 100]);
        }
        assert_eq!(keys.feed(PASTE_ENDS), [Key::Pasted("x".repeat(PASTE_BYTES_MAX))]);
    }
}
