//! From a DAG file's text to a run that can be created.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::commands::NewRun;
use super::environment;
use super::environments::Environments;
use super::kept;
use super::redactors;
use crate::config::missing_agents;
use crate::problems::{internal, store_problem};
use cis_core::agent::Agents;
use cis_core::api::{CreateRun, Problem, ProblemKind};
use cis_core::dag::{self, SecretSource};
use cis_core::event::{KeptFile, RunCreated};
use cis_core::ids::{NodeDid, RunId};
use cis_core::policy::redact::Redactor;
use cis_store::{Blobs, Safety};

/// The directory of a run where nobody says one: the home directory of the node's user.
fn usual_workdir() -> Result<String, Problem> {
    let home = std::env::var("HOME").ok().filter(|home| Path::new(home).is_absolute());
    home.ok_or_else(|| {
        Problem::new(ProblemKind::BadInput, "the run has no directory, and the node has no HOME")
            .hint("give an absolute path as `workdir`")
    })
}

/// Parses the file and keeps it and the environment. Nothing is in the store before all is right.
pub(super) fn prepare(
    mut request: CreateRun,
    blobs: &Blobs,
    environments: &Environments,
    agents: &Agents,
    did: NodeDid,
) -> Result<Option<NewRun>, Problem> {
    if request.workdir.is_empty() {
        request.workdir = usual_workdir()?;
    }
    let mut dag = dag::parse(&request.text, &request.source).map_err(|diagnostics| {
        let mut problem = Problem::new(ProblemKind::BadInput, diagnostics.summary(&request.source));
        problem.diagnostics = diagnostics.findings;
        problem
    })?;
    let params = dag::resolve_params(&dag, &request.params)
        .map_err(|wrong| Problem::new(ProblemKind::BadInput, wrong.join("\n")))?;
    if let Some(used) = &request.use_agent {
        if let Some(profile) = used.profile.as_deref().filter(|name| agents.get(name).is_none()) {
            return Err(Problem::new(ProblemKind::BadInput, agents.unknown(profile)));
        }
        dag::with_agent(&mut dag, used.profile.as_deref());
    }
    agents.assign_accounts(&mut dag.tasks);
    let missing =
        missing_agents(&dag, request.mode, agents, request.env.as_ref(), Path::new(&request.workdir));
    if !missing.is_empty() {
        return Err(Problem::new(ProblemKind::BadInput, missing.join("\n")));
    }
    let found = kept::programs_of(&dag, Path::new(&request.workdir), request.env.as_ref())
        .map_err(|wrong| Problem::new(ProblemKind::BadInput, wrong.join("\n")))?;
    if request.validate_only {
        return Ok(None);
    }
    if !Path::new(&request.workdir).is_absolute() {
        let detail = format!("the directory `{}` is not absolute", request.workdir);
        return Err(Problem::new(ProblemKind::BadInput, detail));
    }
    check_secrets(&dag, &request)?;
    let spec = blobs.put(&request.text, Safety::Processes).map_err(|e| store_problem(&e))?;
    let base_env = match &request.env {
        Some(vars) => {
            let vars = environment::inherited(vars.clone());
            let json = serde_json::to_vec(&vars).map_err(|e| internal(&e))?;
            Some(environments.keep(&json, blobs).map_err(|e| store_problem(&e))?)
        }
        None => None,
    };
    let mut kept = Vec::with_capacity(found.files.len());
    for path in found.files {
        let bytes = kept::read(&path).map_err(|wrong| Problem::new(ProblemKind::BadInput, wrong))?;
        let blob = blobs.put(&bytes, Safety::Processes).map_err(|e| store_problem(&e))?;
        kept.push(KeptFile { path: path.display().to_string(), blob });
    }
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let facts = RunCreated {
        dag: dag.id.clone(),
        source: request.source.clone(),
        spec,
        tasks: u32::try_from(dag.tasks.len()).unwrap_or(u32::MAX),
        params,
        max_parallel: dag.max_parallel.unwrap_or(u32::try_from(cores).unwrap_or(2)),
        workdir: request.workdir.clone(),
        base_env,
        umask: request.umask,
        mode: request.mode,
        owner: did,
        room: None,
        parent: None,
        epoch: 0,
        no_cache: request.no_cache,
        kept,
        use_agent: request.use_agent.clone(),
        named: found.named,
        submitter: None,
        read_back: None,
    };
    let (start, input) = (request.start, request.input);
    Ok(Some(NewRun { run: RunId(ulid::Ulid::new()), facts, dag: Arc::new(dag), start, input }))
}

/// Refuses secrets that are too long in total, as far as they are known now. Also builds their redactor, so that the
/// driver does not have to.
fn check_secrets(dag: &dag::Dag, request: &CreateRun) -> Result<(), Problem> {
    let sources: BTreeSet<&SecretSource> = dag.tasks.iter().flat_map(|task| task.secrets.values()).collect();
    if sources.is_empty() {
        return Ok(());
    }
    let sources = sources.into_iter().map(|source| source.below(Path::new(&request.workdir)));
    let base = environment::inherited(request.env.clone().unwrap_or_default());
    let values = environment::secret_values(&sources.collect::<Vec<_>>(), &base);
    Redactor::check_run(values.iter().map(String::as_str))
        .and_then(|()| redactors::one(&values))
        .map_err(|e| Problem::new(ProblemKind::BadInput, format!("of all tasks of this file, {e}")))?;
    Ok(())
}
