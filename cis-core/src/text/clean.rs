//! Text from elsewhere made fit for a room: the one way into a message.
//!
//! Owns what is taken out or replaced: control characters, what turns text around or hides in it, piles of
//! combining marks, mentions, the ends of code blocks. Knows nothing of what the text means; secrets were
//! replaced before (`policy::redact`).

use unicode_width::UnicodeWidthChar as _;

use crate::text::{entity, is_invisible, selects_variant};

/// So many marks may stand on one character.
const MARKS_MAX: usize = 3;
/// Longer lines of a block are cut, characters.
pub(crate) const LINE_CHARS_MAX: usize = 240;
/// What shows that something was cut.
pub(crate) const CUT: char = '…';

/// One line of at most `chars_max` characters; a cut is shown.
pub(crate) fn line(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    for c in visible(text) {
        let c = if matches!(c, '\n' | '\t') { ' ' } else { c };
        if c != ' ' || !(out.is_empty() || out.ends_with(' ')) {
            out.push(c);
            count += 1;
        }
        // What follows is cut anyway.
        if count > chars_max.saturating_add(1) {
            break;
        }
    }
    out.truncate(out.trim_end().len());
    clip(&unfenced(&quiet(&out)), chars_max)
}

/// Several lines, each of bounded length, without blank ones at both ends; tabs become blanks.
pub(crate) fn block(text: &str) -> String {
    let mut out = String::new();
    let mut empty = 0;
    for row in visible(text).collect::<String>().split('\n') {
        let row = row.replace('\t', "    ");
        let row = row.trim_end();
        if row.is_empty() {
            empty += 1;
            continue;
        }
        if !out.is_empty() {
            // More than one blank line says no more than one.
            out.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        empty = 0;
        out.push_str(&clip(&unfenced(&quiet(row)), LINE_CHARS_MAX));
    }
    out
}

/// What stands for a secret.
pub(crate) const MASK: &str = "***";

/// Longer rows of asterisks as three: on a terminal's screen a secret is masked in its own width.
#[must_use]
pub fn without_widths(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut row = 0;
    for c in text.chars() {
        row = if c == '*' { row + 1 } else { 0 };
        if row <= MASK.len() {
            out.push(c);
        }
    }
    out
}

/// At most `chars_max` characters, with a sign where more was there.
pub(crate) fn clip(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(chars_max.saturating_sub(1)).collect();
            let mut kept = kept.trim_end().to_owned();
            kept.push(CUT);
            kept
        }
    }
}

/// `text` as it may stand in HTML, also in an attribute between double quotes.
pub(crate) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match entity(c) {
            Some(entity) => out.push_str(entity),
            None => out.push(c),
        }
    }
}

/// A text of somebody else as it may be shown: without what is not seen; line ends of any kind are `\n`.
#[must_use]
pub fn visible_text(text: &str) -> String {
    visible(text).collect()
}

/// Without what is not seen; line ends of any kind are `\n`.
fn visible(text: &str) -> impl Iterator<Item = char> {
    let mut marks = 0;
    let mut was_return = false;
    text.chars().filter_map(move |c| {
        let ends_pair = std::mem::replace(&mut was_return, c == '\r') && c == '\n';
        match c {
            '\n' if ends_pair => return None,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                marks = 0;
                return Some('\n');
            }
            '\t' => return Some('\t'),
            c if c.is_control() || hides(c) => return None,
            c => marks = if c.width() == Some(0) { marks + 1 } else { 0 },
        }
        (marks <= MARKS_MAX).then_some(c)
    })
}

/// Characters that change how others are shown, or that nobody sees.
pub(crate) fn hides(c: char) -> bool {
    is_invisible(c) && !selects_variant(c)
}

/// Without mentions: an `@` that a client could take for one is written as its wide form, and so is the `#`
/// of a link that clients make a pill of. Mail addresses stay.
fn quiet(text: &str) -> String {
    if !text.contains(['@', '#']) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 4);
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let after = &text[at + c.len_utf8()..];
        let names = after.starts_with(|next: char| next.is_alphanumeric() || matches!(next, '_' | '=' | '/'));
        // The rules of homeservers look for `@room` in any case and after anything.
        let room = after.as_bytes().get(..4).is_some_and(|four| four.eq_ignore_ascii_case(b"room"));
        let wide = match c {
            '@' if room || (names && !before.is_alphanumeric()) => '＠',
            '#' if ends_with_site(&out) => '＃',
            c => c,
        };
        out.push(wide);
        before = c;
    }
    out
}

fn ends_with_site(text: &str) -> bool {
    const SITE: &[u8] = b"matrix.to/";
    let bytes = text.as_bytes();
    bytes.len() >= SITE.len() && bytes[bytes.len() - SITE.len()..].eq_ignore_ascii_case(SITE)
}

/// Without what would end a code block in text that is read as Markdown.
fn unfenced(row: &str) -> String {
    row.replace("```", "'''").replace("~~~", "---")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_or_turns_text_around_is_gone() {
        assert_eq!(line("a\u{202e}b\u{200b}c\x1b[31md\u{9b}e\u{feff}", 99), "abc[31mde");
        assert_eq!(line("  two\r\nlines\there\u{2028}x ", 99), "two lines here x");
        assert_eq!(line(&format!("e{}", "\u{301}".repeat(50)), 99).chars().count(), 1 + MARKS_MAX);
        assert_eq!(line("grüße ✓ 漢字", 99), "grüße ✓ 漢字");
    }

    #[test]
    fn the_width_of_a_secret_is_not_shown() {
        assert_eq!(without_widths("key ******** end **\n*************"), "key *** end **\n***");
        assert_eq!(without_widths("a * b"), "a * b");
    }

    #[test]
    fn a_cut_is_shown() {
        assert_eq!(line("abcdef", 6), "abcdef");
        assert_eq!(line("abcdefg", 6), "abcde…");
        assert_eq!(clip("x", 0), "…");
    }

    #[test]
    fn nobody_is_mentioned() {
        assert_eq!(line("@room and @Room and x@ROOM", 99), "＠room and ＠Room and x＠ROOM");
        assert_eq!(line("@\u{200b}room", 99), "＠room");
        assert_eq!(
            line("ask @ann:example.org or ann@example.org", 99),
            "ask ＠ann:example.org or ann@example.org"
        );
        assert_eq!(line("https://matrix.to/#/@ann:x", 99), "https://matrix.to/＃/＠ann:x");
    }

    #[test]
    fn a_block_keeps_its_rows_and_not_its_fences() {
        assert_eq!(block("\n\n a\tb  \r\n\n\n\nc\n```\n~~~~\n\n"), " a    b\n\nc\n'''\n---~");
        let long = block(&"x".repeat(1000));
        assert_eq!(long.chars().count(), LINE_CHARS_MAX);
        assert!(long.ends_with(CUT));
    }
}
