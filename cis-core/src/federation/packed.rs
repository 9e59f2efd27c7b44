//! Any JSON as JSON that can be signed: numbers that canonical JSON has no form for, and what is nested too deep,
//! travel as text.
//!
//! `{"~n": "1.5"}` is the number 1.5, `{"~j": "[[…]]"}` is the value that the text says, and a key that begins with
//! `~` gets one more. [`unpack`] is exact: what comes back is what went in.

use serde_json::{Map, Number, Value};

use crate::identity::INTEGER_MAX;

/// A number as text.
const NUMBER: &str = "~n";
/// A value as text.
const TEXT: &str = "~j";
/// From this depth on values are text: the envelope around needs some of canonical JSON's depth.
const DEPTH_MAX: usize = 64;

/// Why a value cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPacked {
    /// The text of a number is none.
    #[error("`~n` holds no number")]
    Number,
    /// The text of a value is none.
    #[error("`~j` holds no JSON")]
    Text,
    /// A key begins with one `~` and is neither.
    #[error("a key begins with `~` and is neither `~n` nor `~j`")]
    Key,
}

/// `value` in a form that has canonical JSON.
#[must_use]
pub fn pack(value: Value) -> Value {
    if is_packed_as_it_is(&value, 0) { value } else { packed(value, 0) }
}

/// Whether nothing of it takes another form, which is so of nearly all values.
fn is_packed_as_it_is(value: &Value, depth: usize) -> bool {
    match value {
        Value::Number(number) => is_plain(number),
        Value::Array(_) | Value::Object(_) if depth >= DEPTH_MAX => false,
        Value::Array(items) => items.iter().all(|item| is_packed_as_it_is(item, depth + 1)),
        Value::Object(map) => {
            map.iter().all(|(key, value)| !key.starts_with('~') && is_packed_as_it_is(value, depth + 1))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn packed(value: Value, depth: usize) -> Value {
    match value {
        Value::Number(number) if !is_plain(&number) => wrapped(NUMBER, number.to_string()),
        Value::Array(_) | Value::Object(_) if depth >= DEPTH_MAX => wrapped(TEXT, value.to_string()),
        Value::Array(items) => items.into_iter().map(|item| packed(item, depth + 1)).collect(),
        Value::Object(map) => {
            let escape = |key: String| if key.starts_with('~') { format!("~{key}") } else { key };
            map.into_iter().map(|(key, value)| (escape(key), packed(value, depth + 1))).collect()
        }
        plain => plain,
    }
}

/// What `value` was before [`pack`].
///
/// # Errors
/// [`BadPacked`] where nothing packs to it.
pub fn unpack(value: Value) -> Result<Value, BadPacked> {
    if has_escapes(&value) { unpacked(value) } else { Ok(value) }
}

fn has_escapes(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_escapes),
        Value::Object(map) => map.iter().any(|(key, value)| key.starts_with('~') || has_escapes(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn unpacked(value: Value) -> Result<Value, BadPacked> {
    match value {
        Value::Array(items) => items.into_iter().map(unpacked).collect(),
        Value::Object(map) => match sole_text(&map) {
            Some((NUMBER, text)) => text.parse::<Number>().map(Value::Number).map_err(|_| BadPacked::Number),
            Some((TEXT, text)) => serde_json::from_str(text).map_err(|_| BadPacked::Text),
            _ => map.into_iter().map(|(key, value)| Ok((unescaped(key)?, unpacked(value)?))).collect(),
        },
        plain => Ok(plain),
    }
}

/// Key and text of an object that has one key and a text.
fn sole_text(map: &Map<String, Value>) -> Option<(&str, &str)> {
    let mut entries = map.iter();
    match (entries.next(), entries.next()) {
        (Some((key, Value::String(text))), None) => Some((key, text)),
        _ => None,
    }
}

fn unescaped(key: String) -> Result<String, BadPacked> {
    match key.strip_prefix('~') {
        None => Ok(key),
        Some(rest) if rest.starts_with('~') => Ok(rest.to_owned()),
        Some(_) => Err(BadPacked::Key),
    }
}

fn is_plain(number: &Number) -> bool {
    number.as_i64().is_some_and(|n| (-INTEGER_MAX..=INTEGER_MAX).contains(&n))
}

fn wrapped(key: &str, text: String) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), Value::String(text))]))
}

/// Whether the name in `field`, which says what an object is, is no number. That would count as a place in our own list of names, which
/// no other reader knows.
#[must_use]
pub fn is_named(object: &Value, field: &str) -> bool {
    object.get(field).is_none_or(|name| !name.is_number())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::identity::canonical_json;
    use crate::identity::tests::any_json;

    #[test]
    fn numbers_stay_what_they_are() {
        let value = json!([1, 1.0, -0.0, 1e300, u64::MAX, i64::MIN, 0.1]);
        let packed = pack(value.clone());
        assert_eq!(packed[1], json!({"~n": "1.0"}));
        assert_eq!(packed[4], json!({"~n": "18446744073709551615"}));
        assert_eq!(unpack(packed).unwrap().to_string(), value.to_string());
    }

    #[test]
    fn nobody_can_make_a_number_of_a_text() {
        let value = json!({"~n": "1.5", "~~": 1, "~j": [], "a": {"~j": "[]"}});
        assert_eq!(pack(value.clone()), json!({"~~n": "1.5", "~~~": 1, "~~j": [], "a": {"~~j": "[]"}}));
        assert_eq!(unpack(pack(value.clone())), Ok(value));
        assert_eq!(unpack(json!({"~n": "x"})), Err(BadPacked::Number));
        assert_eq!(unpack(json!({"~j": "{"})), Err(BadPacked::Text));
        assert_eq!(unpack(json!({"~n": "1", "b": 1})), Err(BadPacked::Key));
        assert_eq!(unpack(json!({"~x": 1})), Err(BadPacked::Key));
    }

    #[test]
    fn whatever_can_be_read_can_be_signed() {
        let deep = (0..120).fold(json!(0.5), |inner, _| json!({ "a": inner }));
        let packed = pack(deep.clone());
        assert!(canonical_json(&packed).is_ok());
        assert_eq!(unpack(packed), Ok(deep));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_value_comes_back(value in any_json(true)) {
            let packed = pack(value.clone());
            prop_assert!(canonical_json(&packed).is_ok());
            prop_assert_eq!(unpack(packed).unwrap().to_string(), value.to_string());
        }
    }
}
