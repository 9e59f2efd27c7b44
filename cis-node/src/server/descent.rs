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
/// Total bytes of the environments of a process and its ancestors. Nothing is known of a process with more: anybody can make a long chain of
/// processes with large environments, and connect from the last one.
const ENVIRONMENT_BYTES_MAX: usize = 8 << 20;

/// Why nothing is known of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoDescent {
    /// It is gone, or its line of parents cannot be followed to its end.
    Unknown,
    /// Its environment and those of its ancestors are larger than this together, bytes.
    LargeEnvironments {
        /// The limit.
        max: u64,
    },
}

/// Empty environments are looked at so often, and so long after each other.
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
    /// Reads it. May block.
    ///
    /// # Errors
    /// [`NoDescent`].
    pub fn of(pid: u32) -> Result<Self, NoDescent> {
        let line = (0..TRIES).find_map(|_| line(pid)).ok_or(NoDescent::Unknown)?;
        let (pids, sids) = line.into_iter().unzip();
        let pids: Vec<u32> = pids;
        let marks = marks_of(&pids, environment_of, || std::thread::sleep(EMPTY_PAUSE))
            .ok_or(NoDescent::LargeEnvironments { max: ENVIRONMENT_BYTES_MAX as u64 })?;
        let realtime_limit = realtime_limit_of(pid).unwrap_or(0);
        Ok(Self(Arc::new(Found { pids, sids, marks, realtime_limit })))
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

/// The marks of sessions on these processes, in their order. None: their environments are too large. `read` gives the environment of a
/// process: at most one byte more than it is asked for, by which a longer one is known.
///
/// While a process executes another program, Linux shows an empty environment for a moment (fs/proc/base.c, `environ_read`), so those are
/// looked at again. They share the pauses: many processes without an environment take no longer than one of them.
fn marks_of(
    pids: &[u32],
    read: impl Fn(u32, usize) -> Option<Vec<u8>>,
    pause: impl Fn(),
) -> Option<Vec<Mark>> {
    let mut marks = Vec::new();
    let mut left = ENVIRONMENT_BYTES_MAX;
    let mut unread: Vec<(usize, u32)> = pids.iter().copied().enumerate().collect();
    for look in 0..EMPTY_LOOKS {
        if look > 0 {
            pause();
        }
        let mut empty = Vec::new();
        for (at, pid) in unread {
            // One that cannot be read is of another user, or of a process that has ended.
            let Some(environment) = read(pid, left) else { continue };
            left = left.checked_sub(environment.len())?;
            if environment.is_empty() {
                empty.push((at, pid));
            } else if let Some(mark) = mark_in(&environment) {
                marks.push((at, mark));
            }
        }
        if empty.is_empty() {
            break;
        }
        unread = empty;
    }
    marks.sort_by_key(|(at, _)| *at);
    Some(marks.into_iter().map(|(_, mark)| mark).collect())
}

/// What of a session stands in the environment that a process was started with.
fn mark_in(environment: &[u8]) -> Option<Mark> {
    let value = |name: &[u8]| environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(name));
    let token = value(b"CIS_TOKEN=").map(|token| String::from_utf8_lossy(token).into_owned());
    value(b"CIS_ATTEMPT=").or(token.as_ref().map(|_| b"".as_slice()))?;
    let socket = std::ffi::OsString::from_vec(value(b"CIS_SOCKET=")?.to_vec()).into();
    Some(Mark { socket, token })
}

/// The environment that a process was started with, at most one byte more than this.
fn environment_of(pid: u32, bytes: usize) -> Option<Vec<u8>> {
    let mut environment = Vec::new();
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(bytes as u64 + 1).read_to_end(&mut environment).ok()?;
    Some(environment)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

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
        assert_eq!(Descent::of(u32::MAX - 1).err(), Some(NoDescent::Unknown), "gone means not trusted");
    }

    /// The tokens on a line of as many processes, and how often it was waited. `read` gives the environment of a process at a look.
    fn tokens(processes: u32, read: impl Fn(u32, usize) -> Vec<u8>) -> (Option<Vec<String>>, usize) {
        let pids: Vec<u32> = (0..processes).collect();
        let pauses = Cell::new(0);
        let pause = || pauses.set(pauses.get() + 1);
        let marks = marks_of(&pids, |pid, _| Some(read(pid, pauses.get())), pause);
        let found = marks.map(|marks| marks.into_iter().filter_map(|mark| mark.token).collect());
        (found, pauses.get())
    }

    #[test]
    fn a_long_line_without_environments_is_waited_for_as_long_as_one_process() {
        let one = tokens(1, |_, _| Vec::new());
        assert_eq!(one, (Some(Vec::new()), EMPTY_LOOKS - 1));
        assert_eq!(tokens(u32::try_from(DEPTH_MAX).unwrap(), |_, _| Vec::new()), one);
        // What is seen late is seen, in its place.
        let mark = |pid: u32| format!("CIS_SOCKET=/s\0CIS_TOKEN={pid}\0").into_bytes();
        let late = |pid: u32, look: usize| if pid == 1 && look < 2 { Vec::new() } else { mark(pid) };
        let three = ["0", "1", "2"].map(str::to_owned).to_vec();
        assert_eq!(tokens(3, late), (Some(three), 2));
    }

    #[test]
    fn nothing_is_known_of_a_line_whose_environments_are_too_large() {
        let of = |bytes| move |_: u32, _: usize| vec![b'x'; bytes];
        assert_eq!(tokens(4, of(ENVIRONMENT_BYTES_MAX / 4)).0, Some(Vec::new()));
        assert_eq!(tokens(4, of(ENVIRONMENT_BYTES_MAX / 4 + 1)).0, None);
        assert_eq!(environment_of(std::process::id(), 0).map(|read| read.len()), Some(1));
    }
}
