//! The processes that hold the locks of a home: a node that does not answer, and the session host.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use cis_local::{ConnectError, DirectoryError, Lock, LockFile, check_unused, is_cleared, is_held, look};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{CliError, readable, remedy};
use crate::home::Home;

/// A node that was told to stop ends within this time.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// A running node that does not answer: it hangs, or its socket cannot be used.
pub(crate) struct UnresponsiveNode {
    /// Its process; none where even that cannot be found out.
    pub(crate) pid: Option<Pid>,
    pub(crate) process: Option<OwnedFd>,
    /// Whether it answers that it cannot do anything.
    pub(crate) answers: bool,
    /// What is wrong with it or its socket; none if it does not answer in time.
    pub(crate) why: Option<String>,
    /// What makes the socket usable again.
    pub(crate) remedy: Option<String>,
}

/// Returns the process that holds the node's lock, according to the lock file.
pub(crate) fn unresponsive_node(home: &Home) -> UnresponsiveNode {
    let (pid, process) = holder(&home.node_lock(), b"serve");
    UnresponsiveNode { pid, process, answers: false, why: None, remedy: None }
}

/// Whether no process holds the node's lock.
pub(crate) fn is_absent(home: &Home) -> bool {
    matches!(look(&home.node_lock()), Ok(Lock::Free))
}

/// Returns why a process that listens at the node's socket is not the node of this home; none if nobody listens without the lock.
pub(crate) fn other_node(home: &Home) -> Option<String> {
    other(&home.node_lock(), &home.node_socket())
}

/// The same of the session host, unless it is that of this home: see [`host_without_lock`].
pub(crate) fn other_host(home: &Home) -> Option<String> {
    other(&home.host_lock(), &home.host_socket())
}

fn other(lock: &Path, socket: &Path) -> Option<String> {
    listener_without_lock(lock, socket).map(|error| error.to_string())
}

fn listener_without_lock(lock: &Path, socket: &Path) -> Option<DirectoryError> {
    let is_free = matches!(is_held(lock), Ok(false));
    is_free.then(|| check_unused(socket))?.err()
}

/// Returns the session host of the home if it lives, but its lock file was deleted, with the file or with the whole home: the
/// process that listens at the socket of the home's host, and was started for this home.
pub(crate) fn host_without_lock(home: &Home) -> Option<(Pid, OwnedFd)> {
    let found = || match listener_without_lock(&home.host_lock(), &home.host_socket())? {
        DirectoryError::InUse { pid, .. } => Pid::from_raw(i32::try_from(pid?).ok()?),
        _ => None,
    };
    let pid = found()?;
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Looked at twice, because the process may have ended meanwhile and another process may have its pid.
    let is_host = found() == Some(pid)
        && has_argument(pid, b"session-host")
        && has_argument(pid, home.dir.as_os_str().as_bytes());
    is_host.then_some((pid, process))
}

/// Whether the node of the home was stopped. Waits for a node that is ending, so it blocks.
pub(crate) fn was_node_stopped(home: &Home) -> bool {
    let give_up = Instant::now() + END_TIME_MAX;
    let lock = home.node_lock();
    // Nothing tells when somebody else's lock is released: polled.
    while is_held(&lock).unwrap_or(false) && home.node_place().connect().is_err() && Instant::now() < give_up
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    is_cleared(&lock).unwrap_or(false)
}

/// Returns the running node of the home if its socket cannot be used for this reason; none if no node runs.
pub(crate) fn untrusted(home: &Home, error: &ConnectError) -> Option<UnresponsiveNode> {
    let node = unresponsive_node(home);
    node.pid?;
    Some(UnresponsiveNode { why: Some(error.to_string()), remedy: Some(remedy(error)), ..node })
}

/// A process that holds a lock: its pid and the process, if they can be found.
type HolderProcess = (Option<Pid>, Option<OwnedFd>);

/// Returns the session host of the home, if its lock is held.
pub(crate) fn host(home: &Home) -> Result<Option<HolderProcess>, CliError> {
    let lock = home.host_lock();
    let held = is_held(&lock).map_err(|source| {
        let what =
            format!("cannot read {}, which says whether a session host runs: {source}", lock.display());
        CliError::unavailable(what).hint(readable(&lock))
    })?;
    Ok(held.then(|| holder(&lock, b"session-host")))
}

/// Whether the session host of the home was killed, and no other one has run since. Processes of its sessions may be left.
pub(crate) fn was_host_killed(home: &Home) -> bool {
    let lock = home.host_lock();
    let free = if lock.exists() { LockFile::take(&lock).ok().flatten() } else { None };
    free.is_some_and(|mut lock| lock.was_left().unwrap_or(true))
}

/// Returns the pid that the holder of a lock wrote, and the process if it has this word among its arguments. No other
/// process is ever ended, even if a lock file names it.
fn holder(lock: &Path, word: &[u8]) -> (Option<Pid>, Option<OwnedFd>) {
    let named = || match look(lock) {
        Ok(Lock::Held(holder)) => Pid::from_raw(i32::try_from(holder?.pid).ok()?),
        Ok(Lock::Free) | Err(_) => None,
    };
    let pid = named();
    let process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    // Read twice, because the process may have ended meanwhile and another process may have its pid.
    let process = process.filter(|_| named() == pid && pid.is_some_and(|pid| has_argument(pid, word)));
    (pid, process)
}

fn has_argument(pid: Pid, word: &[u8]) -> bool {
    let command = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    command.split(|byte| *byte == 0).any(|one| one == word)
}

impl UnresponsiveNode {
    /// In words, with what helps.
    pub(crate) fn problem(&self, home: &Home) -> CliError {
        let who = self.pid.map(|pid| format!(" (pid {})", pid.as_raw_nonzero())).unwrap_or_default();
        let what = match &self.why {
            Some(why) => format!("the node{who} runs, but {why}"),
            None => format!("the node{who} does not answer within 5 s"),
        };
        let log = home.node_log();
        CliError::unavailable(what).hint(match &self.remedy {
            Some(remedy) => remedy.clone(),
            None => {
                format!("`cis node stop` ends it, and its sessions continue; its log is {}", log.display())
            }
        })
    }
}
