//! The processes of a test, found by a variable that all of them inherit.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use super::wait::eventually;

/// One that is alive (zombies are not).
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: u32,
    pub command: String,
}

/// The most memory that a process had so far, KiB; none: it is gone.
pub fn peak_kb(pid: u32) -> Option<u64> {
    status_kb(pid, "VmHWM:")
}

/// The memory that a process has, KiB; none: it is gone.
pub fn resident_kb(pid: u32) -> Option<u64> {
    status_kb(pid, "VmRSS:")
}

fn status_kb(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Returns all other processes whose environment has `mark` or whose arguments have `place`: only root can read the
/// environment of a node and its host.
pub fn processes_with(mark: &str, place: &str) -> Vec<Process> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().map_while(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        // A process may end while we look, and others' environments cannot be read: both are not ours.
        let has = |file: &str, text: &str| {
            std::fs::read(entry.path().join(file)).is_ok_and(|bytes| memchr_find(&bytes, text.as_bytes()))
        };
        // An argument of another home's process may name a file of this home, but only after an option's
        // name.
        let is_below = |argument: &[u8]| argument.starts_with(place.as_bytes());
        let is_of_place = || {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| line.split(|byte| *byte == 0).any(is_below))
        };
        if has("environ", mark) || is_of_place() {
            found.push(Process { pid, command: command_of(&entry.path()) });
        }
    }
    found
}

fn memchr_find(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn command_of(folder: &Path) -> String {
    let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned()
}

/// Whether a process of that pid is there, and one of its threads has not ended. Until then it keeps its locks.
pub fn is_alive(pid: u32) -> bool {
    threads_of(pid).any(|state| !matches!(state, 'Z' | 'X'))
}

/// State of a process, as `ps` shows it: `T` is stopped. None: it is gone.
pub fn state_of(pid: u32) -> Option<char> {
    state_in(&PathBuf::from(format!("/proc/{pid}")))
}

fn state_in(folder: &Path) -> Option<char> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // The name, in parentheses, may hold anything; the state follows it (proc_pid_stat(5)).
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// Whether no thread of a process runs any more: each is stopped, or at its end.
fn is_stopped(pid: u32) -> bool {
    threads_of(pid).all(|state| matches!(state, 'T' | 't' | 'Z' | 'X'))
}

/// States of the threads of a process.
fn threads_of(pid: u32) -> impl Iterator<Item = char> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| state_in(&thread.path()))
}

/// SIGKILL; a process that is gone already is fine.
pub fn kill_9(pid: u32) {
    signal(pid, Signal::KILL);
}

/// SIGKILL for all of them, as if the machine lost power: none of them can see another one's end and start it anew.
pub fn kill_9_at_once(pids: impl IntoIterator<Item = u32>) {
    let pids: Vec<u32> = pids.into_iter().collect();
    for each in [Signal::STOP, Signal::KILL] {
        pids.iter().for_each(|pid| signal(*pid, each));
    }
}

/// Sends a signal; a process that is gone already is fine. After SIGSTOP, it waits until the process has stopped: its threads run until the
/// kernel comes to each of them.
#[track_caller]
pub fn signal(pid: u32, signal: Signal) {
    match kill_process(pid_of(pid), signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(e) => panic!("cannot send {signal:?} to {pid}: {e}"),
    }
    if signal == Signal::STOP {
        eventually("every thread of the process is stopped", || is_stopped(pid).then_some(()));
    }
}

/// Waits until a process handles a signal itself (proc_pid_status(5), `SigCgt`).
#[track_caller]
pub fn wait_until_handled(pid: u32, signal: Signal) {
    eventually(&format!("process {pid} handles {signal:?}"), || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let handled = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
        (u64::from_str_radix(&handled, 16).unwrap() & 1 << (signal.as_raw() - 1) != 0).then_some(())
    });
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).expect("pid 0 is no process")
}
