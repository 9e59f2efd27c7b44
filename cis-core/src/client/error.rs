//! Why a call did not give its answer.

use std::path::PathBuf;

use crate::api::Problem;

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
    /// The connection could not be made for another reason, or broke in the middle.
    #[error("the connection to the node at {} broke: {source}", socket.display())]
    Io {
        /// The socket's path.
        socket: PathBuf,
        /// What the system or the HTTP layer says.
        #[source]
        source: std::io::Error,
    },
    /// The node did not answer in time.
    #[error("the node did not answer within {seconds} s; `cis node status` tells whether it is well")]
    Timeout {
        /// How long was waited, s.
        seconds: u64,
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
            Self::NotRunning { .. } | Self::Io { .. } => true,
            Self::Problem(problem) => problem.kind == crate::api::ProblemKind::Unavailable,
            Self::Timeout { .. } | Self::Protocol { .. } => false,
        }
    }

    pub(super) fn protocol(detail: impl std::fmt::Display) -> Self {
        Self::Protocol { detail: detail.to_string() }
    }
}

impl From<Problem> for ClientError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}
