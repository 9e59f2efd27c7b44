//! What a host is given, and why it could not run.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The line a host prints on stdout once it can be connected to.
pub const READY: &str = "ready";

/// What a host is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostConfig {
    /// Where it listens: a path of at most 107 bytes, in a directory that is there.
    pub socket: PathBuf,
    /// Where the host listens if the directory of [`Self::socket`] is gone for good.
    pub fallback: Option<PathBuf>,
    /// Its lock file: one host for one lock.
    pub lock: PathBuf,
    /// A directory that stays: the host's own working directory, and where `host.log` tells of a crash.
    pub home: PathBuf,
    /// umask of sessions whose start names none; none: the host's own, as inherited.
    pub umask: Option<u32>,
    /// A host without sessions, connections and node to restart ends after this time.
    pub linger: Duration,
}

/// Why a host could not run, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Another one has the lock.
    #[error("another session host is running: it holds {}; stop it first, or use another home", lock.display())]
    Locked {
        /// The lock file.
        lock: PathBuf,
    },
    /// A file of its own cannot be used.
    #[error("cannot {action} {}: {source}; check that its directory exists and belongs to you", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// What the earlier program of the process left cannot be used.
    #[error("cannot take over the sessions of an earlier session host: {why}")]
    Renewal {
        /// Why.
        why: String,
    },
    /// The path of the socket does not fit into its address.
    #[error("the socket path {} is longer than {max} bytes; use a shorter home or XDG_RUNTIME_DIR", path.display())]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// The operating system refuses what a host cannot do without.
    #[error("the session host cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl HostConfig {
    /// The same with paths that do not depend on the working directory, which the host leaves.
    pub(super) fn absolute(self) -> Result<Self, HostError> {
        let absolute = |path: PathBuf| {
            std::path::absolute(&path).map_err(|source| HostError::File { action: "find", path, source })
        };
        Ok(Self {
            socket: absolute(self.socket)?,
            fallback: self.fallback.map(absolute).transpose()?,
            lock: absolute(self.lock)?,
            home: absolute(self.home)?,
            ..self
        })
    }
}

impl HostError {
    /// An error of the operating system, of this action.
    pub(super) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { action, source: source.into() }
    }
}
