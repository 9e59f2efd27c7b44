//! Concurrency groups of files and of the node, and priorities.

use std::collections::BTreeMap;

use super::bench::*;
use crate::dag::{Dag, Group, Task};
use crate::event::ExecutionMode;
use crate::scheduler::placement::NodeOffer;
use crate::scheduler::{GroupQuota, InputKind, KeeperState, Rejected, RoomShare};

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
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
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

const ROOM: &str = "!r:s";

fn declare(groups: &[(&str, Group)]) -> InputKind {
    let groups = groups.iter().map(|(name, group)| ((*name).to_owned(), *group)).collect();
    InputKind::RoomGroups { room: ROOM.to_owned(), groups }
}

fn share(share: RoomShare) -> InputKind {
    InputKind::RoomShare { room: ROOM.to_owned(), share }
}

fn quota(name: &str, places: u32, taken: u32) -> InputKind {
    let quotas = BTreeMap::from([(name.to_owned(), GroupQuota { places, taken, fair: 0 })]);
    share(RoomShare::Part { keeper: KeeperState::Answers, quotas })
}

/// A run in Matrix mode in [`ROOM`].
fn in_room(bench: &Bench, run: u128, dag: Dag) -> InputKind {
    let InputKind::Submit { run, mut facts, dag, start } = bench.submission(run, dag) else { panic!() };
    (facts.mode, facts.room, facts.max_parallel) = (ExecutionMode::Matrix, Some(ROOM.to_owned()), 10);
    InputKind::Submit { run, facts, dag, start }
}

/// A bench whose room has a node with free slots.
fn with_worker() -> Bench {
    let mut bench = Bench::new(100);
    let offer = NodeOffer { name: "w".to_owned(), slots: 50, ..NodeOffer::default() };
    let node = crate::ids::NodeDid("did:key:w".to_owned());
    bench.does(InputKind::NodeOffer { room: ROOM.to_owned(), node, offer: Some(offer) });
    bench
}

fn of_room(bench: &Bench) -> (u32, u32, u32) {
    let views = bench.machine.group_views();
    let view = views.iter().find(|view| view.room.as_deref() == Some(ROOM)).unwrap();
    assert_eq!((view.origin.as_str(), view.run), ("room", None));
    (view.active, view.limit, view.waiting)
}

#[test]
fn a_group_of_a_file_hides_one_of_the_room_and_that_one_of_the_node() {
    let mut bench = with_worker();
    let tasks = || vec![grouped("db", "a"), grouped("db", "b"), grouped("db", "c"), grouped("db", "d")];
    let refused = bench.refused(in_room(&bench, 1, dag(tasks()))).0;
    assert!(matches!(&refused, Rejected::Invalid(why) if why.contains("--room '!r:s'")), "{refused}");
    bench.does(set("db", Some(group(1))));
    bench.does(declare(&[("db", group(2))]));
    bench.does(share(RoomShare::Whole));
    let starts = |bench: &mut Bench, kind| granted(&bench.does(kind)).len();
    let file = with_groups(&[("db", group(3))], tasks());
    let submission = in_room(&bench, 1, file);
    assert_eq!(starts(&mut bench, submission), 3, "the file's");
    let submission = in_room(&bench, 2, dag(tasks()));
    assert_eq!(starts(&mut bench, submission), 2, "the room's");
    let submission = in_room(&bench, 3, dag(tasks()));
    assert_eq!(starts(&mut bench, submission), 0, "over all runs in the room");
    let submission = bench.submission(4, dag(tasks()));
    assert_eq!(starts(&mut bench, submission), 1, "the node's: this run is local");
    assert_eq!(of_room(&bench), (2, 2, 6));
    assert_eq!(starts(&mut bench, declare(&[("db", group(3))])), 1);
    // Without the room's group, its tasks are in the node's.
    assert_eq!(starts(&mut bench, declare(&[])), 0);
    let node = bench.machine.group_views().remove(0);
    assert_eq!((node.room, node.active, node.limit, node.waiting), (None, 4, 1, 8));
    assert_eq!(starts(&mut bench, declare(&[("db", group(4))])), 1);
    assert_eq!((of_room(&bench), bench.machine.group_views()[0].active), ((4, 4, 4), 1));
}

#[test]
fn a_run_that_goes_to_a_room_is_counted_there() {
    let mut bench = with_worker();
    bench.does(declare(&[("db", group(1))]));
    bench.does(share(RoomShare::Whole));
    let submission = in_room(&bench, 1, dag(vec![grouped("db", "a"), grouped("db", "b")]));
    assert_eq!(granted(&bench.does(submission)), ["a"]);
    bench.does(set("db", Some(group(1))));
    bench.submit(2, dag(vec![grouped("db", "c")]), 10);
    bench.submit(3, dag(vec![grouped("db", "d")]), 10);
    let go = InputKind::ModeChanged { run: run_id(3), mode: ExecutionMode::Matrix, room: Some(ROOM.into()) };
    assert!(granted(&bench.does(go)).is_empty());
    assert_eq!(of_room(&bench), (1, 1, 2));
    assert_eq!(granted(&bench.does(declare(&[("db", group(3))]))), ["b", "d"]);
    let only = InputKind::ModeChanged { run: run_id(3), mode: ExecutionMode::Local, room: None };
    assert!(matches!(bench.refused(only).0, Rejected::State(_)), "it has started in the room");
}

#[test]
fn nothing_starts_in_a_group_of_a_room_beyond_the_share_of_it() {
    let mut bench = with_worker();
    bench.does(declare(&[("db", group(3))]));
    let tasks = vec![grouped("db", "a"), grouped("db", "b"), grouped("db", "c"), task("e")];
    let submission = in_room(&bench, 1, dag(tasks));
    assert_eq!(granted(&bench.does(submission)), ["e"], "nobody gave anything");
    let why = |bench: &Bench| bench.machine.why(&run_id(1), &id("c"), bench.now).unwrap().because.join(" ");
    assert!(why(&bench).contains("does not answer"), "{}", why(&bench));
    assert_eq!(granted(&bench.does(quota("db", 1, 2))), ["a"]);
    let used = bench.machine.room_group_use(ROOM);
    assert_eq!((used["db"].taken(), used["db"].waiting), (1, 2));
    assert_eq!(of_room(&bench), (2, 3, 2));
    assert!(why(&bench).contains("2 of 3 are taken"), "{}", why(&bench));
    bench.does(quota("db", 1, 3));
    assert!(why(&bench).contains("of which 1 by runs of this coordinator"), "{}", why(&bench));
    assert!(granted(&bench.does(quota("gpu", 9, 9))).is_empty());
    assert_eq!(granted(&bench.ends("a", exit(0))), [""; 0], "the place is not this node's any more");
    assert_eq!(granted(&bench.does(quota("db", 9, 3))), ["b", "c"]);
    bench.does(share(RoomShare::Part { keeper: KeeperState::Refuses, quotas: BTreeMap::new() }));
    assert!(bench.machine.room_group_use(ROOM)["db"].taken() == 2, "what runs is counted");
    bench.restart();
    bench.does(declare(&[("db", group(3))]));
    assert_eq!(bench.machine.room_group_use(ROOM)["db"].taken(), 2, "after a restart, too");
}
