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

use rustix::process::{Pid, Resource, getrlimit};

use cis_core::policy::NodeCommand;

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
    /// Starts a process that acts for `of`. The process is stamped before its first instruction, because its
    /// environment can load code before its program runs (`LD_PRELOAD`). When this returns, it is registered; before
    /// that, it has no rights.
    ///
    /// Drop the second value before the process is reaped: afterwards its pid may be another process's.
    ///
    /// # Errors
    /// The process cannot be started or stamped; then no process is left.
    pub(super) fn spawn(&self, command: &mut Command, of: NodeCommand) -> io::Result<(Child, Running<'_>)> {
        cis_host::stamp_at_start(command, stamp());
        // Locked until the process is registered, so that requests of the process itself find it.
        let mut running = self.lock();
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
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

/// Returns the hard limit of a command: lower than that of this process.
fn stamp() -> u64 {
    limit_below(getrlimit(Resource::Rttime).maximum.unwrap_or(u64::MAX))
}

/// Returns the hard limit of commands of a node with this limit, µs. The node's sessions have lower ones.
pub(super) fn limit_below(own: u64) -> u64 {
    if own == u64::MAX { STAMP } else { own.saturating_sub(1) }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    /// Stops the test process as soon as it has a child, so that it cannot change the child, and prints the limit that
    /// the child's program has then.
    const WATCHER: &str = r#"
import os, signal, sys, time
node = sys.argv[1]
print("ready", flush=True)
while True:
    tasks = os.listdir(f"/proc/{node}/task")
    children = [pid for task in tasks for pid in open(f"/proc/{node}/task/{task}/children").read().split()]
    new = [pid for pid in children if int(pid) != os.getpid()]
    if new: break
os.kill(int(node), signal.SIGSTOP)
deadline = time.time() + 2
while time.time() < deadline and open(f"/proc/{new[0]}/comm").read() != "cat\n": pass
limits = open(f"/proc/{new[0]}/limits").read()
os.kill(int(node), signal.SIGCONT)
print([line for line in limits.splitlines() if line.startswith("Max realtime timeout")][0], flush=True)
"#;

    #[test]
    fn a_command_is_stamped_before_its_program_runs() {
        use std::io::{BufRead as _, BufReader};
        let commands = OwnCommands::default();
        for _ in 0..10 {
            let mut watcher = Command::new("python3");
            watcher.args(["-c", WATCHER, &std::process::id().to_string()]).stdout(Stdio::piped());
            let mut watcher = watcher.spawn().unwrap();
            let mut said = BufReader::new(watcher.stdout.take().unwrap()).lines();
            assert_eq!(said.next().unwrap().unwrap(), "ready");
            let mut cat = Command::new("cat");
            cat.stdin(Stdio::piped()).stdout(Stdio::null());
            let (mut child, running) = commands.spawn(&mut cat, NodeCommand::Notify).unwrap();
            let limits = said.next().unwrap().unwrap();
            let hard = limits.split_ascii_whitespace().nth(4).unwrap();
            assert_eq!(hard, stamp().to_string(), "while its parent was stopped: {limits}");
            drop((running, child.stdin.take()));
            child.wait().unwrap();
            watcher.wait().unwrap();
        }
    }
}
