//! News of a session that works on a task for another node: what it waits at, what it asks and says, and who answered.
//!
//! Owns their type, what of it may be believed, and what it means for the node that coordinates the run: an input of the
//! scheduler or an event. The node that has the session decides about answers, and is believed about that.

use serde::{Deserialize, Serialize};

use crate::event::{
    Actor, ActorKind, AnswerRecord, AskRecord, EventBody, LABEL_CHARS_MAX, OPTIONS_MAX, PromptOption, PromptRecord,
    QUESTION_CHARS_MAX, SCREEN_CHARS_MAX, SaidRecord, Via,
};
use crate::ids::{AttemptId, InboxId, InputId, SessionId};
use crate::scheduler::{Input, InputKind};

/// A result that a session hands in on another machine is not longer, bytes: it travels in one message.
pub const HANDED_IN_BYTES_MAX: usize = 16 << 10;
/// A longer text is cut, characters. A question, an answer and what is told have less.
const TEXT_CHARS_MAX: usize = 4096;
/// A longer name is cut, characters.
const NAME_CHARS_MAX: usize = 300;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "news")]
pub enum SessionNews {
    /// It waits at a prompt.
    Blocked {
        /// The prompt.
        prompt: Box<PromptRecord>,
    },
    /// It waits at that prompt no more.
    Recovered {
        /// Which.
        episode: u32,
    },
    /// It asks something.
    Asked {
        /// What.
        ask: Box<AskRecord>,
    },
    /// What it asked needs no answer any more.
    AskWithdrawn {
        /// Which.
        item: InboxId,
        /// Why.
        detail: String,
    },
    /// Somebody answered, and its node took the answer.
    Answered {
        /// What was answered.
        item: InboxId,
        /// The request that answered.
        input: InputId,
        /// With what.
        answer: Box<AnswerRecord>,
        /// Who, as the node that forwarded the answer says.
        actor: Actor,
    },
    /// That answer was not typed.
    AnswerVoid {
        /// What was answered.
        item: InboxId,
        /// Which answer.
        input: InputId,
        /// Why.
        detail: String,
    },
    /// It tells something.
    Said {
        /// The request, if its screen did not show it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<InputId>,
        /// What.
        said: Box<SaidRecord>,
    },
    /// It hands in the result of its task, and is to be ended.
    HandedIn {
        /// The request, if its screen did not show it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<InputId>,
        /// The result.
        text: Option<String>,
    },
}

/// What news mean for the coordinator.
#[derive(Debug)]
pub enum Meaning {
    /// The scheduler decides.
    Input(Box<Input>),
    /// It is recorded, once for each `cause`.
    Event {
        /// What is recorded.
        body: EventBody,
        /// The request that caused it.
        cause: Option<InputId>,
        /// By whom.
        actor: Option<Actor>,
    },
}

impl SessionNews {
    /// How large it is in a message, in units of about 2 KB.
    #[must_use]
    pub const fn weight(&self) -> usize {
        match self {
            Self::Blocked { .. } | Self::Asked { .. } => 6,
            Self::HandedIn { .. } => 8,
            Self::Answered { .. } | Self::Said { .. } => 2,
            Self::Recovered { .. } | Self::AskWithdrawn { .. } | Self::AnswerVoid { .. } => 1,
        }
    }

    /// What of it another node may say of `session`: no item of another session, no text without an end. None: nothing.
    #[must_use]
    pub fn checked(mut self, session: SessionId) -> Option<Self> {
        match &mut self {
            Self::Blocked { prompt } => {
                let item = match prompt.ask {
                    Some(ask) => InboxId::of_ask(session, ask),
                    None => InboxId::of_prompt(session, prompt.episode),
                };
                if prompt.item != item {
                    return None;
                }
                cut(&mut prompt.question, QUESTION_CHARS_MAX);
                cut(&mut prompt.screen, SCREEN_CHARS_MAX);
                cut(&mut prompt.hash, NAME_CHARS_MAX);
                cut_options(&mut prompt.options);
                prompt.confidence = prompt.confidence.min(100);
                // The file's matter.
                prompt.until_ms = None;
            }
            Self::Asked { ask } => {
                if ask.item != InboxId::of_ask(session, ask.ask) {
                    return None;
                }
                cut(&mut ask.text, TEXT_CHARS_MAX);
                cut(&mut ask.thread.0, NAME_CHARS_MAX);
                cut_options(&mut ask.options);
            }
            Self::AskWithdrawn { item, detail } => {
                cut(&mut item.0, NAME_CHARS_MAX);
                cut(detail, NAME_CHARS_MAX);
            }
            Self::Answered { item, answer, actor, .. } => {
                cut(&mut item.0, NAME_CHARS_MAX);
                cut(&mut answer.text, TEXT_CHARS_MAX);
                cut(&mut actor.name, NAME_CHARS_MAX);
                if let Some(option) = &mut answer.option {
                    cut(option, NAME_CHARS_MAX);
                }
                if let Some(reason) = &mut answer.reason {
                    cut(reason, TEXT_CHARS_MAX);
                }
                answer.by.clone_from(&actor.name);
            }
            Self::AnswerVoid { item, detail, .. } => {
                cut(&mut item.0, NAME_CHARS_MAX);
                cut(detail, TEXT_CHARS_MAX);
            }
            Self::Said { said, .. } => {
                cut(&mut said.text, TEXT_CHARS_MAX);
                said.percent = said.percent.map(|percent| percent.min(100));
                if let Some(thread) = &mut said.thread {
                    cut(&mut thread.0, NAME_CHARS_MAX);
                }
            }
            Self::HandedIn { text, .. } => {
                if let Some(text) = text {
                    text.truncate(text.floor_char_boundary(HANDED_IN_BYTES_MAX));
                }
            }
            Self::Recovered { .. } => {}
        }
        Some(self)
    }

    /// What it means for the coordinator of the attempt with this session.
    #[must_use]
    pub fn meaning(self, attempt: AttemptId, session: SessionId) -> Meaning {
        let task = Some(attempt.task.clone());
        let input = |kind, cause| Meaning::Input(Box::new(Input { kind, actor: None, cause }));
        let event = |body, cause, actor| Meaning::Event { body, cause, actor };
        let itself = || Some(Actor { kind: ActorKind::Session, name: session.to_string(), via: Via::Room });
        match self {
            Self::Blocked { prompt } => input(InputKind::Blocked { attempt, prompt }, None),
            Self::Recovered { episode } => input(InputKind::Unblocked { attempt, episode }, None),
            Self::HandedIn { input: cause, text } => input(InputKind::HandIn { attempt, text }, cause),
            Self::Asked { ask } => {
                let cause = Some(ask.ask);
                event(EventBody::SessionAsked { session, task, ask }, cause, itself())
            }
            Self::AskWithdrawn { item, detail } => {
                event(EventBody::AskWithdrawn { session, task, item, detail }, None, None)
            }
            Self::Answered { item, input, answer, actor } => {
                event(EventBody::SessionAnswered { session, task, item, input, answer }, Some(input), Some(actor))
            }
            Self::AnswerVoid { item, input, detail } => {
                event(EventBody::AnswerVoid { session, task, item, input, detail }, Some(input), None)
            }
            Self::Said { input, said } => {
                event(EventBody::SessionSaid { session, task, said }, input, itself())
            }
        }
    }
}

fn cut_options(options: &mut Vec<PromptOption>) {
    options.truncate(OPTIONS_MAX);
    for option in options {
        cut(&mut option.label, LABEL_CHARS_MAX);
        cut(&mut option.id, NAME_CHARS_MAX);
        // Only the node of the session types.
        cut_bytes(&mut option.keys, NAME_CHARS_MAX);
    }
}

/// Cuts a text of another node, and takes out what could act on a terminal.
fn cut(text: &mut String, chars: usize) {
    text.retain(|c| !c.is_control() || c == '\n' || c == '\t');
    if let Some((at, _)) = text.char_indices().nth(chars) {
        text.truncate(at);
    }
}

fn cut_bytes(text: &mut String, bytes: usize) {
    text.truncate(text.floor_char_boundary(bytes));
}
