//! What moves on a screen by itself: spinners, clocks, seconds that are counted.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::pattern;
use super::rows::{ends_asking, unpointed};

static CLOCKS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b\d{1,2}:\d{2}(:\d{2})?([.,]\d+)?\s?([ap]m\b)?|\b\d+([.,]\d+)?\s?(ms|s|m|h|sec|secs|seconds?|mins?|minutes?)\b",
    )
});
static TIME_OF_DAY: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b\d{1,2}:\d{2}:\d{2}\b"));
static GAUGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[^\pL\pN]*\d{1,3}\s?%[^\pL\pN]*$"));
static PERCENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d+([.,]\d+)?\s?%"));

/// How long something takes, with seconds, or a time of day with seconds: other times are no clocks, or rest for long.
pub(super) static TIMES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\b\d{1,2}:\d{2}:\d{2}\b",
        r"|\b(?:\d+\s?(?:h|hours?)\s?)?(?:\d+\s?(?:m|mins?|minutes?)\s?)?\d+(?:\.\d+)?\s?(?:s|secs?|seconds?)\b",
    ))
});

/// What a terminal answers to a program's questions about it, as it looks where the terminal shows what is typed.
static ECHOED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\^\[(?:\[[?>=]?[\d;]*\$?[cRnty]|\]\d+;[^^]*(?:\^G|\^\[\\)|P[^^]*\^\[\\)"));

/// A row without such answers: they are no text of the program, and nobody typed them.
pub(super) fn unechoed(line: String) -> String {
    if line.contains("^[") { ECHOED.replace_all(&line, "").into_owned() } else { line }
}

/// What may be counted in a question: times, and a number alone in parentheses.
static COUNTED: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"{}|\b\d{{1,3}}:\d{{2}}\b|\(\d{{1,4}}\)", TIMES.as_str())));

/// A question without what is counted in it, and without spinners of braille dots or a turning bar: `⠙ Go on? (9s)` is the same one a
/// second later. By that it is found again, and no more: an answer is for what people were shown.
pub(in crate::monitor) fn timeless(text: &str) -> Cow<'_, str> {
    // A bar that turns may be the frame of a box, which is left out elsewhere. Rows that begin so and ask nothing are lists or changes.
    let turning = text.trim_start().strip_prefix(['|', '/', '\\', '-']);
    let asks = |rest: &&str| rest.starts_with(' ') && ends_asking(rest.trim_end());
    without_counts(turning.filter(asks).map_or(text, str::trim_start))
}

fn without_counts(text: &str) -> Cow<'_, str> {
    if text.contains(is_braille) {
        let rest: String = text.chars().filter(|c| !is_braille(*c)).collect();
        Cow::Owned(COUNTED.replace_all(rest.trim(), "·").into_owned())
    } else if text.contains(|c: char| c.is_ascii_digit()) {
        COUNTED.replace_all(text, "·")
    } else {
        Cow::Borrowed(text)
    }
}

/// Braille dots, which programs use for spinners alone.
pub(super) fn is_braille(c: char) -> bool {
    matches!(c, '\u{2800}'..='\u{28ff}')
}

/// Characters that spinners are made of.
pub(super) fn is_spinner(c: char) -> bool {
    is_braille(c)
        || matches!(c, '\u{25d0}'..='\u{25d7}' | '\u{25f0}'..='\u{25f7}' | '\u{2581}'..='\u{258f}'
        | '\u{23f3}' | '\u{231b}' | '\u{1f550}'..='\u{1f55b}' | '✶' | '✻' | '✽' | '✢' | '✳' | '⬝' | '■' | '∙' | '⊶' | '⊷')
}

/// A row without what moves by itself: for comparing. A row that begins with a spinner and is no
/// option keeps nothing, since some change their words too.
pub(super) fn still(line: &str) -> String {
    let line = line.trim();
    let mut chars = line.chars();
    let first = chars.next();
    let turning = matches!(first, Some('|' | '/' | '-' | '\\')) && chars.next().is_none_or(|c| c == ' ');
    if first.is_some_and(is_spinner) || turning {
        return String::new();
    }
    let text: String = line.chars().filter(|c| !is_spinner(*c)).collect();
    let text = CLOCKS.replace_all(&text, "");
    let ends = text.trim_end().trim_end_matches(['|', '/', '\\', '-', '.']);
    ends.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a spinner shows with it: `✻ Shimmying…`, `· Shimmying… (12s)`.
static TURNING: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[·*] \p{Lu}\p{Ll}+(?:…|\.\.\.)"));
/// Quantities that grow by themselves: tokens, bytes of so many bytes, bytes a second, steps of so many steps.
static COUNTS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)\b[\d.,]+\s?[km]?\s?tok(?:en)?s?\b|\btokens?:?\s[\d.,]+[km]?\b|\b[\d.,]+\s?[kmgt]?i?b(?:/s|ps)\b",
        r"|(?:^|[\s(\[])\d[\d.,]*\s?(?:[kmgt]?i?b)?\s?/\s?\d[\d.,]*\s?(?:[kmgt]?i?b)?(?:$|[\s)\],])",
    ))
});
/// A percentage of something that goes on.
static SHARE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)[█▓▒░▏▎▍▌▋▊▉━╸=#]{2}|\[[=#>. -]{4,}\]|\b(?:context|left|used|cpu|mem|memory|complete|done|progress|eta)\b|^[^\pL\pN]*\d{1,3}\s?%[^\pL\pN]*$",
    )
});
static BAR: LazyLock<Regex> = LazyLock::new(|| pattern(r"[█▓▒░▏▎▍▌▋▊▉━╸╺=#]{2,}[>╸]?|\[[=#>. -]{4,}\]"));
/// What keys there are: some programs show it after a while.
static HINTS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\((?:tab|esc|enter|shift[-+ ]tab|ctrl[-+ ]\w)\b[^()]*\)"));
static DOTS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(\pL)(?:\.+|…)$"));

/// A row without clocks, counters, bars, spinners and names of keys, for comparing what is decided: unlike in [`still`], every word
/// of it counts.
pub(super) fn counted(line: &str) -> String {
    let line = line.trim();
    let first = line.chars().next();
    let status = line.contains('…') || line.contains("...");
    if (first.is_some_and(is_spinner) && status) || TURNING.is_match(line) {
        return String::new();
    }
    let mut text: String = line.chars().filter(|c| !is_spinner(*c)).collect();
    if text.starts_with(['-', '/', '\\', '◦', '∘']) && text.chars().nth(1).is_none_or(|c| c == ' ') {
        text.remove(0);
    }
    if text.contains(|c: char| c.is_ascii_digit()) {
        if text.contains('%') && SHARE.is_match(&text) {
            text = PERCENT.replace_all(&text, "").into_owned();
        }
        text = COUNTS.replace_all(&CLOCKS.replace_all(&text, ""), "").into_owned();
    }
    if text.ends_with(')') {
        text = HINTS.replace_all(&text, "").into_owned();
    }
    text = DOTS.replace(BAR.replace_all(&text, "").trim(), "$1").into_owned();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The screen without what moves by itself, blank rows left out.
pub(in crate::monitor) fn steady(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| still(line)).filter(|line| !line.is_empty()).collect()
}

/// Boxes and circles that show what is chosen.
static CHOSEN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\[[ xX*✓✔]\]|\([ xX*•●]\)|[○◯◉◌◍●☐☑☒⬡⬢✔✓◻◼▢▣□■]"));

/// Whether two steady screens show the same rows, whatever is marked in them: somebody moves through a list, or chooses in it.
pub(in crate::monitor) fn lists_the_same(was: &[String], is: &[String]) -> bool {
    let unmarked = |row: &str| {
        let row = CHOSEN.replace_all(unpointed(row), " ");
        unpointed(&row).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    was.len() == is.len() && was.iter().zip(is).all(|(was, is)| was == is || unmarked(was) == unmarked(is))
}

/// A gauge: a percentage alone in its row, or in its bar.
pub(in crate::monitor) fn is_gauge(lines: &[String]) -> bool {
    lines.iter().any(|line| GAUGE.is_match(line))
}

/// Rows at the top in which a clock is looked for.
const CLOCK_ROWS: usize = 4;

/// A screen that looks as if it paints itself anew again and again: a clock with seconds, or many percentages.
pub(in crate::monitor) fn is_clockwork(lines: &[String]) -> bool {
    lines.iter().take(CLOCK_ROWS).any(|line| TIME_OF_DAY.is_match(line)) || has_gauges(lines)
}

/// Many percentages.
pub(in crate::monitor) fn has_gauges(lines: &[String]) -> bool {
    lines.iter().take(12).map(|line| PERCENT.find_iter(line).count()).sum::<usize>() >= 4
}

/// A time of day at the top went on in its row.
pub(in crate::monitor) fn ticks(was: &[String], is: &[String]) -> bool {
    let timeless = |row: &str| TIME_OF_DAY.replace_all(row, "").into_owned();
    was.iter()
        .zip(is)
        .take(CLOCK_ROWS)
        .any(|(was, is)| was != is && TIME_OF_DAY.is_match(is) && timeless(was) == timeless(is))
}
