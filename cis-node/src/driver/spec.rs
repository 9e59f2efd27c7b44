//! What a worker gets of an attempt: its values filled in, its paths absolute.

use crate::context;
use crate::small_file::{self, Links};
use cis_core::api::{CacheUse, Program, TaskSpec};
use cis_core::dag::PROMPT_BYTES_MAX;
use cis_core::dag::template::ProgramOf;
use cis_core::dag::{Action, CacheKey, Task, template};
use cis_core::ids::AttemptId;
use cis_core::policy::redact::Redactor;
use cis_core::scheduler::Run;
use cis_local::Home;
use cis_store::Blobs;
use std::collections::BTreeMap;
use std::path::Path;

/// Why a task gets nothing of its submitter.
pub(super) const IS_AWAY: &str =
    "it is on the node where the run was submitted, and another node has taken the run over since";

/// When a spec is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Its session is to be started.
    Start,
    /// Its session runs already: it has read what it was given.
    Running,
    /// The task's action is what `on_blocked` runs at a prompt of its session.
    Prompt,
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
    let program_of = match moment {
        Moment::Start => Some(ProgramOf::Task),
        Moment::Prompt => Some(ProgramOf::OnBlocked),
        Moment::Running => None,
    };
    if let Some(of) = program_of {
        template::check_arguments(task, of, &given.secret).map_err(|e| hidden(e.to_string()))?;
    }
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
        // A node that takes a run over was asked to coordinate it, not to send its files.
        if !run.find(&task.id).is_some_and(|index| run.may_use_submitter(index)) {
            return Err(format!("prompt_file: {IS_AWAY}"));
        }
        *prompt = read_prompt(&workdir.join(path))?;
    }
    spec.env = rendered.env;
    spec.cwd = cwd.display().to_string();
    if moment == Moment::Start {
        let real = context::Values::Real(&mut given.sensitive);
        spec.context = context::context(run, task, (home, blobs), real);
    }
    // The same value may come by two ways, and a redactor takes only so much.
    given.sensitive.sort_unstable();
    given.sensitive.dedup();
    spec.sensitive = given.sensitive;
    Ok(spec)
}

/// The globs of what an attempt is to leave, with their values in place.
pub(super) fn artifacts_of(
    run: &Run,
    attempt: &AttemptId,
    home: &Home,
    blobs: &Blobs,
) -> Result<Vec<String>, String> {
    match run.task(&attempt.task) {
        Some((task, _)) if task.artifacts.iter().any(|glob| template::has_template(glob)) => {
            // Whatever else it refers to is not needed.
            let bare = Task {
                needs: task.needs.clone(),
                item: task.item.clone(),
                artifacts: task.artifacts.clone(),
                ..Task::new(task.id.clone(), Action::Command(Vec::new()))
            };
            completed(run, &bare, attempt, home, blobs, Moment::Running).map(|spec| spec.artifacts)
        }
        Some((task, _)) => Ok(task.artifacts.clone()),
        None => Err(format!("the run has no task `{}`", attempt.task)),
    }
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
        keeps_log: task.keeps_log,
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
