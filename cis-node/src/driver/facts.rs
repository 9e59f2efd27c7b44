//! What the session host says, and finding out after a restart what became of its sessions.

use std::sync::atomic::Ordering;

use super::Driver;
use super::host_link::Greeting;
use super::spec::{Moment, complete, outline, slots};
use cis_core::api::{FromWorker, Refusal, ToWorker, Worker as _};
use cis_core::event::{EventBody, EventDraft, ExitStatus, LostBy, LostOutput, SessionLimit};
use cis_core::ids::{AttemptId, SessionId, TimestampMs};
use cis_core::scheduler::{Input, InputKind, LiveAttempt};
use cis_host::exits;
use cis_host::hub::Ended;
use cis_host::protocol::{Exit, FromHost, Known, ToHost};

/// Cause of the loss of sessions.
pub(super) const HOST_ENDED: &str = "its session host ended";

impl Driver {
    /// Takes what the host has said; notices that it is gone.
    pub(super) fn host_turn(&mut self, now: TimestampMs) {
        if self.host.is_retry_due() {
            self.connect_host(now);
        }
        match self.host.receive() {
            Some(mut messages) => {
                for message in messages.drain(..) {
                    self.host_said(message, now);
                }
                self.host.take_back(messages);
            }
            None => self.host_gone(now),
        }
    }

    fn host_said(&mut self, message: FromHost, now: TimestampMs) {
        match message {
            FromHost::Started { session, pid, born_ms, .. } => {
                self.parts.shared.leaders.add(session, pid, born_ms);
                if self.parts.worker.attempt_of(session).is_some() {
                    self.parts.worker.started(session, pid);
                } else {
                    self.loner_started(session, pid);
                }
            }
            FromHost::StartFailed { session, why } => {
                if self.parts.worker.attempt_of(session).is_some() {
                    self.parts.worker.start_failed(session, why);
                } else {
                    self.loner_failed(session, &why, now);
                }
            }
            FromHost::Exited { session, exit } => self.session_exited(session, &exit),
            FromHost::Expiring { session, limit, at_ms } => self.session_expires(session, limit, at_ms, now),
            FromHost::LogTrouble { session, detail } => {
                tracing::warn!(%session, detail, "the log of a session has gaps");
                self.log_trouble = Some(format!("the log of session {session} has gaps: {detail}"));
            }
            FromHost::NoSuchSession { session } => {
                tracing::debug!(%session, "the host knows no such session")
            }
            FromHost::Welcome { .. }
            | FromHost::NotRenewed { .. }
            | FromHost::InputRefused { .. }
            | FromHost::InputMoved { .. }
            | FromHost::Refused { .. }
            | FromHost::Written { .. }
            | FromHost::Gap { .. }
            | FromHost::Probed { .. } => {}
        }
    }

    fn session_expires(
        &mut self,
        session: SessionId,
        limit: SessionLimit,
        at_ms: TimestampMs,
        now: TimestampMs,
    ) {
        if self.held_by(session).is_some() {
            return; // Its coordinator knows the limits.
        }
        let (run, task) = self.names_of(session);
        let body = EventBody::SessionExpiring { session, task, limit, at_ms };
        let draft = EventDraft { run, at_ms: now, actor: None, cause: None, body };
        self.turn.draft(draft);
    }

    pub(super) fn session_exited(&mut self, session: SessionId, exit: &Exit) {
        self.parts.shared.leaders.remove(session);
        if let Some(known) = self.unread.sessions.get_mut(&session) {
            // Whose it is will be known when everything can be read: the host keeps it until then.
            known.exit = Some(exit.clone());
            return;
        }
        // The hub knows those that were shown, and waking it for each of many short ones would cost more
        // than everything else that is done for them.
        self.attention.forget(session);
        self.inbox.forget(session);
        self.parts.shared.held_asks.forget(session);
        let shown = self.parts.worker.is_exposed(session) || self.loners.contains(session);
        let ours = self.parts.worker.exited(session, exit) || self.loner_exited(session, exit);
        if ours && shown {
            self.parts.hub.close(session, ended(exit));
        } else if !ours {
            // Its result is recorded already, or its run is not ours any more.
            self.tell_host(&ToHost::AckExit { session });
        }
    }

    fn host_gone(&mut self, now: TimestampMs) {
        let gone = self.host.instance();
        // The next host reports these sessions after it has ended their leftover processes.
        let ended: Vec<Known> = exits::read(&self.parts.home.dir.join(exits::FILE));
        for known in ended.iter().filter(|known| self.parts.worker.is_exposed(known.session)) {
            self.parts.hub.close(known.session, Ended { detail: HOST_ENDED.to_owned(), exit_code: None });
        }
        let ended: Vec<SessionId> = ended.into_iter().map(|known| known.session).collect();
        self.parts.shared.leaders.replace(std::iter::empty());
        self.parts.machine.set_host(None);
        self.parts.worker.host_lost();
        self.unread.sessions.clear();
        self.handle(
            Input::internal(InputKind::NodeLost {
                node: self.parts.did.clone(),
                host: gone,
                by: LostBy::Host,
                ended: ended.clone(),
            }),
            now,
        );
        // What this node has for others is settled with the next host too: before that, processes of a session may be at work, and
        // another node would get its task.
        self.standalone_lost(&ended, now);
        self.attention.clear();
        self.inbox.clear();
        self.connect_host(now);
        // Without a host it takes no tasks.
        self.offer_changed();
    }

    /// Tells the host something short.
    pub(super) fn tell_host(&mut self, message: &ToHost) {
        if let Err(error) = self.host.send(message) {
            tracing::error!(%error, "a message to the session host was not sent");
        }
    }

    /// Connects, and settles what became of every session that was live when the line broke.
    pub(super) fn connect_host(&mut self, now: TimestampMs) {
        let Some(greeting) = self.host.connect(now) else { return };
        let live = greeting.sessions.iter().filter(|known| known.exit.is_none());
        self.parts.shared.leaders.replace(live.map(|known| (known.session, known.pid, known.born_ms)));
        self.parts.shared.host_pid.store(self.host.pid().unwrap_or(0), Ordering::Relaxed);
        self.supervised = None;
        self.parts.worker.host_connected();
        self.parts.hub.host_changed();
        self.parts.machine.set_host(Some(greeting.instance));
        self.offer_changed();
        self.reconcile(greeting, now);
    }

    fn reconcile(&mut self, greeting: Greeting, now: TimestampMs) {
        self.unread.sessions = greeting.sessions.into_iter().map(|known| (known.session, known)).collect();
        self.recall();
        for live in self.parts.machine.live_attempts().collect::<Vec<_>>() {
            // What of runs in rooms is left, its workers are asked.
            if self.is_elsewhere(&live) {
                continue;
            }
            self.settle(live, now);
        }
        self.settle_held(now);
        self.reconcile_loners(now);
        self.let_go_of_nobodys();
        self.worker_said(now);
    }

    /// Settles what became of an attempt that was live: its session goes on here, has ended, or is lost.
    pub(super) fn settle(&mut self, live: LiveAttempt, now: TimestampMs) {
        let Some(there) = self.unread.sessions.remove(&live.session) else {
            if live.host != self.host.instance() || live.cancelling || live.started {
                return self.lost(live.attempt, HOST_ENDED.to_owned(), now);
            }
            // It never began, and whether its turn is still to come is for the scheduler to say.
            let (attempt, fence, reason) = (live.attempt, live.fence, Refusal::Withdrawn { full: false });
            let refused = FromWorker::Refused { attempt, fence, reason };
            return self.handle(Input::internal(InputKind::Worker(refused)), now);
        };
        let Some(run) = self.parts.machine.run(&live.attempt.run) else { return };
        let slots = slots(run);
        let completed = complete(run, &live.attempt, &self.parts.home, &self.parts.blobs, Moment::Running);
        let spec = match completed {
            Ok(spec) => spec,
            // What runs already needs its program no more.
            Err(detail) => {
                tracing::warn!(attempt = %live.attempt, detail, "a live session is taken over as it is");
                match outline(run, &live.attempt) {
                    Some(spec) => spec,
                    None => return self.lost(live.attempt, detail, now),
                }
            }
        };
        let worker = &mut self.parts.worker;
        worker.adopt(&live.attempt, live.session, live.fence, slots, spec, &there);
        if live.cancelling {
            let LiveAttempt { attempt, fence, grace_ms, handed_in_ms, .. } = live;
            if let Some(at_ms) = handed_in_ms {
                worker.was_handed_in(live.session, at_ms);
            }
            let keep = handed_in_ms.is_some();
            worker.tell(ToWorker::Cancel { attempt, fence, grace_ms, keep });
        }
        if let Some(exit) = there.exit {
            self.session_exited(live.session, &exit);
        }
    }

    fn lost(&mut self, attempt: AttemptId, detail: String, now: TimestampMs) {
        self.handle(Input::internal(InputKind::AttemptLost { attempt, detail }), now);
    }
}

/// How a session ended, for those who look at it.
pub(super) fn ended(exit: &Exit) -> Ended {
    // A request of people takes precedence over a limit.
    let (idle, timed_out) = (exit.idle && !exit.killed, exit.timed_out && !exit.killed);
    let (detail, exit_code) = match exit.status {
        ExitStatus::Code(code) if idle => (format!("idle for too long, exit code {code}"), Some(code)),
        ExitStatus::Signal(signal) if idle => (format!("idle for too long, ended by signal {signal}"), None),
        ExitStatus::Code(code) if timed_out => (format!("timed out, exit code {code}"), Some(code)),
        ExitStatus::Code(code) => (format!("exit code {code}"), Some(code)),
        ExitStatus::Signal(signal) if timed_out => (format!("timed out, ended by signal {signal}"), None),
        ExitStatus::Signal(signal) => (format!("ended by signal {signal}"), None),
    };
    Ended { detail, exit_code }
}

/// The event that a session without a run ended.
pub(super) fn loner_ended(session: SessionId, exit: &Exit) -> EventBody {
    let why = match exit {
        Exit { killed: true, .. } => Some("terminated"),
        Exit { idle: true, .. } => Some("idle for too long"),
        Exit { timed_out: true, .. } => Some("its lifetime was over"),
        _ => None,
    };
    let lost = exit.lost_output.as_ref().map(LostOutput::to_string);
    let detail = [why.map(str::to_owned), lost].into_iter().flatten().collect::<Vec<_>>().join("; ");
    EventBody::SessionEnded {
        session,
        exit: Some(exit.status),
        detail: (!detail.is_empty()).then_some(detail),
        ended_ms: exit.ended_ms,
        log_bytes: exit.output_bytes,
    }
}
