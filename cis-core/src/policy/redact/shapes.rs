//! Texts that look like keys of well-known makers, whoever declared them or not.
//!
//! Owns the shapes. A text that only looks like a key is hidden too: what leaves a session's log is read by people
//! and rooms, who lose nothing by that.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::STARS;

/// One pattern each; what stands before them is no letter or digit, or a character that is encoded with some.
const SHAPES: &[&str] = &[
    // GitHub, GitLab, npm, PyPI, Docker, Hugging Face.
    "gh[pousr]_[A-Za-z0-9]{36,255}",
    "github_pat_[A-Za-z0-9_]{22,255}",
    "glpat-[A-Za-z0-9_-]{20,64}",
    "npm_[A-Za-z0-9]{36}",
    "pypi-[A-Za-z0-9_-]{50,300}",
    "dckr_pat_[A-Za-z0-9_-]{20,64}",
    "hf_[A-Za-z0-9]{30,64}",
    // Makers of models.
    "sk-[A-Za-z0-9_-]{20,255}",
    // Slack, Stripe, Google, Amazon, DigitalOcean, Telegram.
    "xox[abeoprs]-[A-Za-z0-9-]{10,255}",
    "[rs]k_(?:live|test)_[A-Za-z0-9]{16,255}",
    "AIza[A-Za-z0-9_-]{35}",
    "(?:AKIA|ASIA)[A-Z0-9]{16}",
    "do[opr]_v1_[a-f0-9]{64}",
    "[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",
    // Homeservers.
    "syt_[A-Za-z0-9+/=]+_[A-Za-z]{20}_[A-Za-z0-9]{6}",
    "mct_[A-Za-z0-9]{30}_[A-Za-z0-9]{6}",
    // Signed claims (RFC 7519).
    "eyJ[A-Za-z0-9_-]{8,}\\.eyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{8,}",
];

/// Our own: a session's id and 32 bytes in hex, a token of the API, also with colors in it. Anything may stand before them.
const OWN: &str = "[0-9A-HJKMNP-TV-Z]{26}\\.[0-9a-f]{64}|cist_(?:\\x1b\\[[0-9;]*[mK])*[0-9a-f]{64}";

/// A character in a URL, or in a string of JSON or a program, that is written with letters.
const ENCODED: &str = "%[0-9A-Fa-f]{2}|\\\\[bfnrt]|\\\\u[0-9A-Fa-f]{4}|\\\\x[0-9A-Fa-f]{2}";

/// A private key (RFC 7468): to its end, or, where that is cut off, as long as its lines go on.
const PRIVATE_KEY: &str = "-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?:[A-Za-z0-9+/=:,. \\r\\n-]|\\\\n)*?-----END [A-Z ]*PRIVATE KEY-----|(?:[A-Za-z0-9+/=:,. \\r\\n-]|\\\\n)*)";

/// The password of a URL with one (RFC 3986, 3.2.1).
const URL_PASSWORD: &str = "(?P<url>[a-z][a-z0-9+.-]*://[^\\s/:@\"']{1,64}:)[^\\s/:@\"']{3,255}@";

static ANY: LazyLock<Regex> = LazyLock::new(|| {
    let shapes = SHAPES.join("|");
    let all = format!("(?P<before>\\b|{ENCODED})(?:{shapes})|{OWN}|{PRIVATE_KEY}|{URL_PASSWORD}");
    Regex::new(&all).expect("a constant pattern")
});

/// The text with everything of such a shape replaced.
#[must_use]
pub fn hide(text: &str) -> Cow<'_, str> {
    ANY.replace_all(text, |found: &regex::Captures<'_>| match (found.name("url"), found.name("before")) {
        (Some(url), _) => format!("{}{STARS}@", url.as_str()),
        (None, Some(before)) => format!("{}{STARS}", before.as_str()),
        (None, None) => STARS.to_owned(),
    })
}

/// The same in every string of a JSON value.
pub fn hide_json(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(hidden) = hide(text) {
                *text = hidden;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_json),
        Value::Object(fields) => fields.values_mut().for_each(hide_json),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Put together here, so that no tool that looks for keys finds one in this file.
    fn keys() -> Vec<String> {
        let letters = "aB3dE6gH9kL2nO5qR8tU1wX4zA7cF0iJ9mP8".repeat(3);
        vec![
            format!("ghp_{}", &letters[..36]),
            format!("github_pat_{}", &letters[..40]),
            format!("glpat-{}", &letters[..20]),
            format!("npm_{}", &letters[..36]),
            format!("sk-ant-api03-{}", &letters[..60]),
            format!("xoxb-{}", &letters[..24]),
            format!("AKIA{}", "ABCD2345EFGH6789"),
            format!("AIza{}", &letters[..35]),
            format!("syt_{}_{}_{}", &letters[..8], "abcdefghijklmnopqrst", "a1B2c3"),
            format!("{}.{}", "01JD0V3Z8K6T9W2B5N7Q4R1XEC", "0123456789abcdef".repeat(4)),
            format!("cist_{}", "0123456789abcdef".repeat(4)),
            format!("eyJ{}.eyJ{}.{}", &letters[..20], &letters[..30], &letters[..40]),
            format!("-----BEGIN {} KEY-----\n{letters}\n{letters}\n-----END {0} KEY-----", "OPENSSH PRIVATE"),
        ]
    }

    #[test]
    fn keys_of_known_makers_are_hidden_wherever_they_stand() {
        for key in keys() {
            for text in
                [key.clone(), format!("token={key}, next"), format!("Authorization: Bearer {key}\nok")]
            {
                let hidden = hide(&text);
                assert!(!hidden.contains(&key) && hidden.contains(STARS), "{hidden}");
            }
            for before in ["token=", "%3D", "%3d", "\\t", "\\u0009", "\\x09"] {
                assert_eq!(hide(&format!("{before}{key}, next")), format!("{before}{STARS}, next"));
            }
        }
    }

    #[test]
    fn own_tokens_are_hidden_whatever_stands_before_them_and_with_colors() {
        let (digits, session) = ("0123456789abcdef".repeat(4), "01JD0V3Z8K6T9W2B5N7Q4R1XEC");
        assert_eq!(hide(&format!("_cist_{digits}cist_{digits}.")), "_******.");
        assert_eq!(hide(&format!("x{session}.{digits}")), "x***");
        let colored = format!("\u{1b}[01;31m\u{1b}[Kcist_\u{1b}[m\u{1b}[K{digits}\n");
        assert_eq!(hide(&colored), "\u{1b}[01;31m\u{1b}[K***\n");
    }

    #[test]
    fn of_a_url_the_password_alone_is_hidden() {
        assert_eq!(hide("postgres://ann:hunter22@db:5432/x"), "postgres://ann:***@db:5432/x");
        assert_eq!(hide("see https://example.org/a:b@c"), "see https://example.org/a:b@c");
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "risk-free work, disk-usage-of-the-whole-machine",
            "01JD0V3Z8K6T9W2B5N7Q4R1XEC",
            "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH",
            "npm_config_cache=/tmp sk-1",
            "-----BEGIN CERTIFICATE-----",
        ] {
            assert!(matches!(hide(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn in_json_every_string_is_looked_at() {
        let key = keys().remove(0);
        let mut value = serde_json::json!({ "b": { "c": format!("x {key}") }, "a": [key, 3] });
        hide_json(&mut value);
        assert_eq!(value, serde_json::json!({ "a": ["***", 3], "b": { "c": "x ***" } }));
    }
}
