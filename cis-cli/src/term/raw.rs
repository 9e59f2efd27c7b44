//! Raw mode, and the way back from it in every case: normal end, error, panic.
//!
//! The caller catches signals and then ends normally. After SIGKILL the next command restores the terminal ([`record`]).

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use cis_core::api::TermSize;
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, ttyname};
use tokio::net::unix::pipe::{Receiver, Sender};

use super::leave::leave;
use super::record;
use crate::error::CliError;

/// The caller's title is kept aside (XTWINOPS 22), then a screen of our own beside the caller's (xterm's
/// 1049), empty, with the cursor at home.
const ENTER: &[u8] = b"\x1b[22;0t\x1b[?1049h\x1b[H\x1b[2J";

/// What a panic has to undo. One terminal at a time is raw.
static SAVED: Mutex<Option<Saved>> = Mutex::new(None);
static COLOURED: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

struct Saved {
    /// A description of its own of the same terminal, blocking.
    tty: File,
    termios: Termios,
}

/// The caller's terminal in raw mode, for as long as this lives. A terminal is read and written as a pipe is:
/// when it is ready, as much as there is.
pub(crate) struct RawTerminal {
    input: Receiver,
    output: Sender,
}

/// The controlling terminal, or, for a process that has none, the one that it reads from.
fn terminal_path() -> io::Result<PathBuf> {
    let controlling = PathBuf::from("/dev/tty");
    // ENXIO where there is none (tty(4)).
    match OpenOptions::new().read(true).open(&controlling) {
        Ok(_) => Ok(controlling),
        Err(error) => match ttyname(io::stdin(), Vec::new()) {
            Ok(name) => Ok(PathBuf::from(OsString::from_vec(name.into_bytes()))),
            Err(_) => Err(error),
        },
    }
}

impl RawTerminal {
    /// Makes the terminal raw and goes to a screen of our own.
    pub(crate) fn enter() -> io::Result<Self> {
        // Opened anew: not blocking is a property of the open file, which our parent shares otherwise.
        let path = terminal_path()?;
        let open = |flags: OFlags| {
            let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(&path)
        };
        let tty = open(OFlags::NOCTTY)?;
        let termios = tcgetattr(&tty)?;
        let terminal = Self {
            input: Receiver::from_file_unchecked(open(OFlags::NONBLOCK | OFlags::NOCTTY)?)?,
            output: Sender::from_file_unchecked(open(OFlags::NONBLOCK | OFlags::NOCTTY)?)?,
        };
        HOOK.call_once(restore_on_panic);
        record::hold(&termios);
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Saved { tty, termios });
        terminal.make_raw()?;
        terminal.put(ENTER)?;
        Ok(terminal)
    }

    /// Raw again, after a stop in which the shell changed the modes.
    pub(crate) fn reenter(&self) -> io::Result<()> {
        self.make_raw()?;
        self.put(ENTER)
    }

    fn make_raw(&self) -> io::Result<()> {
        let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(saved) = saved.as_ref() {
            let mut raw = saved.termios.clone();
            raw.make_raw();
            tcsetattr(&saved.tty, OptionalActions::Now, &raw)?;
        }
        Ok(())
    }

    /// Writes a few bytes in any case, waiting where that is needed.
    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        let mut saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner);
        saved.as_mut().map_or(Ok(()), |saved| saved.tty.write_all(bytes))
    }

    /// The session changed the terminal's colours: they have to be undone as well.
    pub(crate) fn coloured(&self) {
        if !COLOURED.swap(true, Ordering::Relaxed) {
            record::colored();
        }
    }

    /// Its size.
    pub(crate) fn size(&self) -> TermSize {
        size(&self.input)
    }

    /// Waits for typed bytes; none when the terminal is gone. Loses none when dropped.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.input.readable().await?;
            match self.input.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Writes as much as fits; how much that was. Loses nothing when dropped.
    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.output.writable().await?;
            match self.output.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// The error of a command whose terminal failed.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn unusable(error: io::Error) -> CliError {
    CliError::unavailable(format!("cannot use the terminal: {error}"))
}

/// Size of a terminal; 80 × 24 where it does not say.
pub(crate) fn size(fd: impl AsFd) -> TermSize {
    tcgetwinsize(fd)
        .ok()
        .filter(|size| size.ws_col > 0 && size.ws_row > 0)
        .map_or(TermSize::default(), |size| TermSize { cols: size.ws_col, rows: size.ws_row })
}

/// Whether somebody sits there: both what is typed and what is shown are a terminal.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

fn restore_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // First, so that the message is read on the caller's screen.
        restore();
        before(panic);
    }));
}

/// Once; the second time there is nothing to undo.
fn restore() {
    let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut saved) = saved {
        let _ = leave(&mut saved.tty, COLOURED.swap(false, Ordering::Relaxed));
        // Input that was typed for the session must not reach the shell.
        let _ = tcsetattr(&saved.tty, OptionalActions::Flush, &saved.termios);
        record::release();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// Set for the process that panics.
    const PANICS: &str = "CIS_TEST_PANICS_IN_RAW_MODE";
    const NAME: &str = "term::raw::tests::a_panic_gives_the_terminal_back_before_it_is_told";

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_told() {
        if std::env::var_os(PANICS).is_some() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            let _guard = runtime.enter();
            let _terminal = RawTerminal::enter().unwrap();
            panic!("on purpose");
        }
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = PathBuf::from(OsString::from_vec(ptsname(&master, Vec::new()).unwrap().into_bytes()));
        let open = || {
            let noctty = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
            OpenOptions::new().read(true).write(true).custom_flags(noctty).open(&path).unwrap()
        };
        let terminal = open();
        let before = format!("{:?}", tcgetattr(&terminal).unwrap());
        // Without a controlling terminal it takes the one that it reads from.
        let mut child = Command::new("setsid")
            .args(["--wait".as_ref(), std::env::current_exe().unwrap().as_os_str()])
            .args([NAME, "--exact", "--nocapture"])
            .env(PANICS, "1")
            .stdin(Stdio::from(open()))
            .stdout(Stdio::null())
            .stderr(Stdio::from(open()))
            .spawn()
            .unwrap();
        let mut shown = Vec::new();
        let mut reader = File::from(master);
        let mut buffer = [0; 4096];
        let find = |shown: &[u8], text: &[u8]| shown.windows(text.len()).position(|part| part == text);
        while find(&shown, b"on purpose").is_none() {
            let count = reader.read(&mut buffer).unwrap();
            shown.extend_from_slice(&buffer[..count]);
        }
        assert!(!child.wait().unwrap().success());
        let place = |text: &[u8]| find(&shown, text).unwrap();
        assert!(place(ENTER) < place(b"\x1b[?1049l") && place(b"\x1b[?1049l") < place(b"on purpose"));
        assert_eq!(format!("{:?}", tcgetattr(&terminal).unwrap()), before);
    }
}
