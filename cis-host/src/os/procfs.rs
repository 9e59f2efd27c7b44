//! Files of `/proc` (proc(5)).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

use super::mounts::{Mount, OwnMounts};
use super::processes::{Process, Processes as _};

/// An open `/proc`.
#[derive(Debug)]
pub(crate) struct ProcFs {
    root: OwnedFd,
    pub(super) loadavg: Option<OwnedFd>,
    pub(super) ticks_per_second: u64,
    /// It lists the children of a process (CONFIG_PROC_CHILDREN).
    pub(super) lists_children: bool,
    own_mounts: Mutex<OwnMounts>,
}

/// A file from where it stands, up to `max` bytes or 1 KB more.
fn read_whole(file: &OwnedFd, max: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    while bytes.len() < max {
        if bytes.capacity() - bytes.len() < 512 {
            bytes.reserve_exact(bytes.len().min(max - bytes.len()).max(512));
        }
        match rustix::io::read(file, spare_capacity(&mut bytes)) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(bytes)
}

/// Whether a process has this number, and has not ended. True where nobody can look.
pub(crate) fn lives(pid: u32) -> bool {
    ProcFs::open().map_or(true, |processes| processes.one(pid).is_some_and(|process| !process.zombie))
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
        let own_mounts = Mutex::default();
        Ok(Self { root, loadavg, ticks_per_second, lists_children, own_mounts })
    }

    /// The mount of this number, in our own namespace.
    pub(super) fn own_mount(&self, number: u64) -> Option<Mount> {
        let mut mounts = self.own_mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.find(number, |most| {
            let file = self.open_file_of("self/mountinfo").ok()?;
            let text = read_whole(&file, most)?;
            Some((file, text))
        })
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    fn open_file_of(&self, path: &str) -> Result<OwnedFd, Errno> {
        openat(&self.root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }

    /// Reads a small file whole, up to `max` bytes or 1 KB more.
    pub(super) fn read(&self, path: &str, max: usize) -> Option<Vec<u8>> {
        read_whole(&self.open_file_of(path).ok()?, max)
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
