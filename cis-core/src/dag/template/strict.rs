//! What has no value, and filters that would leave it out without a word. As a whole it is an error in the engine; inside a list
//! or an object, and as the argument of some filters, it is not. Also where operands of `~` end, which are checked too.

use std::ops::Range;

use minijinja::functions::Function;
use minijinja::value::{FunctionArgs, FunctionResult, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

use super::compare::{Mark, MarkKind};

/// The filter that stands behind operands of `~` in the source for the engine, and lets only what is complete pass. No expression
/// of a file can write it.
pub(super) const COMPLETE: &str = "cis_complete";

/// Whether a filter may be called with these arguments.
type Check = fn(&[Value]) -> bool;

/// Puts strict filters in the place of the engine's.
pub(super) fn add(engine: &mut Environment<'static>) {
    replace(engine, "chain", filters::chain, are_values);
    replace(engine, "groupby", filters::groupby, are_values);
    replace(engine, "zip", filters::zip, are_values);
    replace(engine, "max", filters::max, have_items);
    replace(engine, "min", filters::min, have_items);
    replace(engine, "sum", filters::sum, have_items);
    replace(engine, "capitalize", filters::capitalize, are_complete);
    replace(engine, "lower", filters::lower, are_complete);
    replace(engine, "string", filters::string, are_complete);
    replace(engine, "title", filters::title, are_complete);
    replace(engine, "trim", filters::trim, are_complete);
    replace(engine, "upper", filters::upper, are_complete);
    engine.add_filter(COMPLETE, complete);
}

/// Puts a filter that checks its arguments in the place of the engine's, which has another name then. No expression of a file can
/// write that.
fn replace<F, R, A>(engine: &mut Environment<'static>, name: &'static str, filter: F, check: Check)
where
    F: Function<R, A>,
    R: FunctionResult,
    A: for<'a> FunctionArgs<'a>,
{
    let plain = format!("cis_{name}");
    engine.add_filter(plain.clone(), filter);
    engine.add_filter(name, move |state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>| {
        let arguments = arguments.into_values();
        if check(&arguments) { state.apply_filter(&plain, &arguments) } else { Err(undefined()) }
    });
}

fn undefined() -> Error {
    ErrorKind::UndefinedError.into()
}

/// Where operands of `~` end. The operator makes a text of each, also of a list.
pub(super) fn concatenated(text: &str, expression: Range<usize>, marks: &[Mark]) -> Vec<usize> {
    let mut ends = Vec::new();
    // For each open bracket, whether an operand of `~` has begun in it.
    let mut begun = vec![false];
    for Mark { range, kind } in marks.iter().filter(|mark| mark.range.end <= expression.end) {
        let was_begun = begun.last().copied().unwrap_or_default();
        match kind {
            MarkKind::Open => {
                begun.push(false);
                continue;
            }
            MarkKind::Close => {
                begun.pop();
            }
            _ => {
                if let Some(is_begun) = begun.last_mut() {
                    *is_begun = *kind == MarkKind::Concat;
                }
            }
        }
        if was_begun || *kind == MarkKind::Concat {
            ends.push(range.start);
        }
    }
    if begun.last().is_some_and(|is_begun| *is_begun) {
        ends.push(expression.end);
    }
    let start = expression.start;
    ends.iter().map(|end| start + text[start..*end].trim_end().len()).collect()
}

/// The engine's filter [`COMPLETE`].
fn complete(value: &Value) -> Result<Value, Error> {
    if is_complete(value) { Ok(value.clone()) } else { Err(undefined()) }
}

fn are_values(arguments: &[Value]) -> bool {
    !arguments.iter().any(Value::is_undefined)
}

/// Of filters whose result does not have each item of the list.
fn have_items(arguments: &[Value]) -> bool {
    let items = arguments.first().map(Value::try_iter);
    let lacks_one =
        items.is_some_and(|items| items.is_ok_and(|mut items| items.any(|item| item.is_undefined())));
    !lacks_one && are_values(arguments)
}

/// Of filters that make a text of each value, also of a list.
fn are_complete(arguments: &[Value]) -> bool {
    arguments.iter().all(is_complete)
}

/// Whether each part of a value has one.
pub(super) fn is_complete(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Undefined => false,
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().is_ok_and(|mut items| items.all(|item| is_complete(&item)))
        }
        ValueKind::Map => value
            .try_iter()
            .is_ok_and(|mut keys| keys.all(|key| value.get_item(&key).is_ok_and(|part| is_complete(&part)))),
        _ => true,
    }
}
