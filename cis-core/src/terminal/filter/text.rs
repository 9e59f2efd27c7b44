//! Text between escape sequences: valid UTF-8 without control characters, except the allowed ones.

use super::allow::is_control;

/// A character that was cut off by the end of a chunk.
#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    open: [u8; 4],
    length: usize,
}

impl Text {
    /// Whether no character is open.
    pub(super) fn is_settled(&self) -> bool {
        self.length == 0
    }

    /// Adds the allowed part of bytes that belong to no sequence to `out`. An incomplete character is kept for the next call.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while self.length > 0 && !rest.is_empty() {
            rest = self.complete(rest, out);
        }
        // One pass without branches: nearly all output is such text.
        if rest.iter().fold(true, |all, byte| all & is_plain(*byte)) {
            out.extend_from_slice(rest);
            return;
        }
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    clean(valid.as_bytes(), out);
                    return;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    clean(valid, out);
                    let Some(length) = error.error_len() else {
                        self.open[..after.len()].copy_from_slice(after);
                        self.length = after.len();
                        return;
                    };
                    replace(&after[..length], out);
                    rest = &after[length..];
                }
            }
        }
    }

    /// Ends the text: a sequence follows, so an open character stays incomplete.
    pub(super) fn cut(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.length) > 0 {
            replace(&[], out);
        }
    }

    /// Adds one byte to the open character, if the byte continues it. Returns the remaining bytes.
    fn complete<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let Some((next, after)) = bytes.split_first() else { return bytes };
        self.open[self.length] = *next;
        let character = &self.open[..=self.length];
        match std::str::from_utf8(character) {
            Ok(_) => clean(character, out),
            Err(error) if error.error_len().is_none() => {
                self.length += 1;
                return after;
            }
            // The new byte does not belong to the open character.
            Err(_) => {
                self.cut(out);
                return bytes;
            }
        }
        self.length = 0;
        after
    }
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7E) | is_control(byte)
}

/// Adds valid text without control characters that may not pass. These include C1 controls (U+0080 to U+009F), which some
/// terminals read as `ESC` sequences and the model ignores.
fn clean(text: &[u8], out: &mut Vec<u8>) {
    // The byte C2 begins all C1 controls and few other characters.
    if text.iter().fold(true, |all, byte| all & (is_plain(*byte) | (*byte >= 0x80 && *byte != 0xC2))) {
        out.extend_from_slice(text);
        return;
    }
    let mut from = 0;
    for (at, byte) in text.iter().enumerate() {
        let length = match byte {
            0xC2 if matches!(text.get(at + 1), Some(0x80..=0x9F)) => 2,
            0x00..=0x1F | 0x7F if !is_control(*byte) => 1,
            _ => continue,
        };
        out.extend_from_slice(&text[from..at]);
        from = at + length;
    }
    out.extend_from_slice(&text[from..]);
}

/// Adds the replacement character for invalid bytes. C1 controls of one byte are dropped, because the model
/// ignores them.
fn replace(invalid: &[u8], out: &mut Vec<u8>) {
    if !matches!(invalid, [0x80..=0x9F]) {
        out.extend_from_slice(char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]).as_bytes());
    }
}
