//! Programs that `on_blocked.run` names and that lie where the session may write: they are run as they were when
//! the run was submitted, so that an agent that changes them cannot answer itself (`docs/decisions/0018-kept-programs.md`).
//!
//! Owns which words of a command are programs, and where they lie; the blobs have the content. What a program reads
//! or calls by itself is not followed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use super::small_file::{self, Links};
use crate::api::Program;
use crate::config::inherited_path;
use crate::dag::{Action, BlockedAction, Dag, Task};
use crate::event::KeptFile;
use crate::ids::BlobId;

/// A larger program belongs outside of the run's directory, bytes.
const BYTES_MAX: u64 = 64 << 20;

/// The word after these programs and their options is a program as well.
const INTERPRETERS: [&str; 19] = [
    "sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "python", "pypy", "perl", "ruby", "node",
    "deno", "bun", "php", "lua", "Rscript", "tclsh",
];

/// Those that read a text as shells do.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh"];

/// After these options an interpreter gets no script.
const CODE_OPTIONS: [&str; 7] = ["-c", "-e", "-m", "-r", "-E", "--eval", "-"];

/// Where a command is run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) workdir: &'a Path,
    pub(super) cwd: &'a Path,
    /// Its `PATH`.
    pub(super) path: &'a str,
}

/// A command whose kept programs are put in place before it is run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) argv: Vec<String>,
    /// What is put where.
    pub(super) files: Vec<(PathBuf, BlobId)>,
}

/// The programs of `dag` that are to be kept, and what is wrong with them.
///
/// # Errors
/// One is not there: whoever puts it there later would be whoever answers.
pub(super) fn programs_of(
    dag: &Dag,
    workdir: &Path,
    env: Option<&BTreeMap<String, String>>,
) -> Result<Vec<PathBuf>, Vec<String>> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for task in &dag.tasks {
        let Some(BlockedAction::Run(action)) = task.on_blocked.as_ref().map(|rule| &rule.action) else {
            continue;
        };
        // What templates say is known when it is run.
        let cwd = match &task.cwd {
            Some(cwd) if is_open(cwd) => continue,
            Some(cwd) => workdir.join(cwd),
            None => workdir.to_owned(),
        };
        let path = match task.env.get("PATH") {
            Some(path) if is_open(path) => continue,
            Some(path) => path.clone(),
            None => inherited_path(env),
        };
        let place = Place { workdir, cwd: &cwd, path: &path };
        for words in commands_of(action) {
            for at in programs(&words) {
                if is_open(&words[at]) {
                    continue;
                }
                match place.changeable(&words[at], at == 0) {
                    Some(path) if path.is_file() => found.push(path),
                    Some(_) if at == 0 => wrong.push(missing(task, &words[at])),
                    _ => {}
                }
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

/// Its content.
///
/// # Errors
/// It cannot be read, or is too large: in words.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let bytes = small_file::read(path, BYTES_MAX, Links::Follow)
        .map_err(|error| format!("on_blocked.run: {shown} cannot be kept as it is: {error}"))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!(
            "on_blocked.run: {shown} is longer than {} MiB: put it outside of the run's directory",
            BYTES_MAX >> 20
        ));
    }
    Ok(bytes)
}

/// The command with what was kept in the place of its programs, below `dir`.
///
/// # Errors
/// A program lies where its session may write, and was not kept.
pub(super) fn prepared(
    program: Program,
    place: Place<'_>,
    kept: &[KeptFile],
    dir: &Path,
) -> Result<Prepared, String> {
    let mut placing = Placing { place, kept, dir, files: Vec::new() };
    let argv = match program {
        Program::Argv(argv) => placing.words(argv)?,
        Program::Script { shell, mut text } => {
            let ranges = words_of(&shell, &text);
            let words = ranges.iter().map(|range| text[range.clone()].to_owned()).collect();
            for (range, word) in ranges.into_iter().zip(placing.words(words)?).rev() {
                if text[range.clone()] != word {
                    text.replace_range(range, &format!("'{}'", word.replace('\'', r"'\''")));
                }
            }
            let shell = placing.words(vec![shell])?;
            shell.into_iter().chain(["-c".to_owned(), text]).collect()
        }
        // The reader takes commands and scripts only.
        Program::Agent { .. } => return Err("it names an agent, not a command".to_owned()),
    };
    Ok(Prepared { argv, files: placing.files })
}

struct Placing<'a> {
    place: Place<'a>,
    kept: &'a [KeptFile],
    dir: &'a Path,
    files: Vec<(PathBuf, BlobId)>,
}

impl Placing<'_> {
    /// The words of a command, its programs replaced.
    fn words(&mut self, mut words: Vec<String>) -> Result<Vec<String>, String> {
        for at in programs(&words) {
            if let Some(path) = self.put(&words[at], at == 0)? {
                words[at] = path;
            }
        }
        Ok(words)
    }

    /// Where the program is put; none where it is run as it stands.
    fn put(&mut self, word: &str, is_first: bool) -> Result<Option<String>, String> {
        let Some(path) = self.place.changeable(word, is_first) else { return Ok(None) };
        let Some(file) = self.kept.iter().find(|file| Path::new(&file.path) == path) else {
            // A word after an interpreter may be anything.
            return if is_first || path.is_file() { Err(not_kept(word)) } else { Ok(None) };
        };
        // It keeps its name: some programs look at it.
        let to = self.dir.join(self.files.len().to_string()).join(path.file_name().unwrap_or_default());
        let text = to.to_str().ok_or("the path of the node's home is not UTF-8")?.to_owned();
        self.files.push((to, file.blob.clone()));
        Ok(Some(text))
    }
}

impl Place<'_> {
    /// The file that a word names as a program, where its session may change that file: in the run's directory or
    /// the task's own. None: it lies elsewhere, or is not found in `PATH`.
    fn changeable(&self, word: &str, is_first: bool) -> Option<PathBuf> {
        let path = if is_first && !word.contains('/') {
            let places = std::env::split_paths(self.path).map(|dir| self.cwd.join(dir).join(word));
            places.into_iter().find(|path| path.is_file())?
        } else {
            self.cwd.join(word)
        };
        let path = tidy(&path);
        [self.workdir, self.cwd].into_iter().any(|root| is_below(&path, root)).then_some(path)
    }
}

/// By its name, or by where links lead.
fn is_below(path: &Path, root: &Path) -> bool {
    let below = |path: &Path, root: &Path| root.parent().is_some() && path.starts_with(root);
    let real = || Some((path.canonicalize().ok()?, root.canonicalize().ok()?));
    below(path, &tidy(root)) || real().is_some_and(|(path, root)| below(&path, &root))
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

/// The commands whose programs are looked for: the list; or of a script its shell, and its first command.
fn commands_of(action: &Action) -> Vec<Vec<String>> {
    match action {
        Action::Command(argv) => vec![argv.clone()],
        Action::Script { text, shell } => {
            let words = words_of(shell, text).into_iter().map(|range| text[range].to_owned());
            vec![vec![shell.clone()], words.collect()]
        }
        Action::Agent { .. } => Vec::new(),
    }
}

/// Which words of a command are programs: the first, and the script that an interpreter is given.
fn programs(words: &[String]) -> Vec<usize> {
    let Some(first) = words.first() else { return Vec::new() };
    let script = is_one_of(first, &INTERPRETERS).then(|| script_of(words)).flatten();
    std::iter::once(0).chain(script).collect()
}

fn script_of(words: &[String]) -> Option<usize> {
    for (at, word) in words.iter().enumerate().skip(1) {
        if CODE_OPTIONS.contains(&word.as_str()) {
            return None;
        }
        if !word.starts_with('-') {
            return Some(at);
        }
    }
    None
}

/// Whether a program has one of these names, be there a version behind it (`python3.12`).
fn is_one_of(program: &str, names: &[&str]) -> bool {
    let name = program.rsplit('/').next().unwrap_or_default();
    names.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
}

/// Where the first words of a shell's text stand, as far as they are what they say.
fn words_of(shell: &str, text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    if !is_one_of(shell, &SHELLS) {
        return words;
    }
    let plain = |c: char| c.is_alphanumeric() || "_-./+@%,:=".contains(c);
    let blank = |c: char| c == ' ' || c == '\t';
    let mut at = text.len() - text.trim_start().len();
    loop {
        let rest = &text[at..];
        let end = rest.find(|c| !plain(c)).unwrap_or(rest.len());
        let after = rest[end..].chars().next();
        // A quote, a variable or a template makes more of it than stands here.
        if end == 0 || after.is_some_and(|c| !blank(c) && !"\n;&|<>()".contains(c)) {
            return words;
        }
        // `NAME=value` before a command.
        if !(words.is_empty() && rest[..end].contains('=')) {
            words.push(at..at + end);
        }
        if !after.is_some_and(blank) {
            return words;
        }
        at += end + (rest[end..].len() - rest[end..].trim_start_matches(blank).len());
    }
}

fn is_open(text: &str) -> bool {
    text.contains("{{")
}

fn missing(task: &Task, word: &str) -> String {
    format!(
        "task `{}`: on_blocked.run: `{word}` is not there. What lies in the directory of the run is kept as it is when the \
         run is submitted; give the path of a program elsewhere",
        task.id
    )
}

fn not_kept(word: &str) -> String {
    format!(
        "`{word}` lies in the directory of the run, where its sessions may change it, and was not kept when the run was \
         submitted: name it without templates, or by a path elsewhere"
    )
}

#[cfg(test)]
mod tests;
