//! `[dag.on]`: which handler runs at which end, and what its own end means.

use super::bench::*;
use crate::dag::{Dag, Handlers, Task, Trigger};
use crate::event::{AttemptOutcome, PromptKind, RetryScope, RunState};
use crate::scheduler::InputKind;

fn file(tasks: Vec<Task>) -> Dag {
    let on = Handlers {
        success: Some(id("good")),
        failure: Some(id("bad")),
        cancel: Some(id("stop")),
        always: Some(id("last")),
        blocked: None,
    };
    let handlers = ["good", "bad", "stop", "last"].map(task);
    Dag { on, ..dag(tasks.into_iter().chain(handlers).collect()) }
}

fn started(tasks: Vec<Task>) -> Bench {
    let mut bench = Bench::new(100);
    bench.submit(1, file(tasks), 10);
    bench
}

const NOT: &str = "does not apply: the run went otherwise";

#[test]
fn a_good_end() {
    let mut bench = started(vec![task("a"), task("b: a")]);
    assert_eq!(bench.ends("a", exit(0))[1], "status b=queued", "no handler before all others have ended");
    assert_eq!(bench.ends("b", exit(0))[1..3], ["status good=queued", "assigned good#1 f1"]);
    assert_eq!(
        bench.ends("good", exit(0))[1],
        format!(
            "status bad=completed(skipped: on.failure {NOT}) stop=completed(skipped: on.cancel {NOT}) last=queued"
        )
    );
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
    let said = bench.does(InputKind::Cancel { run: run_id(1), now: false });
    let not = "does not apply: the run was cancelled";
    assert_eq!(
        said[1],
        format!("status good=completed(skipped: on.success {not}) bad=completed(skipped: on.failure {not})")
    );
    assert_eq!(bench.ends("a", AttemptOutcome::Cancelled)[1], "status stop=queued");
    assert_eq!(bench.ends("stop", exit(0))[1], "status last=queued");
    assert_eq!(bench.ends("last", exit(0))[1], "run cancelled");

    let mut bench = started(vec![task("a")]);
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
    bench.does(InputKind::Cancel { run: run_id(1), now: true });
    assert_eq!(bench.ends("a", AttemptOutcome::Cancelled)[1], "run cancelled", "without its handlers");
}

#[test]
fn a_run_that_takes_too_long() {
    let mut bench = Bench::new(100);
    bench.submit(1, Dag { timeout_ms: Some(1000), ..file(vec![task("a")]) }, 10);
    bench.ticks_after(1000);
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
    assert_eq!(
        bench.ends("a", AttemptOutcome::Cancelled)[1],
        "status bad=queued",
        "also if somebody cancels it"
    );
    bench.ends("bad", exit(0));
    bench.ends("last", exit(0));
    assert_eq!(bench.run().state(), RunState::Failed);
}

#[test]
fn a_run_that_takes_too_long_or_is_cancelled_during_its_handler_runs_that_of_the_new_end() {
    let mut bench = Bench::new(100);
    bench.submit(1, Dag { timeout_ms: Some(1000), ..file(vec![task("a")]) }, 10);
    bench.ends("a", exit(0));
    assert_eq!(
        bench.ticks_after(1000)[..2],
        [
            "cancelling: the run took longer than its timeout",
            "status stop=completed(skipped: on.cancel does not apply: the run took longer than its timeout)"
        ]
    );
    bench.restart();
    assert_eq!(bench.ends("good", AttemptOutcome::Cancelled)[1], "status bad=queued", "one after the other");
    assert_eq!(bench.ends("bad", exit(0))[1], "status last=queued");
    assert_eq!(
        bench.ends("last", exit(0))[1],
        "run failed: took longer than its timeout of 1.0s; 1 task stopped or not started: `good`"
    );

    let mut bench = started(vec![task("a")]);
    bench.ends("a", exit(1));
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
    assert_eq!(bench.ends("bad", AttemptOutcome::Cancelled)[1], "status stop=queued");
    bench.ends("stop", exit(0));
    assert_eq!(bench.ends("last", exit(0))[1], "run cancelled");

    let mut bench = started(vec![task("a")]);
    bench.ends("a", exit(0));
    bench.does(InputKind::Cancel { run: run_id(1), now: true });
    assert_eq!(bench.ends("good", AttemptOutcome::Cancelled)[1], "run cancelled", "no handler at all");
}

fn retry_from(task: &str) -> InputKind {
    InputKind::Retry { run: run_id(1), scope: RetryScope::From { task: id(task), also: vec![] } }
}

#[test]
fn a_retry_of_handlers_alone_keeps_the_end_of_the_run() {
    let mut bench = Bench::new(100);
    bench.submit(1, Dag { timeout_ms: Some(1000), ..file(vec![task("a")]) }, 10);
    bench.ticks_after(1000);
    bench.ends("a", AttemptOutcome::Cancelled);
    bench.ends("bad", exit(0));
    let end = "run failed: took longer than its timeout of 1.0s; 1 task stopped or not started: `a`";
    assert_eq!(bench.ends("last", exit(0))[1], end);
    for code in [1, 0] {
        assert_eq!(
            bench.does(retry_from("bad"))[..2],
            ["retried bad=pending last=pending", "status bad=queued"]
        );
        bench.restart();
        assert_eq!(bench.ends("bad", exit(code))[1], "status last=queued");
        let said = bench.ends("last", exit(0))[1].clone();
        assert!(said.starts_with("run failed: took longer than its timeout of 1.0s; "), "{said}");
        assert_eq!(said == end, code == 0, "{said}");
    }
    bench.does(retry_from("bad"));
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
    bench.ends("bad", AttemptOutcome::Cancelled);
    assert_eq!(bench.ends("last", exit(0))[1], "run cancelled", "what comes later comes first");
    assert_eq!(bench.does(retry_from("bad"))[1], "status bad=queued", "the others took too long as before");

    let mut bench = started(vec![task("a"), when(Trigger::Always, "clean: a")]);
    bench.ends("a", exit(0));
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
    bench.ends("clean", exit(0));
    bench.ends("stop", exit(0));
    assert_eq!(bench.ends("last", exit(0))[1], "run cancelled", "although no task was stopped");
    assert_eq!(bench.does(retry_from("stop"))[1], "status stop=queued");
    bench.ends("stop", exit(0));
    assert_eq!(bench.ends("last", exit(0))[1], "run cancelled");
    bench.does(InputKind::Retry { run: run_id(1), scope: RetryScope::All });
    bench.ends("a", exit(0));
    assert_eq!(bench.ends("clean", exit(0))[1], "status good=queued", "all of it is decided anew");
}

#[test]
fn a_handler_that_a_late_timeout_stopped_can_be_retried() {
    let mut bench = Bench::new(100);
    bench.submit(1, Dag { timeout_ms: Some(1000), ..file(vec![task("a")]) }, 10);
    bench.ends("a", exit(0));
    bench.ticks_after(1000);
    bench.ends("good", AttemptOutcome::Cancelled);
    bench.ends("bad", exit(0));
    let end = "run failed: took longer than its timeout of 1.0s; 1 task stopped or not started: `good`";
    assert_eq!(bench.ends("last", exit(0))[1], end);
    assert_eq!(bench.does(retry_from("bad"))[1], "status bad=queued");
    bench.ends("bad", exit(0));
    assert_eq!(bench.ends("last", exit(0))[1], end);
    assert_eq!(
        bench.does(InputKind::Retry { run: run_id(1), scope: RetryScope::Failed })[..2],
        ["retried good=pending last=pending", "status good=queued"]
    );
    bench.ends("good", exit(0));
    assert_eq!(bench.ends("last", exit(0))[1], "run completed");
}

#[test]
fn a_task_is_for_one_kind_of_end() {
    let both = Handlers { success: Some(id("tell")), failure: Some(id("tell")), ..Handlers::default() };
    let mut bench = Bench::new(100);
    let submission = bench.submission(1, Dag { on: both, ..dag(vec![task("a"), task("tell")]) });
    let (rejected, _) = bench.refused(submission);
    assert!(rejected.to_string().contains("[dag.on] names `tell` twice"), "{rejected}");
}

fn told() -> Bench {
    let on = Handlers { blocked: Some(id("tell")), always: Some(id("last")), ..Handlers::default() };
    let mut bench = Bench::new(100);
    bench.submit(1, Dag { on, ..dag(vec![task("a"), task("b"), task("tell"), task("last")]) }, 2);
    bench
}

#[test]
fn the_first_session_that_waits_for_a_human_begins_its_handler() {
    let mut bench = told();
    assert_eq!(bench.blocks_as("a", 1, PromptKind::Stalled), ["blocked a 1"], "that is no human's matter");
    assert_eq!(
        bench.blocks("a", 2),
        ["blocked a 2", "status tell=queued", "assigned tell#1 f1", "> grant tell#1 f1"]
    );
    assert_eq!(bench.blocks("b", 1), ["blocked b 1", "> withdraw"], "once");
    bench.ends("a", exit(0));
    assert_eq!(bench.ends("b", exit(0))[1], "> ack b#1 f1", "`always` comes after it");
    assert_eq!(bench.ends("tell", exit(0))[1], "status last=queued");
    assert_eq!(bench.ends("last", exit(0))[1], "run completed");
    bench.does(InputKind::Retry { run: run_id(1), scope: RetryScope::All });
    bench.ends("a", exit(0));
    assert_eq!(
        bench.ends("b", exit(0))[1],
        "status tell=completed(skipped: on.blocked does not apply: no session of the run waited for a human) last=queued",
        "a retry decides anew"
    );
}

#[test]
fn the_handler_of_prompts_alone_runs_again_as_it_did() {
    let mut bench = told();
    bench.blocks("a", 1);
    bench.unblocks("a", 1);
    bench.restart();
    for name in ["a", "b"] {
        bench.ends(name, exit(0));
    }
    bench.ends("tell", exit(1));
    bench.ends("last", exit(0));
    let said = bench.does(InputKind::Retry { run: run_id(1), scope: RetryScope::Failed });
    assert_eq!(said[..2], ["retried tell=pending last=pending", "status tell=queued"]);
}
