//! What a node says to its session host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Role;
use cis_core::api::TermSize;
use cis_core::ids::{InputId, RunId, SessionId};

/// Standard streams of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Io {
    /// A PTY of this size, the session's controlling terminal.
    Pty(TermSize),
    /// stdout and stderr through one pipe.
    Pipes {
        /// stdin is a pipe that `write` reaches; otherwise `/dev/null`.
        stdin: bool,
    },
}

/// What happens at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum AtDeadline {
    /// SIGTERM, after `grace_ms` SIGKILL; the exit says so by `timed_out`.
    Kill {
        /// Between the two, ms.
        grace_ms: u64,
    },
    /// SIGSTOP to the whole tree, until `thaw`.
    Freeze,
}

/// The queue of a session: those in it do not run all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The run whose queue it is.
    pub of: RunId,
    /// Number of sessions of the queue that run at once at most; others wait in the host, in the order in which
    /// they came. The newest start decides for the whole queue.
    pub at_once: u32,
    /// While more than so many wait, an end is told with what is said next.
    pub lazy_above: u32,
}

/// How long a session may run that is a task of another node's run. Its node may be dead, or cut off, when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// At this time a running session is frozen, and a waiting one can no longer start, ms (`CLOCK_BOOTTIME`).
    pub until_ms: u64,
    /// A frozen session is killed after this time, ms. None: it stays frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_ms: Option<u64>,
}

/// A session to be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Its id: a second start of the same changes nothing and is answered with what is known.
    pub session: SessionId,
    /// `CIS_ATTEMPT` of its processes (the host sets it), by which their orphans are known:
    /// `RUN:TASK#N`, or the session id.
    pub label: String,
    /// Program and arguments. A program without `/` is looked up in the `PATH` of the session's environment.
    pub argv: Vec<String>,
    /// Absolute directory.
    pub cwd: String,
    /// Name of an environment that was sent before by [`ToHost::Env`].
    pub env_base: Option<String>,
    /// On top of that.
    pub env: BTreeMap<String, String>,
    /// File mode creation mask (umask(2)); none: as the host was told when it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// It may have to wait for its turn; none: it starts at once. The start of one that waits, and of one
    /// that ends within a few ms, is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<Line>,
    /// PTY or pipes.
    pub io: Io,
    /// Where its output goes: an absolute path whose directory exists. The file is made with the first byte.
    pub log: String,
    /// How much is kept there.
    pub log_limit_bytes: u64,
    /// Ended after so long, ms from its start.
    pub timeout_ms: Option<u64>,
    /// Ended after so long without activity, ms: bytes in either direction, or CPU time of its tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// `Expiring` is said so long before the timeout or the end by idleness, where those are longer
    /// than twice as much, ms; none: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_ms: Option<u64>,
    /// Between SIGTERM and SIGKILL, where a kill does not say it, ms.
    pub grace_ms: u64,
    /// Files to make first (0600), absolute path to content.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Of a terminal: standard input is this file instead, which may be one of `files`. The terminal stays
    /// the other two streams, and the controlling one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// None: it needs none. [`ToHost::Deadline`] renews it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// To the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum ToHost {
    /// First message of a connection.
    Hello {
        /// Of the node's protocol.
        version: u32,
        /// What the connection is for.
        role: Role,
    },
    /// An environment for later starts. Kept until it is dropped, or another control connection begins.
    Env {
        /// Its name.
        name: String,
        /// The variables.
        vars: BTreeMap<String, String>,
    },
    /// Forget an environment.
    DropEnv {
        /// Its name.
        name: String,
    },
    /// Start a session.
    Start(Box<Start>),
    /// Do not start a session that waits in its queue. Answered with `StartFailed`; one that has begun
    /// goes on.
    Withdraw {
        /// The session.
        session: SessionId,
    },
    /// The next frame of kind 2 for this session is this input. Without an id it is typed in any case
    /// (an attached terminal); with one it is typed once, and answered with `Written`.
    Input {
        /// The session.
        session: SessionId,
        /// Idempotency key.
        input: InputId,
    },
    /// The same for an input that is meant for what the session shows now (an answer): it is typed only
    /// while there is no more output than the node has judged. Otherwise `InputMoved` is said, after that
    /// output, and nothing is typed. A message of its own: a host that does not know it must not type.
    InputAt {
        /// The session.
        session: SessionId,
        /// Idempotency key.
        input: InputId,
        /// Output that was judged, bytes.
        output_bytes: u64,
        /// Input that is known of, as [`super::FromHost::Probed`] counts it: with another count somebody else typed,
        /// and `InputMoved` says so. None: whoever typed does not matter.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input_bytes: Option<u64>,
    },
    /// stdin of pipes: end of file.
    CloseStdin {
        /// The session.
        session: SessionId,
    },
    /// Another size of its terminal.
    Resize {
        /// The session.
        session: SessionId,
        /// The size.
        size: TermSize,
    },
    /// A signal to the foreground process group.
    Signal {
        /// The session.
        session: SessionId,
        /// Its number.
        signal: i32,
    },
    /// End the whole tree: SIGTERM, SIGKILL after the grace.
    Kill {
        /// The session.
        session: SessionId,
        /// Between the two, ms; none: as its start says.
        grace_ms: Option<u64>,
    },
    /// SIGSTOP to the whole tree.
    Freeze {
        /// The session.
        session: SessionId,
    },
    /// SIGCONT to the whole tree.
    Thaw {
        /// The session.
        session: SessionId,
    },
    /// Sets, moves or removes the deadline that stands beside the timeout (a lease).
    Deadline {
        /// The session.
        session: SessionId,
        /// From now, ms (`CLOCK_BOOTTIME`); none: no deadline.
        after_ms: Option<u64>,
        /// What then.
        action: AtDeadline,
        /// Of `Freeze`: the session is killed this time after the deadline, unless there is another deadline by then, ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep_ms: Option<u64>,
        /// The deadline itself, ms of `CLOCK_BOOTTIME`, instead of `after_ms`: this message may be late.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<u64>,
    },
    /// What the kernel knows about who reads its terminal. Answered with `Probed`.
    Probe {
        /// The session.
        session: SessionId,
    },
    /// It waits for a human, or does so no more: while it does, it is not idle. Holds until the opposite is
    /// said or it ends, whoever is connected; a node that adopts it says anew how it is.
    Waits {
        /// The session.
        session: SessionId,
        /// It waits.
        waits: bool,
    },
    /// Stream its output to this connection, from an offset on, until the session ends or `Unwatch`.
    Watch {
        /// The session.
        session: SessionId,
        /// First byte wanted.
        from: u64,
    },
    /// Stop that.
    Unwatch {
        /// The session.
        session: SessionId,
    },
    /// The exit is recorded: forget the session.
    AckExit {
        /// The session.
        session: SessionId,
    },
    /// Whether a node that goes away without a word is started again, and how.
    Supervise {
        /// Program and arguments; none: it is not.
        restart: Option<Vec<String>>,
        /// Whether the node calls [`crate::receive_environment`].
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        receives_environment: bool,
    },
    /// Become another program without ending a session: the same process then runs this command. Answered with `NotRenewed` where that
    /// is not possible; else the connection is closed, and the next one reaches the new program. Only for hosts whose `Welcome`
    /// names a format of renewal.
    Renew {
        /// Program (an absolute path) and arguments of a session host of this home, as for a first start.
        command: Vec<String>,
    },
    /// End every session and then the host.
    Shutdown {},
}
