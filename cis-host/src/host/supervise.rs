//! The node is started again when it goes away without a word.

use std::ffi::{CStr, CString, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use super::server::Host;
use super::timers::Wake;
use crate::os::{self, Spawn, Streams};

/// Between two attempts, ms: from, doubling, to.
const PAUSE_MS: (u64, u64) = (1000, 60_000);
/// A node that was there for so long was not in a crash loop, ms.
const STABLE_MS: u64 = 10_000;

/// Who is to be restarted, and how that goes.
#[derive(Debug, Default)]
pub(super) struct Supervise {
    argv: Option<Vec<String>>,
    /// Whether the node receives its environment from its standard input.
    receives: bool,
    /// The node that the host started, until it ends.
    pub(super) node: Option<u32>,
    attempts: u32,
    /// When it is to be started.
    next: Option<u64>,
    connected_at: Option<u64>,
}

impl Supervise {
    pub(super) fn set(&mut self, argv: Option<Vec<String>>, receives_environment: bool) {
        self.receives = receives_environment;
        self.argv = argv.filter(|argv| !argv.is_empty());
        if self.argv.is_none() {
            self.next = None;
        }
    }

    /// There is a node, or there is to be one.
    pub(super) fn wants_node(&self) -> bool {
        self.argv.is_some()
    }

    /// A node is there.
    pub(super) fn connected(&mut self, now: u64) {
        self.next = None;
        self.connected_at = Some(now);
    }

    /// A child ended. True where it was the node that the host started.
    pub(super) fn ended(&mut self, pid: u32) -> bool {
        if self.node != Some(pid) {
            return false;
        }
        self.node = None;
        true
    }

    /// The node is not there any more: when to start the next.
    fn lost(&mut self, now: u64) -> Option<u64> {
        if self.connected_at.take().is_some_and(|since| now >= since + STABLE_MS) {
            self.attempts = 0;
        }
        self.argv.as_ref()?;
        self.next = Some(now + self.pause());
        self.next
    }

    fn pause(&self) -> u64 {
        PAUSE_MS.0.saturating_mul(1 << self.attempts.min(16)).min(PAUSE_MS.1)
    }
}

impl Host {
    /// The control connection was closed.
    pub(super) fn control_lost(&mut self) {
        if let Some(at_ms) = self.supervise.lost(self.now) {
            self.timers.wish(at_ms, Wake::Host);
        }
    }

    /// Starts the node where it is time. One that was started and has not connected yet is left alone
    /// as long as it lives.
    pub(super) fn restart_node_if_due(&mut self) {
        let due = self.supervise.next.is_some_and(|at_ms| at_ms <= self.now);
        if !due || self.control.is_some() || self.supervise.node.is_some() {
            return;
        }
        let Some(argv) = self.supervise.argv.clone() else { return };
        self.supervise.attempts += 1;
        let next = self.now + self.supervise.pause();
        self.supervise.next = Some(next);
        self.timers.wish(next, Wake::Host);
        self.supervise.node = self.spawn_node(&argv);
    }

    fn spawn_node(&mut self, argv: &[String]) -> Option<u32> {
        let mut stdin = None;
        let environment: Vec<CString> = if self.supervise.receives {
            stdin = Some(os::hand_over(std::env::vars_os()).ok()?);
            vec![os::HANDED_OVER.to_owned()]
        } else {
            let entry = |name: OsString, value: OsString| [name.as_bytes(), b"=", value.as_bytes()].concat();
            std::env::vars_os().filter_map(|(name, value)| CString::new(entry(name, value)).ok()).collect()
        };
        let environment: Vec<&CStr> = environment.iter().map(CString::as_c_str).collect();
        let path = std::env::var("PATH").unwrap_or_default();
        let program = self.programs.find(&argv[0], &path, "/", self.now).ok()?;
        let arguments: Vec<CString> = argv.iter().filter_map(|one| CString::new(one.as_str()).ok()).collect();
        let null = os::null_device().ok()?;
        let spawned = self.spawner.spawn(&Spawn {
            program: &program,
            arguments: &arguments,
            environment: &environment,
            directory: None,
            streams: Streams::Files {
                stdin: stdin.as_ref().map(AsFd::as_fd),
                stdout: null.as_fd(),
                stderr: rustix::stdio::stderr(),
            },
            limits: self.limits,
        });
        spawned.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_start_anew_after_a_stable_node() {
        let mut supervise = Supervise::default();
        assert_eq!(supervise.lost(0), None, "nothing is restarted unasked");
        supervise.set(Some(vec!["node".to_owned()]), false);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            pauses.push(supervise.lost(0).unwrap() / 1000);
            supervise.attempts += 1;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        supervise.connected(100);
        assert_eq!(supervise.lost(100 + STABLE_MS - 1), Some(100 + STABLE_MS - 1 + 60_000));
        supervise.connected(0);
        assert_eq!(supervise.lost(STABLE_MS), Some(STABLE_MS + 1000));
    }
}
