//! An event of a room into what somebody says with it.
//!
//! Owns which part of it is their own words: quotes of others, edits, notices and forwarded content are not.

use serde_json::Value;

use super::choose::Said;
use super::parse::{Read, command};
use super::sign::{Sign, sign};
use crate::matrix::EventId;

/// Longer bodies are nobody's answer or command, bytes.
const BODY_BYTES_MAX: usize = 32 << 10;

/// What somebody says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// Words.
    Words {
        /// Their own, without what they quote.
        text: String,
        /// The event that they answer.
        to: Option<EventId>,
        /// The root of the thread that they stand in.
        thread: Option<EventId>,
    },
    /// A reaction that means something.
    Reaction {
        /// To this event.
        to: EventId,
        /// What.
        sign: Sign,
    },
}

/// Reads an event of a person. None: nothing that acts: edits, notices, pictures, other reactions, and what
/// has no shape.
#[must_use]
pub fn inbound(event_type: &str, content: &Value) -> Option<Inbound> {
    let relates = &content["m.relates_to"];
    let relation = relates["rel_type"].as_str();
    match event_type {
        "m.reaction" => {
            if relation != Some("m.annotation") {
                return None;
            }
            let to = relates["event_id"].as_str()?.parse().ok()?;
            Some(Inbound::Reaction { to, sign: sign(relates["key"].as_str()?)? })
        }
        "m.room.message" => words(content, relates, relation),
        _ => None,
    }
}

fn words(content: &Value, relates: &Value, relation: Option<&str>) -> Option<Inbound> {
    let is_edit = relation == Some("m.replace") || content.get("m.new_content").is_some();
    if is_edit || content["msgtype"].as_str() != Some("m.text") {
        return None;
    }
    let body = content["body"].as_str().filter(|body| body.len() <= BODY_BYTES_MAX)?;
    let event = |value: &Value| value.as_str().and_then(|id| id.parse::<EventId>().ok());
    let thread = if relation == Some("m.thread") { event(&relates["event_id"]) } else { None };
    // In a thread a reply to the last message often stands only for clients that know no threads.
    let falls_back = thread.is_some() && relates["is_falling_back"].as_bool() == Some(true);
    let replied = event(&relates["m.in_reply_to"]["event_id"]);
    let text = if replied.is_some() { own_words(body) } else { body };
    let to = replied.filter(|_| !falls_back);
    Some(Inbound::Words { text: text.trim().to_owned(), to, thread })
}

/// What somebody means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant<'a> {
    /// A command, or something that was to be one.
    Command(Read),
    /// An answer to the question of that event.
    Answer {
        /// The question's message.
        to: &'a EventId,
        /// To be given to [`super::choose()`].
        said: Said<'a>,
        /// Whoever said it hears why it was not taken; what is said aside may be meant for others.
        is_told: bool,
    },
    /// Talk among people.
    Talk,
}

impl Inbound {
    /// What it means, given which events are questions of ours, open or over.
    #[must_use]
    pub fn meant(&self, is_question: impl Fn(&EventId) -> bool) -> Meant<'_> {
        match self {
            Self::Reaction { to, sign } if is_question(to) => {
                Meant::Answer { to, said: Said::Sign(*sign), is_told: true }
            }
            Self::Reaction { .. } => Meant::Talk,
            Self::Words { text, to, thread } => {
                let read = command(text);
                if read != Read::NotForUs {
                    return Meant::Command(read);
                }
                if let Some(to) = to.as_ref().filter(|to| is_question(to)) {
                    return Meant::Answer { to, said: Said::Words(text), is_told: true };
                }
                match thread.as_ref().filter(|_| to.is_none()).filter(|root| is_question(root)) {
                    Some(to) => Meant::Answer { to, said: Said::Aside(text), is_told: false },
                    None => Meant::Talk,
                }
            }
        }
    }
}

/// A reply without the quote that older clients put before it: lines that begin with `>`.
fn own_words(body: &str) -> &str {
    let mut rest = body.trim_start();
    while rest.starts_with('>') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest.trim_start());
    }
    rest
}
