//! An answer while it is given: options by number, by the beginning of their words, or by arrows; or words. Nothing is chosen before
//! the person chooses. It holds the prompt as the person saw it, so that an answer names that one and no other. Pure.

use cis_core::api::{lasts, option_numbers};
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
    /// The number of each, as people see it.
    pub(crate) numbers: Vec<Option<usize>>,
    /// Which of them is chosen.
    pub(crate) at: Option<usize>,
    /// The number, or the beginning of a choice's words, as far as it is typed.
    typed: String,
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
            kind if kind.needs_terminal() => {
                return Err("It is answered in the session itself: Enter attaches.");
            }
            PromptKind::Approval if asked.item.is_none() => vec![Choice::Approve, Choice::Reject],
            _ => {
                let words = asked.takes_words.then_some(Choice::Words);
                (0..asked.options.len()).map(Choice::Option).chain(words).collect()
            }
        };
        let mut numbers = option_numbers(&asked.options);
        // What is no option of the prompt comes after all that its rows show.
        while numbers.len() < choices.len() {
            numbers.push(Some(numbers.iter().copied().flatten().max().unwrap_or(0) + 1));
        }
        let words = (choices == [Choice::Words]).then(String::new);
        let at = words.is_some().then_some(0);
        Ok(Self { task, asked: asked.clone(), choices, numbers, at, typed: String::new(), words })
    }

    /// What Enter does.
    pub(crate) fn next(&self) -> &'static str {
        match self.at.map(|at| &self.choices[at]) {
            None => "Choose: a number, its first letters, or the arrows",
            Some(Choice::Option(_) | Choice::Approve) => "Enter sends it",
            Some(Choice::Words) => "Enter: write the answer",
            Some(Choice::Reject) => "Enter: write the reason",
        }
    }

    /// Whether the words that are typed say why not.
    pub(crate) fn is_refusal(&self) -> bool {
        self.at.is_some_and(|at| self.choices[at] == Choice::Reject)
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
        let is_number = typed.chars().all(|c| c.is_ascii_digit());
        match key {
            Key::Escape | Key::Ctrl('c') => return Pressed::Left,
            Key::Up => self.up(),
            Key::Down => self.down(),
            Key::Enter => return self.choose(),
            Key::Char(digit @ '0'..='9') if is_number => self.number(&typed, *digit),
            Key::Char(c) if self.word(&typed, *c) => {}
            // In the middle of a word they are letters of it.
            Key::Char('q') if is_number => return Pressed::Left,
            Key::Char('k') if is_number => self.up(),
            Key::Char('j') if is_number => self.down(),
            Key::Char(c) => {
                // What names no choice chooses none, and what follows at once belongs to the same word.
                (self.at, self.typed) = (None, format!("{typed}{c}"));
            }
            Key::Backspace | Key::Pasted(_) => self.at = None,
            _ => {}
        }
        Pressed::Open
    }

    fn up(&mut self) {
        self.at = Some(self.at.map_or(self.choices.len() - 1, |at| at.saturating_sub(1)));
    }

    fn down(&mut self) {
        self.at = Some(self.at.map_or(0, |at| (at + 1).min(self.choices.len() - 1)));
    }

    /// Digits go on to a longer number where there is one.
    fn number(&mut self, typed: &str, digit: char) {
        for number in [format!("{typed}{digit}"), digit.to_string()] {
            let wanted = number.parse::<usize>().ok();
            self.at = self.numbers.iter().position(|known| known.is_some() && *known == wanted);
            if self.at.is_some() {
                self.typed = number;
                return;
            }
        }
    }

    /// Letters choose what begins with them, if that is one choice, or what they are as a whole. False: no choice begins with them.
    fn word(&mut self, typed: &str, c: char) -> bool {
        let word: String =
            format!("{}{c}", typed.trim_start_matches(|c: char| c.is_ascii_digit())).to_lowercase();
        let labels: Vec<String> =
            self.choices.iter().map(|choice| self.label(choice).to_lowercase()).collect();
        if !labels.iter().any(|label| label.starts_with(&word)) {
            return false;
        }
        let only = |fits: &dyn Fn(&String) -> bool| {
            let mut places = labels.iter().enumerate().filter(|(_, label)| fits(label)).map(|(at, _)| at);
            places.next().filter(|_| places.next().is_none())
        };
        // What is for longer than once, or for more than what is asked about, is chosen by its whole name alone, or by its number.
        let goes_beyond = |at: &usize| match self.choices[*at] {
            Choice::Option(place) => lasts(&self.asked.options[place]),
            _ => false,
        };
        let begun = only(&|label| label.starts_with(&word)).filter(|at| !goes_beyond(at));
        self.at = only(&|label| *label == word).or(begun);
        self.typed = word;
        true
    }

    fn choose(&mut self) -> Pressed {
        match self.at.map(|at| &self.choices[at]) {
            Some(Choice::Option(place)) => {
                Pressed::Done(Given::Option(self.asked.options[*place].id.clone()))
            }
            Some(Choice::Approve) => Pressed::Done(Given::Decision { approve: true, reason: None }),
            Some(Choice::Words | Choice::Reject) => {
                self.words = Some(String::new());
                Pressed::Open
            }
            None => Pressed::Open,
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
        if !self.is_refusal() {
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
