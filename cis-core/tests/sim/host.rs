//! The other side: a session host with its worker. Keeps results until they are acknowledged,
//! starts a session once however often it is asked, and dies with all that it had.

use std::collections::BTreeMap;

use cis_core::api::{FromWorker, Refusal, Report};
use cis_core::event::{AttemptOutcome, ExitStatus, FailureCause, OutputRecord, SessionState};
use cis_core::ids::{AttemptId, Fence, HostInstance, SessionId, TimestampMs};

use crate::rng::Rng;

#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) attempt: AttemptId,
    pub(crate) fence: Fence,
    pid: u32,
    started_ms: TimestampMs,
    pub(crate) ends_ms: TimestampMs,
    outcome: AttemptOutcome,
    /// Waits for a human: it does not end before that is over.
    pub(crate) blocked: bool,
    pub(crate) episode: u32,
    /// It ended; kept until acknowledged.
    pub(crate) report: Option<Report>,
}

impl Session {
    pub(crate) fn is_running(&self) -> bool {
        self.report.is_none()
    }

    pub(crate) fn ready_to_end(&self) -> Option<TimestampMs> {
        (self.is_running() && !self.blocked).then_some(self.ends_ms)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) instance: HostInstance,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// Of 100 starts so many are refused.
    pub(crate) short_percent: u64,
    pub(crate) pids: u32,
}

impl Host {
    pub(crate) fn new(n: u128) -> Self {
        let instance = HostInstance::from_parts(1, n);
        Self { instance, sessions: BTreeMap::new(), short_percent: 0, pids: 100 }
    }

    /// Everything it had is gone; the next one is another instance.
    pub(crate) fn dies(&mut self) {
        let next = self.instance.0.0 + 1;
        *self = Self { pids: self.pids, short_percent: self.short_percent, ..Self::new(next & 0xffff_ffff) };
    }

    pub(crate) fn start(
        &mut self,
        rng: &mut Rng,
        now: TimestampMs,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
    ) -> Vec<FromWorker> {
        let attempt = attempt.clone();
        if !self.sessions.contains_key(&session) {
            if rng.percent(self.short_percent) {
                let reason = if rng.percent(95) {
                    Refusal::Resources { detail: "no PTY is left".into() }
                } else {
                    Refusal::Policy { detail: "not here".into() }
                };
                return vec![FromWorker::Refused { attempt, fence, reason }];
            }
            self.pids += 1;
            let fresh = Session {
                attempt: attempt.clone(),
                fence,
                pid: self.pids,
                started_ms: now,
                ends_ms: now + i64::try_from(rng.below(3000)).unwrap(),
                outcome: outcome(rng),
                blocked: false,
                episode: 0,
                report: None,
            };
            self.sessions.insert(session, fresh);
        }
        let known = &self.sessions[&session];
        let (state, pid) = (SessionState::Working, Some(known.pid));
        vec![
            FromWorker::Claimed { attempt: attempt.clone(), fence },
            FromWorker::Session { attempt, fence, state, pid },
        ]
    }

    /// SIGTERM: most end by it, some finish what they were at.
    pub(crate) fn cancel(&mut self, rng: &mut Rng, now: TimestampMs, attempt: &AttemptId, grace_ms: u64) {
        let running = self.sessions.values_mut().find(|s| s.attempt == *attempt && s.is_running());
        let Some(session) = running else { return };
        session.blocked = false;
        session.ends_ms = session.ends_ms.min(now + i64::try_from(grace_ms).unwrap());
        session.outcome = match rng.weighted(&[70, 20, 10]) {
            0 => AttemptOutcome::Cancelled,
            1 => AttemptOutcome::Failed { cause: FailureCause::Exit { status: ExitStatus::Signal(15) } },
            _ => AttemptOutcome::Succeeded,
        };
    }

    pub(crate) fn acknowledged(&mut self, attempt: &AttemptId) -> Result<(), String> {
        let found = self.sessions.iter().find(|(_, s)| s.attempt == *attempt).map(|(id, _)| *id);
        match found {
            Some(id) if self.sessions[&id].is_running() => {
                Err(format!("{attempt} acknowledged while it runs"))
            }
            Some(id) => {
                self.sessions.remove(&id);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Sessions whose time is over end and say so.
    pub(crate) fn pass_time(&mut self, now: TimestampMs) -> Vec<FromWorker> {
        let mut said = Vec::new();
        for session in self.sessions.values_mut() {
            if session.ready_to_end().is_some_and(|at| at <= now) {
                session.report = Some(report(session));
                if session.pid.is_multiple_of(3) {
                    // Collecting what it left takes a while.
                    said.push(FromWorker::Session {
                        attempt: session.attempt.clone(),
                        fence: session.fence,
                        state: SessionState::Exited,
                        pid: Some(session.pid),
                    });
                }
                said.extend(result(session));
            }
        }
        said
    }

    /// Results that nobody acknowledged, again.
    pub(crate) fn repeat(&self) -> Vec<FromWorker> {
        self.sessions.values().filter_map(result).collect()
    }

    pub(crate) fn next_end(&self) -> Option<TimestampMs> {
        self.sessions.values().filter_map(Session::ready_to_end).min()
    }
}

fn outcome(rng: &mut Rng) -> AttemptOutcome {
    match rng.weighted(&[68, 24, 4, 2, 2]) {
        0 => AttemptOutcome::Succeeded,
        1 => AttemptOutcome::Failed { cause: FailureCause::Exit { status: ExitStatus::Code(1) } },
        2 => AttemptOutcome::Failed { cause: FailureCause::Timeout { limit_ms: 1 } },
        3 => AttemptOutcome::SpawnError { detail: "no such program".into() },
        _ => AttemptOutcome::Cancelled,
    }
}

fn report(session: &Session) -> Report {
    let output = OutputRecord { value: session.pid.into(), hash: "00".into(), blob: None };
    Report {
        outcome: session.outcome.clone(),
        exit: None,
        started_ms: Some(session.started_ms),
        ended_ms: session.ends_ms,
        outputs: BTreeMap::from([("pid".to_owned(), output)]),
        artifacts: Vec::new(),
        cached: session.pid.is_multiple_of(11).then(|| "X:earlier#1".to_owned()),
        log_bytes: 10,
        log_hash: None,
    }
}

fn result(session: &Session) -> Option<FromWorker> {
    let (attempt, fence) = (session.attempt.clone(), session.fence);
    session.report.clone().map(|report| FromWorker::Result { attempt, fence, report: Box::new(report) })
}
