//! Processes on Linux: `/proc` (proc(5)).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;
use rustix::process::Signal;

use super::budget::Budget;
use super::processes::{Process, Processes};
use super::terminal::Terminal;
use super::waits::Waits;
use cis_core::monitor::Modes;
use cis_core::proc::stat_fields;

/// An environment beyond this is not read further, bytes.
const ENVIRONMENT_BYTES_MAX: usize = 4 << 20;
/// Of one process, children of so many threads are found.
const PARENTS_MAX: usize = 256;
/// And a list of children is not read further, bytes.
const CHILDREN_BYTES_MAX: usize = 1 << 20;

/// An open `/proc`.
#[derive(Debug)]
pub(crate) struct ProcFs {
    root: OwnedFd,
    loadavg: Option<OwnedFd>,
    ticks_per_second: u64,
    /// It lists the children of a process (CONFIG_PROC_CHILDREN).
    lists_children: bool,
}

impl ProcFs {
    /// Opens `/proc`.
    pub(crate) fn open() -> io::Result<Self> {
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, "/proc", directory, Mode::empty())?;
        // The pids of another namespace's /proc would mean other processes.
        let own = readlinkat(&root, "self", Vec::new())?;
        if own.to_bytes() != std::process::id().to_string().as_bytes() {
            return Err(io::Error::other(
                "/proc shows another pid namespace than the one this process is in",
            ));
        }
        let loadavg = openat(&root, "loadavg", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok();
        let children = format!("self/task/{}/children", std::process::id());
        let lists_children = statat(&root, children, AtFlags::empty()).is_ok();
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        Ok(Self { root, loadavg, ticks_per_second, lists_children })
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    fn open_file_of(&self, path: &str) -> Result<OwnedFd, Errno> {
        openat(&self.root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }

    /// Reads a small file whole, up to `max` bytes or 1 KB more.
    pub(super) fn read(&self, path: &str, max: usize) -> Option<Vec<u8>> {
        let file = self.open_file_of(path).ok()?;
        let mut bytes = Vec::with_capacity(1024);
        while bytes.len() < max {
            if bytes.capacity() - bytes.len() < 512 {
                bytes.reserve_exact(bytes.len().min(max - bytes.len()).max(512));
            }
            match rustix::io::read(&file, spare_capacity(&mut bytes)) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        Some(bytes)
    }

    /// A file of one line of at most 1 KB, which the kernel gives in one piece.
    pub(super) fn read_once(&self, path: &str) -> Result<Vec<u8>, Errno> {
        let file = self.open_file_of(path)?;
        let mut bytes = Vec::with_capacity(1024);
        rustix::io::retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut bytes)))?;
        Ok(bytes)
    }

    /// Memory of a process; less than asked for where not all of it is there.
    pub(super) fn memory(&self, pid: u32, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        if length > 0
            && let Ok(file) = self.open_file_of(&format!("{pid}/mem"))
        {
            // One page that is missing ends it.
            let _ = rustix::io::pread(&file, spare_capacity(&mut bytes), at);
        }
        bytes.truncate(length);
        bytes
    }

    /// Names that are numbers in a directory, at most so many.
    pub(super) fn numbers_in(&self, path: &str, max: usize) -> Vec<u32> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(&self.root, path, flags, Mode::empty()).and_then(Dir::read_from);
        let Ok(entries) = opened else { return Vec::new() };
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok());
        numbers.take(max).collect()
    }

    /// Its threads, the first one first.
    pub(super) fn threads(&self, process: &Process, max: usize) -> Vec<u32> {
        if process.threads <= 1 {
            return vec![process.pid];
        }
        self.numbers_in(&format!("{}/task", process.pid), max)
    }
}

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

    fn terminal_modes(&self, pid: u32, descriptor: u32, budget: &mut Budget) -> Option<Modes> {
        if !budget.spend(1) {
            return None;
        }
        self.modes_behind(pid, descriptor, &mut budget.mounts)
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
    let children_cpu = field(16)?.parse::<i64>().ok()?.max(0) + field(17)?.parse::<i64>().ok()?.max(0);
    Some(Process {
        pid,
        parent: small(4)?,
        group: small(5)?,
        session: small(6)?,
        terminal: Terminal::of_number(small(7)?),
        terminal_group: small(8).filter(|group| *group > 0),
        threads: small(20)?,
        started: number(22)?,
        cpu: number(14)? + number(15)? + children_cpu.unsigned_abs(),
        zombie: matches!(state, "Z" | "X"),
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
