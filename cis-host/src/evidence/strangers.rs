//! Processes of somebody else that read a session's terminal: what a daemon of the user starts to ask for
//! a passphrase (gpg's pinentry) opens the terminal that it is told by name.
//!
//! To find them all processes of the machine are looked into, so this is done seldom: for a session whose
//! foreground waits for a peer while nobody of it reads, ever less often as long as nothing changes, once
//! for all sessions, and never for more than a two-hundredth of a core.

use super::{Found, Scene};
use crate::os::{self, Budget, Process, ProcessKey, Processes, Terminal};
use cis_core::monitor::Reader;

/// What looking into all processes may cost, in descriptors.
const LOOKS_MAX: usize = 50_000;
/// And into one of them.
const LOOKS_OF_ONE_MAX: usize = 300;
/// In CPU time, µs: a search, and looking again at those that are known.
const SEARCH_US_MAX: u64 = 50_000;
const KNOWN_US_MAX: u64 = 5000;
/// Between two searches there is so much time, ms, and so many times the CPU time of one.
const PAUSE_MS: u64 = 1000;
const PAUSE_TIMES: u64 = 200;
/// Who has just written to a terminal may be about to read it, and is found a moment later, ms.
const QUIET_MS: u64 = 300;
/// Between the first two searches for one session, and between later ones at most, ms.
const IMPATIENCE_MS: (u64, u64) = (1000, 60_000);

/// How soon a session has all processes looked through once more.
#[derive(Debug, Default)]
pub(crate) struct Impatience {
    next: u64,
    pause: u64,
    /// Output of the session when it was searched for last: what reads a terminal writes to it first.
    output_bytes: u64,
}

/// When a session is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// In ms, of a clock that only goes on.
    pub(crate) now: u64,
    /// Its output so far.
    pub(crate) output_bytes: u64,
    /// ms since the last of it.
    pub(crate) quiet_ms: u64,
}

impl Impatience {
    fn is_due(&self, at: Moment) -> bool {
        at.quiet_ms >= QUIET_MS && (at.now >= self.next || at.output_bytes != self.output_bytes)
    }

    fn searched(&mut self, at: Moment) {
        let pause = if at.output_bytes == self.output_bytes { self.pause * 2 } else { 0 };
        self.pause = pause.clamp(IMPATIENCE_MS.0, IMPATIENCE_MS.1);
        (self.next, self.output_bytes) = (at.now + self.pause, at.output_bytes);
    }
}

/// Who of all processes waited for a terminal when they were looked through last.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    next: u64,
    known: Vec<(Terminal, ProcessKey)>,
}

impl Strangers {
    /// Adds those that read a terminal of this session without being of it.
    pub(crate) fn look(
        &mut self,
        processes: &impl Processes,
        scene: &Scene<'_>,
        impatience: &mut Impatience,
        at: Moment,
        found: &mut Found,
    ) {
        if self.add_known(processes, scene, found) || at.now < self.next {
            return;
        }
        if impatience.is_due(at) {
            impatience.searched(at);
            self.search(processes, at.now);
            self.add_known(processes, scene, found);
        }
    }

    /// Looks again at those that are known; true where one reads a terminal of this session.
    fn add_known(&self, processes: &impl Processes, scene: &Scene<'_>, found: &mut Found) -> bool {
        let terminals = scene.terminals();
        let mut any = false;
        let mut budget = Budget::new(LOOKS_MAX, KNOWN_US_MAX);
        for (terminal, key) in &self.known {
            let of_tree = || scene.live.iter().any(|process| process.key() == *key);
            if !terminals.iter().any(|one| one.is(*terminal)) || of_tree() {
                continue;
            }
            let Some(process) = processes.one(key.pid).filter(|process| process.key() == *key) else {
                continue;
            };
            if !scene.may_read(&process) {
                continue;
            }
            let look = |budget: &mut Budget| processes.waits(&process, budget);
            let Some(waits) = budget.within(LOOKS_OF_ONE_MAX, look) else { break };
            for wait in waits.terminals.into_iter().filter(|wait| wait.terminal.is(*terminal)) {
                if let Some(reader) = scene.reader(processes, &process, wait, &mut budget) {
                    found.add(Reader { foreign: true, ..reader });
                    any = true;
                }
            }
        }
        any
    }

    fn search(&mut self, processes: &impl Processes, now: u64) {
        let began = os::cpu_us();
        let mut budget = Budget::new(LOOKS_MAX, SEARCH_US_MAX);
        self.known.clear();
        for process in processes.all().iter().filter(|process| can_read(process)) {
            let look = |budget: &mut Budget| processes.waits(process, budget);
            let Some(waits) = budget.within(LOOKS_OF_ONE_MAX, look) else { break };
            self.known.extend(waits.terminals.iter().map(|wait| (wait.terminal, process.key())));
        }
        self.next = now + PAUSE_MS.max((os::cpu_us() - began) / 1000 * PAUSE_TIMES);
    }
}

/// Not one that ended or is stopped, and none of the kernel's own.
fn can_read(process: &Process) -> bool {
    const KERNEL: u32 = 2;
    !process.zombie && !process.stopped && process.parent != KERNEL && process.pid != KERNEL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_asks_ever_less_often_until_it_writes_again() {
        let at = |now: u64, output_bytes: u64| Moment { now, output_bytes, quiet_ms: QUIET_MS };
        let mut impatience = Impatience::default();
        assert!(impatience.is_due(at(5, 0)), "at once");
        let mut now = 5;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            impatience.searched(at(now, 0));
            pauses.push(impatience.next - now);
            assert!(!impatience.is_due(at(impatience.next - 1, 0)));
            now = impatience.next;
        }
        assert_eq!(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert!(impatience.is_due(at(now - 1, 7)));
        assert!(!impatience.is_due(Moment { quiet_ms: QUIET_MS - 1, ..at(now - 1, 7) }));
        impatience.searched(at(now, 7));
        assert_eq!(impatience.next, now + 1000);
    }
}
