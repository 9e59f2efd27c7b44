//! A human decides before a task starts: once, the first counts, and nobody waits for ever.

use serde_json::json;

use super::bench::*;
use crate::dag::{Approval, Foreach, Task, Trigger};
use crate::event::{Actor, ActorKind, RetryScope, Via};
use crate::scheduler::{Input, InputKind, Rejected, WakeReason};

fn gated(timeout_ms: Option<u64>, text: &str) -> Task {
    let prompt = "Deploy {{ dag.id }}?".into();
    Task { approval: Some(Approval { prompt, timeout_ms, allowed: None }), ..task(text) }
}

fn decide(who: &str, task: &str, approve: bool) -> Input {
    let actor = Actor { kind: ActorKind::Human, name: who.into(), via: Via::Socket };
    let reason = (!approve).then(|| "not on Friday".into());
    let kind = InputKind::Decide { run: run_id(1), task: id(task), approve, reason };
    Input { kind, actor: Some(actor), cause: None }
}

fn said(rejected: Rejected) -> String {
    let Rejected::State(text) = rejected else { panic!("{rejected:?}") };
    text
}

#[test]
fn the_first_decision_counts_and_the_second_hears_who_was_first() {
    let mut bench = Bench::started(vec![task("a"), gated(None, "b: a"), gated(None, "c: a")]);
    let early = bench.gives(decide("ann", "b", true)).unwrap_err();
    assert_eq!(said(early), "task `b` is pending, nobody is asked to approve it now");
    assert_eq!(bench.ends("a", exit(0))[1], "status b=queued(approval) c=queued(approval)");
    let prompt = bench.run().task(&id("b")).unwrap().1.queued.clone();
    assert!(format!("{prompt:?}").contains("Deploy test?"), "{prompt:?}");
    assert_eq!(bench.machine.poll_timeout(), None);
    assert_eq!(
        bench.gives(decide("ann", "b", true)).unwrap(),
        ["approved b by ann", "assigned b#1 f1", "> grant b#1 f1"]
    );
    bench.check();
    let late = bench.gives(decide("bob", "b", false)).unwrap_err();
    assert_eq!(said(late), "task `b` was approved by ann already");
    assert_eq!(
        bench.gives(decide("bob", "c", false)).unwrap(),
        ["status c=failed(rejected by bob: not on Friday)"]
    );
    let late = bench.gives(decide("ann", "c", true)).unwrap_err();
    assert_eq!(said(late), "task `c` has failed already: rejected by bob: not on Friday");
    assert_eq!(said(bench.gives(decide("ann", "a", true)).unwrap_err()), "task `a` needs no approval");
    assert!(matches!(bench.gives(decide("ann", "z", true)), Err(Rejected::NoTask { .. })));
    bench.check();
    bench.ends("b", exit(0));
    assert_eq!(
        bench.does(InputKind::Retry { run: run_id(1), scope: RetryScope::All })[0],
        "retried a=pending b=pending c=pending"
    );
    assert_eq!(bench.ends("a", exit(0))[1], "status b=queued(approval) c=queued(approval)", "asked again");
}

#[test]
fn nobody_is_waited_for_longer_than_said() {
    let mut bench = Bench::started(vec![gated(Some(5000), "a"), gated(Some(9000), "b"), task("c: a")]);
    assert_eq!(bench.machine.poll_timeout(), Some((START_MS + 5000, WakeReason::Approval)));
    bench.gives(decide("ann", "b", true)).unwrap();
    assert_eq!(
        bench.ticks_after(5000),
        [
            "status a=failed(nobody approved it within 5.0s)",
            "status c=cancelled(needs `a`, which did not succeed)"
        ]
    );
    assert_eq!(bench.machine.poll_timeout(), None, "b was approved");
}

#[test]
fn all_items_are_approved_at_once() {
    let each = Task { foreach: Some(Foreach::Items(vec![json!(1), json!(2)])), ..gated(None, "each") };
    let mut bench = Bench::started(vec![each]);
    assert_eq!(
        bench.gives(decide("ann", "each", true)).unwrap()[..3],
        ["approved each by ann", "expanded each into 2", "assigned each.1#1 f1"]
    );
    bench.check();
    assert!(said(bench.gives(decide("ann", "each.1", true)).unwrap_err()).contains("is an item"));
}

#[test]
fn cancelling_takes_back_the_question() {
    let clean = Task { trigger: Trigger::Always, ..gated(None, "clean: a") };
    let mut bench = Bench::started(vec![gated(Some(1000), "a"), clean]);
    assert_eq!(
        bench.does(InputKind::Cancel { run: run_id(1), now: false })[1],
        "status a=cancelled(the run was cancelled) clean=queued(approval)"
    );
    assert_eq!(bench.machine.poll_timeout(), None);
    assert_eq!(
        bench.does(InputKind::Cancel { run: run_id(1), now: true })[1..],
        ["status clean=cancelled(the run was cancelled)", "run cancelled"]
    );
}

#[test]
fn a_question_is_kept_over_a_restart() {
    let mut bench = Bench::started(vec![gated(Some(5000), "a")]);
    bench.restart();
    assert_eq!(bench.machine.poll_timeout(), Some((START_MS + 5000, WakeReason::Approval)));
    bench.gives(decide("ann", "a", true)).unwrap();
    bench.check();
    assert!(bench.states().contains("a=running"));
}
