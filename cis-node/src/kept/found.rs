//! What `on_blocked.run` names, found when the run is submitted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{SHELLS, is_below, is_one_of, shell, shell_text, tidy, variable};
use crate::config::inherited_path;
use crate::small_file::{self, Links};
use cis_core::dag::{Action, BlockedAction, Dag, Task};
use cis_core::event::NamedPrograms;

/// A larger program belongs outside of the run's directory, bytes.
const BYTES_MAX: u64 = 64 << 20;

/// These get a script.
const INTERPRETERS: [&str; 19] = [
    "sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "python", "pypy", "perl", "ruby", "node",
    "deno", "bun", "php", "lua", "Rscript", "tclsh",
];

/// These call the command behind them.
const CALLERS: [&str; 19] = [
    "env", "exec", "command", "builtin", "nohup", "timeout", "nice", "ionice", "chrt", "taskset", "setsid",
    "stdbuf", "sudo", "doas", "busybox", "toybox", "xargs", "time", "flock",
];

/// After these options an interpreter gets no script.
const CODE_OPTIONS: [&str; 7] = ["-c", "-e", "-m", "-r", "-E", "--eval", "-"];

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Files that are to be kept.
    pub(crate) files: Vec<PathBuf>,
    /// What the words of each command named.
    pub(crate) named: Vec<NamedPrograms>,
}

/// The programs that `dag` has run for prompts, and what is wrong with them.
///
/// # Errors
/// One is not there, or cannot be told: whoever puts it there later would be whoever answers.
pub(crate) fn programs_of(
    dag: &Dag,
    workdir: &Path,
    env: Option<&BTreeMap<String, String>>,
) -> Result<Found, Vec<String>> {
    let (mut found, mut wrong) = (Found::default(), Vec::new());
    for task in &dag.tasks {
        let Some(BlockedAction::Run(action)) = task.on_blocked.as_ref().map(|rule| &rule.action) else {
            continue;
        };
        let mut finder = Finder::new(task, workdir, env);
        finder.action(action);
        found.files.append(&mut finder.kept);
        found.named.push(finder.named);
        wrong.append(&mut finder.wrong);
    }
    found.files.sort_unstable();
    found.files.dedup();
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

/// Its content.
///
/// # Errors
/// It cannot be read, or is too large: in words.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
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

/// A word of a command.
struct Token<'a> {
    shown: &'a str,
    /// None: known when it is run.
    value: Option<String>,
    is_open: bool,
}

struct Finder<'a> {
    task: &'a Task,
    /// Where sessions may write.
    roots: Vec<PathBuf>,
    cwd: Option<PathBuf>,
    /// None: a template makes it.
    path: Option<String>,
    env: BTreeMap<String, String>,
    named: NamedPrograms,
    kept: Vec<PathBuf>,
    wrong: Vec<String>,
}

impl<'a> Finder<'a> {
    fn new(task: &'a Task, workdir: &Path, env: Option<&BTreeMap<String, String>>) -> Self {
        let named_cwd = match &task.cwd {
            Some(cwd) if is_open(cwd) => None,
            Some(cwd) => Some(workdir.join(cwd)),
            None => Some(workdir.to_owned()),
        };
        let cwd = named_cwd.as_ref().and_then(|cwd| cwd.canonicalize().ok());
        let real = workdir.canonicalize().unwrap_or_else(|_| tidy(workdir));
        let mut vars: BTreeMap<String, String> = env.cloned().unwrap_or_else(|| {
            std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect()
        });
        vars.extend(task.env.clone());
        vars.retain(|name, value| !(is_open(value) && task.env.contains_key(name)));
        let path = match task.env.get("PATH") {
            Some(path) if is_open(path) => None,
            Some(path) => Some(path.clone()),
            None => Some(inherited_path(env)),
        };
        let named = NamedPrograms {
            task: task.id.clone(),
            workdir: real.display().to_string(),
            cwd: cwd.as_deref().and_then(Path::to_str).map(str::to_owned),
            files: BTreeMap::new(),
            programs: BTreeMap::new(),
            not_searched: Vec::new(),
        };
        let roots =
            [Some(workdir.to_owned()), Some(real), named_cwd, cwd.clone()].into_iter().flatten().collect();
        let mut finder =
            Self { task, roots, cwd, path, env: vars, named, kept: Vec::new(), wrong: Vec::new() };
        for dir in finder.path.clone().unwrap_or_default().split(':') {
            if Path::new(dir).is_absolute() && finder.may_change(&tidy(Path::new(dir))) {
                finder.named.not_searched.push(dir.to_owned());
            }
        }
        finder
    }

    /// By its name, or by where links lead.
    fn may_change(&self, path: &Path) -> bool {
        let below = |path: &Path| self.roots.iter().any(|root| is_below(path, root));
        let parent = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
        below(path) || path.canonicalize().ok().or_else(parent).is_some_and(|real| below(&real))
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Command(argv) => self.list(argv),
            Action::Script { text, shell } => {
                self.list(std::slice::from_ref(shell));
                if is_one_of(shell, &SHELLS) {
                    self.text(text);
                }
            }
            Action::Agent { .. } => {}
        }
    }

    fn list(&mut self, argv: &[String]) {
        let words: Vec<Token<'_>> = argv
            .iter()
            .map(|word| Token {
                shown: word,
                value: (!is_open(word)).then(|| word.clone()),
                is_open: is_open(word),
            })
            .collect();
        self.command(&words);
        if let Some(at) = shell_text(argv.iter().map(|word| Some(word.as_str()))) {
            self.text(&argv[at]);
        }
    }

    fn text(&mut self, text: &str) {
        let commands = match shell::commands(text, &|name| variable(&self.env, name)) {
            Ok(commands) => commands,
            Err(why) => return self.complain(&format!("its text cannot be split into words: {why}")),
        };
        for words in commands {
            let words: Vec<Token<'_>> = words
                .into_iter()
                .map(|word| Token { shown: &text[word.range], value: word.value, is_open: word.is_open })
                .collect();
            self.command(&words);
            if let Some(at) = shell_text(words.iter().map(|word| word.value.as_deref())) {
                match &words[at].value {
                    Some(inner) => self.text(inner),
                    None => self.unknown(words[at].shown),
                }
            }
        }
    }

    fn command(&mut self, words: &[Token<'_>]) {
        for (at, word) in words.iter().enumerate() {
            match &word.value {
                Some(value) if at == 0 && value == "eval" => self.unknown(word.shown),
                Some(value) if at == 0 && !value.contains('/') => self.by_path(value),
                Some(value) => self.file(value, at == 0),
                None if at == 0 && !word.is_open => self.unknown(word.shown),
                None => {}
            }
        }
        if let Some(interpreter) = self.without_script(words) {
            self.complain(&format!(
                "`{interpreter}` is given no script that is there and named in full. What lies in the directory of the run is \
                 kept as it is when the run is submitted"
            ));
        }
    }

    fn at(&self, word: &str) -> Option<PathBuf> {
        let word = Path::new(word);
        let path = if word.is_absolute() { word.to_owned() } else { self.cwd.as_ref()?.join(word) };
        Some(tidy(&path))
    }

    fn file(&mut self, word: &str, is_first: bool) {
        let path = self.at(word).filter(|_| !word.is_empty());
        match path {
            Some(path) if path.is_file() => {
                let is_kept = self.may_change(&path);
                // Relative ones would be looked for again when it is run.
                if is_kept || Path::new(word).is_relative() {
                    self.name(word, &path, false);
                }
                self.kept.extend(is_kept.then_some(path));
            }
            Some(path) if is_first && self.may_change(&path) => self.missing(word),
            None if is_first => self.missing(word),
            _ => {}
        }
    }

    fn by_path(&mut self, word: &str) {
        let Some(cwd) = self.cwd.clone().or_else(|| self.roots.first().cloned()) else { return };
        let dirs = self.path.clone().unwrap_or_default();
        let mut places = std::env::split_paths(&dirs).map(|dir| tidy(&cwd.join(dir).join(word)));
        if let Some(path) = places.find(|path| path.is_file()).filter(|path| self.may_change(path)) {
            self.name(word, &path, true);
            self.kept.push(path);
        }
    }

    fn name(&mut self, word: &str, path: &Path, is_program: bool) {
        let Some(text) = path.to_str() else {
            return self.complain(&format!("the path of `{word}` is not UTF-8"));
        };
        let names = if is_program { &mut self.named.programs } else { &mut self.named.files };
        names.insert(word.to_owned(), text.to_owned());
    }

    /// The interpreter of a command that gets a script which is not there: it may be there when it is run.
    fn without_script<'w>(&self, words: &[Token<'w>]) -> Option<&'w str> {
        let (mut interpreter, mut is_given) = (None, false);
        for (at, word) in words.iter().enumerate() {
            let Some(value) = &word.value else {
                is_given = interpreter.is_some();
                continue;
            };
            if is_one_of(value, &INTERPRETERS) || (at == 0 && (value == "." || value == "source")) {
                (interpreter, is_given) = (Some(word.shown), false);
                continue;
            }
            let is_code = interpreter.is_some() && CODE_OPTIONS.contains(&value.as_str());
            let is_shell_code =
                interpreter.is_some_and(|name| is_one_of(name, &SHELLS)) && super::is_code_of_shell(value);
            let is_file = at > 0 && self.at(value).is_some_and(|path| path.is_file());
            if is_code || is_shell_code || is_file || (at == 0 && !is_one_of(value, &CALLERS)) {
                return None;
            }
            is_given |= interpreter.is_some() && !value.starts_with('-');
        }
        interpreter.filter(|_| is_given)
    }

    fn missing(&mut self, word: &str) {
        self.complain(&format!(
            "`{word}` is not there. What lies in the directory of the run is kept as it is when the run is submitted; give the \
             path of a program elsewhere"
        ));
    }

    fn unknown(&mut self, word: &str) {
        self.complain(&format!("what `{word}` runs is known only when it is run: write its path in full"));
    }

    fn complain(&mut self, what: &str) {
        self.wrong.push(format!("task `{}`: on_blocked.run: {what}", self.task.id));
    }
}

fn is_open(text: &str) -> bool {
    text.contains("{{")
}
