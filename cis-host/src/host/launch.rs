//! Launching processes: leaders of sessions with their terminals or pipes, and the node.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsString};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::environment::{Base, Environment, NotFound, Programs};
use super::session::Descriptors;
use crate::os::{self, Limits, Nofile, Spawn, SpawnError, Spawner, Stamp, Stamps, Step, Streams, Terminal};
use crate::protocol::{Io, Start, StartFailure};
use cis_local::open_no_link;

/// So many descriptors are kept for connections and logs.
const DESCRIPTORS_KEPT: u64 = 24;

/// Descriptors that one session may need: for a terminal or pipes, its log, and the file of times.
const DESCRIPTORS_EACH: u64 = 3;

/// What launches processes, and what they are given.
pub(super) struct Launcher {
    spawner: Spawner,
    pub(super) stamps: Stamps,
    programs: Programs,
    /// Environments that many sessions share, by name.
    pub(super) bases: HashMap<String, Base>,
    limits: Limits,
    pub(super) nofile: Nofile,
}

/// All that a leader needs, opened and marked.
pub(super) struct Prepared {
    plumbing: Plumbing,
    stamp: Option<Stamp>,
}

/// A leader that runs.
pub(super) struct Launched {
    pub(super) pid: u32,
    pub(super) stamp: Option<Stamp>,
    pub(super) descriptors: Descriptors,
    pub(super) terminal: Option<Terminal>,
}

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

impl Launcher {
    pub(super) fn new(stamps: Stamps, nofile: Nofile, umask: Option<u32>) -> Self {
        let limits = Limits { nofile: nofile.child_limit(), umask, stamp: None };
        let (spawner, programs, bases) = (Spawner::new(), Programs::default(), HashMap::new());
        Self { spawner, stamps, programs, bases, limits, nofile }
    }

    /// Opens what the leader needs, and writes its files. `living` leaders are there already.
    pub(super) fn prepare(&mut self, start: &Start, living: u64) -> Result<Prepared, StartFailure> {
        check(start)?;
        for (path, content) in &start.files {
            place_file(Path::new(path), content)?;
        }
        if DESCRIPTORS_KEPT + (living + 1) * DESCRIPTORS_EACH > self.nofile.soft {
            let short = io::Error::from(Errno::MFILE);
            return Err(resources(&format!(
                "cannot open the files of its output: {short} ({living} sessions live)"
            )));
        }
        let plumbing = open_plumbing(start.io, self.nofile.soft)?;
        Ok(Prepared { plumbing, stamp: self.stamps.give() })
    }

    /// Starts the leader.
    pub(super) fn launch(
        &mut self,
        start: &Start,
        prepared: Prepared,
        now: u64,
    ) -> Result<Launched, StartFailure> {
        let Prepared { plumbing: Plumbing { ours, terminal, childs }, stamp } = prepared;
        let pid = self.spawn_leader(start, &childs, stamp, now)?;
        Ok(Launched { pid, stamp, descriptors: ours, terminal })
    }

    fn spawn_leader(
        &mut self,
        start: &Start,
        childs: &Ends,
        stamp: Option<Stamp>,
        now: u64,
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
            let found = self.programs.find(name, environment.path(), &start.cwd, now);
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

    /// Starts a program of the host itself, such as the node, in the host's environment. `receives`: it reads that from its standard
    /// input. `stdout`: none is `/dev/null`.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub(super) fn launch_own(
        &mut self,
        argv: &[String],
        receives: bool,
        stdout: Option<BorrowedFd<'_>>,
        now: u64,
    ) -> Result<u32, String> {
        let mut stdin = None;
        let environment: Vec<CString> = if receives {
            stdin = Some(os::hand_over(std::env::vars_os()).map_err(|error| error.to_string())?);
            vec![os::HANDED_OVER.to_owned()]
        } else {
            let entry = |name: OsString, value: OsString| [name.as_bytes(), b"=", value.as_bytes()].concat();
            std::env::vars_os().filter_map(|(name, value)| CString::new(entry(name, value)).ok()).collect()
        };
        let environment: Vec<&CStr> = environment.iter().map(CString::as_c_str).collect();
        let path = std::env::var("PATH").unwrap_or_default();
        let name = argv.first().map(String::as_str).unwrap_or_default();
        let found = self.programs.find(name, &path, "/", now);
        let program = found.map_err(|why| reason(not_found(&why, name, &path)))?;
        let arguments: Vec<CString> = argv.iter().filter_map(|one| CString::new(one.as_str()).ok()).collect();
        let null = os::null_device().map_err(|error| error.to_string())?;
        let spawned = self.spawner.spawn(&Spawn {
            program: &program,
            arguments: &arguments,
            environment: &environment,
            directory: None,
            streams: Streams::Files {
                stdin: stdin.as_ref().map(AsFd::as_fd),
                stdout: stdout.unwrap_or(null.as_fd()),
                stderr: rustix::stdio::stderr(),
            },
            limits: self.limits,
        });
        spawned.map_err(|error| reason(explain(error, name, "/", &program)))
    }
}

/// What is said of a failure.
fn reason(why: StartFailure) -> String {
    match why {
        StartFailure::Program { detail } | StartFailure::Resources { detail } => detail,
        StartFailure::Withdrawn {} => String::new(),
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
        options.write(true).create(true).truncate(true).mode(0o600);
        open_no_link(&mut options, path).and_then(|mut file| file.write_all(content.as_bytes()))
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
    let opened = open_no_link(OpenOptions::new().read(true), Path::new(path)).and_then(|file| {
        // The flag of the check is not for the program, which shares the open file.
        rustix::io::ioctl_fionbio(&file, false)?;
        Ok(OwnedFd::from(file))
    });
    opened.map_err(|error| {
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

pub(super) fn resources(detail: &str) -> StartFailure {
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
        (Step::Program, Errno::ACCESS) if Path::new(cwd).join(&*file).is_dir() => {
            program(format!("{file} is a directory, not a program"))
        }
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
