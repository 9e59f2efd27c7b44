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
use crate::event::{ExitStatus, SessionLimit};
use crate::ids::{HostInstance, InputId, RunId, SessionId, TimestampMs};
use crate::monitor::KernelEvidence;

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

/// A session's place among those that are not to run all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Whose line: that of a run.
    pub of: RunId,
    /// So many sessions of the line run at once at most; others wait in the host, in the order in which
    /// they came. The newest start decides for the whole line.
    pub at_once: u32,
    /// While more than so many wait, an end is told with what is said next.
    pub lazy_above: u32,
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
    /// Do not start a session that waits in its line. Answered with `StartFailed`; one that has begun
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
        /// Input that is known of, as [`FromHost::Probed`] counts it: with another count somebody else typed,
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
    /// Its idleness ended it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idle: bool,
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

/// Why a start did not happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StartFailure {
    /// Short of PTYs, descriptors, processes, memory: may work later.
    Resources {
        /// Of what.
        detail: String,
    },
    /// It waited in its line, and was taken out of it.
    Withdrawn {},
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
    /// It will be ended soon; one that is idle only if it stays so. Said where its start asks for it
    /// (`warn_ms`), to the next node where none is there.
    Expiring {
        /// The session.
        session: SessionId,
        /// Which limit.
        limit: SessionLimit,
        /// When, Unix ms.
        at_ms: TimestampMs,
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
    /// An input with `InputAt` was not taken: there is more output than it was meant for, or more input.
    /// Nothing of it was typed; it may be sent again.
    InputMoved {
        /// The session.
        session: SessionId,
        /// The id.
        input: InputId,
        /// Output so far.
        output_bytes: u64,
        /// Input so far, where that is other than what was known of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input_bytes: Option<u64>,
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
        evidence: KernelEvidence,
        /// Bytes of input that came for it over all connections before this was asked, whatever became of
        /// them; none: the host does not count them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input_bytes: Option<u64>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::{Modes, Reader, ReaderHow};

    fn session() -> SessionId {
        SessionId::from_parts(1_700_000_000_000, 5)
    }

    fn exit() -> Exit {
        let status = ExitStatus::Signal(9);
        Exit {
            status,
            started_ms: 1,
            ended_ms: 2,
            timed_out: true,
            idle: false,
            killed: false,
            output_bytes: 3,
            cut_bytes: 0,
        }
    }

    fn to_host() -> Vec<ToHost> {
        let session = session();
        let start = Start {
            session,
            label: "label".to_owned(),
            argv: vec!["sh".to_owned()],
            cwd: "/".to_owned(),
            env_base: Some("base".to_owned()),
            env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
            umask: Some(0o027),
            line: Some(Line { of: RunId::from_parts(1, 2), at_once: 3, lazy_above: 4 }),
            io: Io::Pty(TermSize::default()),
            log: "/log".to_owned(),
            log_limit_bytes: 1,
            timeout_ms: None,
            idle_ms: Some(2),
            warn_ms: Some(1),
            grace_ms: 2,
            files: BTreeMap::from([("/f".to_owned(), "text".to_owned())]),
            stdin: Some("/f".to_owned()),
        };
        let pipes = Start {
            io: Io::Pipes { stdin: true },
            files: BTreeMap::new(),
            stdin: None,
            line: None,
            ..start.clone()
        };
        vec![
            ToHost::Hello { version: VERSION, role: Role::Control },
            ToHost::Env { name: "base".to_owned(), vars: BTreeMap::new() },
            ToHost::DropEnv { name: "base".to_owned() },
            ToHost::Start(Box::new(start)),
            ToHost::Start(Box::new(pipes)),
            ToHost::Withdraw { session },
            ToHost::Input { session, input: InputId::from_parts(1, 2) },
            ToHost::InputAt {
                session,
                input: InputId::from_parts(1, 2),
                output_bytes: 3,
                input_bytes: Some(4),
            },
            ToHost::InputAt { session, input: InputId::from_parts(1, 2), output_bytes: 3, input_bytes: None },
            ToHost::CloseStdin { session },
            ToHost::Resize { session, size: TermSize::default() },
            ToHost::Signal { session, signal: 2 },
            ToHost::Kill { session, grace_ms: None },
            ToHost::Freeze { session },
            ToHost::Thaw { session },
            ToHost::Deadline { session, after_ms: Some(1), action: AtDeadline::Kill { grace_ms: 1 } },
            ToHost::Deadline { session, after_ms: None, action: AtDeadline::Freeze },
            ToHost::Probe { session },
            ToHost::Waits { session, waits: true },
            ToHost::Watch { session, from: u64::MAX },
            ToHost::Unwatch { session },
            ToHost::AckExit { session },
            ToHost::Supervise { restart: None },
            ToHost::Shutdown {},
        ]
    }

    fn from_host() -> Vec<FromHost> {
        let session = session();
        let known = Known { session, label: "label".to_owned(), pid: 7, started_ms: 1, exit: Some(exit()) };
        let modes = Some(Modes { canonical: true, echo: false });
        let reader = Reader {
            pid: 7,
            name: "sh".to_owned(),
            how: ReaderHow::Read,
            nested: true,
            foreign: false,
            modes,
        };
        let evidence = KernelEvidence {
            at_ms: 1,
            output_bytes: 2,
            quiet_ms: 3,
            modes,
            foreground: vec!["sh".to_owned()],
            opaque: true,
            readers: vec![reader],
            cpu_ms: 4,
            processes: 5,
        };
        let input = InputId::from_parts(1, 2);
        let detail = "why".to_owned();
        vec![
            FromHost::Welcome {
                version: 1,
                instance: HostInstance::from_parts(1, 2),
                pid: 3,
                sessions: vec![known],
            },
            FromHost::Started { session, pid: 7, at_ms: 1 },
            FromHost::StartFailed { session, why: StartFailure::Withdrawn {} },
            FromHost::StartFailed { session, why: StartFailure::Resources { detail: detail.clone() } },
            FromHost::StartFailed { session, why: StartFailure::Program { detail: detail.clone() } },
            FromHost::Exited { session, exit: exit() },
            FromHost::Expiring { session, limit: SessionLimit::Idle, at_ms: 1 },
            FromHost::Written { session, input, output_bytes: 1 },
            FromHost::InputRefused { session, input: None, waiting_bytes: 1 },
            FromHost::InputMoved { session, input, output_bytes: 2, input_bytes: None },
            FromHost::InputMoved { session, input, output_bytes: 2, input_bytes: Some(3) },
            FromHost::Refused { detail: detail.clone() },
            FromHost::Gap { session, from: 1, to: 2 },
            FromHost::Probed { session, evidence: evidence.clone(), input_bytes: None },
            FromHost::Probed { session, evidence, input_bytes: Some(1) },
            FromHost::NoSuchSession { session },
            FromHost::LogTrouble { session, detail },
        ]
    }

    #[test]
    fn messages_read_back_as_written() {
        for message in to_host() {
            let text = serde_json::to_vec(&message).unwrap();
            assert_eq!(serde_json::from_slice::<ToHost>(&text).unwrap(), message);
            assert_eq!(crate::session::quick::to_host(&text).unwrap(), message);
        }
        for message in from_host() {
            let text = serde_json::to_vec(&message).unwrap();
            assert_eq!(serde_json::from_slice::<FromHost>(&text).unwrap(), message);
            assert_eq!(crate::session::quick::from_host(&text).unwrap(), message);
        }
    }

    #[test]
    fn fields_of_a_later_version_are_ignored() {
        for message in to_host() {
            let mut value = serde_json::to_value(&message).unwrap();
            value["later"] = serde_json::json!({ "x": [1] });
            assert_eq!(serde_json::from_value::<ToHost>(value).unwrap(), message);
        }
        for message in from_host() {
            let mut value = serde_json::to_value(&message).unwrap();
            value["later"] = serde_json::json!({ "x": [1] });
            assert_eq!(serde_json::from_value::<FromHost>(value).unwrap(), message);
        }
    }
}
