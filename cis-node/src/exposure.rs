//! What the rest of the node gets to know of a session that has lived long enough to be shown.

use std::path::PathBuf;
use std::sync::Arc;

use cis_core::api::{Program, TermSize};
use cis_core::ids::SessionId;
use cis_core::policy::redact::Redactor;

/// A session as the hub and the store need it.
pub(super) struct Exposure {
    pub(super) session: SessionId,
    pub(super) tty: bool,
    /// An earlier life of this node started it: what it said before is not answered again.
    pub(super) adopted: bool,
    pub(super) size: Option<TermSize>,
    pub(super) log: PathBuf,
    pub(super) command: String,
    pub(super) redactor: Arc<Redactor>,
    /// Of an agent: its name.
    pub(super) profile: Option<String>,
}

/// Longest command line that is shown.
const COMMAND_CHARS_MAX: usize = 200;

/// One line that tells a person what runs.
pub(super) fn command_line(program: &Program) -> String {
    let line = match program {
        Program::Argv(argv) => argv.join(" "),
        Program::Script { text, .. } => first_line(text).to_owned(),
        Program::Agent { agent, prompt } => format!("{agent}: {}", first_line(prompt)),
    };
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(COMMAND_CHARS_MAX).collect()
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}
