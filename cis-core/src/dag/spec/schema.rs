//! The JSON Schema of the format (draft-07, which editors' TOML plugins read), made of the table of keys.

use serde_json::{Map, Value, json};

use super::keys::{self, Key, Keys, Required, Shape};

/// The schema. A file that it refuses is wrong; one that it takes may still be (names, templates, cycles).
#[must_use]
pub fn schema() -> Value {
    let mut schema = table(keys::TOP, Required { all: &["version", "dag", "tasks"], one_of: &[] });
    let head = json!({ "$schema": "http://json-schema.org/draft-07/schema#", "title": "DAG file of CIS" });
    if let (Value::Object(schema), Value::Object(head)) = (&mut schema, head) {
        schema.extend(head);
    }
    schema
}

fn table(keys: Keys, required: Required) -> Value {
    let mut properties = Map::new();
    for key in keys.iter().flat_map(|part| part.iter()) {
        properties.insert(key.name.to_owned(), property(key));
    }
    let mut table = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.all.is_empty() {
        table["required"] = json!(required.all);
    }
    if !required.one_of.is_empty() {
        let one = |name: &&str| json!({ "required": [name] });
        table["oneOf"] = required.one_of.iter().map(one).collect();
    }
    table
}

fn property(key: &Key) -> Value {
    let mut value = of(&key.shape);
    value["description"] = json!(key.doc);
    value
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Exactly(number) => json!({ "const": number }),
        Shape::Count(least) => json!({ "type": "integer", "minimum": least, "maximum": u32::MAX }),
        Shape::Number => json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }),
        Shape::Text => json!({ "type": "string", "pattern": "\\S" }),
        Shape::String => json!({ "type": "string" }),
        Shape::Pattern(pattern) => json!({ "type": "string", "pattern": pattern }),
        Shape::Duration => json!({ "type": "string", "pattern": "^\\s*[0-9]" }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Words(words) => json!({ "type": "array", "minItems": 1, "items": { "enum": words } }),
        Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::Any => json!({}),
        Shape::List(most) => json!({ "type": "array", "maxItems": most }),
        Shape::Map(names, shape) => json!({
            "type": "object",
            "propertyNames": { "pattern": names },
            "additionalProperties": of(shape),
        }),
        Shape::Table(keys, required) => table(keys, *required),
        Shape::Tables(keys, required) => {
            json!({ "type": "array", "minItems": 1, "items": table(keys, *required) })
        }
        Shape::Either(shapes) => json!({ "anyOf": shapes.iter().map(of).collect::<Vec<_>>() }),
    }
}
