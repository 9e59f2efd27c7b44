//! What a screen shows of an answer while it is typed: the line at the cursor, and where which menu points.

use super::menu::{Menu, menu_of};
use super::noise::timeless;
use super::page::Page;
use crate::monitor::ScreenView;

impl ScreenView {
    /// The text left of the cursor in its row, without times, which change by themselves, and blanks at its end.
    #[must_use]
    pub fn before_cursor(&self) -> String {
        let page = Page::of(self.clone());
        timeless(page.lead.trim_end()).into_owned()
    }

    /// Whether somebody chooses with keys on this screen and has no line to type into: Enter behind words would choose what is
    /// pointed at.
    #[must_use]
    pub fn chooses(&self) -> bool {
        let page = Page::of(self.clone());
        let Some(menu) = menu_of(&page) else { return false };
        let cursor = usize::from(self.cursor_row);
        let is_in_line = match menu.buttons.is_empty() {
            // A field of a dialog stands above its buttons.
            false => cursor != menu.row,
            true => cursor >= Choices::of(&page, &menu).end,
        };
        !(self.cursor_visible && is_in_line)
    }

    /// The menu on the screen, of which these keys choose an option.
    #[must_use]
    pub fn choice_by(&self, keys: &[u8]) -> Option<Choice> {
        let page = Page::of(self.clone());
        let menu = menu_of(&page)?;
        let chosen = menu.options.iter().position(|option| option.keys.as_bytes() == keys)?;
        Some(Choice { shown: Choices::of(&page, &menu), chosen })
    }
}

/// An option of a menu, with the menu that it was chosen in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    shown: Choices,
    chosen: usize,
}

impl Choice {
    /// Whether the screen shows the same menu, which points at this option. The menu may have scrolled. One that describes the option
    /// that it points at is another one: nobody was shown that yet.
    #[must_use]
    pub fn is_pointed_at(&self, view: &ScreenView) -> bool {
        let page = Page::of(view.clone());
        let Some(menu) = menu_of(&page) else { return false };
        let Some(pointed) = menu.options.iter().position(|option| option.keys == "\r") else { return false };
        let now = Choices::of(&page, &menu);
        let (was, is) = (&self.shown.labels, &now.labels);
        let fits = self.shown.question == now.question
            && self.shown.below == now.below
            && was.len() == is.len()
            && was[self.chosen] == is[pointed];
        // What stands around the option, as far as both show it.
        let above = was[..self.chosen].iter().rev().zip(is[..pointed].iter().rev());
        let below = was[self.chosen..].iter().zip(&is[pointed..]);
        let is_alone = was.iter().filter(|label| **label == was[self.chosen]).count() == 1;
        fits && above.chain(below).all(|(was, is)| was == is) && (is_alone || pointed == self.chosen)
    }
}

/// What a menu shows, without times.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Choices {
    question: String,
    labels: Vec<String>,
    /// The rows below the options.
    below: Vec<String>,
    /// The first of them.
    end: usize,
}

impl Choices {
    fn of(page: &Page, menu: &Menu) -> Self {
        let last = menu.options.last().map_or("", |option| &option.label);
        let rows: Vec<&str> = (menu.row..page.end()).map(|row| page.row(row)).collect();
        let options_end = rows.iter().rposition(|row| row.contains(last)).map_or(0, |row| row + 1);
        Self {
            question: timeless(&menu.question).into_owned(),
            labels: menu.options.iter().map(|option| timeless(&option.label).into_owned()).collect(),
            below: rows[options_end..].iter().map(|row| timeless(row).into_owned()).collect(),
            end: menu.row + options_end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(screen: &str) -> ScreenView {
        ScreenView { lines: screen.lines().map(str::to_owned).collect(), cols: 80, ..ScreenView::default() }
    }

    #[test]
    fn an_option_is_pointed_at_in_the_menu_that_it_was_chosen_in() {
        let choose = |screen, keys: &str| view(screen).choice_by(keys.as_bytes()).unwrap();
        let yes = choose("Delete the old logs?\n❯ 1. Keep\n  2. Yes\n  3. Cancel", "\x1b[B\r");
        let points = |screen| yes.is_pointed_at(&view(screen));
        assert!(points("Delete the old logs?\n  1. Keep\n❯ 2. Yes\n  3. Cancel"));
        for other in [
            "Delete the old logs?\n❯ 1. Keep\n  2. Yes\n  3. Cancel",
            "Drop the production database?\n  1. Keep\n❯ 2. Yes\n  3. Cancel",
            "Delete the old logs?\n  1. Delete everything\n❯ 2. Yes\n  3. Format the disk",
            "Delete the old logs?",
        ] {
            assert!(!points(other), "{other}");
        }
        let scrolls = choose("? Where to:\n❯ test\n  east\n  west", "\x1b[B\x1b[B\r");
        assert!(scrolls.is_pointed_at(&view("? Where to:\n  east\n❯ west\n  north")));
        assert!(!scrolls.is_pointed_at(&view("? Where to:\n  north\n❯ west\n  east")));
        let files = choose("What to do?\n❯ Keep\n  Archive it\n  Quit\n\n(enter) in /tmp/a", "\x1b[B\r");
        let points = |screen| files.is_pointed_at(&view(screen));
        assert!(points("What to do?\n  Keep\n❯ Archive it\n  Quit\n\n(enter) in /tmp/a"));
        for other in [
            "What to do?\n  Keep\n❯ Archive it and delete the rest\n  Quit\n\n(enter) in /tmp/a",
            "What to do?\n  Keep\n❯ Archive\n  Quit\n\n(enter) in /tmp/a",
            "What to do?\n  Keep none\n❯ Archive it\n  Quit\n\n(enter) in /tmp/a",
            "What to do?\n  Keep\n❯ Archive it\n\n(enter) in /tmp/a",
            "What to do?\n  Keep\n❯ Archive it\n  Quit\n\n(enter) in /",
        ] {
            assert!(!points(other), "{other}");
        }
    }

    #[test]
    fn words_are_no_answer_where_somebody_chooses_with_keys() {
        let chooses = |screen: &str, row: u16, cursor_visible| {
            ScreenView { cursor_row: row, cursor_visible, ..view(screen) }.chooses()
        };
        let menu = "? What to do?\n❯ Delete all\n  Keep all\n";
        assert!(chooses(menu, 0, true) && chooses(menu, 2, true) && chooses(menu, 3, false));
        let line = "? What to do?\n❯ Delete all\n  Keep all\nYour name: ";
        assert!(!chooses(line, 3, true));
        let dialog = "┌──────────────┐\n│ Delete all?  │\n│ <Yes>   <No> │\n└──────────────┘";
        assert!(chooses(dialog, 2, true) && chooses(dialog, 0, false));
        let field =
            "┌──────────────┐\n│ Your name    │\n│ ada          │\n│ <Ok> <Cancel>│\n└──────────────┘";
        assert!(!chooses(field, 2, true));
        assert!(!chooses("Your name: ", 0, true) && !chooses("Go on? [y/N] ", 0, false));
    }
}
