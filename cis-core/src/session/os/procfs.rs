//! Processes on Linux: `/proc` (proc(5)).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, readlinkat, statat};
use rustix::process::Signal;

use super::processes::{Process, Processes};

/// An environment beyond this is not read further, bytes.
const ENVIRONMENT_BYTES_MAX: usize = 4 << 20;

/// An open `/proc`.
#[derive(Debug)]
pub(crate) struct ProcFs {
    root: OwnedFd,
    loadavg: Option<OwnedFd>,
    ticks_per_second: u64,
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
        Ok(Self { root, loadavg, ticks_per_second: rustix::param::clock_ticks_per_second() })
    }

    /// Reads a small file whole, up to `max` bytes.
    fn read(&self, path: &str, max: usize) -> Option<Vec<u8>> {
        let file = openat(&self.root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut bytes = Vec::with_capacity(1024);
        while bytes.len() < max {
            if bytes.capacity() - bytes.len() < 512 {
                bytes.reserve(bytes.len());
            }
            match rustix::io::read(&file, spare_capacity(&mut bytes)) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        Some(bytes)
    }

    fn numbers_in(&self, path: &str) -> Vec<u32> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(&self.root, path, flags, Mode::empty()).and_then(Dir::read_from);
        let Ok(entries) = opened else { return Vec::new() };
        entries.flatten().filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok()).collect()
    }

    /// This thread sleeps in a read of a descriptor that is a terminal.
    fn thread_reads_terminal(&self, pid: u32, thread: u32) -> bool {
        let Some(call) = self.read(&format!("{pid}/task/{thread}/syscall"), 512) else { return false };
        let Some(descriptor) = descriptor_of_read(&call) else { return false };
        self.is_terminal(&format!("{pid}/fd/{descriptor}"))
    }

    fn is_terminal(&self, path: &str) -> bool {
        // The device, not the name: a terminal may be bound anywhere, or be deleted.
        const UNIX98_SLAVES: std::ops::RangeInclusive<u32> = 136..=143;
        const CONSOLES: [u32; 3] = [4, 5, 204];
        let Ok(stat) = statat(&self.root, path, AtFlags::empty()) else { return false };
        let major = rustix::fs::major(stat.st_rdev);
        let character = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device();
        character && (UNIX98_SLAVES.contains(&major) || CONSOLES.contains(&major))
    }
}

impl Processes for ProcFs {
    fn all(&self) -> Vec<Process> {
        self.numbers_in(".").into_iter().filter_map(|pid| self.one(pid)).collect()
    }

    fn one(&self, pid: u32) -> Option<Process> {
        parse_stat(&self.read(&format!("{pid}/stat"), 4096)?)
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
        crate::proc::hard_realtime_limit(&self.read(&format!("{pid}/limits"), 16 << 10)?)
    }

    fn ignores(&self, pid: u32, signal: Signal) -> bool {
        let Some(status) = self.read(&format!("{pid}/status"), 16 << 10) else { return false };
        let status = String::from_utf8_lossy(&status);
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0);
        mask & (1 << (signal.as_raw() - 1)) != 0
    }

    fn reads_terminal(&self, pid: u32) -> bool {
        self.numbers_in(&format!("{pid}/task"))
            .into_iter()
            .any(|thread| self.thread_reads_terminal(pid, thread))
    }

    fn ticks_per_second(&self) -> u64 {
        self.ticks_per_second
    }
}

/// The descriptor, where `/proc/PID/task/T/syscall` shows a read: `number 0xARG0 …`.
fn descriptor_of_read(call: &[u8]) -> Option<u64> {
    let mut words = std::str::from_utf8(call).ok()?.split_ascii_whitespace();
    let number: libc::c_long = words.next()?.parse().ok()?;
    let reads = [libc::SYS_read, libc::SYS_readv].contains(&number);
    let descriptor = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    reads.then_some(descriptor)
}

/// A line of `/proc/PID/stat`. The name stands in parentheses and may hold any character.
fn parse_stat(line: &[u8]) -> Option<Process> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let name = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
    let pid = std::str::from_utf8(&line[..open]).ok()?.trim().parse().ok()?;
    // Numbered as in proc(5), from the state, which is field 3.
    let fields: Vec<&str> = std::str::from_utf8(&line[close + 1..]).ok()?.split_ascii_whitespace().collect();
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
        terminal_group: small(8).filter(|group| *group > 0),
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
        assert_eq!((process.started, process.cpu), (1234, 34));
        assert_eq!(parse_stat(b"42 (x"), None);
        assert_eq!(parse_stat(b"42 (x) S 1"), None);
    }

    #[test]
    fn only_reads_are_read_calls() {
        let read = format!("{} 0x1f 0x7ffd 0x1 0x0 0x0 0x0 0x7ffd 0x7f\n", libc::SYS_read);
        assert_eq!(descriptor_of_read(read.as_bytes()), Some(31));
        let write = format!("{} 0x1 0x7ffd 0x1\n", libc::SYS_write);
        assert_eq!(descriptor_of_read(write.as_bytes()), None);
        assert_eq!(descriptor_of_read(b"running\n"), None);
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
