//! Results that sessions hand in themselves.

use std::collections::BTreeMap;

use super::bench::*;
use crate::api::FromWorker;
use crate::dag::{Task, ValueType};
use crate::event::{AttemptOutcome, ExitStatus, FailureCause};
use crate::scheduler::{InputKind, Rejected};

fn hand_in(bench: &Bench, task: &str) -> InputKind {
    InputKind::HandIn { attempt: bench.attempt(task), text: Some("all is done".into()) }
}

fn signalled() -> AttemptOutcome {
    AttemptOutcome::Failed { cause: FailureCause::Exit { status: ExitStatus::Signal(15) } }
}

#[test]
fn it_is_ended_and_has_succeeded_however_it_ends() {
    for outcome in [exit(0), exit(3), signalled(), AttemptOutcome::Cancelled] {
        let mut bench = Bench::started(vec![retried(2, "a"), task("b: a")]);
        let said = bench.does(hand_in(&bench, "a"));
        assert_eq!(said, ["handed in a: Some(\"all is done\")", "> finish a#1 f1 5000"]);
        let at_ms = bench.stored.last().unwrap().at_ms;
        bench.ticks_after(1000);
        bench.restart();
        let live = bench.machine.live_attempts().next().unwrap();
        assert_eq!((live.cancelling, live.handed_in_ms), (true, Some(at_ms)), "the next node knows when");
        let said = bench.ends("a", outcome);
        assert_eq!(said[..2], ["result a#1 succeeded: succeeded", "status b=queued"]);
        let last = bench.run().task(&id("a")).unwrap().1.last.clone().unwrap();
        assert_eq!(last.handed_in.as_deref(), Some("all is done"));
    }
}

#[test]
fn a_limit_that_ended_its_session_before_wins() {
    for cause in [FailureCause::Timeout { limit_ms: 2000 }, FailureCause::Idle { limit_ms: 2000 }] {
        let mut bench = Bench::started(vec![retried(1, "a"), task("b")]);
        for name in ["a", "b"] {
            bench.does(hand_in(&bench, name));
        }
        let ended = || AttemptOutcome::Failed { cause: cause.clone() };
        assert_eq!(bench.ends("a", ended())[0], "result a#1 failed: queued(again at +1000) counted");
        let said = bench.ends("b", ended());
        assert!(
            said[0].starts_with("result b#1 failed: failed(") && said[0].ends_with(" counted"),
            "{said:?}"
        );
    }
}

#[test]
fn what_it_declares_must_be_there() {
    let declared = || Task { outputs: BTreeMap::from([("n".into(), ValueType::Integer)]), ..task("a") };
    let mut bench = Bench::started(vec![declared()]);
    bench.does(hand_in(&bench, "a"));
    let said = bench.ends("a", AttemptOutcome::Cancelled);
    assert_eq!(
        said[0],
        "result a#1 failed: failed(it handed in its result without the output `n`, which it declares) counted"
    );

    let mut bench = Bench::started(vec![declared()]);
    bench.does(hand_in(&bench, "a"));
    assert_eq!(bench.ends_with("a", AttemptOutcome::Cancelled, "n")[0], "result a#1 succeeded: succeeded");

    let mut bench = Bench::started(vec![task("a")]);
    bench.does(hand_in(&bench, "a"));
    let wrong = FailureCause::Outputs { detail: "n is no integer".into() };
    let said = bench.ends("a", AttemptOutcome::Failed { cause: wrong });
    assert_eq!(said[0], "result a#1 failed: failed(n is no integer) counted");
}

#[test]
fn a_session_that_is_lost_afterwards_has_succeeded_where_nothing_is_missing() {
    let mut bench = Bench::started(vec![task("a"), Task { artifacts: vec!["out".into()], ..task("b") }]);
    for name in ["a", "b"] {
        bench.does(hand_in(&bench, name));
    }
    let lost = |bench: &Bench, name| InputKind::AttemptLost {
        attempt: bench.attempt(name),
        detail: "its host ended".into(),
    };
    assert_eq!(bench.does(lost(&bench, "a"))[0], "result a#1 succeeded: succeeded");
    assert_eq!(bench.does(lost(&bench, "b"))[0], "result b#1 error: queued(lost)", "its files are gone");
    assert_eq!(bench.ends("b", exit(1))[0], "result b#2 failed: failed(exit code 1) counted", "a new try");
}

#[test]
fn the_first_word_counts() {
    let mut bench = Bench::started(vec![task("a"), task("b")]);
    bench.does(hand_in(&bench, "a"));
    let (twice, _) = bench.refused(hand_in(&bench, "a"));
    assert!(twice.to_string().ends_with("has handed in its result already"), "{twice}");
    let kill = |bench: &Bench, name| InputKind::KillTask { attempt: bench.attempt(name), grace_ms: Some(7) };
    assert_eq!(bench.does(kill(&bench, "a")), ["> finish a#1 f1 7"], "no other reason, only less patience");
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
    assert_eq!(bench.ends("a", AttemptOutcome::Cancelled)[0], "result a#1 succeeded: succeeded");

    let (late, _) = bench.refused(hand_in(&bench, "b"));
    assert!(late.to_string().ends_with("is being stopped: the run was cancelled"), "{late}");
    bench.ends("b", AttemptOutcome::Cancelled);
    assert!(matches!(bench.refused(hand_in(&bench, "b")).0, Rejected::Stale(_)));
}

#[test]
fn one_that_is_over_hands_in_nothing() {
    let mut bench = Bench::started(vec![task("a")]);
    let (attempt, state) = (bench.attempt("a"), crate::event::SessionState::Exited);
    bench.does(InputKind::Worker(FromWorker::Session { attempt, fence: 1, state, pid: Some(1) }));
    let (rejected, _) = bench.refused(hand_in(&bench, "a"));
    assert!(rejected.to_string().ends_with("has ended already"), "{rejected}");
}
