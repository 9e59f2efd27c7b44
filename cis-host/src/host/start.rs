//! Starting a session, at once or when its turn in a queue comes.

use std::path::PathBuf;

use super::inputs::Inputs;
use super::launch::resources;
use super::patience::Patience;
use super::session::{Deadline, Flow, Life, Session};
use super::state::Host;
use crate::evidence::Impatience;
use crate::exits;
use crate::log::LogWriter;
use crate::os::boot_ms;
use crate::protocol::{FromHost, Known, Start, StartFailure};
use cis_core::ids::{RunId, SessionId};

/// Sessions that end within this time are never polled, and their start is told with their end, ms:
/// for a node that runs many short commands, a wake-up and a message less for each.
const FRESH_MS: u64 = 2;

impl Host {
    /// Starts it, or says what is known of it. Answered with `Started` or `StartFailed`.
    pub(super) fn start(&mut self, at: usize, start: Start) {
        let id = start.session;
        if let Some(session) = self.sessions.slot_of(id).and_then(|slot| self.sessions.get(slot)) {
            self.peers.say(at, &session.start_message());
            if let Some(exit) = session.exit().cloned() {
                self.peers.say(at, &FromHost::Exited { session: id, exit });
            }
            return;
        }
        if let Some(Known { pid, started_ms, exit: Some(exit), .. }) = self.notes.left(id) {
            let started = FromHost::Started { session: id, pid: *pid, at_ms: *started_ms, born_ms: None };
            self.peers.say(at, &started);
            self.peers.say(at, &FromHost::Exited { session: id, exit: exit.clone() });
            return;
        }
        if let Some(queue) = start.line {
            self.queues.join(queue, Box::new(start));
            return self.start_queued(queue.of);
        }
        match self.spawn_session(start) {
            Ok(slot) => {
                let Some(session) = self.sessions.get(slot) else { return };
                self.peers.say_soon(at, &session.start_message());
                self.wish(slot);
            }
            Err(why) => self.peers.say(at, &FromHost::StartFailed { session: id, why }),
        }
    }

    fn spawn_session(&mut self, start: Start) -> Result<usize, StartFailure> {
        if self.shutting_down {
            return Err(resources("the session host is shutting down"));
        }
        if start.lease.is_some_and(|lease| lease.until_ms <= self.now) {
            return Err(resources("the lease of the task was over before it could start"));
        }
        let prepared = self.launcher.prepare(&start, self.sessions.leaders() as u64)?;
        let promise = self.notes.reserve(&start, &self.sessions).map_err(|error| {
            let path = self.config.home.join(exits::FILE);
            resources(&format!(
                "cannot reserve space for the end of the session in {}: {error}",
                path.display()
            ))
        })?;
        let launched = match self.launcher.launch(&start, prepared, self.now) {
            Ok(launched) => launched,
            Err(why) => {
                self.notes.release(promise);
                return Err(why);
            }
        };
        let log = self.log_at(PathBuf::from(&start.log), start.log_limit_bytes);
        let born_ms = boot_ms();
        self.processes.drop_snapshot();
        let now = self.now;
        let patience = Patience::of(&start, now);
        let timeout_at = start.timeout_ms.map(|timeout| now.saturating_add(timeout));
        Ok(self.sessions.insert(Session {
            id: start.session,
            label: start.label.into(),
            queue: start.line.map(|queue| queue.of),
            told: start.line.is_none(),
            stamp: launched.stamp,
            pid: launched.pid,
            started_ms: self.now_unix,
            started: now,
            born_ms,
            descriptors: launched.descriptors,
            terminal: launched.terminal,
            impatience: Impatience::default(),
            passes_on: false,
            flow: Flow::Open,
            polled: false,
            inputs: Inputs::default(),
            log,
            last_output: now,
            last_input: now,
            grace_ms: start.grace_ms,
            timeout_at,
            patience,
            deadline: start.lease.map(Deadline::of),
            life: Life::begin(),
            seen: Vec::new(),
            promise,
            noted: None,
            watchers: Vec::new(),
        }))
    }

    /// Returns the writer of a log. It works in the directory of this process if the log is in the home.
    fn log_at(&mut self, path: PathBuf, limit_bytes: u64) -> LogWriter {
        let log = LogWriter::new(path, limit_bytes);
        if !self.works_in_home {
            return log;
        }
        let log = log.within(&self.home);
        if log.is_within() {
            return log;
        }
        // Only for a path that is not in the home as it was known last: the call takes as long as making a pipe.
        self.home = self.present_home();
        log.within(&self.home)
    }

    /// Begins to poll the sessions that did not end at once, and tells of their start.
    pub(super) fn poll_fresh(&mut self) {
        while let Some(slot) = self.sessions.fresh.front().copied() {
            if let Some(session) = self.sessions.get(slot).filter(|session| session.lives()) {
                if self.now - session.started < FRESH_MS {
                    return;
                }
                if !session.polled {
                    self.poll_output(slot);
                }
                if self
                    .sessions
                    .get(slot)
                    .is_some_and(|session| !session.polled && session.flow != Flow::Ended)
                {
                    // For want of memory: again in a moment.
                    return;
                }
                self.tell_start(slot);
                if let Some(at) = self.peers.control {
                    self.peers.list(at);
                }
            }
            self.sessions.fresh.pop_front();
        }
    }

    /// Tells of the start of a session, where that was not done at once.
    fn tell_start(&mut self, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot).filter(|session| !session.told) else { return };
        session.told = true;
        let start = session.start_message();
        if let Some(at) = self.peers.control {
            self.peers.say_soon(at, &start);
        }
    }

    /// Begins all sessions of a queue whose turn it is. Their start is told when they have lived for a moment, or not at all.
    fn start_queued(&mut self, of: RunId) {
        while let Some(start) = self.queues.next(of) {
            let session = start.session;
            match self.spawn_session(*start) {
                Ok(slot) => {
                    self.queues.began(of);
                    self.wish(slot);
                }
                Err(why) => self.peers.say_to_control(&FromHost::StartFailed { session, why }),
            }
        }
    }

    /// A session of the queue is over: the next one begins. True where the node may hear of the end later.
    pub(super) fn leave_queue(&mut self, of: RunId) -> bool {
        self.queues.left(of);
        self.start_queued(of);
        self.queues.is_full(of)
    }

    /// Takes a session out of its queue, if it has not begun. True where it was there.
    pub(super) fn withdraw(&mut self, session: SessionId) -> bool {
        let withdrawn = self.queues.withdraw(session);
        if withdrawn {
            self.say_withdrawn(session);
        }
        withdrawn
    }

    /// Nothing that waits begins any more.
    pub(super) fn empty_queues(&mut self) {
        self.queues.clear().into_iter().for_each(|session| self.say_withdrawn(session));
    }

    fn say_withdrawn(&mut self, session: SessionId) {
        let why = StartFailure::Withdrawn {};
        self.peers.say_to_control(&FromHost::StartFailed { session, why });
    }
}
