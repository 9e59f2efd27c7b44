//! Performing what the scheduler decided, after it is durable.

use std::sync::atomic::Ordering;

use super::notices::told;
use super::spec::{Moment, complete, slots};
use super::{Driver, ENDED_TIMES_MAX};
use crate::commands::DefaultAnswer;
use cis_core::api::{FromWorker, Refusal, Report, ToWorker, Worker as _};
use cis_core::event::{AttemptOutcome, FailureCause};
use cis_core::ids::{AttemptId, Fence, InputId, SessionId, TimestampMs};
use cis_core::monitor::{Idle, Profile};
use cis_core::scheduler::{Effect, Run};
use cis_host::hub::SessionInfo;
use cis_host::protocol::{StartFailure, ToHost};

impl Driver {
    pub(super) fn perform(&mut self, now: TimestampMs) {
        // Before what follows adds answers that are not durable yet.
        self.type_answers();
        self.let_go_of_ended();
        for effect in self.parts.machine.drain_effects().collect::<Vec<_>>() {
            match effect {
                Effect::Grant { attempt, session, fence, node } if self.goes_to_room(&attempt) => {
                    if !self.fetch_tails(&attempt, session, fence, Some(&node), now) {
                        self.grant_in_room(attempt, session, fence, node, now);
                    }
                }
                Effect::Grant { attempt, session, fence, .. } => {
                    if !self.waits_at_home(&attempt, session, fence) {
                        self.grant_at_home(attempt, session, fence, now);
                    }
                }
                Effect::AwaitRoom { run, number } => self.await_room(run, number, now),
                Effect::Cancel { attempt, fence, .. } if self.stop_at_home(&attempt, fence, now) => {}
                Effect::Cancel { attempt, fence, .. } if self.stop_giving(&attempt, fence, now) => {}
                Effect::Cancel { attempt, fence, grace_ms, keep } if self.is_given(&attempt, fence) => {
                    self.cancel_in_room(attempt, fence, grace_ms, keep);
                }
                Effect::Ack { attempt, fence } if self.is_given(&attempt, fence) => {
                    self.acknowledge_in_room(attempt, fence, now);
                }
                Effect::Cancel { attempt, fence, grace_ms, keep } => {
                    self.parts.worker.tell(ToWorker::Cancel { attempt, fence, grace_ms, keep });
                }
                Effect::Withdraw { run } => self.parts.worker.withdraw(run),
                Effect::Ack { attempt, fence } => self.parts.worker.tell(ToWorker::Ack { attempt, fence }),
                Effect::Answer { attempt, session, item, answer } => {
                    self.answer_by_default(DefaultAnswer { attempt, session, item, answer }, now);
                }
                Effect::Escalate { attempt, session, item, notify } => {
                    self.notices.tell(told("escalated", &attempt, session, item, notify));
                }
                Effect::RunCommand { attempt, session, prompt } => {
                    self.run_on_blocked(&attempt, session, prompt.item);
                }
            }
        }
        self.offer_grants(now);
        self.forget_ended(now);
        for (session, text) in self.parts.worker.to_type.drain(..) {
            self.parts.hub.type_soon(session, InputId(ulid::Ulid::new()), text.into_bytes());
        }
        // Before a task starts that gets a new secret.
        self.hide_new_secrets();
        let mut messages = std::mem::take(&mut self.parts.worker.to_host);
        for message in messages.drain(..).chain(self.loners.take_waiting()) {
            self.deliver(&message, now);
        }
        // Its memory is used again by the next turn.
        messages.append(&mut self.parts.worker.to_host);
        self.parts.worker.to_host = messages;
    }

    /// Sends a message; a start that no frame can carry has failed.
    fn deliver(&mut self, message: &ToHost, now: TimestampMs) {
        let (Err(too_long), ToHost::Start(start)) = (self.host.send(message), message) else { return };
        let (session, why) = (start.session, StartFailure::Program { detail: too_long.to_string() });
        if self.parts.worker.attempt_of(session).is_some() {
            self.parts.worker.start_failed(session, why);
        } else {
            self.loner_failed(session, &why, now);
        }
    }

    fn forget_ended(&mut self, now: TimestampMs) {
        for run in self.parts.machine.forget_ended() {
            self.parts.worker.forget_logs(run.id());
            self.ended_times.retain(|known| known.run != run.id());
            self.ended_times.truncate(ENDED_TIMES_MAX - 1);
            self.ended_times.push_front(run.times(now, true));
            // Runs of one submitter share their environment, and what waits at the host still needs it.
            let base = run.facts().base_env.as_ref();
            let mut sharing = self
                .parts
                .machine
                .open_runs()
                .filter(|open| open.facts().base_env.as_ref() == base)
                .map(Run::secret_sources)
                .peekable();
            if let (Some(base), None) = (base, sharing.peek()) {
                self.parts.worker.forget_environment(base);
            }
            if sharing.all(|secrets| secrets != run.secret_sources()) {
                self.parts.worker.drop_environment(base, run.secret_sources());
            }
        }
    }

    /// Grants a task to the own worker, once what it gets is here.
    pub(super) fn grant_at_home(
        &mut self,
        attempt: AttemptId,
        session: SessionId,
        fence: Fence,
        now: TimestampMs,
    ) {
        let waits = self.fetch_tails(&attempt, session, fence, None, now)
            || self.place_files(&attempt, session, fence);
        if !waits {
            self.grant(attempt, session, fence, now);
        }
    }

    pub(super) fn grant(&mut self, attempt: AttemptId, session: SessionId, fence: Fence, now: TimestampMs) {
        // The node was paused while it waited for files or for the room: it is granted again after the pause.
        if self.parts.machine.is_paused() {
            let reason = Refusal::Withdrawn { full: false };
            return self.parts.worker.said.push(FromWorker::Refused { attempt, fence, reason });
        }
        let Some(run) = self.parts.machine.run(&attempt.run) else { return };
        match complete(run, &attempt, &self.parts.home, &self.parts.blobs, Moment::Start) {
            Ok(spec) => {
                let (spec, slots) = (Box::new(spec), slots(run));
                let grant = ToWorker::Grant { attempt, session, fence, lease_ms: None, slots, spec };
                self.parts.worker.tell(grant);
            }
            Err(detail) => {
                let outcome = AttemptOutcome::Failed { cause: FailureCause::Input { detail } };
                let report = Report::bare(outcome, None, now);
                self.parts.worker.said.push(FromWorker::Result { attempt, fence, report: Box::new(report) });
            }
        }
    }

    /// Sessions that have become visible: their terminals are read from now on.
    pub(super) fn open_exposed(&mut self) {
        for exposure in std::mem::take(&mut self.parts.worker.exposed) {
            let agent = exposure.profile.and_then(|name| self.parts.config.settings.agents.get(&name));
            // Who was given nothing to do waits for it, and so does whoever was started by a person.
            let is_task = self.parts.worker.attempt_of(exposure.session).is_some();
            let profile = match agent {
                Some(agent) if is_task => agent.screen.profile().with_idle(agent.idle),
                Some(agent) => agent.screen.profile().with_idle(Idle::Ask),
                None => Profile::plain(),
            };
            let work_due = self.prompt_is_due(exposure.session);
            let monitor = Some(self.attention.monitoring(exposure.session, profile, work_due));
            self.parts.hub.open(SessionInfo {
                id: exposure.session,
                tty: exposure.tty,
                size: exposure.size.unwrap_or_default(),
                log: exposure.log,
                live_from: (!exposure.adopted).then_some(0),
                redactor: exposure.redactor,
                monitor,
            });
        }
    }

    /// Tells the hub which sessions must hide values that have become known.
    fn hide_new_secrets(&mut self) {
        for (session, redactor) in self.parts.worker.redactors.drain(..) {
            self.parts.hub.redact(session, redactor);
        }
    }

    /// Tells the host whether this node is to be started again when it dies.
    pub(super) fn supervise(&mut self) {
        // What could not be read may be open as well.
        let wanted = self.parts.machine.open_runs().next().is_some()
            || !self.unread.sessions.is_empty()
            || self.federation.works();
        if self.supervised == Some(wanted) {
            return;
        }
        self.supervised = Some(wanted);
        let restart = wanted.then(|| self.parts.restart.clone());
        self.tell_host(&ToHost::Supervise { restart, receives_environment: true });
        self.parts.shared.host_pid.store(self.host.pid().unwrap_or(0), Ordering::Relaxed);
    }
}
