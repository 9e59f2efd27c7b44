//! What has no value, and filters that would leave it out without a word. As a whole it is an error in the engine; inside a list
//! or an object, and as the argument of some filters, it is not.

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

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
