//! What the arbiter concludes, and how it explains itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::event::{Layer, PromptKind, PromptOption, SaidKind};
use crate::ids::TimestampMs;

/// A session waits for a human.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    /// Counts the prompts of the session, from 1.
    pub episode: u32,
    /// Since when, Unix ms.
    pub since_ms: TimestampMs,
    /// What is wanted.
    pub kind: PromptKind,
    /// The most trusted evidence.
    pub layer: Layer,
    /// How sure, percent.
    pub confidence: u8,
    /// Of the part of the screen that asks, 16 hex digits: an answer names it.
    pub hash: String,
    /// The question, in one piece; may be empty.
    pub question: String,
    /// What can be answered, where that is known.
    pub options: Vec<PromptOption>,
    /// So long the session had waited at the same prompt before, which is told anew as the screen around it changed, ms.
    #[serde(default)]
    pub waited_ms: i64,
    /// A shell is at its prompt: it asks nobody anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_shell: bool,
}

/// What the arbiter tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It waits from now on.
    Blocked(Box<Verdict>),
    /// The prompt of this episode is over.
    Over {
        /// Which.
        episode: u32,
    },
    /// A line that begins with a marker of its profile, once.
    Marker {
        /// `ERROR:` and the like.
        kind: SaidKind,
        /// The rest of the line.
        text: String,
    },
    /// `COMPLETE:`: its work is done, with this result.
    Complete {
        /// The rest of the line.
        text: String,
    },
    /// Its profile says that at this prompt its work is done: an agent that was given one and has nothing
    /// more to do.
    Done {
        /// Its last answer, as far as the screen shows it.
        text: String,
    },
}

/// What the arbiter wants to be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Want {
    /// The screen ([`super::ScreenView`]).
    pub screen: bool,
    /// The kernel's evidence.
    pub kernel: bool,
}

/// One layer of the evidence, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerReport {
    /// Which.
    pub layer: Layer,
    /// What it says on its own, where it says anything.
    pub says: Option<PromptKind>,
    /// When it was last looked at, Unix ms.
    pub at_ms: Option<TimestampMs>,
    /// What was seen, one sentence each.
    pub seen: Vec<String>,
}

/// Why the verdict is what it is (`cis dag explain`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Which profile reads its screen.
    pub profile: String,
    /// The verdict; none: it does not wait, as far as is known.
    pub verdict: Option<Verdict>,
    /// The evidence, layer by layer.
    pub layers: Vec<LayerReport>,
    /// How one follows from the other, one sentence each.
    pub because: Vec<String>,
    /// What other evidence would have led to another verdict, one sentence each.
    #[serde(default)]
    pub what_if: Vec<String>,
}
