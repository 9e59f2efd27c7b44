//! Errors of commands and their exit codes.
//!
//! Exit codes: 0 done or succeeded, 1 the run failed, 2 bad input, 3 error, 4 cancelled;
//! 128 + N where signal N made the command leave early.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cis_client::ClientError;
use cis_core::api::{Problem, ProblemKind};
use cis_local::{ConnectError, DirectoryError};
use rustix::process::geteuid;

/// How commands end, for their help.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 done or succeeded, 1 the run failed, 2 bad input, 3 error, 4 cancelled,
128+N ended by signal N.";

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    pub(crate) const OK: Self = Self(0);
    pub(crate) const FAILED: Self = Self(1);
    pub(crate) const ERROR: Self = Self(3);
    pub(crate) const CANCELLED: Self = Self(4);

    /// A signal made the command leave.
    pub(crate) fn signal(number: i32) -> Self {
        Self(u8::try_from(128 + number).unwrap_or(u8::MAX))
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.0.into()
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The node's words, or ours in the same form.
    Problem(Box<Problem>),
    /// It did what it was asked for, and that came out badly: a wait that timed out.
    Failed {
        /// What.
        detail: String,
        /// What to do next.
        hint: String,
    },
    /// Nobody reads our output any more: nothing to be said.
    OutputClosed,
}

impl CliError {
    /// The caller asked for something that cannot be.
    pub(crate) fn bad_input(detail: impl Into<String>) -> Self {
        Problem::new(ProblemKind::BadInput, detail).into()
    }

    /// The arguments are not those of any command. None: help or the version was asked for.
    pub(crate) fn usage(error: &clap::Error) -> Option<Self> {
        let text = error.to_string();
        let (detail, rest) = text.strip_prefix("error: ")?.split_once("\n\n")?;
        let rest: Vec<&str> = rest.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Some(Self::bad_input(detail).hint(rest.join("; ")))
    }

    /// Something that is needed is not there now.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Problem::new(ProblemKind::Unavailable, detail).into()
    }

    /// The same with what to do next, where nothing is said about that yet.
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Problem(problem) = &mut self {
            problem.hint.get_or_insert_with(|| text.into());
        }
        self
    }

    /// What went wrong.
    pub(crate) fn detail(&self) -> &str {
        match self {
            Self::Problem(problem) => &problem.detail,
            Self::Failed { detail, .. } => detail,
            Self::OutputClosed => "its output was closed",
        }
    }

    /// Which problem it is, where it is one.
    pub(crate) fn kind(&self) -> Option<ProblemKind> {
        match self {
            Self::Problem(problem) => Some(problem.kind),
            Self::Failed { .. } | Self::OutputClosed => None,
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Problem(problem) => Exit(problem.kind.exit_code()),
            Self::Failed { .. } => Exit::FAILED,
            Self::OutputClosed => Exit::signal(rustix::process::Signal::PIPE.as_raw()),
        }
    }
}

impl From<Problem> for CliError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// Returns what makes a socket usable that another user could have put there. Nothing was sent to it.
pub(crate) fn remedy(error: &ConnectError) -> String {
    const ELSEWHERE: &str = "run `cis` as the user whose node it is. Otherwise `cis node stop --kill-sessions` ends the \
                             node and its sessions, and with XDG_RUNTIME_DIR set to a directory of your own (mode 0700) \
                             the next node listens there";
    let ConnectError::Unsafe { socket, error } = error else { return ELSEWHERE.to_owned() };
    let (DirectoryError::Unsafe { path, .. }
    | DirectoryError::Io { path, .. }
    | DirectoryError::Occupied { path }
    | DirectoryError::InUse { path, .. }) = error;
    let meta = fs::symlink_metadata(path).ok().filter(|meta| meta.uid() == geteuid().as_raw());
    let shown = path.display();
    let repair = match meta {
        Some(meta) if !meta.is_dir() => format!("remove {shown}: the node makes the directory again"),
        Some(_) if socket.parent() == Some(path) => format!("`chmod 700 {shown}` makes it safe"),
        Some(_) => format!("`chmod go-w {shown}` makes it safe"),
        None => return ELSEWHERE.to_owned(),
    };
    format!("{repair}. `cis node stop` ends the node also now, and its sessions continue")
}

/// Returns what makes a lock file readable.
pub(crate) fn readable(lock: &Path) -> String {
    let me = geteuid().as_raw();
    let closed = |path: &Path, bits| {
        let meta = fs::symlink_metadata(path).ok().filter(|meta| meta.uid() == me);
        meta.is_some_and(|meta| meta.mode() & bits != bits)
    };
    match lock.parent() {
        Some(home) if closed(home, 0o700) => format!("`chmod 700 {}` lets you read it", home.display()),
        _ if closed(lock, 0o600) => format!("`chmod 600 {}` lets you read it", lock.display()),
        _ => "run `cis` as the user whose node it is".to_owned(),
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let kind = match &error {
            ClientError::Problem(problem) => return Self::Problem(problem.clone()),
            ClientError::Protocol { .. } | ClientError::TooLarge { .. } => ProblemKind::Internal,
            ClientError::Url { .. } | ClientError::Trust { .. } => ProblemKind::BadInput,
            ClientError::Certificate { .. } | ClientError::Untrusted(_) => ProblemKind::Denied,
            ClientError::NotConfirmed { .. } => ProblemKind::Conflict,
            _ => ProblemKind::Unavailable,
        };
        if let ClientError::Untrusted(refused) = &error {
            return Problem::new(kind, error.to_string()).hint(remedy(refused)).into();
        }
        if let ClientError::Lock { lock, .. } = &error {
            return Problem::new(kind, error.to_string()).hint(readable(lock)).into();
        }
        let hint = match &error {
            ClientError::NotRunning { .. } => Some("`cis node start --detach` starts one"),
            ClientError::NotListening { .. } => Some(
                "`cis node stop` ends it, and its sessions continue; the next command starts another one",
            ),
            ClientError::Io { .. } => Some("`cis node status` tells whether a node runs"),
            ClientError::Unreachable { .. } | ClientError::NoTls { .. } => Some(
                "`cis node status` on that machine tells whether its node runs, and at which URL it listens",
            ),
            ClientError::NotConfirmed { .. } => Some("`cis dag history` shows who did what"),
            ClientError::TooLarge { .. } => Some(
                "ask for less: `cis api get '/v1/runs/RUN/tasks?limit=10'` lists ten tasks, `cis api get /v1/runs/RUN/tasks/TASK` shows one",
            ),
            ClientError::Trust { .. } => Some("give the fingerprint of its certificate by --fingerprint"),
            _ => None,
        };
        let mut problem = Problem::new(kind, error.to_string());
        problem.hint = hint.map(str::to_owned);
        problem.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_exit_code() {
        let away = CliError::from(ClientError::NotRunning { socket: "/run/x".into() });
        assert_eq!((away.exit(), away.kind()), (Exit(3), Some(ProblemKind::Unavailable)));
        let failed = CliError::Failed { detail: "timed out".into(), hint: "wait longer".into() };
        assert_eq!(failed.exit(), Exit(1));
        assert_eq!(CliError::OutputClosed.exit(), Exit(141));
    }
}
