//! Text of a program made harmless: one line, no control characters, nothing that turns its direction
//! around or hides in it. Decides nothing about its meaning.

use crate::text::{is_invisible, selects_variant};

/// `bytes` as one clean line of at most `chars_max` characters; what is not UTF-8 is replaced.
pub(super) fn line(bytes: &[u8], chars_max: usize) -> String {
    text(&String::from_utf8_lossy(bytes), chars_max)
}

/// The same of text. A line's end becomes a blank.
pub(super) fn text(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    for c in text.chars() {
        let c = if matches!(c, '\n' | '\t' | '\r' | '\u{2028}' | '\u{2029}') { ' ' } else { c };
        if c.is_control() || hides(c) || (c == ' ' && (out.is_empty() || out.ends_with(' '))) {
            continue;
        }
        if count == chars_max {
            break;
        }
        out.push(c);
        count += 1;
    }
    out.truncate(out.trim_end().len());
    out
}

/// Cleans rows in the same way. Line ends and blanks stay. Empty rows at the end are left out.
pub(super) fn lines<'a>(rows: impl Iterator<Item = &'a str>, chars_max: usize) -> String {
    let mut out = String::new();
    for (n, row) in rows.enumerate() {
        out.extend((n > 0).then_some('\n'));
        out.extend(row.chars().filter(|c| !c.is_control() && !hides(*c)));
        out.truncate(out.trim_end_matches(' ').len());
    }
    let end = out.char_indices().nth(chars_max).map_or(out.len(), |(at, _)| at);
    out.truncate(out[..end].trim_end().len());
    out
}

/// Characters that change how others are shown, or that nobody sees.
fn hides(c: char) -> bool {
    is_invisible(c) && !selects_variant(c)
}
