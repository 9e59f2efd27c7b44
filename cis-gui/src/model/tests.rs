use std::collections::BTreeSet;

use cis_core::api::{InboxItem, RunDetail};
use cis_core::event::{Event, EventBody, RunState, TaskState};
use cis_core::ids::RunId;
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

#[test]
fn what_happens_while_a_run_is_asked_for_is_in_it_once() {
    let mut model = Model::default();
    let listed = vec![detail(5, &["a", "b"]).run];
    let wants = apply(&mut model, Update::Listing { runs: listed, whole: true });
    assert_eq!(wants, [Want::Run(run_id())]);
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
fn a_run_that_is_not_known_is_asked_for_and_one_that_is_gone_is_forgotten() {
    let mut model = Model::default();
    assert_eq!(apply(&mut model, Update::Events(vec![started(1, "a")])), [Want::Run(run_id())]);
    apply(&mut model, Update::Run(Box::new(detail(1, &["a"]))));
    apply(&mut model, Update::RunGone(run_id()));
    assert!(model.run(run_id()).is_none() && model.runs.is_empty());
}

#[test]
fn the_end_of_a_run_is_folded_and_an_unknown_change_is_asked_for() {
    let mut model = Model::default();
    apply(&mut model, Update::Run(Box::new(detail(1, &["a"]))));
    let wants = apply(
        &mut model,
        Update::Events(vec![event(2, &json!({ "type": "cis.dag.run.completed", "body": {} }))]),
    );
    assert!(wants.is_empty(), "{wants:?}");
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
        "options": [], "since": 5, "confidence": 90, "layer": "kernel", "episode": 1, "hash": "h", "screen": "",
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
        "question": question, "options": [], "since": 5, "confidence": 90, "layer": "kernel", "episode": 1,
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
        ("build / paint waits for you", "Which colour?")
    );
    apply(&mut model, Update::Inbox(both()));
    assert_eq!(model.rings(), 0);
}
