//! Whether the cursor stands on text that somebody is to edit.

use super::Screen;
use super::grid::{Colour, Style};

impl Screen {
    /// Whether the cursor stands on text, as in a filled field of a form: what is typed would be added in front of it. Hints, which
    /// go away with the first key, do not count: programs draw them weakly.
    #[must_use]
    pub fn is_on_text(&self) -> bool {
        let (cursor, mut cells) = (self.shown_cursor(), Vec::new());
        self.line(i32::from(cursor.row), &mut cells);
        if !cursor.visible {
            return false;
        }
        let behind = cells.iter().skip(usize::from(cursor.col));
        // An empty field may be shown as a line of `_`.
        let mut word = behind.take_while(|cell| cell.c.is_alphanumeric() || "/_-.~@+\"'".contains(cell.c));
        word.any(|cell| cell.c.is_alphanumeric() && !is_weak(&cell.style))
    }
}

/// Dim, or of a gray between the colors of text.
pub(super) fn is_weak(style: &Style) -> bool {
    let is_gray = match style.text {
        Colour::Indexed(index) => index == 8 || (238..=249).contains(&index),
        Colour::Rgb(r, g, b) => {
            let (least, most) = (r.min(g).min(b), r.max(g).max(b));
            most - least <= 24 && (0x40..=0xb0).contains(&most)
        }
        Colour::Text | Colour::Ground => false,
    };
    style.dim || is_gray
}

#[cfg(test)]
mod tests {
    use super::super::TermSize;
    use super::*;

    fn on_text(text: &str) -> bool {
        let mut screen = Screen::new(TermSize { cols: 40, rows: 10 });
        screen.feed(text.as_bytes());
        screen.is_on_text()
    }

    #[test]
    fn a_cursor_at_the_beginning_of_a_filled_field_is_on_text() {
        assert!(on_text("Name: \x1b[4mbob\x1b[0m\x1b[1;7H"));
        assert!(on_text("Path: \x1b[30;47m/data/tmp \x1b[0m\x1b[1;7H"));
        assert!(!on_text("Name: \x1b[4mbob\x1b[0m"), "behind it");
        assert!(!on_text("Name:      \x1b[1;7H"));
        assert!(!on_text("Name: │\x1b[1;7H"), "a frame");
        assert!(!on_text("Name: ________\x1b[1;7H"), "an empty field");
        assert!(on_text("Path: /srv\x1b[1;7H"));
        assert!(!on_text("Name: bob\x1b[1;7H\x1b[?25l"), "hidden");
    }

    #[test]
    fn a_hint_is_no_text() {
        for style in ["2", "90", "38;5;8", "38;5;244", "38;2;128;128;130"] {
            assert!(!on_text(&format!("Name: \x1b[{style}mada\x1b[0m\x1b[1;7H")), "{style}");
        }
        assert!(on_text("Name: \x1b[38;2;220;220;220mada\x1b[0m\x1b[1;7H"));
    }
}
