//! Output of a session as a viewer gets it: filtered for its terminal, then without secrets.
//!
//! Secrets are looked for in what the viewer's terminal shows. So sequences are filtered first, and those that pass and neither
//! write text nor move the cursor do not separate adjacent characters, nor do characters without a width. Where a
//! stream is cut into chunks makes no difference, except for [`Sanitizer::flush_idle`].

use std::sync::Arc;

use super::filter::{Scope, ViewerFilter};
use crate::policy::redact::{ChangingStream, Mask, Redactor, invisible_at};

/// Where output is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// In no terminal: all bytes.
    #[default]
    Bytes,
    /// On the terminal of a viewer who is attached.
    Screen,
    /// On a terminal, as a log: text, its line ends and its styles.
    Colors,
    /// As text, with LF at the end of each line.
    Text,
}

/// The filters of one stream of output.
#[derive(Debug)]
pub struct Sanitizer {
    filter: Option<ViewerFilter>,
    lines: Option<Lines>,
    redact: ChangingStream,
}

impl Sanitizer {
    /// Returns one for a stream at its beginning.
    #[must_use]
    pub fn new(form: Form, redactor: Arc<Redactor>, mask: Mask) -> Self {
        let scope = match form {
            Form::Bytes => None,
            Form::Screen => Some(Scope::Screen),
            Form::Colors => Some(Scope::Colors),
            Form::Text => Some(Scope::Text),
        };
        let lines = (form == Form::Text).then(Lines::default);
        Self { filter: scope.map(ViewerFilter::new), lines, redact: ChangingStream::new(redactor, mask) }
    }

    /// Takes bytes that come before those that are shown.
    pub fn prime(&mut self, before: &[u8]) {
        let Some(filtered) = self.filtered(before) else { return self.redact.prime(before) };
        for (piece, is_visible) in pieces(&filtered) {
            if is_visible {
                self.redact.prime(piece);
            }
        }
    }

    /// Takes bytes. Appends those that can be shown to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(filtered) = self.filtered(bytes) else { return self.redact.push_into(bytes, out) };
        if self.redact.redactor().is_empty() {
            out.extend_from_slice(&filtered);
            return;
        }
        for (piece, is_visible) in pieces(&filtered) {
            if is_visible {
                self.redact.push_into(piece, out);
            } else if piece.starts_with(b"\x1b]") {
                // Titles and links are text of their own.
                let hidden = self.redact.redactor().redact(&String::from_utf8_lossy(piece));
                self.redact.carry(hidden.as_bytes(), out);
            } else {
                self.redact.carry(piece, out);
            }
        }
    }

    fn filtered(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let filtered = self.filter.as_mut()?.push(bytes);
        Some(match &mut self.lines {
            Some(lines) => lines.convert(&filtered),
            None => filtered,
        })
    }

    /// Changes which values are hidden, see [`ChangingStream::change`].
    pub fn change(&mut self, redactor: &Arc<Redactor>, out: &mut Vec<u8>) {
        self.redact.change(redactor, out);
    }

    /// Its present redactor.
    #[must_use]
    pub fn redactor(&self) -> &Arc<Redactor> {
        self.redact.redactor()
    }

    /// For a person who waits for an echo, see [`ChangingStream::flush_idle`].
    pub fn flush_idle(&mut self, most: u64, out: &mut Vec<u8>) {
        self.redact.flush_idle(most, out);
    }

    /// Releases what was held back: the stream ends, or what comes next does not follow directly.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.redact.finish(out);
        self.filter = self.filter.take().map(|filter| ViewerFilter::new(filter.scope()));
        self.lines = self.lines.take().map(|_| Lines::default());
    }

    /// Whether nothing is held back, and no sequence, character or line end is open.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.held() == 0
            && self.filter.as_ref().is_none_or(ViewerFilter::is_settled)
            && self.lines.as_ref().is_none_or(|lines| !lines.after_cr)
    }

    /// Number of bytes held back because a secret may begin with them. For [`Form::Bytes`] they are the last ones taken.
    #[must_use]
    pub fn held(&self) -> usize {
        self.redact.held()
    }
}

/// Line ends of a terminal become those of a text.
#[derive(Debug, Default)]
struct Lines {
    after_cr: bool,
}

impl Lines {
    fn convert(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            // A terminal's line ends are CR LF; a lone CR is a progress bar's next state.
            match (self.after_cr, byte) {
                (_, b'\r') => {}
                (false, _) | (true, b'\n') => out.push(byte),
                (true, _) => out.extend_from_slice(&[b'\n', byte]),
            }
            self.after_cr = byte == b'\r';
        }
        out
    }
}

/// Splits filtered bytes at what neither shows text nor moves the cursor: styles, modes, erasing, character sets, strings, and
/// characters without a width. Sequences that may move the cursor or change the screen (restoring the cursor, modes) count as
/// hidden too: that can only hide too much.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let hidden = hidden_at(rest);
        let (length, is_visible) = if hidden > 0 {
            (hidden, false)
        } else {
            let mut end = rest.len().min(1);
            while end < rest.len() && hidden_at(&rest[end..]) == 0 {
                end += 1;
            }
            (end, true)
        };
        let (piece, after) = rest.split_at(length);
        rest = after;
        (length > 0).then_some((piece, is_visible))
    })
}

/// Returns the length of the hidden piece with which `bytes` begin; 0: they do not.
fn hidden_at(bytes: &[u8]) -> usize {
    match bytes {
        [0x07 | 0x0E | 0x0F, ..] => 1,
        [0x1B, b'7' | b'8' | b'=' | b'>' | b'H', ..] => 2,
        [0x1B, b'[', parameters @ ..] => {
            let length = parameters.iter().position(|byte| !matches!(byte, 0x20..=0x3F)).unwrap_or(0);
            match parameters.get(length) {
                Some(
                    b'@' | b'J' | b'K' | b'P' | b'W' | b'X' | b'g' | b'h' | b'l' | b'm' | b'q' | b's' | b't'
                    | b'u',
                ) => length + 3,
                _ => 0,
            }
        }
        [0x1B, b']', string @ ..] => {
            let end = string.iter().position(|byte| matches!(byte, 0x07 | 0x1B));
            end.map_or(0, |at| if string[at] == 0x07 { at + 3 } else { (at + 4).min(bytes.len()) })
        }
        [0x1B, b'('..=b'+', _, ..] => 3,
        [0x80..=0xFF, ..] => invisible_at(bytes),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::split_at;

    fn shown(form: Form, secret: &str, chunks: &[&[u8]]) -> String {
        let redactor = Arc::new(Redactor::new([secret.to_owned()]).unwrap());
        let mut sanitizer = Sanitizer::new(form, redactor, Mask::Stars);
        let mut out = Vec::new();
        chunks.iter().for_each(|chunk| sanitizer.push(chunk, &mut out));
        sanitizer.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_is_found_where_a_terminal_shows_it_whole() {
        for between in [
            "\x1b[K",
            "\x1b[1;31m",
            "\x1b[38:5:1m",
            "\x1b]0;title\x07",
            "\x1b(B\x1b[m",
            "\0",
            "\u{200b}",
            "\u{fe0f}",
            "\u{3164}\u{ad}",
            "\u{e0020}\u{e0041}",
            "\u{1d173}\x1b[1m\u{34f}",
            "\u{9b}5i",
            "\u{9d}52;c;aGk=\u{9c}",
            "\x1b[6n\u{feff}\x1b[0m",
        ] {
            let text = format!("is S3cr3t{between}-Token end\r\n");
            // What is between C1 controls is text.
            let is_text = between.starts_with(['\u{9b}', '\u{9d}']);
            for form in [Form::Colors, Form::Text] {
                let whole = shown(form, "S3cr3t-Token", &[text.as_bytes()]);
                assert!(!whole.contains(|c| matches!(c, '\u{80}'..='\u{9f}')), "{whole:?}");
                let hidden = whole.starts_with("is ***") && !whole.contains("Token");
                assert!(hidden || is_text, "{between:?}: {whole:?}");
                let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
                assert_eq!(shown(form, "S3cr3t-Token", &bytes), whole);
            }
        }
        for between in [
            "\x1b[K",
            "\x1b[1m",
            "\x1b]0;S3cr3t-Token\x07",
            "\x1b]0;S3cr3t\u{e0041}-Token\x07",
            "\x1b]8;;https://x/\x1b\\",
            "\0",
            "\u{fe0f}",
            "\u{e0041}",
            "\x07",
            "\x0e\x0f",
            "\x1b7\x1b8",
            "\x1b[s\x1b[u",
            "\x1b=\x1b>\x1bH",
            "\x1b[?25l\x1b[?25h",
            "\x1b[?2004h\x1b[?1;1000l\x1b[4l",
            "\x1b[?2026h\x1b[?2026l",
            "\x1b[J\x1b[0g\x1b[?5W",
            "\x1b[@\x1b[P\x1b[X",
            "\x1b[2 q\x1b[>1u\x1b[<1u\x1b[=1;1u\x1b[22;0;0t\x1b[>4;1m",
        ] {
            let text = format!("is S3cr3t{between}-Token end\r\n");
            let passed = shown(Form::Screen, "S3cr3t-Token", &[text.as_bytes()]);
            assert!(passed.starts_with("is ***") && !passed.contains("Token"), "{passed:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(shown(Form::Screen, "S3cr3t-Token", &bytes), passed);
        }
        assert_eq!(shown(Form::Screen, "secret", &[b"sec\x1b[5;5Hret"]), "sec\x1b[5;5Hret");
        let styled = b"a \x1b[1mS3\x1b[31mcr3t-\x1b[32mToken\x1b[m b S3\x1b[1mcr x";
        assert_eq!(
            shown(Form::Colors, "S3cr3t-Token", &[styled]),
            "a \x1b[1m***\x1b[31m\x1b[32m\x1b[m b S3\x1b[1mcr x"
        );
    }

    #[test]
    fn text_has_no_escapes_whatever_the_splits() {
        let raw = b"\x1b[31mred\x1b[0m\r\n10%\r20%\r\n\x07\xc2\x9b2Jend\xe2";
        let whole = "red\n10%\n20%\n2Jend";
        assert_eq!(shown(Form::Text, "secret", &[raw]), whole);
        let bytes: Vec<&[u8]> = raw.chunks(1).collect();
        assert_eq!(shown(Form::Text, "secret", &bytes), whole);
    }

    #[test]
    fn styles_stay_and_commands_go_whatever_the_splits() {
        let raw = "\x1b[1;31mred\x1b[0m\tä\r\n\x1b[2J\x1b]0;title\x07\x1b[6n\x1bP+q\x1b\\a\x1b(Bb\x07\x08\x1b[?25l\x1b[>4;1mc\x1b]8;;x\x1b\\\u{9b}d"
            .as_bytes();
        let wanted = "\x1b[1;31mred\x1b[0m\tä\r\nabcd";
        for split in 0..raw.len() {
            assert_eq!(shown(Form::Colors, "secret", &[&raw[..split], &raw[split..]]), wanted, "{split}");
        }
    }

    #[test]
    fn a_secret_that_becomes_known_is_hidden_in_what_styles_hold_back() {
        let [old, new] =
            ["S3cr3t-Token", "S3cr3t"].map(|one| Arc::new(Redactor::new([one.to_owned()]).unwrap()));
        let mut sanitizer = Sanitizer::new(Form::Colors, old, Mask::Stars);
        let mut out = Vec::new();
        sanitizer.push(b"S3c\x1b[1mr3", &mut out);
        sanitizer.change(&new, &mut out);
        sanitizer.push(b"t-\x1b[m", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "***\x1b[1m-\x1b[m");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_and_no_secret(
            parts in prop::collection::vec(prop::sample::select(vec![
                "abcab", "abc", "ab", "a", "c", " ", "\r\n", "\n", "\r", "\x1b[1m", "\x1b[K", "\x1b]0;abcab\x07", "\u{200b}", "\u{e0041}",
                "\x1b(B", "\x1b[", "\u{9b}", "\0", "é",
            ]), 0..20),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            form in prop::sample::select(vec![Form::Bytes, Form::Screen, Form::Colors, Form::Text]),
        ) {
            let text = parts.concat();
            let whole = shown(form, "abcab", &[text.as_bytes()]);
            prop_assert_eq!(&shown(form, "abcab", &split_at(text.as_bytes(), &cuts)), &whole);
            prop_assert!(!whole.contains("abcab"), "{:?}", whole);
            if matches!(form, Form::Colors | Form::Text) {
                let visible: Vec<u8> =
                    pieces(whole.as_bytes()).filter(|(_, is_visible)| *is_visible).flat_map(|(piece, _)| piece.to_vec()).collect();
                prop_assert!(!String::from_utf8(visible).unwrap().contains("abcab"), "{:?}", whole);
            }
        }
    }
}
