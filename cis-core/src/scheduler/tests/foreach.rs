//! `if`, `foreach` and what comes of items: their task's end, its outputs, and `dag retry`.

use serde_json::json;

use super::bench::*;
use crate::dag::{Foreach, Group, Task, Trigger};
use crate::event::{AttemptOutcome, RetryScope, RunState};
use crate::scheduler::{InputKind, Rejected};

fn over(values: serde_json::Value, text: &str) -> Task {
    let serde_json::Value::Array(values) = values else { panic!("a list") };
    Task { foreach: Some(Foreach::Items(values)), ..task(text) }
}

fn expression(foreach: &str, text: &str) -> Task {
    Task { foreach: Some(Foreach::Expression(foreach.into())), ..task(text) }
}

fn only_if(condition: &str, text: &str) -> Task {
    Task { condition: Some(condition.into()), ..task(text) }
}

fn retry(scope: RetryScope) -> InputKind {
    InputKind::Retry { run: run_id(1), scope }
}

#[test]
fn a_condition_is_decided_by_outputs_when_the_needs_are_done() {
    let tasks = vec![
        task("a"),
        only_if("tasks.a.outputs.n > 1", "yes: a"),
        only_if("tasks.a.outputs.n > 5", "no: a"),
        only_if("tasks.a.outputs.nothing", "wrong: a"),
        task("after: no"),
        task("never: wrong"),
    ];
    let mut bench = Bench::started(tasks);
    assert_eq!(
        bench.ends_with_value("a", "n", json!(3))[1],
        "status yes=queued no=completed(skipped: `if` is false: tasks.a.outputs.n > 5) \
         wrong=failed(if: tasks.a.outputs.nothing: task `a` left no output `nothing`; add `| default(…)` if that can be) \
         after=queued never=cancelled(needs `wrong`, which did not succeed)"
    );
    bench.ends("yes", exit(0));
    assert!(bench.ends("after", exit(0))[1].starts_with("run failed: 1 task failed: `wrong` (if: "));
}

#[test]
fn items_are_tasks_and_their_task_ends_with_them() {
    let tasks =
        vec![task("plan"), expression("tasks.plan.outputs.regions", "deploy: plan"), task("end: deploy")];
    let mut bench = Bench::started(tasks);
    assert_eq!(
        bench.ends_with_value("plan", "regions", json!(["eu", "us"]))[1..4],
        ["expanded deploy into 2", "assigned deploy.1#1 f1", "assigned deploy.2#1 f1"]
    );
    assert_eq!(bench.states(), "plan=succeeded deploy=queued end=pending deploy.1=running deploy.2=running");
    let item = bench.run().task(&id("deploy.2")).unwrap().0.item.clone().unwrap();
    assert_eq!((item.of, item.number, item.value), (id("deploy"), 2, json!("us")));
    assert_eq!(bench.run().needs_of(4), [id("plan")], "an item needs what its task needs");
    bench.ends_with_value("deploy.2", "url", json!("https://us"));
    assert!(bench.run().output(&id("deploy"), "url").is_none(), "not before all have ended");
    assert_eq!(
        bench.ends_with_value("deploy.1", "url", json!("https://eu"))[1],
        "status deploy=succeeded end=queued"
    );
    let urls = bench.run().output(&id("deploy"), "url").unwrap();
    assert_eq!((urls.redacted(), urls.records().count()), (json!(["https://eu", "https://us"]), 2));
    assert_eq!(bench.run().output_names(&id("deploy")), ["url"]);
    assert_eq!(bench.ends("end", exit(0))[1], "run completed");
}

#[test]
fn lists_that_make_no_items() {
    let tasks = vec![
        over(json!([]), "none"),
        expression("[1, 2] | first", "number"),
        expression("range(10001)", "many"),
        over(json!([1]), &"x".repeat(63)),
    ];
    let mut bench = Bench::new(100);
    let said = bench.submit(1, dag(tasks), 10);
    assert!(
        said[2].starts_with("status none=completed(skipped: its list is empty) number=failed(foreach: "),
        "{said:?}"
    );
    assert!(said[2].contains("more than 64 characters"), "{said:?}");
    assert_eq!((bench.run().state(), bench.run().len()), (RunState::Failed, 4));
}

#[test]
fn a_run_takes_only_so_many_items() {
    let mut tasks: Vec<Task> = (0..11).map(|n| expression("range(9999)", &format!("t{n}"))).collect();
    tasks.push(task("slow"));
    let mut bench = Bench::new(100);
    bench.submit(1, dag(tasks), 1);
    let (spec, entry) = bench.run().task(&id("t10")).unwrap();
    assert!(spec.foreach.is_some() && entry.end.as_ref().unwrap().to_string().contains("100000 tasks"));
    assert_eq!(bench.run().len(), 12 + 10 * 9999);
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
    bench.ends("slow", AttemptOutcome::Cancelled);
    bench.does(retry(RetryScope::All));
    let items = |name: &str| bench.run().task(&id(name)).unwrap().1.items();
    assert_eq!((items("t0"), items("t9"), items("t10")), (Some(9999), Some(9999), None), "they count once");
}

#[test]
fn the_worst_item_decides_and_the_first_bad_one_is_named() {
    let mut bench = Bench::started(vec![over(json!([1, 2, 3]), "each"), task("end: each")]);
    bench.ends("each.1", exit(0));
    bench.ends("each.3", exit(3));
    assert_eq!(
        bench.ends("each.2", AttemptOutcome::SpawnError { detail: "no such program".into() })[1..3],
        [
            "status each=error(2 of its 3 items did not end well, the first: `each.2` (no such program)) \
             end=cancelled(needs `each`, which did not succeed)",
            "run error: 1 task could not be run: `each` (2 of its 3 items did not end well, the first: \
             `each.2` (no such program))"
        ]
    );
}

#[test]
fn only_the_items_that_failed_are_retried() {
    let mut bench = Bench::started(vec![task("a"), over(json!(["x", "y"]), "each: a"), task("end: each")]);
    bench.ends("a", exit(0));
    bench.ends_with("each.1", exit(0), "out");
    bench.ends("each.2", exit(1));
    assert_eq!(
        bench.does(retry(RetryScope::Failed))[..2],
        ["retried each=queued(2 items) end=pending each.2=pending", "status each.2=queued"]
    );
    assert_eq!(bench.ends("each.2", exit(0))[1], "status each=succeeded end=queued");
    assert_eq!(bench.run().output(&id("each"), "out").unwrap().redacted(), json!(["out", null]));
    bench.ends("end", exit(0));
    let one = RetryScope::From { task: id("each.1"), also: vec![] };
    assert_eq!(bench.does(retry(one))[0], "retried each=queued(2 items) end=pending each.1=pending");
}

#[test]
fn a_retry_of_the_whole_makes_the_list_anew() {
    let tasks = vec![task("plan"), expression("tasks.plan.outputs.n", "each: plan")];
    let mut bench = Bench::started(tasks);
    bench.ends_with_value("plan", "n", json!([1, 2, 3]));
    for item in ["each.1", "each.2", "each.3"] {
        bench.ends_with(item, exit(0), "old");
    }
    assert_eq!(
        bench.does(retry(RetryScope::All))[0],
        "retried plan=pending each=pending each.1=pending each.2=pending each.3=pending"
    );
    assert_eq!(
        bench.ends_with_value("plan", "n", json!(["one"]))[1..3],
        ["expanded each into 1", "assigned each.1#2 f2"]
    );
    assert!(bench.states().ends_with("each.1=running each.2=completed each.3=completed"));
    assert_eq!(bench.run().task(&id("each.1")).unwrap().0.item.as_ref().unwrap().value, json!("one"));
    assert_eq!(bench.ends("each.1", exit(0))[1..3], ["status each=succeeded", "run completed"]);
    bench.does(retry(RetryScope::All));
    bench.ends_with_value("plan", "n", json!([]));
    assert_eq!(
        bench.states(),
        "plan=succeeded each=completed each.1=completed each.2=completed each.3=completed"
    );
    bench.does(retry(RetryScope::All));
    bench.ends_with_value("plan", "n", json!([1, 2, 3, 4]));
    assert!(bench.states().ends_with("each.3=running each.4=running"));
}

#[test]
fn cancelling_waits_for_items_that_run() {
    let mut bench = Bench::new(100);
    let always = Task { trigger: Trigger::Always, ..over(json!([1]), "clean") };
    bench.submit(1, dag(vec![over(json!([1, 2]), "each"), always]), 1);
    let said = bench.does(InputKind::Cancel { run: run_id(1), now: false });
    assert_eq!(said[1..], ["status each.2=cancelled(the run was cancelled)", "> cancel each.1#1 f1 5000"]);
    assert!(bench.states().starts_with("each=queued"), "one of its items is being stopped");
    let said = bench.ends("each.1", AttemptOutcome::Cancelled);
    assert_eq!(
        said[1..3],
        [
            "status each=cancelled(2 of its 2 items did not end well, the first: `each.1` (the run was cancelled))",
            "assigned clean.1#1 f1"
        ]
    );
    assert_eq!(bench.ends("clean.1", exit(0))[1..3], ["status clean=succeeded", "run cancelled"]);
}

#[test]
fn items_keep_to_limits_groups_and_retries_of_their_task() {
    let locked = Task { group: Some("lock".into()), ..over(json!([1, 2, 3]), "each") };
    let locked = Task { retries: retried(1, "x").retries, ..locked };
    let file = crate::dag::Dag {
        groups: [("lock".to_owned(), Group { limit: 1, frees_when_blocked: false })].into(),
        ..dag(vec![locked])
    };
    let mut bench = Bench::new(100);
    bench.submit(1, file, 10);
    assert_eq!(bench.run().live_count(), 1);
    assert_eq!(
        bench.ends("each.1", exit(1))[..2],
        ["result each.1#1 failed: queued(again at +1000) counted", "assigned each.2#1 f1"]
    );
    assert_eq!(bench.ticks_after(1000), [""; 0], "its place is taken");
    assert_eq!(bench.ends("each.2", exit(0))[1], "assigned each.1#2 f2");
}

#[test]
fn a_session_may_not_ask_for_a_task_with_a_list() {
    let mut bench = Bench::started(vec![task("a")]);
    let tasks = vec![over(json!([1]), "b")];
    let (rejected, _) = bench.refused(InputKind::TasksAdded { run: run_id(1), parent: id("a"), tasks });
    assert!(matches!(rejected, Rejected::Invalid(_)), "{rejected}");
}
