//! What a rule of cleaning chose, and how it is recorded.

use cis_core::event::EventBody;
use cis_core::ids::{RunId, SessionId};

/// Names in one event.
const NAMES_PER_EVENT: usize = 1000;

/// Those that one rule chose.
#[derive(Debug, Clone)]
pub(crate) struct Victims {
    pub(crate) rule: String,
    pub(crate) runs: Vec<RunId>,
    pub(crate) sessions: Vec<SessionId>,
}

impl Victims {
    pub(crate) fn new(rule: String) -> Self {
        Self { rule, runs: Vec::new(), sessions: Vec::new() }
    }

    /// What is recorded of it.
    pub(crate) fn events(&self) -> Vec<EventBody> {
        let runs = self.runs.chunks(NAMES_PER_EVENT).map(|runs| (runs.to_vec(), Vec::new()));
        let sessions = self.sessions.chunks(NAMES_PER_EVENT).map(|some| (Vec::new(), some.to_vec()));
        runs.chain(sessions)
            .map(|(runs, sessions)| EventBody::NodeCleaned { rule: self.rule.clone(), runs, sessions })
            .collect()
    }
}
