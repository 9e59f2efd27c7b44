//! Tasks that need what only the node has where their run was submitted, after another node coordinated it.

use super::bench::*;
use crate::dag::{Approval, Foreach, Task, Trigger};
use crate::event::{
    AttemptOutcome, EventBody, EventDraft, ExecutionMode, GrantRecord, QueueReason, ReadBack, TaskChange,
    TaskState,
};
use crate::fence;
use crate::ids::NodeDid;
use crate::scheduler::placement::NodeOffer;
use crate::scheduler::{InputKind, Run};

/// A run in its second term; a node takes all of its tasks.
fn taken_over(tasks: Vec<Task>, is_read_back: bool) -> Bench {
    let mut bench = Bench::new(100);
    let InputKind::Submit { run, mut facts, dag, start } = bench.submission(1, dag(tasks)) else { panic!() };
    facts.mode = ExecutionMode::Matrix;
    facts.room = Some("!r:s".to_owned());
    facts.read_back = is_read_back.then_some(ReadBack::Whole);
    bench.machine.set_paused(true);
    bench.does(InputKind::Submit { run, facts, dag, start });
    let body =
        EventBody::RunTakenOver { owner: node(), epoch: 1, cut: 3, forced: false, voted: false, lost: false };
    bench.stored.push(EventDraft { run: Some(run), at_ms: bench.now, actor: None, cause: None, body });
    bench.restart();
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
    for is_read_back in [false, true] {
        let mut bench = taken_over(vec![task("a")], is_read_back);
        bench.comes_up("a", 7);
        bench.has_child("a", with_inputs("b"));
        assert!(!bench.run().may_use_submitter(index(bench.run(), "a_t1")));
        assert_eq!(granted(&bench), ["a", "a_t1"], "it does not wait for what will never come");
    }
}

#[test]
fn an_item_of_a_task_in_the_file_is_one_of_the_file() {
    let foreach = Some(Foreach::Items(vec!["x".into(), "y".into()]));
    let bench = taken_over(vec![Task { foreach, ..with_inputs("a") }], true);
    assert_eq!(granted(&bench), ["a.1", "a.2"]);
    assert!(["a.1", "a.2"].iter().all(|item| bench.run().may_use_submitter(index(bench.run(), item))));
}

/// The run of `bench` in the term of another node, as the submitter reads it.
fn of_another(tasks: Vec<Task>) -> Run {
    let mut run = Bench::started(tasks).run().clone();
    run = {
        let mut facts = run.facts().clone();
        (facts.mode, facts.room) = (ExecutionMode::Matrix, Some("!r:s".to_owned()));
        facts.read_back = Some(ReadBack::Whole);
        Run::new(run.id(), &facts, run.dag().clone(), 0).unwrap()
    };
    run.apply(&EventBody::RunStarted {}, 0).unwrap();
    let owner = NodeDid("did:key:other".to_owned());
    run.apply(
        &EventBody::RunTakenOver { owner, epoch: 1, cut: 1, forced: false, voted: false, lost: false },
        0,
    )
    .unwrap();
    run
}

fn status(task: &str, state: TaskState, queued: Option<QueueReason>) -> EventBody {
    EventBody::TaskStatus { changes: vec![TaskChange { task: id(task), state, end: None, queued }] }
}

fn granted_by_another(task: &str) -> EventBody {
    EventBody::TaskAssigned(GrantRecord {
        task: id(task),
        attempt: 1,
        fence: fence::next(0, 1),
        session: session(1),
        host: None,
        node: NodeDid("did:key:other".to_owned()),
        lease_ms: None,
        ahead: false,
    })
}

#[test]
fn a_person_looks_at_what_another_node_decided_about_the_submitters_machine() {
    let at_home = |text: &str| Task { cwd: Some(".".to_owned()), ..task(text) };
    let approved = |text: &str| {
        let approval = Approval { prompt: "Go on?".to_owned(), timeout_ms: None, allowed: None };
        Task { approval: Some(approval), ..at_home(text) }
    };
    let queued = |task: &str| status(task, TaskState::Queued, Some(QueueReason::Slot));
    let told_of = |name: &str, outcome: AttemptOutcome| {
        let mut bench = Bench::started(vec![task(name)]);
        bench.ends(name, outcome);
        let mut results = bench.stored.iter().filter_map(|event| match &event.body {
            EventBody::TaskResult(result) => Some(result.clone()),
            _ => None,
        });
        let mut result = results.next().unwrap();
        (result.fence, result.session) = (fence::next(0, 1), session(1));
        EventBody::TaskResult(result)
    };
    let cases: Vec<(Vec<Task>, Vec<EventBody>, Option<&str>)> = vec![
        (vec![at_home("a")], vec![queued("a")], None),
        (vec![task("b"), at_home("a: b")], vec![queued("a")], Some("changed the state of `a`")),
        (vec![task("b"), task("a: b")], vec![queued("a")], None),
        (vec![approved("a")], vec![queued("a")], Some("changed the state of `a`")),
        (vec![at_home("a")], vec![queued("a"), granted_by_another("a")], Some("gave a node `a`")),
        (
            vec![task("b"), at_home("a: b")],
            vec![queued("b"), granted_by_another("b"), told_of("b", exit(0)), queued("a")],
            None,
        ),
        (
            vec![task("b"), at_home("a: b")],
            vec![queued("b"), granted_by_another("b"), told_of("b", exit(1)), queued("a")],
            Some("changed the state of `a`"),
        ),
        (vec![at_home("a")], vec![queued("a"), EventBody::RunPaused {}], Some("decided about the whole run")),
        (vec![task("a")], vec![queued("a"), granted_by_another("a"), told_of("a", exit(0))], None),
    ];
    for (tasks, events, doubt) in cases {
        let mut run = of_another(tasks);
        events.iter().for_each(|event| run.apply(event, 1).unwrap());
        assert_eq!(run.doubt(), doubt, "{events:?}");
    }
}

#[test]
fn nothing_waits_for_the_submitter_where_a_run_is_ended() {
    let tasks = vec![task("a"), Task { trigger: Trigger::Always, cwd: Some(".".to_owned()), ..task("b: a") }];
    let mut bench = taken_over(tasks, false);
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
    bench.ends("a", AttemptOutcome::Cancelled);
    assert_eq!(granted(&bench), ["a", "b"], "it fails there");
}
