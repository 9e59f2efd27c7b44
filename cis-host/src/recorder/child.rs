//! The recorded command: its terminal, its processes, its end.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::process::{Signal, WaitOptions, set_child_subreaper, wait};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use super::{RecordError, Start};
use crate::evidence::{Drained, Watched};
use crate::os::{
    Limits, ProcFs, Process, Processes as _, Spawn, SpawnError, Spawner, Streams, open_pty, resize,
    signal_exactly,
};
use cis_core::api::TermSize;
use cis_core::monitor::KernelEvidence;

/// Output is taken in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;
/// After the command's end its output is read for so long at most.
const REST_TIME_MAX: Duration = Duration::from_millis(200);
/// A program that does not read what is typed is not waited for longer.
const WRITE_TIME_MAX: Duration = Duration::from_secs(5);
/// Its processes get so long to end by themselves.
const GRACE: Duration = Duration::from_millis(500);

/// What the command did.
pub(super) enum Heard {
    Output(Vec<u8>),
    Ended(i32),
}

pub(super) struct Child {
    /// A terminal's master is read and written as a pipe is: when it is ready, as much as there is.
    output: Receiver,
    input: Sender,
    master: OwnedFd,
    leader: u32,
    /// Some child ended.
    ended: SignalStream,
    /// Nobody has its terminal open any more.
    hung_up: bool,
    code: Option<i32>,
    rest_until: Option<Instant>,
    procfs: ProcFs,
    watched: Watched,
}

impl Child {
    pub(super) fn start(start: &Start) -> Result<Self, RecordError> {
        let wrong = |why: String| RecordError::Program { program: start.argv.join(" "), why };
        let name = start.argv.first().ok_or_else(|| wrong("no program is given".to_owned()))?;
        let path = start.env.get("PATH").map_or("/bin:/usr/bin", String::as_str);
        let file = find(name, path, &start.directory)
            .ok_or_else(|| wrong("there is no such file that may be executed".to_owned()))?;
        let texts = |all: Vec<String>| -> Result<Vec<CString>, RecordError> {
            all.into_iter().map(|text| CString::new(text).map_err(|error| wrong(error.to_string()))).collect()
        };
        let arguments = texts(start.argv.clone())?;
        let environment = texts(start.env.iter().map(|(name, value)| format!("{name}={value}")).collect())?;
        let environment: Vec<&CStr> = environment.iter().map(CString::as_c_str).collect();
        let path_of = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other);
        let (program, directory) = (path_of(&file)?, path_of(&start.directory)?);

        let procfs = ProcFs::open()?;
        adopt_orphans()?;
        let pty = open_pty(start.header.size.cols, start.header.size.rows)?;
        let leader = Spawner::new()
            .spawn(&Spawn {
                program: &program,
                arguments: &arguments,
                environment: &environment,
                directory: Some(&directory),
                streams: Streams::Terminal { terminal: pty.slave.as_fd(), stdin: None },
                limits: Limits::default(),
            })
            .map_err(|SpawnError { step, errno }| wrong(format!("{errno} ({step:?})")))?;
        let duplicate = || Ok::<_, io::Error>(File::from(rustix::io::fcntl_dupfd_cloexec(&pty.master, 3)?));
        Ok(Self {
            output: Receiver::from_file_unchecked(duplicate()?)?,
            input: Sender::from_file_unchecked(duplicate()?)?,
            leader,
            // Not before the start: the child's first steps share this process's memory.
            ended: signal(SignalKind::child())?,
            hung_up: false,
            code: None,
            rest_until: None,
            procfs,
            watched: Watched::new(&pty.master, leader)?,
            master: pty.master,
        })
    }

    /// What comes next. Loses nothing when dropped.
    pub(super) async fn hear(&mut self) -> io::Result<Heard> {
        // What ended before the signal was listened for.
        self.reap();
        loop {
            if let Some(code) = self.code
                && (self.hung_up || self.rest_until.is_some_and(|until| Instant::now() >= until))
            {
                return Ok(Heard::Ended(code));
            }
            let rest_until = self.rest_until;
            tokio::select! {
                biased;
                ready = self.output.readable(), if !self.hung_up => {
                    ready?;
                    let mut piece = vec![0; PIECE_BYTES];
                    match self.output.try_read(&mut piece) {
                        Ok(length @ 1..) => {
                            piece.truncate(length);
                            return Ok(Heard::Output(piece));
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        // EIO: no process has the other end (pty(7)).
                        Ok(_) | Err(_) => self.hung_up = true,
                    }
                }
                _ = self.ended.recv() => self.reap(),
                () = sleep_until(rest_until.unwrap_or_else(Instant::now)), if rest_until.is_some() => {}
            }
        }
    }

    /// Waits for what has ended: the leader, and orphans that came to this process.
    fn reap(&mut self) {
        while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
            if ended.as_raw_nonzero().get().unsigned_abs() == self.leader {
                let signalled = status.terminating_signal().map(|signal| 128 + signal);
                self.code = Some(status.exit_status().or(signalled).unwrap_or_default());
                self.rest_until = Some(Instant::now() + REST_TIME_MAX);
            }
        }
    }

    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && !self.hung_up {
            let Ok(ready) = timeout(WRITE_TIME_MAX, self.input.writable()).await else {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the program does not read what is typed",
                ));
            };
            ready?;
            match self.input.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn resize(&self, size: TermSize) -> io::Result<()> {
        resize(&self.master, size.cols, size.rows)
    }

    /// What is typed appears on the screen, whatever the program does.
    pub(super) fn shows_input(&self) -> bool {
        tcgetattr(&self.master).is_ok_and(|modes| modes.local_modes.contains(LocalModes::ECHO))
    }

    /// What the kernel shows now, with the output that was there by then. `known`: bytes of output before, and
    /// for how long there was none.
    pub(super) fn look(&mut self, known: (u64, Duration)) -> (KernelEvidence, Vec<u8>) {
        let mut taken = Vec::new();
        let output = &self.output;
        let evidence = self.watched.look(&self.master, || {
            let mut piece = vec![0; PIECE_BYTES];
            while let Ok(length @ 1..) = output.try_read(&mut piece) {
                taken.extend_from_slice(&piece[..length]);
            }
            let quiet = if taken.is_empty() { known.1 } else { Duration::ZERO };
            Drained {
                at_ms: cis_local::now_ms(),
                output_bytes: known.0 + taken.len() as u64,
                quiet_ms: u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX),
            }
        });
        (evidence, taken)
    }

    /// Ends every descendant of this process: the command's, and what was started for it before.
    pub(super) async fn end(&mut self) {
        for signals in
            [[Signal::HUP, Signal::CONT], [Signal::TERM, Signal::CONT], [Signal::KILL, Signal::CONT]]
        {
            let until = Instant::now() + GRACE;
            for process in descendants(&self.procfs) {
                let _ = signal_exactly(&self.procfs, process.key(), &signals);
            }
            while Instant::now() < until {
                self.reap();
                if descendants(&self.procfs).is_empty() {
                    return;
                }
                // Somebody's grandchildren end without a word to us.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        self.reap();
    }
}

/// Processes whose parents ended come to this one from now on.
pub(super) fn adopt_orphans() -> io::Result<()> {
    set_child_subreaper(Some(rustix::process::getpid())).map_err(io::Error::from)
}

/// Descendants of this process that live.
fn descendants(procfs: &ProcFs) -> Vec<Process> {
    let mut rest = procfs.all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = BTreeSet::from([std::process::id()]);
    while !parents.is_empty() {
        let (children, others): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|process| parents.contains(&process.parent));
        parents = children.iter().map(|process| process.pid).collect();
        found.extend(children.into_iter().filter(|process| !process.zombie));
        rest = others;
    }
    found
}

/// The file of a program, as execvp(3) finds it.
fn find(name: &str, path: &str, directory: &Path) -> Option<PathBuf> {
    let usable = |file: &PathBuf| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    if name.contains('/') {
        return Some(directory.join(name)).filter(usable);
    }
    let directories = path.split(':').filter(|directory| !directory.is_empty());
    directories.map(|one| directory.join(one).join(name)).find(usable)
}
