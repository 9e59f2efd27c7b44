//! What is known of an attempt that is under way: its session, the prompt that it waits at, and why it is
//! being stopped. Plain data; what follows from it is decided elsewhere.

use crate::event::{EndReason, PromptKind, PromptRecord};
use crate::ids::{Fence, HostInstance, InboxId, InputId, NodeDid, SessionId, TimestampMs};

/// A question is told in so many characters where a sentence quotes it.
const QUOTED_CHARS_MAX: usize = 120;

/// Asks that are remembered after it stopped waiting for them; as many can be open.
const ASKED_MAX: usize = 32;

/// An attempt under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// Which try.
    pub attempt: u32,
    /// Of its grant.
    pub fence: Fence,
    /// Its session.
    pub session: SessionId,
    /// Who works on it.
    pub node: NodeDid,
    /// The session host that has it.
    pub host: Option<HostInstance>,
    /// When it was granted, Unix ms.
    pub granted_ms: TimestampMs,
    /// When its process was reported.
    pub started_ms: Option<TimestampMs>,
    /// Of that process.
    pub pid: Option<u32>,
    /// The prompt that it waits at.
    pub blocked: Option<Prompt>,
    /// Asks that it waited for and then did not, while nobody had answered: it may wait for them again.
    pub asked: Vec<Prompt>,
    /// Newest prompt of it, from 1.
    pub episode: u32,
    /// It is being stopped.
    pub stopping: Option<Stop>,
}

/// Why an attempt is being stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// For this reason.
    For(EndReason),
    /// Its result was handed in. It counts as a success unless a limit had ended its session before.
    HandedIn {
        /// In these words.
        text: Option<String>,
        /// When, Unix ms.
        at_ms: TimestampMs,
    },
}

impl Live {
    /// Whether it waits for a human and has left its slot.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.blocked.as_ref().is_some_and(|prompt| prompt.kind.frees_slot())
    }

    /// Its result was handed in.
    #[must_use]
    pub fn is_handed_in(&self) -> bool {
        self.handed_in_ms().is_some()
    }

    /// When its result was handed in.
    pub(super) fn handed_in_ms(&self) -> Option<TimestampMs> {
        match self.stopping {
            Some(Stop::HandedIn { at_ms, .. }) => Some(at_ms),
            _ => None,
        }
    }

    /// How long it has waited for this ask before, ms; none where it never did.
    pub(super) fn waited_for(&self, ask: Option<InputId>) -> Option<i64> {
        ask.and_then(|ask| self.asked.iter().find(|known| known.ask == Some(ask)))
            .map(|known| known.before_ms)
    }

    /// It waits at this from now on. An ask that it waited for before is the same one: its times go on.
    pub(super) fn waits(&mut self, record: &PromptRecord, at_ms: TimestampMs) {
        let mut prompt = Prompt::new(record, at_ms);
        let known = |known: &Prompt| prompt.ask.is_some() && known.ask == prompt.ask;
        if let Some(at) = self.asked.iter().position(known) {
            let before = self.asked.remove(at);
            (prompt.before_ms, prompt.escalated) = (before.before_ms, before.escalated);
        }
        self.blocked = Some(prompt);
        self.episode = record.episode;
    }

    /// It waits no more. Gives the prompt that it waited at, where it did.
    pub(super) fn waits_no_more(&mut self, at_ms: TimestampMs) -> Option<Prompt> {
        let prompt = self.blocked.take()?;
        if prompt.ask.is_some() {
            if self.asked.len() >= ASKED_MAX {
                self.asked.remove(0);
            }
            let before_ms = prompt.waited_ms(at_ms);
            self.asked.push(Prompt { before_ms, ..prompt.clone() });
        }
        Some(prompt)
    }

    /// Whether it is to be stopped for `reason` from now on. What was handed in stays so, and the first
    /// reason stays; but what people want comes before what the file wants by itself.
    pub(super) fn yields_to(&self, reason: &EndReason) -> bool {
        match &self.stopping {
            None => true,
            Some(Stop::For(known)) => is_of_the_file(known) && !is_of_the_file(reason),
            Some(Stop::HandedIn { .. }) => false,
        }
    }

    /// Notes why it is being stopped.
    pub(super) fn stop(&mut self, reason: &EndReason) {
        if self.yields_to(reason) {
            self.stopping = Some(Stop::For(reason.clone()));
        }
    }
}

/// Nobody asked for it: the file says what happens when a session waits, or CIS when one is logged out.
fn is_of_the_file(reason: &EndReason) -> bool {
    matches!(reason, EndReason::Skipped { .. } | EndReason::Blocked { .. } | EndReason::LoggedOut { .. })
}

/// A prompt that a session waits at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Its id in the inbox.
    pub item: InboxId,
    /// What it waits for.
    pub kind: PromptKind,
    /// Since when, Unix ms.
    pub since_ms: TimestampMs,
    /// The session asked it by itself.
    pub ask: Option<InputId>,
    /// For so long it waited for the same ask before, ms.
    pub before_ms: i64,
    /// The beginning of what is asked, in one line; may be empty.
    pub question: String,
    /// People were told that it waits for too long.
    pub escalated: bool,
}

impl Prompt {
    pub(super) fn new(record: &PromptRecord, at_ms: TimestampMs) -> Self {
        let words = record.question.split_whitespace().collect::<Vec<_>>().join(" ");
        Self {
            item: record.item.clone(),
            kind: record.kind,
            since_ms: at_ms,
            ask: record.ask,
            before_ms: record.waited_ms.max(0),
            question: shortened(&words),
            escalated: false,
        }
    }

    /// From when its times count: as if it had waited for it at one time.
    pub(super) fn counts_from(&self) -> TimestampMs {
        self.since_ms.saturating_sub(self.before_ms)
    }

    /// For how long it has waited at `now`, ms.
    pub(super) fn waited_ms(&self, now: TimestampMs) -> i64 {
        now.saturating_sub(self.counts_from()).max(0)
    }

    /// ``permission: “Run it?”``, or the kind alone.
    pub(super) fn words(&self) -> String {
        if self.question.is_empty() {
            return self.kind.to_string();
        }
        format!("{}: “{}”", self.kind, self.question)
    }
}

/// At most so much of a text as a sentence quotes.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
