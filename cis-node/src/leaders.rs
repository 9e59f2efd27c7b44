//! The first processes of live sessions. The driver learns of them from the session host, and threads of the API ask.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use tokio::sync::Notify;

use cis_core::ids::SessionId;
use cis_host::boot_ms;
use cis_local::stat_of;

/// Maximum time from the start of a session until its first process is known, if the host works.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Maximum number of processes, a process and those above it, that are looked at to find its session.
const LINE_MAX: usize = 32;

/// The first process of a session.
#[derive(Debug, Clone, Copy)]
struct Leader {
    pid: u32,
    /// A moment after its start, ms since boot. A process with this pid that started later is another one.
    born_ms: u64,
}

/// First processes, by session.
#[derive(Debug, Default)]
pub(super) struct Leaders {
    leaders: Mutex<HashMap<SessionId, Leader>>,
    /// A session was added.
    added: Notify,
}

impl Leaders {
    /// Returns the pid of a session's first process, while it lives. `None`: it has ended, or its start is not known yet.
    pub(super) fn of(&self, session: SessionId) -> Option<u32> {
        let leader = self.with(|leaders| leaders.get(&session).copied())?;
        let stat = stat_of(leader.pid)?;
        let started_ms = stat.started * 1000 / clock_ticks_per_second();
        (stat.state != 'Z' && started_ms <= leader.born_ms).then_some(leader.pid)
    }

    /// Returns the session in which a process is: itself, or one of the processes above it, is in the kernel session (setsid(2)) of the first
    /// process. A process can leave that, but not join another one. `None`: it has left, or it is far below. Reads nothing for which a process
    /// could make the reader wait.
    pub(super) fn session_of(&self, pid: u32) -> Option<SessionId> {
        let mut at = pid;
        for _ in 0..LINE_MAX {
            let stat = stat_of(at)?;
            let led = |leaders: &mut HashMap<SessionId, Leader>| {
                leaders.iter().find(|(_, leader)| leader.pid == stat.sid).map(|(session, _)| *session)
            };
            if let Some(session) = self.with(led).filter(|session| self.of(*session).is_some()) {
                return Some(session);
            }
            at = stat.parent;
        }
        None
    }

    /// Waits until the first process of a session is known. Returns without it if the session has ended, or if the host
    /// does not report its start in time.
    pub(super) async fn wait_for(&self, session: SessionId) {
        let known = async {
            loop {
                let mut added = std::pin::pin!(self.added.notified());
                added.as_mut().enable();
                if self.with(|leaders| leaders.contains_key(&session)) {
                    return;
                }
                added.await;
            }
        };
        // The session may have ended.
        let _ = tokio::time::timeout(WAIT_MAX, known).await;
    }

    /// Adds a session that started. `born_ms` is a moment just after that, in ms since boot; an older host does not report it.
    pub(super) fn add(&self, session: SessionId, pid: u32, born_ms: Option<u64>) {
        let leader = Leader { pid, born_ms: born_ms.unwrap_or_else(boot_ms) };
        self.with(|leaders| leaders.insert(session, leader));
        self.added.notify_waiters();
    }

    /// Removes a session that ended.
    pub(super) fn remove(&self, session: SessionId) {
        self.with(|leaders| leaders.remove(&session));
    }

    /// Replaces all by the sessions of another host, or of the same host after a new connection. The arguments are as for
    /// [`Self::add`].
    pub(super) fn replace(&self, sessions: impl Iterator<Item = (SessionId, u32, Option<u64>)>) {
        let now = boot_ms();
        let sessions = sessions
            .map(|(session, pid, born_ms)| (session, Leader { pid, born_ms: born_ms.unwrap_or(now) }));
        self.with(|leaders| *leaders = sessions.collect());
        self.added.notify_waiters();
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<SessionId, Leader>) -> T) -> T {
        // A map is whole after each of these calls, also if another thread panicked.
        act(&mut self.leaders.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_session_that_is_starting_is_waited_for() {
        let (leaders, session) = (Arc::new(Leaders::default()), SessionId::from_parts(1, 1));
        let me = std::process::id();
        leaders.add(session, me, None);
        leaders.wait_for(session).await;
        leaders.remove(session);
        let waits = Arc::clone(&leaders);
        let waiting = tokio::spawn(async move { waits.wait_for(session).await });
        tokio::task::yield_now().await;
        leaders.add(SessionId::from_parts(1, 2), 8, None);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "another one started");
        leaders.replace([(session, me, None)].into_iter());
        waiting.await.unwrap();
        assert_eq!(leaders.of(session), Some(me));
    }

    #[test]
    fn a_process_is_of_the_session_that_it_or_a_parent_is_in() {
        use std::io::{BufRead as _, BufReader};
        use std::process::{Command, Stdio};
        let (leaders, session) = (Leaders::default(), SessionId::from_parts(1, 1));
        let script = "echo $$; setsid -w sh -c 'echo $$; exec cat'; :";
        let mut shell = Command::new("setsid");
        shell.args(["sh", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next_pid = || said.next().unwrap().unwrap().parse::<u32>().unwrap();
        let [leader, below] = [next_pid(), next_pid()];
        assert_eq!(leader, child.id());
        leaders.add(SessionId::from_parts(1, 2), u32::MAX, None);
        assert_eq!(leaders.session_of(below), None, "nothing is known of it");
        leaders.add(session, leader, None);
        assert_eq!([leader, below].map(|pid| leaders.session_of(pid)), [Some(session); 2]);
        assert_eq!(leaders.session_of(u32::MAX), None, "no process");
        leaders.add(session, leader, Some(boot_ms() - 10_000));
        assert_eq!(leaders.session_of(below), None, "the pid is another process's");
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_first_process_that_has_ended_or_has_its_pid_from_another_one_does_not_count() {
        let (leaders, session) = (Leaders::default(), SessionId::from_parts(1, 1));
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        leaders.add(session, child.id(), None);
        assert_eq!(leaders.of(session), Some(child.id()));
        let before = Some(boot_ms() - 10_000);
        leaders.add(session, child.id(), before);
        assert_eq!(leaders.of(session), None, "it started later");
        leaders.replace([(session, child.id(), before)].into_iter());
        assert_eq!(leaders.of(session), None, "also for a node that has just connected");
        leaders.add(session, child.id(), Some(boot_ms()));
        drop(child.stdin.take());
        rustix::process::waitid(
            rustix::process::WaitId::Pid(rustix::process::Pid::from_child(&child)),
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
        )
        .unwrap();
        assert_eq!(leaders.of(session), None, "a zombie");
        child.wait().unwrap();
        assert_eq!(leaders.of(session), None, "gone");
    }
}
