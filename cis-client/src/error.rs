//! Why a call did not give its answer.

use std::path::PathBuf;

use cis_core::api::Problem;
use cis_local::ConnectError;

/// Why a call did not give its answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node answered with a problem.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Nothing listens at the socket.
    #[error("no node is running: nothing listens at {}", socket.display())]
    NotRunning {
        /// The socket's path.
        socket: PathBuf,
    },
    /// A node runs, but does not listen where it should.
    #[error("the node{} runs, but nothing listens at {}", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(), socket.display())]
    NotListening {
        /// Pid of the node, if it is known.
        pid: Option<u32>,
        /// The socket's path.
        socket: PathBuf,
    },
    /// Nothing listens where the node should, and its lock file cannot be read.
    #[error("cannot read {}, which says whether a node runs: {source}", lock.display())]
    Lock {
        /// The lock file.
        lock: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Another user could be listening at the socket, or is.
    #[error("cannot trust the node's socket: {0}")]
    Untrusted(#[source] ConnectError),
    /// The connection could not be made for another reason, or broke in the middle.
    #[error("the connection to the node at {at} broke: {source}")]
    Io {
        /// The socket's path, or the URL.
        at: String,
        /// What the system or the HTTP layer says.
        #[source]
        source: std::io::Error,
    },
    /// Nothing takes connections there.
    #[error("no node can be reached at {url}: {source}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// What listens there speaks no TLS that we do.
    #[error("what listens at {url} does not speak TLS as a node does: {why}")]
    NoTls {
        /// Where.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// What listens there shows a certificate that is not trusted.
    #[error(
        "the certificate of {url} is not trusted: {why}. It has the fingerprint\n  {fingerprint}\n\
         Only where `cis node status` on that machine shows the same one, it is the node: give it by --fingerprint"
    )]
    Certificate {
        /// Where.
        url: String,
        /// SHA-256 of the certificate that was shown, hexadecimal.
        fingerprint: String,
        /// Why it is not trusted.
        why: String,
    },
    /// That is no URL of a node.
    #[error("`{url}` is no URL of a node: {why}; it is like https://node.example.org:7443")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// No certificate could be checked.
    #[error("there is nothing by which a node's certificate can be checked: {detail}")]
    Trust {
        /// Why.
        detail: String,
    },
    /// The node did not answer in time.
    #[error(
        "the node did not answer within {seconds} s, and may still do what it was asked for; `cis node status` tells whether it is well"
    )]
    Timeout {
        /// How long was waited, s.
        seconds: u64,
    },
    /// The answer did not come, and the run's history does not have the request, but a newer decision.
    #[error(
        "cannot confirm the request: its answer did not come. It was not sent again, because {meanwhile} meanwhile"
    )]
    NotConfirmed {
        /// Who did what.
        meanwhile: String,
    },
    /// The answer is larger than a client reads.
    #[error("the node's answer is larger than {mib} MiB, and `cis` reads no larger one")]
    TooLarge {
        /// The limit, MiB.
        mib: usize,
    },
    /// The answer is not what this version understands.
    #[error(
        "the node's answer is not understood ({detail}); do `cis --version` and `cis node status` agree?"
    )]
    Protocol {
        /// What is wrong with it.
        detail: String,
    },
}

impl ClientError {
    /// The node is away, and may be back: trying again later makes sense.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.kind == cis_core::api::ProblemKind::Unavailable,
            other => other.is_disconnected(),
        }
    }

    /// The connection broke, or cannot be made because nothing listens.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        match self {
            Self::NotRunning { .. }
            | Self::NotListening { .. }
            | Self::Io { .. }
            | Self::Unreachable { .. } => true,
            Self::Problem(_)
            | Self::Lock { .. }
            | Self::Untrusted(_)
            | Self::Timeout { .. }
            | Self::NotConfirmed { .. }
            | Self::TooLarge { .. }
            | Self::Protocol { .. }
            | Self::NoTls { .. }
            | Self::Certificate { .. }
            | Self::Url { .. }
            | Self::Trust { .. } => false,
        }
    }

    /// The node is stopping and did not process the request.
    #[must_use]
    pub fn is_unprocessed(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.unprocessed)
    }

    pub(super) fn protocol(detail: impl std::fmt::Display) -> Self {
        Self::Protocol { detail: detail.to_string() }
    }
}

impl From<ConnectError> for ClientError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Absent { socket } => Self::NotRunning { socket },
            ConnectError::NotListening { pid, socket, .. } => Self::NotListening { pid, socket },
            ConnectError::Lock { lock, source } => Self::Lock { lock, source },
            ConnectError::Unsafe { .. } | ConnectError::Foreign { .. } | ConnectError::Limited { .. } => {
                Self::Untrusted(error)
            }
            ConnectError::Io { socket, source } => Self::Io { at: socket.display().to_string(), source },
        }
    }
}

impl From<Problem> for ClientError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}
