//! One command, run to its end or to the end of its time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::own_commands::OwnCommands;
use cis_core::policy::NodeCommand;

/// Shell script that waits for a line, enters the directory, and executes the command. Its own output says why that
/// failed; the output of the command is discarded.
const BEGIN: &str = r#"
read -r _ <&1 || exit 1
cd -P -- "$1" 2>/dev/null || { echo "cannot be entered"; exit 1; }
if [ "$2" ] && [ "$PWD" != "$1" ]; then echo "is another one than when the run was submitted"; exit 1; fi
shift 2
exec "$@" > /dev/null
"#;

/// What was killed ends within this, or is left alone.
const KILLED_MAX: Duration = Duration::from_secs(2);

/// What is run.
pub(super) struct Call<'a> {
    /// Identity of the command, which decides its rights.
    pub(super) of: NodeCommand,
    pub(super) own: &'a OwnCommands,
    pub(super) argv: &'a [String],
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: &'a str,
    /// It is not run where that directory is a link by now, or lies behind one.
    pub(super) is_exact: bool,
    /// What it may read.
    pub(super) stdin: String,
    /// Then it is killed, and what it started in its process group with it.
    pub(super) timeout: Duration,
}

impl Call<'_> {
    /// # Errors
    /// It could not be started, took too long, or did not exit with 0.
    pub(super) fn run(&self) -> Result<(), String> {
        let Some(program) = self.argv.first() else { return Err("it names no program".to_owned()) };
        let no_input = |e| format!("its input cannot be written: {e}");
        let stdin = in_memory(&self.stdin).map_err(no_input)?;
        // This end sends the line to begin, and reads the script's own output.
        let (mut said, stdout) = UnixStream::pair().map_err(no_input)?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", BEGIN, "sh", self.cwd, if self.is_exact { "exact" } else { "" }])
            .args(self.argv)
            .env_clear()
            .envs(&self.env)
            // Its own may not answer: entering it is part of its time.
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(OwnedFd::from(stdout)))
            // The node's own log.
            .stderr(Stdio::inherit());
        let child = {
            let _nobody_writes = super::placed::WRITES.write().unwrap_or_else(PoisonError::into_inner);
            self.own.spawn(&mut command, self.of.clone())
        };
        let (mut child, running) = child.map_err(|e| format!("`{program}` cannot be started: {e}"))?;
        // From here on only the child has the other end, so reading ends with the child.
        drop(command);
        let begun = said.write_all(b"\n");
        let pid = running.pid();
        let in_time = begun.is_ok() && wait_for(pid, self.timeout).unwrap_or(false);
        if !in_time {
            // It is not reaped yet: its pid, and so its group, is its own.
            let _ = kill_process_group(pid, Signal::KILL);
            drop(running);
            let took = format!("`{program}` was killed after {}", humantime::format_duration(self.timeout));
            if wait_for(pid, KILLED_MAX).unwrap_or(true) {
                let _ = child.wait();
                return Err(took);
            }
            // It waits in the kernel for what does not answer; nobody else waits for it.
            let _ = cis_local::reap(child);
            return Err(format!("{took}, and has not ended yet"));
        }
        drop(running);
        let status = child.wait().map_err(|e| format!("`{program}` was lost: {e}"))?;
        let mut why = [0; 256];
        // The script has written everything by now. Processes that the command left behind are not waited
        // for.
        let length = said.set_nonblocking(true).and_then(|()| said.read(&mut why)).unwrap_or(0);
        let why = String::from_utf8_lossy(&why[..length]);
        match status.code() {
            _ if status.success() => Ok(()),
            _ if !why.is_empty() => {
                Err(format!("`{program}` is not run: its directory {} {}", self.cwd, why.trim_end()))
            }
            Some(code @ (126 | 127)) => Err(format!(
                "`{program}` cannot be started, or what it calls (exit code {code}): the node's log says why"
            )),
            _ => Err(format!("`{program}` ended with {}", words(status))),
        }
    }
}

/// Whether it ends in time.
fn wait_for(pid: Pid, time: Duration) -> rustix::io::Result<bool> {
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| rustix::io::Errno::INVAL)?;
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file in memory: whoever does not read it holds up nobody.
fn in_memory(text: &str) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("notice", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(script: &str, stdin: &str, timeout: Duration) -> Result<(), String> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let env = [("PATH".to_owned(), std::env::var("PATH").unwrap())].into();
        let (own, of) = (OwnCommands::default(), NodeCommand::Notify);
        let stdin = stdin.to_owned();
        Call { of, own: &own, argv: &argv, env, cwd: "/", is_exact: false, stdin, timeout }.run()
    }

    #[test]
    fn it_is_run_in_its_own_directory_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("a b")).unwrap();
        std::os::unix::fs::symlink(real.join("a b"), real.join("link")).unwrap();
        let argv = ["sh", "-c", "test -d ../link && test \"$PWD\" = \"$(pwd -P)\""].map(str::to_owned);
        let ran = |name: &str, is_exact| {
            let env: BTreeMap<_, _> = [("PATH".to_owned(), std::env::var("PATH").unwrap())].into();
            let cwd = real.join(name).display().to_string();
            let timeout = Duration::from_secs(30);
            let (own, of) = (OwnCommands::default(), NodeCommand::Notify);
            Call { of, own: &own, argv: &argv, env, cwd: &cwd, is_exact, stdin: String::new(), timeout }.run()
        };
        assert_eq!(ran("a b", true), Ok(()));
        assert_eq!(ran("link", false), Ok(()));
        assert!(ran("link", true).unwrap_err().contains("is another one than when the run was submitted"));
        assert!(ran("none", true).unwrap_err().contains("cannot be entered"));
    }

    #[test]
    fn it_reads_what_it_is_given_or_not_and_has_its_time() {
        let long = Duration::from_secs(30);
        assert_eq!(call("test \"$(cat)\" = hello", "hello", long), Ok(()));
        assert_eq!(call("true", &"x".repeat(1 << 20), long), Ok(()), "nobody waits for its reading");
        assert_eq!(call("exit 3", "", long).unwrap_err(), "`sh` ended with exit code 3");
        let begun = Instant::now();
        let late = call("sleep 60 & wait", "", Duration::from_millis(200)).unwrap_err();
        assert!(late.contains("was killed after 200ms") && begun.elapsed() < long, "{late}");
        let argv = ["/no/such/program".to_owned()];
        let missing = Call {
            of: NodeCommand::Notify,
            own: &OwnCommands::default(),
            argv: &argv,
            env: BTreeMap::new(),
            cwd: "/",
            is_exact: false,
            stdin: String::new(),
            timeout: long,
        }
        .run();
        assert!(missing.unwrap_err().contains("cannot be started"));
    }
}
