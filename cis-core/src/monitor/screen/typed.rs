//! What a screen shows of an answer while it is typed: the line at the cursor, and where which menu points.

use super::menu::menu_of;
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

    /// The menu on the screen, of which these keys choose an option.
    #[must_use]
    pub fn choice_by(&self, keys: &[u8]) -> Option<Choice> {
        let (question, labels, _) = choices(self)?;
        let menu = menu_of(&Page::of(self.clone()))?;
        let chosen = menu.options.iter().position(|option| option.keys.as_bytes() == keys)?;
        Some(Choice { question, labels, chosen })
    }
}

/// An option of a menu, with the menu that it was chosen in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    question: String,
    labels: Vec<String>,
    chosen: usize,
}

impl Choice {
    /// Whether the screen shows the same menu, which points at this option. The menu may have scrolled.
    #[must_use]
    pub fn is_pointed_at(&self, view: &ScreenView) -> bool {
        let Some((question, labels, Some(pointed))) = choices(view) else { return false };
        if question != self.question || !is_same_option(&self.labels[self.chosen], &labels[pointed]) {
            return false;
        }
        // What stands around the option, as far as both show it.
        let above = self.labels[..self.chosen].iter().rev().zip(labels[..pointed].iter().rev());
        let below = self.labels[self.chosen..].iter().zip(&labels[pointed..]);
        let mut both = above.chain(below);
        let is = &labels[pointed];
        let fits = |label: &&String| {
            if self.labels[self.chosen] == *is { *label == is } else { is_same_option(label, is) }
        };
        let is_alone = self.labels.iter().filter(fits).count() == 1;
        let in_place = pointed == self.chosen && self.labels.len() == labels.len();
        both.all(|(was, is)| is_same_option(was, is)) && (is_alone || in_place)
    }
}

/// Question and labels of the menu on a screen, without times, and the option that it points at.
fn choices(view: &ScreenView) -> Option<(String, Vec<String>, Option<usize>)> {
    let menu = menu_of(&Page::of(view.clone()))?;
    let labels = menu.options.iter().map(|option| timeless(&option.label).into_owned()).collect();
    let pointed = menu.options.iter().position(|option| option.keys == "\r");
    Some((timeless(&menu.question).into_owned(), labels, pointed))
}

/// Some programs describe the option that they point at, behind its words.
fn is_same_option(was: &str, is: &str) -> bool {
    let described =
        |long: &str, short: &str| long.strip_prefix(short).is_some_and(|more| more.starts_with(' '));
    was == is || described(was, is) || described(is, was)
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
        let described = choose("? Where to:\n❯ test\n  prod\n  prod west", "\x1b[B\r");
        assert!(described.is_pointed_at(&view("? Where to:\n  test\n❯ prod (with care)\n  prod west")));
        assert!(!described.is_pointed_at(&view("? Where to:\n  test\n  prod\n❯ prod west")));
    }
}
