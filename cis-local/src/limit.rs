//! The hard limit of realtime CPU time (RLIMIT_RTTIME, getrlimit(2)) that a process has outside of sessions. Processes of
//! sessions have lower ones (`docs/decisions/0010-stamps.md`).

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::process::{realtime_limit_of, stat_of};
use super::regular::read_regular_text;

/// File of a home that was made in a session of another home: the hard limit of that session, µs.
const MADE_IN: &str = "session-limit";

/// The store of a home: one without it is new.
const STORE: &str = "cis.db";

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
/// session of another home it does, where all processes have the stamp of that session, and only for a home that was made in
/// that session: a session of one home must not become the owner of another one by starting its node.
#[must_use]
pub fn realtime_limit_outside(home: &Path) -> u64 {
    let own = realtime_limit();
    // Most processes have no limit: for these, nothing has to be looked up.
    if own < u64::MAX && is_made_with(home, own) && is_in_session_of_another(home) { own } else { u64::MAX }
}

/// Returns [`realtime_limit_outside`], and notes in a new home that it is made in a session of another home.
///
/// # Errors
/// The note cannot be written.
pub fn keep_realtime_limit_outside(home: &Path) -> io::Result<u64> {
    let limit = realtime_limit_outside(home);
    if limit == u64::MAX {
        return Ok(limit);
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(home.join(MADE_IN)) {
        Ok(mut file) => writeln!(file, "{limit}")?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(limit)
}

/// Whether the home was made in the session with this limit, or is new.
fn is_made_with(home: &Path, limit: u64) -> bool {
    if has_files_of_another(home) {
        return false;
    }
    match read_regular_text(&home.join(MADE_IN)) {
        Ok(noted) => noted.trim().parse() == Ok(limit),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            matches!(fs::symlink_metadata(home.join(STORE)), Err(error) if error.kind() == ErrorKind::NotFound)
        }
        Err(_) => false,
    }
}

fn is_in_session_of_another(home: &Path) -> bool {
    let home = identity(home);
    // A process of a session can have any command line, but no higher limit.
    let is_unlimited = |pid| realtime_limit_of(pid) == Some(u64::MAX);
    let mut pid = std::os::unix::process::parent_id();
    for _ in 0..ANCESTORS_MAX {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if is_other_host(&line, home) && is_unlimited(pid) {
            return true;
        }
        match stat_of(pid) {
            Some(stat) if stat.parent > 0 => pid = stat.parent,
            _ => return false,
        }
    }
    false
}

/// Whether files of the home may belong to another home: links, or files that are mounted there.
fn has_files_of_another(home: &Path) -> bool {
    let Some((device, _)) = identity(home) else { return false };
    let is_foreign =
        |entry: io::Result<fs::DirEntry>| match entry.and_then(|entry| fs::symlink_metadata(entry.path())) {
            Ok(meta) => meta.is_symlink() || meta.dev() != device || (meta.is_file() && meta.nlink() > 1),
            Err(_) => true,
        };
    fs::read_dir(home).map_or(true, |mut entries| entries.any(is_foreign))
}

/// Device and inode of a directory, which has several paths if it is mounted twice. `None`: it does not exist.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Whether this is the command line of the session host of another home. A home that was renamed since is not known to be another
/// one.
fn is_other_host(line: &[u8], home: Option<(u64, u64)>) -> bool {
    let host = home_of_host(line).and_then(|other| identity(&other));
    host.is_some() && host != home
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
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let line_of = |home: &Path| format!("cis\0--home\0{}\0session-host\0", home.display()).into_bytes();
        let home = identity(folder.path());
        let link = other.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(is_other_host(&line_of(other.path()), home) && is_other_host(&line_of(other.path()), None));
        for same in [folder.path(), &link, Path::new("/no/such/home")] {
            assert!(!is_other_host(&line_of(same), home), "{}", same.display());
        }
        let own = stat_of(std::process::id()).map(|stat| stat.parent);
        assert_eq!(own, Some(std::os::unix::process::parent_id()));
    }

    #[test]
    fn a_home_belongs_to_the_session_that_it_was_made_in() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        assert!(is_made_with(home, 7), "it is new");
        fs::write(home.join(STORE), "").unwrap();
        assert!(!is_made_with(home, 7), "it was made outside of sessions");
        fs::write(home.join(MADE_IN), "7\n").unwrap();
        assert!(is_made_with(home, 7) && !is_made_with(home, 6) && !is_made_with(home, 8));
        fs::write(home.join(MADE_IN), "").unwrap();
        assert!(!is_made_with(home, 7));
        fs::write(home.join(MADE_IN), "7\n").unwrap();
        let other = tempfile::tempdir().unwrap();
        let of = other.path().join("of");
        fs::write(&of, "").unwrap();
        let at = home.join("at");
        for is_hard in [false, true] {
            match is_hard {
                true => fs::hard_link(&of, &at).unwrap(),
                false => std::os::unix::fs::symlink(&of, &at).unwrap(),
            }
            assert!(!is_made_with(home, 7), "a link to a file of another home");
            fs::remove_file(&at).unwrap();
            assert!(is_made_with(home, 7));
        }
    }
}
