//! One command, run to its end or to the end of its time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// A program that is being written is tried again so often, after so long.
const BUSY_TRIES: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// What is run.
pub(super) struct Call<'a> {
    pub(super) argv: &'a [String],
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: &'a str,
    /// What it may read.
    pub(super) stdin: String,
    /// Then it is killed, and what it started in its process group with it.
    pub(super) timeout: Duration,
}

impl Call<'_> {
    /// # Errors
    /// It could not be started, took too long, or did not exit with 0.
    pub(super) fn run(&self) -> Result<(), String> {
        let [program, arguments @ ..] = self.argv else { return Err("it names no program".to_owned()) };
        let stdin = input(&self.stdin).map_err(|e| format!("its input cannot be written: {e}"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&self.env)
            .current_dir(self.cwd)
            .process_group(0)
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::null())
            // The node's own log.
            .stderr(Stdio::inherit());
        let mut child = start(&mut command).map_err(|e| format!("`{program}` cannot be started: {e}"))?;
        let pid = Pid::from_child(&child);
        let in_time = self.wait_for(pid).unwrap_or(false);
        if !in_time {
            // It is not reaped yet: its pid, and so its group, is its own.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let status = child.wait().map_err(|e| format!("`{program}` was lost: {e}"))?;
        match (in_time, status) {
            (false, _) => {
                Err(format!("`{program}` was killed after {}", humantime::format_duration(self.timeout)))
            }
            (true, status) if status.success() => Ok(()),
            (true, status) => Err(format!("`{program}` ended with {}", words(status))),
        }
    }

    /// Whether it ends in time.
    fn wait_for(&self, pid: Pid) -> rustix::io::Result<bool> {
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        let until = Instant::now() + self.timeout;
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
}

/// Starts it. A program that was put in place a moment ago may still be open for writing in a process that another
/// thread is about to start: until that has called exec, which nothing tells (ETXTBSY, execve(2)).
fn start(command: &mut Command) -> std::io::Result<Child> {
    let mut tries = BUSY_TRIES;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy && tries > 0 => {
                tries -= 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            other => return other,
        }
    }
}

/// A file in memory: whoever does not read it holds up nobody.
fn input(text: &str) -> std::io::Result<File> {
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
        Call { argv: &argv, env, cwd: "/", stdin: stdin.to_owned(), timeout }.run()
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
        let missing =
            Call { argv: &argv, env: BTreeMap::new(), cwd: "/", stdin: String::new(), timeout: long }.run();
        assert!(missing.unwrap_err().contains("cannot be started"));
    }
}
