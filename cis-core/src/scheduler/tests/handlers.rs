//! `[dag.on]`: which handler runs at which end, and what its own end means.

use super::bench::*;
use crate::dag::{Dag, Handlers, Task};
use crate::event::{AttemptOutcome, RetryScope, RunState};
use crate::scheduler::InputKind;

fn file(tasks: Vec<Task>) -> Dag {
    let on = Handlers {
        success: Some(id("good")),
        failure: Some(id("bad")),
        cancel: Some(id("stop")),
        always: Some(id("last")),
    };
    let handlers = ["good", "bad", "stop", "last"].map(task);
    Dag { on, ..dag(tasks.into_iter().chain(handlers).collect()) }
}

fn started(tasks: Vec<Task>) -> Bench {
    let mut bench = Bench::new(100);
    bench.submit(1, file(tasks), 10);
    bench
}

const NOT: &str = "does not apply to how the run went";

#[test]
fn a_good_end() {
    let mut bench = started(vec![task("a"), task("b: a")]);
    assert_eq!(bench.ends("a", exit(0))[1], "status b=queued", "no handler before all others have ended");
    assert_eq!(
        bench.ends("b", exit(0))[1..3],
        [
            format!(
                "status good=queued bad=completed(skipped: on.failure {NOT}) stop=completed(skipped: on.cancel {NOT})"
            ),
            "assigned good#1 f1".to_owned()
        ]
    );
    assert_eq!(bench.ends("good", exit(0))[1], "status last=queued");
    assert_eq!(bench.ends("last", exit(0))[1], "run completed");
}

#[test]
fn a_handler_that_fails_fails_the_run() {
    let mut bench = started(vec![task("a")]);
    bench.ends("a", exit(0));
    bench.ends("good", exit(1));
    assert_eq!(bench.ends("last", exit(0))[1], "run failed: 1 task failed: `good` (exit code 1)");
    assert_eq!(
        bench.does(InputKind::Retry { run: run_id(1), scope: RetryScope::Failed })[..2],
        ["retried good=pending last=pending", "status good=queued"]
    );
}

#[test]
fn a_bad_end() {
    let mut bench = started(vec![task("a"), task("b: a")]);
    let said = bench.ends("a", exit(1));
    assert!(said[1].starts_with("status b=cancelled") && said[2].contains("bad=queued"), "{said:?}");
    bench.ends("bad", exit(0));
    assert!(bench.ends("last", exit(0))[1].starts_with("run failed"));
    assert_eq!(
        bench.does(InputKind::Retry { run: run_id(1), scope: RetryScope::Failed })[0],
        "retried a=pending b=pending good=pending bad=pending stop=pending last=pending",
        "how it ends is decided anew"
    );
    bench.ends("a", exit(0));
    assert!(bench.ends("b", exit(0))[1].contains("good=queued"));
}

#[test]
fn a_cancelled_run() {
    let mut bench = started(vec![task("a")]);
    let said = bench.does(InputKind::Cancel { run: run_id(1) });
    assert_eq!(said[1], "status good=cancelled(the run was cancelled) bad=cancelled(the run was cancelled)");
    assert_eq!(bench.ends("a", AttemptOutcome::Cancelled)[1], "status stop=queued");
    assert_eq!(bench.ends("stop", exit(0))[1], "status last=queued");
    assert_eq!(bench.ends("last", exit(0))[1], "run cancelled");

    let mut bench = started(vec![task("a")]);
    bench.does(InputKind::Cancel { run: run_id(1) });
    bench.does(InputKind::Cancel { run: run_id(1) });
    assert_eq!(bench.ends("a", AttemptOutcome::Cancelled)[1], "run cancelled", "asked for twice");
}

#[test]
fn a_run_that_takes_too_long() {
    let mut bench = Bench::new(100);
    bench.submit(1, Dag { timeout_ms: Some(1000), ..file(vec![task("a")]) }, 10);
    bench.ticks_after(1000);
    assert_eq!(bench.ends("a", AttemptOutcome::Cancelled)[1], "status bad=queued");
    bench.ends("bad", exit(0));
    bench.ends("last", exit(0));
    assert_eq!(bench.run().state(), RunState::Failed);
}

#[test]
fn one_task_may_serve_several_ends() {
    let both = Handlers { success: Some(id("tell")), failure: Some(id("tell")), ..Handlers::default() };
    for code in [0, 1] {
        let mut bench = Bench::new(100);
        bench.submit(1, Dag { on: both.clone(), ..dag(vec![task("a"), task("tell")]) }, 10);
        assert_eq!(bench.ends("a", exit(code))[1], "status tell=queued");
    }
    let mut bench = Bench::new(100);
    bench.submit(1, Dag { on: both, ..dag(vec![task("a"), task("tell")]) }, 10);
    let attempt = bench.attempt("a");
    bench.does(InputKind::KillTask { attempt, grace_ms: None });
    assert_eq!(
        bench.ends("a", AttemptOutcome::Cancelled)[1..3],
        [
            format!("status tell=completed(skipped: on.success and on.failure {NOT})"),
            "run cancelled".to_owned()
        ]
    );
}
