//! Mistakes in a text, each with its place, the offending text marked, and what to write instead.
//!
//! Owns collecting, sorting and rendering them. Does not know what makes a DAG file right.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::finding::Finding;

/// At most so many mistakes are told: who has more reads a wall of text otherwise.
pub(crate) const MAX_FINDINGS: usize = 20;

/// A longer line is cut around the marked text, bytes.
const MAX_LINE: usize = 400;

/// Everything that is wrong with a file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// At most 20.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub left_out: usize,
    /// As [`Finding::rendered`], with terminal colours.
    styled: Vec<String>,
}

impl Diagnostics {
    /// All of it for a terminal that shows colours (ANSI escapes).
    #[must_use]
    pub fn styled(&self) -> String {
        self.joined(self.styled.iter().map(String::as_str))
    }

    /// How many there are in `source`, in a sentence for those who show the findings beside it.
    #[must_use]
    pub fn summary(&self, source: &str) -> String {
        let count = self.findings.len() + self.left_out;
        format!("{source} has {count} error{}", if count == 1 { "" } else { "s" })
    }

    fn joined<'a>(&self, parts: impl Iterator<Item = &'a str>) -> String {
        let mut text = parts.collect::<Vec<_>>().join("\n\n");
        if self.left_out > 0 {
            let noun = if self.left_out == 1 { "error" } else { "errors" };
            text.push_str(&format!("\n\nand {} more {noun}", self.left_out));
        }
        text
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.joined(self.findings.iter().map(|finding| finding.rendered.as_str())))
    }
}

impl std::error::Error for Diagnostics {}

/// One mistake.
#[derive(Debug, Clone)]
pub struct Mistake {
    span: Range<usize>,
    title: String,
    label: String,
    also: Option<(Range<usize>, String)>,
    helps: Vec<String>,
}

impl Mistake {
    /// `title` says what is wrong; `span` is the place, bytes of the text.
    pub fn new(span: Range<usize>, title: impl Into<String>) -> Self {
        Self { span, title: shown(&title.into()), label: String::new(), also: None, helps: Vec::new() }
    }

    /// What stands beside the mark.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = shown(&label.into());
        self
    }

    /// Another place that matters.
    pub(crate) fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.also = Some((span, shown(&label.into())));
        self
    }

    /// What to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.helps.push(shown(&help.into()));
        self
    }
}

/// Collects mistakes of one text.
#[derive(Debug, Default)]
pub struct Mistakes {
    list: Vec<Mistake>,
    seen: BTreeSet<(usize, String)>,
    left_out: usize,
}

impl Mistakes {
    /// Adds one. The same title at the same place counts once (a default is checked with every task).
    pub(crate) fn add(&mut self, mistake: Mistake) {
        if self.is_full() {
            self.left_out += 1;
        } else if self.seen.insert((mistake.span.start, mistake.title.clone())) {
            self.list.push(mistake);
        }
    }

    /// Further ones are only counted: do not spend time on suggestions.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MAX_FINDINGS
    }

    /// Nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Renders all of them.
    pub fn finish(mut self, text: &str, file: &str) -> Diagnostics {
        self.list.sort_by_key(|mistake| mistake.span.start);
        let file = printable(file);
        let mut findings = Vec::with_capacity(self.list.len());
        let mut styled = Vec::with_capacity(self.list.len());
        for mistake in &self.list {
            let (line, column) = place(text, mistake.span.start);
            let mut message = mistake.title.clone();
            if !mistake.label.is_empty() {
                message = format!("{message}: {}", mistake.label);
            }
            let rendered = render(text, &file, mistake, &Renderer::plain());
            findings.push(Finding { file: file.clone().into_owned(), line, column, message, rendered });
            styled.push(render(text, &file, mistake, &Renderer::styled()));
        }
        Diagnostics { findings, left_out: self.left_out, styled }
    }
}

fn render(text: &str, file: &str, mistake: &Mistake, renderer: &Renderer) -> String {
    let main = Excerpt::of(text, &mistake.span);
    let mut mark = AnnotationKind::Primary.span(main.mark.clone());
    if !mistake.label.is_empty() {
        mark = mark.label(mistake.label.as_str());
    }
    let mut group =
        main.into_group(Group::with_title(Level::ERROR.primary_title(mistake.title.as_str())), file, mark);
    if let Some((span, label)) = &mistake.also {
        let other = Excerpt::of(text, span);
        let mark = AnnotationKind::Context.span(other.mark.clone()).label(label.as_str());
        group = other.into_group(group, file, mark);
    }
    for help in &mistake.helps {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

/// The first line of a place. Only it is given to the renderer, which would index the whole file.
struct Excerpt<'a> {
    text: &'a str,
    line: usize,
    column: usize,
    mark: Range<usize>,
    /// Of a line that is shown whole the renderer finds the column itself.
    is_cut: bool,
}

impl<'a> Excerpt<'a> {
    fn into_group(self, group: Group<'a>, file: &'a str, mark: Annotation<'a>) -> Group<'a> {
        let snippet = Snippet::source(self.text).line_start(self.line).annotation(mark);
        if self.is_cut {
            group.element(Origin::path(file).line(self.line).char_column(self.column)).element(snippet)
        } else {
            group.element(snippet.path(file))
        }
    }

    fn of(text: &'a str, span: &Range<usize>) -> Self {
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line_end = if text[line_start..line_end].ends_with('\r') { line_end - 1 } else { line_end };
        let end = floor(text, span.end).clamp(start, line_end.max(start));
        let (mut from, mut to) = (line_start, line_end.max(start));
        let is_cut = to - from > MAX_LINE;
        if is_cut {
            from = floor(text, start.saturating_sub(MAX_LINE / 4).max(line_start));
            to = floor(text, (from + MAX_LINE).min(to)).max(start);
        }
        let end = end.min(to);
        let (line, column) = place(text, start);
        Self {
            text: &text[from..to],
            line: line as usize,
            column: column as usize,
            mark: start - from..end - from,
            is_cut,
        }
    }
}

/// The nearest boundary of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Line and column of a byte, both from 1, the column in characters.
fn place(text: &str, at: usize) -> (u32, u32) {
    let at = floor(text, at);
    let line = memchr::memchr_iter(b'\n', &text.as_bytes()[..at]).count() + 1;
    let line_start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let column = text[line_start..at].chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// A text of the user between backticks, short and without control characters.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.is_empty() {
        return "\"\"".to_owned();
    }
    let shown = printable(text);
    match shown.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("`{}…`", &shown[..cut]),
        None => format!("`{shown}`"),
    }
}

/// A sentence with words of the user in it: without control characters, and not endless.
fn shown(text: &str) -> String {
    const LONGEST: usize = 400;
    let text = printable(text);
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.into_owned(),
    }
}

fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() }).collect()
    } else {
        Cow::Borrowed(text)
    }
}

/// `a, b and c`.
pub fn listed<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<&str> = items.into_iter().collect();
    match items.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// The candidate that `text` was probably meant to be, if one is near enough.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters, as rustc allows; one at least, so that `ids` finds `id`.
    let allowed = (text.chars().count() / 3).clamp(1, 4);
    let distance = |candidate: &'a str| {
        // `int` for `integer`, `param` for `params`.
        let is_start = text.len() >= 3 && candidate.starts_with(text);
        let far = candidate.len().abs_diff(text.len()) > allowed * 4;
        let distance = if is_start {
            1
        } else if far {
            usize::MAX
        } else {
            strsim::damerau_levenshtein(text, candidate)
        };
        (distance, candidate)
    };
    candidates
        .into_iter()
        .map(distance)
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
