//! Between what a layer says and what a field holds.

use crate::config::kind::Value;

pub(super) fn number(value: &Value) -> u64 {
    optional(value).unwrap_or_default()
}

pub(super) fn count(value: &Value) -> u32 {
    u32::try_from(number(value)).unwrap_or(u32::MAX)
}

pub(super) fn optional(value: &Value) -> Option<u64> {
    if let Value::Number(number) = value { *number } else { None }
}

pub(super) fn text(value: &Value) -> String {
    if let Value::Text(text) = value { text.clone() } else { String::new() }
}

pub(super) fn words(value: &Value) -> Vec<String> {
    serde_json::from_str(&text(value)).unwrap_or_default()
}

pub(super) fn of_words(words: &[String]) -> Value {
    Value::Text(serde_json::to_string(words).unwrap_or_default())
}

pub(super) fn of_number(number: &u64) -> Value {
    Value::Number(Some(*number))
}

pub(super) fn of_count(count: &u32) -> Value {
    Value::Number(Some((*count).into()))
}

pub(super) fn of_optional(number: &Option<u64>) -> Value {
    Value::Number(*number)
}

pub(super) fn of_text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
