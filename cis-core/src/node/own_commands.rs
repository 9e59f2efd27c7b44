//! Commands that this node runs itself, while they run: `on_blocked.run` of a task, and `notify.command`.
//!
//! Owns how such a process is started, so that it is known from its first instruction on, and which process of the
//! node is which command. What a command may do is decided in [`super::principal`].
//!
//! A command is known in two ways. As long as it runs, its pid stands here: a descendant of the node acts for the
//! command that it descends from. And every command has a lower limit of realtime CPU time than the node, as sessions
//! have (`docs/decisions/0010-stamps.md`): a process that leaves its parents to outlive the command is still no person,
//! and has no rights.

use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::policy::NodeCommand;

/// Hard limit of commands of a node that has none itself, µs: above every stamp of a session, so that no session host
/// takes a command for its own.
const STAMP: u64 = 1 << 63;

/// The commands that run now, by the pid of their first process.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnCommands(Arc<Mutex<BTreeMap<u32, NodeCommand>>>);

/// A command while it runs.
#[derive(Debug)]
pub(super) struct Running<'a> {
    all: &'a OwnCommands,
    pid: Pid,
}

impl OwnCommands {
    /// Starts a process that acts for `of`. It is known, and stamped, before anybody is told about it; the caller
    /// keeps it from running anything foreign until then.
    ///
    /// Drop the second value before the process is reaped: afterwards its pid may be another process's.
    ///
    /// # Errors
    /// It cannot be started or stamped; then nothing is left.
    pub(super) fn spawn(&self, command: &mut Command, of: NodeCommand) -> io::Result<(Child, Running<'_>)> {
        // Held while it is started: a process that asks the node meanwhile is looked for after that.
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
