//! News of a session that works on a task for another node: what it waits at, what it asks and says, and who answered.
//!
//! Owns their type, what of it may be believed, and what it means for the node that coordinates the run: an input of the
//! scheduler or an event. The node that has the session decides about answers, and is believed about that.

use serde::{Deserialize, Serialize};

use crate::event::{
    Actor, ActorKind, AnswerRecord, AskRecord, EventBody, OPTIONS_MAX, PromptOption, PromptRecord,
    QUESTION_CHARS_MAX, SaidRecord, Via,
};
use crate::ids::{AttemptId, InboxId, InputId, SessionId};
use crate::scheduler::{Input, InputKind};

/// A result that a session hands in on another machine is not longer, bytes: it travels in one message.
pub const HANDED_IN_BYTES_MAX: usize = 16 << 10;
/// A longer text is cut, bytes. What is asked, answered and told has no more.
const TEXT_BYTES_MAX: usize = 4096;
/// A longer name is cut, characters.
const NAME_CHARS_MAX: usize = 160;
/// Of what a screen shows, characters. All of a prompt has to fit into one message, in any language.
const SCREEN_CHARS_MAX: usize = 2400;
/// Of an option: its label, characters; its id, and what is typed for it, bytes.
const LABEL_CHARS_MAX: usize = 100;
const KEYS_BYTES_MAX: usize = 64;

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
    /// How large it is in a message at most, in units of 2,600 bytes of JSON.
    #[must_use]
    pub const fn weight(&self) -> usize {
        match self {
            Self::Blocked { .. } | Self::HandedIn { .. } => 14,
            Self::Asked { .. } => 9,
            Self::Answered { .. } => 5,
            Self::Said { .. } | Self::AnswerVoid { .. } => 2,
            Self::Recovered { .. } | Self::AskWithdrawn { .. } => 1,
        }
    }

    /// What of it a node tells of `session`, and is believed: no item of another session, no text without an end. None: nothing.
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
                cut_bytes(&mut ask.text, TEXT_BYTES_MAX);
                cut(&mut ask.thread.0, NAME_CHARS_MAX);
                cut_options(&mut ask.options);
            }
            Self::AskWithdrawn { item, detail } => {
                cut(&mut item.0, NAME_CHARS_MAX);
                cut(detail, NAME_CHARS_MAX);
            }
            Self::Answered { item, answer, actor, .. } => {
                cut(&mut item.0, NAME_CHARS_MAX);
                cut_bytes(&mut answer.text, TEXT_BYTES_MAX);
                cut(&mut actor.name, NAME_CHARS_MAX);
                if let Some(option) = &mut answer.option {
                    cut(option, NAME_CHARS_MAX);
                }
                if let Some(reason) = &mut answer.reason {
                    cut_bytes(reason, TEXT_BYTES_MAX);
                }
                answer.by.clone_from(&actor.name);
            }
            Self::AnswerVoid { item, detail, .. } => {
                cut(&mut item.0, NAME_CHARS_MAX);
                cut_bytes(detail, TEXT_BYTES_MAX);
            }
            Self::Said { said, .. } => {
                cut_bytes(&mut said.text, TEXT_BYTES_MAX);
                said.percent = said.percent.map(|percent| percent.min(100));
                if let Some(thread) = &mut said.thread {
                    cut(&mut thread.0, NAME_CHARS_MAX);
                }
            }
            Self::HandedIn { text, .. } => {
                if let Some(text) = text {
                    cut_bytes(text, HANDED_IN_BYTES_MAX);
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
            Self::Answered { item, input, answer, actor } => event(
                EventBody::SessionAnswered { session, task, item, input, answer },
                Some(input),
                Some(actor),
            ),
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
        cut_bytes(&mut option.id, KEYS_BYTES_MAX);
        // Only the node of the session types, so these are looked at alone: whether something is typed for an option.
        option.keys.truncate(option.keys.floor_char_boundary(KEYS_BYTES_MAX));
    }
}

/// Cuts a text, and takes out what could act on a terminal.
fn cut(text: &mut String, chars: usize) {
    printable(text);
    if let Some((at, _)) = text.char_indices().nth(chars) {
        text.truncate(at);
    }
}

fn cut_bytes(text: &mut String, bytes: usize) {
    printable(text);
    text.truncate(text.floor_char_boundary(bytes));
}

fn printable(text: &mut String) {
    text.retain(|c| !c.is_control() || c == '\n' || c == '\t');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{AskType, PromptKind, SaidKind, Urgency};
    use crate::federation::sample::{run_id, session, task};

    fn prompt(episode: u32) -> Box<PromptRecord> {
        Box::new(PromptRecord::bare(session(1), episode, PromptKind::Question))
    }

    fn ask() -> Box<AskRecord> {
        let input = InputId::from_parts(1, 7);
        let item = InboxId::of_ask(session(1), input);
        Box::new(AskRecord {
            thread: item.clone(),
            item,
            ask: input,
            ask_type: AskType::Clarification,
            text: "?".into(),
            options: Vec::new(),
            urgency: Urgency::default(),
            waits: true,
        })
    }

    #[test]
    fn a_node_tells_nothing_of_another_session() {
        let blocked = SessionNews::Blocked { prompt: prompt(1) };
        assert_eq!(blocked.clone().checked(session(1)), Some(blocked.clone()));
        assert_eq!(blocked.checked(session(2)), None);
        let asked = SessionNews::Asked { ask: ask() };
        assert_eq!(asked.clone().checked(session(1)), Some(asked.clone()));
        assert_eq!(asked.checked(session(2)), None);
        let mut of_ask = prompt(3);
        (of_ask.ask, of_ask.item) = (Some(ask().ask), ask().item);
        assert!(SessionNews::Blocked { prompt: of_ask.clone() }.checked(session(1)).is_some());
        of_ask.item = InboxId::of_prompt(session(1), 3);
        assert_eq!(SessionNews::Blocked { prompt: of_ask }.checked(session(1)), None);
    }

    #[test]
    fn what_a_node_tells_is_bounded_and_acts_on_no_terminal() {
        let long = format!("\u{1b}]0;x\u{7}{}", "😀".repeat(100_000));
        let mut prompt = prompt(1);
        (prompt.question, prompt.screen, prompt.hash) = (long.clone(), long.clone(), long.clone());
        (prompt.confidence, prompt.until_ms) = (255, Some(1));
        let option =
            PromptOption { id: long.clone(), label: long.clone(), meaning: None, keys: long.clone() };
        prompt.options = vec![option; 1000];
        let (item, input) = (InboxId(long.clone()), InputId::from_parts(1, 1));
        let answer = AnswerRecord {
            option: Some(long.clone()),
            text: long.clone(),
            reason: Some(long.clone()),
            by: "somebody else".into(),
            bytes: 1,
        };
        let actor = Actor { kind: ActorKind::Human, name: long.clone(), via: Via::Room };
        let said = SaidRecord {
            kind: SaidKind::Progress,
            text: long.clone(),
            urgency: Urgency::default(),
            percent: Some(200),
            thread: Some(InboxId(long.clone())),
        };
        let mut ask = ask();
        (ask.text, ask.thread) = (long.clone(), InboxId(long.clone()));
        for news in [
            SessionNews::Blocked { prompt },
            SessionNews::Asked { ask },
            SessionNews::AskWithdrawn { item: item.clone(), detail: long.clone() },
            SessionNews::Answered { item: item.clone(), input, answer: Box::new(answer), actor },
            SessionNews::AnswerVoid { item, input, detail: long.clone() },
            SessionNews::Said { input: None, said: Box::new(said) },
            SessionNews::HandedIn { input: None, text: Some(long) },
        ] {
            let (weight, checked) = (news.weight(), news.checked(session(1)).unwrap());
            let text = serde_json::to_string(&checked).unwrap();
            assert!(text.len() <= weight * 2600, "{} bytes", text.len());
            let acts =
                matches!(&checked, SessionNews::Blocked { prompt } if prompt.question.contains('\u{1b}'));
            assert!(!acts);
            if let SessionNews::Answered { answer, actor, .. } = &checked {
                assert_eq!(answer.by, actor.name);
            }
            let attempt = AttemptId { run: run_id(), task: task(1), number: 1 };
            let is_input = matches!(checked, SessionNews::Blocked { .. } | SessionNews::HandedIn { .. });
            assert_eq!(is_input, matches!(checked.meaning(attempt, session(1)), Meaning::Input(_)));
        }
    }
}
