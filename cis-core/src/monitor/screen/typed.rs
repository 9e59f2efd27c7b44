//! What a screen shows of an answer while it is typed: the line at the cursor, what stands around it, and where which menu points.

use std::sync::LazyLock;

use regex::Regex;
use unicode_width::UnicodeWidthStr;

use super::menu::{Menu, menu_of};
use super::noise::timeless;
use super::options::letters;
use super::page::Page;
use super::pattern;
use super::rows::unboxed;
use crate::monitor::ScreenView;

/// A key alone is the answer, and what it does is named.
static PRESSES: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(?:press|hit|push|strike)\b[^,;]{0,40}\b(?:any key|enter|return)\b"));
/// Beside that key, words can be typed, too.
static OR_WORDS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(?:or|type|input|otherwise|else|answer|default)\b"));
/// Unless what else can be typed is one key.
static OR_KEY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)\bor\s+(?:(?:press|hit|type|enter)\s+)?(?:["'\[(<‘“]?(?:ctrl[-+])?[b-z0-9]["'\])>’”]?(?:[\s:;,.]|$)|["'\[(<]?a["'\])>]?\s+(?:to|for)\b|["'\[(<]?(?:esc|escape|space|tab)\b)"#,
    )
});
/// How questions end before a value that a program offers in its line.
const ENDS: &str = "?:>$#%])}»❯›➜λ：？";
/// Words of an instruction, which are no offered value.
static TELLS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)\b(?:enter|type|press|hit|push|choose|select|pick|input|your|please|answer|confirm)\b")
});

impl ScreenView {
    /// The text left of the cursor in its row, without times, which change by themselves, and blanks at its end.
    #[must_use]
    pub fn before_cursor(&self) -> String {
        let page = Page::of(self.clone());
        timeless(page.lead.trim_end()).into_owned()
    }

    /// Everything but the line at the cursor, without times.
    #[must_use]
    pub fn around_cursor(&self) -> Around {
        let page = Page::of(self.clone());
        let cursor = page.cursor_row();
        let rows = |range: std::ops::Range<usize>| {
            range.map(|row| timeless(page.row(row).trim_end()).into_owned()).collect::<Vec<_>>()
        };
        let line: String = page.row(cursor).chars().skip(page.lead.chars().count()).collect();
        Around {
            above: rows(0..cursor),
            behind: timeless(line.trim()).into_owned(),
            below: rows(cursor + 1..page.end().max(cursor + 1)),
        }
    }

    /// Whether the line at the cursor holds text that a program offers to edit (`read -e -i`): words would be added to it.
    #[must_use]
    pub fn is_prefilled(&self) -> bool {
        let page = Page::of(self.clone());
        let is_at_text = page.lead.width() >= usize::from(self.cursor_col)
            && page.lead.ends_with(|c: char| c.is_alphanumeric() || "/_-.~@+\"'".contains(c));
        // Named answers and what is to be done are a part of the question.
        let is_value = |text: &str| letters(text, true).len() < 2 && !TELLS.is_match(text);
        is_at_text && offered(unboxed(&page.lead)).is_some_and(is_value)
    }

    /// Whether the cursor is shown behind a prompt, as at the lines of programs that take each key as it comes. Those that let somebody choose
    /// hide it, or leave it in an empty row or behind the last option.
    #[must_use]
    pub fn shows_line(&self) -> bool {
        let row = self.lines.get(usize::from(self.cursor_row)).map_or("", |row| row.as_str());
        let lead: String = row.chars().take(usize::from(self.cursor_col)).collect();
        // Programs that paint a cursor of their own take Enter as a text where it comes with words, or clear what stood there.
        let shows = self.cursor_visible && !self.cursor_painted;
        shows && lead.trim_end().ends_with(|c: char| !c.is_alphanumeric())
    }

    /// Whether Enter alone is the answer that is asked for, or any key: Enter behind other words would do the same.
    #[must_use]
    pub fn awaits_key(&self) -> bool {
        let page = Page::of(self.clone());
        let line = unboxed(&page.lead);
        PRESSES.is_match(line)
            && (!OR_WORDS.is_match(line) || OR_KEY.is_match(line))
            && letters(line, true).len() < 2
    }

    /// Whether somebody chooses with keys on this screen and has no line to type into: Enter behind words would choose what is
    /// pointed at. `lines`: the terminal collects lines, also in an empty row.
    #[must_use]
    pub fn chooses(&self, lines: bool) -> bool {
        let page = Page::of(self.clone());
        let Some(menu) = menu_of(&page) else { return false };
        if !lines && unboxed(&page.lead).is_empty() && unboxed(page.row(page.cursor_row())).is_empty() {
            return true;
        }
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

/// The text behind the last end of a question in a line.
fn offered(line: &str) -> Option<&str> {
    let lists = line.matches(')').count() > 1;
    let ends = |(at, end): &(usize, &str)| {
        let rest = &line[at + end.len()..];
        rest.starts_with(char::is_whitespace) && !(lists && *end == ")")
    };
    let (at, end) = line.rmatch_indices(|c| ENDS.contains(c)).find(ends)?;
    Some(line[at + end.len()..].trim()).filter(|text| !text.is_empty())
}

/// What stands around the line at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Around {
    above: Vec<String>,
    /// Right of the cursor.
    behind: String,
    below: Vec<String>,
}

impl Around {
    /// Whether nothing but the line changed since then. What was offered behind the cursor may have gone.
    #[must_use]
    pub fn is_as(&self, then: &Self) -> bool {
        self.above == then.above && self.below == then.below && then.behind.ends_with(&self.behind)
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
            ScreenView { cursor_row: row, cursor_visible, ..view(screen) }.chooses(true)
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

    #[test]
    fn words_are_no_answer_in_the_empty_row_below_a_list_of_boxes() {
        let boxes = "? Which? (space to select)\n❯ ◯ Delete all\n  ◯ Keep all\n";
        let at = |lines| ScreenView { cursor_row: 3, cursor_visible: true, ..view(boxes) }.chooses(lines);
        assert!(at(false) && !at(true), "a terminal that collects lines has one there");
    }

    /// A screen with the cursor behind its last row.
    #[test]
    fn a_line_of_a_program_that_takes_keys_has_a_prompt_before_the_cursor() {
        for line in ["Name: ", "Proceed? [y/N] ", ">>> ", "user@host:~$ ", "(gdb) ", "In [1]: "] {
            assert!(at_end(line).shows_line(), "{line}");
            assert!(!ScreenView { cursor_visible: false, ..at_end(line) }.shows_line(), "{line}");
        }
        for menu in ["  Install\n* Repair\n  Quit", "Pick\n[x] All\n[ ] None ", "Pick one:\n  a\n  b\n "] {
            assert!(!at_end(menu).shows_line(), "{menu}");
        }
    }

    fn at_end(screen: &str) -> ScreenView {
        let view = view(screen);
        let last = view.lines.last().map_or(0, |line| line.width());
        let cursor_row = u16::try_from(view.lines.len() - 1).unwrap();
        ScreenView { cursor_row, cursor_col: u16::try_from(last).unwrap(), cursor_visible: true, ..view }
    }

    #[test]
    fn a_value_in_the_line_is_known() {
        for line in [
            "Host: 12",
            "Delete it? [y/N] y",
            "Host name: localhost",
            "bash-5.2$ rm -rf /tmp/a",
            "package name: (classic) foo",
            "Path> /srv/a b",
            "名前： ada",
        ] {
            assert!(at_end(line).is_prefilled(), "{line}");
        }
        for line in [
            "Host: ",
            "Delete it? [y/N] ",
            "Delete it? y/n",
            "Delete it? (y) yes (n) no",
            "(Y)es/(N)o",
            "Step 2: enter a number",
            "sqlite> ",
            "Name",
            "Proceed ([y]/n)?",
        ] {
            assert!(!at_end(line).is_prefilled(), "{line}");
        }
        let behind_a_blank = ScreenView { cursor_col: 8, ..at_end("Host: a") };
        assert!(!behind_a_blank.is_prefilled(), "rows are shown without blanks at their ends");
    }

    #[test]
    fn a_key_alone_is_known() {
        for line in [
            "Press Enter to delete",
            "Press ENTER to continue...",
            "Hit any key: ",
            "Please press return",
            "Press Enter to erase the disk, or s to skip: ",
            "Press Enter to erase, or 'a' to abort",
            "Hit ENTER to wipe it or press Esc",
        ] {
            assert!(at_end(line).awaits_key(), "{line}");
        }
        for line in [
            "Type yes to continue: ",
            "Press Enter to accept the default, or a name: ",
            "Name: ",
            "Press Enter or y to go on [y/n] ",
        ] {
            assert!(!at_end(line).awaits_key(), "{line}");
        }
    }

    #[test]
    fn what_stands_around_the_line_is_compared() {
        let before = at_end("A question\nDelete it? [y/N] ").around_cursor();
        assert!(at_end("A question\nDelete it? [y/N] n").around_cursor().is_as(&before));
        assert!(!at_end("Format it? [Y/n]\nDelete it? [y/N] n").around_cursor().is_as(&before));
        let below =
            ScreenView { cursor_row: 1, ..at_end("A question\nDelete it? [y/N] n\nFormat it? [Y/n]") };
        assert!(!below.around_cursor().is_as(&before));
        let behind = ScreenView { cursor_col: 18, ..at_end("A question\nDelete it? [y/N] n   Format it?") };
        assert!(!behind.around_cursor().is_as(&before));
    }
}
