//! The bytes of a JSON value that are signed and hashed: the Matrix specification's "Canonical JSON".
//!
//! Keys in the order of their code points, no space, UTF-8 as it is, only the escapes that must be, no number but
//! integers within ±(2^53 − 1). Owns this form; what stands in a value is its maker's matter.

use serde_json::{Number, Value};

/// The greatest integer that every reader of JSON keeps as it is.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

/// Values may be nested so deep: readers of JSON stop at 128.
pub const DEPTH_MAX: usize = 100;

/// Characters of a place that an error shows.
const PLACE_CHARS_MAX: usize = 120;

/// Why a value has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    /// A number with a fraction, or one that is too big to have none.
    #[error("the number at {at} is no integer: signed content has none but integers")]
    Float {
        /// Its place, as a JSON pointer.
        at: String,
    },
    /// An integer beyond ±(2^53 − 1).
    #[error("the integer at {at} is beyond ±(2^53 − 1)")]
    Range {
        /// Its place, as a JSON pointer.
        at: String,
    },
    /// Arrays and objects in each other.
    #[error("it is nested deeper than {DEPTH_MAX}")]
    Depth,
}

/// The canonical form of `value`.
///
/// # Errors
/// [`NotCanonical`] where it has none.
pub fn canonical_json(value: &Value) -> Result<String, NotCanonical> {
    let mut writer = Writer { out: String::new(), place: Vec::new() };
    writer.value(value)?;
    Ok(writer.out)
}

/// The canonical form of an object with these entries.
///
/// # Errors
/// [`NotCanonical`] where it has none.
pub(super) fn canonical_object<'a>(
    entries: impl Iterator<Item = (&'a String, &'a Value)>,
) -> Result<String, NotCanonical> {
    let mut writer = Writer { out: String::new(), place: Vec::new() };
    writer.object(entries.collect())?;
    Ok(writer.out)
}

struct Writer<'a> {
    out: String,
    place: Vec<Step<'a>>,
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Writer<'a> {
    fn value(&mut self, value: &'a Value) -> Result<(), NotCanonical> {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(true) => self.out.push_str("true"),
            Value::Bool(false) => self.out.push_str("false"),
            Value::Number(number) => {
                let integer = self.integer(number)?;
                self.out.push_str(&integer.to_string());
            }
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    self.below(Step::Index(index), item)?;
                }
                self.out.push(']');
            }
            Value::Object(map) => self.object(map.iter().collect())?,
        }
        Ok(())
    }

    fn object(&mut self, mut entries: Vec<(&'a String, &'a Value)>) -> Result<(), NotCanonical> {
        // Strings are ordered by their UTF-8, which is the order of their code points.
        entries.sort_unstable_by_key(|(key, _)| *key);
        self.out.push('{');
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.text(key);
            self.out.push(':');
            self.below(Step::Key(key), value)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn below(&mut self, step: Step<'a>, value: &'a Value) -> Result<(), NotCanonical> {
        if self.place.len() >= DEPTH_MAX {
            return Err(NotCanonical::Depth);
        }
        self.place.push(step);
        self.value(value)?;
        self.place.pop();
        Ok(())
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "checked to be exact")]
    fn integer(&self, number: &Number) -> Result<i64, NotCanonical> {
        let within = |n: i64| (-INTEGER_MAX..=INTEGER_MAX).contains(&n);
        match number.as_i64() {
            Some(n) if within(n) => return Ok(n),
            Some(_) => return Err(NotCanonical::Range { at: self.pointer() }),
            None if number.is_u64() => return Err(NotCanonical::Range { at: self.pointer() }),
            None => {}
        }
        // `-0` and `1e10` are integers, written otherwise.
        match number.as_f64() {
            Some(n) if n.fract() == 0.0 && n.abs() <= INTEGER_MAX as f64 => Ok(n as i64),
            _ => Err(NotCanonical::Float { at: self.pointer() }),
        }
    }

    /// A string with the escapes that JSON demands: `\" \\ \b \f \n \r \t`, and `\u00xx` for other controls.
    fn text(&mut self, text: &str) {
        use std::fmt::Write as _;
        self.out.push('"');
        if !text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            self.out.push_str(text);
            return self.out.push('"');
        }
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                c if c < ' ' => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(c));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    /// Where it is, in few and harmless characters: keys may be anybody's.
    fn pointer(&self) -> String {
        let mut text = String::new();
        for step in &self.place {
            text.push('/');
            match step {
                Step::Key(key) => text.extend(key.escape_debug()),
                Step::Index(index) => text.push_str(&index.to_string()),
            }
        }
        match text.char_indices().nth(PLACE_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::identity::tests::any_json;

    fn of(text: &str) -> String {
        canonical_json(&serde_json::from_str(text).unwrap()).unwrap()
    }

    /// The examples of the specification's appendix.
    #[test]
    fn the_specifications_examples_hold() {
        let auth = r#"{"auth": {"success": true, "mxid": "@john.doe:example.com", "profile": {"display_name": "John Doe",
            "three_pids": [{"medium": "email", "address": "john.doe@example.org"}, {"medium": "msisdn", "address": "123456789"}]}}}"#;
        let cases = [
            ("{}", "{}"),
            (r#"{"one": 1, "two": "Two"}"#, r#"{"one":1,"two":"Two"}"#),
            (r#"{"b": "2", "a": "1"}"#, r#"{"a":"1","b":"2"}"#),
            (r#"{"b":"2","a":"1"}"#, r#"{"a":"1","b":"2"}"#),
            (
                auth,
                r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
            ),
            (r#"{"a": "日本語"}"#, r#"{"a":"日本語"}"#),
            (r#"{"本": 2, "日": 1}"#, r#"{"日":1,"本":2}"#),
            (r#"{"a": "\u65E5"}"#, r#"{"a":"日"}"#),
            (r#"{"a": null}"#, r#"{"a":null}"#),
            (r#"{"a": -0, "b": 1e10}"#, r#"{"a":0,"b":10000000000}"#),
        ];
        for (text, expected) in cases {
            assert_eq!(of(text), expected);
        }
    }

    #[test]
    fn keys_stand_in_the_order_of_code_points_not_of_utf_16() {
        // U+1F600 is a surrogate pair (D83D DE00) in UTF-16, and would come before U+FF5E there.
        assert_eq!(of(r#"{"😀": 1, "～": 2}"#), r#"{"～":2,"😀":1}"#);
    }

    #[test]
    fn only_what_must_be_is_escaped() {
        let text = "\u{0}\u{8}\t\n\u{b}\u{c}\r\u{1f}\"\\/\u{7f}\u{85}\u{2028}é";
        let expected = "\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\\\"\\\\/\u{7f}\u{85}\u{2028}é\"";
        assert_eq!(canonical_json(&json!(text)).unwrap(), expected);
    }

    #[test]
    fn numbers_that_readers_would_change_are_refused_with_their_place() {
        let at = |value: Value| canonical_json(&value).unwrap_err().to_string();
        assert!(at(json!({"a": [0, 1.5]})).contains("/a/1"));
        for value in [json!(9_007_199_254_740_992_i64), json!(-9_007_199_254_740_992_i64), json!(u64::MAX)] {
            assert_eq!(canonical_json(&value), Err(NotCanonical::Range { at: String::new() }));
        }
        assert_eq!(canonical_json(&json!(1e300)), Err(NotCanonical::Float { at: String::new() }));
        assert_eq!(canonical_json(&json!(INTEGER_MAX)).unwrap(), "9007199254740991");
        let place = at(json!({"\u{202e}\n".repeat(200): 0.5}));
        assert!(place.len() < 600 && !place.contains('\u{202e}') && !place.contains('\n'), "{place}");
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let deep = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        assert!(canonical_json(&deep(DEPTH_MAX)).is_ok());
        assert_eq!(canonical_json(&deep(DEPTH_MAX + 1)), Err(NotCanonical::Depth));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// What is written says the same when it is read, and is written the same again.
        #[test]
        fn it_reads_back_as_itself(value in any_json(false)) {
            let text = canonical_json(&value).unwrap();
            let again: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&again, &value);
            prop_assert_eq!(canonical_json(&again).unwrap(), text);
        }

        /// Space and order of what was received do not matter.
        #[test]
        fn forms_of_one_value_have_one_form(value in any_json(false)) {
            let pretty: Value = serde_json::from_str(&serde_json::to_string_pretty(&value).unwrap()).unwrap();
            prop_assert_eq!(canonical_json(&pretty), canonical_json(&value));
        }
    }
}
