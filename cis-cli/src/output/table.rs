//! Columns that line up.

use std::fmt::Write as _;

use anstyle::Style;

use super::clean::clean;
use super::style::{DIM, PLAIN};

/// One cell.
pub(crate) struct Cell {
    text: String,
    style: Style,
}

/// A cell of that text, made harmless.
pub(crate) fn cell(text: impl AsRef<str>, style: Style) -> Cell {
    Cell { text: clean(text.as_ref()).into_owned(), style }
}

/// A cell without a style.
pub(crate) fn plain(text: impl AsRef<str>) -> Cell {
    cell(text, PLAIN)
}

/// Rows below a head.
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|name| cell(name, DIM)).collect()] }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Two spaces between columns, none at the end of a line.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
            for (column, Cell { text, style }) in row.iter().enumerate().take(last + 1) {
                let fill = if column == last { 0 } else { widths[column] + 2 - text.chars().count() };
                let _ = write!(out, "{style}{text}{style:#}{:fill$}", "");
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_where_their_text_does() {
        let mut table = Table::new(&["A", "LONG", "C"]);
        table.row(vec![plain("word"), plain("x"), plain("")]);
        table.row(vec![plain("ü"), plain(""), plain("end\x1b")]);
        let text = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(text, "A     LONG  C\nword  x\nü           end?\n");
    }
}
