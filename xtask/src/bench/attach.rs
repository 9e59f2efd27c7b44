//! What a person at a terminal feels: the first byte of a session, and the echo of a key.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::cis::Cis;
use super::report::{Report, Row};
use super::stats::{median, percentile};
use crate::Outcome;

/// Sessions whose first byte is awaited.
const FIRST_BYTES: u32 = 100;
/// Keys are typed in alternating rounds, bare and through `attach`.
const ROUNDS: u32 = 20;
const KEYS: u32 = 60;
/// Nothing that is measured takes so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// A program that sends back what is typed, byte for byte.
const ECHO: &[&str] = &["sh", "-c", "stty raw -echo; printf READY; exec cat"];

/// The master side of a terminal that a child lives on.
pub(super) struct Screen {
    master: File,
    child: Child,
}

impl Screen {
    /// Starts `command` on a terminal of 80 × 24.
    pub(super) fn open(mut command: Command) -> Outcome<Self> {
        let broken = |e: rustix::io::Errno| format!("cannot open a terminal: {e}");
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).map_err(broken)?;
        grantpt(&master).map_err(broken)?;
        unlockpt(&master).map_err(broken)?;
        let name = ptsname(&master, Vec::new()).map_err(broken)?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = File::from(rustix::fs::open(&name, flags, Mode::empty()).map_err(broken)?);
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).map_err(broken)?;
        let again = |e: std::io::Error| format!("cannot share a terminal: {e}");
        command
            .stdin(slave.try_clone().map_err(again)?)
            .stdout(slave.try_clone().map_err(again)?)
            .stderr(slave);
        let child = command
            .env("TERM", "xterm-256color")
            .spawn()
            .map_err(|e| format!("cannot start {command:?}: {e}"))?;
        Ok(Self { master: File::from(master), child })
    }

    /// Reads what comes within `patience`; empty: nothing came.
    pub(super) fn read(&mut self, patience: Duration) -> Outcome<Vec<u8>> {
        let timeout = Timespec::try_from(patience).map_err(|e| e.to_string())?;
        let mut fds = [PollFd::from_borrowed_fd(self.master.as_fd(), PollFlags::IN)];
        if poll(&mut fds, Some(&timeout)).map_err(|e| format!("poll: {e}"))? == 0 {
            return Ok(Vec::new());
        }
        let mut buffer = [0; 4096];
        let count = self.master.read(&mut buffer).map_err(|e| format!("the terminal was closed: {e}"))?;
        Ok(buffer[..count].to_vec())
    }

    /// Waits until `wanted` has come.
    pub(super) fn wait_for(&mut self, wanted: &[u8]) -> Outcome {
        let began = Instant::now();
        let mut seen = Vec::new();
        while !seen.windows(wanted.len()).any(|window| window == wanted) {
            let left = PATIENCE.saturating_sub(began.elapsed());
            let more = self.read(left)?;
            if more.is_empty() {
                return Err(format!(
                    "`{}` did not come within {} s; there was: {}",
                    String::from_utf8_lossy(wanted),
                    PATIENCE.as_secs(),
                    String::from_utf8_lossy(&seen)
                ));
            }
            seen.extend(more);
        }
        Ok(())
    }

    /// Reads until nothing comes any more.
    fn settle(&mut self) -> Outcome {
        while !self.read(Duration::from_millis(100))?.is_empty() {}
        Ok(())
    }

    /// Types keys one by one and waits for the echo of each, ms.
    fn echoes(&mut self, count: u32) -> Outcome<Vec<f64>> {
        self.echoes_slowly(count, Duration::ZERO)
    }

    /// The same with a pause before each key.
    pub(super) fn echoes_slowly(&mut self, count: u32, pause: Duration) -> Outcome<Vec<f64>> {
        self.settle()?;
        let mut times = Vec::new();
        for key in (b'a'..=b'z').cycle().take(count as usize) {
            std::thread::sleep(pause);
            let began = Instant::now();
            self.master.write_all(&[key]).map_err(|e| format!("cannot type: {e}"))?;
            self.wait_for(&[key])?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        Ok(times)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Both fail only where the child is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both figures.
pub(crate) fn measure(cis: &Cis, report: &mut Report) -> Outcome {
    first_byte(cis, report)?;
    echo(cis, report)
}

fn first_byte(cis: &Cis, report: &mut Report) -> Outcome {
    let mut times = Vec::new();
    for _ in 0..FIRST_BYTES {
        let id = cis.session(ECHO)?;
        let created = Instant::now();
        Screen::open(cis.command(["dag", "attach", &id]))?.wait_for(b"READY")?;
        times.push(created.elapsed().as_secs_f64() * 1e3);
        cis.run(["session", "terminate", &id])?;
    }
    let name = "session created → first byte shown by `attach`, p95";
    report.add(Row::limit(name, percentile(&times, 95.0), "ms", (100.0, 20.0), FIRST_BYTES));
    Ok(())
}

fn echo(cis: &Cis, report: &mut Report) -> Outcome {
    let mut plain = Command::new(ECHO[0]);
    plain.args(&ECHO[1..]);
    let mut bare = Screen::open(plain)?;
    bare.wait_for(b"READY")?;
    let id = cis.session(ECHO)?;
    let mut attached = Screen::open(cis.command(["dag", "attach", &id]))?;
    attached.wait_for(b"READY")?;
    let (mut through, mut direct) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        direct.extend(bare.echoes(KEYS)?);
        through.extend(attached.echoes(KEYS)?);
    }
    drop(attached);
    cis.run(["session", "terminate", &id])?;
    let beside = format!(
        "median {:.2} ms, p99 {:.2} ms; bare {:.2} ms, p99 {:.2} ms",
        median(&through),
        percentile(&through, 99.0),
        median(&direct),
        percentile(&direct, 99.0)
    );
    let above = percentile(&through, 99.0) - median(&direct);
    let row =
        Row::limit("key → echo, p99 above the bare PTY's median", above, "ms", (10.0, 3.0), ROUNDS * KEYS);
    report.add(row.beside(beside));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_terminal_echoes_every_key() {
        let mut command = Command::new(ECHO[0]);
        command.args(&ECHO[1..]);
        let mut screen = Screen::open(command).unwrap();
        screen.wait_for(b"READY").unwrap();
        let times = screen.echoes(52).unwrap();
        assert_eq!(times.len(), 52);
        assert!(times.iter().all(|ms| *ms > 0.0), "an echo was seen before its key was typed");
    }
}
