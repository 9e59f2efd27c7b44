//! Agents before anything runs: what is started for a session that is made alone.

use std::path::Path;

use crate::agent::{Agents, Launch};
use crate::api::{CreateSession, Problem, ProblemKind};
use crate::config::{find_program, inherited_path};

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
