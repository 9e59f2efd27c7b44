//! Words or a sign into the answer to one item.
//!
//! Owns what can be said to which kind of prompt. It is strict where words would choose by accident: what is
//! typed into a menu and ends with Enter takes what is marked there.

use super::Hint;
use super::parse::WORDS_BYTES_MAX;
use super::sign::Sign;
use crate::api::{AnswerWith, InboxItem};
use crate::event::{AskType, Meaning, PromptOption};
use crate::room::clean;
use crate::room::question::{needs_terminal, numbers};

/// What somebody says to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// In words: a number, an option, or free text.
    Words(&'a str),
    /// In words that may be talk about it (in its thread): an option, exactly, or nothing.
    Aside(&'a str),
    /// By a reaction.
    Sign(Sign),
}

/// Begins words that are meant as they are, beside the options of a prompt.
const TEXT: &str = "text ";

/// The answer that is meant.
///
/// # Errors
/// What the item takes instead, for the one who wrote it.
pub fn choose(item: &InboxItem, said: Said<'_>) -> Result<AnswerWith, Hint> {
    if needs_terminal(item.kind) {
        let session = item.session.map(|session| session.short()).unwrap_or_default();
        let says = match item.kind {
            crate::event::PromptKind::Password => "A password is typed only in a terminal, never in a room.",
            _ => "This needs a terminal: words would become text of what is shown there.",
        };
        return Err(Hint::new(says).usage(format!("cis dag attach {session}")));
    }
    match said {
        Said::Sign(Sign::Number(number)) => {
            by_number(item, number).ok_or_else(|| options_are(item, "that number"))
        }
        Said::Sign(Sign::Yes) => by_meaning(item, YES).ok_or_else(|| options_are(item, "a plain yes")),
        Said::Sign(Sign::No) => by_meaning(item, NO).ok_or_else(|| options_are(item, "a plain no")),
        Said::Words(words) => by_words(item, words.trim()),
        Said::Aside(words) => match exactly(item, words.trim())? {
            Some(option) => Ok(chosen(option)),
            None => Err(options_are(item, "that")),
        },
    }
}

/// What a yes may mean, the most careful first. Never for longer than once.
const YES: &[Meaning] = &[Meaning::AllowOnce, Meaning::Continue];
/// What a no may mean.
const NO: &[Meaning] = &[Meaning::Deny, Meaning::DenyAndSay, Meaning::Cancel];

fn by_words(item: &InboxItem, words: &str) -> Result<AnswerWith, Hint> {
    if words.is_empty() {
        return Err(Hint::new("That says nothing."));
    }
    if words.chars().any(char::is_control) {
        return Err(Hint::new("An answer has one line."));
    }
    if words.len() > WORDS_BYTES_MAX {
        return Err(Hint::new("Those are too many words for one answer."));
    }
    let text = |text: &str| AnswerWith::Text { text: text.to_owned() };
    if item.options.is_empty() {
        return Ok(text(words));
    }
    // Before options: whoever writes `text 2` wants 2 to be typed.
    let words_alone =
        !matches!(item.ask_type, Some(AskType::Permission | AskType::Review)) && item.session.is_some();
    if let Some(rest) = words.strip_prefix(TEXT).map(str::trim).filter(|rest| words_alone && !rest.is_empty())
    {
        return Ok(text(rest));
    }
    if let Some(option) = exactly(item, words)? {
        return Ok(chosen(option));
    }
    let lower = words.to_lowercase();
    let meant = match lower.as_str() {
        "yes" | "y" | "ok" | "allow" | "approve" => by_meaning(item, YES),
        "no" | "n" | "deny" | "reject" => by_meaning(item, NO),
        _ => None,
    };
    if let Some(answer) = meant {
        return Ok(answer);
    }
    // Of a question that a session asked in words, other words are an answer too.
    let asked_in_words = item.ask_type.is_some() && words_alone;
    if asked_in_words {
        return Ok(text(words));
    }
    Err(options_are(item, &format!("“{}”", clean::line(words, 40))))
}

/// Whether the option at that place is meant.
type Fits<'a> = dyn Fn(usize, &PromptOption) -> bool + 'a;

/// The option of that id, number, label or meaning.
fn exactly<'a>(item: &'a InboxItem, words: &str) -> Result<Option<&'a PromptOption>, Hint> {
    let lower = words.to_lowercase();
    let number = words.strip_suffix(['.', ')']).unwrap_or(words).parse::<usize>().ok();
    let numbers = numbers(&item.options);
    let ways: [&Fits<'_>; 4] = [
        &|_, option| option.id == words,
        &|at, _| number.is_some() && numbers[at] == number,
        &|_, option| option.label.to_lowercase() == lower,
        &|_, option| option.meaning.is_some_and(|meaning| meaning.as_str() == lower.replace(['-', ' '], "_")),
    ];
    for way in ways {
        let mut fits = item.options.iter().enumerate().filter(|(at, option)| way(*at, option));
        match (fits.next(), fits.next()) {
            (Some((_, option)), None) => return Ok(Some(option)),
            (Some(_), Some(_)) => return Err(options_are(item, "one option alone")),
            (None, _) => {}
        }
    }
    Ok(None)
}

fn by_number(item: &InboxItem, number: usize) -> Option<AnswerWith> {
    let at = numbers(&item.options).iter().position(|known| *known == Some(number))?;
    Some(chosen(&item.options[at]))
}

/// The only option of the first meaning that there is.
fn by_meaning(item: &InboxItem, meanings: &[Meaning]) -> Option<AnswerWith> {
    meanings.iter().find_map(|wanted| {
        let mut fits = item.options.iter().filter(|option| option.meaning == Some(*wanted));
        match (fits.next(), fits.next()) {
            (Some(option), None) => Some(chosen(option)),
            _ => None,
        }
    })
}

fn chosen(option: &PromptOption) -> AnswerWith {
    AnswerWith::Option { option: option.id.clone() }
}

fn options_are(item: &InboxItem, said: &str) -> Hint {
    if item.options.is_empty() {
        return Hint::new("This one is answered in words.").usage(format!("!cis answer {} …", item.id));
    }
    let numbers = numbers(&item.options);
    let listed: Vec<String> = item
        .options
        .iter()
        .zip(&numbers)
        .take(10)
        .map(|(option, number)| {
            let id = number.map_or_else(|| clean::line(&option.id, 20), |number| number.to_string());
            let label = clean::line(&option.label, 40);
            if id == label { label } else { format!("{id} ({label})") }
        })
        .collect();
    Hint::new(format!("It does not take {said}. Its options: {}.", listed.join(", "))).usage(format!(
        "!cis answer {} {}",
        item.id,
        clean::line(&item.options[0].id, 20)
    ))
}
