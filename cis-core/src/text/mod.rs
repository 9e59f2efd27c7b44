//! How figures are written for people: durations and sizes; what markup cannot hold as it is; and which characters nobody
//! sees. Pure; knows nothing of terminals.

pub(crate) mod clean;

use unicode_width::UnicodeWidthChar as _;

pub use clean::{visible_text, without_widths};

/// What stands in HTML and XML for a character that means something there, in text and between double quotes.
pub(crate) fn entity(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        _ => None,
    }
}

/// Who is meant by the uid of somebody at the node's socket, for people who know no uids of that machine.
const SOMEBODY: &str = "somebody on the node's machine";

/// Text for people elsewhere: names of users of the node's machine (`uid:1000`) say nothing there.
#[must_use]
pub fn without_uids(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("uid:") {
        let after = &rest[at + 4..];
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let inside = rest[..at].ends_with(|c: char| c.is_alphanumeric());
        let whole = digits > 0 && !inside;
        out.push_str(&rest[..at]);
        out.push_str(if whole { SOMEBODY } else { "uid:" });
        rest = if whole { &after[digits..] } else { after };
    }
    out + rest
}

/// A duration of `ms` milliseconds, as `0.4s`, `12s`, `3m 05s`, `2h 07m`.
#[must_use]
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..=9 => format!("{}.{}s", seconds, ms % 1000 / 100),
        10..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A size in bytes, as `512 B`, `4.0 KB`, `1.5 GB` (powers of 1,000).
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut tenths = count / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// The byte that a terminal sends for Ctrl with a character: ECMA-48's C0 set, by the low five bits.
#[must_use]
pub fn control_byte(c: char) -> Option<u8> {
    let byte = u8::try_from(c).ok()?.to_ascii_uppercase();
    match byte {
        b'@'..=b'_' => Some(byte & 0x1f),
        b'?' => Some(0x7f),
        b' ' => Some(0),
        _ => None,
    }
}

/// Whether people do not see a character: one that Unicode lets a display ignore (`Default_Ignorable_Code_Point` in
/// `DerivedCoreProperties.txt`, Unicode 16), a separator of lines or paragraphs, or a mark of an annotation.
#[must_use]
pub const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character selects how the one before it is drawn, for example as an emoji.
pub(crate) const fn selects_variant(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}')
}

/// The words of `text` in lines of at most `width` characters; a longer word has a line of its own.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// So many cells of a terminal show this line: a wide character has two of them, a mark on another one has none.
#[must_use]
pub fn cells(line: &str) -> usize {
    line.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// A line in at most so many cells of a terminal, the last of them an ellipsis if some of the text is missing.
#[must_use]
pub fn cut(line: &str, cells_max: usize) -> String {
    if cells(line) <= cells_max {
        return line.to_owned();
    }
    let mut left = cells_max.saturating_sub(1);
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let fits = width <= left;
        left = if fits { left - width } else { 0 };
        fits
    };
    line.chars().take_while(fits).chain((cells_max > 0).then_some('…')).collect()
}

/// A line as the rows of a terminal with so many cells show it.
#[must_use]
pub fn pieces(line: &str, cells: usize) -> Vec<String> {
    let (mut rows, mut used) = (vec![String::new()], 0);
    for c in line.chars() {
        let width = c.width().unwrap_or(0);
        if used + width > cells.max(2) {
            rows.push(String::new());
            used = 0;
        }
        rows.last_mut().into_iter().for_each(|row| row.push(c));
        used += width;
    }
    rows
}

/// The lowest rows of `text`, as many as have no more than `chars_max` characters together. Each counts as one more, for its end.
#[must_use]
pub fn lowest_rows(text: &str, chars_max: usize) -> &str {
    let mut left = chars_max;
    let fits = |row: &&str| {
        let size = row.trim_end_matches('\n').chars().count() + 1;
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    };
    let kept: usize = text.split_inclusive('\n').rev().take_while(fits).map(str::len).sum();
    &text[text.len() - kept..]
}

#[cfg(test)]
mod tests {
    use super::{cells, cut, lowest_rows, without_uids};

    #[test]
    fn a_cut_line_has_at_most_so_many_cells() {
        assert_eq!((cells("日本"), cells("e\u{301}"), cells("")), (4, 1, 0));
        for (line, cells_max, shown) in [
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("日本語", 2, "…"),
            ("a日b", 3, "a…"),
            ("e\u{301}e\u{301}e", 2, "e\u{301}…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(line, cells_max), shown, "{line} {cells_max}");
            assert!(cells(shown) <= cells_max);
        }
    }

    #[test]
    fn the_lowest_rows_are_whole() {
        for (chars_max, rows) in
            [(0, ""), (2, ""), (3, "cé"), (5, "cé"), (6, "bb\ncé"), (8, "a\nbb\ncé"), (80, "a\nbb\ncé")]
        {
            assert_eq!(lowest_rows("a\nbb\ncé", chars_max), rows, "{chars_max}");
        }
        assert_eq!((lowest_rows("a\nb\n", 3), lowest_rows("", 3)), ("b\n", ""));
    }

    #[test]
    fn uids_are_somebody() {
        assert_eq!(
            without_uids("was answered by uid:0 3s ago"),
            "was answered by somebody on the node's machine 3s ago"
        );
        for plain in ["uid:", "guid:7", "ann", "", "a uid:x"] {
            assert_eq!(without_uids(plain), plain);
        }
    }

    #[test]
    fn durations_and_sizes_read_well() {
        let said: Vec<String> = [0, 450, 12_000, 185_000, 7_620_000].map(super::duration).into();
        assert_eq!(said, ["0.0s", "0.4s", "12s", "3m 05s", "2h 07m"]);
        let said: Vec<String> = [0, 999, 4000, 1_500_000_000].map(super::bytes).into();
        assert_eq!(said, ["0 B", "999 B", "4.0 KB", "1.5 GB"]);
    }
}
