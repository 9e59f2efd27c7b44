//! Which parts of a value hold secrets: those that differ from what is shown of it.

use serde_json::Value;

/// Adds the texts and numbers of `real` that `shown` has in another form. Whatever a program takes out of
/// a list or an object, it is one of these.
pub(super) fn parts(real: &Value, shown: &Value, found: &mut Vec<String>) {
    if real == shown {
        return;
    }
    match (real, shown) {
        (Value::Array(real), Value::Array(shown)) if real.len() == shown.len() => {
            real.iter().zip(shown).for_each(|(real, shown)| parts(real, shown, found));
        }
        (Value::Object(real), Value::Object(shown)) if real.keys().eq(shown.keys()) => {
            real.iter().zip(shown).for_each(|((_, real), (_, shown))| parts(real, shown, found));
        }
        // Its names differ: all of it.
        (Value::Array(_) | Value::Object(_), _) => all(real, found),
        (Value::String(text), _) => found.push(text.clone()),
        (other, _) => found.push(other.to_string()),
    }
}

/// Everything in a value that is long enough to be looked for.
fn all(value: &Value, found: &mut Vec<String>) {
    let mut add = |text: &str| {
        if text.trim().len() >= cis_core::policy::redact::SECRET_BYTES_MIN {
            found.push(text.to_owned());
        }
    };
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => add(&number.to_string()),
        Value::String(text) => add(text),
        Value::Array(items) => items.iter().for_each(|item| all(item, found)),
        Value::Object(map) => {
            map.keys().for_each(|key| add(key));
            map.values().for_each(|item| all(item, found));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(real: &Value, shown: &Value) -> Vec<String> {
        let mut found = Vec::new();
        parts(real, shown, &mut found);
        found
    }

    #[test]
    fn what_differs_is_found_and_nothing_else() {
        assert_eq!(of(&json!("a hunter2 b"), &json!("a *** b")), ["a hunter2 b"]);
        assert_eq!(
            of(&json!({"a": ["x", "hunter2"], "b": 1}), &json!({"a": ["x", "***"], "b": 1})),
            ["hunter2"]
        );
        assert_eq!(of(&json!(12345), &json!("***")), ["12345"]);
        let renamed =
            of(&json!({"hunter2": {"n": 7, "long": "words"}}), &json!({"***": {"n": 7, "long": "words"}}));
        assert_eq!(renamed, ["hunter2", "long", "words"], "its names cannot be compared");
        assert_eq!(of(&json!([1, 2]), &json!([1, 2])), Vec::<String>::new());
    }
}
