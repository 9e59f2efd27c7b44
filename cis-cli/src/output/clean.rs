//! Text from elsewhere, made harmless for a terminal: it may come from a file or a session that is
//! not ours, and must not move the cursor, change titles or reverse what a line says.

use std::borrow::Cow;

/// One line: control characters and those that change the direction of text become `?`.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    replace(text, |c| !is_harmful(c))
}

/// Words that may have several lines, in one: as [`clean`], with spaces for line ends and tabs.
pub(crate) fn in_one_line(text: &str) -> String {
    clean(&text.trim().replace("\r\n", " ").replace(['\n', '\r', '\t'], " ")).into_owned()
}

/// Several lines: as [`clean`], but line ends and tabs stay.
pub(crate) fn clean_lines(text: &str) -> Cow<'_, str> {
    replace(text, |c| matches!(c, '\n' | '\t') || !is_harmful(c))
}

fn replace(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&keep) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if keep(c) { c } else { '?' }).collect())
}

fn is_harmful(c: char) -> bool {
    // Bidirectional controls: Unicode Standard Annex 9, section 2.
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(clean("a\x1b]0;x\x07\u{9b}2J\nb\u{202e}c"), "a?]0;x??2J?b?c");
        assert_eq!(in_one_line("\na\tb\r\nc\rd\ne\u{7}\n"), "a b c d e?");
        assert_eq!(clean_lines("a\tb\r\nc"), "a\tb?\nc");
        assert!(matches!(clean("grüße ✓"), Cow::Borrowed(_)));
    }
}
