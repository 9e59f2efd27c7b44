//! `--json`: the fields that scripts rely on.

use serde_json::Value;

use super::harness::{Cis, ulid_in};

const TWO: &str = "version = 1\n[dag]\nid = \"two\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\ncommand = [\"cat\"]\n";

#[track_caller]
fn has(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(!value[field].is_null(), "no `{field}` in {value}");
    }
}

#[test]
fn listings_and_status_are_one_document_with_the_promised_fields() {
    let cis = Cis::new();
    let run = cis.start(TWO);
    let session = cis.session_of("b");
    has(&session, &["id", "run", "task", "state", "pid"]);
    has(&cis.status(), &["pid", "version", "socket"]);
    let socket = cis.status()["socket"].as_str().unwrap().to_owned();
    assert!(std::path::Path::new(&socket).exists() && socket.len() <= 107, "{socket}");
    let listing = cis.json(&["dag", "list"]);
    has(&listing["items"][0], &["id", "dag", "state"]);
    assert_eq!(listing["items"][0]["id"], run.as_str());
    let detail = cis.show(&run);
    has(&detail["run"], &["id", "dag", "state"]);
    has(&detail["tasks"][0], &["id", "state", "needs"]);
    has(&cis.json(&["dag", "why", "b"]), &["run", "task", "state", "because"]);
}

#[test]
fn a_run_streams_events_a_line_each_in_order() {
    let cis = Cis::new();
    let text = TWO.replace("\"cat\"", "\"true\"");
    let events = cis.dag(&text, &["--json"]).expect(0).json_lines();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types.first(), Some(&"cis.dag.run.created"));
    assert_eq!(types.last(), Some(&"cis.dag.run.completed"));
    assert_eq!(types.iter().filter(|name| **name == "cis.dag.task.result").count(), 2, "{types:?}");
    let offsets: Vec<u64> = events.iter().map(|event| event["offset"].as_u64().unwrap()).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    for event in &events {
        has(event, &["id", "v", "at_ms", "body"]);
    }
}

#[test]
fn errors_are_a_document_too() {
    let cis = Cis::new();
    let out = cis.run(["--json", "dag", "show", "01JD0V3Z8K6T9W2B5N7Q4R1XEC"]).expect(2);
    let text = if out.stdout.trim().is_empty() { &out.stderr } else { &out.stdout };
    let problem: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("no JSON ({e}): {out:?}"));
    has(&problem, &["type", "title", "status", "detail"]);
}

#[test]
fn long_listings_are_paged() {
    let cis = Cis::new();
    let file = cis.write("two.toml", TWO);
    let mut made: Vec<String> =
        (0..5).map(|_| ulid_in(&cis.ok(["dag", "run", "--create-only", file.to_str().unwrap()]))).collect();
    made.reverse();
    let listing = cis.json(&["dag", "list"]);
    let listed: Vec<&str> =
        listing["items"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect();
    assert_eq!(listed, made, "newest first, each once");
}
