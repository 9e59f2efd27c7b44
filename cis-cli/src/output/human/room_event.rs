//! An event of a room as one readable line: `cis matrix subscribe`.
//!
//! Everything in it is the word of whoever sent it: `--json` has all of it.

use cis_core::api::MatrixEventView;
use serde_json::Value;

use super::{cut, moment};
use crate::output::clean::{clean, clean_lines};
use crate::output::style::{BOLD, DIM};

/// Longer words in a line are cut, characters.
const WORDS_CHARS_MAX: usize = 200;
/// What nodes write to each other begins so.
const OF_NODES: &str = "cis.dag.";

/// A line of `cis matrix subscribe`; a message may have several.
pub(crate) fn matrix_event(event: &MatrixEventView) -> String {
    let content: Value = serde_json::from_str(event.content.get()).unwrap_or_default();
    let (at, sender) = (moment(event.at_ms), clean(&event.sender));
    let head = format!("{DIM}{at}{DIM:#} {BOLD}{sender}{BOLD:#}");
    match words(event, &content) {
        Words::Said(body) => format!("{head} {}\n", clean_lines(&body)),
        Words::Done(what) => format!("{head} {DIM}{}{DIM:#}\n", clean(&what)),
    }
}

/// What an event says.
enum Words {
    /// Somebody's own words.
    Said(String),
    /// What somebody did, in ours.
    Done(String),
}

fn words(event: &MatrixEventView, content: &Value) -> Words {
    let text = |path: &str| content.pointer(path).and_then(Value::as_str).map(short);
    let done = match event.kind.as_str() {
        "m.room.message" => return message(content),
        "m.room.encrypted" => "an encrypted event that this device has no key for".to_owned(),
        "m.reaction" => format!("reacts {}", text("/m.relates_to/key").unwrap_or_default()),
        "m.room.redaction" => "removes an event".to_owned(),
        "m.room.name" => format!("names the room {}", text("/name").unwrap_or_default()),
        "m.room.topic" => format!("sets the topic {}", text("/topic").unwrap_or_default()),
        "m.room.power_levels" => "changes who may do what".to_owned(),
        "m.room.tombstone" => {
            format!("replaces the room by {}", text("/replacement_room").unwrap_or_default())
        }
        "m.room.member" => member(event, content),
        kind if kind.starts_with(OF_NODES) => of_node(kind, content),
        kind if event.state_key.is_some() => format!("sets {}", short(kind)),
        kind => short(kind),
    };
    Words::Done(done)
}

fn message(content: &Value) -> Words {
    let body = |of: &Value| of.get("body").and_then(Value::as_str).map(str::to_owned);
    match content.get("m.new_content") {
        Some(new) => Words::Said(format!("(edited) {}", body(new).unwrap_or_default())),
        None => body(content).map_or_else(|| Words::Done("a message without words".to_owned()), Words::Said),
    }
}

fn member(event: &MatrixEventView, content: &Value) -> String {
    let who = short(event.state_key.as_deref().unwrap_or_default());
    let own = who == event.sender;
    match content.get("membership").and_then(Value::as_str) {
        Some("join") => "is in the room".to_owned(),
        Some("invite") => format!("invites {who}"),
        Some("knock") => "requests access".to_owned(),
        Some("leave") if own => "leaves".to_owned(),
        Some("leave") => format!("removes {who}"),
        Some("ban") => format!("bans {who}"),
        _ => format!("changes the membership of {who}"),
    }
}

/// What a node says: of which run, and the one thing that its type is about.
fn of_node(kind: &str, content: &Value) -> String {
    let run = content.get("run").and_then(Value::as_str).unwrap_or_default();
    let of_run = if run.is_empty() { String::new() } else { format!(" of run {}", short(run)) };
    let body = content.get("body").unwrap_or(&Value::Null);
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let number = |name: &str| body.get(name).and_then(Value::as_u64);
    let named = text("dag").map(|dag| format!(" ({})", short(dag))).unwrap_or_default();
    let about =
        ["task", "question", "detail"].into_iter().filter_map(text).map(|text| format!(": {}", short(text)));
    let about: String = about.collect();
    let kind = short(kind.strip_prefix(OF_NODES).unwrap_or(kind));
    let entries =
        body.get("entries").and_then(Value::as_array).map(|all| all.len() as u64).or(number("count"));
    match (number("first"), entries) {
        (Some(first), Some(count)) if count > 0 => {
            format!("{kind}{of_run}: entries {first} to {}", first.saturating_add(count - 1))
        }
        _ => format!("{kind}{of_run}{named}{about}"),
    }
}

fn short(words: &str) -> String {
    cut(words, WORDS_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;

    fn event(kind: &str, state_key: Option<&str>, content: &Value) -> MatrixEventView {
        MatrixEventView {
            id: "$e".to_owned(),
            sender: "@ann:example.org".to_owned(),
            kind: kind.to_owned(),
            content: to_raw_value(content).unwrap(),
            at_ms: 1_700_000_000_000,
            state_key: state_key.map(str::to_owned),
            encryption: None,
        }
    }

    fn line(kind: &str, state_key: Option<&str>, content: &Value) -> String {
        let event = event(kind, state_key, content);
        let line = anstream::adapter::strip_str(&matrix_event(&event)).to_string();
        line.split_once("@ann:example.org ").unwrap().1.to_owned()
    }

    #[test]
    fn nothing_is_shown_as_raw_json() {
        let run = "01J000000000000000000000AB";
        let page = json!({ "run": run, "body": { "first": 3, "entries": [{}, {}] } });
        let file = json!({ "run": run, "body": { "first": 3, "count": 40, "file": {} } });
        let failed = json!({ "run": run, "body": { "dag": "ship", "detail": "`lint` failed" } });
        let edit = json!({ "body": "* b", "m.new_content": { "body": "b\nc" } });
        for (kind, state_key, content, says) in [
            ("m.room.message", None, json!({ "body": "a\nb" }), "a\nb\n".to_owned()),
            ("m.room.message", None, edit, "(edited) b\nc\n".to_owned()),
            ("m.room.message", None, json!({}), "a message without words\n".to_owned()),
            ("m.reaction", None, json!({ "m.relates_to": { "key": "✅" } }), "reacts ✅\n".to_owned()),
            (
                "m.room.member",
                Some("@bob:x"),
                json!({ "membership": "invite" }),
                "invites @bob:x\n".to_owned(),
            ),
            (
                "m.room.pinned_events",
                Some(""),
                json!({ "pinned": [] }),
                "sets m.room.pinned_events\n".to_owned(),
            ),
            ("cis.dag.run.journal", None, page, format!("run.journal of run {run}: entries 3 to 4\n")),
            ("cis.dag.run.journal", None, file, format!("run.journal of run {run}: entries 3 to 42\n")),
            ("cis.dag.run.failed", None, failed, format!("run.failed of run {run} (ship): `lint` failed\n")),
            ("org.example.odd", None, json!([1, { "a": "b" }]), "org.example.odd\n".to_owned()),
            ("cis.dag.odd", None, json!("x"), "odd\n".to_owned()),
        ] {
            let line = line(kind, state_key, &content);
            assert_eq!(line, says, "{kind}");
            assert!(!line.contains(['{', '[']), "{line}");
        }
    }

    #[test]
    fn words_of_others_are_short_and_do_not_move_the_terminal() {
        let long = line("m.reaction", None, &json!({ "m.relates_to": { "key": "x".repeat(9_000) } }));
        assert!(long.chars().count() < 300);
        assert!(!line("m.room.message", None, &json!({ "body": "a\u{1b}[2Jb" })).contains('\u{1b}'));
        for at_ms in [i64::MIN, -1, i64::MAX] {
            let odd = MatrixEventView { at_ms, ..event("m.reaction", None, &json!({})) };
            assert!(matrix_event(&odd).contains("@ann:example.org"));
        }
    }
}
