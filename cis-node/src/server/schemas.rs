//! Schemas of the documents: collected by name, and made plain.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

/// Where both documents have them.
const PLACE: &str = "#/components/schemas/";

/// Types of Rust's that aliases (`Offset`, `TimestampMs`) lead to: what refers to one is replaced by it.
const PRIMITIVES: [&str; 4] = ["i64", "u32", "u64", "String"];

/// A link of rustdoc, which means nothing outside it.
static LINK: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\[`(?:[A-Za-z0-9_]+::)*([^`\]]+)`\](?:\([^)]*\))?").ok());

/// Schemas by their names.
pub(super) type Schemas = BTreeMap<String, RefOr<Schema>>;

/// Takes them in. Two types of one name would hide each other: every test that makes a document finds them.
pub(super) fn collect(into: &mut Schemas, found: Vec<(String, RefOr<Schema>)>) {
    for (name, schema) in found {
        let there = into.entry(name.clone()).or_insert_with(|| schema.clone());
        debug_assert!(
            *there == schema,
            "two types of the API are called {name}: give one `#[schema(as = …)]`"
        );
    }
}

/// The largest integer that all JSON parsers read exactly (RFC 8259, 6).
const INTEGER_MAX: i64 = (1 << 53) - 1;

/// Makes a document plain: aliases of numbers are numbers, integers have limits, and descriptions are words for people.
pub(super) fn tidy(document: &mut Value) {
    let mut primitives = Map::new();
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        for name in PRIMITIVES {
            if let Some(schema) = schemas.remove(name) {
                primitives.insert(name.to_owned(), schema);
            }
        }
    }
    walk(document, &primitives);
}

fn walk(value: &mut Value, primitives: &Map<String, Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, primitives)),
        Value::Object(fields) => {
            let named = fields.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix(PLACE));
            if let Some(Value::Object(primitive)) = named.and_then(|name| primitives.get(name)) {
                fields.remove("$ref");
                for (key, value) in primitive {
                    fields.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            bound(fields);
            if let Some(Value::String(words)) = fields.get_mut("description") {
                *words = plain(words);
            }
            fields.values_mut().for_each(|field| walk(field, primitives));
        }
        _ => {}
    }
}

/// Adds the limits of its type to an integer without limits of its own.
fn bound(schema: &mut Map<String, Value>) {
    let is_integer = match schema.get("type") {
        Some(Value::String(name)) => name == "integer",
        Some(Value::Array(names)) => names.iter().any(|name| name == "integer"),
        _ => false,
    };
    if !is_integer {
        return;
    }
    // utoipa writes `u-int32`; the registry of formats of OpenAPI has `uint32`.
    if let Some(Value::String(format)) = schema.get_mut("format") {
        *format = format.replace("u-int", "uint");
    }
    let (least, most) = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => (0, i64::from(u8::MAX)),
        Some("uint16") => (0, i64::from(u16::MAX)),
        Some("uint32") => (0, i64::from(u32::MAX)),
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (-INTEGER_MAX, INTEGER_MAX),
    };
    schema.entry("minimum").or_insert_with(|| least.into());
    schema.entry("maximum").or_insert_with(|| most.into());
}

/// Words of a doc comment, for people who do not see the code.
fn plain(words: &str) -> String {
    let words = words.trim();
    if !words.contains("[`") {
        return words.to_owned();
    }
    match &*LINK {
        Some(link) => link.replace_all(words, "`$1`").into_owned(),
        None => words.to_owned(),
    }
}
