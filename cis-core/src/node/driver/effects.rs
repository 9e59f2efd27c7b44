//! Performing what the scheduler decided, after it is durable.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use serde_json::Value;

use super::Driver;
use crate::api::{FromWorker, Program, Report, TaskSpec, ToWorker, Worker as _};
use crate::dag::{SecretSource, Task, template};
use crate::event::{AttemptOutcome, FailureCause, OutputRecord};
use crate::ids::{AttemptId, Fence, SessionId, TaskId, TimestampMs};
use crate::node::worker::LOG_LIMIT_BYTES;
use crate::scheduler::{Effect, Run};
use crate::session::hub::SessionInfo;
use crate::session::protocol::{StartFailure, ToHost};
use crate::store::Blobs;

impl Driver {
    pub(super) fn perform(&mut self, now: TimestampMs) {
        for effect in self.parts.machine.drain_effects().collect::<Vec<_>>() {
            match effect {
                Effect::Grant { attempt, session, fence } => self.grant(attempt, session, fence, now),
                Effect::Cancel { attempt, fence, grace_ms } => {
                    self.parts.worker.tell(ToWorker::Cancel { attempt, fence, grace_ms });
                }
                Effect::Withdraw { run } => self.parts.worker.withdraw(run),
                Effect::Ack { attempt, fence } => self.parts.worker.tell(ToWorker::Ack { attempt, fence }),
            }
        }
        self.forget_ended();
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

    fn forget_ended(&mut self) {
        for run in self.parts.machine.forget_ended() {
            if let Some(base) = &run.facts().base_env {
                self.parts.worker.drop_environment(base);
            }
        }
    }

    fn grant(&mut self, attempt: AttemptId, session: SessionId, fence: Fence, now: TimestampMs) {
        let Some(run) = self.parts.machine.run(&attempt.run) else { return };
        match complete(run, &attempt, &self.parts.blobs) {
            Ok(spec) => {
                let (spec, slots) = (Box::new(spec), slots(run));
                let grant = ToWorker::Grant { attempt, session, fence, lease_ms: None, slots, spec };
                self.parts.worker.tell(grant);
            }
            Err(detail) => {
                let report = Report {
                    outcome: AttemptOutcome::Failed { cause: FailureCause::Input { detail } },
                    exit: None,
                    started_ms: None,
                    ended_ms: now,
                    outputs: BTreeMap::new(),
                    artifacts: Vec::new(),
                    cached: None,
                    log_bytes: 0,
                    log_hash: None,
                };
                self.parts.worker.said.push(FromWorker::Result { attempt, fence, report: Box::new(report) });
            }
        }
    }

    /// Sessions that have become visible: their terminals are read from now on.
    pub(super) fn open_exposed(&mut self) {
        for exposure in self.parts.worker.exposed.drain(..) {
            self.parts.hub.open(SessionInfo {
                id: exposure.session,
                tty: exposure.tty,
                size: exposure.size.unwrap_or_default(),
                log: exposure.log,
                live_from: (!exposure.adopted).then_some(0),
                redactor: exposure.redactor,
            });
        }
    }

    /// Tells the host whether this node is to be started again when it dies.
    pub(super) fn supervise(&mut self) {
        // What could not be read may be open as well.
        let wanted = self.parts.machine.open_runs().next().is_some() || !self.unread.sessions.is_empty();
        if self.supervised == Some(wanted) {
            return;
        }
        self.supervised = Some(wanted);
        let restart = wanted.then(|| self.parts.restart.clone());
        self.tell_host(&ToHost::Supervise { restart });
        self.parts.shared.host_pid.store(self.host.pid().unwrap_or(0), Ordering::Relaxed);
    }
}

/// The spec of an attempt, complete in itself: values filled in, paths absolute.
pub(super) fn complete(run: &Run, attempt: &AttemptId, blobs: &Blobs) -> Result<TaskSpec, String> {
    let facts = run.facts();
    let task = run
        .task(&attempt.task)
        .map(|(spec, _)| spec)
        .ok_or_else(|| format!("the run has no task `{}`", attempt.task))?;
    let (outputs, sensitive) = needed_outputs(run, task, blobs)?;
    let rendered = template::render(
        task,
        &template::Values {
            run: &attempt.run.to_string(),
            dag: &facts.dag,
            attempt: attempt.number,
            params: &facts.params,
            outputs: &outputs,
            tails: &BTreeMap::new(),
            item: None,
        },
    )
    .map_err(|e| e.to_string())?;
    let mut spec = outlined(run, task);
    let workdir = Path::new(&facts.workdir);
    let cwd = rendered.cwd.map_or_else(|| workdir.to_owned(), |cwd| workdir.join(cwd));
    spec.program = rendered.program;
    spec.env = rendered.env;
    spec.cwd = cwd.display().to_string();
    spec.sensitive = sensitive;
    Ok(spec)
}

/// How many sessions of a run may run at once: one that waits for a human holds no slot.
pub(super) fn slots(run: &Run) -> u32 {
    run.facts().max_parallel.max(1).saturating_add(run.blocked_count())
}

/// The spec of an attempt whose session runs already, without what only a start needs: program,
/// environment, and the values of earlier tasks.
pub(super) fn outline(run: &Run, attempt: &AttemptId) -> Option<TaskSpec> {
    run.task(&attempt.task).map(|(task, _)| outlined(run, task))
}

fn outlined(run: &Run, task: &Task) -> TaskSpec {
    let facts = run.facts();
    let workdir = Path::new(&facts.workdir);
    let secrets = task.secrets.iter().map(|(name, source)| {
        let source = match source {
            SecretSource::Env(variable) => SecretSource::Env(variable.clone()),
            SecretSource::File(path) => SecretSource::File(workdir.join(path).display().to_string()),
        };
        (name.clone(), source)
    });
    TaskSpec {
        program: Program::Argv(vec![task.id.to_string()]),
        env: BTreeMap::new(),
        base_env: facts.base_env.clone(),
        umask: facts.umask,
        cwd: facts.workdir.clone(),
        tty: task.tty,
        secrets: secrets.collect(),
        sensitive: Vec::new(),
        timeout_ms: task.timeout_ms,
        idle_ms: task.idle_ms,
        grace_ms: task.grace_ms,
        log_limit_bytes: LOG_LIMIT_BYTES,
        outputs: task.outputs.clone(),
        artifacts: Vec::new(),
        cache: None,
        context: None,
        profile: None,
        inputs: BTreeMap::new(),
    }
}

type Outputs = BTreeMap<TaskId, BTreeMap<String, Value>>;

/// Real values of the outputs that the task's texts refer to, and those among them that hold secrets.
fn needed_outputs(run: &Run, task: &Task, blobs: &Blobs) -> Result<(Outputs, Vec<String>), String> {
    let mut found = Outputs::new();
    let mut sensitive = Vec::new();
    for (need, name) in template::referenced_outputs(task) {
        let Some(record) = run.task(&need).and_then(|(_, entry)| entry.outputs.get(&name)) else {
            return Err(format!(
                "it refers to the output `{name}` of `{need}`, which has none (it may have failed or been skipped)"
            ));
        };
        let value = real_value(record, blobs)?;
        if record.blob.is_some() {
            // As text it reaches the task in this form.
            sensitive.push(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        found.entry(need).or_default().insert(name, value);
    }
    Ok((found, sensitive))
}

fn real_value(record: &OutputRecord, blobs: &Blobs) -> Result<Value, String> {
    let Some(blob) = &record.blob else { return Ok(record.value.clone()) };
    let bytes = blobs
        .get(blob)
        .map_err(|e| format!("the value of an output cannot be read: {e}"))?
        .ok_or_else(|| "the value of an output is gone from the blobs".to_owned())?;
    serde_json::from_slice(&bytes).map_err(|e| format!("the value of an output is damaged: {e}"))
}
