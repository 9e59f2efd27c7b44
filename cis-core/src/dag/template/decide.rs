//! What is decided before a task starts: `if`, `foreach`, and the question of an approval.
//!
//! They are decided once for a task, before its items and its tries: there is no `item` and no
//! `attempt` in them. Who decides has no logs, so `tasks.ID.output` is refused too.

use std::collections::BTreeSet;

use serde_json::Value;

use super::expr::{Expr, ExprError, Name, Reference};
use super::scan::{Site, has_template, scan};
use super::{RenderError, Values, eval, parser};
use crate::dag::model::{Foreach, Task};
use crate::ids::TaskId;

/// The most items of a task with `foreach`.
pub const MAX_ITEMS: usize = 10_000;
/// The most bytes of all items' values as JSON: they stand in one event.
pub(in crate::dag) const MAX_ITEMS_BYTES: usize = 4 * 1024 * 1024;

/// Whether a task with `if = text` runs.
///
/// # Errors
/// [`RenderError::Expression`]: it is no expression, a name in it has no value, or it is neither true nor false.
pub fn condition(text: &str, task: &Task, values: &Values<'_>) -> Result<bool, RenderError> {
    let expr = read(text).map_err(|error| refused("if", text, &error))?;
    eval::boolean(&expr, &|name| eval::lookup(name, task, values))
        .map_err(|message| failed("if", text, message))
}

/// The items of a task with `foreach = text`; none is a list too.
///
/// # Errors
/// [`RenderError::Expression`]: it is no expression, a name in it has no value, it is no list, or one of more
/// than [`MAX_ITEMS`] items or 4 MiB.
pub fn items(text: &str, task: &Task, values: &Values<'_>) -> Result<Vec<Value>, RenderError> {
    let expr = read(text).map_err(|error| refused("foreach", text, &error))?;
    eval::list(&expr, &|name| eval::lookup(name, task, values), (MAX_ITEMS, MAX_ITEMS_BYTES))
        .map_err(|message| failed("foreach", text, message))
}

/// The outputs of other tasks that `if`, `foreach` and the question of the approval refer to, each once.
#[must_use]
pub fn decision_outputs(task: &Task) -> Vec<(TaskId, String)> {
    let mut names = BTreeSet::new();
    let mut add = |expr: Expr| {
        names.extend(expr.references.into_iter().filter_map(|reference| match reference.name {
            Name::Output { task, output } => Some((TaskId::new(&task).ok()?, output)),
            _ => None,
        }));
    };
    let foreach = task.foreach.as_ref().and_then(|foreach| match foreach {
        Foreach::Expression(text) => Some(text),
        Foreach::Items(_) => None,
    });
    for text in task.condition.iter().chain(foreach) {
        if let Ok(expr) = read(text) {
            add(expr);
        }
    }
    if let Some(approval) = &task.approval
        && has_template(&approval.prompt)
    {
        scan(&approval.prompt, Site::Plain).found.into_iter().for_each(|found| add(found.expr));
    }
    names.into_iter().collect()
}

/// Reads an expression without braces whose names are known before a task starts.
fn read(text: &str) -> Result<Expr, ExprError> {
    let expr = parser::parse_bare(text)?;
    match expr.references.iter().find_map(too_early) {
        Some(error) => Err(error),
        None => Ok(expr),
    }
}

/// The outputs of other tasks that the answer and the people of `on_blocked` refer to, each once.
#[must_use]
pub fn spoken_outputs(task: &Task) -> Vec<(TaskId, String)> {
    let mut names = BTreeSet::new();
    let said = task.on_blocked.iter().flat_map(|rule| rule.notify.iter().chain(&rule.default));
    for text in said.filter(|text| has_template(text)) {
        for reference in scan(text, Site::Plain).found.into_iter().flat_map(|found| found.expr.references) {
            if let Name::Output { task, output } = reference.name {
                names.extend(TaskId::new(&task).ok().map(|task| (task, output)));
            }
        }
    }
    names.into_iter().collect()
}

/// What is wrong with the name of a log where nobody reads logs.
pub(super) fn without_logs(reference: &Reference) -> Option<ExprError> {
    let error = too_early(reference).filter(|_| matches!(reference.name, Name::Tail(_)))?;
    Some(ExprError {
        message: "logs are not read for what is said of a session that waits".to_owned(),
        ..error
    })
}

/// What is wrong with a name that has no value yet.
pub(super) fn too_early(reference: &Reference) -> Option<ExprError> {
    let (message, help) = match &reference.name {
        Name::Tail(_) => (
            "logs are not read for what is decided before a task starts",
            "have that task write what matters to $CIS_OUTPUT, and use tasks.ID.outputs.NAME",
        ),
        Name::Item => (
            "this is decided once, before there are items",
            "choose the items in foreach, as in `… | reject(\"equalto\", \"x\")`",
        ),
        Name::Attempt => ("this is decided before the first try", "leave `attempt` out"),
        _ => return None,
    };
    Some(ExprError {
        range: reference.range.clone(),
        message: message.to_owned(),
        help: Some(help.to_owned()),
        resume: None,
    })
}

fn refused(place: &str, text: &str, error: &ExprError) -> RenderError {
    let help = error.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
    failed(place, text, format!("{}{help}", error.message))
}

fn failed(place: &str, text: &str, message: String) -> RenderError {
    RenderError::Expression { place: place.to_owned(), expression: text.to_owned(), message }
}
