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
use crate::text::lowest_rows;

/// A result that a session hands in on another machine is not longer, bytes: it travels in one message.
pub const NEWS_RESULT_BYTES_MAX: usize = 16 << 10;
/// A longer text is cut, bytes. What is asked, answered and told has no more.
const TEXT_BYTES_MAX: usize = 4096;
/// A longer name is cut, characters.
const NAME_CHARS_MAX: usize = 160;
/// Of what a screen shows, characters. All of a prompt has to fit into one message, in any language.
const NEWS_SCREEN_CHARS_MAX: usize = 2000;
/// The label of an option, characters.
const NEWS_LABEL_CHARS_MAX: usize = 100;
/// The id of an option, and what is typed for it, bytes.
const NEWS_KEYS_BYTES_MAX: usize = 128;

/// What a session that works on a task for another node goes through.
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
        /// The request, or an id that the node made for a line of the screen.
        input: InputId,
        /// What it tells.
        said: Box<SaidRecord>,
    },
    /// It hands in the result of its task, and is to be ended.
    HandedIn {
        /// The request, or an id that the node made because the screen showed the result.
        input: InputId,
        /// The result.
        text: Option<String>,
    },
    /// Its agent is not logged in, and is to be ended.
    LoggedOut {
        /// The account there.
        account: String,
        /// Another attempt may help.
        retryable: bool,
        /// What it shows.
        detail: String,
    },
}

/// The name of a request of a session under which its run's coordinator knows it. The ids that other nodes choose are not used as they
/// are: they could be those of other people's requests.
#[must_use]
pub fn request_id(session: SessionId, input: InputId) -> InputId {
    InputId::hashed(&format!("news of {session}: {input}"))
}

/// The name under which a node that reads of such a request in a room remembers it.
#[must_use]
pub fn read_id(request: InputId) -> InputId {
    InputId::hashed(&format!("read of {request}"))
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
        /// By whom. Of an answer the coordinator knows better whose it forwarded.
        actor: Option<Actor>,
    },
}

impl SessionNews {
    /// How large it is in a message at most, in units of 2,600 bytes of JSON.
    #[must_use]
    pub const fn weight(&self) -> usize {
        match self {
            Self::Blocked { .. } | Self::HandedIn { .. } => 15,
            Self::Asked { .. } => 9,
            Self::Answered { .. } => 5,
            Self::Said { .. } | Self::AnswerVoid { .. } => 2,
            Self::Recovered { .. } | Self::AskWithdrawn { .. } | Self::LoggedOut { .. } => 1,
        }
    }

    /// What of it a node tells of `session`, and is believed: no item of another session, no text without an end. None: nothing.
    #[must_use]
    pub fn sanitized(mut self, session: SessionId) -> Option<Self> {
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
                cut_rows(&mut prompt.screen, NEWS_SCREEN_CHARS_MAX);
                cut(&mut prompt.hash, NAME_CHARS_MAX);
                cut_options(&mut prompt.options);
                prompt.confidence = prompt.confidence.min(100);
                // The file's matter.
                prompt.until_ms = None;
                prompt.waited_ms = prompt.waited_ms.max(0);
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
            Self::Answered { item, answer, .. } => {
                cut(&mut item.0, NAME_CHARS_MAX);
                cut_bytes(&mut answer.text, TEXT_BYTES_MAX);
                cut(&mut answer.by, NAME_CHARS_MAX);
                if let Some(option) = &mut answer.option {
                    cut(option, NAME_CHARS_MAX);
                }
                if let Some(reason) = &mut answer.reason {
                    cut_bytes(reason, TEXT_BYTES_MAX);
                }
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
                    cut_bytes(text, NEWS_RESULT_BYTES_MAX);
                }
            }
            Self::LoggedOut { account, detail, .. } => {
                cut(account, NAME_CHARS_MAX);
                cut(detail, NAME_CHARS_MAX);
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
        let id = |input| Some(request_id(session, input));
        match self {
            Self::Blocked { prompt } => input(InputKind::Blocked { attempt, prompt }, None),
            Self::Recovered { episode } => input(InputKind::Unblocked { attempt, episode }, None),
            Self::LoggedOut { account, retryable, detail } => {
                input(InputKind::LoggedOut { attempt, account, retryable, detail }, None)
            }
            Self::HandedIn { input: by, text } => {
                let (kind, cause) = (InputKind::HandIn { attempt, text }, id(by));
                Meaning::Input(Box::new(Input { kind, actor: itself(), cause }))
            }
            Self::Asked { ask } => {
                let cause = id(ask.ask);
                event(EventBody::SessionAsked { session, task, ask }, cause, itself())
            }
            Self::AskWithdrawn { item, detail } => {
                event(EventBody::AskWithdrawn { session, task, item, detail }, None, None)
            }
            Self::Answered { item, input, answer } => {
                event(EventBody::SessionAnswered { session, task, item, input, answer }, id(input), None)
            }
            Self::AnswerVoid { item, input, detail } => {
                event(EventBody::AnswerVoid { session, task, item, input, detail }, id(input), None)
            }
            Self::Said { input, said } => {
                event(EventBody::SessionSaid { session, task, said }, id(input), itself())
            }
        }
    }
}

/// Which news somebody may still need: each prompt and ask that is open, with its answers, and how prompts are numbered.
pub(super) fn needed<'a>(news: impl Iterator<Item = Option<&'a SessionNews>>) -> Vec<bool> {
    let news: Vec<Option<&SessionNews>> = news.collect();
    let is_prompt = |news: &Option<&SessionNews>| matches!(news, Some(SessionNews::Blocked { .. }));
    let newest = news.iter().rposition(is_prompt);
    let logged_out = news.iter().rposition(|news| matches!(news, Some(SessionNews::LoggedOut { .. })));
    let open_item = newest.and_then(|at| match news.get(at) {
        Some(Some(SessionNews::Blocked { prompt })) => Some(&prompt.item),
        _ => None,
    });
    let is_over = |item: &InboxId| {
        news.iter().flatten().any(|news| match news {
            SessionNews::AskWithdrawn { item: over, .. } | SessionNews::Answered { item: over, .. } => {
                over == item
            }
            _ => false,
        })
    };
    let is_needed = |(at, news): (usize, &Option<&SessionNews>)| match news {
        None => true,
        Some(SessionNews::Blocked { .. }) => newest == Some(at),
        Some(SessionNews::Recovered { .. }) => newest.is_none_or(|newest| at > newest),
        Some(SessionNews::Asked { ask }) => !is_over(&ask.item),
        Some(SessionNews::Answered { item, .. } | SessionNews::AnswerVoid { item, .. }) => {
            open_item == Some(item)
        }
        Some(SessionNews::AskWithdrawn { .. } | SessionNews::Said { .. }) => false,
        Some(SessionNews::HandedIn { .. }) => true,
        Some(SessionNews::LoggedOut { .. }) => logged_out == Some(at),
    };
    news.iter().enumerate().map(is_needed).collect()
}

fn cut_options(options: &mut Vec<PromptOption>) {
    options.truncate(OPTIONS_MAX);
    for option in options {
        cut(&mut option.label, NEWS_LABEL_CHARS_MAX);
        cut_bytes(&mut option.id, NEWS_KEYS_BYTES_MAX);
        // Only the node of the session types, so these are looked at alone: whether something is typed for an option.
        option.keys.truncate(option.keys.floor_char_boundary(NEWS_KEYS_BYTES_MAX));
    }
}

/// Cuts a text, and takes out what could act on a terminal.
fn cut(text: &mut String, chars: usize) {
    printable(text);
    if let Some((at, _)) = text.char_indices().nth(chars) {
        text.truncate(at);
    }
}

/// The same for rows of a screen, of which the lowest are kept.
fn cut_rows(text: &mut String, chars: usize) {
    printable(text);
    text.drain(..text.len() - lowest_rows(text, chars).len());
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
        assert_eq!(blocked.clone().sanitized(session(1)), Some(blocked.clone()));
        assert_eq!(blocked.sanitized(session(2)), None);
        let asked = SessionNews::Asked { ask: ask() };
        assert_eq!(asked.clone().sanitized(session(1)), Some(asked.clone()));
        assert_eq!(asked.sanitized(session(2)), None);
        let mut of_ask = prompt(3);
        (of_ask.ask, of_ask.item) = (Some(ask().ask), ask().item);
        assert!(SessionNews::Blocked { prompt: of_ask.clone() }.sanitized(session(1)).is_some());
        of_ask.item = InboxId::of_prompt(session(1), 3);
        assert_eq!(SessionNews::Blocked { prompt: of_ask }.sanitized(session(1)), None);
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
            by: long.clone(),
            bytes: 1,
        };
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
            SessionNews::Answered { item: item.clone(), input, answer: Box::new(answer) },
            SessionNews::AnswerVoid { item, input, detail: long.clone() },
            SessionNews::Said { input, said: Box::new(said) },
            SessionNews::HandedIn { input, text: Some(long.clone()) },
            SessionNews::LoggedOut { account: long.clone(), retryable: true, detail: long },
        ] {
            let (weight, sanitized) = (news.weight(), news.sanitized(session(1)).unwrap());
            let text = serde_json::to_string(&sanitized).unwrap();
            assert!(text.len() <= weight * 2600, "{} bytes", text.len());
            let acts =
                matches!(&sanitized, SessionNews::Blocked { prompt } if prompt.question.contains('\u{1b}'));
            assert!(!acts);
            if let SessionNews::Answered { answer, .. } = &sanitized {
                assert!(answer.by.chars().count() <= NAME_CHARS_MAX && !answer.by.contains('\u{1b}'));
            }
            let attempt = AttemptId { run: run_id(), task: task(1), number: 1 };
            let is_input = matches!(
                sanitized,
                SessionNews::Blocked { .. } | SessionNews::HandedIn { .. } | SessionNews::LoggedOut { .. }
            );
            assert_eq!(is_input, matches!(sanitized.meaning(attempt, session(1)), Meaning::Input(_)));
        }
    }
}
