//! Where time goes: per task, and along the critical path, where the parts make up the whole.

use serde_json::json;

use super::bench::*;
use crate::api::TimeSplit;
use crate::dag::{Approval, Dag, Foreach, Handlers, Task};
use crate::event::{AttemptOutcome, RetryScope};
use crate::scheduler::{InputKind, Run};

fn split(queue_ms: i64, machine_ms: i64, human_ms: i64) -> TimeSplit {
    TimeSplit { queue_ms, machine_ms, human_ms }
}

/// `a 0+10 human 5, …` with the times since the start of the test.
fn path(run: &Run, now: i64) -> String {
    let view = run.times(now, false);
    let TimeSplit { queue_ms, machine_ms, human_ms } = view.critical;
    assert_eq!(queue_ms + machine_ms + human_ms, view.wall_ms, "{view:?}");
    assert_eq!(view.critical, run.times(now, true).critical);
    let step = |step: &crate::api::TimeStep| {
        let task = step.task.as_ref().map_or("-", |task| task.as_str());
        let TimeSplit { queue_ms, machine_ms, human_ms } = step.split;
        format!("{task} q{queue_ms} m{machine_ms} h{human_ms}")
    };
    view.path.iter().map(step).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_path_leads_over_what_ended_last() {
    let mut bench = Bench::new(100);
    bench.submit(1, dag(vec![task("a"), task("b"), task("c: a b"), task("d: c")]), 1);
    bench.now += 10;
    bench.ends("a", exit(0));
    bench.now += 20;
    bench.blocks("b", 1);
    bench.now += 100;
    bench.unblocks("b", 1);
    bench.now += 5;
    assert_eq!(path(bench.run(), bench.now), "b q10 m25 h100", "while it runs");
    bench.ends("b", exit(0));
    bench.now += 7;
    bench.ends("c", exit(0));
    bench.now += 1;
    bench.ends("d", exit(0));
    assert_eq!(path(bench.run(), 0), "b q10 m25 h100, c q0 m7 h0, d q0 m1 h0");
    let view = bench.run().times(0, false);
    assert_eq!((view.wall_ms, view.critical), (143, split(10, 33, 100)));
    let a = &view.tasks[0];
    assert_eq!((a.task.clone(), a.critical, a.split), (id("a"), false, split(0, 10, 0)));
}

#[test]
fn approvals_items_retries_and_handlers() {
    let gate = Task {
        approval: Some(Approval { prompt: "?".into(), timeout_ms: None, allowed: None }),
        foreach: Some(Foreach::Items(vec![json!(1), json!(2)])),
        ..retried(1, "each: a")
    };
    let on = Handlers { success: Some(id("tell")), ..Handlers::default() };
    let mut bench = Bench::new(100);
    bench.submit(1, Dag { on, ..dag(vec![task("a"), gate, task("tell")]) }, 10);
    bench.now += 3;
    bench.ends("a", exit(0));
    bench.now += 1000;
    bench.does(InputKind::Decide { run: run_id(1), task: id("each"), approve: true, reason: None });
    bench.now += 20;
    bench.ends("each.1", exit(0));
    bench.ends("each.2", exit(1));
    bench.ticks_after(1000);
    bench.now += 5;
    bench.ends("each.2", exit(0));
    bench.now += 2;
    bench.ends("tell", exit(0));
    assert_eq!(path(bench.run(), 0), "a q0 m3 h0, each q0 m0 h1000, each.2 q1000 m25 h0, tell q0 m2 h0");
    bench.now += 77;
    bench.does(InputKind::Retry {
        run: run_id(1),
        scope: RetryScope::From { task: id("each.1"), also: vec![] },
    });
    bench.now += 9;
    bench.ends("each.1", exit(0));
    bench.now += 2;
    bench.ends("tell", exit(0));
    assert_eq!(path(bench.run(), 0), "each.1 q0 m9 h0, tell q0 m2 h0", "from the retry on");
}

#[test]
fn what_a_session_asked_for_begins_with_that_session() {
    let mut bench = Bench::started(vec![task("a")]);
    bench.now += 10;
    bench.has_child("a", task("x"));
    bench.now += 5;
    bench.ends("a", exit(0));
    bench.now += 5;
    bench.ends("a_t1", exit(0));
    assert_eq!(path(bench.run(), 0), "a q0 m10 h0, a_t1 q0 m10 h0");
}

#[test]
fn a_run_that_never_started_took_no_time() {
    let mut bench = Bench::new(100);
    let mut kind = bench.submission(1, dag(vec![task("a"), task("b: a")]));
    if let InputKind::Submit { start, .. } = &mut kind {
        *start = false;
    }
    bench.does(kind);
    assert_eq!(path(bench.run(), bench.now + 50), "");
    bench.does(InputKind::Start { run: run_id(1) });
    bench.now += 4;
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
    bench.now += 2;
    bench.ends("a", AttemptOutcome::Cancelled);
    assert_eq!(path(bench.run(), 0), "a q0 m6 h0");
}
