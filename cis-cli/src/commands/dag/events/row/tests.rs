use serde_json::json;

use super::*;

#[allow(clippy::needless_pass_by_value, reason = "calls are shorter so")]
fn event(type_name: &str, body: Value, actor: Value) -> Event {
    let mut event = json!({
        "offset": 7, "id": "01JD0V3Z8K6T9W2B5N7Q4R1XEC", "v": 1, "type": type_name, "at_ms": 1_795_188_505_117_i64,
        "body": body,
    });
    if !actor.is_null() {
        event["actor"] = actor;
    }
    serde_json::from_value(event).unwrap()
}

#[test]
fn a_filter_means_a_type_or_a_kind() {
    let fits = |filter: &str, name: &str| TypeFilter::parse(filter).unwrap().fits(name);
    assert!(fits("task.result", "cis.dag.task.result") && fits("cis.dag.task.result", "cis.dag.task.result"));
    assert!(fits("task", "cis.dag.task.result") && fits("session.celebrated", "cis.dag.session.celebrated"));
    assert!(!fits("task.res", "cis.dag.task.result") && !fits("run", "cis.dag.task.result"));
    for wrong in ["", "tasks", "result", "task result", "cis.dag."] {
        assert!(TypeFilter::parse(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn events_name_their_tasks_wherever_they_stand() {
    let task = |name: &str| TaskId::new(name).unwrap();
    let status = event(
        "cis.dag.task.status",
        json!({ "changes": [{ "task": "a" }, { "task": "each.2" }] }),
        Value::Null,
    );
    assert!(
        concerns(&status, &task("a"))
            && concerns(&status, &task("each"))
            && concerns(&status, &task("each.2"))
    );
    assert!(!concerns(&status, &task("each.1")) && !concerns(&status, &task("eac")));
    let unknown = event("cis.dag.task.celebrated", json!({ "task": "a" }), Value::Null);
    assert!(concerns(&unknown, &task("a")));
    assert!(!concerns(&event("cis.dag.run.started", json!({}), Value::Null), &task("a")));
}

#[test]
fn a_line_has_time_type_task_and_actor() {
    let human = json!({ "kind": "human", "name": "uid:1000", "via": "socket" });
    let events = [
        event("cis.dag.run.started", json!({}), human.clone()),
        event(
            "cis.dag.task.status",
            json!({ "changes": [
                { "task": "a", "state": "cancelled", "end": { "kind": "need_failed", "need": "x" } },
                { "task": "b", "state": "queued" }, { "task": "c", "state": "queued" }, { "task": "d", "state": "queued" },
            ] }),
            Value::Null,
        ),
        event(
            "cis.dag.task.approved",
            json!({ "task": "gate", "by": "uid:1000", "comment": "fine\nby me\u{1b}[2J" }),
            human,
        ),
        event("cis.dag.run.celebrated", json!({ "cake": true }), Value::Null),
        event(
            "cis.dag.task.status",
            json!({ "changes": [{ "task": "a", "state": "queued", "queued": {
                "kind": "resources", "at_ms": 1_795_188_507_617_i64, "detail": "no PTY",
            } }] }),
            Value::Null,
        ),
    ];
    let text: String = std::iter::once(head()).chain(events.iter().map(row)).collect();
    insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string(), @r"
    TIME                      TYPE                  TASK              BY                DETAIL
    2026-11-20T15:28:25.117Z  run.started                             uid:1000
    2026-11-20T15:28:25.117Z  task.status           a, b, c, 1 more                     cancelled: needs `x`, which did not succeed
    2026-11-20T15:28:25.117Z  task.approved         gate              uid:1000          fine …
    2026-11-20T15:28:25.117Z  run.celebrated
    2026-11-20T15:28:25.117Z  task.status           a                                   queued: the machine is short of something (no PTY); tried again 2.5s later
    ");
}
