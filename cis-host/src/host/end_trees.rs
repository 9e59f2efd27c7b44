//! Ending and stopping whole trees. Processes that ignore signals, make sessions of their own, lose
//! their parents on purpose or multiply do not escape.

use std::collections::BTreeSet;

use rustix::io::Errno;
use rustix::process::{Signal, kill_process_group};

use super::kill::Kill;
use super::session::{EndedBy, Flow, Session};
use super::sessions::Look;
use super::state::Host;
use super::tree::Forest;
use crate::os::{self, ProcFs, Process, ProcessKey, Processes, signal_exactly};

/// So often in a row a tree is looked at for processes that are not stopped yet.
const STOP_ROUNDS: usize = 32;
/// After an orphan ended, its session is looked at again at the earliest so much later, ms.
const RECHECK_MS: u64 = 10;

impl Host {
    /// Waits for every child that ended. The end of a leader is noted before it is waited for: whoever kills the host finds either the
    /// note or the process.
    pub(super) fn reap(&mut self) {
        let mut orphans = false;
        while let Some((pid, status)) = os::ended_child() {
            let leader_of = self.sessions.leader_ended(pid, status, self.now_unix);
            if let Some(slot) = leader_of {
                self.read_last_words(slot);
                self.note_end(slot);
                self.write_notes();
            }
            os::reap(pid);
            let is_own = self.supervise.ended(pid) || self.renewal.checker_ended(pid, status);
            orphans |= leader_of.is_none() && !is_own;
        }
        if orphans {
            self.orphan_ended();
        }
    }

    /// Sessions that are being ended may be over now.
    fn orphan_ended(&mut self) {
        let ending = self.sessions.iter().filter(|(_, session)| session.life.kill().is_some());
        for slot in ending.map(|(slot, _)| slot).collect::<Vec<_>>() {
            let kill = self.sessions.get_mut(slot).and_then(|session| session.life.kill_mut());
            if kill.is_some_and(|kill| kill.look_by(self.now + RECHECK_MS)) {
                self.wish(slot);
            }
        }
    }

    /// Ends a session for this reason. If its leader has already ended by itself, ends the leftover
    /// processes.
    pub(super) fn end_session(&mut self, slot: usize, why: EndedBy, grace_ms: Option<u64>) {
        // The leader may have ended a moment ago and not be reaped yet.
        self.reap();
        let Some(session) = self.sessions.get_mut(slot) else { return };
        session.life.stop(why, self.now_unix);
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

    /// Begins to end a tree; where that has begun, the shorter grace counts. A frozen tree gets no grace: it cannot handle
    /// SIGTERM, and if it went on to do so, it would run beside the next attempt of its task.
    fn end_tree(&mut self, slot: usize, grace_ms: u64) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let begins = session.life.kill().is_none();
        let grace_ms = if session.life.is_frozen() { 0 } else { grace_ms };
        if !session.life.end_tree(self.now, grace_ms) {
            return;
        }
        if begins && session.flow == Flow::HungUp {
            self.poll_output(slot);
        }
        self.sessions.ending.push(slot);
    }

    /// Looks at the trees that are being ended and due, and does to them what is to be done. One reading of
    /// `/proc` serves all of them: what came after it has a parent in it, and is found by the next.
    pub(super) fn end_rounds(&mut self) {
        let mut ending = std::mem::take(&mut self.sessions.ending);
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
        self.sessions.get(slot)?.life.kill()?;
        let Look { mut live, mut unmarked } = self.sessions.look(slot, forest);
        let session = self.sessions.get_mut(slot)?;
        let leader_ended = !session.life.leader_lives();
        let terminal = session.descriptors.terminal().is_some();
        let kill = session.life.kill_mut()?;
        live.retain(|process| !kill.beyond.contains(&process.key()));
        unmarked.retain(|process| !kill.beyond.contains(&process.key()));
        if live.is_empty() && leader_ended && !unmarked.is_empty() {
            // Perhaps not this session's: its grace is over when its own processes are gone.
            kill.hurry(now, 0);
            live = unmarked;
        } else if live.is_empty() && !forest.unreaped && leader_ended {
            session.life.tree_ended();
            self.sessions.ended.push(slot);
            return None;
        }
        if !kill.is_hard(now) {
            ask_to_end(kill, &live, terminal, &self.processes.system, now);
            kill.asked(now);
            return None;
        }
        kill.killed(now);
        let beyond = std::mem::take(&mut kill.beyond);
        Some(Herd { slot, live, stopped: BTreeSet::new(), beyond, restless: true })
    }

    /// SIGKILL to all, who are stopped first: what is killed one by one could multiply meanwhile.
    fn kill_hard(&mut self, herds: &mut [Herd]) {
        self.stop_all(herds);
        for herd in herds {
            if let Some(group) = self.sessions.get(herd.slot).and_then(Session::leader) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            for key in &herd.stopped {
                if signal_exactly(&self.processes.system, *key, &[Signal::KILL]) == Err(Errno::PERM) {
                    herd.beyond.insert(*key);
                }
            }
            if let Some(kill) = self.sessions.get_mut(herd.slot).and_then(|session| session.life.kill_mut()) {
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
                    let look = self.sessions.look(herd.slot, forest);
                    herd.live = if look.live.is_empty() { look.unmarked } else { look.live };
                }
                herd.stop(&self.processes.system);
            }
        }
    }

    /// Stops the whole tree, until it is thawed. One that is being ended has no more grace instead: it must be able to end, and
    /// another attempt of its task may begin now.
    pub(super) fn freeze(&mut self, slot: usize) {
        /// A tree that grew faster than it could be stopped is looked at again so soon, ms.
        const AGAIN_MS: u64 = 10;
        match self.sessions.get(slot).map(|session| session.life.kill().is_some()) {
            None => return,
            Some(true) => return self.end_tree(slot, 0),
            Some(false) => {}
        }
        let live = self.look(slot).live;
        let (stopped, beyond) = (BTreeSet::new(), BTreeSet::new());
        let mut herd = [Herd { slot, live, stopped, beyond, restless: true }];
        self.stop_all(&mut herd);
        let again = herd[0].restless.then_some(self.now + AGAIN_MS);
        if let Some(session) = self.sessions.get_mut(slot) {
            session.life.freeze(again);
            if let Some(patience) = &mut session.patience {
                patience.freeze(self.now, true);
            }
        }
    }

    /// Lets the whole tree go on.
    pub(super) fn thaw(&mut self, slot: usize) {
        if let Some(session) = self.sessions.get_mut(slot) {
            session.life.thaw();
            if let Some(patience) = &mut session.patience {
                patience.freeze(self.now, false);
            }
        }
        let live = self.look(slot).live;
        for process in live {
            // One that is gone or another user's is not ours to thaw.
            let _ = signal_exactly(&self.processes.system, process.key(), &[Signal::CONT]);
        }
    }

    /// What there is of a session.
    fn look(&mut self, slot: usize) -> Look {
        let forest = self.forest();
        self.sessions.look(slot, &forest)
    }

    fn forest(&self) -> Forest {
        self.processes.forest(&self.sessions, self.own_children())
    }
}

/// SIGTERM to those that have not had it. On a terminal, an interactive shell ignores it and gets SIGHUP as well,
/// which is the way to end it. Other programs that ignore SIGTERM want their grace, and get no SIGHUP.
/// It is repeated, ever more seldom: a shell that is just starting ignores SIGTERM only a moment later, bash forgets
/// a SIGHUP of that moment as well, and on a busy machine the moment lasts for seconds.
/// SIGCONT, because a stopped process handles no signal.
fn ask_to_end(kill: &mut Kill, live: &[Process], terminal: bool, processes: &ProcFs, now: u64) {
    for process in live {
        let key = process.key();
        let mut signals = Vec::new();
        if kill.wants_term(key) {
            signals.push(Signal::TERM);
        }
        if kill.wants_hangup(key, now, || terminal && is_interactive_shell(processes, process.pid)) {
            signals.push(Signal::HUP);
        }
        if signals.is_empty() {
            continue;
        }
        signals.push(Signal::CONT);
        if signal_exactly(processes, key, &signals) == Err(Errno::PERM) {
            kill.beyond.insert(key);
        }
    }
}

/// Whether it looks like a shell with job control: that ignores SIGTERM, and the signals by which a terminal stops
/// background jobs (bash, dash, zsh, ksh). A script that traps SIGTERM ignores SIGTERM alone.
fn is_interactive_shell(processes: &impl Processes, pid: u32) -> bool {
    [Signal::TERM, Signal::TSTP, Signal::TTOU].iter().all(|signal| processes.ignores(pid, *signal))
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
