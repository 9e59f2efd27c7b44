//! The key: SHA-256 over everything that a result depends on, each part with its name and length, so that
//! no two different sets of parts give the same bytes.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::inputs::{Input, bytes_of, read_inputs};
use super::noted::{NotedKey, Stamps};
use crate::files::{FilesError, Globs, Stop, pieces};
use cis_core::api::{CacheUse, Program, TaskSpec};
use cis_core::dag::CacheKey;
use cis_core::event::Submitter;

/// First part of every key. Another form of keys gets another one.
const FORM: &str = "cis cache key 1";

/// A key without its files.
pub(crate) struct Recipe(Parts);

/// The prompt of an agent that is no argument, by the way it gets it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum GivenPrompt<'a> {
    /// Its standard input.
    Stdin(&'a str),
    /// Typed when it waits for input.
    Typed(&'a str),
}

/// The parts of a key, hashed one after the other.
#[derive(Debug, Clone)]
pub(super) struct Parts(Sha256);

impl Parts {
    /// Of a form. Keys of two forms are never the same.
    pub(super) fn of(form: &str) -> Self {
        let mut parts = Self(Sha256::new());
        parts.add("form", form.as_bytes());
        parts
    }

    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.update((name.len() as u64).to_le_bytes());
        self.0.update(name.as_bytes());
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(super) fn count(&mut self, name: &str, count: usize) {
        self.add(name, &(count as u64).to_le_bytes());
    }

    /// The key, as hexadecimal digits.
    pub(super) fn hash(self) -> String {
        hex::encode(self.0.finalize())
    }
}

/// What the key has of the task itself.
///
/// With [`CacheKey::Auto`]: program, arguments, the task's own environment, directory, and the outputs of
/// what it needs, which reach it as `CIS_NEED_…`. With a text: that text, and which task of which file it is.
/// In both: what it declares, and the names of its secrets. Their values are left out: a key that changed
/// with a token would never be found, and could tell the token.
///
/// With [`CacheKey::Auto`], `prompt` and the way it is given count as well: a program may do one thing with its standard input,
/// and another with what is typed.
pub(crate) fn recipe(spec: &TaskSpec, cache: &CacheUse, prompt: Option<GivenPrompt<'_>>) -> Recipe {
    let mut parts = Parts::of(FORM);
    match &cache.key {
        CacheKey::Auto => {
            own(spec, Some(&cache.cwd), &mut parts);
            match prompt {
                Some(GivenPrompt::Stdin(text)) => parts.add("prompt in stdin", text.as_bytes()),
                Some(GivenPrompt::Typed(text)) => parts.add("typed prompt", text.as_bytes()),
                None => {}
            }
        }
        CacheKey::Text(text) => named(text, cache, &mut parts),
    }
    // Programs are searched and results made in the submitter's environment and directory, which are not part of
    // the key. So results are not shared with other submitters.
    submitted(cache, &mut parts);
    declared(spec, &mut parts);
    Recipe(parts)
}

/// A text of the file as the key: it belongs to one task of one file.
pub(super) fn named(text: &str, cache: &CacheUse, parts: &mut Parts) {
    parts.add("scope", cache.scope.as_bytes());
    parts.add("text", text.as_bytes());
}

pub(super) fn submitted(cache: &CacheUse, parts: &mut Parts) {
    match &cache.submitter {
        None => {}
        Some(Submitter::Token { id }) => parts.add("token", id.to_string().as_bytes()),
        Some(Submitter::Member { room }) => parts.add("room", room.as_bytes()),
    }
}

/// What the task declares.
pub(super) fn declared(spec: &TaskSpec, parts: &mut Parts) {
    parts.count("outputs", spec.outputs.len());
    for (name, ty) in &spec.outputs {
        parts.add("output", name.as_bytes());
        parts.add("type", format!("{ty:?}").as_bytes());
    }
    parts.count("artifacts", spec.artifacts.len());
    for glob in &spec.artifacts {
        parts.add("artifact", glob.as_bytes());
    }
    parts.count("secrets", spec.secrets.len());
    for name in spec.secrets.keys() {
        parts.add("secret", name.as_bytes());
    }
}

/// What the task runs, and what reaches it besides files. `directory`: relative to the run's, where the task runs in it.
pub(super) fn own(spec: &TaskSpec, directory: Option<&str>, parts: &mut Parts) {
    match &spec.program {
        Program::Argv(argv) => {
            parts.count("argv", argv.len());
            for argument in argv {
                parts.add("argument", argument.as_bytes());
            }
        }
        Program::Script { shell, text } => {
            parts.add("shell", shell.as_bytes());
            parts.add("script", text.as_bytes());
        }
        Program::Agent { agent, prompt } => {
            parts.add("agent", agent.as_bytes());
            parts.add("prompt", prompt.as_bytes());
        }
    }
    parts.count("environment", spec.env.len());
    for (name, value) in &spec.env {
        parts.add("name", name.as_bytes());
        parts.add("value", value.as_bytes());
    }
    if let Some(directory) = directory {
        parts.add("directory", directory.as_bytes());
    }
    parts.add("tty", &[u8::from(spec.tty)]);
    let needs = spec.context.iter().flat_map(|context| &context.needs);
    for (need, left) in needs.filter(|(_, left)| !left.outputs.is_empty()) {
        parts.add("need", need.as_str().as_bytes());
        parts.count("outputs", left.outputs.len());
        for (name, value) in &left.outputs {
            parts.add("name", name.as_bytes());
            parts.add("value", value.to_string().as_bytes());
        }
    }
}

impl Recipe {
    /// The key with the files below `cwd` that the globs match: path, content, and whether they can be executed. Of a link it is where it
    /// points to, and what is there. Files that the task makes (`artifacts`) may change while it runs.
    pub(crate) fn finish(
        &self,
        cwd: &Path,
        inputs: &[String],
        artifacts: &Globs,
        stop: &Stop,
    ) -> Result<NotedKey, FilesError> {
        let mut parts = self.0.clone();
        parts.count("inputs", inputs.len());
        if inputs.is_empty() {
            return Ok(NotedKey::new(parts.hash(), Stamps::default()));
        }
        let begin = |count: usize| {
            let mut parts = parts.clone();
            parts.count("files", count);
            (parts, Stamps::default())
        };
        let (parts, stamps) = read_inputs(cwd, inputs, stop, begin, |(parts, stamps), name, full, input| {
            parts.add("path", bytes_of(name));
            if artifacts.matching(name).is_empty() {
                stamps.add(name, full, &input)?;
            }
            match input {
                Input::Link(target) => parts.add("link", target),
                Input::File(file) => content(file, full, parts, stop)?,
            }
            Ok(())
        })?;
        Ok(NotedKey::new(parts.hash(), stamps))
    }
}

fn content(file: &File, full: &Path, parts: &mut Parts, stop: &Stop) -> Result<(), FilesError> {
    let unreadable = |source| FilesError::Read { path: full.to_owned(), source };
    let meta = file.metadata().map_err(unreadable)?;
    let mut content = Sha256::new();
    pieces(file, full, stop, |piece| {
        content.update(piece);
        Ok(())
    })?;
    let name = if meta.permissions().mode() & 0o111 != 0 { "program" } else { "file" };
    parts.add(name, &content.finalize());
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
