//! A request and an answer as they may look, made of their schemas.

use serde_json::{Map, Value, json};

/// Schemas that hold others so deep are cut.
const DEPTH_MAX: usize = 6;

/// The request as a call of curl.
pub(super) fn request(openapi: &Value, method: &str, path: &str, operation: &Value, body: &Value) -> String {
    let mut filled = path.to_owned();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        if parameter["in"] == "path" {
            let name = format!("{{{}}}", parameter["name"].as_str().unwrap_or_default());
            let example = parameter["schema"]["examples"][0].as_str().unwrap_or("name");
            let mut value = String::new();
            cis_core::api::paths::encode(example, &mut value);
            filled = filled.replace(&name, &value);
        }
    }
    let mut call = "curl --unix-socket \"$SOCKET\"".to_owned();
    if method != "get" {
        call.push_str(&format!(" -X {}", method.to_uppercase()));
    }
    call.push_str(&format!(" 'http://localhost{filled}'"));
    if !body.is_null() {
        let body = of(openapi, body, 0);
        let body = serde_json::to_string_pretty(&body).unwrap_or_default().replace('\'', "'\\''");
        call.push_str(&format!(" \\\n  -H 'content-type: application/json' -d '{body}'"));
    }
    call
}

/// The first answer that is JSON.
pub(super) fn answer(openapi: &Value, operation: &Value) -> Option<String> {
    let responses = operation["responses"].as_object()?;
    let (_, good) = responses.iter().find(|(status, _)| status.starts_with('2'))?;
    let schema = good["content"]["application/json"].get("schema")?;
    serde_json::to_string_pretty(&of(openapi, schema, 0)).ok()
}

/// A value that the schema takes, as far as that is told by shapes.
pub(super) fn of(openapi: &Value, schema: &Value, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(to) = schema["$ref"].as_str() {
        let found = openapi.pointer(to.trim_start_matches('#')).unwrap_or(&Value::Null);
        return of(openapi, found, depth + 1);
    }
    for given in [&schema["examples"][0], &schema["example"], &schema["const"], &schema["enum"][0]] {
        if !given.is_null() {
            return given.clone();
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut all = Map::new();
        for part in parts {
            if let Value::Object(fields) = of(openapi, part, depth + 1) {
                all.extend(fields);
            }
        }
        return Value::Object(all);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(parts) = schema[key].as_array() {
            let told = parts.iter().find(|part| part["type"] != "null").unwrap_or(&Value::Null);
            return of(openapi, told, depth + 1);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("string") => json!("…"),
        Some("integer") => {
            schema.get("minimum").filter(|least| least.as_f64() > Some(0.0)).cloned().unwrap_or(json!(0))
        }
        Some("number") => json!(0.5),
        Some("boolean") => json!(false),
        Some("array") => json!([of(openapi, &schema["items"], depth + 1)]),
        Some("object") => object(openapi, schema, depth),
        _ => Value::Null,
    }
}

fn object(openapi: &Value, schema: &Value, depth: usize) -> Value {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = schema["properties"].as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| required.contains(&name.as_str()))
        .map(|(name, schema)| (name.clone(), of(openapi, schema, depth + 1)))
        .collect::<Map<_, _>>()
        .into()
}
