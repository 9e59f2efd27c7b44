//! Tasks of agents: this node's own profiles say what is run for them.

use super::LocalWorker;
use cis_core::api::{Program, TaskSpec};

/// How an agent gets its prompt, where that is no argument.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// Its standard input.
    pub(super) stdin: Option<String>,
    /// Typed when it waits for input.
    pub(super) typed: Option<String>,
}

impl LocalWorker {
    /// Puts what is run in the place of an agent and its prompt, and what its profile says where the task
    /// says nothing.
    ///
    /// # Errors
    /// There is no such profile here, or no way to give it the prompt.
    pub(super) fn resolve_agent(&self, spec: &mut TaskSpec) -> Result<Given, String> {
        let Some(name) = &spec.profile else { return Ok(Given::default()) };
        let agents = &self.settings.agents;
        let agent = agents.get(name).ok_or_else(|| agents.unknown(name))?;
        spec.timeout_ms = spec.timeout_ms.or(agent.timeout_ms);
        for (variable, value) in &agent.env {
            spec.env.entry(variable.clone()).or_insert_with(|| value.clone());
        }
        let Program::Agent { prompt, .. } = &spec.program else { return Ok(Given::default()) };
        let launch = agent.launch(Some(prompt)).map_err(|error| error.to_string())?;
        spec.program = Program::Argv(launch.argv);
        Ok(Given { stdin: launch.stdin, typed: launch.typed })
    }
}
