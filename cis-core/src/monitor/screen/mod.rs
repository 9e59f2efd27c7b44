//! Reading screens: what stands where, what of it moves by itself, and what it asks.
//!
//! Owns the general knowledge of how programs ask on a screen: shapes of prompts, lists, dialogs, letters, words.
//! What single programs show is their profiles' business. Decides no verdict.

mod above;
mod dialog;
mod kinds;
mod letters;
mod meaning;
mod menu;
mod noise;
mod options;
mod page;
mod rows;
mod shape;
mod shell;
mod shown;
mod typed;
mod words;

pub(super) use above::{ABOVE_ROWS_MAX, Above, Compared, Reach};
pub(super) use kinds::{Asked, asks_below_text, is_question, kind_of, kind_of_dialog, tells_of_editor};
pub(super) use letters::named_above;
pub(crate) use meaning::{allows, goes_beyond_once, meaning_of, shows_other_numbers};
pub(super) use menu::{
    Menu, OpenMenu, asks, begins_question, button, has_number, is_chat, is_input, list_asked_above,
    menu_at_cursor, menu_of, open_menu, pointed_at,
};
pub(super) use noise::{has_gauges, is_clockwork, is_gauge, lists_the_same, steady, ticks, timeless};
pub(super) use options::{
    Keys, asks_on, buttons, is_against, is_spelled_out, letters, numbered, turn, turns,
};
pub(super) use page::{Page, Place, fingerprint, line_hash};
pub(super) use rows::{ends_asking, is_rule, unboxed, unpointed};
pub(super) use shape::{
    Shape, answers, asks_for_enter, continues, ends_program, ends_with_key, is_carrier, is_listener, presses,
    shape_of,
};
pub(super) use shell::is_shell_prompt;
pub(super) use shown::{At, Shown};
pub use typed::{Around, Choice};

use regex::Regex;

/// A pattern that stands in the code.
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}
