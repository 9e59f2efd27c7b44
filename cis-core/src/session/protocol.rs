//! What a node and its session host say to each other, on a Unix stream socket.
//!
//! A frame is `length: u32 LE` (of what follows), `kind: u8`, payload. Kind 0: a JSON message.
//! Kind 1 (host → node) and 2 (node → host): bytes of a session: `session: 16 bytes` (the ULID, big
//! endian), `offset: u64 LE`, data. For kind 2 the offset field holds 0.
//! Requests are idempotent: a start by its session, an input by its id. Unknown fields and kinds of
//! frames are ignored, so that a host and a node of neighbouring versions understand each other; a
//! message of an unknown type is answered with `Refused` and the connection is closed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::TermSize;
use crate::event::ExitStatus;
use crate::ids::{HostInstance, InputId, SessionId, TimestampMs};

/// Version of this protocol. A host of another one is refused with its number.
pub const VERSION: u32 = 1;

/// No frame is longer; a peer that announces one is cut off.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// So much input of a session waits in the host for a program that does not read, bytes.
pub const INPUT_BYTES_MAX: usize = 1 << 20;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Starts sessions and is told of exits. One at a time: a new one replaces the old.
    Control,
    /// Watches output and types. Any number.
    Stream,
}

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
    /// PTY or pipes.
    pub io: Io,
    /// Where its output goes: an absolute path whose directory exists. The file is made with the first byte.
    pub log: String,
    /// How much is kept there.
    pub log_limit_bytes: u64,
    /// Ended after so long, ms from its start.
    pub timeout_ms: Option<u64>,
    /// Between SIGTERM and SIGKILL, where a kill does not say it, ms.
    pub grace_ms: u64,
    /// Files to make first (0600), absolute path to content.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
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
    /// An environment for later starts. Kept until the host ends or it is dropped.
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
    /// The next frame of kind 2 for this session is this input. Without an id it is typed in any case
    /// (an attached terminal); with one it is typed once, and answered with `Written`.
    Input {
        /// The session.
        session: SessionId,
        /// Idempotency key.
        input: InputId,
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
    },
    /// What the kernel knows about who reads its terminal. Answered with `Evidence`.
    Probe {
        /// The session.
        session: SessionId,
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
    },
    /// End every session and then the host.
    Shutdown {},
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Of its first process.
    pub status: ExitStatus,
    /// When its process started, Unix ms.
    pub started_ms: TimestampMs,
    /// When it ended, Unix ms.
    pub ended_ms: TimestampMs,
    /// The timeout of its start ended it, or a deadline with `Kill`.
    pub timed_out: bool,
    /// A `Kill` ended it.
    pub killed: bool,
    /// Bytes of output, the cut ones included.
    pub output_bytes: u64,
    /// Of those, not in the log.
    pub cut_bytes: u64,
}

/// Where a session that the host knows is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The session.
    pub session: SessionId,
    /// Its label.
    pub label: String,
    /// Of its first process.
    pub pid: u32,
    /// When it started, Unix ms.
    pub started_ms: TimestampMs,
    /// Set once it ended.
    pub exit: Option<Exit>,
}

/// What the kernel says about a session's terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// Output so far.
    pub output_bytes: u64,
    /// ms since the last output byte; since the start, where there was none.
    pub quiet_ms: u64,
    /// The terminal's line discipline collects lines (ICANON).
    pub canonical: bool,
    /// It echoes (ECHO).
    pub echo: bool,
    /// Foreground process group of the terminal.
    pub foreground_pgid: Option<u32>,
    /// Processes of the tree that are in the foreground of their terminal (this one or one nested in
    /// it) and sleep in a read of a terminal: pid and command name.
    pub readers: Vec<(u32, String)>,
    /// CPU time of the whole tree, ms.
    pub cpu_ms: u64,
    /// Live processes of the tree.
    pub processes: u32,
}

/// Why a start did not happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StartFailure {
    /// Short of PTYs, descriptors, processes, memory: may work later.
    Resources {
        /// Of what.
        detail: String,
    },
    /// The program or directory is not there, is not executable, or an argument is too long.
    Program {
        /// What, and what to do.
        detail: String,
    },
}

/// From the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum FromHost {
    /// Answer to `Hello`. On a control connection every session that is known comes along.
    Welcome {
        /// Of the host's protocol.
        version: u32,
        /// This life of the host.
        instance: HostInstance,
        /// Of its process.
        pid: u32,
        /// What it knows; for streams empty.
        sessions: Vec<Known>,
    },
    /// The first process is there. Said within a few ms, for short sessions together with the exit.
    Started {
        /// The session.
        session: SessionId,
        /// Of its first process.
        pid: u32,
        /// When, Unix ms.
        at_ms: TimestampMs,
    },
    /// It could not be started; the host forgot it.
    StartFailed {
        /// The session.
        session: SessionId,
        /// Why.
        why: StartFailure,
    },
    /// It ended, its whole tree with it. Every later `Welcome` of a control connection says so again
    /// until it is acknowledged. On a stream connection: sent after the last byte of a watched session.
    Exited {
        /// The session.
        session: SessionId,
        /// How.
        #[serde(flatten)]
        exit: Exit,
    },
    /// An input with an id was taken (now or at an earlier time).
    Written {
        /// The session.
        session: SessionId,
        /// The id.
        input: InputId,
        /// Output so far at the moment when it was taken the first time.
        output_bytes: u64,
    },
    /// An input was not taken: the program does not read, and what waits for it is as much as the host
    /// keeps ([`INPUT_BYTES_MAX`]). Nothing of it was typed; it may be sent again.
    InputRefused {
        /// The session.
        session: SessionId,
        /// The id, where the input had one.
        input: Option<InputId>,
        /// What waits already, bytes.
        waiting_bytes: u64,
    },
    /// The connection is closed after this: what came is not of this protocol.
    Refused {
        /// What, and why.
        detail: String,
    },
    /// Bytes of a watched session that are in no log: the stream goes on at `to`.
    Gap {
        /// The session.
        session: SessionId,
        /// First missing byte.
        from: u64,
        /// First byte after the gap.
        to: u64,
    },
    /// Answer to `Probe`.
    Probed {
        /// The session.
        session: SessionId,
        /// What the kernel says.
        evidence: Evidence,
    },
    /// The request named a session that is not there, or ended.
    NoSuchSession {
        /// The session.
        session: SessionId,
    },
    /// A log could not be written (disk full …); the session goes on, the bytes are counted as cut.
    /// Said once per trouble, not per byte.
    LogTrouble {
        /// The session.
        session: SessionId,
        /// The error.
        detail: String,
    },
}

/// Kinds of frames.
pub mod frame {
    /// A JSON message.
    pub const JSON: u8 = 0;
    /// Output of a session, host to node.
    pub const OUTPUT: u8 = 1;
    /// Input for a session, node to host.
    pub const INPUT: u8 = 2;
    /// Bytes before the data in frames of bytes: session and offset.
    pub const BYTES_HEADER: usize = 24;
}
