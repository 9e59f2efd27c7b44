//! A session that waits for a human: a message that rings, in the main timeline, and what becomes of it.
//!
//! Owns its words, the numbers of its options, and the edit that says how it ended. What is answered is
//! read by [`super::command`].

use serde_json::json;

use super::card::{name, span};
use super::message::Message;
use super::on_machine::command_on_machine;
use super::page::{Page, Span, bold, called, code, link, own, person, said};
use crate::api::{ClosedItem, InboxItem, option_numbers};
use crate::event::{Meaning, PromptOption, Urgency};
use crate::ids::{TaskId, TimestampMs};
use crate::matrix::{Place, UserId};
use crate::text;

/// Signs of options 1 to 10, as people react with them.
pub(super) const KEYCAPS: [&str; 10] = [
    "1\u{fe0f}\u{20e3}",
    "2\u{fe0f}\u{20e3}",
    "3\u{fe0f}\u{20e3}",
    "4\u{fe0f}\u{20e3}",
    "5\u{fe0f}\u{20e3}",
    "6\u{fe0f}\u{20e3}",
    "7\u{fe0f}\u{20e3}",
    "8\u{fe0f}\u{20e3}",
    "9\u{fe0f}\u{20e3}",
    "\u{1f51f}",
];

/// Something that waits for a human, as it is told to a room.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The item of the inbox.
    pub item: &'a InboxItem,
    /// `[dag] id` of its run.
    pub dag: Option<&'a str>,
    /// The run's card, whose thread tells more.
    pub card: Option<&'a Place>,
    /// Whom it rings for.
    pub people: &'a [UserId],
    /// Reactions and replies count for it: not where they, or what they answer, are in clear and it asks for more than
    /// words.
    pub reactions: bool,
    /// Unix ms.
    pub now: TimestampMs,
}

impl Question<'_> {
    /// As a message that rings.
    #[must_use]
    pub fn message(&self) -> Message {
        let mut page = Page::default();
        page.line(self.title(true));
        page.text(&self.item.question);
        page.lines(self.options());
        page.screen(&self.item.screen);
        page.lines(self.how());
        Message::ringing(page, self.people).beside("cis.dag.question", self.beside())
    }

    /// As it stands when nobody is waited for any more: put in the place of the message by its `edit_of`.
    /// None: it still waits.
    #[must_use]
    pub fn closed(&self) -> Option<Message> {
        let closed = self.item.closed.as_ref()?;
        let mut page = Page::default();
        let mut line = vec![if closed.how == "answered" { own("✓ ") } else { own("– ") }];
        line.extend(ending(self.item, closed));
        page.line(line);
        let mut was = self.title(false);
        was.insert(0, own("Was: "));
        page.line(was);
        page.text(&self.item.question);
        page.lines(self.options());
        Some(Message::ringing(page, self.people).beside("cis.dag.question", self.beside()))
    }

    /// As it stands in a room that its run has left: also where it still waits, nobody is asked here any more.
    #[must_use]
    pub fn left(&self) -> Message {
        if let Some(closed) = self.closed() {
            return closed;
        }
        let mut page = Page::default();
        page.line([own("– no longer asked here: this room does not follow its run any more")]);
        let mut was = self.title(false);
        was.insert(0, own("Was: "));
        page.line(was);
        page.text(&self.item.question);
        Message::ringing(page, self.people).beside("cis.dag.question", self.beside())
    }

    fn title(&self, waits: bool) -> Vec<Span> {
        let item = self.item;
        let kind = item.ask_type.map_or(item.kind.as_str(), crate::event::AskType::as_str);
        let mut line = Vec::new();
        if item.urgency == Urgency::High {
            line.push(own("❗ "));
        }
        line.extend([bold(kind), own(": ")]);
        match (&item.task, item.session) {
            (Some(task), _) => line.push(bold(task.as_str())),
            (None, Some(session)) => line.extend([own("session "), code(&session.short())]),
            (None, None) => line.push(own("a task")),
        }
        if waits {
            line.push(own(" waits for you"));
        }
        if let Some(dag) = self.dag {
            line.push(own(" in "));
            match self.card {
                Some(card) => line.push(link(&name(dag), card)),
                None => line.push(said(&name(dag))),
            }
        }
        if waits && item.confidence < 100 {
            line.extend([own(" "), said(&format!("({} % sure)", item.confidence))]);
        }
        line
    }

    fn options(&self) -> Vec<Vec<Span>> {
        let numbers = option_numbers(&self.item.options);
        let one = |(option, number): (&PromptOption, &Option<usize>)| {
            let mut line = match number.map(|number| (number, KEYCAPS.get(number - 1))) {
                Some((_, Some(sign))) => vec![own(sign), own(" ")],
                Some((number, None)) => vec![said(&format!("{number}.")), own(" ")],
                None => vec![own("• ")],
            };
            if number.is_none_or(|number| option.id != number.to_string()) && option.id != option.label {
                line.extend([code(&name(&option.id)), own(" ")]);
            }
            line.push(said(&option.label));
            if option.meaning == Some(Meaning::AllowAlways) {
                line.push(own(" (from now on)"));
            }
            line
        };
        self.item.options.iter().zip(&numbers).map(one).collect()
    }

    /// How it is answered.
    fn how(&self) -> Vec<Vec<Span>> {
        let item = self.item;
        let mut lines = Vec::new();
        if let Some(command) = command_on_machine(item.kind, &item.id, item.session) {
            lines.push(vec![own("Nobody can answer this from a room. On its machine: "), code(&command)]);
        } else if item.options.is_empty() {
            lines.push(vec![own("Reply with your answer, or "), code(&command(item))]);
        } else {
            let command = code(&command(item));
            lines.push(if self.reactions {
                vec![own("Reply with a number or a word, react with a sign, or "), command]
            } else {
                vec![own("Write "), command]
            });
        }
        if let Some(until) = item.until_ms {
            lines.push(vec![said(&format!("If nobody answers, this ends in {}.", span(self.now, until)))]);
        }
        if let Some(by) = &item.answered_by {
            lines.push(vec![own("Answered by "), actor(by), own(", and it still waits.")]);
        }
        lines.extend(called(self.people));
        lines
    }

    fn beside(&self) -> serde_json::Value {
        let item = self.item;
        json!({
            "v": 1,
            "item": name(&item.id.0),
            "run": item.run,
            "task": item.task.as_ref().map(TaskId::as_str),
            "kind": item.kind,
            "hash": name(&item.hash),
            "closed": item.closed.as_ref().map(|closed| name(&closed.how)),
        })
    }
}

/// How waiting ended, after how long.
pub(super) fn ending(item: &InboxItem, closed: &ClosedItem) -> Vec<Span> {
    let mut line = match closed.how.as_str() {
        "answered" => vec![own("answered")],
        "withdrawn" => vec![own("withdrawn")],
        "recovered" => vec![own("the prompt went away by itself")],
        "expired" => vec![own("nobody answered in time")],
        "ended" => vec![own("its session or run has ended")],
        how => vec![said(&name(how))],
    };
    if let Some(by) = closed.by.as_deref().filter(|_| closed.how == "answered") {
        line.extend([own(" by "), actor(by)]);
    }
    line.extend([own(" after "), said(&span(item.since, closed.at_ms))]);
    if let Some(text) = closed.text.as_deref().filter(|text| !text.is_empty()) {
        line.extend([own(": "), bold(text)]);
    }
    line
}

/// Who answered: a user as one, others as people are told.
fn actor(by: &str) -> Span {
    by.parse().map_or_else(|_| said(&name(&text::without_uids(by))), |user| person(&user))
}

/// The command that answers an item with its first option, or in words; or the one for its machine, where nothing that is
/// said in a room leads to an answer.
pub(super) fn command(item: &InboxItem) -> String {
    if let Some(command) = command_on_machine(item.kind, &item.id, item.session) {
        return command;
    }
    match item.options.first() {
        Some(first) => format!("!cis answer {} {}", item.id, first.id),
        None => format!("!cis answer {} …", item.id),
    }
}

#[cfg(test)]
mod tests;
