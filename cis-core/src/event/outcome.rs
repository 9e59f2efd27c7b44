//! How processes, attempts and tasks end, and why; in words for people.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::prompt::PromptKind;
/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
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

    /// What the process called exit with; a signal's number is no exit code.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(_) => None,
        }
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EndReason {
    /// It is left out: its trigger can no longer come true, or it waited for a human and is not to (completed).
    Skipped {
        /// Why.
        detail: String,
        /// Declared outputs of a task whose `foreach` list is empty; each of them is an empty list.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lists: Vec<String>,
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

impl EndReason {
    /// A skipped task, without outputs.
    #[must_use]
    pub fn skipped(detail: String) -> Self {
        Self::Skipped { detail, lists: Vec::new() }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped { detail, .. } => write!(f, "skipped: {detail}"),
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
