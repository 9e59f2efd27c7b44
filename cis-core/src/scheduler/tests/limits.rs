//! max_parallel, max_sessions, prompts, and whose turn it is.

use super::bench::*;
use crate::event::{PromptKind, PromptRecord};
use crate::scheduler::{InputKind, Rejected};

fn numbered(count: u32) -> Vec<crate::dag::Task> {
    (1..=count).map(|n| task(&format!("t{n}"))).collect()
}

fn granted(said: &[String]) -> Vec<&str> {
    said.iter()
        .filter_map(|line| line.strip_prefix("assigned "))
        .filter_map(|l| l.split('#').next())
        .collect()
}

#[test]
fn no_more_than_max_parallel_start_and_the_file_gives_the_order() {
    let mut bench = Bench::new(100);
    assert_eq!(granted(&bench.submit(1, dag(numbered(12)), 2)), ["t1", "t2"]);
    assert_eq!(granted(&bench.ends("t2", exit(0))), ["t3"]);
    assert_eq!(granted(&bench.ends("t1", exit(0))), ["t4"]);
}

#[test]
fn a_blocked_session_frees_its_slot_and_always_gets_it_back() {
    let mut bench = Bench::new(100);
    bench.submit(1, dag(numbered(4)), 1);
    assert_eq!(bench.blocks("t1", 1), ["blocked t1 1", "assigned t2#1 f1", "> grant t2#1 f1"]);
    assert_eq!(bench.unblocks("t1", 1), ["recovered t1 1"], "above the limit, and not refused");
    assert!(granted(&bench.ends("t2", exit(0))).is_empty(), "t1 holds the slot");
    assert_eq!(granted(&bench.blocks("t1", 2)), ["t3"]);
    assert!(granted(&bench.ends("t1", exit(0))).is_empty(), "a blocked one held none");
    assert_eq!(granted(&bench.ends("t3", exit(0))), ["t4"]);
}

#[test]
fn prompts_are_counted_and_old_ones_are_stale() {
    let mut bench = Bench::started(vec![task("a")]);
    bench.blocks("a", 2);
    let attempt = bench.attempt("a");
    let session = bench.session("a");
    let asked = |episode| {
        let prompt = Box::new(PromptRecord::bare(session, episode, PromptKind::Password));
        InputKind::Blocked { attempt: attempt.clone(), prompt }
    };
    let over = |episode| InputKind::Unblocked { attempt: attempt.clone(), episode };
    for stale in [asked(1), asked(2), over(1), over(3)] {
        assert!(matches!(bench.refused(stale).0, Rejected::Stale(_)));
    }
    assert_eq!(bench.does(asked(3)), ["blocked a 3"], "a newer prompt, the end of the older one unseen");
    assert_eq!(bench.run().blocked_count(), 1);
    assert_eq!(bench.does(over(3)), ["recovered a 3"]);
    assert!(matches!(bench.refused(over(3)).0, Rejected::Stale(_)));
    bench.ends("a", exit(0));
    assert!(matches!(bench.refused(asked(4)).0, Rejected::Stale(_)), "its attempt is over");
}

#[test]
fn live_blocked_and_foreign_sessions_share_max_sessions() {
    let mut bench = Bench::new(3);
    bench.does(InputKind::ForeignSessions { count: 1 });
    assert_eq!(granted(&bench.submit(1, dag(numbered(9)), 9)), ["t1", "t2"]);
    assert!(granted(&bench.blocks("t1", 1)).is_empty(), "blocked ones count");
    assert!(!bench.machine.has_free_session());
    assert_eq!(granted(&bench.does(InputKind::ForeignSessions { count: 0 })), ["t3"]);
    assert!(granted(&bench.does(InputKind::ForeignSessions { count: u32::MAX })).is_empty());
    assert!(granted(&bench.ends("t2", exit(0))).is_empty());
    assert_eq!(granted(&bench.does(InputKind::ForeignSessions { count: 0 })), ["t4"]);
}

#[test]
fn runs_take_turns() {
    let mut bench = Bench::new(4);
    assert_eq!(granted(&bench.submit(1, dag(numbered(9)), 9)), ["t1", "t2", "t3", "t4"]);
    for n in [2, 3] {
        assert!(granted(&bench.submit(n, dag(numbered(9)), 9)).is_empty());
    }
    for (ended, run, next) in [("t1", 2, "t1"), ("t2", 3, "t1"), ("t3", 1, "t5"), ("t4", 2, "t2")] {
        assert_eq!(granted(&bench.ends(ended, exit(0))), [next]);
        assert_eq!(bench.stored.last().unwrap().run, Some(run_id(run)), "after {ended}");
    }
}

#[test]
fn a_pause_starts_nothing_and_stops_nothing() {
    let mut bench = Bench::new(100);
    bench.submit(1, dag(vec![task("a"), task("b: a")]), 1);
    assert_eq!(bench.does(InputKind::Pause { run: run_id(1) }), ["run paused"]);
    assert!(matches!(bench.refused(InputKind::Pause { run: run_id(1) }).0, Rejected::State(_)));
    let said = bench.ends("a", exit(0));
    assert_eq!(said, ["result a#1 succeeded: succeeded", "status b=queued", "> ack a#1 f1"]);
    assert_eq!(bench.does(InputKind::Resume { run: run_id(1) })[..2], ["run resumed", "assigned b#1 f1"]);
    assert!(matches!(bench.refused(InputKind::Resume { run: run_id(1) }).0, Rejected::State(_)));
    bench.does(InputKind::Pause { run: run_id(1) });
    assert_eq!(bench.ends("b", exit(0))[1], "run completed", "a paused run ends when nothing is left");
}

#[test]
fn what_is_kept_of_each_task_is_small() {
    let per_task = size_of::<crate::scheduler::TaskEntry>() + size_of::<crate::dag::Task>();
    assert!(per_task < 848, "{per_task} bytes before what they point to");
}
