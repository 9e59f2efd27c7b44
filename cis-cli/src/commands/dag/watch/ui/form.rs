//! An answer while it is given: options by number, or words. It holds the prompt as the person saw it, so that
//! an answer names that one and no other. Pure.

use cis_core::event::PromptKind;

use super::super::board::Asked;
use crate::progress::model::Index;
use crate::term::keys::Key;

/// Longer words are not taken; a person types no more, and a clipboard may hold anything.
const WORDS_MAX: usize = 4000;

/// An answer.
#[derive(Debug)]
pub(crate) struct Form {
    /// Whose prompt.
    pub(crate) task: Index,
    /// The prompt.
    pub(crate) asked: Asked,
    /// What can be chosen.
    pub(crate) choices: Vec<Choice>,
    /// Which of them is.
    pub(crate) at: usize,
    /// The number so far, where it has several digits.
    typed: usize,
    /// Words are being typed, after that was chosen.
    pub(crate) words: Option<String>,
}

/// A line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// An option of the prompt, by its place.
    Option(usize),
    /// Words.
    Words,
    /// The task may start.
    Approve,
    /// It may not, with a reason.
    Reject,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given {
    /// An option, by its id.
    Option(String),
    /// Words.
    Words(String),
    /// The approval.
    Decision { approve: bool, reason: Option<String> },
}

/// What became of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pressed {
    /// The form goes on.
    Open,
    /// Nobody answers.
    Left,
    /// This is the answer.
    Done(Given),
}

impl Form {
    /// For that prompt.
    ///
    /// # Errors
    /// It cannot be answered here; why, in words.
    pub(crate) fn new(task: Index, asked: &Asked) -> Result<Self, &'static str> {
        let choices = match asked.kind {
            PromptKind::Password => {
                return Err("A password is typed into the session itself: Enter attaches.");
            }
            PromptKind::Approval if asked.item.is_none() => vec![Choice::Approve, Choice::Reject],
            _ => (0..asked.options.len()).map(Choice::Option).chain([Choice::Words]).collect(),
        };
        let words = (choices == [Choice::Words]).then(String::new);
        Ok(Self { task, asked: asked.clone(), choices, at: 0, typed: 0, words })
    }

    /// How a choice reads.
    pub(crate) fn label(&self, choice: &Choice) -> &str {
        match choice {
            Choice::Option(place) => &self.asked.options[*place].label,
            Choice::Words => "something else, in words",
            Choice::Approve => "approve",
            Choice::Reject => "reject, with a reason",
        }
    }

    /// Takes a key.
    pub(crate) fn press(&mut self, key: &Key) -> Pressed {
        match self.words.take() {
            Some(words) => self.press_words(words, key),
            None => self.press_menu(key),
        }
    }

    fn press_menu(&mut self, key: &Key) -> Pressed {
        let typed = std::mem::take(&mut self.typed);
        match key {
            Key::Escape | Key::Char('q') | Key::Ctrl('c') => return Pressed::Left,
            Key::Up | Key::Char('k') => self.at = self.at.saturating_sub(1),
            Key::Down | Key::Char('j') => self.at = (self.at + 1).min(self.choices.len() - 1),
            Key::Char(digit @ '0'..='9') => self.number(typed, *digit),
            Key::Enter => return self.choose(),
            _ => {}
        }
        Pressed::Open
    }

    /// Digits go on to a longer number where there is one.
    fn number(&mut self, typed: usize, digit: char) {
        let digit = digit.to_digit(10).unwrap_or(0) as usize;
        let listed = |number: &usize| (1..=self.choices.len()).contains(number);
        if let Some(number) = [typed * 10 + digit, digit].into_iter().find(listed) {
            (self.at, self.typed) = (number - 1, number);
        }
    }

    fn choose(&mut self) -> Pressed {
        match self.choices[self.at] {
            Choice::Option(place) => Pressed::Done(Given::Option(self.asked.options[place].id.clone())),
            Choice::Approve => Pressed::Done(Given::Decision { approve: true, reason: None }),
            Choice::Words | Choice::Reject => {
                self.words = Some(String::new());
                Pressed::Open
            }
        }
    }

    fn press_words(&mut self, mut words: String, key: &Key) -> Pressed {
        match key {
            Key::Enter => return self.done(words),
            Key::Ctrl('c') => return Pressed::Left,
            Key::Escape if self.choices.len() == 1 => return Pressed::Left,
            // Back to the menu.
            Key::Escape => return Pressed::Open,
            Key::Backspace => drop(words.pop()),
            Key::Ctrl('u') => words.clear(),
            Key::Char(c) => words.extend(room(&words).then_some(*c)),
            // One line: an answer has no line ends, and none is to send it.
            Key::Pasted(text) => {
                let line = text.trim_end_matches(['\r', '\n']);
                for c in line.chars() {
                    let c = if c.is_control() { ' ' } else { c };
                    words.extend(room(&words).then_some(c));
                }
            }
            _ => {}
        }
        self.words = Some(words);
        Pressed::Open
    }

    fn done(&mut self, words: String) -> Pressed {
        if self.choices[self.at] != Choice::Reject {
            return Pressed::Done(Given::Words(words));
        }
        if words.trim().is_empty() {
            // Whoever reads the history wants to know why.
            self.words = Some(String::new());
            return Pressed::Open;
        }
        Pressed::Done(Given::Decision { approve: false, reason: Some(words) })
    }
}

fn room(words: &str) -> bool {
    words.len() < WORDS_MAX
}
