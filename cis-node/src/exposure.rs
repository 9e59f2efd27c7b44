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

/// One line that tells a person what runs. Secrets are replaced before anything is cut: a part of one would not be known.
pub(super) fn command_line(program: &Program, redactor: &Redactor) -> String {
    let line = match program {
        Program::Argv(argv) => redactor.redact(&argv.join(" ")),
        Program::Script { text, .. } => first_line(&redactor.redact(text)).to_owned(),
        Program::Agent { agent, prompt } => format!("{agent}: {}", first_line(&redactor.redact(prompt))),
    };
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(COMMAND_CHARS_MAX).collect()
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_would_be_cut_is_hidden_as_a_whole() {
        let secret = "tok-9f8e7d6c5b4a39281706f5e4d3c2b1a0";
        let redactor = Redactor::new([secret.to_owned()]).unwrap();
        let before = "x ".repeat(COMMAND_CHARS_MAX / 2 - 10);
        for program in [
            Program::Argv(vec![before.clone(), secret.to_owned()]),
            Program::Script { shell: "sh".to_owned(), text: format!("{before}{secret}\nmore") },
            Program::Agent { agent: String::new(), prompt: format!("\n{before}{secret}") },
        ] {
            let line = command_line(&program, &redactor);
            assert!(!line.contains("tok-"), "{line}");
            assert!(line.chars().count() <= COMMAND_CHARS_MAX);
        }
    }
}
