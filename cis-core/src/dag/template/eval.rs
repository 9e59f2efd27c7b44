//! From an expression and values to text. Names alone need no engine; the rest is minijinja's.

use std::borrow::Cow;
use std::sync::LazyLock;

use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

use super::compare::{self, Incomparable};
use super::expr::{Expr, Kind, Name};
use super::strict::{self, is_complete};
use super::words::UNBOUNDED;
use super::{MAX_SCRIPT_BYTES, Values};
use crate::dag::model::Task;
use crate::dag::value::to_text;

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    // `map` takes names of filters, so that it is not enough that they cannot be written.
    for name in UNBOUNDED {
        engine.remove_filter(name);
    }
    engine.add_filter("replace", replace);
    engine.add_filter("join", join);
    strict::add(&mut engine);
    engine.add_function(compare::FUNCTION, compare::compare);
    // `select`, `reject` and their likes call these tests as well.
    for (names, operator) in COMPARISONS {
        for name in *names {
            engine.add_test(*name, compare::test(operator));
        }
    }
    engine
});

/// The tests of the engine that compare two values, and the operators for which they stand.
const COMPARISONS: &[(&[&str], &str)] = &[
    (&["eq", "equalto", "=="], "=="),
    (&["ne", "!="], "!="),
    (&["lt", "lessthan", "<"], "<"),
    (&["le", "<="], "<="),
    (&["gt", "greaterthan", ">"], ">"),
    (&["ge", ">="], ">="),
];

fn too_long() -> minijinja::Error {
    let said = format!("this makes a text of more than {MAX_SCRIPT_BYTES} bytes");
    minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, said)
}

/// The engine's own has no bound.
fn replace(text: &str, from: &str, to: &str) -> Result<String, minijinja::Error> {
    let added = text.matches(from).count().saturating_mul(to.len());
    if text.len().saturating_add(added) > MAX_SCRIPT_BYTES {
        return Err(too_long());
    }
    Ok(text.replace(from, to))
}

/// The engine's own has no bound.
fn join(list: &minijinja::Value, between: Option<&str>) -> Result<String, minijinja::Error> {
    let mut out = String::new();
    // The engine takes what has no value for an empty list, and such an item for an empty text.
    if list.is_undefined() {
        return Err(minijinja::ErrorKind::UndefinedError.into());
    }
    for (index, item) in list.try_iter()?.enumerate() {
        if !is_complete(&item) {
            return Err(minijinja::ErrorKind::UndefinedError.into());
        }
        if index > 0 {
            out.push_str(between.unwrap_or_default());
        }
        match item.as_str() {
            Some(text) => out.push_str(text),
            None => out.push_str(&item.to_string()),
        }
        if out.len() > MAX_SCRIPT_BYTES {
            return Err(too_long());
        }
    }
    Ok(out)
}

/// Gives the value of a name; none where it has none.
pub(super) type Known<'k, 'v> = dyn Fn(&Name) -> Option<Cow<'v, Value>> + 'k;

/// Whether the engine takes the expression; what it says where not.
pub(super) fn check(expr: &Expr) -> Result<(), String> {
    match &expr.kind {
        Kind::Code(code) => ENGINE.compile_expression(code).map(drop).map_err(|error| describe(&error)),
        Kind::Name(_) | Kind::Literal(_) => Ok(()),
    }
}

/// The text of an expression's value.
pub(super) fn text(expr: &Expr, known: &Known<'_, '_>) -> Result<String, String> {
    let value = match evaluate(expr, known)? {
        Evaluated::Known(value) => return Ok(to_text(&value)),
        Evaluated::Made(value) => value,
    };
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let too_long = || format!("its value is longer than {MAX_SCRIPT_BYTES} bytes: pass a file");
    Ok(to_text(&json(&value, MAX_SCRIPT_BYTES, too_long, || absent(expr, known))?))
}

/// The value of an expression that is true or false.
pub(super) fn boolean(expr: &Expr, known: &Known<'_, '_>) -> Result<bool, String> {
    let found = match evaluate(expr, known)? {
        Evaluated::Known(value) => match &*value {
            Value::Bool(value) => return Ok(*value),
            other => kind_of(other),
        },
        Evaluated::Made(value) => match value.kind() {
            ValueKind::Bool => return Ok(value.is_true()),
            kind => compare::kind_of(kind),
        },
    };
    Err(not_boolean(found))
}

/// What to say of an expression that is neither true nor false.
pub(super) fn not_boolean(found: &str) -> String {
    let example = match found {
        "a number" => "`… > 0`",
        "a list" | "an object" | "none" => "`… is defined` or `(… | length) > 0`",
        _ => "`… == \"text\"`",
    };
    format!("this is {found}, and only true or false decides: compare it, as in {example}")
}

/// The elements of a list of at most so many items and bytes. A longer one is not built.
pub(super) fn list(
    expr: &Expr,
    known: &Known<'_, '_>,
    (most, most_bytes): (usize, usize),
) -> Result<Vec<Value>, String> {
    let too_many = || format!("there are more than {most} items: split the work, or have one item do more");
    let too_long = || format!("the items are longer than {most_bytes} bytes in all: have each name a file");
    let evaluated = evaluate(expr, known).map_err(|message| {
        // The engine's own limit, of `range` and of repeated lists.
        if message.contains("too many elements") || message.contains("too large") {
            too_many()
        } else {
            message
        }
    })?;
    let value = match evaluated {
        Evaluated::Known(value) => match &*value {
            Value::Array(items) if items.len() > most => return Err(too_many()),
            Value::Array(items) => {
                let bytes: usize = items.iter().map(|item| to_text(item).len()).sum();
                return if bytes > most_bytes { Err(too_long()) } else { Ok(items.clone()) };
            }
            other => return Err(not_list(kind_of(other))),
        },
        Evaluated::Made(value) => value,
    };
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Err(not_list(compare::kind_of(value.kind())));
    }
    let mut items = Vec::new();
    let mut left = most_bytes;
    for item in value.try_iter().map_err(|error| describe(&error))? {
        if items.len() == most {
            return Err(too_many());
        }
        let item = json(&item, left, too_long, || absent(expr, known))?;
        left = left.saturating_sub(to_text(&item).len());
        items.push(item);
    }
    Ok(items)
}

/// What to say of an expression that is no list.
pub(super) fn not_list(found: &str) -> String {
    let help = if found == "a text" { ": `… | split(\",\")` or `… | lines` make one of it" } else { "" };
    format!("this is {found}, and foreach goes over a list{help}")
}

enum Evaluated<'a> {
    /// As it was given.
    Known(Cow<'a, Value>),
    /// By the engine.
    Made(minijinja::Value),
}

fn evaluate<'a>(expr: &Expr, known: &Known<'_, 'a>) -> Result<Evaluated<'a>, String> {
    match &expr.kind {
        Kind::Literal(text) => Ok(Evaluated::Known(Cow::Owned(Value::String(text.clone())))),
        Kind::Name(name) => known(name).map(Evaluated::Known).ok_or_else(|| missing(name)),
        Kind::Code(code) => made(code, expr, known).map(Evaluated::Made),
    }
}

fn made(code: &str, expr: &Expr, known: &Known<'_, '_>) -> Result<minijinja::Value, String> {
    // What has no value stays undefined, so that `| default(…)` can supply one.
    let variable = |(index, name)| {
        let value = known(name)?;
        Some((format!("v{index}"), minijinja::Value::from(Serde(&*value))))
    };
    let names = expr.references.iter().map(|reference| &reference.name);
    let context = minijinja::Value::from_pairs(names.enumerate().filter_map(variable));
    let compiled = ENGINE.compile_expression(code).map_err(|error| describe(&error))?;
    let value = compiled.eval(context).map_err(|error| {
        let is_undefined = error.kind() == minijinja::ErrorKind::UndefinedError;
        match absent_names(expr, known).next().filter(|_| is_undefined) {
            // The engine stops at the first one.
            Some(name) if !expr.guarded => missing(name),
            Some(_) => PART_MISSING.to_owned(),
            None => describe(&error),
        }
    })?;
    if value.is_undefined() {
        return Err("it has no value; add `| default(…)` if that can be".to_owned());
    }
    Ok(value)
}

/// The JSON form, which is refused where its text would be longer than `most` bytes, or have null for a part that has no value.
fn json(
    value: &minijinja::Value,
    most: usize,
    too_long: impl Fn() -> String,
    absent: impl Fn() -> String,
) -> Result<Value, String> {
    if value.is_undefined() {
        return Err(absent());
    }
    let mut text = Bounded { text: Vec::new(), left: most, full: false };
    let written = serde_json::to_writer(&mut text, value);
    if text.full {
        return Err(too_long());
    }
    let json: Value = written
        .and_then(|()| serde_json::from_slice(&text.text))
        .map_err(|error| format!("its value has no JSON form: {error}"))?;
    if json.is_null() && !value.is_none() {
        return Err(format!("its value is {value}, which is not a number of JSON"));
    }
    // What is too long was not looked through.
    if is_complete(value) { Ok(json) } else { Err(absent()) }
}

struct Bounded {
    text: Vec<u8>,
    left: usize,
    full: bool,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len()) else {
            self.full = true;
            return Err(std::io::ErrorKind::FileTooLarge.into());
        };
        self.left = left;
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A value's kind in a sentence.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "none",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

const PART_MISSING: &str = "a part of it has no value; add `| default(…)` if that can be";

/// What to say where a part of a value has none. A name is to blame if it is the only one without a value, and cannot have a default.
fn absent(expr: &Expr, known: &Known<'_, '_>) -> String {
    let mut names = absent_names(expr, known);
    match names.next() {
        Some(name) if !expr.guarded && names.all(|other| other == name) => missing(name),
        _ => PART_MISSING.to_owned(),
    }
}

fn absent_names<'e>(expr: &'e Expr, known: &Known<'_, '_>) -> impl Iterator<Item = &'e Name> {
    expr.references.iter().map(|reference| &reference.name).filter(move |name| known(name).is_none())
}

fn missing(name: &Name) -> String {
    match name {
        Name::Output { task, output } => {
            format!("task `{task}` left no output `{output}`; add `| default(…)` if that can be")
        }
        Name::Tail(task) => {
            format!("the log of task `{task}` is not there; add `| default(…)` if that can be")
        }
        Name::Item => "only a task with foreach has an item".to_owned(),
        Name::Param(name) => format!("parameter `{name}` has no value"),
        _ => "it has no value".to_owned(),
    }
}

/// The value of a name, for a task.
pub(super) fn lookup<'a>(name: &Name, task: &Task, values: &Values<'a>) -> Option<Cow<'a, Value>> {
    let text = |text: &str| Some(Cow::Owned(Value::String(text.to_owned())));
    match name {
        Name::Param(name) => values.params.get(name).map(Cow::Borrowed),
        Name::Output { task, output } => values.outputs.get(task.as_str())?.get(output).map(Cow::Borrowed),
        Name::Tail(task) => values.tails.get(task.as_str()).and_then(|tail| text(tail)),
        Name::Item => values.item.map(Cow::Borrowed),
        Name::RunId => text(values.run),
        Name::DagId => text(values.dag),
        Name::TaskId => text(task.id.as_str()),
        Name::Attempt => Some(Cow::Owned(values.attempt.into())),
    }
}

/// The engine's message, without its variables, which the author never wrote.
fn describe(error: &minijinja::Error) -> String {
    let source = std::error::Error::source(error);
    if let Some(incomparable) = source.and_then(|source| source.downcast_ref::<Incomparable>()) {
        return incomparable.to_string();
    }
    match error.detail() {
        Some(detail) => format!("{} ({})", error.kind(), detail),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::{FILTERS, FUNCTIONS, TESTS, UNBOUNDED};
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
        for filter in UNBOUNDED {
            assert!(unknown(format!("'' | {filter}")), "{filter}");
        }
    }
}
