//! What the descriptors of other processes lead to, on Linux, without touching the files themselves.
//!
//! A file may lie on a file system whose server is dead (FUSE, NFS): whoever asks it anything, if only for
//! the file's type, sleeps until that answers. So nothing is asked here but `/proc`: where the link of the
//! descriptor points, by which mount the file was opened, and what that mount is.

use rustix::fs::{makedev, readlinkat};

use super::procfs::ProcFs;
use super::terminal::Terminal;

/// Of a list of mounts, bytes: some ten thousand.
const MOUNTS_BYTES_MAX: usize = 2 << 20;
/// An open file is described in some lines; an epoll descriptor by more, which come behind them.
const FDINFO_BYTES_MAX: usize = 4096;
/// File systems on which `/dev/tty` is the terminal of whoever opens it.
const DEVICES: [&str; 2] = ["devtmpfs", "tmpfs"];

/// What a descriptor leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    Terminal(Terminal),
    Socket,
    /// An epoll, signal, timer descriptor, and the like: no file.
    Anonymous,
    Other,
}

/// By which mount a file was opened, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    mount: u64,
    /// Linux 5.14 and newer tell it.
    inode: Option<u64>,
}

/// A mount, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    device: u64,
    /// What of the file system is mounted: of one file that is bound, that file.
    root: &'a str,
    kind: &'a str,
}

impl ProcFs {
    /// What a descriptor of a process leads to, where `controlling` is the terminal that controls it.
    pub(super) fn opened(&self, pid: u32, descriptor: u32, controlling: Option<Terminal>) -> Opened {
        let Ok(link) = readlinkat(self.root(), format!("{pid}/fd/{descriptor}"), Vec::with_capacity(64))
        else {
            return Opened::Other;
        };
        let link = link.to_bytes();
        if link.starts_with(b"socket:") {
            Opened::Socket
        } else if link.starts_with(b"anon_inode:") {
            Opened::Anonymous
        } else if link.first() == Some(&b'/') {
            let terminal = self.terminal_at(pid, descriptor, &String::from_utf8_lossy(link), controlling);
            terminal.map_or(Opened::Other, Opened::Terminal)
        } else {
            Opened::Other
        }
    }

    /// The terminal behind a descriptor that leads to a file. By its mount and not by its name: a terminal may
    /// be bound anywhere, or be deleted, and any file may be called like one.
    fn terminal_at(
        &self,
        pid: u32,
        descriptor: u32,
        link: &str,
        controlling: Option<Terminal>,
    ) -> Option<Terminal> {
        let place = place(&self.read(&format!("{pid}/fdinfo/{descriptor}"), FDINFO_BYTES_MAX)?)?;
        // What was opened in another namespace and handed on is in the list of nobody else.
        let lists = [format!("{pid}/mountinfo"), "self/mountinfo".to_owned()];
        lists.iter().find_map(|path| {
            let list = self.read(path, MOUNTS_BYTES_MAX)?;
            let list = String::from_utf8_lossy(&list);
            let mount = mount(&list, place.mount)?;
            if link == "/dev/tty" && DEVICES.contains(&mount.kind) {
                return Some(controlling);
            }
            Some(pseudo_terminal(place, &mount, link))
        })?
    }
}

/// Where an open file lies, of its `/proc/PID/fdinfo/N`.
fn place(info: &[u8]) -> Option<Place> {
    let info = String::from_utf8_lossy(info);
    let value = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line?.trim().parse::<u64>().ok()
    };
    Some(Place { mount: value("mnt_id")?, inode: value("ino") })
}

/// The mount of this number, of a list as in `/proc/PID/mountinfo`.
fn mount(list: &str, number: u64) -> Option<Mount<'_>> {
    let line = list.lines().find(|line| {
        let first = line.split(' ').next();
        first.is_some_and(|first| first.parse() == Ok(number))
    })?;
    // Optional fields stand between the sixth one and a dash.
    let (fields, kind) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(2);
    let (major, minor) = fields.next()?.split_once(':')?;
    let device = makedev(major.parse().ok()?, minor.parse().ok()?);
    Some(Mount { device, root: fields.next()?, kind: kind.split(' ').next()? })
}

/// Which pseudo-terminal it is, where the mount is of such.
fn pseudo_terminal(place: Place, mount: &Mount<'_>, link: &str) -> Option<Terminal> {
    // The root, `ptmx`, then the terminals in their order (fs/devpts/inode.c).
    const FIRST: u64 = 3;
    if mount.kind != "devpts" {
        return None;
    }
    let named = |path: &str| path.trim_end_matches(" (deleted)").rsplit('/').next()?.parse().ok();
    let index = match place.inode {
        Some(inode) => inode.checked_sub(FIRST)?,
        None => named(link).or_else(|| named(mount.root))?,
    };
    Some(Terminal::of_index(u32::try_from(index).ok()?, mount.device))
}

#[cfg(test)]
mod tests;
