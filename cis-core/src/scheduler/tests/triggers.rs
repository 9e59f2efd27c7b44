//! Which endings of its needs start a task, skip it, or take it out.

use super::bench::*;
use crate::dag::{Task, Trigger};
use crate::event::{AttemptOutcome, RunState};

#[test]
fn a_diamond_runs_in_order() {
    let mut bench = Bench::new(100);
    let said = bench.submit(1, dag(vec![task("a"), task("b: a"), task("c: a"), task("d: b c")]), 10);
    assert_eq!(said, ["run created", "run started", "status a=queued", "assigned a#1 f1", "> grant a#1 f1"]);
    assert_eq!(
        bench.ends("a", exit(0)),
        [
            "result a#1 succeeded: succeeded",
            "status b=queued c=queued",
            "assigned b#1 f1",
            "assigned c#1 f1",
            "> ack a#1 f1",
            "> grant b#1 f1",
            "> grant c#1 f1"
        ]
    );
    assert_eq!(bench.ends("c", exit(0)), ["result c#1 succeeded: succeeded", "> ack c#1 f1"]);
    assert_eq!(
        bench.ends("b", exit(0)),
        [
            "result b#1 succeeded: succeeded",
            "status d=queued",
            "assigned d#1 f1",
            "> ack b#1 f1",
            "> grant d#1 f1"
        ]
    );
    assert_eq!(
        bench.ends("d", exit(0)),
        ["result d#1 succeeded: succeeded", "run completed", "> ack d#1 f1"]
    );
    assert_eq!(bench.run().state(), RunState::Succeeded);
    assert_eq!(bench.machine.poll_timeout(), None);
}

#[test]
fn a_failure_takes_out_all_that_needs_it() {
    let mut bench = Bench::started(vec![task("a"), task("b: a"), task("c: b"), task("d: c"), task("e")]);
    assert_eq!(
        bench.ends("a", exit(7)),
        [
            "result a#1 failed: failed(exit code 7) counted",
            "status b=cancelled(needs `a`, which did not succeed) c=cancelled(needs `b`, which did not succeed) \
         d=cancelled(needs `c`, which did not succeed)",
            "> ack a#1 f1"
        ]
    );
    assert_eq!(
        bench.ends("e", exit(0)),
        ["result e#1 succeeded: succeeded", "run failed: 1 task failed: `a` (exit code 7)", "> ack e#1 f1"]
    );
}

#[test]
fn a_chain_as_long_as_a_file_may_be_needs_no_stack() {
    let mut tasks = vec![task("t0")];
    tasks.extend((1..20_000).map(|n| task(&format!("t{n}: t{}", n - 1))));
    let mut bench = Bench::new(100);
    bench.submit(1, dag(tasks), 1);
    let said = bench.ends("t0", exit(1));
    assert_eq!(said.len(), 4, "result, one status, end, ack");
    assert!(said[1].ends_with("t19999=cancelled(needs `t19998`, which did not succeed)"));
}

#[test]
fn all_done_waits_for_all_and_asks_for_nothing() {
    let mut bench = Bench::started(vec![task("a"), task("b"), when(Trigger::AllDone, "c: a b")]);
    assert_eq!(bench.ends("a", exit(1)).len(), 2);
    assert_eq!(bench.ends("b", exit(0))[1], "status c=queued");
    assert_eq!(bench.ends("c", exit(0))[1], "run failed: 1 task failed: `a` (exit code 1)");
}

#[test]
fn one_failed_starts_at_the_first_failure() {
    let mut bench = Bench::started(vec![task("a"), task("b"), when(Trigger::OneFailed, "report: a b")]);
    assert_eq!(bench.ends("a", exit(1))[1], "status report=queued");
    bench.ends("b", exit(0));
    assert_eq!(bench.ends("report", exit(0))[1], "run failed: 1 task failed: `a` (exit code 1)");
}

#[test]
fn an_error_counts_as_a_failure_for_one_failed() {
    let mut bench = Bench::started(vec![task("a"), when(Trigger::OneFailed, "report: a")]);
    let said = bench.ends("a", AttemptOutcome::SpawnError { detail: "no such program".into() });
    assert_eq!(said[..2], ["result a#1 error: error(no such program) counted", "status report=queued"]);
    let said = bench.ends("report", exit(0));
    assert_eq!(said[1], "run error: 1 task could not be run: `a` (no such program)");
}

#[test]
fn one_failed_is_skipped_when_nothing_failed_and_skipping_counts_as_success() {
    let mut bench =
        Bench::started(vec![task("a"), when(Trigger::OneFailed, "report: a"), task("after: report")]);
    assert_eq!(
        bench.ends("a", exit(0))[1],
        "status report=completed(skipped: trigger one_failed, and no need of it failed) after=queued"
    );
    assert_eq!(bench.ends("after", exit(0))[1], "run completed");
}

#[test]
fn without_needs_every_trigger_is_decided_at_the_start() {
    let tasks = vec![
        when(Trigger::AllDone, "done"),
        when(Trigger::OneFailed, "fails"),
        when(Trigger::Always, "always"),
        task("plain"),
    ];
    let mut bench = Bench::new(0);
    assert_eq!(
        bench.submit(1, dag(tasks), 10)[2],
        "status done=queued \
         fails=completed(skipped: trigger one_failed, and no need of it failed) always=queued plain=queued"
    );
}

#[test]
fn a_run_of_nothing_but_skips_ends_at_once() {
    let mut bench = Bench::new(1);
    let said = bench.submit(1, dag(vec![when(Trigger::OneFailed, "a")]), 1);
    assert_eq!(said.last().unwrap(), "run completed");
    assert_eq!(bench.submit(2, dag(vec![]), 1), ["run created", "run started", "run completed"]);
}

#[test]
fn an_allowed_failure_lets_the_rest_go_on() {
    let allowed = Task { allow_failure: true, ..task("a") };
    let mut bench = Bench::started(vec![allowed, task("b: a")]);
    assert_eq!(
        bench.ends_with("a", exit(3), "found")[..2],
        ["result a#1 failed: completed(failure allowed: exit code 3) counted", "status b=queued"]
    );
    assert!(bench.run().task(&id("a")).unwrap().1.outputs.contains_key("found"), "its outputs count");
    assert_eq!(bench.ends("b", exit(0))[1], "run completed");
}
