//! Compares JSON values with the schemas of the description, and says in words where they differ.
//!
//! Knows the part of JSON Schema that the documents use, and nothing of requests.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use regex::Regex;
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, PartialSchema as _, ToSchema};

use super::schemas::{Schemas, collect, tidy};

/// A difference between a value and its schema.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// `size.cols`, `argv[2]`; empty: the whole value.
    at: String,
    what: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at.is_empty() {
            true => write!(f, "it {}", self.what),
            false => write!(f, "`{}` {}", self.at, self.what),
        }
    }
}

/// A schema with the schemas that it refers to.
pub(super) struct Checker {
    document: Value,
    /// The patterns in it. Each is compiled when it is first needed.
    patterns: HashMap<String, OnceLock<Option<Regex>>>,
}

/// The checkers of all types so far: each is made when it is first needed.
static KNOWN: Mutex<Option<HashMap<TypeId, Arc<Checker>>>> = Mutex::new(None);

fn known<T: 'static>(make: impl FnOnce() -> Checker) -> Arc<Checker> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    Arc::clone(known.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(make())))
}

impl Checker {
    /// Returns the checker of bodies of this type.
    pub(super) fn of_body<T: ToSchema + 'static>() -> Arc<Self> {
        known::<T>(|| {
            let mut found = Vec::new();
            T::schemas(&mut found);
            Self::new(&serde_json::to_value(T::schema()).unwrap_or_default(), found)
        })
    }

    /// Returns the checker of queries of this type: objects with a property for each parameter.
    pub(super) fn of_query<T: IntoParams + 'static>() -> Arc<Self> {
        known::<T>(|| {
            let parameters = T::into_params(|| Some(ParameterIn::Query));
            let schema = |of: &Parameter| serde_json::to_value(&of.schema).unwrap_or_default();
            let properties: Map<String, Value> =
                parameters.iter().map(|of| (of.name.clone(), schema(of))).collect();
            // Parameters whose type is an alias refer to these by name.
            let numbers = vec![
                (u32::name().into_owned(), u32::schema()),
                (u64::name().into_owned(), u64::schema()),
                (i64::name().into_owned(), i64::schema()),
            ];
            Self::new(&json!({ "type": "object", "properties": properties }), numbers)
        })
    }

    fn new(root: &Value, found: Vec<(String, RefOr<Schema>)>) -> Self {
        let mut schemas = Schemas::new();
        collect(&mut schemas, found);
        let mut document = json!({ "root": root, "components": { "schemas": schemas } });
        tidy(&mut document);
        let mut patterns = HashMap::new();
        gather_patterns(&document, &mut patterns);
        Self { document, patterns }
    }

    /// Returns the names and schemas of the properties of the value.
    pub(super) fn properties(&self) -> impl Iterator<Item = (&str, &Value)> {
        let properties = self.document["root"]["properties"].as_object();
        properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
    }

    /// Checks that the schema allows `value`.
    pub(super) fn check(&self, value: &Value) -> Result<(), Mismatch> {
        self.fits(&self.document["root"], value, "")
    }

    fn fits(&self, schema: &Value, value: &Value, at: &str) -> Result<(), Mismatch> {
        if let Some(schema) = self.referred(schema) {
            self.fits(schema, value, at)?;
        }
        for part in list(schema, "allOf") {
            self.fits(part, value, at)?;
        }
        for key in ["oneOf", "anyOf"] {
            self.fits_one_of(list(schema, key), value, at)?;
        }
        let wrong = |what: String| Err(Mismatch { at: at.to_owned(), what });
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|name| is_of(value, name)) {
            let names: Vec<&str> = types.into_iter().map(type_words).collect();
            return wrong(format!("must be {}, not {}", names.join(" or "), words(value)));
        }
        if let Some(values) = schema["enum"].as_array()
            && !values.contains(value)
        {
            return wrong(format!("must be {}, not {}", one_of(values.iter()), words(value)));
        }
        match value {
            Value::String(text) => self.text_fits(schema, text).or_else(wrong),
            Value::Number(_) => number_fits(schema, value).or_else(wrong),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(n, item)| self.fits(&schema["items"], item, &format!("{at}[{n}]"))),
            Value::Object(fields) => self.fields_fit(schema, fields, at),
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }

    fn referred(&self, schema: &Value) -> Option<&Value> {
        self.document.pointer(schema["$ref"].as_str()?.strip_prefix('#')?)
    }

    /// Checks a value that may have one of several forms. They are told apart by null, by a tag, or by their required property.
    fn fits_one_of(&self, parts: &[Value], value: &Value, at: &str) -> Result<(), Mismatch> {
        if parts.is_empty() || parts.iter().any(|part| self.fits(part, value, at).is_ok()) {
            return Ok(());
        }
        let parts: Vec<&Value> = parts.iter().filter(|part| part["type"] != "null").collect();
        if let [only] = parts[..] {
            return self.fits(only, value, at);
        }
        let Some(fields) = value.as_object() else {
            return Err(Mismatch {
                at: at.to_owned(),
                what: "has none of the forms that it may have".to_owned(),
            });
        };
        let tags: Vec<(&Value, &str, &Value)> =
            parts.iter().filter_map(|part| tag(part).map(|(name, of)| (*part, name, of))).collect();
        if let [(_, name, _), ..] = tags[..]
            && tags.len() == parts.len()
        {
            let Some(given) = fields.get(name) else { return Err(missing(at, name)) };
            return match tags.iter().find(|(_, _, of)| *of == given) {
                Some((part, ..)) => self.fits(part, value, at),
                None => Err(Mismatch {
                    at: place(at, name),
                    what: format!("must be {}, not {}", one_of(tags.iter().map(|tag| tag.2)), words(given)),
                }),
            };
        }
        let of_its_name = parts.iter().find(|part| required(part).any(|name| fields.contains_key(name)));
        match of_its_name {
            Some(part) => self.fits(part, value, at),
            None => {
                let names: Vec<String> =
                    parts.iter().flat_map(|part| required(part)).map(|name| format!("`{name}`")).collect();
                Err(Mismatch { at: at.to_owned(), what: format!("must have one of {}", names.join(", ")) })
            }
        }
    }

    fn text_fits(&self, schema: &Value, text: &str) -> Result<(), String> {
        let length = || text.chars().count() as u64;
        if let Some(least) = schema["minLength"].as_u64().filter(|least| length() < *least) {
            return Err(format!("must have at least {least} characters"));
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|most| length() > *most) {
            return Err(format!("must have at most {most} characters"));
        }
        match schema["pattern"].as_str() {
            Some(pattern) if self.pattern(pattern).is_some_and(|pattern| !pattern.is_match(text)) => {
                let example = schema["examples"][0].as_str();
                let like = example.map(|example| format!(", as `{example}` does")).unwrap_or_default();
                Err(format!("must match {pattern}{like}"))
            }
            _ => Ok(()),
        }
    }

    fn pattern(&self, pattern: &str) -> Option<&Regex> {
        self.patterns.get(pattern)?.get_or_init(|| Regex::new(pattern).ok()).as_ref()
    }

    fn fields_fit(&self, schema: &Value, fields: &Map<String, Value>, at: &str) -> Result<(), Mismatch> {
        if let Some(name) = required(schema).find(|name| !fields.contains_key(*name)) {
            return Err(missing(at, name));
        }
        let others = &schema["additionalProperties"];
        for (name, field) in fields {
            match schema["properties"].get(name) {
                Some(known) => self.fits(known, field, &place(at, name))?,
                None if others.is_object() => self.fits(others, field, &place(at, name))?,
                // A client of a later version may know more fields.
                None => {}
            }
        }
        Ok(())
    }
}

fn number_fits(schema: &Value, value: &Value) -> Result<(), String> {
    let number = value.as_f64().unwrap_or_default();
    if let Some(least) = schema["minimum"].as_f64().filter(|least| number < *least) {
        return Err(format!("must be at least {least}, not {value}"));
    }
    if let Some(most) = schema["maximum"].as_f64().filter(|most| number > *most) {
        return Err(format!("must be at most {most}, not {value}"));
    }
    Ok(())
}

fn gather_patterns(value: &Value, into: &mut HashMap<String, OnceLock<Option<Regex>>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather_patterns(item, into)),
        Value::Object(fields) => {
            // Where it is not a string, it is a property that is called `pattern`.
            if let Some(pattern) = fields.get("pattern").and_then(Value::as_str) {
                into.entry(pattern.to_owned()).or_default();
            }
            fields.values().for_each(|field| gather_patterns(field, into));
        }
        _ => {}
    }
}

fn list<'a>(schema: &'a Value, key: &str) -> &'a [Value] {
    schema[key].as_array().map_or(&[], Vec::as_slice)
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    list(schema, "required").iter().filter_map(Value::as_str)
}

/// The property that names the variant, and its only value.
fn tag(schema: &Value) -> Option<(&str, &Value)> {
    let mut properties = schema["properties"].as_object()?.iter();
    properties.find_map(|(name, of)| match of["enum"].as_array()?.as_slice() {
        [only] => Some((name.as_str(), only)),
        _ => None,
    })
}

fn place(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn missing(at: &str, name: &str) -> Mismatch {
    Mismatch { at: place(at, name), what: "is missing".to_owned() }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn type_words(name: &str) -> &str {
    match name {
        "boolean" => "true or false",
        "integer" => "an integer",
        "number" => "a number",
        "string" => "a string",
        "array" => "an array",
        "object" => "an object",
        other => other,
    }
}

/// Writes a value for a message; long and nested values by their type alone.
fn words(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.chars().count() <= 40 => format!("`{}`", text.escape_debug()),
        Value::String(_) => "another string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn one_of<'a>(values: impl Iterator<Item = &'a Value>) -> String {
    let values: Vec<String> = values.map(words).collect();
    match values.as_slice() {
        [only] => only.clone(),
        several => format!("one of {}", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::api::{Answer, CreateSession, Decide, ListRuns, LoginMatrix, RetryRun};

    fn said<T: ToSchema + 'static>(value: &Value) -> String {
        Checker::of_body::<T>().check(value).map_or_else(|wrong| wrong.to_string(), |()| String::new())
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let session = |more: &Value| {
            let mut body = json!({ "argv": ["true"], "cwd": "/" });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            said::<CreateSession>(&body)
        };
        assert_eq!(session(&json!({ "later": [1] })), "");
        assert_eq!(session(&json!({ "name": null, "size": { "cols": 80, "rows": 24 } })), "");
        assert_eq!(session(&json!({ "argv": ["a", 1] })), "`argv[1]` must be a string, not 1");
        assert_eq!(session(&json!({ "umask": -1 })), "`umask` must be at least 0, not -1");
        assert_eq!(
            session(&json!({ "size": { "cols": 70000, "rows": 24 } })),
            "`size.cols` must be at most 65535, not 70000"
        );
        assert_eq!(session(&json!({ "size": { "cols": 80 } })), "`size.rows` is missing");
        assert_eq!(session(&json!({ "env": { "A": 1 } })), "`env.A` must be a string, not 1");
        assert!(session(&json!({ "input": "x" })).starts_with("`input` must match ^["));
        assert_eq!(said::<Decide>(&json!([])), "it must be an object, not an array");
        assert_eq!(
            said::<Decide>(&json!({ "approve": "yes" })),
            "`approve` must be true or false, not `yes`"
        );
    }

    #[test]
    fn variants_are_names_and_no_numbers() {
        let input = "01JD0V3Z8K6T9W2B5N7Q4R1XEC";
        assert_eq!(said::<Answer>(&json!({ "with": "text", "text": "y", "input": input })), "");
        let wrong = said::<Answer>(&json!({ "with": 1, "text": "y", "input": input }));
        assert_eq!(wrong, "`with` must be one of `option`, `text`, `keys`, not 1");
        assert_eq!(said::<Answer>(&json!({ "with": "text", "input": input })), "`text` is missing");
        assert_eq!(said::<Answer>(&json!({ "input": input })), "`with` is missing");
        assert_eq!(said::<RetryRun>(&json!({ "scope": "all" })), "");
        assert!(said::<RetryRun>(&json!({ "scope": 0 })).starts_with("`scope` must be one of"));
        let login = |proof: &Value| said::<LoginMatrix>(&json!({ "homeserver": "a", "proof": proof }));
        assert_eq!(login(&json!({ "password": "x" })), "");
        assert_eq!(login(&json!({ "password": 1 })), "`proof.password` must be a string, not 1");
        assert_eq!(login(&json!({})), "`proof` must have one of `password`, `token`, `login_token`");
    }

    #[test]
    fn a_query_is_an_object_of_its_parameters() {
        let runs = Checker::of_query::<ListRuns>();
        assert!(runs.check(&json!({ "limit": 1000, "open": true })).is_ok());
        let wrong = runs.check(&json!({ "limit": 1001 })).unwrap_err();
        assert_eq!(wrong.to_string(), "`limit` must be at most 1000, not 1001");
        assert!(runs.check(&json!({ "limit": 0 })).is_err());
    }
}
