//! Agents beside what runs: what is started for a session that is made alone, and whom the files of runs name.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::agent::{Agents, Launch};
use crate::api::{CreateSession, Problem, ProblemKind};
use crate::config::{find_program, inherited_path};
use crate::dag::{self, Action};
use crate::ids::{BlobId, RunId};
use crate::store::{Blobs, Readers};

/// Of so many files the names are remembered: of those that were asked for last.
const FILES_MAX: usize = 64;

/// A file without it has no agents.
const AGENT_KEY: &[u8] = b"agent";

/// The agents of tasks, by the tasks' names.
type Names = BTreeMap<String, String>;

/// Whom the files of runs name. A file never changes: it is read once for all who ask, not each time.
#[derive(Debug, Default)]
pub(super) struct AgentNames {
    /// The one asked for last stands last.
    known: Mutex<VecDeque<(BlobId, Arc<Names>)>>,
}

impl AgentNames {
    /// The agents of a run's tasks, where it has any. Waits for the disk.
    pub(super) fn of(&self, readers: &Readers, blobs: &Blobs, run: RunId) -> Arc<Names> {
        let Ok(spec) = readers.get().and_then(|reader| reader.run_spec(run)) else { return Arc::default() };
        if let Some(names) = self.remembered(&spec) {
            return names;
        }
        // One that cannot be read now is asked for again.
        let Ok(Some(text)) = blobs.get(&spec) else { return Arc::default() };
        let names = Arc::new(names(&text));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= FILES_MAX {
            known.pop_front();
        }
        known.push_back((spec, Arc::clone(&names)));
        names
    }

    fn remembered(&self, spec: &BlobId) -> Option<Arc<Names>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|(of, _)| of == spec)?;
        let found = known.remove(at)?;
        let names = Arc::clone(&found.1);
        known.push_back(found);
        Some(names)
    }
}

fn names(text: &[u8]) -> Names {
    // Most have none, and some are long.
    if !text.windows(AGENT_KEY.len()).any(|part| part == AGENT_KEY) {
        return Names::new();
    }
    let tasks = dag::parse(text, "").map(|dag| dag.tasks).unwrap_or_default();
    let named = tasks.into_iter().filter_map(|task| match task.action {
        Action::Agent { agent, .. } => Some((task.id.to_string(), agent)),
        _ => None,
    });
    named.collect()
}

/// What is run for a session of an agent that is made alone: its command goes into the request.
pub(super) fn launch(request: &mut CreateSession, agents: &Agents) -> Result<Launch, Problem> {
    let Some(asked) = &request.agent else { return Ok(Launch::default()) };
    let bad = |detail: String| Problem::new(ProblemKind::BadInput, detail);
    let agent = agents.get(&asked.profile).ok_or_else(|| bad(agents.unknown(&asked.profile)))?;
    if request.size.is_none() {
        return Err(bad(format!("agent `{}` needs a terminal", agent.name)));
    }
    let path = agent.env.get("PATH").cloned().unwrap_or_else(|| inherited_path(request.env.as_ref()));
    find_program(agent, Some(&path), Some(Path::new(&request.cwd))).map_err(bad)?;
    let launch = agent.launch(asked.prompt.as_deref()).map_err(|error| bad(error.to_string()))?;
    request.argv.clone_from(&launch.argv);
    Ok(launch)
}
