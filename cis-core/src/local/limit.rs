//! The hard limit of realtime CPU time (RLIMIT_RTTIME, getrlimit(2)) that a process has outside of sessions. Processes of
//! sessions have lower ones (`docs/decisions/0010-stamps.md`).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::process::{realtime_limit_of, stat_of};

/// No chain of parents is longer; a loop in it (pids used again meanwhile) ends here.
const ANCESTORS_MAX: usize = 4096;

/// Returns the hard limit of this process, µs.
#[must_use]
pub fn realtime_limit() -> u64 {
    getrlimit(Resource::Rttime).maximum.unwrap_or(u64::MAX)
}

/// Returns the hard limit of processes outside of the sessions of this home, µs: a process with a lower one belongs to a
/// session.
///
/// The limit of this process does not count, because every process of its user can lower it (prlimit(2)). Only in a
/// session of another home it does: there all processes have the stamp of that session.
#[must_use]
pub fn realtime_limit_outside(home: &Path) -> u64 {
    let own = realtime_limit();
    // Most processes have no limit: for these, nothing has to be looked up.
    if own < u64::MAX && is_in_session_of_another(home) { own } else { u64::MAX }
}

fn is_in_session_of_another(home: &Path) -> bool {
    let home = real(home);
    // A process of a session can have any command line, but no higher limit.
    let is_unlimited = |pid| realtime_limit_of(pid) == Some(u64::MAX);
    let mut pid = std::os::unix::process::parent_id();
    for _ in 0..ANCESTORS_MAX {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if is_other_host(&line, &home) && is_unlimited(pid) {
            return true;
        }
        match stat_of(pid) {
            Some(stat) if stat.parent > 0 => pid = stat.parent,
            _ => return false,
        }
    }
    false
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Whether this is the command line of the session host of another home.
fn is_other_host(line: &[u8], home: &Path) -> bool {
    home_of_host(line).is_some_and(|other| real(&other) != home)
}

/// Returns the home of a session host with this command line, as /proc/PID/cmdline has it.
fn home_of_host(line: &[u8]) -> Option<PathBuf> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    match words[..] {
        [_, b"--home", home, b"session-host", ..] => Some(PathBuf::from(OsStr::from_bytes(home))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_host_is_recognized_by_its_command_line() {
        let line = b"/usr/bin/cis\0--home\0/home/a\0session-host\0--session-umask\x0022\0";
        assert_eq!(home_of_host(line), Some("/home/a".into()));
        for line in
            [&b""[..], b"cis\0--home\0/home/a\0node\0serve\0", b"sh\0-c\0--home /home/a session-host\0"]
        {
            assert_eq!(home_of_host(line), None);
        }
        assert!(is_other_host(line, Path::new("/home/b")) && !is_other_host(line, Path::new("/home/a")));
        let own = stat_of(std::process::id()).map(|stat| stat.parent);
        assert_eq!(own, Some(std::os::unix::process::parent_id()));
    }
}
