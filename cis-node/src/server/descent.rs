//! The ancestors of a process, as /proc shows them at one moment, and the marks that session hosts left on
//! the process.
//!
//! Owns the reading. Does not know which node asks: what follows from it is decided in `node`.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use cis_local::{realtime_limit_of, stat_of};

/// Parents looked at before we give up: deeper trees are refused, not trusted.
const DEPTH_MAX: usize = 4096;
/// An environment beyond this is not read further, bytes.
const ENVIRONMENT_BYTES_MAX: u64 = 4 << 20;
/// An empty environment is looked at so often, and so long after each other.
const EMPTY_LOOKS: usize = 5;
const EMPTY_PAUSE: Duration = Duration::from_millis(1);
/// A line that breaks because a parent ends meanwhile is followed again so often.
const TRIES: usize = 3;

/// The line of a process and of its parents, and the marks of sessions on it.
#[derive(Debug, Clone)]
pub struct Descent(Arc<Found>);

#[derive(Debug, Default)]
struct Found {
    pids: Vec<u32>,
    /// Session ids of these processes (setsid(2)).
    sids: Vec<u32>,
    /// Those that were started with a session's environment.
    marks: Vec<Mark>,
    /// Its hard limit of realtime CPU time, µs; 0 if it cannot be read.
    realtime_limit: u64,
}

/// What a process of a session was started with.
#[derive(Debug)]
struct Mark {
    /// `CIS_SOCKET`.
    socket: PathBuf,
    /// `CIS_TOKEN`, where it has one.
    token: Option<String>,
}

impl Descent {
    /// None where the process is gone, or a line of parents cannot be followed to its end.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let (pids, sids) = (0..TRIES).find_map(|_| line(pid))?.into_iter().unzip();
        let pids: Vec<u32> = pids;
        let marks = pids.iter().filter_map(|pid| mark_of(*pid)).collect();
        let realtime_limit = realtime_limit_of(pid).unwrap_or(0);
        Some(Self(Arc::new(Found { pids, sids, marks, realtime_limit })))
    }

    /// Whether the process is this one, or descends from it.
    #[must_use]
    pub fn passes(&self, pid: u32) -> bool {
        self.0.pids.contains(&pid)
    }

    /// Whether the process or an ancestor of it is in the session that `leader` began with setsid(2). No process can
    /// join the session of another one.
    #[must_use]
    pub fn is_in_session_of(&self, leader: u32) -> bool {
        self.0.sids.contains(&leader)
    }

    /// Whether the process or an ancestor of it is `pid`, and `between` stands not on the way there.
    #[must_use]
    pub fn passes_without(&self, pid: u32, between: u32) -> bool {
        let way = self.0.pids.iter().position(|one| *one == pid).map(|at| &self.0.pids[..at]);
        way.is_some_and(|way| !way.contains(&between))
    }

    /// The child of `pid` from which the process descends. `None`: the process is `pid` itself, or does not descend
    /// from it.
    #[must_use]
    pub fn child_of(&self, pid: u32) -> Option<u32> {
        let at = self.0.pids.iter().position(|one| *one == pid)?;
        self.0.pids.get(at.checked_sub(1)?).copied()
    }

    /// Whether it or a live ancestor was started as part of a session of the node that has these sockets.
    #[must_use]
    pub fn is_marked_for(&self, is_socket: impl Fn(&Path) -> bool) -> bool {
        self.0.marks.iter().any(|mark| is_socket(&mark.socket))
    }

    /// Returns the tokens of sessions of that node with which it or an ancestor was started.
    pub fn tokens_for(&self, is_socket: impl Fn(&Path) -> bool) -> impl Iterator<Item = &str> {
        self.0
            .marks
            .iter()
            .filter(move |mark| is_socket(&mark.socket))
            .filter_map(|mark| mark.token.as_deref())
    }

    /// Returns the hard limit of realtime CPU time of the process, µs; 0 if it is not known. Session hosts stamp their
    /// sessions with it (`docs/decisions/0010-stamps.md`).
    #[must_use]
    pub fn realtime_limit(&self) -> u64 {
        self.0.realtime_limit
    }
}

/// The process, its parent, and so on, with their session ids. A parent that started later than its child is another process,
/// which has got the pid meanwhile.
fn line(pid: u32) -> Option<Vec<(u32, u32)>> {
    let mut line = Vec::with_capacity(8);
    let (mut at, mut younger) = (pid, u64::MAX);
    while line.len() < DEPTH_MAX {
        match stat_of(at) {
            Some(stat) if stat.started > younger => return None,
            Some(stat) => {
                line.push((at, stat.sid));
                // Parent 0: the first process, or one whose parent is in another namespace.
                if stat.parent == 0 || at == 1 {
                    return Some(line);
                }
                (at, younger) = (stat.parent, stat.started);
            }
            // If /proc hides processes that cannot be traced (hidepid: those of other users, a session host,
            // sshd), the chain of parents ends at such a process.
            None => {
                let there = i32::try_from(at).ok().and_then(Pid::from_raw).map(test_kill_process);
                let hidden = matches!(there, Some(Ok(()) | Err(Errno::PERM)));
                return (at != pid && hidden).then_some(line);
            }
        }
    }
    None
}

/// What of a session stands in the environment that it was started with.
fn mark_of(pid: u32) -> Option<Mark> {
    let environment = environment_of(pid)?;
    let value = |name: &[u8]| environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(name));
    let token = value(b"CIS_TOKEN=").map(|token| String::from_utf8_lossy(token).into_owned());
    value(b"CIS_ATTEMPT=").or(token.as_ref().map(|_| b"".as_slice()))?;
    let socket = std::ffi::OsString::from_vec(value(b"CIS_SOCKET=")?.to_vec()).into();
    Some(Mark { socket, token })
}

/// The environment that a process was started with. While it executes another program, Linux shows an empty one for a moment (fs/proc/base.c,
/// `environ_read`), so that is looked at again.
fn environment_of(pid: u32) -> Option<Vec<u8>> {
    let mut environment = Vec::new();
    for _ in 0..EMPTY_LOOKS {
        let file = File::open(format!("/proc/{pid}/environ")).ok()?;
        file.take(ENVIRONMENT_BYTES_MAX).read_to_end(&mut environment).ok()?;
        if !environment.is_empty() {
            break;
        }
        std::thread::sleep(EMPTY_PAUSE);
    }
    Some(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_process_and_its_parents() {
        let me = std::process::id();
        let up = stat_of(me).unwrap().parent;
        let mine = Descent::of(me).unwrap();
        assert!(mine.passes(me) && mine.passes(up));
        assert!(!Descent::of(up).unwrap().passes(me), "a parent");
        assert!(mine.passes_without(up, u32::MAX) && !mine.passes_without(up, me));
        assert!(mine.passes_without(me, up), "what is above is not on the way");
        assert_eq!((mine.child_of(up), mine.child_of(me)), (Some(me), None));
        assert!(Descent::of(u32::MAX - 1).is_none(), "gone means not trusted");
    }
}
