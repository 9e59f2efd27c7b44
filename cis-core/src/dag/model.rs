//! A DAG file that was read and found right: defaults merged, durations in ms, names resolved.
//! Texts that may hold `{{ … }}` stay as written; [`super::template`] renders them when a task starts.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::TaskId;

/// A whole file.
#[derive(Debug, Clone, PartialEq)]
pub struct Dag {
    /// `[dag] id`.
    pub id: String,
    /// Parameters, in the order of the file.
    pub params: IndexMap<String, Param>,
    /// At most so many unblocked sessions at a time; none: as many as the machine has processors.
    pub max_parallel: Option<u32>,
    /// The whole run may take so long, ms.
    pub timeout_ms: Option<u64>,
    /// In the order of the file. Every `needs` names a task of this list, and no cycle exists.
    pub tasks: Vec<Task>,
}

/// A parameter of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// What values it takes.
    pub ty: ValueType,
    /// The value when none is given; none: it must be given.
    pub default: Option<Value>,
    /// For `--help`-like listings.
    pub description: Option<String>,
}

/// Type of a parameter or an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// Any text.
    String,
    /// A whole number that fits an i64.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Any JSON.
    Json,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// Tasks that end before it starts, each once.
    pub needs: Vec<TaskId>,
    /// Which endings of those let it start.
    pub trigger: Trigger,
    /// What it runs.
    pub action: Action,
    /// Environment on top of the run's; values are templates.
    pub env: BTreeMap<String, String>,
    /// Directory, relative to the run's; a template.
    pub cwd: Option<String>,
    /// A PTY, or pipes.
    pub tty: bool,
    /// Environment variables whose values are secret.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Ended after so long, ms.
    pub timeout_ms: Option<u64>,
    /// Between SIGTERM and SIGKILL, ms.
    pub grace_ms: u64,
    /// What happens when it fails.
    pub retries: RetryPolicy,
    /// Failure ends it as completed.
    pub allow_failure: bool,
    /// What it writes to `CIS_OUTPUT`.
    pub outputs: BTreeMap<String, ValueType>,
    /// A lost session is started again (at most 3 times).
    pub retry_lost: bool,
}

/// Which endings of its needs let a task start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// All succeeded or completed.
    #[default]
    AllSuccess,
    /// All ended, however, in a run that was not cancelled.
    AllDone,
    /// As soon as one failed or ended in error; skipped when all ended and none did.
    OneFailed,
    /// All ended, however; also in a cancelled run (for cleaning up).
    Always,
}

/// What a task runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A program and its arguments; each element is a template and stays one argument.
    Command(Vec<String>),
    /// A script for a shell; values travel as environment variables.
    Script {
        /// The text, a template.
        text: String,
        /// `sh`, `bash`, a path …; it gets `-c TEXT`.
        shell: String,
    },
}

/// Where a secret's value comes from. The value itself is in no file of CIS but the log of its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// A variable of the run's environment.
    Env(String),
    /// A file, relative to the run's directory; one newline at its end is left out.
    File(String),
}

/// How failed tries are repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// How many more tries after the first.
    pub count: u32,
    /// How the delay grows.
    pub backoff: Backoff,
    /// Before the second try, ms.
    pub delay_ms: u64,
    /// The longest delay, ms.
    pub max_delay_ms: u64,
    /// Each delay is drawn from its second half (so that many tasks do not come back at once).
    pub jitter: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { count: 0, backoff: Backoff::Exponential, delay_ms: 1000, max_delay_ms: 60_000, jitter: true }
    }
}

/// How the delay between tries grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// Always `delay`.
    Fixed,
    /// Doubles from `delay` to `max_delay`.
    #[default]
    Exponential,
}

/// Between SIGTERM and SIGKILL where the file says nothing, ms.
pub const DEFAULT_GRACE_MS: u64 = 10_000;
