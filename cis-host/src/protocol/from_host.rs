//! What a session host says to its node.

use serde::{Deserialize, Serialize};

use cis_core::event::{ExitStatus, LostOutput, SessionLimit};
use cis_core::ids::{HostInstance, InputId, SessionId, TimestampMs};
use cis_core::monitor::KernelEvidence;

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
    /// When that timeout, deadline or idleness began to end it, Unix ms; none also from older hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_ms: Option<TimestampMs>,
    /// A `Kill` ended it, or came after its timeout or idleness had begun to end it.
    pub killed: bool,
    /// The host ended it by itself: it was told to shut down, or nobody renewed the lease of a frozen session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shut_down: bool,
    /// Bytes of output, the cut ones included.
    pub output_bytes: u64,
    /// Of those, not in the log.
    pub cut_bytes: u64,
    /// The part of the output that could not be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_output: Option<LostOutput>,
}

impl Exit {
    /// Returns the end of a session that exited with this code, 1 ms after its start, without output.
    #[must_use]
    pub fn with_code(code: i32) -> Self {
        Self {
            status: ExitStatus::Code(code),
            started_ms: 1,
            ended_ms: 2,
            timed_out: false,
            idle: false,
            limit_ms: None,
            killed: false,
            shut_down: false,
            output_bytes: 0,
            cut_bytes: 0,
            lost_output: None,
        }
    }
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
    /// A moment just after its start, ms since boot (`CLOCK_BOOTTIME`): a process with this pid that started later is another one.
    /// `None`: it has ended, or the host is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born_ms: Option<u64>,
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
    /// It waited in its queue, and was taken out of it.
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
        /// Which program runs the host ([`crate::build`]); none: the host is older, or cannot tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        build: Option<String>,
        /// Format of the state that it leaves to the next program after `Renew`; none: the host is older and does not know that request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        renewal: Option<u32>,
    },
    /// The host stays the program that it is. Everything goes on as before.
    NotRenewed {
        /// Why.
        why: String,
    },
    /// The first process is there. Said within a few ms, for short sessions together with the exit.
    Started {
        /// The session.
        session: SessionId,
        /// Of its first process.
        pid: u32,
        /// When, Unix ms.
        at_ms: TimestampMs,
        /// As [`Known::born_ms`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        born_ms: Option<u64>,
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
    /// keeps ([`super::INPUT_BYTES_MAX`]). Nothing of it was typed; it may be sent again.
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
        /// The terminal keeps the beginning of a line that somebody typed and has not ended.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        line_begun: bool,
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
