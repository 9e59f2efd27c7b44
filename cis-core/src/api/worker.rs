//! What a coordinator and a worker say to each other. Plain values, each complete in itself: a
//! worker never reads the coordinator's store. The node's own worker and a remote one are the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::context::TaskContext;
use crate::dag::{CacheKey, Program, SecretSource, Task, ValueType};
use crate::event::{
    ArtifactRecord, AttemptOutcome, ExitStatus, LostOutput, OutputRecord, SessionState, Submitter,
};
use crate::event::{Uploaded, UploadedLog};
use crate::identity::sealed::Sealed;
use crate::ids::{AttemptId, BlobId, Fence, RunId, SessionId, TimestampMs};

/// Everything that a worker needs to run a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// What is run.
    pub program: Program,
    /// On top of the base environment: the file's `env` and the values that `program` refers to.
    pub env: BTreeMap<String, String>,
    /// The submitter's environment (a secret blob of the coordinator, own worker only); none: the worker's own.
    pub base_env: Option<BlobId>,
    /// The submitter's file mode creation mask (own worker only); none: the worker's own.
    #[serde(default)]
    pub umask: Option<u32>,
    /// Absolute directory.
    pub cwd: String,
    /// A PTY, or pipes with stdin from `/dev/null`.
    pub tty: bool,
    /// Names and sources, never values: the worker finds those itself.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Sources of the secrets of all tasks of the run, including this one. Only tasks that declare a secret get its
    /// variable; the values are hidden in the output of every task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run_secrets: Vec<SecretSource>,
    /// Values among `env` and `program` that hold a secret of an earlier task: redacted like the others.
    pub sensitive: Vec<String>,
    /// Ended after so long, ms.
    pub timeout_ms: Option<u64>,
    /// Ended after so long without activity, ms.
    #[serde(default)]
    pub idle_ms: Option<u64>,
    /// Between SIGTERM and SIGKILL, ms.
    pub grace_ms: u64,
    /// Its log is not uploaded for the other nodes of its room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_log: bool,
    /// Bytes of output that are kept; what is over is cut from the middle.
    pub log_limit_bytes: u64,
    /// Declared outputs.
    pub outputs: BTreeMap<String, ValueType>,
    /// Globs below `cwd` of files that are kept.
    #[serde(default)]
    pub artifacts: Vec<String>,
    /// Its result may come from an earlier one, or serve a later one.
    #[serde(default)]
    pub cache: Option<CacheUse>,
    /// Its variables `CIS_NEEDS` and `CIS_NEED_…`, and the file behind `CIS_CONTEXT`; none: it needs nothing.
    #[serde(default)]
    pub context: Option<TaskContext>,
    /// Agent profile that reads its screen.
    pub profile: Option<String>,
    /// Files that it wants in place before it starts: path below its directory, content.
    pub inputs: BTreeMap<String, BlobId>,
}

/// How a task uses the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheUse {
    /// With its values in place.
    pub key: CacheKey,
    /// Globs below `cwd` of files whose content is part of the key.
    pub inputs: Vec<String>,
    /// Older results are not taken, ms.
    pub ttl_ms: Option<u64>,
    /// Only keep the result, take none.
    pub refresh: bool,
    /// The task's directory, relative to the run's.
    #[serde(default)]
    pub cwd: String,
    /// Which task of which file, and which item, it is: a key that is a text belongs to that alone.
    #[serde(default)]
    pub scope: String,
    /// Submitter of the run; none: the owner of the node. Only runs of the same submitter share results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitter: Option<Submitter>,
}

/// To a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum ToWorker {
    /// Run this.
    Grant {
        /// The try.
        attempt: AttemptId,
        /// The session to start.
        session: SessionId,
        /// Of this grant.
        fence: Fence,
        /// For how long without renewal, ms; none: for ever (own worker).
        lease_ms: Option<u64>,
        /// How many sessions of its run may run at once: a worker that was given more lets them wait.
        slots: u32,
        /// What.
        spec: Box<TaskSpec>,
    },
    /// The grant holds for another `lease_ms`.
    Renew {
        /// The try.
        attempt: AttemptId,
        /// Of its grant.
        fence: Fence,
        /// From now, ms.
        lease_ms: u64,
    },
    /// Stop it: SIGTERM, then SIGKILL.
    Cancel {
        /// The try.
        attempt: AttemptId,
        /// Of its grant.
        fence: Fence,
        /// Between the two, ms.
        grace_ms: u64,
        /// Its result was handed in: what it leaves is collected as after an end of its own.
        #[serde(default)]
        keep: bool,
    },
    /// The result is recorded: forget it.
    Ack {
        /// The try.
        attempt: AttemptId,
        /// Of its grant.
        fence: Fence,
    },
}

/// Why a worker does not take a grant, or gives it back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Refusal {
    /// Short of PTYs, descriptors, processes or disk: try again later, here or elsewhere.
    Resources {
        /// Of what, and what helps.
        detail: String,
    },
    /// It waited at the worker for its turn, and was taken back: nothing was started.
    Withdrawn {
        /// All slots of the worker are taken, by other coordinators too. Its next offer says when there is one. Earlier versions do not
        /// say so.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        full: bool,
    },
    /// Its own policy forbids it.
    Policy {
        /// Which rule.
        detail: String,
    },
}

/// From a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum FromWorker {
    /// The grant is taken.
    Claimed {
        /// The try.
        attempt: AttemptId,
        /// Of its grant.
        fence: Fence,
    },
    /// The grant is not taken.
    Refused {
        /// The try.
        attempt: AttemptId,
        /// Of its grant.
        fence: Fence,
        /// Why.
        reason: Refusal,
    },
    /// Its coordinator is short of something that the attempt needs before any worker can get it.
    NotGiven {
        /// The try.
        attempt: AttemptId,
        /// Of its grant.
        fence: Fence,
        /// What is missing.
        detail: String,
    },
    /// Its session changed.
    Session {
        /// The try.
        attempt: AttemptId,
        /// Of its grant.
        fence: Fence,
        /// To what.
        state: SessionState,
        /// Of its first process, once there is one.
        pid: Option<u32>,
    },
    /// Sessions of this run are short: so many more than may run at once are welcome, to be begun the
    /// moment that one ends. None: all that wait are given back.
    Ahead {
        /// The run.
        run: RunId,
        /// How many.
        count: u32,
    },
    /// Its session asks for tasks below its own.
    Child {
        /// The try that asks.
        attempt: AttemptId,
        /// Of its grant.
        fence: Fence,
        /// The new task.
        task: Box<Task>,
    },
    /// It ended. Repeated until acknowledged.
    Result {
        /// The try.
        attempt: AttemptId,
        /// Of its grant.
        fence: Fence,
        /// How, and with what.
        report: Box<Report>,
    },
}

/// How an attempt ended, as its worker saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How.
    #[serde(flatten)]
    pub outcome: AttemptOutcome,
    /// How its process ended, where there was one.
    pub exit: Option<ExitStatus>,
    /// When its process started, Unix ms; none where none did.
    pub started_ms: Option<TimestampMs>,
    /// When it ended, Unix ms.
    pub ended_ms: TimestampMs,
    /// What it wrote to `CIS_OUTPUT`, redacted.
    pub outputs: BTreeMap<String, OutputRecord>,
    /// Real values of outputs that hold a secret, sealed to the coordinator on another node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sealed: BTreeMap<String, Sealed>,
    /// Files that it left, in the order of their paths.
    #[serde(default)]
    pub artifacts: Vec<ArtifactRecord>,
    /// The list of those files, where they were uploaded for other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Uploaded>,
    /// The attempt whose result was taken from the cache; nothing ran.
    #[serde(default)]
    pub cached: Option<String>,
    /// Why the result was not kept in the cache, in words, though the task has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_cached: Option<String>,
    /// Key under which the nodes of the room can use this result. Only the coordinator knows it: no worker can set it.
    #[serde(skip)]
    pub cache_key: Option<String>,
    /// Bytes that its terminal or pipe carried, those cut from the log included.
    pub log_bytes: u64,
    /// The part of the output that could not be kept.
    #[serde(default)]
    pub lost_output: Option<LostOutput>,
    /// Where its log is, where it was uploaded for other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<UploadedLog>,
}

impl Report {
    /// Of an attempt that has no more to tell than how it ended: no process did, or nobody saw what it left.
    #[must_use]
    pub fn bare(outcome: AttemptOutcome, started_ms: Option<TimestampMs>, ended_ms: TimestampMs) -> Self {
        Self {
            outcome,
            exit: None,
            started_ms,
            ended_ms,
            outputs: BTreeMap::new(),
            sealed: BTreeMap::new(),
            artifacts: Vec::new(),
            files: None,
            cached: None,
            not_cached: None,
            cache_key: None,
            log_bytes: 0,
            lost_output: None,
            log: None,
        }
    }
}

/// Who runs attempts. Must not block: answers come back as [`FromWorker`] inputs.
pub trait Worker {
    /// Takes one message.
    fn tell(&mut self, message: ToWorker);
}
