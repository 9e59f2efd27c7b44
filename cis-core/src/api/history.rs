//! The history of a run: who did what, when, over which channel, and with what result.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::event::Actor;
use crate::ids::{InboxId, Offset, SessionId, TaskId, TimestampMs};

/// An action in a run's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistoryAction {
    /// Submitted the run.
    Created,
    /// Started the run.
    Started,
    /// Paused the run.
    Paused,
    /// Resumed the run.
    Resumed,
    /// Cancelled the run.
    Cancelled,
    /// Retried tasks of the run.
    Retried,
    /// Changed the mode or the room of the run.
    Mode,
    /// Took the run over: another node coordinates it from here on.
    TakenOver,
    /// Approved a task.
    Approved,
    /// Rejected a task.
    Rejected,
    /// Nobody decided an approval before its timeout.
    Expired,
    /// Killed a session of the run.
    Killed,
    /// Asked people a question from inside a session.
    Asked,
    /// Withdrew a question.
    Withdrawn,
    /// Answered a session.
    Answered,
    /// Typed into a session that had asked nothing.
    Typed,
    /// Handed in the result of a task from inside its session.
    HandedIn,
    /// Added tasks.
    Added,
    /// Had a request refused.
    Denied,
}

impl HistoryAction {
    /// All actions.
    pub const ALL: [Self; 19] = [
        Self::Created,
        Self::Started,
        Self::Paused,
        Self::Resumed,
        Self::Cancelled,
        Self::Retried,
        Self::Mode,
        Self::TakenOver,
        Self::Approved,
        Self::Rejected,
        Self::Expired,
        Self::Killed,
        Self::Asked,
        Self::Withdrawn,
        Self::Answered,
        Self::Typed,
        Self::HandedIn,
        Self::Added,
        Self::Denied,
    ];

    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Started => "started",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Cancelled => "cancelled",
            Self::Retried => "retried",
            Self::Mode => "mode",
            Self::TakenOver => "taken_over",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Killed => "killed",
            Self::Asked => "asked",
            Self::Withdrawn => "withdrawn",
            Self::Answered => "answered",
            Self::Typed => "typed",
            Self::HandedIn => "handed_in",
            Self::Added => "added",
            Self::Denied => "denied",
        }
    }

    /// The action with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

/// One entry of a run's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// Offset of the event; several entries can share one event.
    pub offset: Offset,
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// Who did it, and over which channel; absent: the node itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// What the actor did.
    pub action: HistoryAction,
    /// The task that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The session that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The item of the inbox that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<InboxId>,
    /// What was asked: the question of a prompt or of an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The answer, or the details of the action, in words. Secrets are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The comment of a decision or an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The result, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// Query of the history of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReadHistory {
    /// Only entries of this task and of its items.
    pub task: Option<String>,
    /// At most so many (default and at most 1,000), oldest first.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Continues a listing: its `next`.
    pub after: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_json() {
        for action in HistoryAction::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
            assert_eq!(HistoryAction::parse(action.as_str()), Some(action));
        }
    }
}
