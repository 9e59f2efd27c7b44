use serde_json::json;

use super::*;

fn history(events: &[(serde_json::Value, &str, serde_json::Value)]) -> String {
    let mut history = History::default();
    for (offset, (actor, type_name, body)) in (1u64..).zip(events) {
        let mut event = json!({
            "offset": offset, "id": "01JD0V3Z8K6T9W2B5N7Q4R1XEC", "v": 1, "type": format!("cis.dag.{type_name}"),
            "at_ms": 1000 * offset, "body": body,
        });
        if !actor.is_null() {
            event["actor"] = actor.clone();
        }
        history.apply(&serde_json::from_value(event).unwrap());
    }
    let line = |entry: HistoryEntry| {
        let who = entry.actor.map_or("node".to_owned(), |actor| actor.name);
        let task = entry.task.map(|task| task.to_string());
        let parts = [task, entry.question, entry.text, entry.comment, entry.result];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{who} {} {}", entry.action.as_str(), parts.join(" | ")).trim_end().to_owned()
    };
    history.into_entries().into_iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn decisions_answers_and_control_have_results() {
    let session = SessionId::from_parts(0, 7).to_string();
    let (first, second) = (InputId(ulid::Ulid(1)), InputId(ulid::Ulid(2)));
    let ann = json!({ "kind": "human", "name": "@ann:example.org", "via": "room" });
    let me = json!({ "kind": "human", "name": "uid:1000", "via": "socket" });
    let node = json!(null);
    let asked = |task: &str| json!({ "changes": [{ "task": task, "state": "queued", "queued": { "kind": "approval", "prompt": "Go?" } }] });
    let answer = |input: InputId, text: &str| json!({ "session": session, "task": "ask", "item": "kqzvra", "input": input, "text": text, "by": "x", "bytes": 2 });
    let events = [
        (me.clone(), "run.started", json!({})),
        (node.clone(), "task.status", asked("gate")),
        (
            ann.clone(),
            "task.approved",
            json!({ "task": "gate", "by": "@ann:example.org", "comment": "fine" }),
        ),
        (
            ann.clone(),
            "task.status",
            json!({ "changes": [{ "task": "next", "state": "queued", "queued": { "kind": "slot" } }] }),
        ),
        (node.clone(), "task.status", asked("other")),
        (
            me.clone(),
            "task.status",
            json!({ "changes": [
            { "task": "other", "state": "failed", "end": { "kind": "rejected", "by": "uid:1000", "reason": "no" } },
            { "task": "after", "state": "cancelled", "end": { "kind": "need_failed", "need": "other" } },
        ] }),
        ),
        (
            node.clone(),
            "session.blocked",
            json!({
                "session": session, "task": "ask", "item": "kqzvra", "episode": 1, "kind": "question", "layer": "kernel",
                "confidence": 80, "question": "Proceed? [y/n]",
            }),
        ),
        (me.clone(), "session.answered", answer(first, "y")),
        (
            node.clone(),
            "session.answer_void",
            json!({
                "session": session, "task": "ask", "item": "kqzvra", "input": first, "detail": "the screen changed",
            }),
        ),
        (ann, "session.answered", answer(second, "n")),
        (
            me.clone(),
            "task.status",
            json!({ "changes": [{ "task": "ask", "state": "running", "end": { "kind": "killed" } }] }),
        ),
        (me.clone(), "run.cancelling", json!({ "reason": { "kind": "run_cancelled" } })),
        (node.clone(), "run.cancelled", json!({})),
        (
            me,
            "run.retried",
            json!({ "scope": "failed", "changes": [
            { "task": "a", "state": "pending" }, { "task": "b", "state": "pending" },
            { "task": "c", "state": "pending" }, { "task": "d", "state": "pending" },
        ] }),
        ),
        (node, "run.celebrated", json!({ "cake": true })),
    ];
    insta::assert_snapshot!(history(&events), @r"
    uid:1000 started
    @ann:example.org approved gate | Go? | fine
    uid:1000 rejected other | Go? | no
    uid:1000 answered ask | Proceed? [y/n] | y | not typed: the screen changed
    @ann:example.org answered ask | Proceed? [y/n] | n | typed 2 bytes
    uid:1000 killed ask
    uid:1000 cancelled the run ended as cancelled
    uid:1000 retried failed tasks: a, b, c, 1 more
    ");
}

#[test]
fn a_takeover_names_the_new_coordinator() {
    let taken = |epoch: u64, voted: bool| {
        let body = json!({ "owner": "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", "epoch": epoch, "cut": 3, "forced": true, "voted": voted });
        (json!(null), "run.taken_over", body)
    };
    assert_eq!(
        history(&[taken(1, false), taken(2, true)]),
        "node taken_over by did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK, term 1\n\
         node taken_over by did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK, by vote, term 2"
    );
}

/// After a takeover, a session at work is adopted in a paused run: nobody resumed or paused anything.
#[test]
fn an_adopted_session_leaves_no_pause_in_the_history() {
    let me = json!({ "kind": "human", "name": "uid:1000", "via": "socket" });
    let grant = json!({ "task": "a", "attempt": 2, "fence": 2, "session": SessionId::from_parts(0, 7).to_string(), "node": "did:key:z" });
    let node = json!(null);
    let events = [
        (1, &me, "run.paused", json!({})),
        (5, &node, "run.resumed", json!({})),
        (5, &node, "task.assigned", grant),
        (5, &node, "run.paused", json!({})),
        (7, &me, "run.resumed", json!({})),
        (7, &me, "run.paused", json!({})),
    ];
    let mut history = History::default();
    for (offset, (at_ms, actor, type_name, body)) in (1u64..).zip(events) {
        let mut event = json!({
            "offset": offset, "id": "01JD0V3Z8K6T9W2B5N7Q4R1XEC", "v": 1, "type": format!("cis.dag.{type_name}"),
            "at_ms": at_ms, "body": body,
        });
        if !actor.is_null() {
            event["actor"] = actor.clone();
        }
        history.apply(&serde_json::from_value(event).unwrap());
    }
    let actions = history.into_entries().into_iter().map(|entry| (entry.at_ms, entry.action.as_str()));
    assert_eq!(actions.collect::<Vec<_>>(), [(1, "paused"), (7, "resumed"), (7, "paused")]);
}
