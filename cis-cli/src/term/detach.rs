//! Finds the keys that detach among what is typed.
//!
//! A program may have switched the terminal to one of the newer keyboard protocols, in which Ctrl-\
//! arrives as `CSI 92 ; 5 u` (kitty's) or `CSI 27 ; 5 ; 92 ~` (xterm's modifyOtherKeys): those count as well.
//! The first key twice sends it once.

use cis_node::config::detach_keys;

use crate::error::CliError;

/// What to do with typed bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    /// For the session.
    pub(crate) forward: Vec<u8>,
    /// The keys were typed.
    pub(crate) detach: bool,
}

/// Looks for a sequence of keys.
#[derive(Debug)]
pub(crate) struct Detach {
    keys: Vec<u8>,
    /// How many of them were typed.
    matched: usize,
    /// Those, as they were typed.
    held: Vec<u8>,
}

/// One key in the input.
struct Key<'a> {
    /// The byte it stands for, where it is one of ASCII.
    byte: Option<u8>,
    /// As typed.
    raw: &'a [u8],
    /// It was let go, not pressed.
    released: bool,
}

impl Detach {
    /// A sequence given by the names of its keys; each must be a character or Ctrl with one.
    pub(crate) fn new(names: &str) -> Result<Self, CliError> {
        let keys = detach_keys(names)
            .map_err(|why| CliError::bad_input(format!("invalid detach keys `{names}`: they {why}")))?;
        Ok(Self { keys, matched: 0, held: Vec::new() })
    }

    /// Takes what was typed at once.
    pub(crate) fn take(&mut self, mut input: &[u8]) -> Typed {
        let mut forward = Vec::with_capacity(input.len() + self.held.len());
        while let Some(key) = next_key(input) {
            input = &input[key.raw.len()..];
            if self.matched > 0 && key.released {
                // Letting go of the first key says nothing.
                continue;
            }
            let wanted = self.keys[self.matched];
            if key.byte == Some(wanted) && !key.released {
                self.matched += 1;
                self.held.extend_from_slice(key.raw);
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    self.held.clear();
                    return Typed { forward, detach: true };
                }
                continue;
            }
            let again = self.matched == 1 && key.byte == Some(self.keys[0]);
            forward.append(&mut self.held);
            self.matched = 0;
            if !again {
                forward.extend_from_slice(key.raw);
            }
        }
        Typed { forward, detach: false }
    }
}

/// Whether Ctrl-C was typed, in whichever keyboard protocol the terminal is.
pub(crate) fn has_ctrl_c(mut input: &[u8]) -> bool {
    const CTRL_C: u8 = 3;
    while let Some(key) = next_key(input) {
        if key.byte == Some(CTRL_C) && !key.released {
            return true;
        }
        input = &input[key.raw.len()..];
    }
    false
}

fn next_key(input: &[u8]) -> Option<Key<'_>> {
    let first = *input.first()?;
    let plain = Key { byte: first.is_ascii().then_some(first), raw: &input[..1], released: false };
    let Some(parameters) = input.strip_prefix(b"\x1b[") else { return Some(plain) };
    let length = parameters.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':'));
    let Some((length, last)) = length.map(|length| (length, parameters[length])) else { return Some(plain) };
    let raw = &input[..length + 3];
    let Ok(text) = std::str::from_utf8(&parameters[..length]) else { return Some(plain) };
    let mut fields = text.split(';');
    let (code, modifiers) = match last {
        b'u' => (fields.next(), fields.next()),
        b'~' if fields.next() == Some("27") => {
            let modifiers = fields.next();
            (fields.next(), modifiers)
        }
        // Another sequence: its bytes one by one, none of which is a key of ours.
        _ => return Some(Key { byte: None, raw, released: false }),
    };
    let number = |field: Option<&str>| field?.split(':').next()?.parse::<u32>().ok();
    let event = modifiers.and_then(|field| field.split(':').nth(1));
    let (code, modifiers) = (number(code), number(modifiers).unwrap_or(1).saturating_sub(1));
    // Shift 1, Alt 2, Ctrl 4; the locks (64 and 128) do not count.
    let byte = code.and_then(|code| u8::try_from(code).ok()).filter(u8::is_ascii);
    let byte = match (byte, modifiers & 0x3f) {
        (Some(byte), 0) => Some(byte),
        (Some(byte @ b'@'..=b'~'), 4) => Some(byte & 0x1f),
        _ => None,
    };
    Some(Key { byte, raw, released: event == Some("3") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_all(chunks: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut detach = Detach::new("C-\\ d").unwrap();
        let mut forward = Vec::new();
        for chunk in chunks {
            let mut typed = detach.take(chunk);
            forward.append(&mut typed.forward);
            if typed.detach {
                return (forward, true);
            }
        }
        (forward, false)
    }

    #[test]
    fn the_keys_detach_whatever_the_keyboard_protocol() {
        assert_eq!(type_all(&[b"ls\x1cd"]), (b"ls".to_vec(), true));
        assert_eq!(type_all(&[b"\x1c", b"d"]), (vec![], true));
        assert_eq!(type_all(&[b"\x1b[92;5u", b"\x1b[92;5:3u", b"d"]), (vec![], true));
        assert_eq!(type_all(&[b"\x1b[92;69u\x1b[100u"]), (vec![], true), "with Caps Lock");
        assert_eq!(type_all(&[b"\x1b[27;5;92~d"]), (vec![], true));
    }

    #[test]
    fn ctrl_c_is_found_whatever_the_keyboard_protocol() {
        for typed in [&b"ls\x03"[..], b"\x1b[99;5u", b"\x1b[A\x1b[99;69u", b"\x1b[27;5;99~", b"\x1b[99;5:1u"]
        {
            assert!(has_ctrl_c(typed), "{typed:?}");
        }
        for typed in [&b"c"[..], b"\x1b[99;5:3u", b"\x1b[99;1u", b"\x1b[27;5;92~", b"\x1b[3~", b"\x1b[99;5"] {
            assert!(!has_ctrl_c(typed), "{typed:?}");
        }
    }

    #[test]
    fn everything_else_goes_through_as_it_was_typed() {
        for input in
            [&b"\x1b"[..], b"\x1b[A\x1bOP", b"d", b"\x1b[92;5", "grüße".as_bytes(), b"\x1b[200~d\x1b[201~"]
        {
            assert_eq!(type_all(&[input]), (input.to_vec(), false), "{input:?}");
        }
        assert_eq!(type_all(&[b"\x1cx"]), (b"\x1cx".to_vec(), false));
        assert_eq!(type_all(&[b"\x1b[92;5ux"]), (b"\x1b[92;5ux".to_vec(), false));
        assert_eq!(type_all(&[b"\x1c\x1c", b"d"]), (b"\x1cd".to_vec(), false), "twice sends it once");
        assert_eq!(type_all(&[b"\x1c"]), (vec![], false), "held until the next key");
    }

    #[test]
    fn keys_without_one_byte_cannot_be_looked_for() {
        for bad in ["Up", "ä", "", "M-d", "a b c d e f g h i"] {
            assert!(Detach::new(bad).is_err(), "{bad}");
        }
        assert!(Detach::new("C-b d").is_ok());
    }
}
