//! Grants ahead of their turn: as many as the worker wishes, and taken back without a trace.

use super::bench::*;
use crate::api::{FromWorker, Refusal};
use crate::dag::{Group, Task};
use crate::event::EventBody;
use crate::scheduler::InputKind;

fn wish(count: u32) -> InputKind {
    InputKind::Worker(FromWorker::Ahead { run: run_id(1), count })
}

fn bench(tasks: u32, max_parallel: u32) -> Bench {
    let mut bench = Bench::new(100);
    bench.submit(1, dag((1..=tasks).map(|n| task(&format!("t{n}"))).collect()), max_parallel);
    bench
}

/// Tasks of all grants so far that were given ahead.
fn ahead(bench: &Bench) -> Vec<String> {
    let grants = bench.stored.iter().filter_map(|event| match &event.body {
        EventBody::TaskAssigned(grant) if grant.ahead => Some(grant.task.to_string()),
        _ => None,
    });
    grants.collect()
}

fn granted(said: &[String]) -> Vec<&str> {
    said.iter().filter_map(|line| line.strip_prefix("> grant ")).collect()
}

#[test]
fn grants_go_ahead_as_far_as_the_worker_wishes_and_say_so() {
    let mut bench = bench(9, 2);
    assert!(ahead(&bench).is_empty());
    assert_eq!(granted(&bench.does(wish(3))), ["t3#1 f1", "t4#1 f1", "t5#1 f1"]);
    assert_eq!(granted(&bench.ends("t1", exit(0))), ["t6#1 f1"], "one ends, one more goes ahead");
    assert_eq!(ahead(&bench), ["t3", "t4", "t5", "t6"]);
    assert!(granted(&bench.does(wish(0))).is_empty());
    for ended in ["t2", "t3", "t4"] {
        assert!(granted(&bench.ends(ended, exit(0))).is_empty(), "what was ahead takes the slots first");
    }
    assert_eq!(granted(&bench.ends("t5", exit(0))), ["t7#1 f1"]);
    assert_eq!(ahead(&bench).len(), 4, "in its turn, not ahead");
}

#[test]
fn what_is_taken_back_is_queued_as_if_it_had_never_been_granted() {
    let mut bench = bench(4, 1);
    bench.does(wish(2));
    bench.does(wish(0));
    assert_eq!(bench.refuses("t3", Refusal::Withdrawn { full: false }), ["status t3=queued(withdrawn)"]);
    bench.refuses("t2", Refusal::Withdrawn { full: false });
    assert_eq!(bench.states(), "t1=running t2=queued t3=queued t4=queued");
    assert_eq!(granted(&bench.ends("t1", exit(0))), ["t2#1 f2"], "the same try, under a new fence");
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
}

#[test]
fn a_paused_run_gives_back_what_is_ahead_and_takes_no_more() {
    let mut bench = bench(5, 1);
    bench.does(wish(2));
    let said = bench.does(InputKind::Pause { run: run_id(1) });
    assert!(said.contains(&"> withdraw".to_owned()), "{said:?}");
    assert!(granted(&bench.does(wish(2))).is_empty());
    bench.refuses("t2", Refusal::Withdrawn { full: false });
    // This one had begun already.
    bench.ends("t3", exit(0));
    bench.ends("t1", exit(0));
    assert_eq!(granted(&bench.does(InputKind::Resume { run: run_id(1) })), ["t2#1 f2"]);
}

#[test]
fn one_that_waits_can_be_cancelled() {
    let mut bench = bench(3, 1);
    bench.does(wish(1));
    let said = bench.does(InputKind::Cancel { run: run_id(1), now: false });
    assert!(said.iter().any(|line| line.starts_with("> cancel t2#1")), "{said:?}");
    bench.refuses("t2", Refusal::Withdrawn { full: false });
    bench.ends("t1", crate::event::AttemptOutcome::Cancelled);
    assert_eq!(bench.states(), "t1=cancelled t2=cancelled t3=cancelled");
}

fn takes_back(said: &[String]) -> bool {
    said.iter().any(|line| line == "> withdraw")
}

#[test]
fn a_pause_takes_back_whatever_the_worker_wishes_for_by_then() {
    let mut bench = bench(5, 1);
    bench.does(wish(2));
    // What was granted while this was on its way waits at the worker all the same.
    bench.does(wish(0));
    assert!(takes_back(&bench.does(InputKind::Pause { run: run_id(1) })));
}

#[test]
fn nothing_waits_at_the_worker_while_a_session_waits_for_a_human() {
    let mut bench = bench(7, 2);
    bench.does(wish(2));
    let said = bench.blocks("t1", 1);
    assert!(takes_back(&said) && granted(&said).is_empty(), "{said:?}");
    bench.refuses("t4", Refusal::Withdrawn { full: false });
    assert_eq!(
        granted(&bench.refuses("t3", Refusal::Withdrawn { full: false })),
        ["t3#1 f2"],
        "in the slot that is free"
    );
    assert!(granted(&bench.does(wish(3))).is_empty(), "its slot is gone when it goes on or ends");
    assert_eq!(granted(&bench.unblocks("t1", 1)), ["t4#1 f2", "t5#1 f1"], "three of two slots are taken");
}

#[test]
fn a_limit_that_is_lowered_takes_back_what_waits() {
    let mut bench = Bench::new(100);
    let set = |limit| InputKind::SetGroup {
        name: "db".into(),
        group: Some(Group { limit, frees_when_blocked: true }),
    };
    bench.does(set(4));
    let grouped = |name: &str| Task { group: Some("db".into()), ..task(name) };
    bench.submit(1, dag(["t1", "t2", "t3", "t4"].map(grouped).into()), 1);
    assert_eq!(granted(&bench.does(wish(2))), ["t2#1 f1", "t3#1 f1"]);
    assert!(!takes_back(&bench.does(set(3))), "as many as there are");
    assert!(takes_back(&bench.does(set(1))));
    bench.refuses("t3", Refusal::Withdrawn { full: false });
    assert!(granted(&bench.refuses("t2", Refusal::Withdrawn { full: false })).is_empty());
}
