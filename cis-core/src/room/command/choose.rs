//! Words or a sign into the answer to one item.
//!
//! Owns what can be said to which kind of prompt in a room. Which option words name, and whether words of one's own are an
//! answer, is the rule of every way ([`crate::api::InboxItem::option_named`], [`crate::api::InboxItem::takes_text`]).

use super::Hint;
use super::parse::WORDS_BYTES_MAX;
use super::sign::Sign;
use crate::api::{AnswerWith, Closeness, InboxItem, NotChosen, option_numbers};
use crate::event::{PromptKind, PromptOption};
use crate::room::on_machine::command_on_machine;
use crate::text::clean;

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
    if let Some(command) = command_on_machine(item.kind, &item.id, item.session) {
        let says = match item.kind {
            PromptKind::Password => "A password is typed only in a terminal, never in a room.",
            PromptKind::Pager => "A pager takes keys, which nobody can press from a room.",
            _ => "This needs a terminal: words would become text of what is shown there.",
        };
        return Err(Hint::new(says).usage(command));
    }
    let chosen =
        |option: Option<&PromptOption>, said: &str| option.map(chosen).ok_or_else(|| options_are(item, said));
    match said {
        Said::Sign(Sign::Number(number)) => chosen(item.option_number(number), "that number"),
        Said::Sign(Sign::Yes) => chosen(item.yes(), "a plain yes"),
        Said::Sign(Sign::No) => chosen(item.no(), "a plain no"),
        Said::Words(words) => by_words(item, words.trim()),
        Said::Aside(words) => named(item, words, Closeness::Exact),
    }
}

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
    let rest = words.strip_prefix(TEXT).map(str::trim).filter(|rest| !rest.is_empty());
    match rest.filter(|_| item.takes_text()) {
        Some(rest) => Ok(text(rest)),
        None => named(item, words, Closeness::Near),
    }
}

/// The option that these words name.
fn named(item: &InboxItem, words: &str, closeness: Closeness) -> Result<AnswerWith, Hint> {
    item.option_named(words, closeness).map(chosen).map_err(|not_chosen| match not_chosen {
        NotChosen::Several(fits) => {
            let fits: Vec<String> = fits.iter().map(|option| clean::line(&option.label, 40)).collect();
            let id = clean::line(&item.options[0].id, 20);
            Hint::new(format!("“{}” may mean several options: {}.", clean::line(words, 40), fits.join(", ")))
                .usage(format!("!cis answer {} id:{id}", item.id))
        }
        NotChosen::NoOptions | NotChosen::Unknown => {
            options_are(item, &format!("“{}”", clean::line(words, 40)))
        }
    })
}

fn chosen(option: &PromptOption) -> AnswerWith {
    AnswerWith::Option { option: format!("id:{}", option.id) }
}

fn options_are(item: &InboxItem, said: &str) -> Hint {
    if item.options.is_empty() {
        return Hint::new("This one is answered in words.").usage(format!("!cis answer {} …", item.id));
    }
    let numbers = option_numbers(&item.options);
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
