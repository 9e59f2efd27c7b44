//! States of runs, tasks and sessions, and how an attempt ends. The one place where they are named.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::named::named;

/// State of a task: the one canonical list.
///
/// ```text
/// pending ─▶ queued ─▶ running ─▶ processing ─▶ succeeded
///    │         │ ▲        │            ├──────▶ completed   (allow_failure; or skipped, from pending)
///    │         │ └────────┴─ retry ────┤──────▶ failed      (or its `if` could not be decided, from pending)
///    │         │                       └──────▶ error
///    └─────────┴─────────────────────────────▶ cancelled
/// ```
/// A task with `foreach` stays queued while its items work, and ends from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Its needs are not done.
    Pending,
    /// Its needs are done; it waits for a slot, a node, or the time of its next try.
    Queued,
    /// Its session is alive.
    Running,
    /// Its session ended; outputs are being collected.
    Processing,
    /// Exit 0 and valid outputs.
    Succeeded,
    /// Ended without success of its own: skipped, or failed where failure is allowed.
    Completed,
    /// The task's fault.
    Failed,
    /// Our fault: it could not be started, or was lost.
    Error,
    /// Somebody stopped it, or a need of it failed.
    Cancelled,
}

named!(TaskState {
    Pending => "pending", Queued => "queued", Running => "running", Processing => "processing",
    Succeeded => "succeeded", Completed => "completed", Failed => "failed", Error => "error", Cancelled => "cancelled",
});

impl TaskState {
    /// No further change without `dag retry`.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Completed | Self::Failed | Self::Error | Self::Cancelled)
    }

    /// A session of it may be alive.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Processing)
    }

    /// What needs it may go on: succeeded, or completed, which counts as success.
    #[must_use]
    pub fn counts_as_success(self) -> bool {
        matches!(self, Self::Succeeded | Self::Completed)
    }

    /// Whether a task may go from here to `next`. Leaving a terminal state is `dag retry`'s alone
    /// and leads to pending or queued.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use TaskState::{
            Cancelled, Completed, Error, Failed, Pending, Processing, Queued, Running, Succeeded,
        };
        match self {
            Pending => matches!(next, Queued | Completed | Failed | Cancelled),
            Queued => {
                matches!(next, Running | Succeeded | Completed | Failed | Error | Cancelled | Pending)
            }
            Running => {
                matches!(next, Processing | Queued | Succeeded | Completed | Failed | Error | Cancelled)
            }
            Processing => matches!(next, Queued | Succeeded | Completed | Failed | Error | Cancelled),
            Succeeded | Completed | Failed | Error | Cancelled => matches!(next, Pending | Queued),
        }
    }
}

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Known, not started.
    Created,
    /// Tasks may start.
    Running,
    /// Starts nothing new, stops nothing.
    Paused,
    /// Every task ended, none badly.
    Succeeded,
    /// A task failed, or the run took too long.
    Failed,
    /// A task could not be run for a reason of ours.
    Error,
    /// Somebody cancelled it.
    Cancelled,
}

named!(RunState {
    Created => "created", Running => "running", Paused => "paused", Succeeded => "succeeded",
    Failed => "failed", Error => "error", Cancelled => "cancelled",
});

impl RunState {
    /// Every task has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Error | Self::Cancelled)
    }

    /// The exit code of a command that waited for the run; none while it is open.
    #[must_use]
    pub fn exit_code(self) -> Option<u8> {
        match self {
            Self::Succeeded => Some(0),
            Self::Failed => Some(1),
            Self::Error => Some(3),
            Self::Cancelled => Some(4),
            Self::Created | Self::Running | Self::Paused => None,
        }
    }
}

/// State of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Asked for, not yet reported alive.
    Starting,
    /// Alive and, as far as is known, waiting for work.
    Ready,
    /// Alive and at work.
    Working,
    /// Waits for a human.
    Blocked,
    /// Nothing but a spinner moves.
    Stalled,
    /// Ended by itself.
    Exited,
    /// Ended by us, or lost.
    Terminated,
}

named!(SessionState {
    Starting => "starting", Ready => "ready", Working => "working", Blocked => "blocked",
    Stalled => "stalled", Exited => "exited", Terminated => "terminated",
});

impl SessionState {
    /// Its process may be there.
    #[must_use]
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Exited | Self::Terminated)
    }
}

/// Where a run is executed and who hears of it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionMode {
    /// Here, and nobody else hears of it.
    #[default]
    Local,
    /// Here; a room follows.
    Hybrid,
    /// By the nodes of a room.
    Matrix,
}

named!(ExecutionMode { Local => "local", Hybrid => "hybrid", Matrix => "matrix" });
