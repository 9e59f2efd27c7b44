//! What mounts are, by their numbers: our own for as long as they do not change, those of other namespaces for as long as one look at
//! the system takes.
//!
//! Owns the bound on reading lists of mounts: a program may make itself a namespace with a list of megabytes,
//! and open any number of files there. So each list is read once, in part where it is long, and what was read
//! answers for every process: the numbers of mounts are the machine's, not a namespace's.
//! Where the list of another process is read from is told by the caller.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::makedev;

/// Of one list, bytes: some thousand mounts. Terminals are mounted early.
const LIST_BYTES_MAX: usize = 512 << 10;
/// Of all lists in one look, bytes: some milliseconds.
const LISTS_BYTES_MAX: usize = 1 << 20;
/// File systems on which `/dev/tty` is the terminal of whoever opens it.
const DEVICES: [&str; 2] = ["devtmpfs", "tmpfs"];

/// A mount, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mount {
    /// Of pseudo-terminals.
    Terminals {
        /// Of its file system.
        device: u64,
        /// Only this one of them is mounted.
        bound: Option<u64>,
    },
    /// `/dev/tty` may be on it.
    Devices,
    Other,
}

/// Mounts by their numbers.
type Numbered = HashMap<u64, Mount>;

/// The mounts of our own namespace, in which nearly all programs run. The kernel says when they change.
#[derive(Debug, Default)]
pub(super) struct OwnMounts {
    /// The list, and what it said.
    read: Option<(OwnedFd, Numbered)>,
}

impl OwnMounts {
    /// The mount of this number. `open` opens the list, of which at most so many bytes are read.
    pub(super) fn find(
        &mut self,
        number: u64,
        open: impl FnOnce(usize) -> Option<(OwnedFd, Vec<u8>)>,
    ) -> Option<Mount> {
        if self.read.as_ref().is_none_or(|(list, _)| has_changed(list)) {
            self.read = open(LIST_BYTES_MAX).map(|(list, text)| {
                let mut known = Numbered::new();
                add(&mut known, &text);
                (list, known)
            });
        }
        self.read.as_ref()?.1.get(&number).copied()
    }
}

/// Whether mounts changed since the list was opened (proc(5), of `mounts`); true where nobody can say.
fn has_changed(list: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(list, PollFlags::PRI)];
    let asked = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    asked.is_err() || polled[0].revents().intersects(PollFlags::PRI | PollFlags::ERR)
}

/// The mounts of other namespaces that were read of.
#[derive(Debug)]
pub(super) struct Mounts {
    known: Numbered,
    /// Processes whose lists were read.
    read: BTreeSet<u32>,
    bytes_left: usize,
}

impl Default for Mounts {
    fn default() -> Self {
        Self { known: Numbered::new(), read: BTreeSet::new(), bytes_left: LISTS_BYTES_MAX }
    }
}

impl Mounts {
    /// The mount of this number, by which `pid` has a file open, and which is none of our own: of what was opened in another namespace
    /// and handed on. `list` reads the list of a process, up to so many bytes or a little more.
    pub(super) fn find(
        &mut self,
        pid: u32,
        number: u64,
        list: impl Fn(u32, usize) -> Option<Vec<u8>>,
    ) -> Option<Mount> {
        let most = self.bytes_left.min(LIST_BYTES_MAX);
        if !self.known.contains_key(&number) && most > 0 && self.read.insert(pid) {
            let list = list(pid, most).unwrap_or_default();
            // Also what has no list takes something: there may be many such processes.
            self.bytes_left = self.bytes_left.saturating_sub(list.len().max(512));
            add(&mut self.known, &list);
        }
        self.known.get(&number).copied()
    }
}

fn add(known: &mut Numbered, list: &[u8]) {
    // The last line may be cut.
    let end = list.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    for line in list[..end].split(|byte| *byte == b'\n') {
        if let Some((number, mount)) = entry(&String::from_utf8_lossy(line)) {
            known.entry(number).or_insert(mount);
        }
    }
}

/// A line as in `/proc/PID/mountinfo`, with the number of its mount.
fn entry(line: &str) -> Option<(u64, Mount)> {
    // Optional fields stand between the sixth one and a dash.
    let (fields, kind) = line.split_once(" - ")?;
    let kind = kind.split(' ').next()?;
    let mut fields = fields.split(' ');
    let number = fields.next()?.parse().ok()?;
    if DEVICES.contains(&kind) {
        return Some((number, Mount::Devices));
    }
    if kind != "devpts" {
        return Some((number, Mount::Other));
    }
    let (major, minor) = fields.nth(1)?.split_once(':')?;
    let device = makedev(major.parse().ok()?, minor.parse().ok()?);
    // What of the file system is mounted: of one terminal that is bound, that one.
    let bound = fields.next()?.strip_prefix('/').and_then(|root| root.parse().ok());
    Some((number, Mount::Terminals { device, bound }))
}

#[cfg(test)]
mod tests;
