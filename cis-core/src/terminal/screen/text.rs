//! The screen as text, and where on it secrets stand.

use std::ops::Range;

use alacritty_terminal::grid::{Dimensions, Grid, Row};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};

use super::Screen;
use crate::monitor::{Pointed, ScreenView};
use crate::policy::redact::{PIECE_BYTES_MIN, Redactor, is_drawn, is_ordinary};
use crate::text::{is_invisible, selects_variant};

/// What a cell shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glyph<'a> {
    pub(super) c: char,
    /// It covers the next cell too.
    pub(super) wide: bool,
    /// Combining characters.
    pub(super) marks: &'a [char],
}

impl Glyph<'_> {
    pub(super) fn width(&self) -> usize {
        if self.wide { 2 } else { 1 }
    }
}

/// Rows of a terminal: those of its screen, and above them some of what scrolled out of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'g> {
    grid: &'g Grid<Cell>,
    above: usize,
}

impl<'g> Rows<'g> {
    /// The screen alone.
    pub(super) fn shown(grid: &'g Grid<Cell>) -> Self {
        Self { grid, above: 0 }
    }

    /// All rows that are kept.
    fn kept(grid: &'g Grid<Cell>) -> Self {
        Self { grid, above: grid.history_size() }
    }

    fn count(self) -> usize {
        self.above + self.grid.screen_lines()
    }

    fn cols(self) -> usize {
        self.grid.columns()
    }

    fn row(self, index: usize) -> &'g Row<Cell> {
        &self.grid[Line(index as i32 - self.above as i32)]
    }

    /// The row of the cursor.
    fn cursor_row(self) -> usize {
        self.above + self.grid.cursor.point.line.0 as usize
    }
}

/// What the cell shows, in a row that is cut to `cols` cells. Halves of wide characters, which erasing
/// leaves behind, and tabs are blanks.
pub(super) fn glyph(row: &Row<Cell>, col: usize, cols: usize) -> Glyph<'_> {
    const BLANK: Glyph<'_> = Glyph { c: ' ', wide: false, marks: &[] };
    let cell = &row[Column(col)];
    let half = Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER;
    if cell.c == '\t' || cell.flags.intersects(half) {
        return BLANK;
    }
    let wide = cell.flags.contains(Flags::WIDE_CHAR);
    if wide && !(col + 1 < cols && row[Column(col + 1)].flags.contains(Flags::WIDE_CHAR_SPACER)) {
        return BLANK;
    }
    Glyph { c: cell.c, wide, marks: cell.zerowidth().unwrap_or_default() }
}

/// Neither a control character nor one that changes how others are read: overrides of the writing
/// direction, invisible separators, tags.
pub(super) fn is_plain(c: char) -> bool {
    !c.is_control() && (!is_invisible(c) || selects_variant(c) || has_part(c))
}

/// Whether an invisible character takes part in the text: a joiner, or one that is as wide as a letter.
fn has_part(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{200c}'..='\u{200d}'
        | '\u{3164}' | '\u{ffa0}')
}

/// Cells that show secrets.
#[derive(Debug, Default)]
pub(super) struct Mask {
    cols: usize,
    /// Empty where there is none.
    cells: Vec<Masked>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Masked {
    #[default]
    No,
    /// The first cell of a secret.
    Start,
    /// The others.
    Rest,
}

impl Mask {
    pub(super) fn at(&self, row: usize, col: usize) -> Masked {
        self.cells.get(row * self.cols + col).copied().unwrap_or_default()
    }
}

/// The text of a screen in one piece, with the cell of each character. Rows that are full to the last
/// column go on in the next one, so that what the terminal wrapped is whole. Other rows end with a line feed, without the
/// blanks before it.
struct Joined {
    text: String,
    /// Byte, row, column.
    cells: Vec<(usize, usize, usize)>,
    /// Bytes before the cursor.
    to_cursor: usize,
    /// Bytes before each row.
    starts: Vec<usize>,
    /// Bytes before the end of each row.
    ends: Vec<usize>,
}

impl Joined {
    /// Returns the same without blanks and line ends.
    fn drawn(&self) -> Self {
        let mut text = String::with_capacity(self.text.len());
        let mut cells = Vec::with_capacity(self.cells.len());
        // How much of the text is before each byte that a character begins at.
        let mut kept = Vec::with_capacity(self.cells.len());
        for (byte, row, col) in &self.cells {
            let Some(c) = self.text[*byte..].chars().next() else { continue };
            kept.push((*byte, text.len()));
            if is_drawn(c) {
                cells.push((text.len(), *row, *col));
                text.push(c);
            }
        }
        let place = |before: usize| {
            let next = kept.partition_point(|(byte, _)| *byte < before);
            kept.get(next).map_or(text.len(), |(_, at)| *at)
        };
        let places = |all: &[usize]| all.iter().map(|at| place(*at)).collect();
        let (to_cursor, starts) = (place(self.to_cursor), places(&self.starts));
        let ends = places(&self.ends);
        Self { text, cells, to_cursor, starts, ends }
    }
}

/// Maximum number of cells between a secret that is cut at the right edge and that edge: without automatic wrap (DECAWM), what is
/// written there stands over it, and a wide character goes as a whole.
const EDGE_CELLS: usize = 3;

fn join(rows: Rows<'_>) -> Joined {
    let cols = rows.cols();
    let (text, cells) = (String::new(), Vec::new());
    let mut joined = Joined { text, cells, to_cursor: 0, starts: Vec::new(), ends: Vec::new() };
    let cursor = &rows.grid.cursor;
    for line in 0..rows.count() {
        joined.starts.push(joined.text.len());
        let row = rows.row(line);
        let has = |col, flag| row[Column(col)].flags.contains(flag);
        // On the alternate screen, rows that were wrapped stay so when the terminal gets wider.
        let wrapped_at = (0..cols).rev().find(|col| has(*col, Flags::WRAPLINE));
        let is_row_of_cursor = rows.cursor_row() == line;
        // What is kept of the row, bytes and cells, and the last glyph's cell.
        let (mut kept, mut last) = ((joined.text.len(), joined.cells.len()), None);
        let mut col = 0;
        while col < cols {
            let glyph = glyph(row, col, cols);
            let has_cursor = (col..col + glyph.width()).contains(&cursor.point.column.0);
            if is_row_of_cursor && has_cursor && !cursor.input_needs_wrap {
                joined.to_cursor = joined.text.len();
                kept = (joined.text.len(), joined.cells.len());
            }
            // A wide character that did not fit leaves the last cell blank.
            let is_filler = has(col, Flags::LEADING_WIDE_CHAR_SPACER);
            if is_plain(glyph.c) && !is_invisible(glyph.c) && !is_filler {
                joined.cells.push((joined.text.len(), line, col));
                joined.text.push(glyph.c);
            }
            if glyph.c != ' ' {
                last = Some(col + glyph.width() - 1);
            }
            if glyph.c != ' ' || wrapped_at.is_some_and(|at| col <= at) {
                kept = (joined.text.len(), joined.cells.len());
            }
            col += glyph.width();
        }
        if is_row_of_cursor && cursor.input_needs_wrap {
            // Blanks before the cursor are a part of the text, also at the end of the row.
            joined.to_cursor = joined.text.len();
            kept = (joined.text.len(), joined.cells.len());
        }
        // The blanks at the end of a row are no part of its text.
        joined.text.truncate(kept.0);
        joined.cells.truncate(kept.1);
        joined.ends.push(joined.text.len());
        let is_full = last == Some(cols - 1);
        let is_wrapped = wrapped_at.is_some_and(|at| last.is_none_or(|last| last <= at));
        if !is_full && !is_wrapped {
            joined.text.push('\n');
        }
    }
    joined
}

pub(super) fn mask(rows: Rows<'_>, redactor: &Redactor) -> Mask {
    if redactor.is_empty() {
        return Mask::default();
    }
    let joined = join(rows);
    let mut mask = Mask { cols: rows.cols(), cells: Vec::new() };
    hide(&mut mask, &joined, find(&joined, redactor), rows);
    let drawn = joined.drawn();
    if let Some(redactor) = redactor.drawn() {
        hide(&mut mask, &drawn, find(&drawn, redactor), rows);
    }
    hide(&mut mask, &drawn, pieces(&drawn, redactor, rows.cols()), rows);
    mask
}

/// Returns where secrets are, in order.
fn find(joined: &Joined, redactor: &Redactor) -> Vec<Range<usize>> {
    let mut spans = redactor.spans(&joined.text);
    spans.extend(cut(joined, redactor));
    spans.sort_unstable_by_key(|span| span.start);
    spans.dedup_by(|next, span| {
        let overlaps = next.start < span.end;
        if overlaps {
            span.end = span.end.max(next.end);
        }
        overlaps
    });
    spans
}

/// Returns pieces of secrets. Their other parts were cut off at an edge, erased, moved or overwritten, so they can be anywhere.
fn pieces(drawn: &Joined, redactor: &Redactor, cols: usize) -> Vec<Range<usize>> {
    let mut found = redactor.pieces(&drawn.text);
    found.retain_mut(|piece| {
        let to_edge = cut_at(piece, drawn, cols);
        piece.end = to_edge.unwrap_or(piece.end).max(piece.end);
        to_edge.is_some() || !is_ordinary(&drawn.text[piece.clone()])
    });
    found
}

/// Returns the end of the last row that holds nothing but a part of this piece, or in which the piece goes to the right edge: that is
/// no chance.
fn cut_at(piece: &Range<usize>, drawn: &Joined, cols: usize) -> Option<usize> {
    let place = |byte| drawn.cells.partition_point(|(at, ..)| *at < byte);
    let rows = drawn.cells[place(piece.start)..place(piece.end)].chunk_by(|one, next| one.1 == next.1);
    let mut cut = rows.filter_map(|cells| {
        let (first, row, last_col) = (cells.first()?.0, cells.first()?.1, cells.last()?.2);
        let (start, end) = (drawn.starts[row], drawn.ends[row]);
        let is_whole = first == start && end <= piece.end;
        let is_at_edge = last_col + 1 + EDGE_CELLS >= cols;
        ((is_whole || is_at_edge) && piece.end.min(end) - first >= PIECE_BYTES_MIN).then_some(end)
    });
    cut.next_back()
}

fn hide(mask: &mut Mask, joined: &Joined, spans: Vec<Range<usize>>, rows: Rows<'_>) {
    for span in spans {
        mask.cells.resize(mask.cols * rows.count(), Masked::No);
        cover(mask, joined, &span, rows);
    }
}

/// Returns parts of secrets whose other part is not on the screen, because it scrolled out of the screen or of a scrolling region,
/// or has not come yet.
fn cut(joined: &Joined, redactor: &Redactor) -> Vec<Range<usize>> {
    let Joined { text, to_cursor, starts, ends, .. } = joined;
    let mut spans = Vec::new();
    for (index, (start, length)) in starts.iter().zip(redactor.ending_after(text, starts)).enumerate() {
        if length >= if index == 0 { 1 } else { PIECE_BYTES_MIN } {
            spans.push(*start..start + length);
        }
    }
    let mut places: Vec<(usize, usize)> = ends.iter().map(|end| (*end, PIECE_BYTES_MIN)).collect();
    places.push((*to_cursor, 1));
    places.sort_unstable();
    let positions: Vec<usize> = places.iter().map(|(position, _)| *position).collect();
    for ((end, least), length) in places.into_iter().zip(redactor.begun_before(text, &positions)) {
        if length >= least {
            spans.push(end - length..end);
        }
    }
    spans
}

fn cover(mask: &mut Mask, joined: &Joined, span: &Range<usize>, rows: Rows<'_>) {
    let first = joined.cells.partition_point(|(byte, ..)| *byte < span.start);
    let mut kind = Masked::Start;
    for (byte, row, col) in &joined.cells[first..] {
        if *byte >= span.end {
            break;
        }
        let width = glyph(rows.row(*row), *col, mask.cols).width();
        for cell in &mut mask.cells[row * mask.cols + col..][..width] {
            if *cell == Masked::No {
                *cell = kind;
            }
            kind = Masked::Rest;
        }
    }
}

impl Screen {
    /// What a person sees, as lines without the blanks at their ends and without empty lines at the
    /// end. No control characters, no characters that turn or hide text; what the program hides
    /// (SGR 8) is blank.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines(&Mask::default())
    }

    /// The same with every secret, and the beginning of one at the cursor, replaced by `***`. A secret
    /// that a program itself breaks into several rows is found where each row is full to its end.
    #[must_use]
    pub fn text_redacted(&self, redactor: &Redactor) -> String {
        self.lines(&mask(self.shown(), redactor))
    }

    /// What stands before the cursor, as far as it belongs together: the end of what was written last.
    #[must_use]
    pub fn before_cursor(&self) -> String {
        let mut joined = join(self.shown());
        joined.text.truncate(joined.to_cursor);
        joined.text
    }

    /// The screen as the monitor reads it: every row, and where the cursor is. A row that the terminal has wrapped goes on in the same
    /// line, except on the alternate screen, whose programs place each row. Sanitised as [`Self::text`]; a secret is a `*` in each of its
    /// cells, so that columns stay what they are.
    #[must_use]
    pub fn view(&self, redactor: &Redactor) -> ScreenView {
        let cursor = self.shown_cursor();
        let rows = self.shown();
        let (lines, first_rows) = self.unwrapped(rows, &mask(rows, redactor), ["*", "*"]);
        let row = usize::from(cursor.row);
        let line_of = |row: usize| first_rows.partition_point(|first| *first <= row).saturating_sub(1);
        let line = line_of(row);
        let pointed = if cursor.visible { None } else { self.pointed_row() };
        let pointed =
            pointed.and_then(|(row, by)| Some(Pointed { row: u16::try_from(line_of(row)).ok()?, by }));
        let before = (row - first_rows.get(line).copied().unwrap_or(row)) * self.term.grid().columns();
        ScreenView {
            lines,
            cols: self.size().cols,
            cursor_row: u16::try_from(line).unwrap_or(cursor.row),
            cursor_col: u16::try_from(before + usize::from(cursor.col)).unwrap_or(cursor.col),
            cursor_visible: cursor.visible,
            cursor_painted: cursor.visible && !self.cursor().visible,
            alternate: self.is_alternate(),
            pointed,
        }
    }

    /// The lines of [`Self::view`]; secrets as in [`Self::text_redacted`].
    #[must_use]
    pub fn lines_redacted(&self, redactor: &Redactor) -> Vec<String> {
        let rows = self.shown();
        self.unwrapped(rows, &mask(rows, redactor), ["***", ""]).0
    }

    /// The same with the lines above it that scrolled out and are kept, and the number of the first line of the screen. A line that
    /// begins above the screen counts as above it.
    #[must_use]
    pub fn kept_lines_redacted(&self, redactor: &Redactor) -> (Vec<String>, usize) {
        let rows = Rows::kept(self.term.grid());
        let (lines, first_rows) = self.unwrapped(rows, &mask(rows, redactor), ["***", ""]);
        (lines, first_rows.partition_point(|row| *row < rows.above))
    }

    fn shown(&self) -> Rows<'_> {
        Rows::shown(self.term.grid())
    }

    /// Lines, as many as there are rows, and the first row of each.
    fn unwrapped(&self, all: Rows<'_>, mask: &Mask, stars: [&str; 2]) -> (Vec<String>, Vec<usize>) {
        let (rows, last) = (all.count(), Column(all.cols() - 1));
        let wraps = |row: usize| {
            !self.is_alternate() && row + 1 < rows && all.row(row)[last].flags.contains(Flags::WRAPLINE)
        };
        let (mut lines, mut first_rows): (Vec<String>, Vec<usize>) = (Vec::new(), Vec::new());
        for row in 0..rows {
            if row == 0 || !wraps(row - 1) {
                lines.push(String::new());
                first_rows.push(row);
            }
            let Some(line) = lines.last_mut() else { continue };
            whole_row(all, row, mask, stars, line);
            if wraps(row) && all.row(row)[last].flags.contains(Flags::LEADING_WIDE_CHAR_SPACER) {
                // A wide character that did not fit begins the next row.
                line.pop();
            }
        }
        for line in &mut lines {
            line.truncate(line.trim_end_matches(' ').len());
        }
        lines.resize(rows, String::new());
        (lines, first_rows)
    }

    fn lines(&self, mask: &Mask) -> String {
        let mut text = String::new();
        for line in 0..self.term.screen_lines() {
            self.row(line, mask, ["***", ""], &mut text);
            text.push('\n');
        }
        text.truncate(text.trim_end_matches('\n').len());
        text
    }

    /// Appends a row without the blanks at its end. `stars` stand for the first cell of a secret, and for
    /// each of the others.
    fn row(&self, line: usize, mask: &Mask, stars: [&str; 2], text: &mut String) {
        let start = text.len();
        whole_row(self.shown(), line, mask, stars, text);
        text.truncate(start + text[start..].trim_end_matches(' ').len());
    }
}

/// Appends a row with the blanks at its end.
fn whole_row(rows: Rows<'_>, index: usize, mask: &Mask, stars: [&str; 2], text: &mut String) {
    let (row, cols) = (rows.row(index), rows.cols());
    let mut col = 0;
    while col < cols {
        let glyph = glyph(row, col, cols);
        match mask.at(index, col) {
            Masked::No if row[Column(col)].flags.contains(Flags::HIDDEN) => text.push(' '),
            Masked::No => {
                let marks = glyph.marks.iter().copied();
                text.extend(std::iter::once(glyph.c).chain(marks).filter(|c| is_plain(*c)));
            }
            Masked::Start => text.push_str(stars[0]),
            Masked::Rest => text.push_str(stars[1]),
        }
        if mask.at(index, col) != Masked::No && glyph.wide {
            text.push_str(stars[1]);
        }
        col += glyph.width();
    }
}
