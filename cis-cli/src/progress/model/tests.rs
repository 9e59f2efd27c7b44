//! The fold against events as the node writes them.

use cis_core::event::{
    AttemptOutcome, EventBody, ExitStatus, FailureCause, GrantRecord, PromptKind, PromptRecord, RetryScope,
    TaskChange,
};
use cis_core::ids::{NodeDid, RunId, SessionId, TaskId};
use serde_json::value::RawValue;

use super::*;
use crate::progress::{draw, lines};

/// A run whose events are told one by one, a second apart.
struct Story {
    model: Model,
    at_ms: TimestampMs,
    changes: Vec<Change>,
}

impl Story {
    fn new(tasks: u32) -> Self {
        let facts = serde_json::json!({
            "dag": "ship", "source": "f", "spec": "0", "tasks": tasks, "params": {}, "max_parallel": 2,
            "workdir": "/", "base_env": null, "mode": "local", "owner": "did:key:z", "room": null, "parent": null,
            "epoch": 0,
        });
        let mut story = Self { model: Model::new(""), at_ms: 0, changes: Vec::new() };
        story.raw("cis.dag.run.created", &facts.to_string());
        story.tell(&EventBody::RunStarted {});
        story
    }

    fn raw(&mut self, type_name: &str, body: &str) {
        self.at_ms += 1000;
        let body: &RawValue = serde_json::from_str(body).unwrap();
        let event = EventRef { offset: 1, type_name: type_name.into(), at_ms: self.at_ms, body };
        self.changes.clear();
        self.model.fold(&event, &mut self.changes).unwrap();
    }

    fn tell(&mut self, body: &EventBody) {
        self.raw(body.type_name(), &body.body_json().unwrap());
    }

    fn grant(&mut self, name: &str, attempt: u32) {
        self.tell(&EventBody::TaskAssigned(GrantRecord {
            task: task(name),
            attempt,
            fence: 1,
            session: SessionId::from_parts(0, 1),
            node: NodeDid("did:key:z".into()),
            host: None,
            lease_ms: None,
            ahead: false,
        }));
    }

    fn result(&mut self, name: &str, state: TaskState, end: Option<EndReason>, queued: Option<QueueReason>) {
        let outcome = match state {
            TaskState::Succeeded => AttemptOutcome::Succeeded,
            TaskState::Cancelled => AttemptOutcome::Cancelled,
            _ => AttemptOutcome::Failed { cause: FailureCause::Exit { status: ExitStatus::Code(1) } },
        };
        let ended_ms = self.at_ms + 1000;
        self.tell(&EventBody::TaskResult(Box::new(AttemptResult {
            task: task(name),
            attempt: 1,
            fence: 1,
            session: SessionId::from_parts(0, 1),
            outcome,
            exit: None,
            started_ms: Some(ended_ms - 400),
            ended_ms,
            outputs: BTreeMap::new(),
            artifacts: Vec::new(),
            files: None,
            log: None,
            cached: None,
            not_cached: None,
            cache_key: None,
            log_bytes: 10,
            lost_output: None,
            counts: true,
            state,
            end,
            queued,
        })));
    }

    fn status(&mut self, name: &str, state: TaskState, end: Option<EndReason>) {
        let change = TaskChange { task: task(name), state, end, queued: None };
        self.tell(&EventBody::TaskStatus { changes: vec![change] });
    }

    fn asks(&mut self, name: &str) {
        let queued = QueueReason::Approval { prompt: "Go\x1b[2J?".into(), until_ms: None };
        let (task, state, end) = (task(name), TaskState::Queued, None);
        self.tell(&EventBody::TaskStatus {
            changes: vec![TaskChange { task, state, end, queued: Some(queued) }],
        });
    }

    fn counts(&self) -> String {
        let with_tasks = TaskState::ALL.iter().filter(|state| self.model.count(**state) > 0);
        let parts: Vec<String> =
            with_tasks.map(|state| format!("{} {state}", self.model.count(*state))).collect();
        parts.join(", ")
    }

    fn said(&self, quiet: bool) -> String {
        let said: String =
            self.changes.iter().filter_map(|change| lines::change(&self.model, change, quiet)).collect();
        anstream::adapter::strip_str(&said).to_string()
    }

    fn drawn(&self, cols: u16, rows: u16, away: bool) -> String {
        let size = cis_core::api::TermSize { cols, rows };
        let text = draw::frame(&self.model, self.at_ms, size, away).join("\n");
        anstream::adapter::strip_str(&text).to_string()
    }

    fn summary(&self) -> String {
        let text = lines::summary(&self.model, RunId::from_parts(0, 77), self.at_ms);
        anstream::adapter::strip_str(&text).to_string()
    }
}

fn task(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

#[test]
fn a_run_from_its_first_event_to_its_last() {
    let mut story = Story::new(4);
    assert_eq!(story.counts(), "4 pending");
    story.status("build", TaskState::Queued, None);
    story.grant("build", 1);
    assert_eq!(story.counts(), "3 pending, 1 running");
    assert_eq!(story.model.running, [0]);
    story.result("build", TaskState::Succeeded, None, None);
    assert_eq!(story.said(false), " succeeded build (0.4s)\n");
    assert_eq!(story.said(true), "", "drawn runs do not list successes");
    story.grant("test", 1);
    let retry = QueueReason::RetryAt { at_ms: 9, after: "exit code 1".into() };
    story.result("test", TaskState::Queued, None, Some(retry));
    assert_eq!(story.said(true), "     retry test (0.4s): exit code 1; tried again\n");
    assert!(story.model.failures.is_empty(), "a try that is repeated is no failure");
    story.grant("test", 2);
    story.result("test", TaskState::Failed, Some(EndReason::Attempt { detail: "exit code 1".into() }), None);
    assert_eq!(story.said(true), "    failed test (0.4s): exit code 1\n");
    story.status("deploy", TaskState::Cancelled, Some(EndReason::NeedFailed { need: "test".into() }));
    assert_eq!(story.said(false), " cancelled deploy needs `test`, which did not succeed\n");
    story.status("note", TaskState::Completed, Some(EndReason::skipped("x".into())));
    assert_eq!(story.said(true), "");
    story.tell(&EventBody::RunFailed { detail: "`test` failed: exit code 1".into() });
    assert_eq!(story.changes, [Change::RunEnded]);
    assert_eq!((story.model.state, story.model.done()), (RunState::Failed, 4));
    insta::assert_snapshot!(story.summary());
}

#[test]
fn a_run_that_is_cancelled() {
    let mut story = Story::new(2);
    story.grant("a", 1);
    story.tell(&EventBody::RunCancelling { reason: EndReason::RunCancelled });
    assert_eq!(story.said(true), "cancelling sessions are being ended: the run was cancelled\n");
    story.result("a", TaskState::Cancelled, Some(EndReason::RunCancelled), None);
    story.status("b", TaskState::Cancelled, Some(EndReason::RunCancelled));
    assert_eq!(story.said(true), "", "what was never started needs no line where counts are drawn");
    story.tell(&EventBody::RunCancelled {});
    assert_eq!(story.model.state, RunState::Cancelled);
    insta::assert_snapshot!(story.summary());
}

#[test]
fn a_retried_run_forgets_its_failures() {
    let mut story = Story::new(1);
    story.grant("a", 1);
    story.result("a", TaskState::Failed, None, None);
    story.tell(&EventBody::RunFailed { detail: "x".into() });
    assert_eq!(story.model.failures.len(), 1);
    let change = TaskChange { task: task("a"), state: TaskState::Queued, end: None, queued: None };
    let scope = RetryScope::Failed;
    story.tell(&EventBody::RunRetried { scope, changes: vec![change] });
    assert_eq!((story.model.state, story.model.failures.len()), (RunState::Running, 0));
    story.grant("a", 2);
    story.result("a", TaskState::Succeeded, None, None);
    story.tell(&EventBody::RunCompleted {});
    insta::assert_snapshot!(story.summary(), @" succeeded ship in 3.0s: 1 task, 1 succeeded (run 00002d)");
}

#[test]
fn what_is_drawn_fits_the_terminal_and_shows_who_waits_first() {
    let mut story = Story::new(30);
    for n in 0..20 {
        story.grant(&format!("task-{n}"), if n == 1 { 3 } else { 1 });
    }
    let session = SessionId::from_parts(0, 1);
    story.tell(&EventBody::SessionBlocked {
        session,
        task: Some(task("task-7")),
        prompt: Box::new(PromptRecord::bare(session, 1, PromptKind::Permission)),
    });
    assert_eq!(story.said(true), "   blocked task-7 waits for a human (permission) (cis answer unmhil)\n");
    insta::assert_snapshot!(story.drawn(70, 8, false));
    assert!(story.drawn(40, 24, true).lines().all(|line| line.chars().count() < 40));
    assert_eq!(story.drawn(80, 24, false).lines().count(), 13);
    story.tell(&EventBody::SessionRecovered { session, task: Some(task("task-7")), episode: 1 });
    assert!(!story.drawn(70, 24, false).contains("blocked"));
}

#[test]
fn events_that_this_version_does_not_know_change_nothing() {
    let mut story = Story::new(1);
    story.raw("cis.dag.run.celebrated", r#"{"cake":true}"#);
    story.raw("cis.dag.session.started", r#"{"session":"x"}"#);
    story.raw("cis.dag.task.added", r#"{"parent":"a","tasks":[{"id":"b"},{"id":"c"}]}"#);
    assert_eq!((story.counts().as_str(), story.changes.len()), ("3 pending", 0));
}

#[test]
fn ten_thousand_tasks_are_folded_quickly() {
    let mut story = Story::new(10_000);
    let names: Vec<String> = (0..10_000).map(|n| format!("task-{n}")).collect();
    let begun = std::time::Instant::now();
    for name in &names {
        story.grant(name, 1);
        story.result(name, TaskState::Succeeded, None, None);
    }
    assert_eq!(story.counts(), "10000 succeeded");
    // Writing the events is most of it; the bound is for a loaded machine and an unoptimised build.
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

#[test]
fn a_question_stands_until_it_is_decided_and_items_are_counted_once() {
    let mut story = Story::new(2);
    story.asks("deploy");
    assert_eq!(story.said(false), "  approve? deploy waits for approval: Go?[2J? (cis dag approve deploy)\n");
    assert!(story.drawn(80, 24, false).contains("approve? deploy: Go"), "{}", story.drawn(80, 24, false));
    story.tell(&EventBody::TaskApproved { task: task("deploy"), by: "x".into(), comment: None });
    assert!(!story.drawn(80, 24, false).contains("approve?"));
    let expanded =
        |n: u64| EventBody::TaskExpanded { task: task("deploy"), items: (0..n).map(Into::into).collect() };
    story.tell(&expanded(2));
    assert_eq!(story.counts(), "1 pending, 3 queued");
    story.status("deploy.1", TaskState::Pending, None);
    story.status("deploy.2", TaskState::Pending, None);
    story.tell(&expanded(1));
    assert_eq!(story.counts(), "1 pending, 2 queued, 1 completed");
}

#[test]
fn a_retried_run_counts_from_its_retry() {
    let mut story = Story::new(1);
    story.grant("a", 1);
    story.result("a", TaskState::Cancelled, Some(EndReason::RunCancelled), None);
    assert_eq!(story.said(false), " cancelled a (0.4s): the run was cancelled\n");
    story.tell(&EventBody::RunCancelled {});
    story.at_ms += 86_400_000;
    let change = TaskChange { task: task("a"), state: TaskState::Pending, end: None, queued: None };
    story.tell(&EventBody::RunRetried { scope: RetryScope::All, changes: vec![change] });
    story.grant("a", 2);
    story.result("a", TaskState::Succeeded, None, None);
    story.tell(&EventBody::RunCompleted {});
    assert_eq!(story.summary(), " succeeded ship in 3.0s: 1 task, 1 succeeded (run 00002d)\n");
}
