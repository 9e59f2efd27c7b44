//! Pseudo-terminals.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{InputModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

/// A new pseudo-terminal.
#[derive(Debug)]
pub(crate) struct Pty {
    /// Our end, non-blocking.
    pub(crate) master: OwnedFd,
    /// The other end, for the session.
    pub(crate) slave: OwnedFd,
}

/// Makes a pseudo-terminal of this size. Erasing a character erases all bytes of it (IUTF8).
pub(crate) fn open_pty(cols: u16, rows: u16) -> io::Result<Pty> {
    // Non-blocking as well: on Linux the flags are those of open(2), and it saves a call.
    let non_blocking = OpenptFlags::from_bits_retain(rustix::fs::OFlags::NONBLOCK.bits());
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC | non_blocking)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    resize(&master, cols, rows)?;
    let mut modes = tcgetattr(&master)?;
    modes.input_modes |= InputModes::IUTF8;
    tcsetattr(&master, OptionalActions::Now, &modes)?;
    // Not by its path, which in a container may lead nowhere or elsewhere (TIOCGPTPEER, ioctl_tty(2)).
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    Ok(Pty { master, slave })
}

/// Gives the terminal another size; its foreground processes get SIGWINCH where it is new.
pub(crate) fn resize(master: impl AsFd, cols: u16, rows: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(master, size)?)
}
