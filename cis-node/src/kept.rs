//! Programs that `on_blocked.run` names and that lie where the session may write: they are run as they were when
//! the run was submitted, so that an agent that changes them cannot answer itself (`docs/decisions/0018-kept-programs.md`).
//!
//! Owns how a command is run with what was [`found`] then; the blobs have the content. Reads no directory of the run,
//! which may not answer. What a program reads or calls by itself is not followed.

mod found;
mod shell;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

pub(super) use self::found::{programs_of, read};
use cis_core::api::Program;
use cis_core::dag::{Action, template};
use cis_core::event::{KeptFile, NamedPrograms};
use cis_core::ids::BlobId;

/// Those that read a text as shells do.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh"];

/// Where a command is run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// As the run and the task name them.
    pub(super) workdir: &'a Path,
    pub(super) cwd: &'a Path,
    pub(super) env: &'a BTreeMap<String, String>,
    /// What was found when the run was submitted.
    pub(super) named: &'a NamedPrograms,
    pub(super) kept: &'a [KeptFile],
}

/// A command whose kept programs are put in place before it is run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) argv: Vec<String>,
    /// What is put where.
    pub(super) files: Vec<(PathBuf, BlobId)>,
    /// Its directory.
    pub(super) cwd: String,
    /// That directory is run in only where no link leads elsewhere by now.
    pub(super) is_exact: bool,
    /// Its `PATH`, without the directories where sessions may write.
    pub(super) path: Option<String>,
}

/// The command with what was kept in the place of its programs, below `dir`; what lies elsewhere has its whole path.
///
/// # Errors
/// A program lies where its session may write, and was not kept.
pub(super) fn prepared(program: Program, place: Place<'_>, dir: &Path) -> Result<Prepared, String> {
    let mut placing = Placing { place, dir, files: Vec::new() };
    let argv = match program {
        Program::Argv(argv) => placing.list(argv)?,
        Program::Script { shell, text } => {
            let text = if is_one_of(&shell, &SHELLS) { placing.text(text)? } else { text };
            placing.list(vec![shell])?.into_iter().chain(["-c".to_owned(), text]).collect()
        }
        // The reader takes commands and scripts only.
        Program::Agent { .. } => return Err("it names an agent, not a command".to_owned()),
    };
    let cwd = place.named.cwd.clone().unwrap_or_else(|| place.cwd.display().to_string());
    let path = place.env.get("PATH").map(|path| place.searched(path));
    Ok(Prepared { argv, files: placing.files, cwd, is_exact: place.named.cwd.is_some(), path })
}

struct Placing<'a> {
    place: Place<'a>,
    dir: &'a Path,
    files: Vec<(PathBuf, BlobId)>,
}

impl Placing<'_> {
    /// The words of a command, its programs replaced.
    fn list(&mut self, mut words: Vec<String>) -> Result<Vec<String>, String> {
        let text = shell_text(words.iter().map(|word| Some(word.as_str())));
        for (at, word) in words.iter_mut().enumerate() {
            if text == Some(at) {
                *word = self.text(std::mem::take(word))?;
            } else if let Some(path) = self.put(word, at == 0)? {
                *word = path;
            }
        }
        Ok(words)
    }

    /// A shell's text, the programs in it replaced.
    fn text(&mut self, mut text: String) -> Result<String, String> {
        let place = self.place;
        let commands = shell::commands(&text, &|name| variable(place.env, name))
            .map_err(|why| format!("its text cannot be split into words: {why}"))?;
        let mut replaced = Vec::new();
        for words in commands {
            let inner = shell_text(words.iter().map(|word| word.value.as_deref()));
            for (at, word) in words.into_iter().enumerate() {
                let Some(value) = word.value else { continue };
                let new = match inner {
                    Some(inner) if inner == at => Some(self.text(value.clone())?).filter(|new| *new != value),
                    _ => self.put(&value, at == 0)?,
                };
                replaced.extend(new.map(|new| (word.range, new)));
            }
        }
        // From the end, so that the places before stay where they are.
        replaced.sort_unstable_by_key(|(range, _)| std::cmp::Reverse(range.start));
        for (range, new) in replaced {
            text.replace_range(range, &format!("'{}'", new.replace('\'', r"'\''")));
        }
        Ok(text)
    }

    /// What stands for the word; none where it stays as it is.
    fn put(&mut self, word: &str, is_first: bool) -> Result<Option<String>, String> {
        let named = self.place.named;
        let is_bare = is_first && !word.contains('/');
        let known = if is_bare { named.programs.get(word) } else { named.files.get(word) };
        let Some(path) = known else {
            let is_refused = is_first && !is_bare && self.place.may_change(Path::new(word));
            return if is_refused { Err(not_kept(word)) } else { Ok(None) };
        };
        let Some(file) = self.place.kept.iter().find(|file| file.path == *path) else {
            return Ok(Some(path.clone()));
        };
        // It keeps its name: some programs look at it.
        let name = Path::new(path).file_name().unwrap_or_default();
        let to = self.dir.join(self.files.len().to_string()).join(name);
        let text = to.to_str().ok_or("the path of the node's home is not UTF-8")?.to_owned();
        self.files.push((to, file.blob.clone()));
        Ok(Some(text))
    }
}

impl Place<'_> {
    /// By its name alone: whether a session may write there, or make it lead anywhere.
    fn may_change(&self, path: &Path) -> bool {
        let (workdir, cwd) = (Path::new(&self.named.workdir), self.named.cwd.as_deref().map(Path::new));
        let mut roots = [self.workdir, self.cwd, workdir].into_iter().chain(cwd);
        !path.is_absolute() || roots.any(|root| is_below(&tidy(path), root))
    }

    fn searched(&self, path: &str) -> String {
        let stays = |dir: &&str| {
            !self.may_change(Path::new(dir)) && !self.named.not_searched.iter().any(|no| no == dir)
        };
        path.split(':').filter(stays).collect::<Vec<_>>().join(":")
    }
}

fn is_below(path: &Path, root: &Path) -> bool {
    root.parent().is_some() && path.starts_with(tidy(root))
}

/// Without `.` and `..`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(tidy.pop()),
            part => tidy.push(part),
        }
    }
    tidy
}

/// Whether a program has one of these names, be there a version behind it (`python3.12`).
fn is_one_of(program: &str, names: &[&str]) -> bool {
    let name = program.rsplit('/').next().unwrap_or_default();
    names.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
}

/// A variable that says the same when the command is run.
fn variable(env: &BTreeMap<String, String>, name: &str) -> Option<String> {
    let is_fixed = !["PWD", "OLDPWD", "_"].contains(&name) && !name.starts_with("CIS_");
    env.get(name).filter(|_| is_fixed).cloned()
}

/// Which word of a command is a text that a shell reads: the one after its `-c`.
fn shell_text<'a>(words: impl Iterator<Item = Option<&'a str>>) -> Option<usize> {
    let mut words = words.enumerate();
    words.find(|(_, word)| word.is_some_and(|word| is_one_of(word, &SHELLS)))?;
    words.find(|(_, word)| word.is_some_and(is_code_of_shell))?;
    words.next().map(|(at, _)| at)
}

/// `-c`, also among other letters.
fn is_code_of_shell(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|letters| {
        letters.contains('c') && letters.chars().all(|letter| letter.is_ascii_alphabetic())
    })
}

/// The words of what a task runs, and whether each is a program. Those that are known only when the task runs are left out.
pub(super) fn words_of(action: &Action) -> Vec<(String, bool)> {
    match action {
        Action::Command(argv) => {
            let mut words: Vec<_> =
                argv.iter().cloned().enumerate().map(|(at, word)| (word, at == 0)).collect();
            if let Some(text) = shell_text(argv.iter().map(|word| Some(word.as_str()))) {
                let (text, _) = words.remove(text);
                words.extend(words_in(&text));
            }
            words.retain(|(word, _)| !template::has_template(word));
            words
        }
        Action::Script { text, shell } if is_one_of(shell, &SHELLS) => words_in(text),
        Action::Script { .. } | Action::Agent { .. } => Vec::new(),
    }
}

fn words_in(text: &str) -> Vec<(String, bool)> {
    // What cannot be split says nothing here: the shell itself reports it.
    let commands = shell::commands(text, &|_| None).unwrap_or_default();
    let words = commands.into_iter().flat_map(|words| words.into_iter().enumerate());
    words.filter_map(|(at, word)| Some((word.value.filter(|_| !word.is_open)?, at == 0))).collect()
}

fn not_kept(word: &str) -> String {
    format!(
        "`{word}` lies in the directory of the run, where its sessions may change it, and was not kept when the run was \
         submitted: name it without templates, or by a path elsewhere"
    )
}

#[cfg(test)]
mod tests;
