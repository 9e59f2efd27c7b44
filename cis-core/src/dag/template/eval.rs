//! From an expression and values to text. Names alone need no engine; the rest is minijinja's.

use std::borrow::Cow;
use std::sync::LazyLock;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

use super::Values;
use super::expr::{Expr, Kind, Name};
use crate::dag::model::Task;
use crate::dag::value::to_text;

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine
});

/// Whether the engine takes the expression; what it says where not.
pub(super) fn check(expr: &Expr) -> Result<(), String> {
    match &expr.kind {
        Kind::Code(code) => ENGINE.compile_expression(code).map(drop).map_err(|error| describe(&error)),
        Kind::Name(_) | Kind::Literal(_) => Ok(()),
    }
}

/// The text of an expression's value.
pub(super) fn text(expr: &Expr, task: &Task, values: &Values<'_>) -> Result<String, String> {
    match &expr.kind {
        Kind::Literal(text) => Ok(text.clone()),
        Kind::Name(name) => match lookup(name, task, values) {
            Some(value) => Ok(to_text(&value)),
            None => Err(missing(name)),
        },
        Kind::Code(code) => code_text(code, expr, task, values),
    }
}

fn code_text(code: &str, expr: &Expr, task: &Task, values: &Values<'_>) -> Result<String, String> {
    // What has no value stays undefined, so that `| default(…)` can supply one.
    let known = |(index, name)| {
        let value = lookup(name, task, values)?;
        Some((format!("v{index}"), minijinja::Value::from(Serde(&*value))))
    };
    let names = expr.references.iter().map(|reference| &reference.name);
    let context = minijinja::Value::from_pairs(names.enumerate().filter_map(known));
    let compiled = ENGINE.compile_expression(code).map_err(|error| describe(&error))?;
    let value = compiled.eval(context).map_err(|error| {
        let absent = expr.references.iter().find(|r| lookup(&r.name, task, values).is_none());
        match absent {
            Some(reference) if error.kind() == minijinja::ErrorKind::UndefinedError => {
                missing(&reference.name)
            }
            _ => describe(&error),
        }
    })?;
    if value.is_undefined() {
        return Err("it has no value; add `| default(…)` if that can be".to_owned());
    }
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let json =
        serde_json::to_value(&value).map_err(|error| format!("its value has no JSON form: {error}"))?;
    if json.is_null() && !value.is_none() {
        return Err(format!("its value is {value}, which is not a number of JSON"));
    }
    Ok(to_text(&json))
}

fn missing(name: &Name) -> String {
    match name {
        Name::Output { task, output } => {
            format!("task `{task}` left no output `{output}`; add `| default(…)` if that can be")
        }
        Name::Param(name) => format!("parameter `{name}` has no value"),
        _ => "it has no value".to_owned(),
    }
}

fn lookup<'a>(name: &Name, task: &Task, values: &Values<'a>) -> Option<Cow<'a, Value>> {
    let text = |text: &str| Some(Cow::Owned(Value::String(text.to_owned())));
    match name {
        Name::Param(name) => values.params.get(name).map(Cow::Borrowed),
        Name::Output { task, output } => {
            let id = task.parse().ok()?;
            values.outputs.get(&id)?.get(output).map(Cow::Borrowed)
        }
        Name::RunId => text(values.run),
        Name::DagId => text(values.dag),
        Name::TaskId => text(task.id.as_str()),
        Name::Attempt => Some(Cow::Owned(values.attempt.into())),
    }
}

/// The engine's message, without its variables, which the author never wrote.
fn describe(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{} ({})", error.kind(), detail),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::{FILTERS, FUNCTIONS, TESTS};
    use super::*;

    /// Every word that the checker lets through is one that the engine has.
    #[test]
    fn words_are_those_of_the_engine() {
        let unknown = |code: String| {
            let result = ENGINE.compile_expression_owned(code).and_then(|e| e.eval(()));
            result.is_err_and(|error| {
                use minijinja::ErrorKind::{UnknownFilter, UnknownFunction, UnknownTest};
                matches!(error.kind(), UnknownFilter | UnknownFunction | UnknownTest)
            })
        };
        for filter in FILTERS {
            assert!(!unknown(format!("'' | {filter}")), "{filter}");
        }
        for test in TESTS {
            assert!(!unknown(format!("1 is {test}")), "{test}");
        }
        for function in FUNCTIONS {
            assert!(!unknown(format!("{function}()")), "{function}");
        }
        assert!(unknown("'' | nothing".to_owned()) && unknown("1 is nothing".to_owned()));
    }
}
