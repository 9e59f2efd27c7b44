//! A message before it is written: paragraphs and code blocks, made of pieces that are ours or cleaned.
//!
//! Owns how it becomes plain text and HTML, and how it is cut where it is too large. The types see to it
//! that no text from elsewhere gets in as it is: [`own`] takes literals alone.

use crate::matrix::{Place, UserId};
use crate::text::clean;

/// Longer pieces of text are cut, characters.
const PIECE_CHARS_MAX: usize = 2000;
/// Longer code blocks are cut, characters.
const CODE_CHARS_MAX: usize = 12_000;
/// More rows of a code block are left out.
const CODE_ROWS_MAX: usize = 120;
/// More lines of one paragraph are left out.
const LINES_MAX: usize = 64;
/// So many people are named in a message that rings for more.
const CALLED_MAX: usize = 10;
/// After so many halvings a page is as short as it gets.
pub(super) const CUTS_MAX: u32 = 6;

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Span {
    Plain(String),
    Bold(String),
    Code(String),
    Link { text: String, to: String },
}

/// Text of ours.
pub(super) fn own(text: &'static str) -> Span {
    Span::Plain(text.to_owned())
}

/// Text from anywhere.
pub(super) fn said(text: &str) -> Span {
    Span::Plain(clean::line(text, PIECE_CHARS_MAX))
}

/// The same, to stand out.
pub(super) fn bold(text: &str) -> Span {
    Span::Bold(clean::line(text, PIECE_CHARS_MAX))
}

/// The same, to be typed.
pub(super) fn code(text: &str) -> Span {
    Span::Code(clean::line(text, PIECE_CHARS_MAX).replace('`', "'"))
}

/// A link to an event.
pub(super) fn link(text: &str, place: &Place) -> Span {
    Span::Link { text: clean::line(text, PIECE_CHARS_MAX), to: place.link() }
}

/// A person, as clients make a pill of it. It rings only where the message mentions them.
pub(super) fn person(user: &UserId) -> Span {
    // Some clients and servers look for `@room` in any text.
    let name = user.as_str();
    let alarms = name.to_ascii_lowercase().contains("@room");
    let text = if alarms { clean::line(name, PIECE_CHARS_MAX) } else { name.to_owned() };
    Span::Link { text, to: user.link() }
}

/// A line with the first of the people that a message rings for; none: it rings for nobody.
pub(super) fn called(people: &[UserId]) -> Option<Vec<Span>> {
    let [first, rest @ ..] = people else { return None };
    let mut line = vec![own("For "), person(first)];
    for user in rest.iter().take(CALLED_MAX - 1) {
        line.extend([own(", "), person(user)]);
    }
    Some(line)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Lines(Vec<Vec<Span>>),
    Code(String),
}

/// A message's text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page {
    parts: Vec<Part>,
}

/// A page as it is sent.
pub(super) struct Written {
    pub(super) body: String,
    pub(super) html: String,
}

impl Page {
    /// A paragraph of one line.
    pub(super) fn line(&mut self, spans: impl Into<Vec<Span>>) {
        self.parts.push(Part::Lines(vec![spans.into()]));
    }

    /// A paragraph of several lines; none: nothing.
    pub(super) fn lines(&mut self, lines: Vec<Vec<Span>>) {
        if !lines.is_empty() {
            self.parts.push(Part::Lines(lines));
        }
    }

    /// A paragraph of text from anywhere that may have several lines.
    pub(super) fn text(&mut self, text: &str) {
        self.lines(clean::block(text).lines().map(|row| vec![said(row)]).collect());
    }

    /// A code block of text from anywhere, its last rows where it is long; of nothing none.
    pub(super) fn code(&mut self, text: &str) {
        let text = clean::block(text);
        if !text.is_empty() {
            self.parts.push(Part::Code(text));
        }
    }

    /// A code block of what a terminal shows. Secrets keep their width there, which is nobody's to know here.
    pub(super) fn screen(&mut self, text: &str) {
        self.code(&clean::without_widths(text));
    }

    /// Its first line, as plain text.
    pub(super) fn headline(&self) -> String {
        let first = self.parts.iter().find_map(|part| match part {
            Part::Lines(lines) => lines.first(),
            Part::Code(_) => None,
        });
        let text: String = first.into_iter().flatten().map(Span::text).collect();
        clean::clip(&text, 300)
    }

    /// Its first line alone: what is left of it where nothing else helps.
    pub(super) fn first_line(&self) -> Self {
        Self { parts: vec![Part::Lines(vec![vec![Span::Plain(self.headline())]])] }
    }

    /// Both forms, after so many halvings of what is long.
    pub(super) fn write(&self, cuts: u32) -> Written {
        let mut to = Written { body: String::new(), html: String::new() };
        for part in &self.parts {
            if !to.body.is_empty() {
                to.body.push_str("\n\n");
            }
            match part {
                Part::Lines(lines) => write_lines(lines, cuts, &mut to),
                Part::Code(text) => write_code(text, cuts, &mut to),
            }
        }
        if cuts > 0 {
            to.body.push_str("\n\nShortened to fit into a message.");
            to.html.push_str("<p><em>Shortened to fit into a message.</em></p>");
        }
        to
    }
}

impl Span {
    fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Bold(text) | Self::Code(text) | Self::Link { text, .. } => text,
        }
    }

    fn write(&self, cuts: u32, to: &mut Written) {
        let text = clean::clip(self.text(), PIECE_CHARS_MAX >> cuts);
        to.body.push_str(&text);
        let html = &mut to.html;
        let (open, close) = match self {
            Self::Plain(_) => ("", ""),
            Self::Bold(_) => ("<strong>", "</strong>"),
            Self::Code(_) => ("<code>", "</code>"),
            Self::Link { to, .. } => {
                html.push_str("<a href=\"");
                clean::escape(to, html);
                ("\">", "</a>")
            }
        };
        html.push_str(open);
        clean::escape(&text, html);
        html.push_str(close);
    }
}

fn write_lines(lines: &[Vec<Span>], cuts: u32, to: &mut Written) {
    let shown = (LINES_MAX >> cuts).max(8);
    to.html.push_str("<p>");
    for (at, line) in lines.iter().take(shown).enumerate() {
        if at > 0 {
            to.body.push('\n');
            to.html.push_str("<br>");
        }
        for span in line {
            span.write(cuts, to);
        }
    }
    if lines.len() > shown {
        let more = format!("… and {} more", lines.len() - shown);
        to.body.push('\n');
        to.body.push_str(&more);
        to.html.push_str("<br>");
        to.html.push_str(&more);
    }
    to.html.push_str("</p>");
}

fn write_code(text: &str, cuts: u32, to: &mut Written) {
    let text = shortened(text, CODE_ROWS_MAX, CODE_CHARS_MAX >> cuts);
    to.body.push_str("```\n");
    to.body.push_str(&text);
    to.body.push_str("\n```");
    to.html.push_str("<pre><code>");
    clean::escape(&text, &mut to.html);
    to.html.push_str("\n</code></pre>");
}

/// The last rows of `text` that fit, and how many do not.
fn shortened(text: &str, rows_max: usize, chars_max: usize) -> String {
    let rows: Vec<&str> = text.lines().collect();
    let mut chars = 0;
    let fits = |row: &&&str| {
        chars += row.chars().count() + 1;
        chars <= chars_max
    };
    let kept = rows.iter().rev().take(rows_max).take_while(fits).count();
    if kept == rows.len() {
        return text.to_owned();
    }
    let left = rows.len() - kept;
    let said = format!("{} {left} {} left out", clean::CUT, if left == 1 { "line" } else { "lines" });
    [&[said.as_str()], &rows[rows.len() - kept..]].concat().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let mut page = Page::default();
        page.line([bold("ship <b>"), own(": "), code("a`b")]);
        page.code("x < y\n```");
        page.text("one\n\ntwo @room");
        let written = page.write(0);
        assert_eq!(written.body, "ship <b>: a'b\n\n```\nx < y\n'''\n```\n\none\n\ntwo ＠room");
        assert_eq!(
            written.html,
            "<p><strong>ship &lt;b&gt;</strong>: <code>a'b</code></p><pre><code>x &lt; y\n'''\n</code></pre>\
             <p>one<br><br>two ＠room</p>"
        );
    }

    #[test]
    fn what_is_left_out_is_said() {
        assert_eq!(shortened("a\nb\nc", 2, 99), "… 1 line left out\nb\nc");
        let mut page = Page::default();
        page.lines((0..80).map(|n| vec![said(&n.to_string())]).collect());
        assert!(page.write(0).body.ends_with("63\n… and 16 more"));
    }
}
