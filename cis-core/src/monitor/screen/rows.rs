//! Rows of a screen without what programs draw around their text.

/// Lines of boxes, blocks that are used as such, blanks.
pub(super) fn is_frame(c: char) -> bool {
    matches!(c, '\u{2500}'..='\u{259f}' | ' ' | '\u{a0}' | '|')
}

/// A row without the box around it.
pub(in crate::monitor) fn unboxed(line: &str) -> &str {
    line.trim_matches(is_frame)
}

/// A row that is nothing but a line, or the edge of a box.
pub(in crate::monitor) fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.chars().filter(|c| matches!(c, '\u{2500}'..='\u{259f}' | '-' | '=' | '_')).count() >= 3
        && line.chars().all(|c| is_frame(c) || matches!(c, '-' | '=' | '_' | '+'))
}

/// Whether a text ends as questions and prompts for a value do.
pub(in crate::monitor) fn ends_asking(text: &str) -> bool {
    text.ends_with(['?', ':', '？', '：'])
}

/// Signs that show which option is highlighted, and seldom stand for anything else at the beginning of a row.
pub(super) const POINTERS: &str = "❯›>▸►▶→➤➜●◉";
/// Signs that do so where the rows beside it are aligned with its text: bullets and logs use them, too.
pub(super) const OTHER_POINTERS: &str = "»‣❱❭⮞⯈▹▻▷➔➙➛➝➞⇒⮕☞*";

/// Pointers of two signs.
pub(super) const LONG_POINTERS: [&str; 2] = ["->", "=>"];

/// A row without the pointer that shows which option is highlighted.
pub(in crate::monitor) fn unpointed(line: &str) -> &str {
    let row = unboxed(line);
    LONG_POINTERS
        .iter()
        .find_map(|pointer| row.strip_prefix(pointer))
        .unwrap_or(row)
        .trim_start_matches(|c| {
            POINTERS.contains(c) || OTHER_POINTERS.contains(c) || ['○', '◯', '◆', '◇', '•'].contains(&c)
        })
        .trim_start()
}
