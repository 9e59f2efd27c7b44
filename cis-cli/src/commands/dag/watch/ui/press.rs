//! What a key means.

use cis_core::event::{RetryScope, RunState};

use super::super::board::tree::{Filter, Key as Place};
use super::super::board::{Asked, Board};
use super::form::{Form, Given, Pressed};
use super::log::Log;
use super::{Message, Over, Ui};
use crate::progress::model::Index;
use crate::term::keys::Key;

/// Longer names there are not.
const SEARCH_MAX: usize = 80;

/// What is to be done that the view itself cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Leave; the run goes on.
    Quit,
    /// To the session of that task.
    Attach(Index),
    /// The log of that task, shown in [`Over::Log`].
    Log(Index),
    /// The log is closed.
    LogClosed,
    /// The run.
    Cancel,
    Pause,
    Resume,
    Retry(RetryScope),
    /// That prompt of that task, as the person saw it.
    Answer {
        task: Index,
        asked: Box<Asked>,
        given: Given,
    },
}

impl Ui {
    /// Takes a key.
    pub(in super::super) fn press(&mut self, board: &Board, key: &Key) -> Option<Wish> {
        self.message = None;
        if let Some(over) = self.over.take() {
            return self.press_over(board, over, key);
        }
        if self.searching {
            return self.press_search(board, key);
        }
        match key {
            Key::Char('q') | Key::Ctrl('c') => return Some(Wish::Quit),
            Key::Char('?') => self.over = Some(Over::Help),
            Key::Char('/') => self.searching = true,
            Key::Char('f') => {
                self.filter = self.filter.next();
                self.refresh(board);
            }
            Key::Escape => {
                (self.filter, self.closer) = (Filter::All, false);
                self.search.clear();
                self.refresh(board);
            }
            Key::Tab => self.closer = !self.closer,
            Key::Char('w') => self.next_waiting(board),
            Key::Char('a') => self.answer(board),
            Key::Char('c') => self.of_open_run(board, Over::Cancel),
            Key::Char('r') => self.retry(board),
            Key::Char('p') => return self.pause(board),
            Key::Enter => return self.enter(board),
            Key::Char('l') => return self.log(),
            _ => self.walk(board, key),
        }
        None
    }

    fn walk(&mut self, board: &Board, key: &Key) {
        let last = self.rows.len().saturating_sub(1);
        let page = self.page.max(2) - 1;
        match key {
            Key::Up | Key::Char('k') => self.at = self.at.saturating_sub(1),
            Key::Down | Key::Char('j') => self.at = (self.at + 1).min(last),
            Key::PageUp | Key::Ctrl('b') => self.at = self.at.saturating_sub(page),
            Key::PageDown | Key::Ctrl('f') => self.at = (self.at + page).min(last),
            Key::Home | Key::Char('g') => self.at = 0,
            Key::End | Key::Char('G') => self.at = last,
            Key::Right => self.fold(board, Some(true)),
            Key::Left => self.fold(board, Some(false)),
            Key::Char(' ') => self.fold(board, None),
            _ => {}
        }
    }

    /// Opens or closes what is chosen; closed already, goes to the one that it stands below.
    fn fold(&mut self, board: &Board, open: Option<bool>) {
        let Some(row) = self.rows.get(self.at) else { return };
        let (key, is_open) = (row.key, row.folded.is_none());
        let wanted = open.unwrap_or(!is_open);
        if row.opens && wanted != is_open {
            self.by_hand.insert(key, wanted);
            self.refresh(board);
        } else if open == Some(false) {
            let above = match key {
                Place::Task(index) => board.tree.above(index),
                Place::Rest(parent) => parent,
            };
            let found =
                above.and_then(|above| self.rows.iter().position(|row| row.key == Place::Task(above)));
            self.at = found.unwrap_or(self.at);
        }
    }

    fn next_waiting(&mut self, board: &Board) {
        let waiting = board.waiting();
        let now = self.task().and_then(|task| waiting.iter().position(|index| *index == task));
        let next = now.map_or(0, |place| (place + 1) % waiting.len());
        match waiting.get(next) {
            Some(index) => self.choose(board, *index),
            None => self.message = Some(Message::good("Nothing waits for you.")),
        }
    }

    fn answer(&mut self, board: &Board) {
        let asked = self.task().and_then(|task| Some((task, board.more[task].open()?)));
        // Whoever sees that one waits means that one.
        let asked = asked.or_else(|| match board.waiting().as_slice() {
            [only] => Some((*only, board.more[*only].open()?)),
            _ => None,
        });
        let Some((task, asked)) = asked else {
            let text = if board.waiting().is_empty() {
                "Nothing waits for you."
            } else {
                "This task does not wait for you: `w` goes to one that does."
            };
            self.message = Some(Message::good(text));
            return;
        };
        match Form::new(task, asked) {
            Ok(form) => {
                self.choose(board, task);
                self.over = Some(Over::Answer(form));
            }
            Err(why) => self.message = Some(Message::bad(why)),
        }
    }

    fn of_open_run(&mut self, board: &Board, over: Over) {
        if board.model.state.is_terminal() {
            self.message = Some(Message::good("The run has ended."));
        } else {
            self.over = Some(over);
        }
    }

    fn retry(&mut self, board: &Board) {
        if board.model.state.is_terminal() {
            self.over = Some(Over::Retry);
        } else {
            self.message = Some(Message::bad("Only tasks of a run that has ended run again."));
        }
    }

    fn pause(&mut self, board: &Board) -> Option<Wish> {
        match board.model.state {
            RunState::Paused => Some(Wish::Resume),
            RunState::Running => Some(Wish::Pause),
            _ => {
                self.message = Some(Message::bad("Only a run that runs can be paused."));
                None
            }
        }
    }

    fn enter(&mut self, board: &Board) -> Option<Wish> {
        let Some(index) = self.task() else {
            self.fold(board, Some(true));
            return None;
        };
        if board.is_live(index) {
            return Some(Wish::Attach(index));
        }
        if self.rows[self.at].folded.is_some() {
            self.fold(board, Some(true));
            return None;
        }
        if board.more[index].session.is_some() {
            return self.log();
        }
        self.message = Some(Message::good("This task has no session yet."));
        None
    }

    fn log(&mut self) -> Option<Wish> {
        let index = self.task()?;
        self.over = Some(Over::Log(Log::new(index)));
        Some(Wish::Log(index))
    }

    fn press_over(&mut self, board: &Board, over: Over, key: &Key) -> Option<Wish> {
        match over {
            Over::Help => None,
            Over::Cancel => matches!(key, Key::Char('y' | 'Y')).then_some(Wish::Cancel),
            Over::Retry => match key {
                Key::Char('f') => Some(Wish::Retry(RetryScope::Failed)),
                Key::Char('a') => Some(Wish::Retry(RetryScope::All)),
                Key::Char('t') => {
                    let name = &board.model.task(self.task()?).name;
                    Some(Wish::Retry(RetryScope::From { task: name.parse().ok()?, also: vec![] }))
                }
                _ => None,
            },
            Over::Answer(mut form) => {
                let pressed = form.press(key);
                match pressed {
                    Pressed::Left => None,
                    Pressed::Open => {
                        self.over = Some(Over::Answer(form));
                        None
                    }
                    Pressed::Done(given) => {
                        Some(Wish::Answer { task: form.task, asked: Box::new(form.asked), given })
                    }
                }
            }
            Over::Log(log) => self.press_log(log, key),
        }
    }

    fn press_log(&mut self, mut log: Log, key: &Key) -> Option<Wish> {
        let page = self.page.max(2) - 1;
        match key {
            Key::Escape | Key::Char('q' | 'l') | Key::Ctrl('c') => return Some(Wish::LogClosed),
            Key::Up | Key::Char('k') => log.up += 1,
            Key::Down | Key::Char('j') => log.up = log.up.saturating_sub(1),
            Key::PageUp | Key::Ctrl('b') => log.up += page,
            Key::PageDown | Key::Ctrl('f') | Key::Char(' ') => log.up = log.up.saturating_sub(page),
            Key::Home | Key::Char('g') => log.up = log.len(),
            Key::End | Key::Char('G') => log.up = 0,
            _ => {}
        }
        self.over = Some(Over::Log(log));
        None
    }

    fn press_search(&mut self, board: &Board, key: &Key) -> Option<Wish> {
        match key {
            Key::Ctrl('c') => return Some(Wish::Quit),
            Key::Enter => self.searching = false,
            Key::Escape => {
                self.searching = false;
                self.search.clear();
            }
            Key::Backspace => drop(self.search.pop()),
            Key::Ctrl('u') => self.search.clear(),
            Key::Char(c) if self.search.len() < SEARCH_MAX => self.search.push(*c),
            Key::Up | Key::Down => self.walk(board, key),
            _ => {}
        }
        self.refresh(board);
        None
    }
}
