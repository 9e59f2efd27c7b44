//! The inbox: what waits for a human, answers to it, and what a session says for itself.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::requests::{HasKey, has_key};
use super::text_or_hex;
use crate::event::{AskType, Layer, PromptKind, PromptOption, SaidKind, Urgency};
use crate::ids::{InboxId, InputId, RunId, SessionId, TaskId, TimestampMs};
use crate::monitor::Explanation;
use crate::text;

/// Maximum width of the answer or the reason in the message about an item that is over, cells.
const ENDING_CELLS_MAX: usize = 120;

/// Something that waits for a human. The field names are a contract with scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InboxItem {
    /// What it is called when it is answered.
    pub id: InboxId,
    /// The run; none: of a session created alone.
    pub run: Option<RunId>,
    /// The task.
    pub task: Option<TaskId>,
    /// The session; none: an approval, whose task has not begun.
    pub session: Option<SessionId>,
    /// What is wanted.
    pub kind: PromptKind,
    /// The question; may be empty.
    pub question: String,
    /// What can be answered, where that is known.
    pub options: Vec<PromptOption>,
    /// Since when, Unix ms.
    #[serde(rename = "since_ms", alias = "since")]
    pub since: TimestampMs,
    /// How sure it is that somebody is waited for, percent. 100: it was asked.
    pub confidence: u8,
    /// Where that is known from; none: an approval.
    pub layer: Option<Layer>,
    /// Which prompt of its session; none: an ask that does not wait, or an approval.
    pub episode: Option<u32>,
    /// Of the part of the screen that asks. An answer names it.
    pub hash: String,
    /// What the screen shows, its lowest rows.
    pub screen: String,
    /// Why the session asks, where it asked by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask_type: Option<AskType>,
    /// How much it matters.
    pub urgency: Urgency,
    /// The thread that it belongs to, where the session asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<InboxId>,
    /// Somebody answered it, and the prompt stays: not sent again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    /// When that was, Unix ms. An answer beside that one names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_ms: Option<TimestampMs>,
    /// What happens then by itself, Unix ms (`deadline`, the timeout of an approval).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<TimestampMs>,
    /// How it ended; none: it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<ClosedItem>,
}

impl InboxItem {
    /// The one name that it shares with no other item ([`InboxId::name`]).
    #[must_use]
    pub fn name(&self) -> String {
        match (self.session, self.run) {
            (Some(session), _) => self.id.name(session),
            (None, Some(run)) => self.id.name(run),
            (None, None) => self.id.to_string(),
        }
    }

    /// How it ended, in words: who answered and what, or why nobody did. `None`: it waits.
    #[must_use]
    pub fn ending(&self, now: TimestampMs) -> Option<String> {
        let closed = self.closed.as_ref()?;
        let id = &self.id;
        let ago = text::duration(u64::try_from(now - closed.at_ms).unwrap_or(0));
        let words =
            closed.text.as_deref().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        let words =
            if words.is_empty() { words } else { format!(": {}", text::cut(&words, ENDING_CELLS_MAX)) };
        Some(match (closed.how.as_str(), &closed.by) {
            ("answered", Some(by)) => format!("{id} was answered by {by} {ago} ago{words}"),
            // The answer did not reach its prompt, which was over by then.
            ("answered", None) => format!("{id} was over {ago} ago, and its answer chose nothing"),
            ("withdrawn", _) => format!("{id} was withdrawn {ago} ago{words}"),
            ("recovered", _) => format!("the prompt of {id} went away by itself {ago} ago"),
            ("expired", _) => format!("nobody answered {id} in time: that was {ago} ago"),
            _ => format!("{id} is over since {ago}: its session or run has ended"),
        })
    }
}

/// How an item of the inbox ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClosedItem {
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// `answered`, `withdrawn`, `recovered` (the prompt went away by itself), `expired`, or `ended` (the
    /// session or the run did).
    pub how: String,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The answer, or why it was withdrawn, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Query of the inbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListInbox {
    /// Only of this run.
    pub run: Option<String>,
    /// Only of this session.
    pub session: Option<String>,
    /// At most so many (default and at most 1,000), oldest first.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Continues a listing: its `next`.
    pub after: Option<String>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "with")]
pub enum AnswerWith {
    /// One of the options.
    Option {
        /// `id:` and its id; or its id, label or meaning, if only one option fits.
        option: String,
    },
    /// Words. Of a prompt on a screen they are typed, and Enter after them.
    Text {
        /// Without line ends and control characters.
        text: String,
    },
    /// Raw bytes for the terminal. Only for prompts on a screen.
    Keys {
        /// The bytes.
        #[serde(with = "text_or_hex")]
        #[schema(schema_with = text_or_hex::schema)]
        data: Vec<u8>,
        /// How people call them (`Down Enter`).
        names: String,
    },
}

/// Answers an item of the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Answer {
    /// What.
    #[serde(flatten)]
    pub with: AnswerWith,
    /// A reason beside it (of a rejection).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Hash of the prompt that the answer is meant for; none: whatever this item shows now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The prompt was answered at this time (`answered_ms`) and stays: this is one more answer to it. Where nobody has answered, or somebody
    /// at another time, it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<TimestampMs>,
    /// Sent twice, it counts once.
    #[serde(default)]
    pub input: InputId,
}

has_key!(Answer, Ask, Say, HandIn);

/// What became of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnswerReceipt {
    /// Of this item.
    pub item: InboxId,
    /// Who answered.
    pub by: String,
    /// The answer in words.
    pub text: String,
    /// So much was typed, bytes.
    pub bytes: u32,
    /// Position in the session's output at that time; none: nothing was typed.
    pub output_offset: Option<u64>,
    /// The same request had been taken before: it counts once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
}

impl AnswerReceipt {
    /// Of an answer for which nothing was typed.
    #[must_use]
    pub fn new(item: InboxId, by: String, text: String) -> Self {
        Self { item, by, text, bytes: 0, output_offset: None, repeated: false }
    }
}

/// A session asks people something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ask {
    /// Why.
    pub ask_type: AskType,
    /// In its words.
    pub text: String,
    /// What can be answered; empty: any words.
    #[serde(default)]
    pub options: Vec<String>,
    /// How much it matters.
    #[serde(default)]
    pub urgency: Urgency,
    /// Continues this thread.
    #[serde(default)]
    pub thread: Option<InboxId>,
    /// It does nothing until it is answered.
    pub waits: bool,
    /// Sent twice, it is asked once.
    #[serde(default)]
    pub input: InputId,
}

/// How an ask stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AskView {
    /// Its id.
    pub id: InboxId,
    /// Its thread.
    pub thread: InboxId,
    /// What was asked.
    pub text: String,
    /// The answer; none: nobody has given one.
    pub answer: Option<AskAnswer>,
    /// Why nobody will, where that is so.
    pub withdrawn: Option<String>,
}

impl AskView {
    /// Whether nobody waits for it any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.answer.is_some() || self.withdrawn.is_some()
    }
}

/// An answer as the session gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AskAnswer {
    /// Which option, where one was chosen.
    pub option: Option<String>,
    /// In words.
    pub text: String,
    /// Beside it, where something was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who.
    pub by: String,
    /// When, Unix ms.
    pub at_ms: TimestampMs,
}

/// Query of an ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReadAsk {
    /// Answer only once it is answered or withdrawn, or after so long, ms (at most 60,000).
    #[param(maximum = 60000)]
    pub wait_ms: Option<u64>,
    /// Whoever waited for it waits no more. One that was asked without waiting stays, for others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaves: bool,
}

/// A session tells people something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Say {
    /// What it is.
    pub kind: SaidKind,
    /// In its words.
    pub text: String,
    /// How much it matters.
    #[serde(default)]
    pub urgency: Urgency,
    /// How far it is, percent.
    #[serde(default)]
    #[schema(maximum = 100)]
    pub percent: Option<u8>,
    /// Continues this thread.
    #[serde(default)]
    pub thread: Option<InboxId>,
    /// Sent twice, it is said once.
    #[serde(default)]
    pub input: InputId,
}

/// A session hands in the result of its task: it is ended then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HandIn {
    /// In words.
    #[serde(default)]
    pub text: Option<String>,
    /// Sent twice, it counts once.
    #[serde(default)]
    pub input: InputId,
}

/// One message of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ThreadMessage {
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// Who: the session, or the name of whoever answered.
    pub by: String,
    /// `asked`, `answered`, `notice`, `progress`, `response`, `withdrawn`.
    pub what: String,
    /// In words.
    pub text: String,
    /// The item, of asks and answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<InboxId>,
}

/// Why the monitor thinks of a session what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainView {
    /// The session.
    pub session: SessionId,
    /// The item of the inbox, where it waits.
    pub item: Option<InboxId>,
    /// Verdict and evidence.
    #[serde(flatten)]
    pub explanation: Explanation,
}
