//! What the end of an attempt means for its task.

use super::bench::*;
use crate::api::{FromWorker, Refusal};
use crate::dag::Task;
use crate::event::{AttemptOutcome, RunState};
use crate::scheduler::{InputKind, Rejected, WakeReason};

#[test]
fn a_failure_is_tried_again_after_its_delay() {
    let mut bench = Bench::started(vec![retried(2, "a")]);
    assert_eq!(
        bench.ends("a", exit(1)),
        ["result a#1 failed: queued(again at +1000) counted", "> ack a#1 f1"]
    );
    assert_eq!(bench.machine.poll_timeout(), Some((START_MS + 1000, WakeReason::Retry)));
    assert!(bench.ticks_after(999).is_empty(), "not before its time");
    assert_eq!(bench.ticks_after(1), ["assigned a#2 f2", "> grant a#2 f2"]);
    assert_eq!(bench.ends("a", exit(1))[0], "result a#2 failed: queued(again at +3000) counted");
    assert_eq!(bench.ticks_after(2000), ["assigned a#3 f3", "> grant a#3 f3"]);
    assert_eq!(
        bench.ends("a", exit(4))[..2],
        ["result a#3 failed: failed(exit code 4) counted", "run failed: 1 task failed: `a` (exit code 4)"]
    );
    assert_eq!(bench.run().detail(), Some("1 task failed: `a` (exit code 4)"));
}

#[test]
fn a_retry_that_is_due_while_all_slots_are_taken_wakes_nobody() {
    let mut bench = Bench::new(100);
    bench.submit(1, dag(vec![retried(1, "a"), task("b")]), 1);
    assert_eq!(bench.ends("a", exit(1))[1], "assigned b#1 f1");
    assert!(bench.ticks_after(5000).is_empty());
    assert_eq!(bench.machine.poll_timeout(), None, "nothing to do before b ends");
    assert_eq!(bench.ends("b", exit(0))[1], "assigned a#2 f2");
}

#[test]
fn what_cannot_be_started_is_an_error_unless_retries_are_left() {
    let missing = || AttemptOutcome::SpawnError { detail: "no such program".into() };
    let mut bench = Bench::started(vec![retried(1, "a")]);
    assert_eq!(bench.ends("a", missing())[0], "result a#1 error: queued(again at +1000) counted");
    bench.ticks_after(1000);
    assert_eq!(
        bench.ends("a", missing())[..2],
        [
            "result a#2 error: error(no such program) counted",
            "run error: 1 task could not be run: `a` (no such program)"
        ]
    );
}

#[test]
fn errors_are_named_before_failures_and_long_lists_are_cut() {
    let mut bench = Bench::started(["a", "b", "c", "d", "e", "f"].map(task).into());
    for name in ["a", "b", "c", "d", "e"] {
        bench.ends(name, exit(2));
    }
    let said = bench.ends("f", AttemptOutcome::SpawnError { detail: "gone".into() });
    assert_eq!(
        said[1],
        "run error: 1 task could not be run: `f` (gone); \
         5 tasks failed: `a` (exit code 2), `b` (exit code 2), `c` (exit code 2), 2 more"
    );
}

#[test]
fn a_result_counts_once_and_is_acknowledged_each_time() {
    let mut bench = Bench::started(vec![task("a"), task("b")]);
    let result = bench.result("a", exit(0));
    bench.does(result.clone());
    for _ in 0..2 {
        let (rejected, said) = bench.refused(result.clone());
        assert!(matches!(rejected, Rejected::Stale(_)), "{rejected}");
        assert_eq!(said, ["> ack a#1 f1"]);
    }
    bench.ends("b", exit(0));
    assert_eq!(bench.refused(result).1, ["> ack a#1 f1"], "of an ended run too");
}

#[test]
fn what_was_never_granted_is_not_acknowledged() {
    let mut bench = Bench::started(vec![retried(1, "a"), task("b: a")]);
    let with = |bench: &Bench, task: &str, number: u32, fence: u64| {
        let mut attempt = bench.attempt(task);
        attempt.number = number;
        InputKind::Worker(FromWorker::Result { attempt, fence, report: Box::new(report(exit(0))) })
    };
    for (task, number, fence) in [("a", 1, 2), ("a", 1, 0), ("a", 2, 1), ("a", 2, 2), ("b", 1, 1)] {
        let (rejected, said) = bench.refused(with(&bench, task, number, fence));
        assert!(matches!(rejected, Rejected::Stale(_)), "{rejected}");
        assert!(said.is_empty(), "{task}#{number} f{fence}: {said:?}");
    }
    bench.ends("a", exit(1));
    bench.ticks_after(1000);
    let (_, said) = bench.refused(with(&bench, "a", 1, 1));
    assert_eq!(said, ["> ack a#1 f1"], "an older attempt, while a newer one is under way");
    assert_eq!(bench.states(), "a=running b=pending");
}

#[test]
fn a_grant_refused_for_want_of_resources_waits_and_does_not_count() {
    let mut bench = Bench::started(vec![task("a")]);
    for (number, wait) in [(1, 1000), (2, 2000), (3, 4000)] {
        let at = bench.now - START_MS + wait;
        assert_eq!(bench.short_of_ptys("a"), [format!("status a=queued(short, again at +{at})")]);
        assert_eq!(bench.machine.poll_timeout().unwrap().1, WakeReason::Retry);
        assert!(bench.ticks_after(wait - 1).is_empty());
        let next = number + 1;
        assert_eq!(
            bench.ticks_after(1),
            [format!("assigned a#{next} f{next}"), format!("> grant a#{next} f{next}")]
        );
    }
    assert_eq!(bench.comes_up("a", 7), ["session of a is 7"]);
    assert_eq!(bench.run().task(&id("a")).unwrap().1.refusals, 0, "a session that starts ends the shortage");
    assert_eq!(bench.ends("a", exit(0))[0], "result a#4 succeeded: succeeded");
}

#[test]
fn a_shortage_holds_other_grants_for_a_second_or_until_a_session_ends() {
    let mut bench = Bench::new(100);
    bench.submit(1, dag(vec![task("a"), task("b"), task("c")]), 2);
    assert_eq!(bench.short_of_ptys("b"), ["status b=queued(short, again at +1000)"], "c would lack it too");
    assert_eq!(bench.ends("a", exit(0))[1], "assigned c#1 f1", "now there is one");
    bench.short_of_ptys("c");
    assert_eq!(bench.machine.poll_timeout(), Some((START_MS + 1000, WakeReason::Retry)));
    assert_eq!(bench.ticks_after(1000)[..2], ["assigned b#2 f2", "assigned c#2 f2"]);
}

#[test]
fn a_clock_that_was_set_back_does_not_prolong_the_hold() {
    let mut bench = Bench::new(100);
    bench.submit(1, dag(vec![task("a"), task("b")]), 1);
    bench.short_of_ptys("a");
    assert_eq!(bench.ticks_after(-3_600_000)[0], "assigned b#1 f1");
}

#[test]
fn what_a_policy_refuses_is_not_asked_again() {
    let mut bench = Bench::started(vec![retried(3, "a"), task("b: a")]);
    let said = bench.refuses("a", Refusal::Policy { detail: "no shells here".into() });
    assert_eq!(
        said,
        [
            "result a#1 error: error(refused by the worker's policy: no shells here) counted",
            "status b=cancelled(needs `a`, which did not succeed)",
            "run error: 1 task could not be run: `a` (refused by the worker's policy: no shells here)"
        ]
    );
}

#[test]
fn a_killed_attempt_ends_its_task_whatever_it_reports() {
    for outcome in [AttemptOutcome::Cancelled, exit(143)] {
        let mut bench = Bench::started(vec![retried(3, "a"), task("b: a")]);
        let kill = InputKind::KillTask { attempt: bench.attempt("a"), grace_ms: Some(10) };
        assert_eq!(bench.does(kill.clone()), ["status a=running(killed)", "> cancel a#1 f1 10"]);
        assert_eq!(bench.does(kill), ["> cancel a#1 f1 10"], "asked again, said again, stored once");
        let word = outcome.word();
        assert_eq!(
            bench.ends("a", outcome),
            [
                format!("result a#1 {word}: cancelled(killed)"),
                "status b=cancelled(needs `a`, which did not succeed)".to_owned(),
                "run cancelled".to_owned(),
                "> ack a#1 f1".to_owned()
            ]
        );
    }
}

#[test]
fn a_success_that_a_kill_came_too_late_for_stays_one() {
    let mut bench = Bench::started(vec![task("a")]);
    bench.does(InputKind::KillTask { attempt: bench.attempt("a"), grace_ms: None });
    assert_eq!(bench.ends("a", exit(0))[..2], ["result a#1 succeeded: succeeded", "run completed"]);
    assert_eq!(bench.run().state(), RunState::Succeeded);
}

#[test]
fn a_session_that_somebody_ended_beside_us_is_as_good_as_killed() {
    let mut bench = Bench::started(vec![retried(3, "a")]);
    assert_eq!(bench.ends("a", AttemptOutcome::Cancelled)[0], "result a#1 cancelled: cancelled(killed)");
}

#[test]
fn a_killed_grant_that_is_refused_is_over() {
    let mut bench = Bench::started(vec![Task { grace_ms: 77, ..task("a") }]);
    let said = bench.does(InputKind::KillTask { attempt: bench.attempt("a"), grace_ms: None });
    assert_eq!(said[1], "> cancel a#1 f1 77");
    assert_eq!(bench.short_of_ptys("a"), ["status a=cancelled(killed)", "run cancelled"]);
}

#[test]
fn only_the_endings_that_are_named_are_repeated() {
    use crate::dag::RetryOn;
    use crate::event::{ExitStatus, FailureCause};
    let failed = |cause| AttemptOutcome::Failed { cause };
    let ends = || {
        vec![
            exit(75),
            exit(1),
            failed(FailureCause::Timeout { limit_ms: 1 }),
            failed(FailureCause::Idle { limit_ms: 1 }),
            failed(FailureCause::Exit { status: ExitStatus::Signal(9) }),
            failed(FailureCause::Outputs { detail: "x".into() }),
            failed(FailureCause::Input { detail: "x".into() }),
            AttemptOutcome::SpawnError { detail: "x".into() },
        ]
    };
    let table = [
        (vec![], [true; 8]),
        (vec![RetryOn::Exit(75)], [true, false, false, false, false, false, false, false]),
        (vec![RetryOn::Timeout], [false, false, true, true, false, false, false, false]),
        (vec![RetryOn::Signal], [false, false, false, false, true, false, false, false]),
        (vec![RetryOn::Outputs, RetryOn::Error], [false, false, false, false, false, true, false, true]),
    ];
    for (on, expected) in table {
        let again = ends().into_iter().map(|end| {
            let mut task = retried(1, "a");
            task.retries.on.clone_from(&on);
            Bench::started(vec![task]).ends("a", end)[0].contains("again at")
        });
        assert_eq!(again.collect::<Vec<_>>(), expected, "{on:?}");
    }
}

#[test]
fn a_result_from_the_cache_counts_as_success() {
    let mut bench = Bench::started(vec![task("a"), task("b: a")]);
    let attempt = bench.attempt("a");
    let report = crate::api::Report { cached: Some("X:a#1".into()), ..report(AttemptOutcome::Succeeded) };
    let said =
        bench.does(InputKind::Worker(FromWorker::Result { attempt, fence: 1, report: Box::new(report) }));
    assert_eq!(
        said[..2],
        ["result a#1 succeeded: completed(cached: the result of X:a#1)", "status b=queued"]
    );
}

#[test]
fn what_a_session_left_is_collected_before_it_ends() {
    let mut bench = Bench::new(100);
    bench.submit(1, dag(vec![task("a"), task("b")]), 1);
    bench.blocks("a", 1);
    let attempt = bench.attempt("a");
    let exited = || {
        let (fence, state) = (1, crate::event::SessionState::Exited);
        InputKind::Worker(FromWorker::Session { attempt: attempt.clone(), fence, state, pid: None })
    };
    assert_eq!(bench.does(exited()), ["status a=processing"]);
    assert_eq!(bench.run().blocked_count(), 0, "nobody can be waited for any more");
    let why = bench.machine.why(&run_id(1), &id("a"), bench.now).unwrap().because;
    assert_eq!(why, ["The process of attempt 1 has ended; its artifacts are being stored."]);
    assert_eq!(bench.does(exited()), [""; 0]);
    let said = bench.does(InputKind::KillTask { attempt: attempt.clone(), grace_ms: Some(1) });
    assert_eq!(said, ["status a=processing(killed)", "> cancel a#1 f1 1"]);
    assert_eq!(bench.ends("a", AttemptOutcome::Cancelled)[0], "result a#1 cancelled: cancelled(killed)");
}
