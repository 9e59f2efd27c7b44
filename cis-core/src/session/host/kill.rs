//! Ending and stopping whole trees. Processes that ignore signals, make sessions of their own, lose
//! their parents on purpose or multiply do not escape.

use std::collections::{BTreeMap, BTreeSet};

use rustix::io::Errno;
use rustix::process::{Signal, kill_process_group};

use super::server::Host;
use super::session::{Flow, Session};
use super::tree::{Claim, Marks, tree};
use crate::session::os::{ProcFs, Process, ProcessKey, Processes, signal_exactly};
use crate::session::protocol::AtDeadline;

/// Between two looks while processes have time to end by themselves, ms: from, to.
const TERM_PAUSE_MS: (u64, u64) = (20, 500);
/// The same while they are killed: what does not go then sleeps in the kernel.
const KILL_PAUSE_MS: (u64, u64) = (5, 1000);
/// Between the first two times that a process gets SIGHUP; then twice as long, and so on, ms.
const HANGUP_PAUSE_MS: u64 = 20;
/// So often in a row a tree is looked at for processes that are not stopped yet.
const STOP_ROUNDS: usize = 32;

/// When a process gets SIGHUP again at the earliest, and how long after that once more.
#[derive(Debug)]
struct HangUp {
    next: u64,
    pause: u64,
}

/// A tree that is being ended.
#[derive(Debug)]
pub(super) struct Kill {
    /// From then on with SIGKILL.
    hard_from: u64,
    /// The next look.
    pub(super) next: u64,
    pause: u64,
    /// They got SIGTERM.
    told: BTreeSet<ProcessKey>,
    /// They got SIGHUP.
    hung_up: BTreeMap<ProcessKey, HangUp>,
    /// They are another user's: nothing can be done about them.
    beyond: BTreeSet<ProcessKey>,
}

impl Host {
    /// A peer wants it ended.
    pub(super) fn kill_asked(&mut self, slot: usize, grace_ms: Option<u64>) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        session.killed |= session.leader_end.is_none();
        let grace = grace_ms.unwrap_or(session.grace_ms);
        self.end_tree(slot, grace);
    }

    /// Its leader ended and left processes behind.
    pub(super) fn end_leftovers(&mut self, slot: usize) {
        let Some(session) = self.sessions.get(slot) else { return };
        let grace = session.grace_ms;
        self.end_tree(slot, grace);
        self.wish(slot);
    }

    /// Some deadline of the session came.
    pub(super) fn session_due(&mut self, slot: usize) {
        let now = self.now;
        let there = |session: &&mut Session| session.lives() && !session.tree_gone;
        let Some(session) = self.sessions.get_mut(slot).filter(there) else { return };
        if let Some(kill) = &session.kill {
            if kill.next <= now {
                self.end_round(slot);
            }
        } else if session.timeout_at.is_some_and(|at| at <= now) {
            session.timed_out = true;
            let grace = session.grace_ms;
            self.end_tree(slot, grace);
        } else if let Some(deadline) = session.deadline.take_if(|deadline| deadline.at_ms <= now) {
            match deadline.action {
                AtDeadline::Kill { grace_ms } => {
                    session.timed_out = true;
                    self.end_tree(slot, grace_ms);
                }
                AtDeadline::Freeze => self.freeze(slot),
            }
        } else if session.freeze_next.is_some_and(|at| at <= now) {
            self.freeze(slot);
        } else {
            self.patience_due(slot);
        }
        self.wish(slot);
    }

    /// Begins to end a tree; where that has begun, the shorter grace counts.
    pub(super) fn end_tree(&mut self, slot: usize, grace_ms: u64) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(slot).filter(|session| !session.tree_gone) else { return };
        session.freeze_next = None;
        let hard_from = now.saturating_add(grace_ms);
        match &mut session.kill {
            Some(kill) => kill.hard_from = kill.hard_from.min(hard_from),
            kill => {
                let (told, hung_up, beyond) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
                *kill = Some(Kill { hard_from, next: now, pause: TERM_PAUSE_MS.0, told, hung_up, beyond });
                if session.flow == Flow::HungUp {
                    self.poll_output(slot);
                }
            }
        }
        self.end_round(slot);
    }

    /// One look at a tree that is being ended, and what is to be done to what is there.
    fn end_round(&mut self, slot: usize) {
        let Look { mut live, mut strays, unreaped } = self.look(slot);
        let now = self.now;
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Some(mut kill) = session.kill.take() else { return };
        live.retain(|process| !kill.beyond.contains(&process.key()));
        strays.retain(|process| !kill.beyond.contains(&process.key()));
        if live.is_empty() && session.leader_end.is_some() && !strays.is_empty() {
            // Perhaps not this session's: its grace is over when its own processes are gone.
            (kill.hard_from, live) = (now, strays);
        } else if live.is_empty() && !unreaped && session.leader_end.is_some() {
            session.tree_gone = true;
            self.ended.push(slot);
            return;
        }
        if now >= kill.hard_from {
            if !kill.told.is_empty() {
                kill.told.clear();
                kill.pause = KILL_PAUSE_MS.0;
            }
            self.kill_hard(slot, &mut kill, live);
            kill.next = now + kill.pause;
            kill.pause = (kill.pause * 2).min(KILL_PAUSE_MS.1);
        } else {
            let terminal = session.descriptors.terminal().is_some();
            self.ask_to_end(&mut kill, &live, terminal);
            kill.next = (now + kill.pause).min(kill.hard_from);
            kill.pause = (kill.pause * 2).min(TERM_PAUSE_MS.1);
        }
        if let Some(session) = self.sessions.get_mut(slot) {
            session.kill = Some(kill);
        }
    }

    /// SIGTERM to those that have not had it. On a terminal, what ignores it gets SIGHUP as well, as an
    /// interactive shell does, for which that is the way to end. Again and again, ever more seldom: a
    /// shell that is just starting ignores SIGTERM only a moment later, bash forgets a SIGHUP of that
    /// moment as well, and on a busy machine the moment lasts for seconds.
    /// SIGCONT, for who is stopped hears nothing.
    fn ask_to_end(&self, kill: &mut Kill, live: &[Process], terminal: bool) {
        for process in live {
            let key = process.key();
            let mut signals = Vec::new();
            if kill.told.insert(key) {
                signals.push(Signal::TERM);
            }
            let first = HangUp { next: self.now, pause: HANGUP_PAUSE_MS };
            let hang_up = kill.hung_up.entry(key).or_insert(first);
            if terminal && hang_up.next <= self.now && self.processes.ignores(process.pid, Signal::TERM) {
                *hang_up = HangUp { next: self.now + hang_up.pause, pause: hang_up.pause * 2 };
                signals.push(Signal::HUP);
            }
            if signals.is_empty() {
                continue;
            }
            signals.push(Signal::CONT);
            if signal_exactly(&self.processes, key, &signals) == Err(Errno::PERM) {
                kill.beyond.insert(key);
            }
        }
    }

    /// SIGKILL to all, who are stopped first: what is killed one by one could multiply meanwhile.
    fn kill_hard(&mut self, slot: usize, kill: &mut Kill, live: Vec<Process>) {
        let (stopped, _) = self.stop_all(slot, live, &mut kill.beyond);
        if let Some(group) = self.sessions.get(slot).and_then(Session::leader) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        for key in stopped {
            if signal_exactly(&self.processes, key, &[Signal::KILL]) == Err(Errno::PERM) {
                kill.beyond.insert(key);
            }
        }
    }

    /// SIGSTOP until a look finds none that did not have it. All that were stopped, and whether none
    /// was left.
    fn stop_all(
        &mut self,
        slot: usize,
        mut live: Vec<Process>,
        beyond: &mut BTreeSet<ProcessKey>,
    ) -> (BTreeSet<ProcessKey>, bool) {
        let mut stopped = BTreeSet::new();
        for _ in 0..STOP_ROUNDS {
            let mut fresh = false;
            for process in &live {
                let key = process.key();
                if beyond.contains(&key) || !stopped.insert(key) {
                    continue;
                }
                fresh = true;
                if !process.stopped
                    && signal_exactly(&self.processes, key, &[Signal::STOP]) == Err(Errno::PERM)
                {
                    beyond.insert(key);
                    stopped.remove(&key);
                }
            }
            if !fresh {
                return (stopped, true);
            }
            let look = self.look(slot);
            live = if look.live.is_empty() { look.strays } else { look.live };
        }
        (stopped, false)
    }

    /// Stops the whole tree, until it is thawed.
    pub(super) fn freeze(&mut self, slot: usize) {
        /// A tree that grew faster than it could be stopped is looked at again so soon, ms.
        const AGAIN_MS: u64 = 10;
        // What is being ended must be able to end.
        if self.sessions.get(slot).is_none_or(|session| session.kill.is_some()) {
            return;
        }
        let live = self.look(slot).live;
        let (_, all) = self.stop_all(slot, live, &mut BTreeSet::new());
        let again = (!all).then_some(self.now + AGAIN_MS);
        if let Some(session) = self.sessions.get_mut(slot) {
            session.freeze_next = again;
        }
    }

    /// Lets the whole tree go on.
    pub(super) fn thaw(&mut self, slot: usize) {
        if let Some(session) = self.sessions.get_mut(slot) {
            session.freeze_next = None;
        }
        let live = self.look(slot).live;
        for process in live {
            // One that is gone or another user's is not ours to thaw.
            let _ = signal_exactly(&self.processes, process.key(), &[Signal::CONT]);
        }
    }

    /// What there is of a session.
    pub(super) fn look(&mut self, slot: usize) -> Look {
        let all = self.processes.all();
        self.look_in(slot, &all)
    }

    /// The same, in a list of all processes.
    pub(super) fn look_in(&mut self, slot: usize, all: &[Process]) -> Look {
        let claims = self.claims();
        let found = tree(all, self.own_pid, self.supervise.node, &claims, slot, &self.processes);
        let those = |numbers: Vec<usize>| -> Vec<Process> {
            numbers.into_iter().filter_map(|at| all.get(at).cloned()).collect()
        };
        let (live, strays) = (those(found.live), those(found.strays));
        if let Some(session) = self.sessions.get_mut(slot) {
            session.seen = live.iter().map(Process::key).collect();
        }
        Look { live, strays, unreaped: found.unreaped }
    }

    /// What every session that lives is known by.
    pub(super) fn claims(&self) -> Vec<Claim<'_>> {
        let ticks = self.processes.ticks_per_second();
        let living = self.sessions.iter().filter(|(_, session)| session.lives());
        living
            .map(|(slot, session)| Claim {
                slot,
                leader: session.pid,
                leader_gone: session.leader_end.is_some(),
                started: session.started * ticks / 1000,
                label: &session.label,
                stamp: session.stamp,
                seen: &session.seen,
            })
            .collect()
    }
}

/// What a look at a session finds.
pub(super) struct Look {
    /// Its processes.
    pub(super) live: Vec<Process>,
    /// Those that most probably come from it, and cannot be told from others'.
    strays: Vec<Process>,
    /// There are orphans that the host has yet to wait for.
    unreaped: bool,
}

impl Marks for ProcFs {
    fn stamp(&self, pid: u32) -> Option<u64> {
        Processes::stamp(self, pid)
    }

    fn label(&self, pid: u32) -> Option<Vec<u8>> {
        self.variable(pid, super::environment::LABEL)
    }
}
