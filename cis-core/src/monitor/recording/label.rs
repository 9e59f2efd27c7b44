//! What a person says is truly the case in a recording.

use std::fmt;
use std::str::FromStr;

use crate::event::PromptKind;

/// The truth, from its place in the recording to the next label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// It waits for a human, for this. Every label of this form begins a prompt of its own.
    Waiting(PromptKind),
    /// It waits for nobody: it works, or has to wait for something else than a human.
    Working,
    /// Not said: between an answer and what follows from it.
    Open,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(kind) => write!(f, "waiting: {kind}"),
            Self::Working => f.write_str("working"),
            Self::Open => f.write_str("open"),
        }
    }
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "working" => return Ok(Self::Working),
            "open" => return Ok(Self::Open),
            _ => {}
        }
        let kind = text.trim().strip_prefix("waiting:").map(str::trim);
        kind.and_then(PromptKind::parse).map(Self::Waiting).ok_or_else(|| {
            format!("`{text}` is no label: write `working`, `open`, or `waiting: KIND` with a kind of prompt")
        })
    }
}
