//! Values of parameters and outputs: from typed text to JSON and back to text.

use serde_json::{Number, Value};

use super::model::ValueType;

impl ValueType {
    /// As it stands in a file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::List => "list",
            Self::Json => "json",
        }
    }
}

/// Reads `text` as a value of that type. Blanks around anything but a string do not count.
///
/// # Errors
/// What is expected, without the text itself (it may be long, or secret).
pub(super) fn parse(text: &str, ty: ValueType) -> Result<Value, String> {
    let trimmed = text.trim_ascii();
    match ty {
        ValueType::String => Ok(Value::String(text.to_owned())),
        ValueType::Integer => trimmed
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| "expected an integer, such as 3 (64 bits, no fraction)".to_owned()),
        ValueType::Number => number(trimmed).ok_or_else(|| "expected a number, such as 0.5".to_owned()),
        ValueType::Boolean => match trimmed {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err("expected true or false".to_owned()),
        },
        ValueType::List => serde_json::from_str(trimmed)
            .ok()
            .filter(Value::is_array)
            .ok_or_else(|| "expected a list as JSON, such as [\"a\", 3]".to_owned()),
        ValueType::Json => serde_json::from_str(trimmed).map_err(|error| format!("expected JSON: {error}")),
    }
}

fn number(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Value::from(whole));
    }
    // `inf` and `nan` read as floats, but no JSON number holds them.
    text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number)
}

/// How a value stands in a template: a string as it is, everything else as JSON.
pub(super) fn to_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
