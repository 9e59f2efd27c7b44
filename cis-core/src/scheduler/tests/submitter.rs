//! Tasks that need what only the node has where their run was submitted, after another node coordinated it.

use super::bench::*;
use crate::dag::{Foreach, Task};
use crate::event::{EventBody, ExecutionMode};
use crate::ids::NodeDid;
use crate::scheduler::placement::NodeOffer;
use crate::scheduler::{InputKind, Run};

/// A run in its second term; a node takes all of its tasks.
fn taken_over(tasks: Vec<Task>, submitted_here: bool) -> Bench {
    let mut bench = Bench::new(100);
    let InputKind::Submit { run, mut facts, dag, start } = bench.submission(1, dag(tasks)) else { panic!() };
    facts.mode = ExecutionMode::Matrix;
    facts.room = Some("!r:s".to_owned());
    (facts.epoch, facts.submitted_here) = (1, submitted_here);
    bench.does(InputKind::Submit { run, facts, dag, start });
    let offer = NodeOffer { name: "x".to_owned(), slots: 9, files: true, ..NodeOffer::default() };
    let node = NodeDid("did:key:x".to_owned());
    bench.does(InputKind::NodeOffer { room: "!r:s".to_owned(), node, offer: Some(offer) });
    bench
}

fn granted(bench: &Bench) -> Vec<String> {
    let grants = bench.stored.iter().filter_map(|event| match &event.body {
        EventBody::TaskAssigned(grant) => Some(grant.task.to_string()),
        _ => None,
    });
    grants.collect()
}

fn with_inputs(text: &str) -> Task {
    Task { inputs: vec!["src".to_owned()], ..task(text) }
}

fn index(run: &Run, task: &str) -> u32 {
    run.find(&id(task)).unwrap()
}

#[test]
fn what_needs_the_submitter_waits_on_other_nodes_and_holds_up_nobody() {
    let in_directory = Task { cwd: Some(".".to_owned()), ..task("b") };
    let mut bench = taken_over(vec![with_inputs("a"), in_directory, task("c"), task("d: c")], false);
    assert_eq!(granted(&bench), ["c"]);
    bench.ends("c", exit(0));
    assert_eq!(granted(&bench), ["c", "d"]);
    let why = bench.machine.why(&run_id(1), &id("a"), 0).unwrap();
    assert!(why.because[0].contains("of the node where the run was submitted"), "{why:?}");
    assert!(bench.run().awaits_submitter());
}

#[test]
fn the_submitter_gives_what_it_has_once_more() {
    let bench = taken_over(vec![with_inputs("a"), task("b")], true);
    assert_eq!(granted(&bench), ["a", "b"]);
    assert!(!bench.run().awaits_submitter());
}

/// The node that coordinated the run in between could have made it up.
#[test]
fn a_task_that_was_added_gets_nothing_of_the_submitter() {
    for submitted_here in [false, true] {
        let mut bench = taken_over(vec![task("a")], submitted_here);
        bench.comes_up("a", 7);
        bench.has_child("a", with_inputs("b"));
        assert!(!bench.run().has_submitters(index(bench.run(), "a_t1")));
        assert_eq!(granted(&bench), ["a", "a_t1"], "it does not wait for what will never come");
    }
}

#[test]
fn an_item_of_a_task_in_the_file_is_one_of_the_file() {
    let foreach = Some(Foreach::Items(vec!["x".into(), "y".into()]));
    let bench = taken_over(vec![Task { foreach, ..with_inputs("a") }], true);
    assert_eq!(granted(&bench), ["a.1", "a.2"]);
    assert!(["a.1", "a.2"].iter().all(|item| bench.run().has_submitters(index(bench.run(), item))));
}
