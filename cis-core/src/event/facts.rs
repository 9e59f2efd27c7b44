//! What events carry: facts of runs, changes of tasks, results of attempts.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::outcome::{AttemptOutcome, EndReason, ExitStatus};
use super::states::{ExecutionMode, TaskState};
use crate::ids::{
    AttemptId, BlobId, Epoch, Fence, HostInstance, NodeDid, SessionId, TaskId, TimestampMs, TokenId,
};
use crate::text;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// A run.
    Run,
    /// A task of a run.
    Task,
    /// A session.
    Session,
    /// A node.
    Node,
}

/// Facts of a run that never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunCreated {
    /// `[dag] id`.
    pub dag: String,
    /// Where the text came from, for messages: a path, or `<stdin>`.
    pub source: String,
    /// The TOML text, content-addressed.
    pub spec: BlobId,
    /// How many tasks the text has.
    pub tasks: u32,
    /// Value of every parameter, defaults included.
    pub params: BTreeMap<String, Value>,
    /// At most so many unblocked sessions of this run at a time.
    pub max_parallel: u32,
    /// Absolute directory that relative `cwd`s start from.
    pub workdir: String,
    /// The submitter's environment as a secret blob (JSON object of strings); none: the node's own.
    pub base_env: Option<BlobId>,
    /// The submitter's file mode creation mask (umask(2)); none: the session host's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Local, hybrid or matrix.
    pub mode: ExecutionMode,
    /// The node that coordinates it.
    pub owner: NodeDid,
    /// The room that follows it.
    pub room: Option<String>,
    /// The attempt that spawned it, where one did.
    pub parent: Option<AttemptId>,
    /// The coordinator's term.
    pub epoch: Epoch,
    /// No result of an earlier run is taken (`--no-cache`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_cache: bool,
    /// Programs of `on_blocked.run` that lie where sessions may write, as they were then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptFile>,
    /// An agent works on its tasks (`--use-agent`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_agent: Option<UseAgent>,
    /// What the commands of `on_blocked.run` named then, by task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<NamedPrograms>,
    /// Submitter of the run; none: the owner of the node, over its socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitter: Option<Submitter>,
    /// It was submitted on this node, which read it back from its room after another node had taken it over. Its directory is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_back: Option<ReadBack>,
}

impl RunCreated {
    /// Makes the facts of a run for tests: in mode `local`, in `/`, one session at a time, and nothing that is optional.
    #[must_use]
    pub fn sample(dag: &str, tasks: usize, owner: NodeDid) -> Self {
        Self {
            dag: dag.to_owned(),
            source: String::new(),
            spec: BlobId("00".to_owned()),
            tasks: u32::try_from(tasks).unwrap_or(u32::MAX),
            params: BTreeMap::new(),
            max_parallel: 1,
            workdir: "/".to_owned(),
            base_env: None,
            umask: None,
            mode: ExecutionMode::Local,
            owner,
            room: None,
            parent: None,
            epoch: 0,
            no_cache: false,
            kept: Vec::new(),
            use_agent: None,
            named: Vec::new(),
            submitter: None,
            read_back: None,
        }
    }
}

/// How a run was read back by the node where it was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadBack {
    /// With all that this node had recorded and that matters for tasks that need it.
    Whole,
    /// Something of that does not count any more: that such a task ended, or that the run was paused, cancelled or ended.
    CutOff,
}

/// A submitter other than the owner of the node. Commands that the node runs for the run never have more rights than the
/// submitter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Submitter {
    /// The holder of a token of the API.
    Token {
        /// The token's id: a later token may have the same name.
        id: TokenId,
    },
    /// A member of a room.
    Member {
        /// The room.
        room: String,
    },
}

/// What a task's `on_blocked.run` named when the run was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamedPrograms {
    /// The task of the file.
    pub task: TaskId,
    /// The run's directory, without symbolic links.
    pub workdir: String,
    /// The task's own; none: it was not known, or not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Words that name files, and their absolute paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Names that `PATH` led to where sessions may write, and their absolute paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, String>,
    /// Directories of `PATH` that lead there: nothing is looked for in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_searched: Vec<String>,
}

/// Who works on the tasks of a run, whatever its file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UseAgent {
    /// The profile that tasks without an agent are given to; none: they are run as they are, each in a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// A file as it was when the run was submitted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct KeptFile {
    /// Where it lay: absolute, without `.` and `..`.
    pub path: String,
    /// Its content.
    pub blob: BlobId,
}

/// Why a queued task does not run yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum QueueReason {
    /// Waits for its turn: `max_parallel` of the run, or `max_sessions` of the node.
    Slot,
    /// The next try starts then.
    RetryAt {
        /// When, Unix ms.
        at_ms: TimestampMs,
        /// How the last try ended.
        after: String,
    },
    /// The machine had no PTY, descriptor, process or disk left; tried again then.
    Resources {
        /// When, Unix ms.
        at_ms: TimestampMs,
        /// What was short.
        detail: String,
    },
    /// It was given to a worker ahead of its turn, and taken back before it began; the try does not count.
    Withdrawn,
    /// A session was lost; runs again at once, and the try does not count.
    Lost {
        /// What is known.
        detail: String,
    },
    /// All places of its concurrency group are taken.
    Group {
        /// The group.
        name: String,
    },
    /// A human must approve it first.
    Approval {
        /// The question.
        prompt: String,
        /// It fails then, Unix ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<TimestampMs>,
    },
    /// Its items are at work.
    Items {
        /// How many there are.
        count: u32,
    },
    /// Its account was logged out several times in a row: nothing of it starts before then.
    Account {
        /// The account.
        name: String,
        /// Tried again then, Unix ms.
        until_ms: TimestampMs,
    },
}

/// A change of a task's state that no grant and no result explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskChange {
    /// The task.
    pub task: TaskId,
    /// Its state from now on.
    pub state: TaskState,
    /// For terminal states: why. For running, where it was running before: its attempt is being stopped, for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EndReason>,
    /// For queued: why it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<QueueReason>,
}

/// A task was given to a worker (`cis.dag.task.assigned`): the intent, durable before the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantRecord {
    /// The task.
    pub task: TaskId,
    /// Which try, from 1.
    pub attempt: u32,
    /// Raised by each grant of the task.
    pub fence: Fence,
    /// The session that the worker is to start.
    pub session: SessionId,
    /// Who works on it.
    pub node: NodeDid,
    /// The session host of that node, where it is this one: a later instance cannot have it.
    pub host: Option<HostInstance>,
    /// For how long without renewal, ms; none for the node's own worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// Given before a slot was free: the worker lets it begin the moment that one is, and people see it
    /// queued until it is known to have begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ahead: bool,
}

/// An output as everybody may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutputRecord {
    /// The value, secrets replaced.
    pub value: Value,
    /// SHA-256 of the JSON of `value`, hex.
    pub hash: String,
    /// Where the real value lies (0600), when it differs from `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobId>,
    /// The real value is another one, and is known only to the node that coordinated the run when the task ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

/// A file that a task left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactRecord {
    /// Below the task's directory, with `/` between names.
    pub path: String,
    /// Its content.
    pub blob: BlobId,
    /// Bytes.
    pub size: u64,
    /// Somebody may execute it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// Who may read it: nobody else gets rights where it is put back.
    #[serde(default, skip_serializing_if = "FileReaders::is_everybody")]
    pub readers: FileReaders,
}

impl ArtifactRecord {
    /// The mode of the file where it is put back, before a umask takes rights from it.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.readers.limit(if self.executable { 0o777 } else { 0o666 })
    }
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileReaders {
    /// All users of the machine.
    #[default]
    Everybody,
    /// Its owner and its group.
    Group,
    /// Its owner.
    Owner,
}

impl FileReaders {
    /// A mode without the rights of all others.
    #[must_use]
    pub fn limit(self, mode: u32) -> u32 {
        match self {
            Self::Everybody => mode,
            Self::Group => mode & 0o770,
            Self::Owner => mode & 0o700,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
    fn is_everybody(&self) -> bool {
        *self == Self::Everybody
    }
}

/// A list of files for the nodes of a room, mostly in a file that was uploaded to its homeserver.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Uploaded {
    /// SHA-256 of its bytes, before any encryption.
    pub sha256: BlobId,
    /// Its bytes.
    pub size: u64,
    /// How the carrier finds it: `{"url": "mxc://…"}`, or `{"file": …}` with the keys of an encrypted file. A short list of files is here
    /// itself: `{"list": "…"}`, the text of its JSON.
    #[schema(value_type = Object)]
    pub media: Value,
}

/// The log of an ended attempt, redacted, in a file that was uploaded to the homeserver of a room. Several logs may share a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct UploadedLog {
    /// SHA-256 of its bytes.
    pub sha256: BlobId,
    /// Its bytes.
    pub size: u64,
    /// Where in the file they begin.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start: u64,
    /// Bytes of the file.
    pub of: u64,
    /// The file, as in [`Uploaded`].
    #[schema(value_type = Object)]
    pub media: Value,
}

/// The media of a file that a node uploaded has no more bytes of JSON.
pub const MEDIA_BYTES_MAX: usize = 4096;

impl UploadedLog {
    /// No file with logs has more bytes.
    pub const FILE_BYTES_MAX: u64 = 8 << 20;

    /// Whether it could be what a node made, before it is looked for.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let ends = self.start.checked_add(self.size).is_some_and(|end| end <= self.of);
        ends && self.of <= Self::FILE_BYTES_MAX
            && BlobId::is_written_as(&self.sha256.0)
            && self.media.to_string().len() <= MEDIA_BYTES_MAX
    }
}

/// Output of a session that is missing from its log although the log had room for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LostOutput {
    /// Number of lost bytes; 0: unknown.
    pub bytes: u64,
    /// The first error that the system reported.
    pub cause: String,
}

impl fmt::Display for LostOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes {
            0 => write!(f, "some of its output is lost: {}", self.cause),
            bytes => write!(f, "{} of its output are lost: {}", text::bytes(bytes), self.cause),
        }
    }
}

/// An attempt ended (`cis.dag.task.result`), and what its task is from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptResult {
    /// The task.
    pub task: TaskId,
    /// Which try.
    pub attempt: u32,
    /// Of the grant that it answers.
    pub fence: Fence,
    /// Its session.
    pub session: SessionId,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: AttemptOutcome,
    /// How its process ended, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitStatus>,
    /// When its process started; none where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<TimestampMs>,
    /// When it ended.
    pub ended_ms: TimestampMs,
    /// What it wrote to `CIS_OUTPUT`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, OutputRecord>,
    /// Files that it left, in the order of their paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactRecord>,
    /// The list of those files with their contents, where they were uploaded for the other nodes of a room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Uploaded>,
    /// The attempt whose result was taken from the cache; nothing ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<String>,
    /// Why the result was not kept in the cache, in words, though the task has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_cached: Option<String>,
    /// Key under which nodes that may coordinate in the room can use this result instead of running a task. Made by the coordinator of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_key: Option<String>,
    /// Bytes that its terminal or pipe carried, those cut from the log included.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub log_bytes: u64,
    /// The part of the output that could not be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_output: Option<LostOutput>,
    /// Where its log is, where it was uploaded for the other nodes of a room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<UploadedLog>,
    /// Whether this try counts against `retries`.
    pub counts: bool,
    /// State of the task from now on: terminal, or queued for the next try.
    pub state: TaskState,
    /// Where that is terminal: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EndReason>,
    /// Where that is queued: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<QueueReason>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Which tasks `dag retry` runs again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "scope")]
pub enum RetryScope {
    /// All of them.
    All,
    /// Those that did not succeed.
    Failed,
    /// This one and what needs it.
    From {
        /// The task.
        task: TaskId,
        /// More tasks that run again with what needs them. A node of an earlier version does not know this, and begins at `task` alone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<TaskId>,
    },
}

/// Which limit a session is about to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionLimit {
    /// No activity.
    Idle,
    /// Its life as a whole; a task's timeout.
    Lifetime,
}

/// What was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LostBy {
    /// The session host of this node died.
    Host,
    /// Another node stopped answering.
    Heartbeat,
}
