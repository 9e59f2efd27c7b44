//! What has no value, and filters that would leave it out without a word. As a whole it is an error in the engine; inside a list
//! or an object, and as the argument of some filters, it is not. Also where operands of `~` end, which are checked too.

use std::ops::Range;

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

use super::compare::{Mark, MarkKind};

/// The filter that stands behind operands of `~` in the source for the engine, and lets only what is complete pass. No expression
/// of a file can write it.
pub(super) const COMPLETE: &str = "cis_complete";

/// Puts strict filters in the place of the engine's, which have other names then. No expression of a file can write those.
pub(super) fn add(engine: &mut Environment<'static>) {
    engine.add_filter("cis_chain", filters::chain);
    engine.add_filter("cis_groupby", filters::groupby);
    engine.add_filter("cis_max", filters::max);
    engine.add_filter("cis_min", filters::min);
    engine.add_filter("cis_sum", filters::sum);
    engine.add_filter("cis_zip", filters::zip);
    engine.add_filter("chain", chain);
    engine.add_filter("groupby", groupby);
    engine.add_filter("max", max);
    engine.add_filter("min", min);
    engine.add_filter("sum", sum);
    engine.add_filter("zip", zip);
    engine.add_filter("cis_capitalize", filters::capitalize);
    engine.add_filter("cis_lower", filters::lower);
    engine.add_filter("cis_string", filters::string);
    engine.add_filter("cis_title", filters::title);
    engine.add_filter("cis_trim", filters::trim);
    engine.add_filter("cis_upper", filters::upper);
    engine.add_filter("capitalize", capitalize);
    engine.add_filter("lower", lower);
    engine.add_filter("string", string);
    engine.add_filter("title", title);
    engine.add_filter("trim", trim);
    engine.add_filter("upper", upper);
    engine.add_filter(COMPLETE, complete);
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

fn chain(state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    call(state, "cis_chain", &arguments.into_values())
}

fn groupby(state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    call(state, "cis_groupby", &arguments.into_values())
}

fn zip(state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    call(state, "cis_zip", &arguments.into_values())
}

fn max(state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    call_with_items(state, "cis_max", &arguments.into_values())
}

fn min(state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    call_with_items(state, "cis_min", &arguments.into_values())
}

fn sum(state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    call_with_items(state, "cis_sum", &arguments.into_values())
}

fn capitalize(state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    call_complete(state, "cis_capitalize", &arguments.into_values())
}

fn lower(state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    call_complete(state, "cis_lower", &arguments.into_values())
}

fn string(state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    call_complete(state, "cis_string", &arguments.into_values())
}

fn title(state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    call_complete(state, "cis_title", &arguments.into_values())
}

fn trim(state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    call_complete(state, "cis_trim", &arguments.into_values())
}

fn upper(state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    call_complete(state, "cis_upper", &arguments.into_values())
}

/// The engine's filter [`COMPLETE`].
fn complete(value: &Value) -> Result<Value, Error> {
    if is_complete(value) { Ok(value.clone()) } else { Err(ErrorKind::UndefinedError.into()) }
}

/// Of filters that make a text of each value, also of a list.
fn call_complete(state: &mut State<'_, '_>, filter: &str, arguments: &[Value]) -> Result<Value, Error> {
    if !arguments.iter().all(is_complete) {
        return Err(ErrorKind::UndefinedError.into());
    }
    state.apply_filter(filter, arguments)
}

fn call(state: &mut State<'_, '_>, filter: &str, arguments: &[Value]) -> Result<Value, Error> {
    if arguments.iter().any(Value::is_undefined) {
        return Err(ErrorKind::UndefinedError.into());
    }
    state.apply_filter(filter, arguments)
}

/// Of filters whose result does not have each item of the list.
fn call_with_items(state: &mut State<'_, '_>, filter: &str, arguments: &[Value]) -> Result<Value, Error> {
    let items = arguments.first().map(Value::try_iter);
    if items.is_some_and(|items| items.is_ok_and(|mut items| items.any(|item| item.is_undefined()))) {
        return Err(ErrorKind::UndefinedError.into());
    }
    call(state, filter, arguments)
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
