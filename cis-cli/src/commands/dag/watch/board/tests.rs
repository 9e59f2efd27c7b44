//! The board from views and events.

use std::collections::BTreeMap;

use cis_client::EventRef;
use cis_core::event::{EventBody, Layer, PromptKind, TaskState};
use serde_json::{Value, json};

use super::tree::{Filter, Key, Row, Wanted, rows};
use super::*;

/// A run of tasks, `NAME` or `NAME: NEED NEED`, all pending, started at 0.
pub(in super::super) fn board(tasks: &[&str]) -> Board {
    let tasks: Vec<Value> = tasks.iter().map(|task| view(task)).collect();
    let counts = json!({ "pending": tasks.len() });
    let detail = json!({
        "run": {
            "id": RunId::from_parts(0, 7).to_string(), "dag": "ship", "state": "running", "mode": "local",
            "node": "did:key:z6Mk", "source": "ship.toml", "created_ms": 0, "started_ms": 0, "ended_ms": null, "counts": counts,
            "last_offset": 10,
        },
        "params": {}, "tasks": tasks,
    });
    Board::of(&serde_json::from_value(detail).unwrap(), 0)
}

fn view(task: &str) -> Value {
    let (name, needs) = task.split_once(": ").unwrap_or((task, ""));
    let needs: Vec<&str> = needs.split_whitespace().collect();
    json!({
        "id": name, "state": "pending", "needs": needs, "attempts": 0, "session": null, "started_ms": null,
        "ended_ms": null, "exit_code": null,
    })
}

/// The session of try 1 of the task at that place.
pub(in super::super) fn session(n: u128) -> SessionId {
    SessionId::from_parts(0, n)
}

/// Folds an event of that type and body at that time.
pub(in super::super) fn happens(board: &mut Board, at_ms: TimestampMs, type_name: &str, body: &Value) {
    let body = serde_json::value::RawValue::from_string(body.to_string()).unwrap();
    let event = EventRef { offset: board.offset + 1, type_name: type_name.into(), at_ms, body: &body };
    assert!(
        !type_name.starts_with("cis.dag.task") || EventBody::from_parts(type_name, body.get()).is_ok(),
        "the test's own event is none: {type_name} {body:?}"
    );
    board.fold(&event);
    assert_eq!(board.unread, None);
}

/// A task starts.
pub(in super::super) fn starts(board: &mut Board, at_ms: TimestampMs, task: &str, n: u128) {
    let grant = json!({
        "task": task, "attempt": 1, "fence": 1, "session": session(n).to_string(), "node": "did:key:z", "host": null,
    });
    happens(board, at_ms, "cis.dag.task.assigned", &grant);
    let started = json!({ "session": session(n).to_string(), "task": task, "pid": 7 });
    happens(board, at_ms, "cis.dag.session.started", &started);
}

/// Its only try ends with that exit code.
pub(in super::super) fn ends(board: &mut Board, at_ms: TimestampMs, task: &str, n: u128, code: i32) {
    let mut result = json!({
        "task": task, "attempt": 1, "fence": 1, "session": session(n).to_string(), "exit": { "code": code },
        "started_ms": 0, "ended_ms": at_ms, "counts": true,
        "outcome": "succeeded", "state": "succeeded",
    });
    if code != 0 {
        result["outcome"] = json!("failed");
        result["cause"] = json!({ "kind": "exit", "status": { "code": code } });
        result["state"] = json!("failed");
    }
    happens(board, at_ms, "cis.dag.task.result", &result);
}

/// Its session stops at a prompt with these options.
pub(in super::super) fn blocks(
    board: &mut Board,
    at_ms: TimestampMs,
    task: &str,
    n: u128,
    kind: PromptKind,
    (episode, question): (u32, &str),
    options: &[&str],
) {
    let mut prompt = PromptRecord::bare(session(n), episode, kind);
    prompt.layer = Layer::Screen;
    prompt.hash = format!("{episode:016x}");
    prompt.question = question.to_owned();
    prompt.options = options
        .iter()
        .enumerate()
        .map(|(place, label)| PromptOption {
            id: (place + 1).to_string(),
            label: (*label).to_owned(),
            meaning: None,
            keys: String::new(),
        })
        .collect();
    let body = EventBody::SessionBlocked {
        session: session(n),
        task: Some(task.parse().unwrap()),
        prompt: Box::new(prompt),
    };
    happens(board, at_ms, body.type_name(), &serde_json::from_str(&body.body_json().unwrap()).unwrap());
}

/// Tasks that change state at once.
pub(in super::super) fn statuses(board: &mut Board, at_ms: TimestampMs, changes: &Value) {
    happens(board, at_ms, "cis.dag.task.status", &json!({ "changes": changes }));
}

fn more<'a>(board: &'a Board, task: &str) -> &'a More {
    &board.more[board.model.place(task).unwrap()]
}

/// The lines as text: two spaces a level, `+` and counts where something is folded.
fn listed(board: &Board, filter: Filter, search: &str, opened: &[(Key, bool)]) -> Vec<String> {
    let opened: BTreeMap<Key, bool> = opened.iter().copied().collect();
    let by_hand = |key: Key| opened.get(&key).copied();
    let wanted = Wanted { filter, search, by_hand: &by_hand, selected: None };
    let line = |row: &Row| {
        let name = match row.key {
            Key::Task(index) => board.model.task(index).name.to_string(),
            Key::Rest(_) => "rest".to_owned(),
        };
        let hidden = row.folded.map(|counts| format!(" +{}", counts.iter().sum::<u32>())).unwrap_or_default();
        format!("{}{name}{hidden}", "  ".repeat(row.depth.into()))
    };
    rows(board, &wanted).iter().map(line).collect()
}

#[test]
fn tasks_stand_below_the_latest_of_their_needs() {
    let board =
        board(&["test: build lint", "plan", "build: compile", "lint: plan", "compile: plan", "alone"]);
    assert_eq!(
        listed(&board, Filter::All, "", &[]),
        ["plan", "  lint", "  compile", "    build", "      test", "alone"]
    );
    let plan = Key::Task(board.model.place("plan").unwrap());
    assert_eq!(listed(&board, Filter::All, "", &[(plan, false)]), ["plan +4", "alone"]);
    assert_eq!(listed(&board, Filter::All, "il", &[]), ["compile", "build"]);
}

#[test]
fn a_long_chain_and_a_circle_are_borne() {
    let mut tasks = vec!["t0".to_owned()];
    tasks.extend((1..20_000).map(|n| format!("t{n}: t{}", n - 1)));
    tasks.extend(["x: y".to_owned(), "y: x".to_owned()]);
    let names: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let board = board(&names);
    let lines = listed(&board, Filter::All, "", &[]);
    assert_eq!(lines.len(), 20_000);
    assert!(lines[19_999].ends_with(" t19999"));
}

#[test]
fn many_brothers_fold_but_for_those_that_matter() {
    let names: Vec<String> = (0..1000).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut board = board(&names);
    starts(&mut board, 1, "t500", 500);
    starts(&mut board, 1, "t7", 7);
    ends(&mut board, 2, "t7", 7, 3);
    assert_eq!(listed(&board, Filter::All, "", &[]), ["t7", "t500", "rest +998"]);
    assert_eq!(listed(&board, Filter::All, "", &[(Key::Rest(None), true)]).len(), 1001);
    assert_eq!(listed(&board, Filter::Active, "", &[]), ["t500"]);
    assert_eq!(listed(&board, Filter::Failed, "", &[]), ["t7"]);
    assert_eq!(listed(&board, Filter::Waiting, "", &[]), [""; 0]);
}

#[test]
fn a_list_becomes_items_below_it_that_are_folded() {
    let mut board = board(&["plan", "deploy: plan", "end: deploy"]);
    happens(&mut board, 5, "cis.dag.task.expanded", &json!({ "task": "deploy", "items": ["eu", "us"] }));
    assert_eq!(board.model.total(), 5);
    assert_eq!(listed(&board, Filter::All, "", &[]), ["plan", "  deploy +2", "    end"]);
    let deploy = Key::Task(board.model.place("deploy").unwrap());
    assert_eq!(
        listed(&board, Filter::All, "", &[(deploy, true)]),
        ["plan", "  deploy", "    deploy.1", "    deploy.2", "    end"]
    );
    starts(&mut board, 6, "deploy.2", 2);
    assert_eq!((more(&board, "deploy").items, board.model.running.len()), (2, 1));
    // The time of its items is theirs.
    assert_eq!(more(&board, "deploy").times.at(1000).queue_ms, 0);
    assert_eq!(more(&board, "deploy.2").times.at(1006).machine_ms, 1000);
}

#[test]
fn an_approval_waits_and_is_over_when_it_is_given() {
    let mut board = board(&["plan", "deploy: plan"]);
    let asks = json!([{
        "task": "deploy", "state": "queued", "queued": { "kind": "approval", "prompt": "Deploy?", "until_ms": 9000 },
    }]);
    statuses(&mut board, 1000, &asks);
    assert_eq!(board.waiting(), [1]);
    let asked = more(&board, "deploy").open().unwrap();
    assert_eq!((asked.kind, &*asked.question, asked.until_ms), (PromptKind::Approval, "Deploy?", Some(9000)));
    assert_eq!(more(&board, "deploy").times.at(3000).human_ms, 2000);
    happens(&mut board, 4000, "cis.dag.task.approved", &json!({ "task": "deploy", "by": "ada" }));
    assert!(board.waiting().is_empty());
    let split = more(&board, "deploy").times.at(4500);
    assert_eq!((split.human_ms, split.queue_ms), (3000, 500));
}

#[test]
fn a_prompt_waits_until_the_session_goes_on_and_an_answer_alone_does_not_end_it() {
    let mut board = board(&["a", "b"]);
    starts(&mut board, 100, "a", 1);
    starts(&mut board, 100, "b", 2);
    blocks(&mut board, 300, "b", 2, PromptKind::Permission, (1, "Run it?"), &["Yes", "No"]);
    blocks(&mut board, 200, "a", 1, PromptKind::Question, (1, "Name?"), &[]);
    assert_eq!(board.waiting(), [0, 1], "those that wait longest first");
    let item = InboxId::of_prompt(session(2), 1);
    let answer = json!({
        "session": session(2).to_string(), "task": "b", "item": item, "option": "1", "text": "Yes", "by": "ada",
        "bytes": 2, "input": cis_core::ids::InputId::from_parts(0, 1).to_string(),
    });
    happens(&mut board, 400, "cis.dag.session.answered", &answer);
    assert_eq!(more(&board, "b").open().unwrap().answered_by.as_deref(), Some("ada"));
    let over = json!({ "session": session(2).to_string(), "task": "b", "episode": 1 });
    happens(&mut board, 500, "cis.dag.session.recovered", &over);
    assert_eq!(board.waiting(), [0]);
    assert_eq!(more(&board, "b").times.at(600).human_ms, 200);
    // The same question again is another one; the end of the session ends it.
    blocks(&mut board, 700, "b", 2, PromptKind::Permission, (2, "Run it?"), &["Yes", "No"]);
    assert_eq!(more(&board, "b").open().unwrap().episode, Some(2));
    ends(&mut board, 800, "b", 2, 3);
    assert_eq!(board.waiting(), [0]);
    assert_eq!(board.model.task(1).state, TaskState::Failed);
    assert_eq!(more(&board, "b").exit_code, Some(3));
}

#[test]
fn an_ask_beside_the_work_stops_no_clock_and_they_are_bounded() {
    let mut board = board(&["a"]);
    starts(&mut board, 0, "a", 1);
    for n in 0..1000_u128 {
        let input = cis_core::ids::InputId::from_parts(0, n);
        let item = InboxId::of_ask(session(1), input);
        let ask = json!({
            "session": session(1).to_string(), "task": "a", "item": item, "ask": input.to_string(),
            "ask_type": "context", "text": format!("question {n}"), "urgency": "low", "thread": item, "waits": false,
        });
        happens(&mut board, 10, "cis.dag.session.asked", &ask);
    }
    assert_eq!(more(&board, "a").asked.len(), ASKED_MAX);
    assert!(!more(&board, "a").stopped());
    assert_eq!(more(&board, "a").times.at(1000).machine_ms, 1000);
    let first = more(&board, "a").open().unwrap().item.clone();
    let over = json!({ "session": session(1).to_string(), "task": "a", "item": first, "detail": "" });
    happens(&mut board, 20, "cis.dag.session.ask_withdrawn", &over);
    assert_eq!(more(&board, "a").asked.len(), ASKED_MAX - 1);
}

#[test]
fn how_far_a_session_is_holds_until_it_says_so_again() {
    let mut board = board(&["a"]);
    starts(&mut board, 0, "a", 1);
    let mut says = |kind: &str, text: &str, percent: Option<u8>| {
        let said = json!({
            "session": session(1).to_string(), "task": "a", "kind": kind, "text": text, "percent": percent,
        });
        happens(&mut board, 10, "cis.dag.session.said", &said);
        more(&board, "a").said.clone()
    };
    says("progress", "half", Some(50));
    let told = says("notice", "a note", None);
    assert_eq!(told, Some(Told { text: "a note".to_owned(), percent: Some(50) }));
    starts(&mut board, 20, "a", 2);
    assert_eq!(more(&board, "a").said, None, "another try is another session");
}

#[test]
fn the_inbox_tells_what_stood_there_before_and_events_that_come_twice_count_once() {
    let mut board = board(&["a"]);
    starts(&mut board, 100, "a", 1);
    let mut prompt = json!({
        "id": InboxId::of_prompt(session(1), 3), "run": board.run.to_string(), "task": "a",
        "session": session(1).to_string(), "kind": "question", "question": "Name?", "options": [], "since_ms": 150,
        "confidence": 90, "layer": "screen", "episode": 3, "hash": "aa", "screen": "", "urgency": "medium",
    });
    let item: InboxItem = serde_json::from_value(prompt.clone()).unwrap();
    board.take_inbox(vec![item.clone(), item]);
    assert_eq!(more(&board, "a").asked.len(), 1);
    assert_eq!(more(&board, "a").times.at(250).human_ms, 100);
    blocks(&mut board, 150, "a", 1, PromptKind::Question, (3, "Name?"), &[]);
    assert_eq!(more(&board, "a").asked.len(), 1);
    // Of another run, or of a task that there is not.
    prompt["run"] = json!(RunId::from_parts(0, 8).to_string());
    let other = serde_json::from_value(prompt.clone()).unwrap();
    prompt["task"] = json!("nobody");
    board.take_inbox(vec![other, serde_json::from_value(prompt).unwrap()]);
    assert_eq!(more(&board, "a").asked.len(), 1);
    let offset = board.offset;
    let body = serde_json::value::RawValue::from_string("{}".to_owned()).unwrap();
    let old = EventRef { offset, type_name: "cis.dag.run.paused".into(), at_ms: 0, body: &body };
    board.fold(&old);
    assert_eq!(board.model.state, cis_core::event::RunState::Running);
}

#[test]
fn a_retry_begins_anew() {
    let mut board = board(&["a"]);
    starts(&mut board, 0, "a", 1);
    ends(&mut board, 1000, "a", 1, 3);
    happens(&mut board, 1000, "cis.dag.run.failed", &json!({ "detail": "a failed" }));
    assert!(!board.ticks());
    assert_eq!(more(&board, "a").reason, "exit code 3");
    let again = json!({ "scope": "all", "changes": [{ "task": "a", "state": "queued", "queued": { "kind": "slot" } }] });
    happens(&mut board, 5000, "cis.dag.run.retried", &again);
    assert!(board.ticks());
    let split = more(&board, "a").times.at(5500);
    assert_eq!((split.queue_ms, split.machine_ms), (500, 0));
}
