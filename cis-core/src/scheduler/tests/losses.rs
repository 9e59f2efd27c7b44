//! Sessions, hosts and nodes that go away, and machines that start again.

use std::collections::BTreeMap;

use super::bench::*;
use crate::dag::Task;
use crate::event::{LostBy, RunState};
use crate::ids::NodeDid;
use crate::scheduler::{Input, InputKind, Machine, Rejected, Run};

fn lost(bench: &Bench, task: &str) -> InputKind {
    InputKind::AttemptLost { attempt: bench.attempt(task), detail: "its log says nothing".into() }
}

fn host_lost(n: u128) -> InputKind {
    InputKind::NodeLost { node: node(), host: Some(host(n)), by: LostBy::Host, ended: Vec::new() }
}

#[test]
fn a_lost_session_starts_again_three_times_and_does_not_count() {
    let mut bench = Bench::started(vec![task("a")]);
    for number in 1..=3 {
        let next = number + 1;
        assert_eq!(
            bench.does(lost(&bench, "a")),
            [
                format!("result a#{number} error: queued(lost)"),
                format!("assigned a#{next} f{next}"),
                format!("> grant a#{next} f{next}")
            ]
        );
    }
    assert_eq!(
        bench.does(lost(&bench, "a")),
        [
            "result a#4 error: error(lost: its log says nothing)",
            "run error: 1 task could not be run: `a` (lost: its log says nothing)"
        ]
    );
}

#[test]
fn a_task_that_must_not_run_twice_is_not_started_again() {
    let mut bench = Bench::started(vec![Task { retry_lost: false, ..task("deploy") }]);
    assert_eq!(
        bench.does(lost(&bench, "deploy"))[0],
        "result deploy#1 error: error(lost: its log says nothing)"
    );
}

#[test]
fn a_late_result_of_a_lost_attempt_changes_nothing_but_is_acknowledged() {
    let mut bench = Bench::started(vec![task("a")]);
    let late = bench.result("a", exit(1));
    bench.does(lost(&bench, "a"));
    let (rejected, said) = bench.refused(late);
    assert!(matches!(rejected, Rejected::Stale(_)));
    assert_eq!(said, ["> ack a#1 f1"]);
    assert_eq!(bench.states(), "a=running");
    assert!(matches!(bench.refused(lost_once(&bench)).0, Rejected::Stale(_)));
}

fn lost_once(bench: &Bench) -> InputKind {
    let mut attempt = bench.attempt("a");
    attempt.number = 1;
    InputKind::AttemptLost { attempt, detail: String::new() }
}

#[test]
fn a_session_host_takes_its_attempts_with_it_and_no_others() {
    let mut bench = Bench::new(100);
    bench.submit(1, dag(vec![task("a"), task("b"), task("c")]), 2);
    bench.machine.set_host(Some(host(2)));
    bench.ends("a", exit(0));
    assert_eq!(bench.states(), "a=succeeded b=running c=running", "b on the first host, c on the second");
    let elsewhere = NodeDid("did:key:there".into());
    let said = bench.does(InputKind::NodeLost {
        node: elsewhere,
        host: None,
        by: LostBy::Heartbeat,
        ended: Vec::new(),
    });
    assert_eq!(said, ["node lost"], "nothing of ours runs there");
    assert_eq!(
        bench.does(host_lost(1)),
        ["node lost", "result b#1 error: queued(lost)", "assigned b#2 f2", "> grant b#2 f2"]
    );
    let both = bench.does(InputKind::NodeLost {
        node: node(),
        host: None,
        by: LostBy::Heartbeat,
        ended: Vec::new(),
    });
    assert_eq!(both[1..3], ["result b#2 error: queued(lost)", "result c#1 error: queued(lost)"]);
}

#[test]
fn without_a_session_host_nothing_is_granted() {
    let mut bench = Bench::started(vec![task("a")]);
    bench.machine.set_host(None);
    assert_eq!(bench.does(host_lost(1)), ["node lost", "result a#1 error: queued(lost)"]);
    bench.machine.set_host(Some(host(2)));
    assert_eq!(bench.does(InputKind::Tick), ["assigned a#2 f2", "> grant a#2 f2"]);
}

#[test]
fn a_machine_that_starts_again_goes_on_where_the_events_end() {
    let mut bench = Bench::started(vec![retried(1, "a"), task("b"), task("c: a b")]);
    bench.comes_up("a", 11);
    bench.blocks("a", 1);
    bench.does(InputKind::KillTask { attempt: bench.attempt("b"), grace_ms: None });
    let before = bench.machine.clone();

    bench.machine = Machine::new(node(), 100);
    bench.machine.set_host(Some(host(1)));
    bench.machine.restore(bench.folded(run_id(1)));
    assert_eq!(bench.does(InputKind::Tick), Vec::<String>::new(), "all is as it was");
    let live: Vec<_> = bench.machine.live_attempts().collect();
    assert_eq!(live, before.live_attempts().collect::<Vec<_>>());
    let [a, b] = &live[..] else { panic!("{live:?}") };
    assert_eq!((a.attempt.clone(), a.fence, a.session), (bench.attempt("a"), 1, session(1)));
    assert_eq!((a.started, a.blocked_episode, a.cancelling), (true, Some(1), false));
    assert_eq!((b.started, b.blocked_episode, b.cancelling), (false, None, true));
    assert_eq!((b.host, b.grace_ms), (Some(host(1)), 5000));
    assert_eq!(bench.ends("b", exit(143))[0], "result b#1 failed: cancelled(killed)", "the kill was kept");
}

#[test]
fn a_machine_that_starts_again_finishes_what_was_cut_off() {
    let mut bench = Bench::started(vec![task("a"), task("b: a")]);
    bench.ends("a", exit(0));
    // As if only the result had been stored: the status of b and its grant are missing.
    let cut = bench.stored.iter().position(|e| brief(&e.body) == "result a#1 succeeded: succeeded").unwrap();
    bench.stored.truncate(cut + 1);
    bench.machine = Machine::new(node(), 100);
    bench.machine.set_host(Some(host(1)));
    bench.machine.restore(bench.folded(run_id(1)));
    assert_eq!(bench.does(InputKind::Tick), ["status b=queued", "assigned b#1 f1", "> grant b#1 f1"]);
}

#[test]
fn ended_runs_are_let_go_and_can_come_back() {
    let mut bench = Bench::started(vec![task("a")]);
    let late = bench.result("a", exit(0));
    bench.ends("a", exit(1));
    let folded = bench.folded(run_id(1));
    assert_eq!(folded.state(), RunState::Failed);
    let forgotten: Vec<_> = bench.machine.forget_ended().iter().map(Run::id).collect();
    assert_eq!(forgotten, [run_id(1)]);
    assert_eq!(bench.machine.open_runs().count(), 0);
    assert_eq!(bench.refused(late).0, Rejected::NoRun(run_id(1)));
    bench.machine.restore(folded);
    let retry = InputKind::Retry { run: run_id(1), scope: crate::event::RetryScope::Failed };
    assert_eq!(bench.does(retry)[2], "assigned a#2 f2");
    assert!(bench.machine.forget_ended().is_empty());
}

#[test]
fn who_asked_stands_in_the_events_and_not_in_the_grants() {
    use crate::event::{Actor, ActorKind, Via};
    use crate::ids::InputId;
    let mut bench = Bench::new(1);
    bench.submit(1, dag(vec![task("a"), task("b")]), 1);
    let actor = Actor { kind: ActorKind::Human, name: "uid:1000".into(), via: Via::Socket };
    let cause = InputId::from_parts(5, 5);
    let kind = InputKind::Pause { run: run_id(1) };
    bench.gives(Input { kind, actor: Some(actor.clone()), cause: Some(cause) }).unwrap();
    let paused = bench.stored.last().unwrap();
    assert_eq!((&paused.actor, paused.cause, paused.at_ms), (&Some(actor.clone()), Some(cause), START_MS));
    bench.ends("a", exit(0));
    let kind = InputKind::Resume { run: run_id(1) };
    bench.gives(Input { kind, actor: Some(actor), cause: Some(cause) }).unwrap();
    let last: BTreeMap<String, bool> =
        bench.stored.iter().rev().take(2).map(|e| (brief(&e.body), e.actor.is_some())).collect();
    assert_eq!(last, BTreeMap::from([("assigned b#1 f1".into(), false), ("run resumed".into(), true)]));
}

/// The node took another key between two starts: what it coordinates, and what its host has, is its own still.
#[test]
fn a_node_with_another_key_goes_on_with_its_runs() {
    let mut bench = Bench::started(vec![task("a"), task("b: a"), task("c")]);
    let run = bench.folded(run_id(1));
    let heir = NodeDid("did:key:heir".into());
    bench.machine = Machine::new(heir.clone(), 100);
    bench.machine.was_known_as([node()]);
    bench.machine.set_host(Some(host(1)));
    bench.machine.restore(run);
    let said = bench.ends("a", exit(0));
    assert!(said.contains(&"assigned b#1 f1".to_owned()), "{said:?}");
    let said = bench.does(InputKind::NodeLost {
        node: heir,
        host: Some(host(1)),
        by: LostBy::Host,
        ended: Vec::new(),
    });
    let lost = said.iter().filter(|line| line.contains("error")).count();
    assert_eq!(lost, 2, "what the old key granted is lost with the host as well: {said:?}");
}
