//! Runs, tasks and items for the tests of what is shown of them.

use crate::api::{ApprovalView, InboxItem, RunView, SaidView, TaskCounts, TaskView, WaitsView};
use crate::event::{
    ExecutionMode, Layer, Meaning, PromptKind, PromptOption, RunState, SaidKind, TaskState, Urgency,
};
use crate::ids::{InboxId, NodeDid, RunId, SessionId, TaskId};

/// A minute after the samples began.
pub(super) const NOW: i64 = 1_700_000_060_000;

pub(super) fn task(id: &str, state: TaskState) -> TaskView {
    TaskView {
        id: TaskId::new(id).unwrap(),
        state,
        needs: vec![],
        agent: None,
        node: None,
        attempts: 1,
        session: Some(SessionId::from_parts(1_700_000_000_000, 7)),
        started_ms: Some(NOW - 50_000),
        ended_ms: None,
        exit_code: None,
        reason: None,
        outputs: [].into(),
        outputs_omitted: false,
        artifacts: vec![],
        artifacts_omitted: false,
        approval: None,
        said: None,
        waits: None,
    }
}

pub(super) fn run(state: RunState, tasks: &[TaskView]) -> RunView {
    let mut counts = TaskCounts::new();
    for task in tasks {
        *counts.entry(task.state).or_default() += 1;
    }
    RunView {
        id: RunId::from_parts(1_700_000_000_000, 42),
        dag: "ship".to_owned(),
        state,
        mode: ExecutionMode::Hybrid,
        room: None,
        node: NodeDid("did:key:z6Mk".to_owned()),
        source: "ship.toml".to_owned(),
        created_ms: NOW - 61_000,
        started_ms: Some(NOW - 60_000),
        retried_ms: None,
        ended_ms: state.is_terminal().then_some(NOW),
        counts,
        detail: None,
        cancelling: false,
        approvals: vec![],
        last_offset: 9,
    }
}

/// One of each kind that a card tells of.
pub(super) fn tasks() -> Vec<TaskView> {
    let mut build = task("build", TaskState::Running);
    build.attempts = 2;
    build.said = Some(SaidView {
        kind: SaidKind::Progress,
        text: "crate 5 of 9".to_owned(),
        percent: Some(55),
        at_ms: NOW,
    });
    let mut fix = task("fix", TaskState::Running);
    fix.waits = Some(WaitsView {
        item: InboxId("kqzvra".to_owned()),
        kind: PromptKind::Permission,
        question: "Run `make <deploy>`?".to_owned(),
        since_ms: NOW - 5_000,
    });
    let mut deploy = task("deploy", TaskState::Queued);
    deploy.approval =
        Some(ApprovalView { prompt: "Deploy 1.2.3?".to_owned(), until_ms: None, allowed: None });
    let mut lint = task("lint", TaskState::Failed);
    lint.reason = Some("exit code 3".to_owned());
    vec![task("plan", TaskState::Succeeded), build, fix, deploy, lint, task("test", TaskState::Pending)]
}

pub(super) fn option(id: &str, label: &str, meaning: Option<Meaning>) -> PromptOption {
    PromptOption { id: id.to_owned(), label: label.to_owned(), meaning, keys: id.to_owned() }
}

/// A permission on a screen.
pub(super) fn item() -> InboxItem {
    InboxItem {
        id: InboxId("kqzvra".to_owned()),
        run: Some(RunId::from_parts(1_700_000_000_000, 42)),
        task: Some(TaskId::new("fix").unwrap()),
        session: Some(SessionId::from_parts(1_700_000_000_000, 7)),
        kind: PromptKind::Permission,
        question: "Run `make deploy`?".to_owned(),
        options: vec![
            option("1", "Yes", Some(Meaning::AllowOnce)),
            option("2", "Yes, and don't ask again", Some(Meaning::AllowAlways)),
            option("3", "No", Some(Meaning::Deny)),
        ],
        since: NOW - 5_000,
        confidence: 90,
        layer: Some(Layer::Screen),
        episode: Some(1),
        hash: "00ff00ff00ff00ff".to_owned(),
        screen: "$ make deploy\nRun `make deploy`? <y/n>\n> 1. Yes\n  2. Yes, and don't ask again\n  3. No"
            .to_owned(),
        ask_type: None,
        urgency: Urgency::Medium,
        thread: None,
        answered_by: None,
        answered_ms: None,
        until_ms: Some(NOW + 600_000),
        closed: None,
    }
}
