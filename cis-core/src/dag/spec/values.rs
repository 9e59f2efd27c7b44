//! Values that several tables of a file have.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::de::DeValue;

use super::super::diagnose::{Mistake, quoted};
use super::read::{Node, Placed, Reader, integer};

/// The longest expression, question or key, bytes.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// A string that is not empty.
pub(super) fn filled(
    reader: &mut Reader,
    key: &str,
    node: &Node<'_>,
    example: &str,
) -> Option<Placed<String>> {
    let text = reader.string(key, node, example)?;
    if text.trim().is_empty() {
        reader.wrong(Mistake::new(node.span(), format!("`{key}` is empty")).help(format!("write {example}")));
        return None;
    }
    Some(Placed { value: text.to_owned(), span: node.span() })
}

/// The name of a DAG or a group; also where it is no good one, so that it is one mistake and not two.
pub(super) fn named(
    reader: &mut Reader,
    key: &str,
    node: &Node<'_>,
    what: &str,
    example: &str,
) -> Option<String> {
    let text = reader.string(key, node, example)?;
    good_name(reader, text, node.span(), what);
    Some(text.to_owned())
}

/// Says where a name is none of a DAG, a group or an agent.
pub fn good_name(reader: &mut Reader, text: &str, span: Range<usize>, what: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let starts_well = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if !starts_well || text.len() > 64 || !text.bytes().all(plain) {
        reader.wrong(
            Mistake::new(span, format!("{} cannot be the id of {what}", quoted(text)))
                .help("use 1 to 64 letters, digits, `_`, `-` and `.`, a letter or digit first"),
        );
    }
}

/// `env`: names and texts.
pub(super) fn env(reader: &mut Reader, node: &Node<'_>) -> BTreeMap<String, Placed<String>> {
    let mut env = BTreeMap::new();
    let Some(table) = reader.table("env", node, "env = { NAME = \"value\" }") else { return env };
    for (key, node) in table {
        let name: &str = key.get_ref();
        let is_name = variable(reader, name, key.span());
        let value = reader.string(&format!("env.{name}"), node, &format!("{name} = \"value\""));
        if let (true, Some(text)) = (is_name, value) {
            env.insert(name.to_owned(), Placed { value: text.to_owned(), span: node.span() });
        }
    }
    env
}

pub(super) fn variable(reader: &mut Reader, name: &str, span: Range<usize>) -> bool {
    let (label, help) = if name.is_empty() {
        ("it is empty".to_owned(), "write env = { NAME = \"value\" }".to_owned())
    } else if name.contains('=') || name.contains('\0') {
        let c = if name.contains('=') { "`=`" } else { "NUL" };
        (format!("it holds {c}"), "use letters, digits and `_`".to_owned())
    } else if name.starts_with("CIS_") {
        ("names that start with CIS_ are set by CIS".to_owned(), "choose another name".to_owned())
    } else {
        return true;
    };
    let title = format!("{} cannot be the name of a variable", quoted(name));
    reader.wrong(Mistake::new(span, title).label(label).help(help));
    false
}

pub(super) fn text(reader: &mut Reader, key: &str, node: &Node<'_>, example: &str) -> Option<Placed<String>> {
    let text = filled(reader, key, node, example)?;
    if text.value.len() > MAX_TEXT_BYTES {
        let title = format!("`{key}` is {} bytes long, and {MAX_TEXT_BYTES} are the most", text.value.len());
        reader.wrong(Mistake::new(node.span(), title).help("shorten it, or use the output of a task"));
        return None;
    }
    Some(text)
}

/// Any value as JSON; a date is its text. TOML's reader has limited how deep it goes.
pub(super) fn json(reader: &mut Reader, key: &str, node: &Node<'_>) -> Option<Value> {
    let mut wrong = |what: &str| {
        reader.wrong(Mistake::new(node.span(), format!("`{key}` holds {what}")).help("write it as a string"));
        None
    };
    match node.get_ref() {
        DeValue::String(_) => reader.string(key, node, "").map(Value::from),
        DeValue::Boolean(value) => Some(Value::Bool(*value)),
        DeValue::Integer(_) => match integer(node.get_ref()) {
            Some(value) => Some(Value::from(value)),
            None => wrong("an integer that does not fit 64 bits"),
        },
        DeValue::Float(float) => match float.as_str().parse().ok().and_then(Number::from_f64) {
            Some(value) => Some(Value::Number(value)),
            None => wrong("inf or nan, which no JSON has"),
        },
        DeValue::Datetime(date) => Some(Value::String(date.to_string())),
        DeValue::Array(items) => items.iter().map(|item| json(reader, key, item)).collect(),
        DeValue::Table(table) => {
            let pairs = table.iter().map(|(name, node)| {
                let name = name.get_ref().clone().into_owned();
                json(reader, key, node).map(|value| (name, value))
            });
            pairs.collect::<Option<Map<_, _>>>().map(Value::Object)
        }
    }
}
