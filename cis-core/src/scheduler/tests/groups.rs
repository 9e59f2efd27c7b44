//! Concurrency groups of files and of the node, and priorities.

use std::collections::BTreeMap;

use super::bench::*;
use crate::dag::{Dag, Group, Task};
use crate::scheduler::{InputKind, Rejected};

fn grouped(group: &str, text: &str) -> Task {
    Task { group: Some(group.into()), ..task(text) }
}

fn group(limit: u32) -> Group {
    Group { limit, frees_when_blocked: false }
}

fn set(name: &str, group: Option<Group>) -> InputKind {
    InputKind::SetGroup { name: name.into(), group }
}

fn granted(said: &[String]) -> Vec<&str> {
    said.iter()
        .filter_map(|line| line.strip_prefix("assigned "))
        .filter_map(|l| l.split('#').next())
        .collect()
}

fn with_groups(groups: &[(&str, Group)], tasks: Vec<Task>) -> Dag {
    let groups = groups.iter().map(|(name, group)| ((*name).to_owned(), *group)).collect();
    Dag { groups, ..dag(tasks) }
}

#[test]
fn nothing_starts_above_a_limit_and_nobody_else_waits_for_it() {
    let tasks = vec![grouped("db", "a"), grouped("db", "b"), task("c"), grouped("db", "d")];
    let mut bench = Bench::new(100);
    let said = bench.submit(1, with_groups(&[("db", group(1))], tasks), 10);
    assert_eq!(said[2], "status a=queued(group db) b=queued(group db) c=queued d=queued(group db)");
    assert_eq!(granted(&said), ["a", "c"]);
    assert_eq!(granted(&bench.ends("c", exit(0))), [""; 0]);
    assert_eq!(granted(&bench.ends("a", exit(1))), ["b"]);
}

#[test]
fn higher_priority_first_then_the_order_of_the_file() {
    let with = |priority, name| Task { priority, ..task(name) };
    let tasks = vec![with(0, "a"), with(5, "b"), grouped("g", "c"), with(5, "d"), with(-1, "e")];
    let mut bench = Bench::new(100);
    let urgent = Task { priority: 9, ..grouped("g", "f") };
    let tasks = tasks.into_iter().chain([urgent]).collect();
    assert_eq!(granted(&bench.submit(1, with_groups(&[("g", group(1))], tasks), 1)), ["f"]);
    let mut order = Vec::new();
    for name in ["f", "b", "d", "a", "c"] {
        order.extend(granted(&bench.ends(name, exit(0))).into_iter().map(str::to_owned));
    }
    assert_eq!(order, ["b", "d", "a", "c", "e"]);
}

#[test]
fn a_blocked_session_keeps_its_place_unless_its_group_says_otherwise() {
    let frees = Group { limit: 1, frees_when_blocked: true };
    let tasks = vec![grouped("lock", "a"), grouped("lock", "b"), grouped("free", "c"), grouped("free", "d")];
    let mut bench = Bench::new(100);
    let tasks = tasks.into_iter().chain([grouped("free", "e")]).collect();
    let file = with_groups(&[("lock", group(1)), ("free", frees)], tasks);
    assert_eq!(granted(&bench.submit(1, file, 10)), ["a", "c"]);
    assert!(granted(&bench.blocks("a", 1)).is_empty(), "a group of limit 1 is a lock");
    assert_eq!(granted(&bench.blocks("c", 1)), ["d"]);
    assert_eq!(bench.unblocks("c", 1), ["recovered c 1"], "above the limit, and not refused");
    assert!(granted(&bench.ends("d", exit(0))).is_empty());
    assert_eq!(granted(&bench.ends("c", exit(0))), ["e"]);
}

#[test]
fn groups_of_the_node_are_shared_by_runs_and_counted_again_after_a_restart() {
    let mut bench = Bench::new(100);
    bench.does(set("gpu", Some(group(2))));
    let file = || dag(vec![grouped("gpu", "a"), grouped("gpu", "b"), task("c")]);
    assert_eq!(granted(&bench.submit(1, file(), 10)), ["a", "b", "c"]);
    assert_eq!(granted(&bench.submit(2, file(), 10)), ["c"]);
    let view = |bench: &Bench| {
        let view = bench.machine.group_views().remove(0);
        (view.limit, view.active, view.waiting, view.origin)
    };
    assert_eq!(view(&bench), (2, 2, 2, "command".into()));
    bench.restart();
    bench.machine.restore_groups(BTreeMap::from([("gpu".to_owned(), group(2))]));
    assert_eq!(view(&bench), (2, 2, 2, "command".into()));
    assert_eq!(granted(&bench.does(InputKind::Tick)), [""; 0]);
    assert_eq!(granted(&bench.ends("b", exit(0))), ["a"]);
    assert_eq!(bench.stored.last().unwrap().run, Some(run_id(2)));
    assert_eq!(granted(&bench.does(set("gpu", Some(group(3))))), ["b"]);
    assert_eq!(granted(&bench.does(set("gpu", Some(group(1))))), [""; 0], "nobody is stopped");
    assert_eq!(view(&bench), (1, 3, 0, "command".into()));
}

#[test]
fn groups_that_are_not_there() {
    let mut bench = Bench::new(100);
    let file = dag(vec![grouped("gpu", "a")]);
    let (kind, other) = (bench.submission(1, file.clone()), bench.submission(2, file));
    let (rejected, _) = bench.refused(kind.clone());
    assert!(
        matches!(&rejected, Rejected::Invalid(text) if text.contains("cis group set gpu --limit N")),
        "{rejected}"
    );
    for bad in [set("", Some(group(1))), set("a b", Some(group(1))), set("a", Some(group(0)))] {
        assert!(matches!(bench.refused(bad).0, Rejected::Invalid(_)));
    }
    assert!(matches!(bench.refused(set("gpu", None)).0, Rejected::NoGroup(_)));
    bench.machine.configure_groups(BTreeMap::from([("gpu".to_owned(), group(1))]));
    assert!(
        matches!(bench.refused(set("gpu", None)).0, Rejected::State(_)),
        "it stands in the configuration"
    );
    assert_eq!(granted(&bench.does(kind)), ["a"]);
    bench.does(set("gpu", Some(group(2))));
    assert_eq!(granted(&bench.does(other)), ["a"], "the command is above the configuration");
    bench.machine.configure_groups(BTreeMap::new());
    assert!(matches!(bench.refused(set("gpu", None)).0, Rejected::State(_)), "open runs have tasks in it");
    bench.does(InputKind::Cancel { run: run_id(1) });
    bench.ends("a", crate::event::AttemptOutcome::Cancelled);
    bench.machine.forget_ended();
    bench.dags.remove(&run_id(1));
    let attempt = bench.attempt_of(2, "a");
    bench.does(bench.result_of(attempt, exit(0)));
    bench.machine.forget_ended();
    bench.dags.remove(&run_id(2));
    assert_eq!(bench.does(set("gpu", None)), ["node group"]);
    assert!(bench.machine.group_views().is_empty());
}

#[test]
fn a_task_waits_while_its_group_is_gone() {
    let mut bench = Bench::new(100);
    bench.machine.configure_groups(BTreeMap::from([("gpu".to_owned(), group(1))]));
    bench.submit(1, dag(vec![grouped("gpu", "a"), grouped("gpu", "b")]), 10);
    bench.machine.configure_groups(BTreeMap::new());
    assert!(granted(&bench.ends("a", exit(0))).is_empty());
    let why = bench.machine.why(&run_id(1), &id("b"), bench.now).unwrap();
    assert!(why.because[0].contains("does not exist"), "{why:?}");
    assert_eq!(granted(&bench.does(set("gpu", Some(group(1))))), ["b"]);
}
