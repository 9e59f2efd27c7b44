//! Start, cancel, timeout, retry, more tasks, mode, takeover.

use std::sync::Arc;

use super::bench::*;
use crate::dag::{Dag, Trigger};
use crate::event::{AttemptOutcome, ExecutionMode, RetryScope, RunState};
use crate::fence;
use crate::ids::NodeDid;
use crate::scheduler::{InputKind, Rejected, WakeReason};

fn cancel() -> InputKind {
    InputKind::Cancel { run: run_id(1), now: false }
}

fn retry(scope: RetryScope) -> InputKind {
    InputKind::Retry { run: run_id(1), scope }
}

fn from(task: &str) -> InputKind {
    retry(RetryScope::From { task: id(task), also: vec![] })
}

fn create(tasks: Vec<crate::dag::Task>) -> InputKind {
    let dag = dag(tasks);
    InputKind::Submit { run: run_id(1), facts: Box::new(facts(&dag, 10)), dag: Arc::new(dag), start: false }
}

#[test]
fn a_created_run_waits_for_its_start() {
    let mut bench = Bench::new(100);
    assert_eq!(
        bench.gives(crate::scheduler::Input::internal(create(vec![task("a")]))).unwrap(),
        ["run created"]
    );
    let said = bench.tries(InputKind::Start { run: run_id(1) }).unwrap();
    assert_eq!(said, ["run started", "status a=queued", "assigned a#1 f1", "> grant a#1 f1"]);
    for again in [InputKind::Start { run: run_id(1) }, create(vec![task("a")]), retry(RetryScope::All)] {
        assert!(matches!(bench.refused(again).0, Rejected::State(_)));
    }
    assert_eq!(bench.refused(InputKind::Start { run: run_id(9) }).0, Rejected::NoRun(run_id(9)));
}

#[test]
fn a_run_that_does_not_fit_its_file_is_not_taken() {
    let mut bench = Bench::new(100);
    for bad in [vec![task("a: b")], vec![task("a"), task("a")]] {
        assert!(matches!(bench.refused(create(bad)).0, Rejected::State(_)));
    }
    let dag = dag(vec![task("a")]);
    let mut facts = facts(&dag, 1);
    facts.tasks = 2;
    let submit =
        InputKind::Submit { run: run_id(1), facts: Box::new(facts), dag: Arc::new(dag), start: true };
    assert!(matches!(bench.refused(submit).0, Rejected::State(_)));
    assert!(bench.machine.run(&run_id(1)).is_none());
}

#[test]
fn cancelling_a_created_run_ends_it_at_once() {
    let mut bench = Bench::new(100);
    bench.tries(create(vec![task("a"), when(Trigger::Always, "b: a")])).unwrap();
    assert_eq!(
        bench.tries(cancel()).unwrap(),
        [
            "cancelling: the run was cancelled",
            "status a=cancelled(the run was cancelled) b=cancelled(the run was cancelled)",
            "run cancelled"
        ]
    );
    assert!(matches!(bench.refused(cancel()).0, Rejected::State(_)));
}

#[test]
fn cancelling_stops_what_runs_and_still_cleans_up() {
    let tasks = vec![
        retried(5, "a"),
        task("b: a"),
        when(Trigger::AllDone, "c: a"),
        when(Trigger::OneFailed, "d: a"),
        when(Trigger::Always, "clean: a b"),
    ];
    let mut bench = Bench::started(tasks);
    assert_eq!(
        bench.does(cancel()),
        [
            "cancelling: the run was cancelled",
            "status b=cancelled(the run was cancelled) c=cancelled(the run was cancelled) \
         d=cancelled(the run was cancelled)",
            "> cancel a#1 f1 5000"
        ]
    );
    assert_eq!(bench.run().state(), RunState::Running, "until its sessions have ended");
    assert!(bench.machine.live_attempts().all(|live| live.cancelling));
    assert!(matches!(bench.refused(InputKind::Pause { run: run_id(1) }).0, Rejected::State(_)));
    assert_eq!(
        bench.ends("a", exit(143)),
        [
            "result a#1 failed: cancelled(the run was cancelled)",
            "status clean=queued",
            "assigned clean#1 f1",
            "> ack a#1 f1",
            "> grant clean#1 f1"
        ]
    );
    assert!(bench.machine.live_attempts().all(|live| !live.cancelling), "what cleans up is left alone");
    assert_eq!(bench.ends("clean", exit(0))[1], "run cancelled");
}

#[test]
fn what_cleans_up_is_stopped_only_if_that_is_asked_for() {
    let tasks = || vec![task("a"), when(Trigger::Always, "x"), when(Trigger::Always, "y: a x")];
    let now = || InputKind::Cancel { run: run_id(1), now: true };
    let mut bench = Bench::started(tasks());
    assert_eq!(bench.does(cancel())[1..], ["> cancel a#1 f1 5000"], "x goes on");
    assert_eq!(bench.does(cancel()), ["> cancel a#1 f1 5000"], "also if another person cancels it");
    assert_eq!(
        bench.does(now()),
        [
            "cancelling: the run was cancelled",
            "status y=cancelled(the run was cancelled)",
            "> cancel a#1 f1 5000",
            "> cancel x#1 f1 5000"
        ]
    );
    for again in [now(), cancel()] {
        assert_eq!(bench.does(again), ["> cancel a#1 f1 5000", "> cancel x#1 f1 5000"]);
    }
    bench.ends("a", AttemptOutcome::Cancelled);
    assert_eq!(bench.ends("x", AttemptOutcome::Cancelled)[1], "run cancelled");
    let mut bench = Bench::started(tasks());
    assert_eq!(bench.does(now())[3..], ["> cancel a#1 f1 5000", "> cancel x#1 f1 5000"], "at once");
}

#[test]
fn cancelling_ends_a_pause_and_what_waits_for_a_retry() {
    let mut bench = Bench::started(vec![retried(1, "a"), when(Trigger::Always, "b: a")]);
    bench.ends("a", exit(1));
    bench.does(InputKind::Pause { run: run_id(1) });
    assert_eq!(
        bench.does(cancel()),
        [
            "run resumed",
            "cancelling: the run was cancelled",
            "status a=cancelled(the run was cancelled) b=queued",
            "assigned b#1 f1",
            "> grant b#1 f1"
        ]
    );
    assert_eq!(bench.machine.poll_timeout(), None, "the retry is off");
}

#[test]
fn a_run_that_takes_too_long_fails() {
    let mut bench = Bench::new(100);
    let dag = Dag { timeout_ms: Some(60_000), ..dag(vec![task("a"), task("b: a"), retried(1, "c")]) };
    bench.submit(1, dag, 10);
    assert_eq!(bench.machine.poll_timeout(), Some((START_MS + 60_000, WakeReason::RunTimeout)));
    bench.ends("c", exit(1));
    assert_eq!(bench.machine.poll_timeout(), Some((START_MS + 1000, WakeReason::Retry)));
    bench.ticks_after(1000);
    bench.ends("c", exit(1));
    assert_eq!(
        bench.ticks_after(59_000),
        [
            "cancelling: the run took longer than its timeout",
            "status b=cancelled(the run took longer than its timeout)",
            "> cancel a#1 f1 5000"
        ]
    );
    assert_eq!(bench.machine.poll_timeout(), None);
    assert_eq!(
        bench.ends("a", AttemptOutcome::Cancelled)[1],
        "run failed: took longer than its timeout of 1m 00s; 1 task failed: `c` (exit code 1); \
         2 tasks stopped or not started: `a`, `b`"
    );
    assert_eq!(bench.does(retry(RetryScope::Failed))[0], "retried a=pending b=pending c=pending");
    let deadline = Some((bench.now + 60_000, WakeReason::RunTimeout));
    assert_eq!(bench.machine.poll_timeout(), deadline, "a retry has the whole time again");
}

#[test]
fn retrying_what_failed_takes_all_that_came_after_it() {
    let tasks = vec![
        task("ok"),
        task("bad: ok"),
        task("after: bad"),
        when(Trigger::OneFailed, "report: bad"),
        when(Trigger::OneFailed, "quiet: ok"),
        when(Trigger::Always, "clean: bad"),
    ];
    let mut bench = Bench::started(tasks);
    bench.ends("ok", exit(0));
    bench.ends("bad", exit(1));
    bench.ends("report", exit(0));
    assert!(bench.ends("clean", exit(0))[1].starts_with("run failed"));
    assert_eq!(
        bench.does(retry(RetryScope::Failed)),
        [
            "retried bad=pending after=pending report=pending clean=pending",
            "status bad=queued",
            "assigned bad#2 f2",
            "> grant bad#2 f2"
        ]
    );
    assert_eq!(bench.run().detail(), None);
    assert_eq!(
        bench.ends("bad", exit(0))[1],
        "status after=queued report=completed(skipped: trigger one_failed, and no need of it failed) clean=queued"
    );
    bench.ends("after", exit(0));
    assert_eq!(bench.ends("clean", exit(0))[..2], ["result clean#2 succeeded: succeeded", "run completed"]);
    assert!(matches!(bench.refused(retry(RetryScope::Failed)).0, Rejected::State(_)), "nothing failed");
}

#[test]
fn retrying_from_a_task_takes_it_and_what_needs_it() {
    let mut bench = Bench::started(vec![task("a"), task("b: a"), task("c: b"), task("d: a")]);
    for name in ["a", "b", "d"] {
        bench.ends_with(name, exit(0), "out");
    }
    assert!(matches!(bench.refused(from("b")).0, Rejected::State(_)), "it has not ended");
    bench.ends("c", exit(0));
    assert_eq!(bench.does(from("b"))[..2], ["retried b=pending c=pending", "status b=queued"]);
    let outputs = |bench: &Bench, name: &str| bench.run().task(&id(name)).unwrap().1.outputs.len();
    assert_eq!((outputs(&bench, "a"), outputs(&bench, "b")), (1, 0), "old outputs are void");
    let has_ended = |name: &str| bench.run().task(&id(name)).unwrap().1.last.is_some();
    assert_eq!(
        (has_ended("a"), has_ended("b"), has_ended("c")),
        (true, false, false),
        "so is what was printed"
    );
    assert!(matches!(bench.refused(from("nowhere")).0, Rejected::State(_)), "it runs again");
}

#[test]
fn a_retry_begins_at_several_tasks() {
    let from = |task: &str, also: &[&str]| {
        retry(RetryScope::From { task: id(task), also: also.iter().map(|task| id(task)).collect() })
    };
    let mut bench = Bench::started(vec![task("a"), task("b: a"), task("c"), task("d")]);
    for (name, code) in [("c", 0), ("d", 0), ("a", 1)] {
        bench.ends(name, exit(code));
    }
    let (rejected, _) = bench.refused(from("c", &["b"]));
    assert!(rejected.to_string().ends_with("--failed`"), "what `b` needs does not run again: {rejected}");
    assert!(matches!(bench.refused(from("a", &["c", "x"])).0, Rejected::NoTask { .. }));
    // `b` starts after `a`, in whichever order they are named.
    assert_eq!(bench.does(from("b", &["c", "a", "c"]))[0], "retried a=pending b=pending c=pending");
}

#[test]
fn a_task_whose_need_failed_cannot_be_where_a_retry_begins() {
    let mut bench = Bench::started(vec![task("a"), task("b: a")]);
    bench.ends("a", exit(1));
    let (rejected, _) = bench.refused(from("b"));
    assert!(rejected.to_string().ends_with("--failed`"), "{rejected}");
    assert!(matches!(bench.refused(from("c")).0, Rejected::NoTask { .. }));
}

#[test]
fn a_retry_counts_failures_and_losses_from_zero() {
    let mut bench = Bench::started(vec![retried(1, "a")]);
    bench.ends("a", exit(1));
    bench.ticks_after(1000);
    bench.does(InputKind::AttemptLost { attempt: bench.attempt("a"), detail: "x".into() });
    bench.ends("a", exit(1));
    assert_eq!(bench.run().state(), RunState::Failed);
    assert_eq!(bench.does(retry(RetryScope::All))[2], "assigned a#4 f4", "numbers and fences go on");
    let entry = bench.run().task(&id("a")).unwrap().1;
    assert_eq!((entry.failures, entry.lost), (0, 0));
    assert!(bench.ends("a", exit(1))[0].contains("again at"));
}

#[test]
fn a_cancelled_run_can_be_retried() {
    let mut bench = Bench::started(vec![task("a"), task("b: a")]);
    bench.does(cancel());
    bench.ends("a", AttemptOutcome::Cancelled);
    assert_eq!(bench.run().state(), RunState::Cancelled);
    assert_eq!(bench.does(retry(RetryScope::Failed))[2], "assigned a#2 f2");
    bench.ends("a", exit(0));
    assert_eq!(bench.ends("b", exit(0))[1], "run completed");
}

#[test]
fn tasks_that_a_session_asks_for_are_named_after_it() {
    let mut bench = Bench::started(vec![task("plan"), task("end: plan"), task("plan_t2: plan")]);
    assert_eq!(
        bench.has_child("plan", task("whatever")),
        ["added plan: plan_t1", "status plan_t1=queued", "assigned plan_t1#1 f1", "> grant plan_t1#1 f1"]
    );
    assert_eq!(
        bench.has_child("plan", task("x: plan plan_t1"))[0],
        "added plan: plan_t3",
        "plan_t2 is taken"
    );
    assert_eq!(bench.has_child("plan_t1", task("x"))[0], "added plan_t1: plan_t1.1");
    assert_eq!(
        bench.states(),
        "plan=running end=pending plan_t2=pending plan_t1=running plan_t3=pending plan_t1.1=running"
    );
    bench.ends("plan", exit(0));
    bench.ends("plan_t1", exit(1));
    assert!(bench.states().contains("plan_t3=cancelled"));
    for name in ["end", "plan_t2"] {
        bench.ends(name, exit(0));
    }
    assert!(bench.ends("plan_t1.1", exit(0))[1].starts_with("run failed: 1 task failed: `plan_t1`"));
}

#[test]
fn added_tasks_are_checked() {
    let mut bench = Bench::started(vec![task("a"), task("b")]);
    let add = |tasks: Vec<crate::dag::Task>| InputKind::TasksAdded { run: run_id(1), parent: id("a"), tasks };
    for bad in
        [vec![task("b")], vec![task("c"), task("c")], vec![task("c: d"), task("d")], vec![task("c: c")]]
    {
        assert!(matches!(bench.refused(add(bad)).0, Rejected::State(_)));
    }
    let endless = (0..=100_000).map(|n| task(&format!("x{n}"))).collect();
    assert!(matches!(bench.refused(add(endless)).0, Rejected::State(_)));
    bench.ends("b", exit(1));
    let said = bench.does(add(vec![task("c: b"), when(Trigger::AllDone, "d: c b"), task("e: d")]));
    assert_eq!(
        said[..2],
        ["added a: c d e", "status c=cancelled(needs `b`, which did not succeed) d=queued"]
    );
    bench.does(cancel());
    assert!(matches!(bench.refused(add(vec![task("f")])).0, Rejected::State(_)), "it is being cancelled");
}

#[test]
fn mode_and_coordinator_change() {
    let mut bench = Bench::new(100);
    bench.submit(1, dag(vec![task("a"), task("b")]), 1);
    let room = Some("!r:example.org".to_owned());
    bench.does(InputKind::ModeChanged { run: run_id(1), mode: ExecutionMode::Hybrid, room: room.clone() });
    assert_eq!((bench.run().facts().mode, &bench.run().facts().room), (ExecutionMode::Hybrid, &room));
    let same = InputKind::ModeChanged { run: run_id(1), mode: ExecutionMode::Hybrid, room };
    assert_eq!(bench.does(same), Vec::<String>::new(), "nothing changes");
    let over = |owner: &str, epoch| InputKind::TakenOver {
        run: run_id(1),
        owner: NodeDid(owner.into()),
        epoch,
        cut: 3,
    };
    assert!(matches!(bench.refused(over("did:key:there", 0)).0, Rejected::Stale(_)));
    assert_eq!(bench.does(over("did:key:there", 1)), ["run taken_over"]);
    assert!(
        matches!(bench.refused(bench.result("a", exit(0))).0, Rejected::State(_)),
        "another one decides now"
    );
    assert!(matches!(bench.refused(cancel()).0, Rejected::State(_)));
    bench.does(over(&node().0, 2));
    let next = format!("assigned b#1 f{}", fence::next(0, 2));
    assert_eq!(bench.ends("a", exit(0))[1], next, "above all fences of earlier terms");
}
