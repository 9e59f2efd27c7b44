//! Processes on Linux: what `/proc` (proc(5)) says about them.

use std::os::fd::AsFd;

use rustix::process::Signal;

use super::budget::Budget;
use super::processes::{Process, Processes, Waits};
use super::procfs::ProcFs;
use super::terminal::Terminal;
use cis_core::monitor::Modes;
use cis_core::proc::stat_fields;

/// An environment beyond this is not read further, bytes.
const ENVIRONMENT_BYTES_MAX: usize = 4 << 20;
/// Of one process, children of so many threads are found.
const PARENTS_MAX: usize = 256;
/// And a list of children is not read further, bytes.
const CHILDREN_BYTES_MAX: usize = 1 << 20;

impl Processes for ProcFs {
    fn all(&self) -> Vec<Process> {
        self.numbers_in(".", usize::MAX).into_iter().filter_map(|pid| self.one(pid)).collect()
    }

    fn one(&self, pid: u32) -> Option<Process> {
        parse_stat(&self.read_once(&format!("{pid}/stat")).ok()?)
    }

    fn newest_pid(&self) -> Option<u32> {
        let mut line = [0u8; 128];
        let read = rustix::io::pread(self.loadavg.as_ref()?.as_fd(), &mut line, 0).ok()?;
        std::str::from_utf8(&line[..read]).ok()?.split_ascii_whitespace().nth(4)?.parse().ok()
    }

    fn variable(&self, pid: u32, name: &str) -> Option<Vec<u8>> {
        let all = self.read(&format!("{pid}/environ"), ENVIRONMENT_BYTES_MAX)?;
        let value =
            |variable: &[u8]| Some(variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_vec());
        all.split(|byte| *byte == 0).find_map(value)
    }

    fn stamp(&self, pid: u32) -> Option<u64> {
        cis_core::proc::hard_realtime_limit(&self.read(&format!("{pid}/limits"), 16 << 10)?)
    }

    fn ignores(&self, pid: u32, signal: Signal) -> bool {
        let Some(status) = self.read(&format!("{pid}/status"), 16 << 10) else { return false };
        let status = String::from_utf8_lossy(&status);
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0);
        mask & (1 << (signal.as_raw() - 1)) != 0
    }

    fn children(&self, process: &Process) -> Option<Vec<u32>> {
        let of = |thread: u32| {
            let list = self.read(&format!("{}/task/{thread}/children", process.pid), CHILDREN_BYTES_MAX);
            let list = list.and_then(|list| String::from_utf8(list).ok()).unwrap_or_default();
            list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        };
        let threads = || self.threads(process, PARENTS_MAX).into_iter();
        self.lists_children.then(|| threads().flat_map(of).collect())
    }

    fn waits(&self, process: &Process, budget: &mut Budget) -> Waits {
        self.waits_of(process, budget)
    }

    fn terminal_modes(&self, process: &Process, descriptor: u32, budget: &mut Budget) -> Option<Modes> {
        if !budget.spend(1) {
            return None;
        }
        self.modes_behind(process, descriptor, &mut budget.mounts)
    }

    fn ticks_per_second(&self) -> u64 {
        self.ticks_per_second
    }
}

/// A line of `/proc/PID/stat`. The name stands in parentheses and may hold any character.
fn parse_stat(line: &[u8]) -> Option<Process> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let name = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
    let pid = std::str::from_utf8(&line[..open]).ok()?.trim().parse().ok()?;
    // Numbered as in proc(5), from the state, which is field 3.
    let fields: Vec<&str> = stat_fields(line)?.collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |n: usize| field(n)?.parse::<u64>().ok();
    let small = |n: usize| field(n)?.parse::<u32>().ok();
    let state = field(3)?;
    let threads = small(20)?;
    let children_cpu = field(16)?.parse::<i64>().ok()?.max(0) + field(17)?.parse::<i64>().ok()?.max(0);
    Some(Process {
        pid,
        parent: small(4)?,
        group: small(5)?,
        session: small(6)?,
        terminal: Terminal::of_number(small(7)?),
        terminal_group: small(8).filter(|group| *group > 0),
        threads,
        started: number(22)?,
        cpu: number(14)? + number(15)? + children_cpu.unsigned_abs(),
        // The state is that of the first thread, which can end before the others.
        zombie: matches!(state, "Z" | "X") && threads <= 1,
        stopped: state == "T",
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_does_not_shift_the_fields() {
        let line = b"42 (a) b (c) T 1 40 39 34816 40 4194560 1 2 3 4 7 8 9 10 20 0 1 0 1234 5 6\n";
        let process = parse_stat(line).unwrap();
        assert_eq!((process.pid, process.name.as_str(), process.stopped), (42, "a) b (c", true));
        assert_eq!((process.parent, process.group, process.session), (1, 40, 39));
        assert_eq!((process.started, process.cpu, process.threads), (1234, 34, 1));
        assert_eq!(process.terminal, Terminal::of_number(34816));
        assert_eq!(parse_stat(b"42 (x"), None);
        assert_eq!(parse_stat(b"42 (x) S 1"), None);
    }

    #[test]
    fn a_process_lives_as_long_as_one_of_its_threads() {
        let script = "import ctypes, threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\nctypes.CDLL(None).pthread_exit(None)";
        let mut child = std::process::Command::new("python3").args(["-c", script]).spawn().unwrap();
        let stat = || std::fs::read(format!("/proc/{}/stat", child.id())).unwrap();
        while stat_fields(&stat()).unwrap().next() != Some("Z") {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let one = parse_stat(&stat()).unwrap();
        child.kill().unwrap();
        assert!(!one.zombie && one.threads == 2, "{one:?}");
        while !parse_stat(&std::fs::read(format!("/proc/{}/stat", child.id())).unwrap()).unwrap().zombie {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
    }

    #[test]
    fn this_process_has_the_stamp_of_its_own_limit() {
        let own = rustix::process::getrlimit(rustix::process::Resource::Rttime).maximum;
        let proc = ProcFs::open().unwrap();
        assert_eq!(proc.stamp(std::process::id()), Some(own.unwrap_or(u64::MAX)));
    }

    #[test]
    fn this_process_is_found_with_its_parent_and_environment() {
        let proc = ProcFs::open().unwrap();
        let own = proc.one(std::process::id()).unwrap();
        assert!(proc.all().iter().any(|one| one.key() == own.key() && one.parent == own.parent));
        let path = std::env::var("PATH").unwrap().into_bytes();
        assert_eq!(proc.variable(own.pid, "PATH"), Some(path));
        assert_eq!(proc.variable(own.pid, "PAT"), None);
        assert!(proc.newest_pid().is_some());
        assert!(!proc.ignores(own.pid, Signal::KILL));
    }
}
