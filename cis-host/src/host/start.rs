//! Starting a session.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::ending::open_notes;
use super::environment::{Environment, NotFound};
use super::inputs::Inputs;
use super::patience::Patience;
use super::server::Host;
use super::session::{Descriptors, Flow, Session};
use crate::evidence::Impatience;
use crate::exits::{self, Promise};
use crate::log::LogWriter;
use crate::os::boot_ms;
use crate::os::{self, Limits, Spawn, SpawnError, Stamp, Step, Streams, Terminal};
use crate::protocol::{FromHost, Io, Known, Start, StartFailure};

/// So many descriptors are kept for connections and logs.
const DESCRIPTORS_KEPT: u64 = 24;

/// Descriptors that one session may need: for a terminal or pipes, its log, and the file of times.
const DESCRIPTORS_EACH: u64 = 3;

/// Sessions that end within this time are never polled, and their start is told with their end, ms:
/// for a node that runs many short commands, a wake-up and a message less for each.
const FRESH_MS: u64 = 2;

/// Our ends, and those that the child gets.
struct Plumbing {
    ours: Descriptors,
    terminal: Option<Terminal>,
    childs: Ends,
}

enum Ends {
    Terminal(OwnedFd),
    Pipes { stdin: Option<OwnedFd>, output: OwnedFd },
}

impl Host {
    /// Starts it, or says what is known of it. Answered with `Started` or `StartFailed`.
    pub(super) fn start(&mut self, at: usize, start: Start) {
        let id = start.session;
        if let Some(session) = self.by_id.get(&id).and_then(|slot| self.sessions.get(*slot)) {
            let (start, exit) = (session.start_message(), session.exit.clone());
            self.say(at, &start);
            if let Some(exit) = exit {
                self.say(at, &FromHost::Exited { session: id, exit });
            }
            return;
        }
        if let Some(Known { pid, started_ms, exit: Some(exit), .. }) =
            self.left.get(&id).map(|note| &note.known)
        {
            let (pid, at_ms, exit) = (*pid, *started_ms, exit.clone());
            self.say(at, &FromHost::Started { session: id, pid, at_ms, born_ms: None });
            self.say(at, &FromHost::Exited { session: id, exit });
            return;
        }
        if let Some(line) = start.line {
            return self.start_in_line(line, start);
        }
        match self.spawn_session(start) {
            Ok(slot) => {
                let Some(session) = self.sessions.get(slot) else { return };
                let start = session.start_message();
                self.say_soon(at, &start);
                self.wish(slot);
            }
            Err(why) => self.say(at, &FromHost::StartFailed { session: id, why }),
        }
    }

    pub(super) fn spawn_session(&mut self, start: Start) -> Result<usize, StartFailure> {
        if self.shutting_down {
            return Err(resources("the session host is shutting down"));
        }
        check(&start)?;
        for (path, content) in &start.files {
            place_file(Path::new(path), content)?;
        }
        let living = self.by_pid.len() as u64;
        if DESCRIPTORS_KEPT + (living + 1) * DESCRIPTORS_EACH > self.nofile.soft {
            let short = io::Error::from(Errno::MFILE);
            return Err(resources(&format!(
                "cannot open the files of its output: {short} ({living} sessions live)"
            )));
        }
        let plumbing = open_plumbing(start.io, self.nofile.soft)?;
        let stamp = self.stamps.give();
        let mut promise = self.reserve_note(&start)?;
        let spawned = self.spawn_leader(&start, &plumbing.childs, stamp);
        if spawned.is_err() {
            self.exits.release(&mut promise, true);
        }
        let pid = spawned?;
        let born_ms = boot_ms();
        self.probed = None;
        let now = self.now;
        let patience = Patience::of(&start, now);
        let timeout_at = start.timeout_ms.map(|timeout| now.saturating_add(timeout));
        let slot = self.sessions.insert(Session {
            id: start.session,
            label: start.label.into(),
            line: start.line.map(|line| line.of),
            told: start.line.is_none(),
            stamp,
            pid,
            started_ms: self.now_unix,
            started: now,
            born_ms,
            descriptors: plumbing.ours,
            terminal: plumbing.terminal,
            impatience: Impatience::default(),
            flow: Flow::Open,
            polled: false,
            inputs: Inputs::default(),
            log: LogWriter::new(PathBuf::from(start.log), start.log_limit_bytes),
            last_output: now,
            last_input: now,
            grace_ms: start.grace_ms,
            timeout_at,
            patience,
            deadline: None,
            leader_end: None,
            kill: None,
            freeze_next: None,
            seen: Vec::new(),
            tree_gone: false,
            dry: false,
            ended_by: None,
            kill_asked: false,
            noted: false,
            promise,
            exit: None,
            acknowledged: false,
            watchers: Vec::new(),
        });
        self.by_id.insert(start.session, slot);
        self.by_pid.insert(pid, slot);
        self.fresh.push_back(slot);
        Ok(slot)
    }

    /// Reserves the space for the notes of the session's end.
    fn reserve_note(&mut self, start: &Start) -> Result<Promise, StartFailure> {
        let open = || open_notes(&self.left, &self.sessions);
        self.exits.reserve(&start.label, Path::new(&start.log), open).map_err(|error| {
            let path = self.config.home.join(exits::FILE);
            resources(&format!(
                "cannot reserve space for the end of the session in {}: {error}",
                path.display()
            ))
        })
    }

    /// Begins to poll the sessions that did not end at once, and tells of their start.
    pub(super) fn poll_fresh(&mut self) {
        while let Some(slot) = self.fresh.front().copied() {
            if let Some(session) = self.sessions.get(slot).filter(|session| session.lives()) {
                if self.now - session.started < FRESH_MS {
                    return;
                }
                if !session.polled {
                    self.poll_output(slot);
                }
                if self
                    .sessions
                    .get(slot)
                    .is_some_and(|session| !session.polled && session.flow != Flow::Ended)
                {
                    // For want of memory: again in a moment.
                    return;
                }
                self.tell_start(slot);
                if let Some(at) = self.control {
                    self.list(at);
                }
            }
            self.fresh.pop_front();
        }
    }

    /// Tells of the start of a session, where that was not done at once.
    fn tell_start(&mut self, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot).filter(|session| !session.told) else { return };
        session.told = true;
        let start = session.start_message();
        if let Some(at) = self.control {
            self.say_soon(at, &start);
        }
    }

    fn spawn_leader(
        &mut self,
        start: &Start,
        childs: &Ends,
        stamp: Option<Stamp>,
    ) -> Result<u32, StartFailure> {
        let base = match &start.env_base {
            Some(name) => Some(self.bases.get(name).ok_or_else(|| {
                program(format!("the environment `{name}` was not sent to the session host; send it again"))
            })?),
            None => None,
        };
        let environment = Environment::new(base, &start.env, &start.label).map_err(program)?;
        let directory = text(&start.cwd, "the directory")?;
        let arguments: Result<Vec<_>, _> = start.argv.iter().map(|one| text(one, "an argument")).collect();
        let arguments = arguments?;
        let name = &start.argv[0];
        let stdin = start.stdin.as_deref().map(open_stdin).transpose()?;
        let streams = match childs {
            Ends::Terminal(slave) => {
                Streams::Terminal { terminal: slave.as_fd(), stdin: stdin.as_ref().map(AsFd::as_fd) }
            }
            Ends::Pipes { stdin, output } => Streams::Files {
                stdin: stdin.as_ref().map(AsFd::as_fd),
                stdout: output.as_fd(),
                stderr: output.as_fd(),
            },
        };
        // Only the bits of permissions mean anything (umask(2)).
        let umask = start.umask.map(|mask| mask & 0o777).or(self.limits.umask);
        let limits = Limits { umask, ..self.limits };
        // Twice: what was found a moment ago may be gone.
        for fresh in [false, true] {
            let found = self.programs.find(name, environment.path(), &start.cwd, self.now);
            let file = found.map_err(|why| not_found(&why, name, environment.path()))?;
            let spawned = self.spawner.spawn(&Spawn {
                program: &file,
                arguments: &arguments,
                environment: &environment.entries(),
                directory: Some(&directory),
                streams,
                limits: Limits { stamp: stamp.map(|stamp| stamp.top), ..limits },
            });
            match spawned {
                Ok(pid) => return Ok(pid),
                Err(SpawnError { step: Step::Program, errno: Errno::NOENT })
                    if !fresh && !name.contains('/') =>
                {
                    self.programs.forget(name);
                }
                Err(error) => return Err(explain(error, name, &start.cwd, &file)),
            }
        }
        Err(program(format!("the program `{name}` vanished while it was started")))
    }
}

fn check(start: &Start) -> Result<(), StartFailure> {
    if start.argv.is_empty() {
        return Err(program("no program is named: its command is empty".to_owned()));
    }
    for (path, what) in [(&start.cwd, "the directory"), (&start.log, "the log")] {
        if !path.starts_with('/') {
            return Err(program(format!("{what} `{path}` is not an absolute path")));
        }
    }
    Ok(())
}

/// A file that the session needs, private; its directory is made where it is missing.
fn place_file(path: &Path, content: &str) -> Result<(), StartFailure> {
    let write = || {
        let mut options = OpenOptions::new();
        let no_link = OFlags::NOFOLLOW.bits().cast_signed();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(no_link);
        options.open(path).and_then(|mut file: File| file.write_all(content.as_bytes()))
    };
    let written = match write() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(path);
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).and_then(|()| write())
        }
        written => written,
    };
    written.map_err(|error| {
        let detail = format!("the file {} cannot be made: {error}", path.display());
        let errno = Errno::from_io_error(&error);
        if errno.is_some_and(is_shortage) { resources(&detail) } else { program(detail) }
    })
}

/// A file as standard input.
fn open_stdin(path: &str) -> Result<OwnedFd, StartFailure> {
    let open = OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path);
    open.map(OwnedFd::from).map_err(|error| {
        let detail = format!("its standard input {path} cannot be opened: {error}");
        let errno = Errno::from_io_error(&error);
        if errno.is_some_and(is_shortage) { resources(&detail) } else { program(detail) }
    })
}

fn open_plumbing(io: Io, descriptors_max: u64) -> Result<Plumbing, StartFailure> {
    let kept = |newest: &OwnedFd| {
        let number = u64::try_from(newest.as_raw_fd()).unwrap_or(0);
        if number + DESCRIPTORS_KEPT < descriptors_max { Ok(()) } else { Err(io::Error::from(Errno::MFILE)) }
    };
    let opened = || -> io::Result<Plumbing> {
        match io {
            Io::Pty(size) => {
                let pty = os::open_pty(size.cols, size.rows)?;
                kept(&pty.slave)?;
                let (ours, terminal) = (Descriptors::Pty(pty.master), Terminal::of(&pty.slave).ok());
                Ok(Plumbing { ours, terminal, childs: Ends::Terminal(pty.slave) })
            }
            Io::Pipes { stdin } => {
                // Non-blocking on our side alone: the other end is another open file.
                let (ours, output) = pipe_with(PipeFlags::CLOEXEC)?;
                rustix::io::ioctl_fionbio(&ours, true)?;
                kept(&output)?;
                let (mut child_stdin, mut our_stdin) = (None, None);
                if stdin {
                    let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
                    rustix::io::ioctl_fionbio(&ours, true)?;
                    (child_stdin, our_stdin) = (Some(theirs), Some(ours));
                }
                let ours = Descriptors::Pipes { output: Some(ours), stdin: our_stdin };
                Ok(Plumbing { ours, terminal: None, childs: Ends::Pipes { stdin: child_stdin, output } })
            }
        }
    };
    opened().map_err(|error| {
        let what = if matches!(io, Io::Pty(_)) { "a terminal" } else { "a pipe" };
        resources(&format!("{what} cannot be had for the session: {error}"))
    })
}

fn text(text: &str, what: &str) -> Result<CString, StartFailure> {
    CString::new(text).map_err(|_| program(format!("{what} has a null byte in it: {text:?}")))
}

fn program(detail: String) -> StartFailure {
    StartFailure::Program { detail }
}

fn resources(detail: &str) -> StartFailure {
    StartFailure::Resources { detail: detail.to_owned() }
}

/// May go away by itself.
fn is_shortage(errno: Errno) -> bool {
    const SHORTAGES: [Errno; 7] =
        [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::NOSPC, Errno::DQUOT, Errno::NOBUFS];
    SHORTAGES.contains(&errno)
}

fn not_found(why: &NotFound, name: &str, path: &str) -> StartFailure {
    program(match why {
        NotFound::Nowhere => format!("the program `{name}` is in none of the directories of PATH ({path})"),
        NotFound::NotExecutable(file) => {
            format!("{} may not be executed: set its permission with chmod +x", file.display())
        }
        NotFound::Name => format!("{name:?} cannot be the name of a program"),
    })
}

fn explain(error: SpawnError, name: &str, cwd: &str, file: &CString) -> StartFailure {
    let SpawnError { step, errno } = error;
    let system = io::Error::from(errno);
    if is_shortage(errno) && step != Step::Program {
        return resources(&format!("no process can be had for the session: {system}"));
    }
    let file = file.to_string_lossy();
    let missing = !Path::new(cwd).join(&*file).exists();
    match (step, errno) {
        (Step::Directory, Errno::NOENT) => program(format!("the directory {cwd} does not exist")),
        (Step::Directory, Errno::NOTDIR) => program(format!("{cwd} is not a directory")),
        (Step::Directory, _) => program(format!("the directory {cwd} cannot be entered: {system}")),
        (Step::Program, Errno::TOOBIG) => program(format!(
            "arguments and environment of `{name}` are longer than the system takes: pass long values through a file or stdin"
        )),
        (Step::Program, Errno::NOENT) if missing => program(format!("the program {file} does not exist")),
        (Step::Program, Errno::NOENT) => program(format!(
            "the interpreter that {file} names in its first line (or its loader) does not exist"
        )),
        (Step::Program, Errno::ACCESS) => {
            program(format!("{file} may not be executed: set its permission with chmod +x"))
        }
        (Step::Program, Errno::NOEXEC) => program(format!(
            "{file} is no program that this system runs: a script needs a first line such as #!/bin/sh"
        )),
        (Step::Program, Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => {
            resources(&format!("`{name}` cannot be run for now: {system}"))
        }
        (Step::Program, _) => program(format!("{file} cannot be run: {system}")),
        (Step::Process | Step::Streams | Step::Terminal, _) => {
            resources(&format!("the session cannot be set up: {system}"))
        }
    }
}
