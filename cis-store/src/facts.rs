//! What the store is told beside an event: things that belong into its tables and that no event holds.

use cis_core::api::TermSize;
use cis_core::dag::Dag;
use cis_core::ids::TaskId;

/// A command is cut after so many characters: it is for people, in one line.
const COMMAND_CHARS_MAX: usize = 300;

/// A task as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSeed {
    /// Its name.
    pub id: TaskId,
    /// What it needs: names of tasks of the same list.
    pub needs: Vec<TaskId>,
}

impl TaskSeed {
    /// The tasks of a file, in its order.
    #[must_use]
    pub fn all_of(dag: &Dag) -> Vec<Self> {
        dag.tasks.iter().map(|task| Self { id: task.id.clone(), needs: task.needs.clone() }).collect()
    }
}

/// What is known of a session besides its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// PTY, or pipes.
    pub tty: bool,
    /// Size of its terminal.
    pub size: Option<TermSize>,
    /// What it runs, redacted. Stored in one line, without control characters, cut after 300 characters.
    pub command: String,
    /// Absolute path of its log.
    pub log: Option<String>,
}

/// `text` as one line of at most [`COMMAND_CHARS_MAX`] characters that no terminal takes for a command.
pub(super) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(COMMAND_CHARS_MAX * 4));
    let mut left = COMMAND_CHARS_MAX;
    for word in text.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
            left = left.saturating_sub(1);
        }
        for c in word.chars() {
            if left == 0 {
                out.push('…');
                return out;
            }
            out.push(c);
            left -= 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_command_becomes_one_short_line() {
        assert_eq!(one_line("  a\n\tb  \x1b[2Jc\u{9b}d "), "a b [2Jc d");
        assert_eq!(one_line(&"ä".repeat(301)), format!("{}…", "ä".repeat(300)));
        assert_eq!(one_line(""), "");
    }
}
