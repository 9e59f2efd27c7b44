//! A DAG file that was read and found right: defaults merged, durations in ms, names resolved.
//! Texts that may hold `{{ … }}` stay as written; [`super::template`] renders them when a task starts.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::ids::TaskId;
use crate::people::Allowed;
use crate::prompt::PromptKind;

/// A whole file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dag {
    /// `[dag] id`.
    pub id: String,
    /// Parameters, in the order of the file.
    pub params: IndexMap<String, Param>,
    /// At most so many unblocked sessions at a time; none: as many as the machine has processors.
    pub max_parallel: Option<u32>,
    /// The whole run may take so long, ms.
    pub timeout_ms: Option<u64>,
    /// `[dag.groups]`: groups of this DAG alone.
    pub groups: BTreeMap<String, Group>,
    /// `[dag.on]`.
    pub on: Handlers,
    /// In the order of the file. Every `needs` names a task of this list, and no cycle exists.
    pub tasks: Vec<Task>,
}

/// The longest name of a group that a command makes.
const GROUP_NAME_MAX: usize = 64;

/// So many tasks of a concurrency group may have a session at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// At least 1.
    pub limit: u32,
    /// A session that waits for a human leaves its place to another; it takes it again above the limit.
    #[serde(default)]
    pub frees_when_blocked: bool,
}

impl Group {
    /// Checks what a command says of a group of a node or of a room; none: it is removed.
    ///
    /// # Errors
    /// Why there cannot be such a group.
    pub fn check(name: &str, group: Option<Self>) -> Result<(), String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > GROUP_NAME_MAX || !name.bytes().all(plain) {
            return Err(format!(
                "`{name}` is no name of a group: use 1 to {GROUP_NAME_MAX} of letters, digits, `_`, `-` and `.`"
            ));
        }
        match group {
            Some(Self { limit: 0, .. }) => Err(format!(
                "the limit of group `{name}` is at least 1; `cis dag pause` keeps a run from starting more"
            )),
            _ => Ok(()),
        }
    }
}

/// Tasks that run only when all others have ended, each at one kind of end, or when a session waits for a
/// human. They need nothing, and no task needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handlers {
    /// None ended badly.
    pub success: Option<TaskId>,
    /// A task failed or could not be run, or the run took too long.
    pub failure: Option<TaskId>,
    /// Somebody cancelled the run.
    pub cancel: Option<TaskId>,
    /// However it went; after the others.
    pub always: Option<TaskId>,
    /// As soon as a session of the run waits for a human, once; skipped when none did.
    pub blocked: Option<TaskId>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// A JSON array.
    List,
    /// Any JSON.
    Json,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// Tasks that end before it starts, each once.
    pub needs: Vec<TaskId>,
    /// Which endings of those let it start.
    pub trigger: Trigger,
    /// `if`: an expression without braces. Where it is not true the task is skipped (completed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Once for each of these: its items are tasks `ID.1`, `ID.2` … that are added when it is its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreach: Option<Foreach>,
    /// It is an item of another task. Never in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
    /// Higher ones start first; then the order of the file.
    #[serde(default)]
    pub priority: i32,
    /// Concurrency group, of the DAG or of the node; the DAG's hides the node's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// In Matrix mode: which nodes may run it; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Box<Placement>>,
    /// A human must approve before it starts: once, for all its items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Globs of files below its directory that are kept when it ends well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
    /// Globs of files below its directory that its result depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Its result is taken from an earlier success with the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// What it runs.
    pub action: Action,
    /// Environment on top of the run's; values are templates.
    pub env: BTreeMap<String, String>,
    /// Directory, relative to the run's; a template.
    pub cwd: Option<String>,
    /// A PTY, or pipes.
    pub tty: bool,
    /// In Matrix mode: its log stays on the node that ran it. Otherwise it is uploaded for the other nodes of the room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_log: bool,
    /// Environment variables whose values are secret.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Ended after so long, ms.
    pub timeout_ms: Option<u64>,
    /// Ended after so long without activity, ms: bytes in either direction, or CPU time of its processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
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
    /// In Matrix mode: when it may start on the results of the tasks before it.
    #[serde(default, skip_serializing_if = "Commit::is_coordinator")]
    pub commit: Commit,
    /// What happens when its session waits for a human; none: it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_blocked: Option<Box<OnBlocked>>,
    /// The account that its agent is logged in to: sessions of an account that is logged out wait for
    /// each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl Task {
    /// A task as a file makes it that says nothing else.
    #[must_use]
    pub fn new(id: TaskId, action: Action) -> Self {
        Self {
            id,
            action,
            needs: Vec::new(),
            trigger: Trigger::default(),
            condition: None,
            foreach: None,
            item: None,
            priority: 0,
            group: None,
            placement: None,
            approval: None,
            artifacts: Vec::new(),
            inputs: Vec::new(),
            cache: None,
            env: BTreeMap::new(),
            cwd: None,
            tty: true,
            keeps_log: false,
            secrets: BTreeMap::new(),
            timeout_ms: None,
            idle_ms: None,
            grace_ms: DEFAULT_GRACE_MS,
            retries: RetryPolicy::default(),
            allow_failure: false,
            outputs: BTreeMap::new(),
            retry_lost: true,
            commit: Commit::Coordinator,
            on_blocked: None,
            account: None,
        }
    }

    /// Whether any other machine could run it: it needs nothing of the one where it was submitted, and leaves nothing there. Secrets
    /// go only to nodes that the task names.
    #[must_use]
    pub fn is_portable(&self) -> bool {
        self.bound_by().next().is_none()
    }

    /// The keys by which it needs the machine where it was submitted.
    pub fn bound_by(&self) -> impl Iterator<Item = &'static str> {
        // It would run beside its session, in the submitter's directory.
        let command = |rule: &OnBlocked| matches!(rule.action, BlockedAction::Run(_));
        let has_command = self.on_blocked.as_deref().is_some_and(command);
        let keys = [
            ("cwd", self.cwd.is_some()),
            ("secrets", !self.secrets.is_empty()),
            ("on_blocked.run", has_command),
        ];
        keys.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key)
    }

    /// Whether it stays on the submitting node in Matrix mode: no other machine could run it, and it names none.
    #[must_use]
    pub fn stays_home(&self) -> bool {
        self.placement.is_none() && !self.is_portable()
    }
}

/// When a task of a run in Matrix mode may start on the results of the tasks before it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Commit {
    /// As soon as its coordinator has recorded them. They can still be lost with that machine.
    #[default]
    Coordinator,
    /// When these results, and the task's own grant, are final in the room.
    Room,
}

impl Commit {
    /// Whether it is the default.
    #[must_use]
    pub fn is_coordinator(&self) -> bool {
        *self == Self::Coordinator
    }
}

/// Which nodes may run a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Placement {
    /// Those with all of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Those with one of these names or DIDs; none: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

/// What happens when the session of a task waits for a human. Texts are templates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OnBlocked {
    /// At once.
    pub action: BlockedAction,
    /// Of these kinds of prompts all of this speaks; empty: of those at which a session leaves its slot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<PromptKind>,
    /// Who is told: after `escalate_after_ms`, or at once where that says nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<String>,
    /// People are told again when it has waited for so long, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate_after_ms: Option<u64>,
    /// It waits no longer than this, ms: then `default` is its answer, or the attempt fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The answer at the deadline: an option, or words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

impl OnBlocked {
    /// Whether it speaks of prompts of this kind.
    #[must_use]
    pub fn speaks_of(&self, kind: PromptKind) -> bool {
        if self.kinds.is_empty() { kind.frees_slot() } else { self.kinds.contains(&kind) }
    }

    /// When people are told of a prompt, ms after it began; none: only the inbox shows it.
    #[must_use]
    pub fn tells_after_ms(&self) -> Option<u64> {
        self.escalate_after_ms.or_else(|| (!self.notify.is_empty()).then_some(0))
    }
}

/// What is done at once with a session that waits for a human.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockedAction {
    /// It waits.
    #[default]
    Ask,
    /// It is ended, and its task is skipped.
    Skip,
    /// It is ended, and its attempt has failed.
    Fail,
    /// This is run, once for each prompt, and it waits.
    Run(Action),
}

/// What a task is repeated over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Foreach {
    /// A list in the file.
    Items(Vec<Value>),
    /// An expression without braces whose value is a list when it is the task's turn.
    Expression(String),
}

/// Which item of a task it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = TaskItem)]
pub struct Item {
    /// The task with `foreach`.
    pub of: TaskId,
    /// From 1.
    pub number: u32,
    /// `item`, secrets replaced.
    pub value: Value,
}

/// What is asked of a human before a task starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TaskApproval)]
pub struct Approval {
    /// The question, a template.
    pub prompt: String,
    /// The task fails when nobody has decided after so long, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Who may decide from a room; none: those whose role is enough. In a box: few tasks have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Box<Allowed>>,
}

/// When an earlier result may stand for a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TaskCache)]
pub struct Cache {
    /// What must be the same.
    pub key: CacheKey,
    /// Results older than this are not taken, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// What must be the same for a result to be taken from the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheKey {
    /// The command with its values and environment, and the content of the files of `inputs`.
    Auto,
    /// This text, a template, and the files of `inputs`.
    Text(String),
}

/// Which endings of its needs let a task start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TaskAction)]
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
    /// An agent, by the name of its profile.
    Agent {
        /// The profile.
        agent: String,
        /// What it is to do.
        prompt: Prompt,
    },
}

/// What an agent is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AgentPrompt)]
pub enum Prompt {
    /// A template.
    Text(String),
    /// A file whose content is taken as it is when the task starts: a path, relative to the run's
    /// directory; a template.
    File(String),
}

/// Where a secret's value comes from. The value itself is in no file of CIS but the log of its session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// A variable of the run's environment.
    Env(String),
    /// A file, relative to the run's directory; one newline at its end is left out.
    File(String),
}

impl SecretSource {
    /// Returns the source with its file below the run's directory.
    #[must_use]
    pub fn below(&self, workdir: &Path) -> Self {
        match self {
            Self::Env(variable) => Self::Env(variable.clone()),
            Self::File(path) => Self::File(workdir.join(path).display().to_string()),
        }
    }
}

/// How failed tries are repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// Only these endings are repeated; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<RetryOn>,
}

/// A kind of ending that is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// `exit:N`: this exit code.
    Exit(i32),
    /// `timeout`: it ran or was idle for too long.
    Timeout,
    /// `signal`: a signal ended it.
    Signal,
    /// `outputs`: declared outputs or artifacts were not there or not as declared.
    Outputs,
    /// `error`: it could not be started.
    Error,
    /// `blocked`: it waited for a human, and `on_blocked` ended it.
    Blocked,
    /// `rate_limit`: the same, where it waited for its provider.
    RateLimit,
    /// `login`: its program was not logged in. Only where it is named.
    Login,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            count: 0,
            backoff: Backoff::Exponential,
            delay_ms: 1000,
            max_delay_ms: 60_000,
            jitter: true,
            on: Vec::new(),
        }
    }
}

/// How the delay between tries grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
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
