//! Whether a pattern covers, or only mentions, what a task runs.
//!
//! An allow rule has to cover all that the task runs: a text in which a shell could find more than the pattern says is covered
//! only by a pattern that is the same text. A deny rule is generous: it is enough that a part of the text could be what the
//! pattern says. Hiding a command from a deny rule is possible all the same (a script can compute it); only allow rules decide
//! for certain.

use std::collections::BTreeMap;

use crate::dag::Program;
use crate::event::in_quotes;

/// Shells whose syntax is known here. A text for another program (`shell = "python3"`) is no command line.
const SHELLS: &[&str] = &["sh", "bash", "dash", "ksh", "zsh"];

/// Directories in which these shells are the ones of the machine.
const SHELL_DIRS: &[&str] = &["/bin/", "/usr/bin/"];

/// What a shell skips before and after a command. Other white space is a part of words.
const SHELL_SPACE: &[char] = &[' ', '\t', '\n'];

/// How a pattern stands to what a task runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Covered {
    /// It covers all of it.
    Whole,
    /// It does not.
    No,
    /// It covers the command. But the task sets this variable, by which something else could run.
    But(String),
}

/// Whether the pattern of an allow rule covers all that a task runs. `allowed`: variables that the task may set.
pub(super) fn covers(
    pattern: &str,
    allowed: &[String],
    program: &Program,
    env: &BTreeMap<String, String>,
) -> Covered {
    let pattern = pattern.trim_matches(SHELL_SPACE);
    let is_covered = match program {
        Program::Argv(words) => !words.is_empty() && matches_glob(pattern, &command_line(words)),
        Program::Script { shell, text } if is_known_shell(shell) => {
            let text = text.trim_matches(SHELL_SPACE);
            text == pattern || (is_one_plain_command(text) && matches_glob(pattern, text))
        }
        Program::Script { shell, text } => {
            command_line(&[shell.clone(), "-c".to_owned(), text.clone()]) == pattern
        }
        // It runs what it thinks best.
        Program::Agent { .. } => false,
    };
    if !is_covered {
        return Covered::No;
    }
    match env.keys().find(|name| !is_value_of_template(name) && !allowed.contains(name)) {
        Some(variable) => Covered::But(variable.clone()),
        None => Covered::Whole,
    }
}

/// Whether the pattern of a deny rule could mean a part of what a task runs, or of a value that it passes in a variable.
pub(super) fn mentions(pattern: &str, program: &Program, env: &BTreeMap<String, String>) -> bool {
    let mut texts = match program {
        Program::Argv(words) => vec![words.join(" "), command_line(words)],
        Program::Script { shell, text } => {
            let line = command_line(&[shell.clone(), "-c".to_owned(), text.clone()]);
            vec![text.clone(), text.trim_matches(SHELL_SPACE).to_owned(), line]
        }
        Program::Agent { agent, .. } => vec![agent.clone()],
    };
    let pattern = pattern.trim_matches(SHELL_SPACE);
    if texts.iter().any(|text| text == pattern || matches_glob(pattern, text)) {
        return true;
    }
    texts.extend(env.iter().map(|(name, value)| format!("{name}={value}")));
    let words = spaced(pattern);
    let unquoted = spaced(&without_quotes(pattern));
    texts.iter().any(|text| {
        is_part_of(&words, &spaced(text)) || is_part_of(&unquoted, &spaced(&without_quotes(text)))
    })
}

/// The words of a command, joined as a person would type them: a word with special characters is in quotes, so that no word
/// can look like several.
fn command_line(words: &[String]) -> String {
    words.iter().map(|word| in_quotes(word)).collect::<Vec<_>>().join(" ")
}

fn is_known_shell(shell: &str) -> bool {
    let name = SHELL_DIRS.iter().find_map(|dir| shell.strip_prefix(dir)).unwrap_or(shell);
    SHELLS.contains(&name)
}

/// Whether a shell finds exactly one command in a text, with the words that a person sees there.
fn is_one_plain_command(text: &str) -> bool {
    // All others are left out, as which of them mean something depends on the shell and its version.
    let is_plain = |c: char| c.is_alphanumeric() || " \t_-./:,=+@%'\"".contains(c);
    // `LD_PRELOAD=./a.so make`: the first word is no command.
    let assigns = text.split([' ', '\t']).next().is_some_and(|first| first.contains('='));
    !assigns && text.chars().all(is_plain)
}

/// Whether a variable carries a value of a template, under a name that only CIS gives.
fn is_value_of_template(name: &str) -> bool {
    let digits = name.strip_prefix("CIS_V").unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a pattern matches the whole of a text. `*` is any text, also none; everything else is itself.
pub(super) fn matches_glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Runs of white space as one space.
fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text without what a shell takes out of words, and with spaces where a shell puts them.
fn without_quotes(text: &str) -> String {
    let text = text.replace("${IFS}", " ").replace("$IFS", " ");
    text.chars().filter(|c| !matches!(c, '\'' | '"' | '\\')).collect()
}

/// Whether a pattern matches a part of a text that begins and ends where words can.
fn is_part_of(pattern: &str, text: &str) -> bool {
    let is_of_word = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let is_edge = |at: usize| {
        let (before, after) = (at.checked_sub(1).and_then(|at| text.get(at)), text.get(at));
        let (before, after) =
            (before.copied().is_some_and(is_of_word), after.copied().is_some_and(is_of_word));
        (!before, !after)
    };
    // Positions of the pattern that are reached, each once, in order.
    let mut reached: Vec<usize> = Vec::new();
    for at in 0..=text.len() {
        let (begins, ends) = is_edge(at);
        if begins {
            reach(&pattern, 0, &mut reached);
        }
        if ends && reached.contains(&pattern.len()) {
            return true;
        }
        let Some(c) = text.get(at) else { break };
        let mut next = Vec::with_capacity(reached.len());
        for state in std::mem::take(&mut reached) {
            match pattern.get(state) {
                Some('*') => reach(&pattern, state, &mut next),
                Some(own) if own == c => reach(&pattern, state + 1, &mut next),
                _ => {}
            }
        }
        reached = next;
    }
    false
}

/// Adds a position of the pattern, and those behind it that need no character.
fn reach(pattern: &[char], mut state: usize, reached: &mut Vec<usize>) {
    while !reached.contains(&state) {
        reached.push(state);
        if pattern.get(state) != Some(&'*') {
            break;
        }
        state += 1;
    }
}
