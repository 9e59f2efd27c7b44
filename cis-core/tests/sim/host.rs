//! The other side: a session host with its worker. Keeps results until they are acknowledged,
//! starts a session once however often it is asked, lets those that came ahead wait for their turn in the
//! line of their run, and dies with all that it had.

use std::collections::{BTreeMap, VecDeque};

use cis_core::api::{FromWorker, Refusal, Report};
use cis_core::event::{AttemptOutcome, ExitStatus, FailureCause, OutputRecord, PromptKind, SessionState};
use cis_core::ids::{AttemptId, Fence, HostInstance, RunId, SessionId, TimestampMs};

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
    pub(crate) kind: PromptKind,
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

/// A session that has not begun.
#[derive(Debug, Clone)]
struct Waiting {
    attempt: AttemptId,
    session: SessionId,
    fence: Fence,
}

impl Waiting {
    fn withdrawn(self) -> FromWorker {
        FromWorker::Refused {
            attempt: self.attempt,
            fence: self.fence,
            reason: Refusal::Withdrawn { full: false },
        }
    }
}

/// Those of one run that wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    at_once: usize,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) instance: HostInstance,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) lines: BTreeMap<RunId, Line>,
    /// Sessions that began and were not looked at yet.
    pub(crate) begun: Vec<SessionId>,
    /// Of 100 starts so many are refused.
    pub(crate) short_percent: u64,
    pub(crate) pids: u32,
}

impl Host {
    pub(crate) fn new(n: u128) -> Self {
        let instance = HostInstance::from_parts(1, n);
        let (sessions, lines, begun) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { instance, sessions, lines, begun, short_percent: 0, pids: 100 }
    }

    /// Everything it had is gone; the next one is another instance.
    pub(crate) fn dies(&mut self) {
        let next = self.instance.0.0 + 1;
        *self = Self { pids: self.pids, short_percent: self.short_percent, ..Self::new(next & 0xffff_ffff) };
    }

    /// Begins it, or lets it wait until fewer than `at_once` of its run live.
    pub(crate) fn start(
        &mut self,
        rng: &mut Rng,
        now: TimestampMs,
        (attempt, session, fence): (&AttemptId, SessionId, Fence),
        at_once: u32,
    ) -> Vec<FromWorker> {
        if let Some(known) = self.sessions.get(&session) {
            return begun(known);
        }
        let line = self.lines.entry(attempt.run).or_default();
        line.at_once = at_once as usize;
        if !line.waiting.iter().any(|other| other.session == session) {
            line.waiting.push_back(Waiting { attempt: attempt.clone(), session, fence });
        }
        self.go_on(rng, now, attempt.run)
    }

    /// Begins all of a run whose turn it is.
    pub(crate) fn go_on(&mut self, rng: &mut Rng, now: TimestampMs, run: RunId) -> Vec<FromWorker> {
        let mut said = Vec::new();
        loop {
            let alive = self.alive(run).count();
            let Some(line) = self.lines.get_mut(&run).filter(|line| alive < line.at_once) else { break };
            let Some(next) = line.waiting.pop_front() else { break };
            said.extend(self.begin(rng, now, next));
        }
        if self.lines.get(&run).is_some_and(|line| line.waiting.is_empty()) {
            self.lines.remove(&run);
        }
        said
    }

    fn begin(&mut self, rng: &mut Rng, now: TimestampMs, next: Waiting) -> Vec<FromWorker> {
        let Waiting { attempt, session, fence } = next;
        if rng.percent(self.short_percent) {
            let reason = if rng.percent(95) {
                Refusal::Resources { detail: "no PTY is left".into() }
            } else {
                Refusal::Policy { detail: "not here".into() }
            };
            return vec![FromWorker::Refused { attempt, fence, reason }];
        }
        self.pids += 1;
        let longest = if rng.percent(40) { 20 } else { 3000 };
        let fresh = Session {
            attempt,
            fence,
            pid: self.pids,
            started_ms: now,
            ends_ms: now + i64::try_from(rng.below(longest)).unwrap(),
            outcome: outcome(rng),
            blocked: false,
            episode: 0,
            kind: PromptKind::Question,
            report: None,
        };
        let said = begun(&fresh);
        self.sessions.insert(session, fresh);
        self.begun.push(session);
        said
    }

    /// Sessions of a run that have begun and not ended.
    pub(crate) fn alive(&self, run: RunId) -> impl Iterator<Item = &Session> {
        self.sessions.values().filter(move |s| s.attempt.run == run && s.is_running())
    }

    /// Takes back what waits of a run. What has begun goes on.
    pub(crate) fn withdraw(&mut self, run: RunId) -> Vec<FromWorker> {
        let line = self.lines.remove(&run).unwrap_or_default();
        line.waiting.into_iter().rev().map(Waiting::withdrawn).collect()
    }

    /// Another node says hello: it is told what has begun, and what waits is its to start anew.
    pub(crate) fn welcome(&mut self) {
        self.lines.clear();
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.sessions.is_empty() && self.lines.is_empty()
    }

    /// SIGTERM: most end by it, some finish what they were at.
    /// One that waits is only taken out of its line.
    pub(crate) fn cancel(
        &mut self,
        rng: &mut Rng,
        now: TimestampMs,
        attempt: &AttemptId,
        grace_ms: u64,
    ) -> Option<FromWorker> {
        if let Some(line) = self.lines.get_mut(&attempt.run)
            && let Some(at) = line.waiting.iter().position(|one| one.attempt == *attempt)
        {
            let withdrawn = line.waiting.remove(at).map(Waiting::withdrawn);
            if line.waiting.is_empty() {
                self.lines.remove(&attempt.run);
            }
            return withdrawn;
        }
        let session = self.sessions.values_mut().find(|s| s.attempt == *attempt && s.is_running())?;
        session.blocked = false;
        session.ends_ms = session.ends_ms.min(now + i64::try_from(grace_ms).unwrap());
        session.outcome = match rng.weighted(&[70, 20, 10]) {
            0 => AttemptOutcome::Cancelled,
            1 => AttemptOutcome::Failed { cause: FailureCause::Exit { status: ExitStatus::Signal(15) } },
            _ => AttemptOutcome::Succeeded,
        };
        None
    }

    pub(crate) fn acknowledged(&mut self, attempt: &AttemptId) -> Result<(), String> {
        if self.lines.values().flat_map(|line| &line.waiting).any(|one| one.attempt == *attempt) {
            return Err(format!("{attempt} acknowledged while it waits"));
        }
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

    /// Sessions whose time is over end and say so; those that wait for that begin.
    pub(crate) fn pass_time(&mut self, rng: &mut Rng, now: TimestampMs) -> Vec<FromWorker> {
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
        for run in self.lines.keys().copied().collect::<Vec<_>>() {
            said.extend(self.go_on(rng, now, run));
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

fn begun(session: &Session) -> Vec<FromWorker> {
    let (attempt, fence) = (session.attempt.clone(), session.fence);
    let (state, pid) = (SessionState::Working, Some(session.pid));
    vec![
        FromWorker::Claimed { attempt: attempt.clone(), fence },
        FromWorker::Session { attempt, fence, state, pid },
    ]
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
    let output = OutputRecord { value: session.pid.into(), hash: "00".into(), blob: None, hidden: false };
    Report {
        outcome: session.outcome.clone(),
        exit: None,
        started_ms: Some(session.started_ms),
        ended_ms: session.ends_ms,
        outputs: BTreeMap::from([("pid".to_owned(), output)]),
        sealed: BTreeMap::new(),
        artifacts: Vec::new(),
        files: None,
        cached: session.pid.is_multiple_of(11).then(|| "X:earlier#1".to_owned()),
        not_cached: None,
        cache_key: None,
        log_bytes: 10,
        lost_output: None,
        log: None,
    }
}

fn result(session: &Session) -> Option<FromWorker> {
    let (attempt, fence) = (session.attempt.clone(), session.fence);
    session.report.clone().map(|report| FromWorker::Result { attempt, fence, report: Box::new(report) })
}
