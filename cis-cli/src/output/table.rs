//! Columns that line up.

use std::fmt::Write as _;

use anstyle::Style;
use cis_core::text::cells;

use super::clean::clean;
use super::style::{DIM, PLAIN};
pub(crate) use cis_core::text::cut;

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

    /// Cells of the longest line.
    pub(crate) fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
    }

    /// Removes the column of that head.
    pub(crate) fn drop_column(&mut self, head: &str) {
        if let Some(column) = self.column(head) {
            for row in self.rows.iter_mut().filter(|row| column < row.len()) {
                row.remove(column);
            }
        }
    }

    /// Removes the column of that head if it has no content.
    pub(crate) fn drop_empty(&mut self, head: &str) {
        let Some(column) = self.column(head) else { return };
        let is_empty = |row: &Vec<Cell>| row.get(column).is_none_or(|cell| cell.text.is_empty());
        if self.rows.iter().skip(1).all(is_empty) {
            self.drop_column(head);
        }
    }

    /// Cuts the widest of these columns until lines have at most `width` cells, but never below their heads.
    pub(crate) fn narrow(&mut self, heads: &[&str], width: usize) {
        while self.width() > width {
            let widths = self.widths();
            let columns = heads.iter().filter_map(|head| self.column(head).map(|column| (column, *head)));
            let cuttable = columns.filter(|(column, head)| widths[*column] > cells(head));
            let Some((column, _)) = cuttable.max_by_key(|(column, _)| widths[*column]) else { return };
            for row in &mut self.rows {
                if let Some(cell) = row.get_mut(column) {
                    cell.text = cut(&cell.text, widths[column] - 1);
                }
            }
        }
    }

    fn column(&self, head: &str) -> Option<usize> {
        self.rows.first()?.iter().position(|cell| cell.text == head)
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let column = self.rows.iter().filter_map(|row| row.get(column));
            column.map(|cell| cells(&cell.text)).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }

    /// Two spaces between columns, none at the end of a line.
    pub(crate) fn render(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for row in &self.rows {
            let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
            for (column, Cell { text, style }) in row.iter().enumerate().take(last + 1) {
                let fill = if column == last { 0 } else { widths[column] + 2 - cells(text) };
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
    fn a_table_is_cut_to_a_width_and_never_below_its_heads() {
        let table = || {
            let mut table = Table::new(&["A", "LONG", "NONE", "C"]);
            table.row(vec![plain("word"), plain("a longer text"), plain(""), plain("x")]);
            table
        };
        let text = |table: &Table| anstream::adapter::strip_str(&table.render()).to_string();
        let mut cut = table();
        cut.drop_empty("NONE");
        cut.drop_empty("C");
        cut.narrow(&["LONG"], 18);
        assert_eq!(text(&cut), "A     LONG       C\nword  a longer…  x\n");
        cut.narrow(&["LONG"], 5);
        assert_eq!(text(&cut), "A     LONG  C\nword  a l…  x\n");
        cut.drop_column("LONG");
        assert_eq!((text(&cut).as_str(), cut.width()), ("A     C\nword  x\n", 7));
    }

    #[test]
    fn columns_line_up_and_lines_end_where_their_text_does() {
        let mut table = Table::new(&["A", "LONG", "C"]);
        table.row(vec![plain("word"), plain("x"), plain("")]);
        table.row(vec![plain("ü"), plain(""), plain("end\x1b")]);
        let text = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(text, "A     LONG  C\nword  x\nü           end?\n");
    }
}
