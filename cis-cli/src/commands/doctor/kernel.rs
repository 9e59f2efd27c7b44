//! What the kernel gives: terminals, descriptors, processes, evidence.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use rustix::pty::{OpenptFlags, openpt};
use rustix::system::uname;

use super::Check;

/// Descriptors that a host of 100 sessions needs, with some to spare.
const DESCRIPTORS_WANTED: u64 = 1024;
const PROCESSES_WANTED: u64 = 1024;

pub(super) fn version() -> Check {
    let system = uname();
    Check::ok(
        "version",
        format!(
            "cis {}, {} {} {}",
            env!("CARGO_PKG_VERSION"),
            system.sysname().to_string_lossy(),
            system.release().to_string_lossy(),
            system.machine().to_string_lossy()
        ),
    )
}

/// Opens one and gives it back.
pub(super) fn terminals() -> Check {
    const NAME: &str = "terminals";
    let limits = || {
        let read = |name: &str| fs::read_to_string(format!("/proc/sys/kernel/pty/{name}")).ok();
        let (used, most) = (read("nr")?, read("max")?);
        Some(format!("{} of {} in use", used.trim(), most.trim()))
    };
    match openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC) {
        Ok(_) => Check::ok(NAME, limits().unwrap_or_else(|| "can be opened".to_owned())),
        Err(error) => Check::failed(
            NAME,
            format!("none can be opened: {error}"),
            "is /dev/pts mounted, and kernel.pty.max not reached? Tasks with tty = false do without",
        ),
    }
}

pub(super) fn descriptors() -> Check {
    let limit = getrlimit(Resource::Nofile);
    // The soft limit can be raised up to the hard one by whoever needs more.
    at_least("descriptors", "open files", limit.maximum, DESCRIPTORS_WANTED, "ulimit -Hn")
}

pub(super) fn processes() -> Check {
    let limit = getrlimit(Resource::Nproc);
    at_least("processes", "processes of this user", limit.current, PROCESSES_WANTED, "ulimit -u")
}

fn at_least(name: &'static str, what: &str, limit: Option<u64>, wanted: u64, how: &str) -> Check {
    match limit {
        None => Check::ok(name, format!("{what}: no limit")),
        Some(limit) if limit >= wanted => Check::ok(name, format!("at most {limit} {what}")),
        Some(limit) => Check::warning(
            name,
            format!("at most {limit} {what}"),
            format!("raise `{how}` to {wanted} or more for many sessions at once"),
        ),
    }
}

/// Checks whether a node of this home takes processes like this one for processes of a session.
pub(super) fn realtime_limit(home: &Path) -> Check {
    const NAME: &str = "limit";
    let limit = cis_local::realtime_limit();
    if limit >= cis_local::realtime_limit_outside(home) {
        return Check::ok(NAME, "realtime CPU time has no hard limit, as outside of sessions");
    }
    Check::failed(
        NAME,
        format!(
            "the hard limit of realtime CPU time (RLIMIT_RTTIME) is {limit} µs, as in a session: the node refuses this process"
        ),
        "outside of sessions, use a shell in which `prlimit --rttime` says `unlimited`; as root, `prlimit --pid PID \
         --rttime=unlimited` removes the limit of a shell",
    )
}

/// Whether the session host may look at its sessions' processes: Yama's documentation of the kernel.
pub(super) fn ptrace_scope(file: &Path) -> Check {
    const NAME: &str = "evidence";
    let scope = fs::read_to_string(file).unwrap_or_default();
    match scope.trim() {
        "" | "0" | "1" => Check::ok(NAME, "the kernel shows which process reads a session's terminal"),
        scope => Check::warning(
            NAME,
            format!("kernel.yama.ptrace_scope is {scope}: a session's processes cannot be looked at"),
            "with 1, waiting for input is noticed exactly: sysctl kernel.yama.ptrace_scope=1",
        ),
    }
}

/// Whether /proc hides the processes of other users (hidepid, proc(5)). Without hidepid, everybody can read process
/// 1.
pub(crate) fn hides_processes() -> bool {
    fs::File::open("/proc/1/stat").is_err()
}

/// Checks whether node and host are closed to processes of their user.
pub(super) fn closed(hides_processes: bool) -> Check {
    const NAME: &str = "closed";
    if !hides_processes {
        return Check::ok(NAME, "sessions cannot inspect the node and the session host");
    }
    Check::warning(
        NAME,
        "/proc hides processes (hidepid): node and session host stay open to their user's processes, to recognize each other",
        "mount /proc with hidepid=0, or with a group of this user as `gid=`, to close them to sessions",
    )
}

/// Checks whether processes of one session can trace those of another session (see the kernel's documentation
/// of Yama).
pub(super) fn tracing(file: &Path) -> Check {
    const NAME: &str = "tracing";
    match fs::read_to_string(file).unwrap_or_default().trim() {
        "" => Check::warning(
            NAME,
            "this kernel has no Yama: a session can trace the processes of your other sessions and of your shells",
            "run what you do not trust as another user, or in a container",
        ),
        "0" => Check::warning(
            NAME,
            "kernel.yama.ptrace_scope is 0: a session can trace the processes of your other sessions and of your shells",
            "sysctl kernel.yama.ptrace_scope=1",
        ),
        scope => Check::ok(NAME, format!("a process traces its own descendants at most (scope {scope})")),
    }
}

/// Checks whether a program can type into its own terminal (TIOCSTI, ioctl_tty(2)).
pub(super) fn tiocsti(file: &Path) -> Check {
    const NAME: &str = "tiocsti";
    match fs::read_to_string(file).unwrap_or_default().trim() {
        "0" => Check::ok(NAME, "programs cannot type into their own terminal"),
        "" => Check::warning(
            NAME,
            "this kernel lets every program type into its own terminal (TIOCSTI), as if a person did",
            "Linux 6.2 and later can refuse it",
        ),
        _ => Check::warning(
            NAME,
            "dev.tty.legacy_tiocsti is 1: every program can type into its own terminal, as if a person did",
            "sysctl dev.tty.legacy_tiocsti=0",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn limits_are_judged() {
        assert_eq!(at_least("x", "files", None, 10, "u").outcome, Outcome::Ok);
        assert_eq!(at_least("x", "files", Some(10), 10, "u").outcome, Outcome::Ok);
        assert_eq!(at_least("x", "files", Some(9), 10, "u").outcome, Outcome::Warning);
    }

    #[test]
    fn a_strict_ptrace_scope_is_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, outcome) in [("", Outcome::Ok), ("1\n", Outcome::Ok), ("2\n", Outcome::Warning)] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(ptrace_scope(file.path()).outcome, outcome);
        }
        assert_eq!(ptrace_scope("/nowhere".as_ref()).outcome, Outcome::Ok, "no Yama, no limit");
    }

    #[test]
    fn unsafe_kernel_settings_are_reported() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let nowhere = Path::new("/nowhere");
        let both = |text: &str| {
            fs::write(file.path(), text).unwrap();
            (tracing(file.path()).outcome, tiocsti(file.path()).outcome)
        };
        assert_eq!(both("0\n"), (Outcome::Warning, Outcome::Ok));
        assert_eq!(both("1\n"), (Outcome::Ok, Outcome::Warning));
        assert_eq!((closed(false).outcome, closed(true).outcome), (Outcome::Ok, Outcome::Warning));
        assert_eq!(
            (tracing(nowhere).outcome, tiocsti(nowhere).outcome),
            (Outcome::Warning, Outcome::Warning)
        );
    }

    #[test]
    fn this_machine_has_terminals() {
        assert_eq!(terminals().outcome, Outcome::Ok);
    }
}
