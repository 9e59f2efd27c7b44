//! What clients send.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::text_or_hex;
use crate::event::{ExecutionMode, PromptKind, RetryScope, RunState, TaskState, UseAgent};
use crate::ids::{InputId, Offset};
use crate::term_size::TermSize;

/// A request that counts once by its id, however often it is sent.
pub trait HasKey {
    /// Its id; [`InputId::NONE`] where none was given.
    fn input_mut(&mut self) -> &mut InputId;
}

macro_rules! has_key {
    ($($name:ty),*) => {
        $(impl HasKey for $name {
            fn input_mut(&mut self) -> &mut InputId {
                &mut self.input
            }
        })*
    };
}
has_key!(CreateRun, CreateSession, SendInput);
pub(super) use has_key;

/// Source of a run where nobody says one.
fn unnamed() -> String {
    "<api>".to_owned()
}

fn yes() -> bool {
    true
}

/// Makes a run out of a DAG file's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateRun {
    /// The TOML text. What is not UTF-8 is refused with the place.
    #[serde(with = "text_or_hex")]
    #[schema(schema_with = text_or_hex::schema)]
    pub text: Vec<u8>,
    /// Where it came from, for messages: a path as the user gave it, or `<stdin>`. Default: `<api>`.
    #[serde(default = "unnamed")]
    pub source: String,
    /// Absolute directory that relative `cwd`s start from. Default: the home directory of the node's user.
    #[serde(default)]
    pub workdir: String,
    /// Values of parameters by their names, as typed.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// The submitter's environment; none: the node's own.
    pub env: Option<BTreeMap<String, String>>,
    /// The submitter's file mode creation mask (umask(2)); none: the node's first caller's.
    #[serde(default)]
    pub umask: Option<u32>,
    /// Local unless said otherwise.
    #[serde(default)]
    pub mode: ExecutionMode,
    /// The room that follows it, by id, alias or link; none: the one that is configured. A local run has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// An agent works on its tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_agent: Option<UseAgent>,
    /// Start it at once. Default: true.
    #[serde(default = "yes")]
    pub start: bool,
    /// Takes no results of earlier runs from the cache.
    #[serde(default)]
    pub no_cache: bool,
    /// Only check it: nothing is created, and no run is answered.
    #[serde(default)]
    pub validate_only: bool,
    /// Sent twice, it counts once.
    #[serde(default)]
    pub input: InputId,
}

/// Query of a new run: beside a DAG file it says what JSON says in its fields, and in front of JSON it replaces them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SubmitRun {
    /// Where the file came from, for messages.
    pub source: Option<String>,
    /// Absolute directory that relative `cwd`s start from.
    pub workdir: Option<String>,
    /// `NAME=VALUE`: the value of a parameter. May be given several times.
    #[serde(default)]
    pub param: Vec<String>,
    /// Start it at once (default: true).
    pub start: Option<bool>,
    /// Takes no results of earlier runs from the cache.
    pub no_cache: Option<bool>,
    /// Only check it: nothing is created, and no run is answered.
    pub validate_only: Option<bool>,
}

impl SubmitRun {
    /// Replaces what it says of `run`.
    ///
    /// # Errors
    /// A parameter that is not `NAME=VALUE`.
    pub fn apply(self, run: &mut CreateRun) -> Result<(), String> {
        run.source = self.source.unwrap_or_else(|| std::mem::take(&mut run.source));
        run.workdir = self.workdir.unwrap_or_else(|| std::mem::take(&mut run.workdir));
        run.start = self.start.unwrap_or(run.start);
        run.no_cache = self.no_cache.unwrap_or(run.no_cache);
        run.validate_only = self.validate_only.unwrap_or(run.validate_only);
        for text in self.param {
            let (name, value) =
                text.split_once('=').ok_or_else(|| format!("`param` must be NAME=VALUE, not `{text}`"))?;
            run.params.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }
}

impl CreateRun {
    /// A run of this file, with everything else as it is where nobody says otherwise.
    #[must_use]
    pub fn of_file(text: Vec<u8>) -> Self {
        Self {
            text,
            source: unnamed(),
            workdir: String::new(),
            params: BTreeMap::new(),
            env: None,
            umask: None,
            mode: ExecutionMode::default(),
            room: None,
            use_agent: None,
            start: yes(),
            no_cache: false,
            validate_only: false,
            input: InputId::NONE,
        }
    }
}

/// Variables that belong to one session and must not reach another through a submitted environment.
const OF_SESSIONS: [&str; 6] =
    ["CIS_RUN_ID", "CIS_TASK_ID", "CIS_ATTEMPT", "CIS_SOCKET", "CIS_TOKEN", "CIS_OUTPUT"];

/// The environment that a submitted run or session gets: of these variables those that are neither a session's own nor
/// a client's. What is not UTF-8 cannot be sent and is left out.
#[must_use]
pub fn submitted_env(
    variables: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> BTreeMap<String, String> {
    variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| {
            !OF_SESSIONS.contains(&name.as_str()) && !super::CLIENT_VARIABLES.contains(&name.as_str())
        })
        .collect()
}

/// Query of the listing of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListRuns {
    /// Only open ones.
    #[serde(default)]
    pub open: bool,
    /// Only those in this state.
    #[param(inline)]
    pub state: Option<RunState>,
    /// Only those of this DAG, by its id.
    pub dag: Option<String>,
    /// In which order: `-created_ms` (default) gives the newest first, `created_ms` the oldest.
    #[param(inline)]
    pub sort: Option<CreatedOrder>,
    /// At most so many (default 50, at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Continues a listing: its `next`.
    pub after: Option<String>,
}

/// The order of a listing, by the field that it is sorted by; a minus: from the highest down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum CreatedOrder {
    /// Newest first.
    #[default]
    #[serde(rename = "-created_ms")]
    NewestFirst,
    /// Oldest first.
    #[serde(rename = "created_ms")]
    OldestFirst,
}

/// Query of the tasks of a run, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListTasks {
    /// Only those in this state.
    #[param(inline)]
    pub state: Option<TaskState>,
    /// At most so many (default and at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Continues a listing: its `next`.
    pub after: Option<String>,
}

/// Runs tasks of an ended run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetryRun {
    /// Which.
    #[serde(flatten)]
    pub scope: RetryScope,
}

/// Switches how an open run is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetMode {
    /// Local, or hybrid.
    pub mode: ExecutionMode,
    /// The room that follows it from now on, by id, alias or link; none: the one that it has, or that is
    /// configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
}

/// A human's decision about a task that waits for approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decide {
    /// It may start; otherwise it fails.
    pub approve: bool,
    /// Why, in their words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Query of how a run is cancelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CancelRun {
    /// Also cancel tasks with the trigger `always` and handlers.
    #[serde(default)]
    pub now: bool,
}

/// Query of where the time of a run went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReadTime {
    /// Only the totals, not every task.
    #[serde(default)]
    pub totals: bool,
}

/// Where a concurrency group holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct GroupPlace {
    /// A room, by id or alias: the group holds for its runs in Matrix mode over all nodes. The node has to own the room. Without
    /// it the group is the node's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
}

/// Stops starting tasks on the node, or starts them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PauseNode {
    /// No task starts, neither of its own runs nor of other nodes. What runs continues.
    pub paused: bool,
}

/// Ends the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StopNode {
    /// Also end every live session (otherwise they go on, and the next node adopts them).
    #[serde(default)]
    pub kill_sessions: bool,
}

/// Query of the event stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FollowEvents {
    /// Only those of this run.
    pub run: Option<String>,
    /// Those after this offset; 0: from the beginning; none: from now on. One beyond the newest event is an error.
    pub after: Option<Offset>,
}

/// Close code of a WebSocket of events whose subscriber does not read. The reason is `{"after":N}`, with the offset of
/// the newest event that was sent: nothing behind it was.
pub const BEHIND: u16 = 4008;

/// Query of the listing of sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListSessions {
    /// Ended ones too.
    #[serde(default)]
    pub all: bool,
    /// Only those of this run.
    pub run: Option<String>,
    /// Only those without a run.
    #[serde(default)]
    pub standalone: bool,
    /// Maximum number of sessions (default and at most 1,000), newest first.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Continues a listing: its `next`.
    pub after: Option<String>,
}

/// Query of a listing that can be asked for nothing but its pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// At most so many (default and at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Continues a listing: its `next`.
    pub after: Option<String>,
}

/// Makes a session without a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateSession {
    /// Program and arguments; of an agent none: its profile says what is run.
    pub argv: Vec<String>,
    /// It is an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<StartAgent>,
    /// A name to call it by.
    pub name: Option<String>,
    /// Absolute directory.
    pub cwd: String,
    /// Its environment; none: the node's own.
    pub env: Option<BTreeMap<String, String>>,
    /// Its file mode creation mask (umask(2)); none: the node's first caller's.
    #[serde(default)]
    pub umask: Option<u32>,
    /// A PTY of this size, or pipes.
    pub size: Option<TermSize>,
    /// Ended after so long without activity, ms.
    #[serde(default)]
    pub idle_ms: Option<u64>,
    /// Ended after so long, ms.
    #[serde(default)]
    pub lifetime_ms: Option<u64>,
    /// Sent twice, it counts once.
    #[serde(default)]
    pub input: InputId,
}

/// Which agent a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StartAgent {
    /// Its profile, of those of the node.
    pub profile: String,
    /// What it is to do; none: it waits to be told.
    #[serde(default)]
    pub prompt: Option<String>,
}

/// Bytes for a session's terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SendInput {
    /// What is typed.
    #[serde(with = "text_or_hex")]
    #[schema(schema_with = text_or_hex::schema)]
    pub data: Vec<u8>,
    /// Sent twice, it is typed once.
    #[serde(default)]
    pub input: InputId,
}

/// Answer to [`SendInput`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InputReceipt {
    /// Position in the session's output at the time of the write: what the input caused comes after it.
    pub output_offset: u64,
}

/// Ends a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KillSession {
    /// Between SIGTERM and SIGKILL, ms; none: as its task says, or 10 s.
    pub grace_ms: Option<u64>,
}

/// Says what is true of a session, where the monitor is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportSession {
    /// It waits for a human, for this; null: it waits for nobody.
    pub waits_for: Option<PromptKind>,
}

/// Answer to [`ReportSession`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reported {
    /// The recording, on the node's machine.
    pub path: String,
}

/// Query of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReadLog {
    /// From this byte on.
    pub from: Option<u64>,
    /// Go on until the session ends.
    #[serde(default)]
    pub follow: bool,
    /// Without escape sequences, as text: UTF-8, with LF at the end of each line.
    #[serde(default)]
    pub plain: bool,
    /// For a terminal: as text with its styles (SGR), without other escape sequences.
    #[serde(default)]
    pub colors: bool,
    /// In pieces that tell their place in the output.
    #[serde(default)]
    pub marks: bool,
    /// Which attempt of the task; none: the newest.
    pub attempt: Option<u32>,
}

/// Query of an attach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Attach {
    /// Width of the caller's terminal.
    pub cols: Option<u16>,
    /// Its height.
    pub rows: Option<u16>,
    /// Look, do not type and do not decide the size.
    #[serde(default)]
    pub read_only: bool,
    /// The caller's terminal shows the output up to this byte, by an attach before: goes on from there. Where that is too
    /// long ago, or the terminal has another size now, a picture comes as without it.
    pub from: Option<u64>,
    /// Binary frames tell their place in the output.
    #[serde(default)]
    pub marks: bool,
}

/// Text frames of a client that is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum AttachControl {
    /// The caller's terminal has this size now.
    Resize(TermSize),
    /// Paint the whole screen again.
    Repaint,
}

/// Text frames of the node to a client that is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum AttachNotice {
    /// First frame: what it is attached to, and the size that the session has.
    Attached {
        /// The session.
        session: String,
        /// Its size.
        size: TermSize,
        /// Whether what is typed counts.
        read_only: bool,
        /// So much output the session has had, bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        /// What comes goes on from the byte that was asked for (`from`); otherwise a picture comes first.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        resumed: bool,
    },
    /// The session has another size now.
    Resized(TermSize),
    /// The session ended; the connection closes next.
    Ended {
        /// How, in words.
        detail: String,
        /// Exit code, where there is one.
        exit_code: Option<i32>,
        /// Lines of the last screen, with secrets replaced.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        screen: Option<String>,
    },
}
