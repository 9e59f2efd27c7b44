//! What is asked of a human, by whom, and what was answered: the shapes that events, the store and the
//! API share. Decides nothing.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{InboxId, InputId, SessionId, TimestampMs};
use crate::named::named;

/// What a session waits for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PromptKind {
    /// May it do this?
    Permission,
    /// An answer in words or by choice.
    Question,
    /// A secret, typed without echo: only through an attached terminal.
    Password,
    /// Its provider's login is missing or over.
    Login,
    /// Is this folder, host or key to be trusted?
    Trust,
    /// A task may start.
    Approval,
    /// Work is to be looked at: approved or rejected.
    Review,
    /// More text than the screen holds.
    Pager,
    /// A text editor.
    Editor,
    /// Its provider lets it do nothing for a while.
    RateLimit,
    /// It stopped at an error and asks what to do.
    Error,
    /// It has nothing to do: an agent or a shell at its prompt.
    Idle,
    /// Nothing but a spinner has moved for long.
    Stalled,
    /// It reads its terminal, and nothing tells why. Also what a later version calls otherwise.
    #[default]
    #[serde(other)]
    Unknown,
}

named!(PromptKind {
    Permission => "permission", Question => "question", Password => "password", Login => "login",
    Trust => "trust", Approval => "approval", Review => "review", Pager => "pager", Editor => "editor",
    RateLimit => "rate_limit", Error => "error", Idle => "idle", Stalled => "stalled", Unknown => "unknown",
});

impl PromptKind {
    /// Whether a session that waits so leaves its slot: one that may be at work keeps it.
    #[must_use]
    pub fn frees_slot(self) -> bool {
        !matches!(self, Self::Stalled | Self::RateLimit)
    }

    /// Whether a prompt is answered at its terminal alone: a secret goes no other way, and words that are typed into an editor or
    /// a pager are no answer.
    #[must_use]
    pub const fn needs_terminal(self) -> bool {
        matches!(self, Self::Password | Self::Editor | Self::Pager)
    }
}

/// Where the evidence of a prompt comes from; the lower, the more it is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// 1: the program says so to CIS itself.
    Asked,
    /// 2: the terminal's protocol says so (OSC 7501, titles, bells).
    Terminal,
    /// 3: the kernel shows it reading its terminal.
    Kernel,
    /// 4: rules of its profile know the screen.
    Screen,
    /// 5: it is quiet. Never alone.
    Quiet,
}

named!(Layer {
    Asked => "asked", Terminal => "terminal", Kernel => "kernel", Screen => "screen", Quiet => "quiet",
});

/// What an option means, whatever it is called and wherever it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// Yes, this time. Also a plain yes.
    AllowOnce,
    /// Yes, until the session ends.
    AllowSession,
    /// Yes, from now on.
    AllowAlways,
    /// No.
    Deny,
    /// No, and other words instead.
    DenyAndSay,
    /// Go on as it is: default, continue, close.
    Continue,
    /// Leave it.
    Cancel,
}

named!(Meaning {
    AllowOnce => "allow_once", AllowSession => "allow_session", AllowAlways => "allow_always",
    Deny => "deny", DenyAndSay => "deny_and_say", Continue => "continue", Cancel => "cancel",
});

/// One answer that a prompt offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromptOption {
    /// How it is chosen: its number, letter or word. Unique in its prompt.
    pub id: String,
    /// What the screen says.
    pub label: String,
    /// What it means, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<Meaning>,
    /// What is typed for it; empty where nothing is (an ask).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub keys: String,
}

impl PromptOption {
    /// One that nothing is typed for.
    fn said(word: &str, meaning: Meaning) -> Self {
        Self { id: word.to_owned(), label: word.to_owned(), meaning: Some(meaning), keys: String::new() }
    }

    /// What can be said to a task that waits for its approval, and to work that is to be looked at.
    #[must_use]
    pub fn of_approvals() -> Vec<Self> {
        vec![Self::said("approve", Meaning::AllowOnce), Self::said("reject", Meaning::Deny)]
    }

    /// What can be said to a session that asks for a permission.
    #[must_use]
    pub fn of_permissions() -> Vec<Self> {
        vec![Self::said("allow", Meaning::AllowOnce), Self::said("deny", Meaning::Deny)]
    }
}

/// A question is cut after so many characters.
pub const QUESTION_CHARS_MAX: usize = 2000;
/// More options are left out.
pub const OPTIONS_MAX: usize = 32;
/// A label is cut after so many characters.
pub const LABEL_CHARS_MAX: usize = 300;
/// Of the screen so much is kept, its lowest rows, characters.
pub const SCREEN_CHARS_MAX: usize = 4000;

/// One prompt of a session: what makes it one is session, episode and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromptRecord {
    /// Its id in the inbox.
    pub item: InboxId,
    /// Counts the prompts of its session, from 1: the same question twice is two.
    pub episode: u32,
    /// What is wanted.
    pub kind: PromptKind,
    /// Of the part of the screen that asks (16 hex digits); of an ask, of its text.
    #[serde(default)]
    pub hash: String,
    /// The most trusted evidence for it.
    pub layer: Layer,
    /// How sure that is, percent.
    pub confidence: u8,
    /// The question, sanitised and redacted; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub question: String,
    /// What can be answered, where that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<PromptOption>,
    /// What the screen shows, its lowest rows, sanitised and redacted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub screen: String,
    /// The ask that it stands for, where the session asked by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<InputId>,
    /// Until when somebody may answer it, Unix ms: the file's `deadline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<TimestampMs>,
    /// So long it had waited at the same prompt before, which was told anew as the screen around it changed, ms.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_ms: i64,
}

fn is_zero(ms: &i64) -> bool {
    *ms == 0
}

impl PromptRecord {
    /// A prompt of which no more is known than its kind.
    #[must_use]
    pub fn bare(session: SessionId, episode: u32, kind: PromptKind) -> Self {
        Self {
            item: InboxId::of_prompt(session, episode),
            episode,
            kind,
            hash: String::new(),
            layer: Layer::Kernel,
            confidence: 100,
            question: String::new(),
            options: Vec::new(),
            screen: String::new(),
            ask: None,
            until_ms: None,
            waited_ms: 0,
        }
    }
}

/// Why a session turns to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AskType {
    /// May it do this?
    Permission,
    /// It cannot go on.
    Blocker,
    /// What is meant?
    Clarification,
    /// It needs to know more.
    Context,
    /// Its work is to be looked at.
    Review,
    /// Only to be known.
    Progress,
}

named!(AskType {
    Permission => "permission", Blocker => "blocker", Clarification => "clarification",
    Context => "context", Review => "review", Progress => "progress",
});

impl AskType {
    /// What an ask of this type waits for.
    #[must_use]
    pub fn kind(self) -> PromptKind {
        match self {
            Self::Permission => PromptKind::Permission,
            Self::Blocker => PromptKind::Error,
            Self::Review => PromptKind::Review,
            Self::Clarification | Self::Context | Self::Progress => PromptKind::Question,
        }
    }
}

/// How much it matters that somebody looks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Silent.
    Low,
    /// A notice.
    #[default]
    Medium,
    /// Rings.
    High,
}

named!(Urgency { Low => "low", Medium => "medium", High => "high" });

/// A session asks people something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AskRecord {
    /// Its id in the inbox.
    pub item: InboxId,
    /// The request that made it: sent twice, it is asked once.
    pub ask: InputId,
    /// Why.
    pub ask_type: AskType,
    /// In its words, redacted.
    pub text: String,
    /// What can be answered; empty: any words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<PromptOption>,
    /// How much it matters.
    pub urgency: Urgency,
    /// The thread that it belongs to: the item that began it, often itself.
    pub thread: InboxId,
    /// The session does nothing until it is answered: it is blocked.
    pub waits: bool,
}

/// What a session tells people without waiting for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SaidKind {
    /// Something to be known.
    Notice,
    /// How far it is.
    Progress,
    /// A milestone: part of its result.
    Response,
    /// A line that begins with `ERROR:`.
    Error,
}

named!(SaidKind { Notice => "notice", Progress => "progress", Response => "response", Error => "error" });

/// A session tells people something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SaidRecord {
    /// What it is.
    pub kind: SaidKind,
    /// In its words, redacted.
    pub text: String,
    /// How much it matters.
    #[serde(default)]
    pub urgency: Urgency,
    /// How far it is, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// The thread that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<InboxId>,
}

/// What somebody answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnswerRecord {
    /// Which option, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
    /// In words, redacted: the option's label, or what was said. Of keys: their names.
    pub text: String,
    /// What was said beside it, redacted: why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who: the name of the event's actor.
    pub by: String,
    /// So much is typed for it, bytes; 0: nothing is.
    pub bytes: u32,
}
