//! Nothing leaves that is this machine's, and what comes back is what the reducer takes.

use super::*;
use crate::federation::sample::{self, key};

/// Events that no room gets: they are about this machine, or about what is over as soon as it is said.
const KEPT: &[&str] = &[
    "cis.dag.run.voided",
    "cis.dag.session.created",
    "cis.dag.session.ended",
    "cis.dag.session.expiring",
    "cis.dag.session.input",
    "cis.dag.node.started",
    "cis.dag.node.stopped",
    "cis.dag.node.lost",
    "cis.dag.node.group",
    "cis.dag.node.cleaned",
    "cis.dag.node.token",
    "cis.dag.node.policy",
    "cis.dag.node.rights",
    "cis.dag.node.denied",
];

fn piece(fact: Fact) -> Piece {
    Piece { fact, life: None }
}

fn entry(piece: &Piece) -> Value {
    to_entry(piece, &key(1).did(), Some(sample::SPEC)).unwrap().unwrap()
}

#[test]
fn every_event_is_shown_or_kept_and_only_one_of_them() {
    let source = include_str!("../../event/body.rs");
    let names: Vec<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("#[serde(rename = \"cis.")?.strip_suffix("\")]"))
        .collect();
    assert!(names.len() > 30, "{names:?}");
    for name in &names {
        let name = format!("cis.{name}");
        let shown = SHOWN.iter().filter(|(shown, _)| *shown == name).count();
        let kept = KEPT.iter().filter(|kept| **kept == name).count();
        assert_eq!(shown + kept, 1, "`{name}` stands in SHOWN or in KEPT");
    }
    assert_eq!(SHOWN.len() + KEPT.len(), names.len());
}

#[test]
fn what_is_this_machines_does_not_leave() {
    let story = sample::story(3, &key(1).did());
    let all: String = story.iter().map(|fact| entry(&piece(fact.clone())).to_string()).collect();
    for secret in [
        "/home/ann",
        "cdcd",
        "efef",
        "f00d",
        "4242",
        "the whole screen",
        "1\\r",
        "\"pid\"",
        "\"host\"",
        "the disk is full",
    ] {
        assert!(!all.contains(secret), "{secret} is in {all}");
    }
    for told in ["abab", "\"ratio\"", "@ann:x", "\"Yes\"", "id = \\\"sample\\\""] {
        assert!(all.contains(told), "{told} is not in {all}");
    }
}

#[test]
fn facts_come_back_as_they_were_told() {
    let by = key(1).did();
    for fact in sample::story(3, &by) {
        let told = entry(&piece(fact.clone()));
        let read = read_entry(told.clone()).unwrap();
        let facts = to_facts(&read, &by).unwrap();
        assert_eq!(facts.len(), 1);
        assert_eq!((facts[0].at_ms, facts[0].body.type_name()), (fact.at_ms, fact.body.type_name()));
        // Told again it is the same: nothing that a room knows was lost.
        assert_eq!(entry(&piece(facts[0].clone())), told);
    }
}

#[test]
fn a_whole_try_comes_back_in_its_steps() {
    let (by, other) = (key(1).did(), key(2).did());
    for node in [by.clone(), other] {
        let life = Some(Life { queued_ms: Some(1), granted_ms: 2, node: node.clone() });
        let told = entry(&Piece { fact: sample::at(9, sample::ended(0, 3, 8)), life });
        assert_eq!(told["body"].get("node").is_some(), node != by, "its writer need not be named");
        let facts = to_facts(&read_entry(told).unwrap(), &by).unwrap();
        let times: Vec<(i64, &str)> = facts.iter().map(|fact| (fact.at_ms, fact.body.type_name())).collect();
        let expected = [(1, "cis.dag.task.status"), (2, "cis.dag.task.assigned"), (9, "cis.dag.task.result")];
        assert_eq!(times, expected);
        let EventBody::TaskAssigned(grant) = &facts[1].body else { panic!("{facts:?}") };
        assert_eq!((grant.node.clone(), grant.attempt, grant.host), (node, 1, None));
    }
}

#[test]
fn nobody_can_put_this_machines_things_into_it() {
    let told = serde_json::json!({
        "at_ms": 1, "type": "cis.dag.session.started", "v": 1,
        "body": {"session": sample::session(1), "task": "t1", "pid": 1}
    });
    let facts = to_facts(&read_entry(told).unwrap(), &key(1).did()).unwrap();
    assert!(matches!(facts[0].body, EventBody::SessionStarted { pid: 0, .. }), "{facts:?}");
}

#[test]
fn what_is_unknown_or_misshapen_is_told() {
    let read = |value: Value| read_entry(value).and_then(|entry| to_facts(&entry, &key(1).did()));
    let of = |type_name: &str, body: Value| serde_json::json!({"at_ms": 1, "type": type_name, "v": 1, "body": body});
    assert!(matches!(read(of("cis.dag.run.celebrated", Value::Null)), Err(BadEntry::Unknown { .. })));
    assert!(matches!(read(of("cis.dag.node.stopped", Value::Null)), Err(BadEntry::Unknown { .. })));
    assert!(matches!(read(of("cis.dag.task.result", Value::Null)), Err(BadEntry::Shape { .. })));
    assert!(matches!(read(of("cis.dag.run.failed", serde_json::json!([]))), Err(BadEntry::Shape { .. })));
    let mut newer = of("cis.dag.run.started", serde_json::json!({}));
    assert!(read(newer.clone()).is_ok());
    newer["v"] = (SCHEMA_VERSION + 1).into();
    assert!(matches!(read(newer), Err(BadEntry::Unknown { .. })));
    assert!(matches!(read(Value::Null), Err(BadEntry::NoEntry(_))));
    assert!(matches!(read(serde_json::json!({"~n": "x"})), Err(BadEntry::Packed(_))));
}

#[test]
fn values_of_any_depth_travel() {
    // As deep as a value of an output can be: its file is read to a depth of 128.
    let deep = (0..125).fold(serde_json::json!(0.5), |inner, _| serde_json::json!([inner]));
    let mut result = sample::ended(0, 3, 8);
    if let EventBody::TaskResult(result) = &mut result {
        result.outputs.get_mut("ratio").unwrap().value = deep.clone();
    }
    let told = entry(&piece(sample::at(9, result)));
    let text = crate::identity::canonical_json(&told).unwrap();
    let read = read_entry(serde_json::from_str(&text).unwrap()).unwrap();
    let facts = to_facts(&read, &key(1).did()).unwrap();
    let EventBody::TaskResult(result) = &facts[0].body else { panic!("{facts:?}") };
    assert_eq!(result.outputs["ratio"].value, deep);
}
