//! Ending and stopping whole trees. Processes that ignore signals, make sessions of their own, lose
//! their parents on purpose or multiply do not escape.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rustix::io::Errno;
use rustix::process::{Signal, kill_process_group};

use super::server::Host;
use super::session::{EndedBy, Flow, Session};
use super::tree::{Claim, Forest, Marks, forest};
use crate::os::{ProcFs, Process, ProcessKey, Processes, signal_exactly};
use crate::protocol::AtDeadline;

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
        self.end_session(slot, EndedBy::Kill, grace_ms);
    }

    /// Ends a session for this reason. If its leader has already ended by itself, ends the leftover
    /// processes.
    pub(super) fn end_session(&mut self, slot: usize, why: EndedBy, grace_ms: Option<u64>) {
        // The leader may have ended a moment ago and not be reaped yet.
        self.reap();
        let now_unix = self.now_unix;
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if session.leader_end.is_none() {
            session.ended_by.get_or_insert((why, now_unix));
            session.kill_asked |= why == EndedBy::Kill;
        }
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
                // Not wished for again before that.
                self.ending.push(slot);
                return;
            }
        } else if session.timeout_at.is_some_and(|at| at <= now) {
            self.end_session(slot, EndedBy::Timeout, None);
        } else if let Some(deadline) = session.deadline.take_if(|deadline| deadline.at_ms <= now) {
            match deadline.action {
                AtDeadline::Kill { grace_ms } => {
                    self.end_session(slot, EndedBy::Timeout, Some(grace_ms));
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
        self.ending.push(slot);
    }

    /// Looks at the trees that are being ended and due, and does to them what is to be done. One reading of
    /// `/proc` serves all of them: what came after it has a parent in it, and is found by the next.
    pub(super) fn end_rounds(&mut self) {
        let mut ending = std::mem::take(&mut self.ending);
        if ending.is_empty() {
            return;
        }
        ending.sort_unstable();
        ending.dedup();
        let forest = self.forest();
        let mut herds: Vec<Herd> = ending.iter().filter_map(|slot| self.end_round(*slot, &forest)).collect();
        self.kill_hard(&mut herds);
        for slot in ending {
            self.wish(slot);
        }
    }

    /// One look at a tree that is being ended; gives what is to be killed.
    fn end_round(&mut self, slot: usize, forest: &Forest) -> Option<Herd> {
        let now = self.now;
        self.sessions.get(slot)?.kill.as_ref()?;
        let Look { mut live, mut strays } = self.look_in(slot, forest);
        let session = self.sessions.get_mut(slot)?;
        let mut kill = session.kill.take()?;
        live.retain(|process| !kill.beyond.contains(&process.key()));
        strays.retain(|process| !kill.beyond.contains(&process.key()));
        if live.is_empty() && session.leader_end.is_some() && !strays.is_empty() {
            // Perhaps not this session's: its grace is over when its own processes are gone.
            (kill.hard_from, live) = (now, strays);
        } else if live.is_empty() && !forest.unreaped && session.leader_end.is_some() {
            session.tree_gone = true;
            self.ended.push(slot);
            return None;
        }
        let mut herd = None;
        if now >= kill.hard_from {
            if !kill.told.is_empty() {
                kill.told.clear();
                kill.pause = KILL_PAUSE_MS.0;
            }
            let beyond = std::mem::take(&mut kill.beyond);
            herd = Some(Herd { slot, live, stopped: BTreeSet::new(), beyond, restless: true });
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
        herd
    }

    /// SIGTERM to those that have not had it. On a terminal, an interactive shell ignores it and gets SIGHUP as well,
    /// which is the way to end it. Other programs that ignore SIGTERM want their grace, and get no SIGHUP.
    /// It is repeated, ever more seldom: a shell that is just starting ignores SIGTERM only a moment later, bash forgets
    /// a SIGHUP of that moment as well, and on a busy machine the moment lasts for seconds.
    /// SIGCONT, because a stopped process handles no signal.
    fn ask_to_end(&self, kill: &mut Kill, live: &[Process], terminal: bool) {
        for process in live {
            let key = process.key();
            let mut signals = Vec::new();
            if kill.told.insert(key) {
                signals.push(Signal::TERM);
            }
            let first = HangUp { next: self.now, pause: HANGUP_PAUSE_MS };
            let hang_up = kill.hung_up.entry(key).or_insert(first);
            if terminal && hang_up.next <= self.now && self.is_interactive_shell(process.pid) {
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

    /// Whether it looks like a shell with job control: that ignores SIGTERM, and the signals by which a terminal stops
    /// background jobs (bash, dash, zsh, ksh). A script that traps SIGTERM ignores SIGTERM alone.
    fn is_interactive_shell(&self, pid: u32) -> bool {
        [Signal::TERM, Signal::TSTP, Signal::TTOU].iter().all(|signal| self.processes.ignores(pid, *signal))
    }

    /// SIGKILL to all, who are stopped first: what is killed one by one could multiply meanwhile.
    fn kill_hard(&mut self, herds: &mut [Herd]) {
        self.stop_all(herds);
        for herd in herds {
            if let Some(group) = self.sessions.get(herd.slot).and_then(Session::leader) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            for key in &herd.stopped {
                if signal_exactly(&self.processes, *key, &[Signal::KILL]) == Err(Errno::PERM) {
                    herd.beyond.insert(*key);
                }
            }
            if let Some(kill) = self.sessions.get_mut(herd.slot).and_then(|session| session.kill.as_mut()) {
                kill.beyond.append(&mut herd.beyond);
            }
        }
    }

    /// SIGSTOP until a look finds none that did not have it. Trees that grow faster stay restless.
    fn stop_all(&mut self, herds: &mut [Herd]) {
        for round in 0..STOP_ROUNDS {
            if !herds.iter().any(|herd| herd.restless) {
                return;
            }
            let forest = (round > 0).then(|| self.forest());
            for herd in herds.iter_mut().filter(|herd| herd.restless) {
                if let Some(forest) = &forest {
                    let look = self.look_in(herd.slot, forest);
                    herd.live = if look.live.is_empty() { look.strays } else { look.live };
                }
                herd.stop(&self.processes);
            }
        }
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
        let (stopped, beyond) = (BTreeSet::new(), BTreeSet::new());
        let mut herd = [Herd { slot, live, stopped, beyond, restless: true }];
        self.stop_all(&mut herd);
        let again = herd[0].restless.then_some(self.now + AGAIN_MS);
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
    fn look(&mut self, slot: usize) -> Look {
        let forest = self.forest();
        self.look_in(slot, &forest)
    }

    /// The same, among all processes of a moment.
    pub(super) fn look_in(&mut self, slot: usize, forest: &Forest) -> Look {
        let Some(tree) = forest.tree(slot) else { return Look { live: Vec::new(), strays: Vec::new() } };
        let those = |numbers: &[usize]| -> Vec<Process> {
            numbers.iter().filter_map(|at| forest.all.get(*at).cloned()).collect()
        };
        let (live, strays) = (those(&tree.live), those(&tree.strays));
        if let Some(session) = self.sessions.get_mut(slot) {
            session.seen = live.iter().map(Process::key).collect();
        }
        Look { live, strays }
    }

    /// All processes, and whose they are.
    fn forest(&self) -> Forest {
        forest(self.processes.all(), self.own_pid, self.supervise.node, &self.claims(), &self.processes)
    }

    /// The same, read once in a turn for all sessions that are looked at in it.
    pub(super) fn forest_of_turn(&mut self) -> Rc<Forest> {
        if let Some(forest) = &self.probed {
            return Rc::clone(forest);
        }
        let forest = Rc::new(self.forest());
        self.probed = Some(Rc::clone(&forest));
        forest
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
}

/// Processes of one session that are to be stopped.
struct Herd {
    slot: usize,
    /// Those of the last look.
    live: Vec<Process>,
    /// They had their SIGSTOP.
    stopped: BTreeSet<ProcessKey>,
    /// They are another user's.
    beyond: BTreeSet<ProcessKey>,
    /// The last look found some that did not have it.
    restless: bool,
}

impl Herd {
    /// SIGSTOP to those of the last look that did not have it.
    fn stop(&mut self, processes: &impl Processes) {
        self.restless = false;
        for process in &self.live {
            let key = process.key();
            if self.beyond.contains(&key) || !self.stopped.insert(key) {
                continue;
            }
            self.restless = true;
            if !process.stopped && signal_exactly(processes, key, &[Signal::STOP]) == Err(Errno::PERM) {
                self.beyond.insert(key);
                self.stopped.remove(&key);
            }
        }
    }
}

impl Marks for ProcFs {
    fn stamp(&self, pid: u32) -> Option<u64> {
        Processes::stamp(self, pid)
    }

    fn label(&self, pid: u32) -> Option<Vec<u8>> {
        self.variable(pid, super::environment::LABEL)
    }
}
