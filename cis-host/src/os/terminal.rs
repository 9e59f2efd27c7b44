//! Which terminal is it, and how does it treat what is typed?

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Stat, fstat, major, minor};
use rustix::io::ioctl_fionread;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::termios::{LocalModes, SpecialCodeIndex, tcgetattr};
use serde::{Deserialize, Serialize};

use cis_core::monitor::Modes;

/// A pseudo-terminal, named by its programs' end. Containers have numberings of their own, each in a
/// file system of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Terminal {
    /// Major and minor number of its device.
    device: (u32, u32),
    /// The device that its file is on; none where only the number is known.
    filesystem: Option<u64>,
}

/// Major numbers of the programs' end (Documentation/admin-guide/devices.txt).
const ENDS: std::ops::RangeInclusive<u32> = 136..=143;

impl Terminal {
    /// Of the end that programs have.
    pub(crate) fn of(end: impl AsFd) -> io::Result<Self> {
        Self::of_file(&fstat(end)?).ok_or_else(|| io::Error::other("this descriptor is no pseudo-terminal"))
    }

    /// Of our end. Opens the other one for a moment: some program must have it open.
    pub(crate) fn of_master(master: impl AsFd) -> io::Result<Self> {
        let end = ioctl_tiocgptpeer(
            master.as_fd(),
            OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
        )?;
        Self::of(end)
    }

    /// Of a number as in `/proc/PID/stat`; none where that is no pseudo-terminal's.
    pub(super) fn of_number(number: u32) -> Option<Self> {
        let device = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00));
        ENDS.contains(&device.0).then_some(Self { device, filesystem: None })
    }

    /// Of its number in the file system that its file is on.
    pub(super) fn of_index(index: u32, filesystem: u64) -> Self {
        Self { device: (*ENDS.start(), index), filesystem: Some(filesystem) }
    }

    /// Of an open file; none where it is no pseudo-terminal.
    fn of_file(stat: &Stat) -> Option<Self> {
        let character = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device();
        let device = (major(stat.st_rdev), minor(stat.st_rdev));
        (character && ENDS.contains(&device.0)).then_some(Self { device, filesystem: Some(stat.st_dev) })
    }

    /// From 1.
    pub(crate) fn number(self) -> u32 {
        let (major, minor) = self.device;
        (major - ENDS.start()) * 256 + minor + 1
    }

    /// They are the same, as far as is known of both.
    pub(crate) fn is(self, other: Self) -> bool {
        let either = self.filesystem.zip(other.filesystem);
        self.device == other.device && either.is_none_or(|(one, two)| one == two)
    }
}

/// How a terminal treats what is typed. Of either end.
pub(crate) fn modes(end: impl AsFd) -> Option<Modes> {
    let modes = tcgetattr(end).ok()?.local_modes;
    let has = |mode| modes.contains(mode);
    Some(Modes { canonical: has(LocalModes::ICANON), echo: has(LocalModes::ECHO) })
}

/// The key that removes what stands in the line of a terminal that collects lines; none: it has no such key. Of either end.
pub(crate) fn line_kill(end: impl AsFd) -> Option<u8> {
    let modes = tcgetattr(end).ok()?;
    let key = modes.special_codes[SpecialCodeIndex::VKILL];
    // 0 is no key (_POSIX_VDISABLE). With EXTPROC another program edits the lines.
    (key != 0 && !modes.local_modes.contains(LocalModes::EXTPROC)).then_some(key)
}

/// Whether programs have read all that was typed into a terminal, and take each key as it comes. False where that is not known. Of our
/// end.
pub(crate) fn is_read_up(master: impl AsFd) -> bool {
    let takes_keys = || modes(&master).is_some_and(|modes| !modes.canonical);
    // While it collects lines, a line that is not ended counts as nothing to read: so the modes are looked at before and after.
    takes_keys() && unread(&master).is_ok_and(|bytes| bytes == 0) && takes_keys()
}

/// How many bytes a program can read now. Of our end; opens the other one for a moment.
fn unread(master: impl AsFd) -> io::Result<u64> {
    let end = ioctl_tiocgptpeer(master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    // The kernel moves what was written to the other end later; with nothing to read there, poll(2) waits for that.
    poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(ioctl_fionread(&end)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::open_pty;

    #[test]
    fn a_terminal_is_itself_from_both_ends_and_no_other() {
        let (one, two) = (open_pty(80, 24).unwrap(), open_pty(80, 24).unwrap());
        let terminal = Terminal::of(&one.slave).unwrap();
        assert_eq!(Terminal::of_master(&one.master).unwrap(), terminal);
        assert!(!terminal.is(Terminal::of(&two.slave).unwrap()));
        let elsewhere = Terminal { filesystem: Some(1), ..terminal };
        let unknown = Terminal { filesystem: None, ..terminal };
        assert!(!terminal.is(elsewhere) && terminal.is(unknown) && unknown.is(elsewhere));
        assert!(Terminal::of(&one.master).is_err(), "our end is not read by programs");
        assert!(Terminal::of(std::fs::File::open("/dev/null").unwrap()).is_err());
    }

    #[test]
    fn numbers_are_those_of_pseudo_terminals() {
        let five = Terminal { device: (136, 5), filesystem: None };
        assert_eq!(Terminal::of_number(136 << 8 | 5), Some(five));
        let far = Terminal { device: (136, 0x12345), filesystem: None };
        assert_eq!(Terminal::of_number(0x1230_0000 | 136 << 8 | 0x45), Some(far));
        assert_eq!(Terminal::of_number(4 << 8 | 1), None);
        assert_eq!(Terminal::of_number(0), None);
    }

    #[test]
    fn modes_are_those_of_the_terminal() {
        let pty = open_pty(80, 24).unwrap();
        let cooked = Some(Modes { canonical: true, echo: true });
        assert_eq!((modes(&pty.master), modes(&pty.slave)), (cooked, cooked));
        let mut secret = tcgetattr(&pty.slave).unwrap();
        secret.local_modes -= LocalModes::ECHO;
        rustix::termios::tcsetattr(&pty.slave, rustix::termios::OptionalActions::Now, &secret).unwrap();
        assert_eq!(modes(&pty.master), Some(Modes { canonical: true, echo: false }));
        assert_eq!(modes(std::fs::File::open("/dev/null").unwrap()), None);
    }

    #[test]
    fn a_terminal_is_read_up_where_keys_are_taken_and_none_is_left() {
        use rustix::termios::{OptionalActions, tcsetattr};
        let pty = open_pty(80, 24).unwrap();
        assert!(!is_read_up(&pty.master), "it collects lines");
        assert_eq!(line_kill(&pty.master), Some(0x15));
        let mut modes = tcgetattr(&pty.slave).unwrap();
        modes.local_modes -= LocalModes::ICANON;
        modes.special_codes[SpecialCodeIndex::VKILL] = 0;
        tcsetattr(&pty.slave, OptionalActions::Now, &modes).unwrap();
        assert_eq!(line_kill(&pty.master), None);
        assert!(is_read_up(&pty.master));
        for _ in 0..100 {
            rustix::io::write(&pty.master, b"no").unwrap();
            assert!(!is_read_up(&pty.master), "nobody has read it");
            assert_eq!(rustix::io::read(&pty.slave, &mut [0u8; 8]).unwrap(), 2);
            assert!(is_read_up(&pty.master));
        }
        assert!(!is_read_up(std::fs::File::open("/dev/null").unwrap()));
    }
}
