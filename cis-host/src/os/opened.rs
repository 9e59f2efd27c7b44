//! What the descriptors of other processes lead to, on Linux, without touching the files themselves.
//!
//! A file may lie on a file system whose server is dead (FUSE, NFS): whoever asks it anything, if only for
//! the file's type, sleeps until that answers. So nothing is asked here but `/proc`: where the link of the
//! descriptor points, by which mount the file was opened, and what that mount is.

use rustix::fs::readlinkat;

use super::mounts::{Mount, Mounts};
use super::procfs::ProcFs;
use super::terminal::Terminal;

/// An open file is described in some lines; an epoll descriptor by more, which come behind them.
const FDINFO_BYTES_MAX: usize = 4096;

/// What a descriptor leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    Terminal(Terminal),
    Socket,
    /// A device that is no pseudo-terminal: a serial line, for example.
    Device,
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

impl ProcFs {
    /// What a descriptor of a process leads to, where `controlling` is the terminal that controls it, and
    /// `mounts` are those of other namespaces in this look.
    pub(super) fn opened(
        &self,
        pid: u32,
        descriptor: u32,
        controlling: Option<Terminal>,
        mounts: &mut Mounts,
    ) -> Opened {
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
            let link = String::from_utf8_lossy(link);
            let terminal = self.place(pid, descriptor).and_then(|place| {
                let list = |pid, most| self.read(&format!("{pid}/mountinfo"), most);
                let mount = self.own_mount(place.mount);
                let mount = mount.or_else(|| mounts.find(pid, place.mount, list))?;
                terminal_at(place, mount, &link, controlling)
            });
            let other = || if is_device(&link) { Opened::Device } else { Opened::Other };
            terminal.map_or_else(other, Opened::Terminal)
        } else {
            Opened::Other
        }
    }

    fn place(&self, pid: u32, descriptor: u32) -> Option<Place> {
        place(&self.read(&format!("{pid}/fdinfo/{descriptor}"), FDINFO_BYTES_MAX)?)
    }
}

/// A file of `/dev` that may be another end of what is typed. By its name alone: files are not asked.
fn is_device(link: &str) -> bool {
    const NONE: [&str; 7] =
        ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"];
    link.starts_with("/dev/")
        && !link.starts_with("/dev/pts/")
        && !link.starts_with("/dev/shm/")
        && !NONE.contains(&link)
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

/// The terminal that a file is. By its mount and not by its name: a terminal may be bound anywhere, or be
/// deleted, and any file may be called like one.
fn terminal_at(place: Place, mount: Mount, link: &str, controlling: Option<Terminal>) -> Option<Terminal> {
    // The root, `ptmx`, then the terminals in their order (fs/devpts/inode.c).
    const FIRST: u64 = 3;
    let Mount::Terminals { device, bound } = mount else {
        // Of a changed root the link tells the whole path.
        return controlling.filter(|_| mount == Mount::Devices && link.ends_with("/dev/tty"));
    };
    let named = |path: &str| path.trim_end_matches(" (deleted)").rsplit('/').next()?.parse().ok();
    let index = match place.inode {
        Some(inode) => inode.checked_sub(FIRST)?,
        None => named(link).or(bound)?,
    };
    Some(Terminal::of_index(u32::try_from(index).ok()?, device))
}

#[cfg(test)]
mod tests;
