use std::collections::BTreeSet;

use cis_core::api::{InboxItem, Problem, ProblemKind, RunDetail};
use cis_core::event::{Event, EventBody, RunState, TaskState};
use cis_core::ids::RunId;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn run_id() -> RunId {
    RunId::from_parts(1, 1)
}

pub(crate) fn detail(offset: u64, tasks: &[&str]) -> RunDetail {
    let tasks: Vec<Value> = tasks
        .iter()
        .map(|id| {
            json!({ "id": id, "state": "queued", "needs": [], "attempts": 0, "session": null,
                "started_ms": null, "ended_ms": null, "exit_code": null })
        })
        .collect();
    let view = json!({
        "run": { "id": run_id(), "dag": "build", "state": "running", "mode": "local", "node": "did:key:z6Mk",
            "source": "build.toml", "created_ms": 1, "started_ms": 1, "ended_ms": null,
            "counts": { "queued": tasks.len() }, "last_offset": offset },
        "params": {}, "tasks": tasks,
    });
    serde_json::from_value(view).unwrap()
}

fn event(offset: u64, body: &Value) -> Event {
    let (name, inner) = (&body["type"], &body["body"]);
    let text = json!({ "offset": offset, "id": "01JD0V3Z8K6T9W2B5N7Q4R1XEC", "run": run_id(), "v": 1,
        "type": name, "at_ms": 1_000 + offset, "body": inner });
    let event: Event = serde_json::from_value(text).unwrap();
    event.decode().unwrap();
    event
}

fn started(offset: u64, task: &str) -> Event {
    event(
        offset,
        &json!({ "type": "cis.dag.task.assigned", "body": { "task": task, "attempt": 1, "fence": 1,
            "session": "01JD0V3Z8K6T9W2B5N7Q4R1XED", "node": "did:key:z6Mk", "host": null } }),
    )
}

fn apply(model: &mut Model, update: Update) -> Vec<Want> {
    let mut wants = BTreeSet::new();
    model.apply(update, &mut wants);
    wants.into_iter().collect()
}

/// Of what is wanted, what is not asked for now and then anyway.
fn beside_the_node(wants: Vec<Want>) -> Vec<Want> {
    wants.into_iter().filter(|want| !matches!(want, Want::Node | Want::Groups | Want::Sessions)).collect()
}

#[test]
fn what_happens_while_a_run_is_asked_for_is_in_it_once() {
    let mut model = Model::default();
    let listed = vec![detail(5, &["a", "b"]).run];
    let wants = apply(&mut model, Update::Listing { runs: listed, whole: true });
    assert_eq!(wants, [Want::Run(run_id())]);
    model.taken(Want::Run(run_id()));
    apply(&mut model, Update::Events(vec![started(6, "a"), started(7, "b")]));
    // The answer was made between the two.
    let mut shown = detail(6, &["a", "b"]);
    shown.tasks[0].state = TaskState::Running;
    shown.run.counts = [(TaskState::Queued, 1), (TaskState::Running, 1)].into();
    apply(&mut model, Update::Run(Box::new(shown)));
    let entry = model.run(run_id()).unwrap();
    assert_eq!(entry.count(TaskState::Running), 2, "{:?}", entry.view().counts);
    assert_eq!(entry.count(TaskState::Queued), 0);
    assert_eq!(entry.view().last_offset, 7);
    // Events that the view has change nothing.
    apply(&mut model, Update::Events(vec![started(6, "a")]));
    assert_eq!(model.run(run_id()).unwrap().count(TaskState::Running), 2);
}

#[test]
fn what_happens_while_a_run_is_only_looked_at_is_not_lost() {
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(5, &["a", "b"]))));
    // Nothing of it was lacking: a person looks at it.
    model.taken(Want::Run(run_id()));
    apply(&mut model, Update::Events(vec![started(6, "a"), started(7, "b")]));
    apply(&mut model, Update::Run(Box::new(detail(5, &["a", "b"]))));
    assert_eq!(model.run(run_id()).unwrap().count(TaskState::Running), 2);
}

#[test]
fn what_is_older_than_the_view_does_not_take_its_place() {
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(5, &["a"]))));
    apply(&mut model, Update::Events(vec![started(6, "a")]));
    let old = || Update::Run(Box::new(detail(5, &["a"])));
    assert_eq!(apply(&mut model, old()), [Want::Run(run_id())]);
    assert_eq!(model.run(run_id()).unwrap().count(TaskState::Running), 1);
    // A node that insists has its reasons.
    for _ in 0..3 {
        model.taken(Want::Run(run_id()));
        apply(&mut model, old());
    }
    assert_eq!(model.run(run_id()).unwrap().view().last_offset, 5);
}

#[test]
fn what_a_run_that_comes_does_not_say_is_asked_for_again() {
    let mut model = Model::default();
    model.taken(Want::Run(run_id()));
    let expanded = json!({ "type": "cis.dag.task.expanded", "body": { "task": "a", "items": [1, 2] } });
    let wants = apply(&mut model, Update::Events(vec![event(6, &expanded)]));
    assert!(wants.is_empty(), "the answer may have it: {wants:?}");
    assert_eq!(apply(&mut model, Update::Run(Box::new(detail(5, &["a"])))), [Want::Run(run_id())]);
    model.taken(Want::Run(run_id()));
    assert!(apply(&mut model, Update::Run(Box::new(detail(6, &["a", "a.0", "a.1"])))).is_empty());
}

#[test]
fn a_run_that_is_refused_is_not_asked_for_ever() {
    let mut model = Model::default();
    let wants = apply(&mut model, Update::Events(vec![started(1, "a")]));
    assert_eq!(beside_the_node(wants), [Want::Run(run_id())]);
    model.taken(Want::Run(run_id()));
    let why = Problem::new(ProblemKind::Denied, "not yours");
    apply(&mut model, Update::RunRefused(run_id(), Box::new(why)));
    let wants = apply(&mut model, Update::Events(vec![started(2, "a")]));
    assert!(beside_the_node(wants).is_empty());
    assert!(
        model.gone(run_id()) && model.runs.refused(run_id()).is_some_and(|why| why.detail == "not yours")
    );
}

#[test]
fn events_that_are_kept_are_bounded_by_bytes() {
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(1, &["a"]))));
    model.taken(Want::Run(run_id()));
    let text = "x".repeat(1 << 20);
    for offset in 2..20 {
        let unknown = json!({ "type": "cis.dag.run.completed", "body": { "text": text } });
        apply(&mut model, Update::Events(vec![event(offset, &unknown)]));
    }
    assert!(model.runs.kept_bytes() <= 8 << 20);
    assert_eq!(apply(&mut model, Update::Run(Box::new(detail(5, &["a"])))), [Want::Run(run_id())]);
    assert_eq!(model.run(run_id()).unwrap().view().last_offset, 19, "the view has more than what came");
}

/// What happens at the node and on the way from it.
#[derive(Debug, Clone)]
enum Step {
    /// Something happens to a task: it is assigned, or says too little.
    Happens(usize, bool),
    /// So many events arrive.
    Arrive(usize),
    /// Somebody looks at the run.
    Look,
    /// The loader asks for what is wanted.
    Take,
    /// The node answers.
    Answer,
    /// The answer arrives.
    Come,
    /// It does not.
    Miss,
    /// The line was lost, and everything is loaded anew.
    Anew,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_usize, prop::bool::weighted(0.2)).prop_map(|(task, ask)| Step::Happens(task, ask)),
        3 => (1..4_usize).prop_map(Step::Arrive),
        1 => Just(Step::Look),
        2 => Just(Step::Take),
        2 => Just(Step::Answer),
        2 => Just(Step::Come),
        1 => Just(Step::Miss),
        1 => Just(Step::Anew),
    ];
    prop::collection::vec(step, 0..60)
}

const TASKS: [&str; 4] = ["a", "b", "c", "d"];

/// The run as the node shows it after so many of its events.
fn node_shows(events: &[Event]) -> RunDetail {
    let mut shown = detail(events.last().map_or(1, |event| event.offset), &TASKS);
    for event in events {
        if let Ok(EventBody::TaskAssigned(grant)) = event.decode() {
            let at = TASKS.iter().position(|task| *task == grant.task.as_str()).unwrap();
            shown.tasks[at].state = TaskState::Running;
        } else {
            // What no event says by itself.
            shown.params.insert("expanded".to_owned(), event.offset.into());
        }
    }
    let running = shown.tasks.iter().filter(|task| task.state == TaskState::Running).count() as u32;
    shown.run.counts = [(TaskState::Queued, 4 - running), (TaskState::Running, running)].into();
    shown.run.counts.retain(|_, n| *n > 0);
    shown
}

proptest! {
    #[test]
    fn however_it_comes_in_the_end_the_model_has_all(steps in steps()) {
        let mut model = Model::default();
        let mut wants = BTreeSet::new();
        let mut events: Vec<Event> = Vec::new();
        let mut arrived = 0;
        // What the loader has asked for and the node has not answered; what it answered.
        let (mut out, mut answer) = (false, None);
        model.apply(Update::Listing { runs: vec![node_shows(&[]).run], whole: true }, &mut wants);
        let settle = (0..20).flat_map(|_| [Step::Arrive(100), Step::Take, Step::Answer, Step::Come]);
        for step in steps.into_iter().chain(settle) {
            match step {
                Step::Happens(task, ask) => {
                    let offset = 2 + events.len() as u64;
                    let expanded =
                        json!({ "type": "cis.dag.task.expanded", "body": { "task": TASKS[task], "items": [] } });
                    events.push(if ask { event(offset, &expanded) } else { started(offset, TASKS[task]) });
                }
                Step::Arrive(n) => {
                    let to = (arrived + n).min(events.len());
                    model.apply(Update::Events(events[arrived..to].to_vec()), &mut wants);
                    arrived = to;
                }
                Step::Look => {
                    wants.insert(Want::Run(run_id()));
                }
                Step::Take => {
                    if !out && answer.is_none() && wants.remove(&Want::Run(run_id())) {
                        model.taken(Want::Run(run_id()));
                        out = true;
                    }
                }
                Step::Answer => {
                    if std::mem::take(&mut out) {
                        answer = Some(node_shows(&events));
                    }
                }
                Step::Come => {
                    if let Some(detail) = answer.take() {
                        model.apply(Update::Run(Box::new(detail)), &mut wants);
                    }
                }
                Step::Miss => {
                    if std::mem::take(&mut out) || answer.take().is_some() {
                        model.missed(Want::Run(run_id()));
                        wants.insert(Want::Run(run_id()));
                    }
                }
                Step::Anew => {
                    // What had not arrived never does.
                    arrived = events.len();
                    let runs = vec![node_shows(&events).run];
                    model.apply(Update::Listing { runs, whole: true }, &mut wants);
                }
            }
        }
        let (entry, all) = (model.run(run_id()).unwrap(), node_shows(&events));
        prop_assert_eq!(entry.view().last_offset, all.run.last_offset);
        prop_assert_eq!(&entry.view().counts, &all.run.counts);
        let states = |tasks: &[cis_core::api::TaskView]| tasks.iter().map(|task| task.state).collect::<Vec<_>>();
        prop_assert_eq!(states(entry.live().unwrap().tasks()), states(&all.tasks));
        prop_assert_eq!(&entry.detail().unwrap().params, &all.params);
        prop_assert!(!wants.contains(&Want::Run(run_id())), "it comes to rest");
    }
}

#[test]
fn a_run_that_is_not_known_is_asked_for_and_one_that_is_gone_is_forgotten() {
    let mut model = Model::default();
    let wants = apply(&mut model, Update::Events(vec![started(1, "a")]));
    assert_eq!(beside_the_node(wants), [Want::Run(run_id())]);
    apply(&mut model, Update::Run(Box::new(detail(1, &["a"]))));
    apply(&mut model, Update::RunGone(run_id()));
    assert!(model.run(run_id()).is_none() && model.runs.is_empty());
    assert!(model.gone(run_id()), "nobody loads it");
    apply(&mut model, Update::Run(Box::new(detail(1, &["a"]))));
    assert!(!model.gone(run_id()));
}

#[test]
fn the_end_of_a_run_is_folded_and_an_unknown_change_is_asked_for() {
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(1, &["a"]))));
    let wants = apply(
        &mut model,
        Update::Events(vec![event(2, &json!({ "type": "cis.dag.run.completed", "body": {} }))]),
    );
    assert_eq!(wants, [Want::Node], "it has an open run less");
    let view = model.run(run_id()).unwrap().view();
    assert_eq!((view.state, view.ended_ms), (RunState::Succeeded, Some(1_002)));
    let expanded = json!({ "type": "cis.dag.task.expanded", "body": { "task": "a", "items": [1, 2] } });
    assert_eq!(apply(&mut model, Update::Events(vec![event(3, &expanded)])), [Want::Run(run_id())]);
}

#[test]
fn what_is_answered_elsewhere_is_gone_at_once() {
    let mut model = Model::default();
    let session = "01JD0V3Z8K6T9W2B5N7Q4R1XED";
    let prompt = cis_core::ids::InboxId::of_prompt(session.parse().unwrap(), 1);
    let item = json!({
        "id": prompt, "run": run_id(), "task": "a", "session": session, "kind": "question", "question": "Colour?",
        "options": [], "since_ms": 5, "confidence": 90, "layer": "kernel", "episode": 1, "hash": "h", "screen": "",
        "urgency": "medium",
    });
    let item: InboxItem = serde_json::from_value(item).unwrap();
    apply(&mut model, Update::Inbox(vec![item]));
    assert_eq!(model.inbox.len(), 1);
    let recovered = json!({ "type": "cis.dag.session.recovered",
        "body": { "session": session, "task": "a", "episode": 1 } });
    let recovered = event(9, &recovered);
    assert!(matches!(recovered.decode(), Ok(EventBody::SessionRecovered { .. })));
    let wants = apply(&mut model, Update::Events(vec![recovered]));
    assert!(model.inbox.is_empty());
    assert!(wants.contains(&Want::Inbox));
}

#[test]
fn a_run_whose_files_were_cleaned_away_is_still_known() {
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(1, &["a"]))));
    let cleaned =
        json!({ "type": "cis.dag.node.cleaned", "body": { "rule": "by hand", "runs": [run_id()] } });
    apply(&mut model, Update::Events(vec![event(2, &cleaned)]));
    assert!(model.run(run_id()).is_some());
}

#[test]
fn a_store_that_was_restored_to_an_earlier_state_is_asked_for_its_runs() {
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(9, &["a"]))));
    let listed = vec![detail(5, &["a"]).run];
    assert_eq!(apply(&mut model, Update::Listing { runs: listed, whole: true }), [Want::Run(run_id())]);
}

#[test]
fn notes_and_events_are_bounded() {
    let mut model = Model::default();
    for n in 0..200 {
        let note = Note { at_ms: n, tone: Tone::Good, text: String::new(), hint: None };
        apply(&mut model, Update::Note(note));
    }
    assert_eq!((model.notes.len(), model.notes[0].at_ms), (NOTES_MAX, 150));
    for n in 0..30_000 {
        apply(&mut model, Update::Events(vec![started(n, "a")]));
    }
    assert_eq!((model.events.lines().len(), model.events.seen()), (20_000, 30_000));
}

#[test]
fn a_drawing_stays_while_tasks_need_what_they_did() {
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(1, &["a", "b"]))));
    let (structure, version) = model.run(run_id()).map(|entry| (entry.structure(), entry.version())).unwrap();
    apply(&mut model, Update::Events(vec![started(2, "b")]));
    let entry = model.run(run_id()).unwrap();
    assert_eq!(entry.structure(), structure);
    assert!(entry.version() > version);
    assert_eq!(entry.stands()[1].state, TaskState::Running);
    assert_eq!(entry.stands()[0].state, TaskState::Queued);
    apply(&mut model, Update::Run(Box::new(detail(3, &["a", "b"]))));
    assert_eq!(model.run(run_id()).unwrap().structure(), structure, "asked for again, it is the same");
    apply(&mut model, Update::Run(Box::new(detail(4, &["a", "b", "c"]))));
    let entry = model.run(run_id()).unwrap();
    assert!(entry.structure() > structure);
    assert_eq!((entry.shape().len(), entry.stands().len()), (3, 3));
}

fn item(id: &str, question: &str) -> InboxItem {
    serde_json::from_value(json!({
        "id": id, "run": run_id(), "task": "paint", "session": "01JD0V3Z8K6T9W2B5N7Q4R1XED", "kind": "question",
        "question": question, "options": [], "since_ms": 5, "confidence": 90, "layer": "kernel", "episode": 1,
        "hash": "h1", "screen": "", "urgency": "medium",
    }))
    .unwrap()
}

#[test]
fn what_begins_to_wait_rings_once_and_what_waited_before_does_not() {
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(1, &["paint"]))));
    apply(&mut model, Update::Inbox(vec![item("abcdef", "Which?")]));
    assert!(model.take_rings().is_empty(), "it stands in the window that was just opened");
    let both = || vec![item("abcdef", "Which?"), item("bcdefa", "Which\ncolour?")];
    apply(&mut model, Update::Inbox(both()));
    let rings = model.take_rings();
    assert_eq!(rings.len(), 1);
    assert_eq!(
        (rings[0].title.as_str(), rings[0].text.as_str()),
        ("build 000001 / paint waits for you", "Which colour?")
    );
    apply(&mut model, Update::Inbox(both()));
    assert_eq!(model.rings(), 0);
}

#[test]
fn what_is_over_is_not_put_back_by_a_list_from_before() {
    let mut model = Model::default();
    apply(&mut model, Update::Inbox(Vec::new()));
    model.taken(Want::Inbox);
    let ended = json!({ "type": "cis.dag.session.ended",
        "body": { "session": "01JD0V3Z8K6T9W2B5N7Q4R1XED", "exit": null, "detail": null, "ended_ms": 9,
            "log_bytes": 0 } });
    let ended = event(9, &ended);
    assert!(matches!(ended.decode(), Ok(EventBody::SessionEnded { .. })));
    apply(&mut model, Update::Events(vec![ended]));
    let wants = apply(&mut model, Update::Inbox(vec![item("abcdef", "Which?")]));
    assert_eq!((model.inbox.len(), model.rings()), (0, 0), "nobody is called for it");
    assert_eq!(wants, [Want::Inbox]);
    // The node says so after that, too: then it waits.
    model.taken(Want::Inbox);
    assert!(apply(&mut model, Update::Inbox(vec![item("abcdef", "Which?")])).is_empty());
    assert_eq!((model.inbox.len(), model.rings()), (1, 1));
}

#[test]
fn what_takes_something_out_of_the_inbox_asks_for_it() {
    let over = json!({ "type": "cis.dag.run.completed", "body": {} });
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(1, &["paint"]))));
    assert!(!apply(&mut model, Update::Events(vec![event(2, &over)])).contains(&Want::Inbox));
    apply(&mut model, Update::Inbox(vec![item("abcdef", "Which?")]));
    model.taken(Want::Inbox);
    apply(&mut model, Update::Inbox(vec![item("abcdef", "Which?")]));
    assert!(apply(&mut model, Update::Events(vec![event(3, &over)])).contains(&Want::Inbox));
    assert!(model.inbox.is_empty());
}

#[test]
fn many_that_begin_to_wait_at_once_are_told_of_in_one_go() {
    let mut model = Model::default();
    apply(&mut model, Update::Inbox(Vec::new()));
    // Were each looked for among all, this would take minutes.
    let many = (0..20_000).map(|n| item(&format!("a{n:05}"), "Which?")).collect();
    apply(&mut model, Update::Inbox(many));
    assert_eq!(model.rings(), 20_000);
}

#[test]
fn open_runs_that_are_too_old_to_be_listed_are_asked_for() {
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(5, &["a"]))));
    let part = || Update::Listing { runs: Vec::new(), whole: false };
    assert_eq!(apply(&mut model, part()), [Want::Run(run_id())]);
    model.taken(Want::Run(run_id()));
    let mut over = detail(9, &["a"]);
    over.run.state = RunState::Succeeded;
    apply(&mut model, Update::Run(Box::new(over)));
    assert!(apply(&mut model, part()).is_empty(), "what is over is not");
}

#[test]
fn of_a_run_that_has_ended_tasks_are_kept_while_somebody_looks() {
    let over = |offset| event(offset, &json!({ "type": "cis.dag.run.completed", "body": {} }));
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(1, &["a"]))));
    model.look_at(Some(run_id()));
    apply(&mut model, Update::Events(vec![over(2)]));
    assert!(model.run(run_id()).unwrap().task("a").is_some());
    model.look_at(None);
    let entry = model.run(run_id()).unwrap();
    assert!(entry.live().is_none() && entry.stands().is_empty());
    assert_eq!(
        (entry.view().state, entry.view().last_offset, entry.progress()),
        (RunState::Succeeded, 2, (0, 1))
    );
    // It is retried.
    assert_eq!(
        beside_the_node(apply(&mut model, Update::Events(vec![started(3, "a")]))),
        [Want::Run(run_id())]
    );
    model.taken(Want::Run(run_id()));
    apply(&mut model, Update::Run(Box::new(detail(3, &["a"]))));
    assert!(model.run(run_id()).unwrap().task("a").is_some(), "it is open");
    // It ends while it is asked for: an answer from before that does not take the place of what is known.
    model.taken(Want::Run(run_id()));
    apply(&mut model, Update::Events(vec![over(4)]));
    apply(&mut model, Update::Run(Box::new(detail(3, &["a"]))));
    let entry = model.run(run_id()).unwrap();
    assert_eq!((entry.view().state, entry.live().is_none()), (RunState::Succeeded, true));
    // Somebody looks at it: the answer is kept.
    model.look_at(Some(run_id()));
    model.taken(Want::Run(run_id()));
    let mut shown = detail(4, &["a"]);
    shown.run.state = RunState::Succeeded;
    apply(&mut model, Update::Run(Box::new(shown)));
    assert!(model.run(run_id()).unwrap().task("a").is_some());
}

#[test]
fn of_runs_that_have_ended_the_newest_are_kept() {
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(1, &["a"]))));
    let ended = |n: u64| RunId::from_parts(1 + n, 1);
    let view = |n: u64| {
        let mut over = detail(1, &["a"]);
        (over.run.id, over.run.state) = (ended(n), RunState::Succeeded);
        over
    };
    model.look_at(Some(ended(1)));
    for n in 1..=1_100 {
        apply(&mut model, Update::Run(Box::new(view(n))));
    }
    assert_eq!(
        model.runs.len(),
        1_002,
        "an open one, and the one that somebody looks at, are no part of them"
    );
    assert!(model.run(run_id()).is_some() && model.run(ended(1)).is_some());
    assert!(model.run(ended(100)).is_none() && model.run(ended(101)).is_some());
    let runs = (1..=500).map(|n| view(n).run).collect();
    apply(&mut model, Update::Listing { runs, whole: false });
    assert_eq!(model.runs.len(), 1_002);
}

#[test]
fn the_node_is_asked_how_it_stands_when_work_begins_and_ends() {
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(1, &["a"]))));
    assert_eq!(apply(&mut model, Update::Events(vec![started(2, "a")])), [Want::Node, Want::Groups]);
    let begun = json!({ "type": "cis.dag.session.started",
        "body": { "session": "01JD0V3Z8K6T9W2B5N7Q4R1XED", "task": "a", "pid": 7 } });
    assert_eq!(apply(&mut model, Update::Events(vec![event(3, &begun)])), [Want::Sessions, Want::Node]);
}

#[test]
fn nothing_is_kept_for_a_run_that_does_not_come() {
    let mut model = Model::default();
    model.taken(Want::Run(run_id()));
    apply(&mut model, Update::Events(vec![started(2, "a")]));
    assert!(model.runs.kept_bytes() > 0);
    model.missed(Want::Run(run_id()));
    apply(&mut model, Update::Events(vec![started(3, "a")]));
    assert_eq!(model.runs.kept_bytes(), 0);
    // What was not kept is asked for, should an older answer come after all.
    assert_eq!(apply(&mut model, Update::Run(Box::new(detail(2, &["a"])))), [Want::Run(run_id())]);
}

#[test]
fn an_ended_session_is_not_live_before_the_next_listing() {
    let mut model = Model::default();
    let session = "01JD0V3Z8K6T9W2B5N7Q4R1XED";
    let view = json!({ "id": session, "run": null, "task": null, "attempt": null, "name": null, "state": "ready",
        "pid": 7, "tty": true, "size": null, "command": "bash", "created_ms": 1, "ended_ms": null, "exit_code": null });
    apply(&mut model, Update::Sessions(vec![serde_json::from_value(view).unwrap()]));
    assert_eq!(model.sessions.live().count(), 1);
    let ended = event(
        9,
        &json!({ "type": "cis.dag.session.ended", "body": { "session": session, "exit": null, "detail": null,
            "ended_ms": 5, "log_bytes": 0 } }),
    );
    let wants = apply(&mut model, Update::Events(vec![ended]));
    assert!(wants.contains(&Want::Sessions), "the listing has its exit code: {wants:?}");
    assert_eq!((model.sessions.live().count(), model.sessions.all().count()), (0, 1));
}
