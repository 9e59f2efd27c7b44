//! Evidence of what this process started itself, without a session host: for recordings.

use std::io;
use std::os::fd::AsFd;

use rustix::termios::tcgetpgrp;

use super::{Impatience, Moment, PROCESSES_MAX, Scene, Strangers};
use crate::os::{self, ProcFs, Process, Processes, Terminal};
use cis_core::ids::TimestampMs;
use cis_core::monitor::KernelEvidence;

/// What is known of the output once all of it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Unix ms.
    pub at_ms: TimestampMs,
    /// Bytes so far.
    pub output_bytes: u64,
    /// ms since the last of them.
    pub quiet_ms: u64,
}

/// A process that the calling process started on a pseudo-terminal of its own, in a session (setsid) of its own.
#[derive(Debug)]
pub struct Watched {
    processes: ProcFs,
    root: u32,
    terminal: Terminal,
    strangers: Strangers,
    impatience: Impatience,
}

impl Watched {
    /// `master`: our end of its terminal; `root`: its pid. It must be there still.
    ///
    /// # Errors
    /// `/proc` cannot be read, or nobody has the terminal open.
    pub fn new(master: impl AsFd, root: u32) -> io::Result<Self> {
        Ok(Self {
            processes: ProcFs::open()?,
            root,
            terminal: Terminal::of_master(master)?,
            strangers: Strangers::default(),
            impatience: Impatience::default(),
        })
    }

    /// The evidence of this moment. After the processes were looked at, and before it returns, `drain` is called to
    /// take all output that is there: so what a program wrote before it began to wait is counted.
    pub fn look(&mut self, master: impl AsFd, drain: impl FnOnce() -> Drained) -> KernelEvidence {
        let live = self.tree();
        let group = tcgetpgrp(&master).ok().map(|group| group.as_raw_nonzero().get().unsigned_abs());
        let modes = os::modes(&master);
        let nobodys = |_| false;
        let scene = Scene { terminal: Some(self.terminal), group, modes, live: &live, is_anothers: &nobodys };
        let mut found = scene.look(&self.processes);
        let drained = drain();
        if found.suggests_strangers() {
            let Drained { output_bytes, quiet_ms, .. } = drained;
            let at = Moment { now: os::boot_ms(), output_bytes, quiet_ms };
            self.strangers.look(&self.processes, &scene, &mut self.impatience, at, &mut found);
        }
        found.evidence(modes, &live, drained, &self.processes)
    }

    /// It with its descendants, and what kept its session where it lost its parent to the calling process.
    fn tree(&self) -> Vec<Process> {
        let own = std::process::id();
        let orphan = |process: &Process| process.parent == own && process.session == self.root;
        let children = self.processes.one(own).and_then(|own| self.processes.children(&own));
        let roots = children.into_iter().flatten().filter_map(|pid| self.processes.one(pid));
        let roots = roots.filter(|process| process.pid == self.root || orphan(process));
        os::descend(&self.processes, roots, PROCESSES_MAX).unwrap_or_else(|| self.tree_of_all())
    }

    /// The same where the system does not list children.
    fn tree_of_all(&self) -> Vec<Process> {
        let all = self.processes.all();
        let mut of_tree = vec![self.root];
        let mut at = 0;
        while let Some(parent) = of_tree.get(at).copied() {
            of_tree.extend(all.iter().filter(|process| process.parent == parent).map(|process| process.pid));
            at += 1;
        }
        all.into_iter().filter(|process| of_tree.contains(&process.pid) && !process.zombie).collect()
    }
}
