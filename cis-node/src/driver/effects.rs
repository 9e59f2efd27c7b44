//! Performing what the scheduler decided, after it is durable.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::notices::told;
use super::{Driver, ENDED_TIMES_MAX};
use crate::context;
use crate::small_file::{self, Links};
use cis_core::api::{CacheUse, FromWorker, Program, Report, TaskSpec, ToWorker, Worker as _};
use cis_core::dag::PROMPT_BYTES_MAX;
use cis_core::dag::{Action, CacheKey, Task, template};
use cis_core::event::{AttemptOutcome, FailureCause};
use cis_core::ids::{AttemptId, Fence, InputId, SessionId, TimestampMs};
use cis_core::monitor::{Idle, Profile};
use cis_core::policy::redact::Redactor;
use cis_core::scheduler::{Effect, Run};
use cis_host::hub::SessionInfo;
use cis_host::protocol::{StartFailure, ToHost};
use cis_local::Home;
use cis_store::Blobs;

impl Driver {
    pub(super) fn perform(&mut self, now: TimestampMs) {
        for effect in self.parts.machine.drain_effects().collect::<Vec<_>>() {
            match effect {
                Effect::Grant { attempt, session, fence } => self.grant(attempt, session, fence, now),
                Effect::Cancel { attempt, fence, grace_ms, keep } => {
                    self.parts.worker.tell(ToWorker::Cancel { attempt, fence, grace_ms, keep });
                }
                Effect::Withdraw { run } => self.parts.worker.withdraw(run),
                Effect::Ack { attempt, fence } => self.parts.worker.tell(ToWorker::Ack { attempt, fence }),
                Effect::Answer { attempt, session, item, answer } => {
                    self.answer_by_default(attempt, session, item, &answer, now);
                }
                Effect::Escalate { attempt, session, item, notify } => {
                    self.notices.tell(told("escalated", &attempt, session, item, notify));
                }
                Effect::RunCommand { attempt, session, prompt } => {
                    self.run_on_blocked(&attempt, session, prompt.item);
                }
            }
        }
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

    fn grant(&mut self, attempt: AttemptId, session: SessionId, fence: Fence, now: TimestampMs) {
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
        let wanted = self.parts.machine.open_runs().next().is_some() || !self.unread.sessions.is_empty();
        if self.supervised == Some(wanted) {
            return;
        }
        self.supervised = Some(wanted);
        let restart = wanted.then(|| self.parts.restart.clone());
        self.tell_host(&ToHost::Supervise { restart, receives_environment: true });
        self.parts.shared.host_pid.store(self.host.pid().unwrap_or(0), Ordering::Relaxed);
    }
}

/// When a spec is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Its session is to be started.
    Start,
    /// Its session runs already: it has read what it was given.
    Running,
}

/// The spec of an attempt, complete in itself: values filled in, paths absolute.
pub(super) fn complete(
    run: &Run,
    attempt: &AttemptId,
    home: &Home,
    blobs: &Blobs,
    moment: Moment,
) -> Result<TaskSpec, String> {
    let task = run
        .task(&attempt.task)
        .map(|(spec, _)| spec)
        .ok_or_else(|| format!("the run has no task `{}`", attempt.task))?;
    completed(run, task, attempt, home, blobs, moment)
}

/// The same for a task that is not quite the file's.
pub(super) fn completed(
    run: &Run,
    task: &Task,
    attempt: &AttemptId,
    home: &Home,
    blobs: &Blobs,
    moment: Moment,
) -> Result<TaskSpec, String> {
    let facts = run.facts();
    let mut given = context::given(run, task, home, blobs)?;
    let run_id = attempt.run.to_string();
    let values = template::Values {
        run: &run_id,
        dag: &facts.dag,
        attempt: attempt.number,
        params: &facts.params,
        outputs: &given.outputs,
        tails: &given.tails,
        item: given.item.as_ref(),
    };
    let hidden = |said: String| without(&given.sensitive, &said);
    let rendered = template::render(task, &values).map_err(|e| hidden(e.to_string()))?;
    let mut spec = outlined(run, task);
    let workdir = Path::new(&facts.workdir);
    spec.cache = cache_use(run, task, &values, rendered.cwd.as_deref()).map_err(hidden)?;
    let cwd = rendered.cwd.map_or_else(|| workdir.to_owned(), |cwd| workdir.join(cwd));
    spec.program = rendered.program;
    spec.artifacts = rendered.artifacts;
    if let (Some(path), Program::Agent { prompt, .. }, Moment::Start) =
        (&rendered.prompt_file, &mut spec.program, moment)
    {
        *prompt = read_prompt(&workdir.join(path))?;
    }
    spec.env = rendered.env;
    spec.cwd = cwd.display().to_string();
    if moment == Moment::Start {
        let real = context::Values::Real(blobs, &mut given.sensitive);
        spec.context = context::context(run, task, home, real);
    }
    // The same value may come by two ways, and a redactor takes only so much.
    given.sensitive.sort_unstable();
    given.sensitive.dedup();
    spec.sensitive = given.sensitive;
    Ok(spec)
}

/// The profile that a task names.
pub(super) fn agent_of(task: &Task) -> Option<&str> {
    match &task.action {
        Action::Agent { agent, .. } => Some(agent),
        Action::Command(_) | Action::Script { .. } => None,
    }
}

/// The content of a file, as the prompt of an agent.
fn read_prompt(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let bytes = small_file::read(path, PROMPT_BYTES_MAX as u64, Links::Follow)
        .map_err(|error| format!("prompt_file: {shown} cannot be read: {error}"))?;
    if bytes.len() > PROMPT_BYTES_MAX {
        let limit = PROMPT_BYTES_MAX >> 10;
        return Err(format!(
            "prompt_file: {shown} is longer than {limit} KiB: let the agent read it by itself"
        ));
    }
    String::from_utf8(bytes).map_err(|_| format!("prompt_file: {shown} is not UTF-8"))
}

/// What the template engine says may quote a value.
fn without(sensitive: &[String], said: &str) -> String {
    Redactor::new(sensitive.iter().cloned())
        .map_or_else(|_| "a value cannot be put in its place".to_owned(), |redactor| redactor.redact(said))
}

/// How a task uses the cache, its values in place.
fn cache_use(
    run: &Run,
    task: &Task,
    values: &template::Values<'_>,
    cwd: Option<&str>,
) -> Result<Option<CacheUse>, String> {
    let Some(cache) = &task.cache else { return Ok(None) };
    let key = match &cache.key {
        CacheKey::Auto => CacheKey::Auto,
        CacheKey::Text(text) => {
            CacheKey::Text(template::text(text, task, values, "cache.key").map_err(|e| e.to_string())?)
        }
    };
    let scope = match &task.item {
        Some(item) => serde_json::json!([run.facts().dag, item.of, values.item]),
        None => serde_json::json!([run.facts().dag, task.id]),
    };
    Ok(Some(CacheUse {
        key,
        inputs: task.inputs.clone(),
        ttl_ms: cache.ttl_ms,
        refresh: run.facts().no_cache,
        cwd: cwd.unwrap_or(".").to_owned(),
        scope: scope.to_string(),
        submitter: run.facts().submitter.clone(),
    }))
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
    let secrets = task.secrets.iter().map(|(name, source)| (name.clone(), source.below(workdir)));
    TaskSpec {
        program: Program::Argv(vec![task.id.to_string()]),
        env: BTreeMap::new(),
        base_env: facts.base_env.clone(),
        umask: facts.umask,
        cwd: facts.workdir.clone(),
        tty: task.tty,
        secrets: secrets.collect(),
        run_secrets: run.secret_sources().iter().map(|source| source.below(workdir)).collect(),
        sensitive: Vec::new(),
        timeout_ms: task.timeout_ms,
        idle_ms: task.idle_ms,
        grace_ms: task.grace_ms,
        // The worker's own limit counts.
        log_limit_bytes: u64::MAX,
        outputs: task.outputs.clone(),
        artifacts: task.artifacts.clone(),
        cache: None,
        context: None,
        profile: agent_of(task).map(str::to_owned),
        inputs: BTreeMap::new(),
    }
}
