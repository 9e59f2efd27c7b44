//! Agents beside what runs: what is started for a session that is made alone, and whom the files of runs name.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{find_program, inherited_path};
use cis_core::agent::{Agents, Launch};
use cis_core::api::{CreateSession, Problem, ProblemKind};
use cis_core::dag::{self, Action};
use cis_core::event::{EventBody, UseAgent};
use cis_core::ids::{BlobId, RunId};
use cis_store::{Blobs, Readers};

/// Of so many files the names are remembered: of those that were asked for last.
const FILES_MAX: usize = 64;

/// A file without it has no agents.
const AGENT_KEY: &[u8] = b"agent";

/// The agents of tasks, by the tasks' names.
type Names = BTreeMap<String, String>;

/// What a run's agents follow from: its file, and whom it was made with, if anybody.
type Origin = (BlobId, Option<UseAgent>);

/// Whom the files of runs name. A file never changes: it is read once for all who ask, not each time.
#[derive(Debug, Default)]
pub(super) struct AgentNames {
    /// The one asked for last stands last.
    known: Mutex<VecDeque<(Origin, Arc<Names>)>>,
}

impl AgentNames {
    /// The agents of a run's tasks, where it has any. Waits for the disk.
    pub(super) fn of(&self, readers: &Readers, blobs: &Blobs, run: RunId) -> Arc<Names> {
        let Some(origin) = origin(readers, run) else { return Arc::default() };
        if let Some(names) = self.remembered(&origin) {
            return names;
        }
        // One that cannot be read now is asked for again.
        let Ok(Some(text)) = blobs.get(&origin.0) else { return Arc::default() };
        let names = Arc::new(names(&text, origin.1.as_ref()));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= FILES_MAX {
            known.pop_front();
        }
        known.push_back((origin, Arc::clone(&names)));
        names
    }

    fn remembered(&self, origin: &Origin) -> Option<Arc<Names>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|(of, _)| of == origin)?;
        let found = known.remove(at)?;
        let names = Arc::clone(&found.1);
        known.push_back(found);
        Some(names)
    }
}

fn origin(readers: &Readers, run: RunId) -> Option<Origin> {
    let events = readers.get().and_then(|reader| reader.events(0, Some(run), 1)).ok()?;
    match events.first()?.decode().ok()? {
        EventBody::RunCreated(facts) => Some((facts.spec, facts.use_agent)),
        _ => None,
    }
}

fn names(text: &[u8], used: Option<&UseAgent>) -> Names {
    let profile = used.and_then(|used| used.profile.as_deref());
    // Most have none, and some are long.
    if profile.is_none() && !text.windows(AGENT_KEY.len()).any(|part| part == AGENT_KEY) {
        return Names::new();
    }
    let Ok(mut dag) = dag::parse_accepted(text, "") else { return Names::new() };
    if profile.is_some() {
        dag::with_agent(&mut dag, profile);
    }
    let named = dag.tasks.into_iter().filter_map(|task| match task.action {
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
