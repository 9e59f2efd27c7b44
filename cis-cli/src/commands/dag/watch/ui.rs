//! What the person at the view does: where they are in the list, what is open over it, and what a key means.
//! Pure: keys in, wishes out.

pub(super) mod form;
pub(super) mod log;
pub(super) mod press;

use std::collections::BTreeMap;

use self::form::Form;
use self::log::Log;
use super::board::Board;
use super::board::tree::{self, Filter, Key, Row, Wanted};
use crate::progress::model::Index;

/// What stands over the list.
#[derive(Debug)]
pub(super) enum Over {
    /// What the keys do.
    Help,
    /// The run is to be cancelled: really?
    Cancel,
    /// Which tasks are to run again?
    Retry,
    /// An answer is given.
    Answer(Form),
    /// What a task printed.
    Log(Log),
}

/// Where the person is.
#[derive(Debug, Default)]
pub(super) struct Ui {
    /// The lines of the list.
    pub(super) rows: Vec<Row>,
    /// Which of them is chosen.
    pub(super) at: usize,
    /// The first that is in sight.
    pub(super) top: usize,
    /// What is listed.
    pub(super) filter: Filter,
    /// Only names with this.
    pub(super) search: String,
    /// The search is being typed.
    pub(super) searching: bool,
    /// What stands over the list.
    pub(super) over: Option<Over>,
    /// Something to be read until the next key.
    pub(super) message: Option<Message>,
    /// Where there is no room for both: the task instead of the list.
    pub(super) closer: bool,
    /// How many lines of the list are in sight; known once it was drawn.
    pub(super) page: usize,
    by_hand: BTreeMap<Key, bool>,
}

/// Something said at the bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// In words.
    pub(super) text: String,
    /// It did not work.
    pub(super) bad: bool,
}

impl Message {
    /// It worked.
    pub(super) fn good(text: impl Into<String>) -> Self {
        Self { text: text.into(), bad: false }
    }

    /// It did not.
    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self { text: text.into(), bad: true }
    }
}

impl Ui {
    /// The board has changed, or what is wanted of it.
    pub(super) fn refresh(&mut self, board: &Board) {
        let selected = self.key();
        let by_hand = |key: Key| self.by_hand.get(&key).copied();
        let wanted = Wanted { filter: self.filter, search: &self.search, by_hand: &by_hand, selected };
        self.rows = tree::rows(board, &wanted);
        let found = selected.and_then(|key| self.rows.iter().position(|row| row.key == key));
        self.at = found.unwrap_or(self.at).min(self.rows.len().saturating_sub(1));
        self.look_at_form(board);
    }

    /// What is chosen.
    pub(super) fn key(&self) -> Option<Key> {
        self.rows.get(self.at).map(|row| row.key)
    }

    /// The task that is chosen.
    pub(super) fn task(&self) -> Option<Index> {
        match self.key() {
            Some(Key::Task(index)) => Some(index),
            _ => None,
        }
    }

    /// Brings what is chosen into sight, where so many lines are.
    pub(super) fn scroll(&mut self, page: usize) {
        self.page = page.max(1);
        self.top = self.top.min(self.at).max((self.at + 1).saturating_sub(self.page));
        self.top = self.top.min(self.rows.len().saturating_sub(self.page));
    }

    /// Chooses that task, and shows all it stands below.
    pub(super) fn choose(&mut self, board: &Board, index: Index) {
        let listed = |ui: &Self| ui.rows.iter().position(|row| row.key == Key::Task(index));
        if listed(self).is_none() {
            (self.filter, self.search) = (Filter::All, String::new());
            let mut above = board.tree.above(index);
            while let Some(parent) = above {
                self.by_hand.insert(Key::Task(parent), true);
                above = board.tree.above(parent);
            }
            self.refresh(board);
        }
        if let Some(at) = listed(self) {
            self.at = at;
        }
    }

    /// A prompt that is no longer there is not answered.
    fn look_at_form(&mut self, board: &Board) {
        let Some(Over::Answer(form)) = &self.over else { return };
        let asked = board.more[form.task].asked.iter().find(|asked| asked.item == form.asked.item);
        if asked.is_none_or(|asked| asked.hash != form.asked.hash) {
            self.over = None;
            self.message = Some(Message::bad("What was asked is no longer there: nothing was answered."));
        }
    }
}

#[cfg(test)]
mod tests;
