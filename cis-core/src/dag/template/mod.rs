//! `{{ … }}` in commands, scripts, environments and directories: from a task and values to what a
//! session runs.
//!
//! Owns the promise that **a value never becomes code**. In a script each expression becomes a
//! reference to a variable `CIS_V1`, `CIS_V2` …, quoted for where it stands; in a command each element
//! stays one argument. Where a known program takes that for code (`sh -c "…"`, `ssh`), no value can stand; what others do with
//! their arguments is the author's. Knows nothing of files and their places: [`super::parse`] adds those.

mod arguments;
mod check;
mod command;
mod compare;
mod decide;
mod eval;
mod expr;
mod heredoc;
mod parser;
mod position;
mod programs;
mod scan;
mod shell;
mod strict;
mod words;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::globs;
use super::model::{Action, BlockedAction, Cache, CacheKey, Prompt, Task};
use crate::dag::PROMPT_BYTES_MAX;
use crate::dag::Program;
use crate::ids::TaskId;

pub use arguments::{ProgramOf, SecretArgument, SecretValues, check_arguments};
pub(super) use check::{Checked, Compared, Compiled, Place, Side, Used, check, has_block, mismatch};
pub(super) use compare::mismatch as incomparable;
pub(super) use decide::MAX_ITEMS_BYTES;
pub use decide::{MAX_ITEMS, condition, decision_outputs, items, spoken_outputs};
pub(super) use expr::{ExprError, Name};
pub use scan::has_template;
use scan::{Form, Scan, scan};
pub(super) use scan::{Site, argument_sites};

/// The longest script, bytes.
pub const MAX_SCRIPT_BYTES: usize = 1024 * 1024;
/// The longest argument or `NAME=value`, bytes: Linux takes 128 KiB with the NUL at its end (`execve(2)`).
pub const MAX_ARGUMENT_BYTES: usize = 128 * 1024 - 1;

/// What expressions can refer to.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// `run.id`.
    pub run: &'a str,
    /// `dag.id`.
    pub dag: &'a str,
    /// `attempt`, from 1.
    pub attempt: u32,
    /// `params.NAME`: every parameter of the run.
    pub params: &'a BTreeMap<String, Value>,
    /// `tasks.ID.outputs.NAME`: at least what [`referenced_outputs`] names, as far as it exists.
    pub outputs: &'a BTreeMap<TaskId, BTreeMap<String, Value>>,
    /// `tasks.ID.output`: at least what [`referenced_tails`] names, as far as it exists.
    pub tails: &'a BTreeMap<TaskId, String>,
    /// `item`: its real value, for an item of a task with `foreach`.
    pub item: Option<&'a Value>,
}

/// A task with its values in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// What is run.
    pub program: Program,
    /// The task's environment, and the variables that its script refers to.
    pub env: BTreeMap<String, String>,
    /// Its directory.
    pub cwd: Option<String>,
    /// The globs of its artifacts.
    pub artifacts: Vec<String>,
    /// Where the prompt of an agent stands, which `program` then lacks; relative to the run's directory.
    pub prompt_file: Option<String>,
}

/// Why a task cannot be rendered. The task fails with it; trying again does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// An expression is wrong or has no value.
    #[error("{place}: {expression}: {message}")]
    Expression {
        /// `script`, `command[1]`, `env.NAME`, `cwd`, `if`, `foreach` …
        place: String,
        /// As written.
        expression: String,
        /// What is wrong.
        message: String,
    },
    /// Too long.
    #[error(
        "{place} is {bytes} bytes long with its values in place, and at most {limit} are possible: pass a file"
    )]
    TooLong {
        /// As above.
        place: String,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// No argument and no variable can hold it.
    #[error("{place} holds a NUL byte")]
    Nul {
        /// As above.
        place: String,
    },
}

/// Puts the values in place.
///
/// # Errors
/// [`RenderError`]. A task of a checked file only fails on values: missing, too long, holding a NUL.
pub fn render(task: &Task, values: &Values<'_>) -> Result<Rendered, RenderError> {
    rendered(&task.action, None, task, values)
}

/// What `on_blocked` of the task runs, in its environment and directory; none where it runs nothing.
///
/// # Errors
/// As of [`render`].
pub fn render_on_blocked(task: &Task, values: &Values<'_>) -> Result<Option<Rendered>, RenderError> {
    match on_blocked_runs(task) {
        Some(action) => rendered(action, Some("on_blocked.run"), task, values).map(Some),
        None => Ok(None),
    }
}

fn on_blocked_runs(task: &Task) -> Option<&Action> {
    match &task.on_blocked.as_ref()?.action {
        BlockedAction::Run(action) => Some(action),
        _ => None,
    }
}

/// `place` is what the file calls it, where that is not `command` or `script`.
fn rendered(
    action: &Action,
    place: Option<&str>,
    task: &Task,
    values: &Values<'_>,
) -> Result<Rendered, RenderError> {
    let mut env = BTreeMap::new();
    for (name, text) in &task.env {
        let value = plain(text, task, values, MAX_ARGUMENT_BYTES - name.len() - 1, || format!("env.{name}"))?;
        env.insert(name.clone(), value);
    }
    let cwd = match &task.cwd {
        Some(text) => Some(plain(text, task, values, MAX_ARGUMENT_BYTES, || "cwd".to_owned())?),
        None => None,
    };
    let artifacts = task.artifacts.iter().enumerate();
    let artifacts =
        artifacts.map(|(index, text)| glob(index, text, task, values)).collect::<Result<_, _>>()?;
    let mut prompt_file = None;
    let program = match action {
        Action::Command(argv) => {
            let place = place.unwrap_or("command");
            let sites = argument_sites(argv.iter().map(String::as_str));
            let argument = |((index, text), site): ((usize, &String), Site<'_>)| {
                let place = || format!("{place}[{index}]");
                filled(text, site, task, values, MAX_ARGUMENT_BYTES, place, |value| value)
            };
            Program::Argv(argv.iter().enumerate().zip(sites).map(argument).collect::<Result<_, _>>()?)
        }
        Action::Script { text, shell } => {
            let mut text = script(text, shell, place.unwrap_or("script"), task, values, &mut env)?;
            if text.starts_with(['-', '+']) && position::Dialect::of(shell).is_some() {
                // `sh -c -x` would take it for an option.
                text.insert(0, ' ');
            }
            Program::Script { shell: shell.clone(), text }
        }
        Action::Agent { agent, prompt } => {
            let prompt = match prompt {
                Prompt::Text(text) => plain(text, task, values, PROMPT_BYTES_MAX, || "prompt".to_owned())?,
                Prompt::File(path) => {
                    let place = || "prompt_file".to_owned();
                    prompt_file = Some(plain(path, task, values, MAX_ARGUMENT_BYTES, place)?);
                    String::new()
                }
            };
            Program::Agent { agent: agent.clone(), prompt }
        }
    };
    Ok(Rendered { program, env, cwd, artifacts, prompt_file })
}

/// The value of a text with templates: the question of an approval, the key of a cache. `place` is
/// what the file calls it, for messages.
///
/// # Errors
/// [`RenderError`].
pub fn text(text: &str, task: &Task, values: &Values<'_>, place: &str) -> Result<String, RenderError> {
    plain(text, task, values, MAX_ARGUMENT_BYTES, || place.to_owned())
}

/// The outputs of other tasks that an attempt of this one needs (program, environment, directory, artifacts, key of
/// its cache, what its `on_blocked` runs), each once. Names that are not task ids are skipped.
#[must_use]
pub fn referenced_outputs(task: &Task) -> Vec<(TaskId, String)> {
    let mut names = BTreeSet::new();
    each_name(task, |name| {
        if let Name::Output { task, output } = name {
            names.extend(TaskId::new(&task).ok().map(|id| (id, output)));
        }
    });
    names.into_iter().collect()
}

/// The tasks whose logs a try of this one needs when it starts, each once.
#[must_use]
pub fn referenced_tails(task: &Task) -> Vec<TaskId> {
    let mut ids = BTreeSet::new();
    each_name(task, |name| {
        if let Name::Tail(task) = name {
            ids.extend(TaskId::new(&task));
        }
    });
    ids.into_iter().collect()
}

/// All names in what is rendered at the start of a try.
fn each_name(task: &Task, mut use_it: impl FnMut(Name)) {
    let mut scan_text = |text: &str, site: Site<'_>| {
        if has_template(text) {
            let references = scan(text, site).found.into_iter().flat_map(|found| found.expr.references);
            references.for_each(|reference| use_it(reference.name));
        }
    };
    for action in std::iter::once(&task.action).chain(on_blocked_runs(task)) {
        match action {
            Action::Command(argv) => argv.iter().for_each(|text| scan_text(text, Site::Plain)),
            Action::Script { text, shell } => scan_text(text, Site::Script(shell)),
            Action::Agent { prompt: Prompt::Text(text) | Prompt::File(text), .. } => {
                scan_text(text, Site::Plain);
            }
        }
    }
    let plain = task.env.values().chain(&task.cwd).chain(&task.artifacts);
    plain.for_each(|text| scan_text(text, Site::Plain));
    if let Some(Cache { key: CacheKey::Text(text), .. }) = &task.cache {
        scan_text(text, Site::Plain);
    }
}

/// Fills in the templates of a glob of `artifacts`. A value in it matches only itself.
fn glob(index: usize, text: &str, task: &Task, values: &Values<'_>) -> Result<String, RenderError> {
    let place = || format!("artifacts[{index}]");
    if !has_template(text) {
        return Ok(text.to_owned());
    }
    let glob =
        filled(text, Site::Plain, task, values, MAX_ARGUMENT_BYTES, place, |value| globs::escaped(&value))?;
    match globs::check(&glob) {
        Ok(()) => Ok(glob),
        Err((why, help)) => Err(RenderError::Expression {
            place: place(),
            expression: text.to_owned(),
            message: format!("cannot use it as a glob after its templates are filled in: {why}; {help}"),
        }),
    }
}

/// Replaces every template in `text` by `placeholder`. `None`: a template is malformed.
pub(super) fn with_placeholders<'t>(text: &'t str, placeholder: &str) -> Option<Cow<'t, str>> {
    if !has_template(text) {
        return Some(Cow::Borrowed(text));
    }
    let Scan { found, errors, .. } = scan(text, Site::Plain);
    if !errors.is_empty() {
        return None;
    }
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for found in found {
        out.push_str(&text[at..found.expr.range.start]);
        out.push_str(placeholder);
        at = found.expr.range.end;
    }
    out.push_str(&text[at..]);
    Some(Cow::Owned(out))
}

fn plain(
    text: &str,
    task: &Task,
    values: &Values<'_>,
    limit: usize,
    place: impl Fn() -> String,
) -> Result<String, RenderError> {
    filled(text, Site::Plain, task, values, limit, place, |value| value)
}

/// Fills in the templates of `text`, which is for `site`: no script. `quote` is applied to each value.
fn filled(
    text: &str,
    site: Site<'_>,
    task: &Task,
    values: &Values<'_>,
    limit: usize,
    place: impl Fn() -> String,
    quote: impl Fn(String) -> String,
) -> Result<String, RenderError> {
    if !has_template(text) {
        return bounded(text.to_owned(), limit, place);
    }
    let Scan { found, errors, misplaced } = scan(text, site);
    refuse(text, &errors, &place)?;
    refuse(text, &misplaced, &place)?;
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for found in found {
        out.push_str(&text[at..found.expr.range.start]);
        out.push_str(&quote(value(text, &found, task, values, &place)?));
        at = found.expr.range.end;
    }
    out.push_str(&text[at..]);
    bounded(out, limit, place)
}

fn script(
    text: &str,
    shell: &str,
    place: &str,
    task: &Task,
    values: &Values<'_>,
    env: &mut BTreeMap<String, String>,
) -> Result<String, RenderError> {
    let place = || place.to_owned();
    if !has_template(text) {
        return bounded(text.to_owned(), MAX_SCRIPT_BYTES, place);
    }
    let Scan { found, errors, misplaced } = scan(text, Site::Script(shell));
    refuse(text, &errors, &place)?;
    refuse(text, &misplaced, &place)?;
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    // The same expression travels once.
    let mut variables: BTreeMap<&str, String> = BTreeMap::new();
    for found in &found {
        let range = found.expr.range.clone();
        out.push_str(&text[at..range.start]);
        at = range.end;
        if found.form == Form::Text {
            out.push_str(&value(text, found, task, values, &place)?);
            continue;
        }
        let source = &text[range];
        if !variables.contains_key(source) {
            let name = format!("CIS_V{}", variables.len() + 1);
            let value = value(text, found, task, values, &place)?;
            let limit = MAX_ARGUMENT_BYTES - name.len() - 1;
            env.insert(
                name.clone(),
                bounded(value, limit, || format!("the value of {source} in {}", place()))?,
            );
            variables.insert(source, name);
        }
        let name = &variables[source];
        match found.form {
            Form::Bare => out.push_str(&format!("\"${{{name}}}\"")),
            Form::Quoted | Form::Text => out.push_str(&format!("${{{name}}}")),
        }
    }
    out.push_str(&text[at..]);
    bounded(out, MAX_SCRIPT_BYTES, place)
}

fn refuse(text: &str, errors: &[ExprError], place: &impl Fn() -> String) -> Result<(), RenderError> {
    let Some(error) = errors.first() else { return Ok(()) };
    let mut message = error.message.clone();
    if let Some(help) = &error.help {
        message.push_str(&format!("; {help}"));
    }
    Err(RenderError::Expression { place: place(), expression: text[error.range.clone()].to_owned(), message })
}

fn value(
    text: &str,
    found: &scan::Found,
    task: &Task,
    values: &Values<'_>,
    place: &impl Fn() -> String,
) -> Result<String, RenderError> {
    eval::text(&found.expr, &|name| eval::lookup(name, task, values)).map_err(|message| {
        RenderError::Expression {
            place: place(),
            expression: text[found.expr.range.clone()].to_owned(),
            message,
        }
    })
}

fn bounded(text: String, limit: usize, place: impl Fn() -> String) -> Result<String, RenderError> {
    if text.len() > limit {
        return Err(RenderError::TooLong { place: place(), bytes: text.len(), limit });
    }
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(RenderError::Nul { place: place() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
