//! What people and sessions send, checked: options that are there, text that types nothing else.

use crate::commands::{Given, Typed};
use cis_core::api::{Answer, AnswerWith, Ask, Closeness, InboxItem, NotChosen, Problem, ProblemKind, Say};
use cis_core::dag::outputs::MAX_VALUE_BYTES;
use cis_core::event::{AskType, LABEL_CHARS_MAX, OPTIONS_MAX, PromptKind, PromptOption};
use cis_core::ids::{InboxId, SessionId, TimestampMs};

/// Longer texts belong into files, bytes.
const TEXT_BYTES_MAX: usize = 4096;

type Outcome<T> = Result<T, Problem>;

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::BadInput, detail)
}

/// That an item still waits; otherwise why not, who was first, and with what.
pub(crate) fn check_open(item: &InboxItem, now: TimestampMs) -> Outcome<()> {
    let Some(detail) = item.ending(now) else { return Ok(()) };
    Err(Problem::new(ProblemKind::Conflict, detail).hint("`cis inbox` lists what waits now"))
}

/// Refuses one more answer to an item that nobody has answered: its sender knows of an answer that is not there.
pub(super) fn check_again(item: &InboxItem, answer: &Answer) -> Outcome<()> {
    if answer.again.is_none() || item.answered_ms.is_some() {
        return Ok(());
    }
    let detail = format!("nobody has answered {} yet, so this cannot be one more answer", item.id);
    Err(Problem::new(ProblemKind::Conflict, detail).hint("look at the item, and answer it without `again`"))
}

/// Passwords are typed into an attached terminal only.
pub(super) fn asks_password(item: &InboxId) -> Problem {
    let detail = format!("{item} asks for a password: nobody answers that but an attached terminal");
    Problem::new(ProblemKind::Conflict, detail)
}

/// An answer to a session of this node, ready for the driver.
pub(crate) fn given(item: &InboxItem, answer: &Answer) -> Outcome<Given> {
    let (session, meant) = (session_of(item)?, meant(item, answer)?);
    let is_ask = item.ask_type.is_some();
    let is_line = !is_ask && matches!(meant, Meant::Words(_));
    let (option, text, bytes) = match meant {
        Meant::Option(option) if !is_ask && option.keys.is_empty() => {
            let detail = format!("what types `{}` at {} is not known", option.label, item.id);
            return Err(bad(detail).hint("type it with --keys, as you would in the terminal"));
        }
        Meant::Option(option) => (Some(option.id), option.label, option.keys.into_bytes()),
        Meant::Words(text) if is_ask => (None, text, Vec::new()),
        Meant::Words(text) => {
            let typed = [text.as_bytes(), b"\r"].concat();
            (None, text, typed)
        }
        Meant::Keys { names, data } => (None, names, data),
    };
    Ok(Given {
        session,
        item: item.id.clone(),
        is_ask,
        hash: item.hash.clone(),
        option,
        text,
        reason: answer.reason.clone(),
        answer: Typed { input: answer.input, bytes, is_line },
        again: answer.again,
        by_default: false,
    })
}

fn session_of(item: &InboxItem) -> Outcome<SessionId> {
    item.session.ok_or_else(|| bad(format!("{} is of no session", item.id)))
}

/// What an answer means.
pub(crate) enum Meant {
    /// This option. A room does not tell what types it.
    Option(PromptOption),
    /// Words, as they are.
    Words(String),
    /// Keys, as they are.
    Keys {
        /// What they are called.
        names: String,
        /// What is typed.
        data: Vec<u8>,
    },
}

/// What an answer means to a session of any node. That node decides whether it is typed, and knows what types it.
pub(crate) fn meant(item: &InboxItem, answer: &Answer) -> Outcome<Meant> {
    let session = session_of(item)?;
    if item.kind == PromptKind::Password {
        return Err(asks_password(&item.id).hint(format!("cis dag attach {}", session.short())));
    }
    if let Some(reason) = &answer.reason {
        check_words("the reason", reason)?;
    }
    let is_ask = item.ask_type.is_some();
    let is_line = !is_ask && matches!(answer.with, AnswerWith::Text { .. });
    if is_line && matches!(item.kind, PromptKind::Editor | PromptKind::Pager) {
        let what = if item.kind == PromptKind::Editor { "an editor" } else { "a pager" };
        let detail = format!("{} is {what}: words would be commands to it", item.id);
        let hint = format!("cis dag attach {}, or type keys with `--keys`", session.short());
        return Err(bad(detail).hint(hint));
    }
    // An agent that waits for its next task shows a line, whatever else its screen shows.
    if is_line && item.kind != PromptKind::Idle && points_at_options(item) {
        let detail =
            format!("{} is a menu: words would not be read, and Enter would choose an option", item.id);
        return Err(bad(detail).hint("answer with an option; `--keys` types keys as they are"));
    }
    Ok(match &answer.with {
        AnswerWith::Keys { .. } if is_ask => {
            return Err(bad(format!("{} was asked in words: nothing is typed for it", item.id))
                .hint("answer with an option or --text"));
        }
        AnswerWith::Keys { data, names } => {
            if data.is_empty() || data.len() > TEXT_BYTES_MAX {
                return Err(bad(format!("keys of 1 to {TEXT_BYTES_MAX} bytes can be typed at once")));
            }
            check_words("the names of the keys", names)?;
            Meant::Keys { names: names.clone(), data: data.clone() }
        }
        AnswerWith::Text { text } => {
            check_words("the answer", text)?;
            if item.takes_text() { Meant::Words(text.clone()) } else { Meant::Option(find(item, text)?) }
        }
        AnswerWith::Option { option } => Meant::Option(find(item, option)?),
    })
}

/// Whether Enter chooses an option of the prompt: one that its pointer is at, or that arrows reach.
fn points_at_options(item: &InboxItem) -> bool {
    item.options.iter().any(|option| option.keys == "\r" || option.keys.starts_with('\u{1b}'))
}

/// The option that is meant where nothing but an option can be.
pub(super) fn option_of(item: &InboxItem, with: &AnswerWith) -> Outcome<PromptOption> {
    match with {
        AnswerWith::Option { option } => find(item, option),
        AnswerWith::Text { text } => find(item, text),
        AnswerWith::Keys { .. } => Err(bad(format!("{} has no terminal to type into", item.id))),
    }
}

/// The option that these words name ([`InboxItem::option_named`]).
fn find(item: &InboxItem, wanted: &str) -> Outcome<PromptOption> {
    let not_chosen = match item.option_named(wanted, Closeness::Near) {
        Ok(option) => return Ok(option.clone()),
        Err(not_chosen) => not_chosen,
    };
    let wanted = wanted.trim();
    Err(match not_chosen {
        NotChosen::NoOptions => {
            bad(format!("{} offers no options", item.id)).hint("answer with --text or --keys")
        }
        NotChosen::Several(fits) => {
            let detail = format!("`{wanted}` fits several options of {}", item.id);
            let problem = Problem::new(ProblemKind::Ambiguous, detail);
            problem.hint(format!("say which by its id (`id:ID`): {}", listed(fits.into_iter())))
        }
        NotChosen::Unknown => bad(format!("{} has no option `{wanted}`", item.id))
            .hint(format!("its options are {}", listed(item.options.iter()))),
    })
}

fn listed<'a>(options: impl Iterator<Item = &'a PromptOption>) -> String {
    let one = |option: &PromptOption| match (option.id == option.label, option.meaning) {
        (true, None) => format!("`{}`", option.id),
        (true, Some(meaning)) => format!("`{}` ({meaning})", option.id),
        (false, Some(meaning)) => format!("`{}` ({}, {meaning})", option.id, option.label),
        (false, None) => format!("`{}` ({})", option.id, option.label),
    };
    options.map(one).collect::<Vec<_>>().join(", ")
}

/// Words that are typed, or stand in one line: without line ends and control characters.
fn check_words(what: &str, words: &str) -> Outcome<()> {
    if words.chars().any(char::is_control) {
        return Err(bad(format!("{what} has line ends or control characters"))
            .hint("one line of text; keys are typed with --keys, or attach"));
    }
    check_length(what, words)
}

/// Words of a session, which may have several lines.
fn check_lines(what: &str, words: &str) -> Outcome<()> {
    if words.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(bad(format!("{what} has control characters")).hint("give plain text, without colours"));
    }
    check_length(what, words)
}

fn check_length(what: &str, words: &str) -> Outcome<()> {
    if words.trim().is_empty() {
        return Err(bad(format!("{what} is empty")));
    }
    if words.len() > TEXT_BYTES_MAX {
        return Err(bad(format!("{what} is longer than {TEXT_BYTES_MAX} bytes"))
            .hint("say it shorter, or where it can be read"));
    }
    Ok(())
}

/// What a session asks.
pub(super) fn check_ask(ask: &Ask) -> Outcome<()> {
    check_lines("the question", &ask.text)?;
    if ask.options.len() > OPTIONS_MAX {
        return Err(bad(format!("more than {OPTIONS_MAX} options are too many to choose from")));
    }
    for (at, option) in ask.options.iter().enumerate() {
        check_words("an option", option)?;
        if option.chars().count() > LABEL_CHARS_MAX {
            return Err(bad(format!("an option is longer than {LABEL_CHARS_MAX} characters")));
        }
        if ask.options[..at].contains(option) {
            return Err(bad(format!("the option `{option}` is there twice")));
        }
    }
    if !ask.options.is_empty() && matches!(ask.ask_type, AskType::Permission | AskType::Review) {
        let detail = format!("an ask of the type {} has its own options", ask.ask_type);
        return Err(bad(detail).hint("ask with --type clarification to offer others"));
    }
    Ok(())
}

/// What a session tells.
pub(super) fn check_say(say: &Say) -> Outcome<()> {
    if say.percent.is_some_and(|percent| percent > 100) {
        return Err(bad("a percentage is 0 to 100"));
    }
    check_lines("what is told", &say.text)
}

/// What a session hands in: as long as an output of a task may be.
pub(super) fn check_result(text: Option<&str>) -> Outcome<()> {
    let Some(text) = text else { return Ok(()) };
    if text.contains('\0') {
        return Err(bad("the result holds a NUL byte"));
    }
    if text.len() > MAX_VALUE_BYTES {
        return Err(bad(format!("the result is longer than {} KiB", MAX_VALUE_BYTES >> 10))
            .hint("write it to a file, and hand in its path"));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
