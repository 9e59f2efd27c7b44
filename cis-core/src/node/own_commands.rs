//! Running commands of this node: `on_blocked.run` of a task, and `notify.command`.
//!
//! Owns the start of such a process, so that it is registered before it runs anything, and the map from pids to
//! commands. [`super::principal`] decides what a command may do.
//!
//! A command is recognized in two ways. While it runs, its pid is registered here: a descendant of the node acts for
//! the command that it descends from. And every command has a lower limit of realtime CPU time than the node, as
//! sessions have (`docs/decisions/0010-stamps.md`): a process that leaves its parents and outlives the command is not
//! taken for a person, and has no rights.

use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::policy::NodeCommand;

/// Hard limit of commands of a node that has no limit itself, µs. It is above every stamp of a session, so that no
/// session host takes a command for a process of its own.
const STAMP: u64 = 1 << 63;

/// The commands that run now, by the pid of their first process.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnCommands(Arc<Mutex<BTreeMap<u32, NodeCommand>>>);

/// A running command. Dropping it removes the registration.
#[derive(Debug)]
pub(super) struct Running<'a> {
    all: &'a OwnCommands,
    pid: Pid,
}

impl OwnCommands {
    /// Starts a process that acts for `of`. When this returns, the process is registered and stamped. Until then,
    /// the caller must keep it from running anything foreign.
    ///
    /// Drop the second value before the process is reaped: afterwards its pid may be another process's.
    ///
    /// # Errors
    /// The process cannot be started or stamped; then no process is left.
    pub(super) fn spawn(&self, command: &mut Command, of: NodeCommand) -> io::Result<(Child, Running<'_>)> {
        // Locked until the process is registered, so that requests of the process itself find it.
        let mut running = self.lock();
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        if let Err(error) = stamp(pid) {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(error);
        }
        running.insert(child.id(), of);
        drop(running);
        Ok((child, Running { all: self, pid }))
    }

    /// The command whose first process has this pid.
    pub(super) fn of(&self, pid: u32) -> Option<NodeCommand> {
        self.lock().get(&pid).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, NodeCommand>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running<'_> {
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.all.lock().remove(&self.pid.as_raw_nonzero().get().unsigned_abs());
    }
}

/// Lowers the limit of a process that has run nothing yet.
fn stamp(pid: Pid) -> io::Result<()> {
    let own = getrlimit(Resource::Rttime);
    let stamp = own.maximum.map_or(STAMP, |own| own.saturating_sub(1));
    let soft = own.current.map_or(stamp, |soft| soft.min(stamp));
    prlimit(Some(pid), Resource::Rttime, Rlimit { current: Some(soft), maximum: Some(stamp) })?;
    Ok(())
}
