//! What a task runs, rendered.

use serde::{Deserialize, Serialize};

/// What a process is started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A program and its arguments.
    Argv(Vec<String>),
    /// `shell -c text`; a text too long for an argument goes through a file.
    Script {
        /// The shell.
        shell: String,
        /// What it runs.
        text: String,
    },
    /// An agent: the worker's own profile of that name says what is run.
    Agent {
        /// The profile.
        agent: String,
        /// What it is to do.
        prompt: String,
    },
}
