//! What a screen shows of an answer while it is typed: the line at the cursor, and where a menu points.

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

    /// The words of the option that these keys choose in the menu on the screen.
    #[must_use]
    pub fn chosen_by(&self, keys: &[u8]) -> Option<String> {
        let menu = menu_of(&Page::of(self.clone()))?;
        let chosen = menu.options.iter().find(|option| option.keys.as_bytes() == keys)?;
        Some(timeless(&chosen.label).into_owned())
    }

    /// Whether the menu on the screen points at the option with these words. Some programs describe the option that they point at, behind
    /// its words.
    #[must_use]
    pub fn points_at(&self, option: &str) -> bool {
        let Some(menu) = menu_of(&Page::of(self.clone())) else { return false };
        let labels: Vec<_> =
            menu.options.iter().map(|one| (timeless(&one.label), one.keys == "\r")).collect();
        let described =
            |long: &str, short: &str| long.strip_prefix(short).is_some_and(|more| more.starts_with(' '));
        let is_it = |label: &str| described(label, option) || described(option, label);
        match labels.iter().find(|(label, _)| label == option) {
            Some((_, is_pointed)) => *is_pointed,
            None => {
                let mut fitting = labels.iter().filter(|(label, _)| is_it(label));
                fitting.next().is_some_and(|(_, is_pointed)| *is_pointed) && fitting.next().is_none()
            }
        }
    }
}
