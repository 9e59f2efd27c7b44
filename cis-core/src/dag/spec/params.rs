//! `[dag] params` and the `outputs` of tasks: names, types, defaults.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::{Number, Value};
use toml::de::{DeTable, DeValue};

use super::super::diagnose::{Mistake, quoted};
use super::super::model::{Param, ValueType};
use super::super::outputs::is_output_name;
use super::read::{Node, Reader, integer};
use super::{keys, values};

const PARAM_TYPES: &[(&str, ValueType)] = &[
    ("string", ValueType::String),
    ("integer", ValueType::Integer),
    ("number", ValueType::Number),
    ("boolean", ValueType::Boolean),
    ("list", ValueType::List),
];
const OUTPUT_TYPES: &[(&str, ValueType)] = &[
    ("string", ValueType::String),
    ("integer", ValueType::Integer),
    ("number", ValueType::Number),
    ("boolean", ValueType::Boolean),
    ("list", ValueType::List),
    ("json", ValueType::Json),
];

/// All parameters, also those with mistakes: using them is not another mistake.
pub(super) fn params(reader: &mut Reader, node: &Node<'_>) -> IndexMap<String, Param> {
    let example = "params = { branch = { type = \"string\", default = \"main\" } }";
    let Some(table) = reader.table("params", node, example) else { return IndexMap::new() };
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut params = IndexMap::with_capacity(entries.len());
    for (key, node) in entries {
        name(reader, key.get_ref(), key.span(), "a parameter");
        let param = param(reader, key.get_ref(), node);
        params.insert(key.get_ref().clone().into_owned(), param);
    }
    params
}

fn name(reader: &mut Reader, name: &str, span: std::ops::Range<usize>, what: &str) {
    if !is_output_name(name) {
        let plain: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(64).collect();
        let mut mistake = Mistake::new(span, format!("{} cannot be the name of {what}", quoted(name)))
            .help("use letters, digits and `_`, no digit first, at most 64");
        if is_output_name(&plain) {
            mistake = mistake.label(format!("did you mean `{plain}`?"));
        }
        reader.wrong(mistake);
    }
}

fn param(reader: &mut Reader, name: &str, node: &Node<'_>) -> Param {
    let mut param = Param { ty: ValueType::String, default: None, description: None };
    let key = format!("params.{name}");
    let Some(table) = reader.table(&key, node, &format!("{name} = {{ type = \"string\" }}")) else {
        return param;
    };
    reader.known_keys(table, "a parameter", keys::PARAM, &[]);
    if let Some(node) = table.get("description") {
        param.description = reader.string("description", node, "description = \"…\"").map(str::to_owned);
    }
    let Some(ty) = value_type(reader, table, node, &key, PARAM_TYPES) else { return param };
    param.ty = ty;
    if let Some(node) = table.get("default") {
        param.default = default(reader, &key, node, ty);
    }
    param
}

fn value_type(
    reader: &mut Reader,
    table: &DeTable<'_>,
    node: &Node<'_>,
    key: &str,
    types: &[(&str, ValueType)],
) -> Option<ValueType> {
    let Some(ty) = table.get("type") else {
        reader.wrong(Mistake::new(node.span(), format!("`{key}` has no type")).help("add type = \"string\""));
        return None;
    };
    reader.choice("type", ty, types)
}

fn default(reader: &mut Reader, key: &str, node: &Node<'_>, ty: ValueType) -> Option<Value> {
    let value = match (ty, node.get_ref()) {
        (ValueType::String, DeValue::String(_)) => {
            return reader.string("default", node, "").map(|text| Value::String(text.to_owned()));
        }
        (ValueType::Integer, value) => integer(value).map(Value::from),
        (ValueType::Number, DeValue::Float(n)) => {
            n.as_str().parse().ok().and_then(Number::from_f64).map(Value::Number)
        }
        (ValueType::Number, value) => integer(value).map(Value::from),
        (ValueType::Boolean, DeValue::Boolean(b)) => Some(Value::Bool(*b)),
        (ValueType::List, DeValue::Array(_)) => return values::json(reader, "default", node),
        _ => None,
    };
    if value.is_none() {
        let (wanted, example) = match ty {
            ValueType::Integer => ("an integer of 64 bits", "3"),
            ValueType::Number => ("a number that is neither inf nor nan", "0.5"),
            ValueType::Boolean => ("true or false", "true"),
            ValueType::List => ("a list", "[\"a\", \"b\"]"),
            ValueType::String | ValueType::Json => ("a string", "\"text\""),
        };
        reader.wrong(
            Mistake::new(node.span(), format!("the default of `{key}` must be {wanted}"))
                .label(format!("its type is {}", ty.name()))
                .help(format!("write default = {example}, or change the type")),
        );
    }
    value
}

/// `outputs` of a task.
pub(super) fn outputs(reader: &mut Reader, node: &Node<'_>) -> BTreeMap<String, ValueType> {
    let example = "outputs = { failed = { type = \"integer\" } }";
    let Some(table) = reader.table("outputs", node, example) else { return BTreeMap::new() };
    let mut outputs = BTreeMap::new();
    for (key, node) in table {
        let output: &str = key.get_ref();
        name(reader, output, key.span(), "an output");
        let path = format!("outputs.{output}");
        let mut ty = None;
        if let Some(table) = reader.table(&path, node, &format!("{output} = {{ type = \"string\" }}")) {
            reader.known_keys(table, "an output", keys::OUTPUT, &[]);
            ty = value_type(reader, table, node, &path, OUTPUT_TYPES);
        }
        outputs.insert(output.to_owned(), ty.unwrap_or(ValueType::String));
    }
    outputs
}
