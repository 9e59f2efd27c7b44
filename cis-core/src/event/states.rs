//! States of runs, tasks and sessions, and how an attempt ends. The one place where they are named.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::prompt::PromptKind;

macro_rules! named {
    ($name:ident { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $name {
            /// All of them, in the order of a life.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name as it is stored, sent and shown.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The one of that name, where there is one.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(super) use named;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
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

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It called exit with this code (0 to 255).
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl ExitStatus {
    /// Exit code 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Why an attempt failed by its own fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum FailureCause {
    /// Its process ended badly.
    Exit {
        /// How.
        status: ExitStatus,
    },
    /// It ran longer than its timeout.
    Timeout {
        /// The limit, ms.
        limit_ms: u64,
    },
    /// It showed no activity for longer than its `idle`.
    Idle {
        /// The limit, ms.
        limit_ms: u64,
    },
    /// It exited with 0, but a declared output is missing or of another type, or its artifacts cannot be kept.
    Outputs {
        /// Which, and what was found.
        detail: String,
    },
    /// A value for its command could not be made (template, secret).
    Input {
        /// Which, and why.
        detail: String,
    },
    /// It waited for a human, and its file has that end it: at once, or because nobody answered in time.
    Blocked {
        /// What it waited for.
        prompt: PromptKind,
        /// Why that ended it.
        detail: String,
    },
    /// Its program was not logged in where it has to be.
    Login {
        /// Which account.
        account: String,
        /// So many tries in a row ended so.
        tries: u32,
        /// What is known; `MAX_ATTEMPTS_EXCEEDED` where no further one is made.
        detail: String,
    },
}

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit { status } => status.fmt(f),
            Self::Timeout { limit_ms } => {
                write!(f, "timed out after {}", crate::text::duration(*limit_ms))
            }
            Self::Idle { limit_ms } => {
                write!(f, "was idle for {}", crate::text::duration(*limit_ms))
            }
            Self::Outputs { detail }
            | Self::Input { detail }
            | Self::Blocked { detail, .. }
            | Self::Login { detail, .. } => f.write_str(detail),
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum AttemptOutcome {
    /// Exit 0, outputs valid.
    Succeeded,
    /// The task's fault.
    Failed {
        /// Why.
        cause: FailureCause,
    },
    /// Could not be started: the program is missing, the directory is gone.
    SpawnError {
        /// What, and what to do.
        detail: String,
    },
    /// Its session is gone without a result.
    Lost {
        /// What is known.
        detail: String,
    },
    /// Stopped on request.
    Cancelled,
}

impl AttemptOutcome {
    /// The word for it: succeeded, failed, error, cancelled.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::SpawnError { .. } | Self::Lost { .. } => "error",
            Self::Cancelled => "cancelled",
        }
    }

    /// What a person reads beside the word; empty for success.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Succeeded => String::new(),
            Self::Failed { cause } => cause.to_string(),
            Self::SpawnError { detail } => detail.clone(),
            Self::Lost { detail } => format!("lost: {detail}"),
            Self::Cancelled => "cancelled".to_owned(),
        }
    }
}

/// Why a task is in a terminal state that its own attempt does not explain, or a run in its.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EndReason {
    /// Its trigger can no longer come true (completed).
    Skipped {
        /// Which trigger, and why not.
        detail: String,
    },
    /// It failed, and the file allows that (completed).
    AllowedFailure {
        /// How it failed.
        detail: String,
    },
    /// A task that it needs did not succeed (cancelled).
    NeedFailed {
        /// That task.
        need: String,
    },
    /// The run was cancelled (cancelled).
    RunCancelled,
    /// The run took longer than `[dag] timeout` (cancelled; the run: failed).
    RunTimeout,
    /// A human ended this task's session with `cis dag kill` (cancelled).
    Killed,
    /// Its session is stopped because it waits for a human (the attempt fails).
    Blocked {
        /// What it waits for.
        prompt: PromptKind,
        /// Why that ends it.
        detail: String,
    },
    /// Its session is stopped because its program is not logged in (the attempt fails, or is made again).
    LoggedOut {
        /// Which account.
        account: String,
        /// Another try may help.
        retryable: bool,
        /// What is known.
        detail: String,
    },
    /// `if`, `foreach` or the question of an approval could not be made (failed).
    Expression {
        /// Which, and why.
        detail: String,
    },
    /// A human said no (failed).
    Rejected {
        /// Who.
        by: String,
        /// In their words; may be empty.
        reason: String,
    },
    /// Nobody decided in time (failed).
    ApprovalTimeout {
        /// For so long it was waited, ms.
        limit_ms: u64,
    },
    /// An earlier result stands for it (completed).
    CacheHit {
        /// The attempt that made it.
        from: String,
    },
    /// Of its items (failed, error, cancelled; the task with `foreach`).
    Items {
        /// How many did not end well, and the first of them.
        detail: String,
    },
    /// The last try's outcome.
    Attempt {
        /// In words.
        detail: String,
    },
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped { detail } => write!(f, "skipped: {detail}"),
            Self::AllowedFailure { detail } => write!(f, "failure allowed: {detail}"),
            Self::NeedFailed { need } => write!(f, "needs `{need}`, which did not succeed"),
            Self::RunCancelled => f.write_str("the run was cancelled"),
            Self::RunTimeout => f.write_str("the run took longer than its timeout"),
            Self::Killed => f.write_str("killed"),
            Self::Expression { detail }
            | Self::Items { detail }
            | Self::Attempt { detail }
            | Self::Blocked { detail, .. } => f.write_str(detail),
            Self::LoggedOut { account, detail, .. } => write!(f, "not logged in to `{account}`: {detail}"),
            Self::Rejected { by, reason } if reason.is_empty() => write!(f, "rejected by {by}"),
            Self::Rejected { by, reason } => write!(f, "rejected by {by}: {reason}"),
            Self::ApprovalTimeout { limit_ms } => {
                write!(f, "nobody approved it within {}", crate::text::duration(*limit_ms))
            }
            Self::CacheHit { from } => write!(f, "cached: the result of {from}"),
        }
    }
}
