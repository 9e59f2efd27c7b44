//! What people read, as snapshots.

use std::collections::BTreeMap;

use cis_core::api::{NeedContext, RemoteView, TaskContext, TermSize, WhyView};
use cis_core::event::{ExecutionMode, RunState, SessionState};
use cis_core::identity::Right;
use cis_core::ids::{NodeDid, RunId, SessionId, TaskId};

use super::*;

const NOW: TimestampMs = 1_700_000_100_000;

fn plain_text(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn a_run(n: u128, state: RunState) -> RunView {
    RunView {
        id: RunId::from_parts(1_700_000_000_000, n),
        dag: "ship".into(),
        state,
        mode: ExecutionMode::Local,
        room: None,
        node: NodeDid("did:key:z6Mk".to_owned()),
        source: "dags/ship.toml".into(),
        created_ms: NOW - 100_000,
        started_ms: (state != RunState::Created).then_some(NOW - 90_000),
        retried_ms: None,
        ended_ms: state.is_terminal().then_some(NOW - 30_500),
        counts: [(TaskState::Succeeded, 3), (TaskState::Failed, 1), (TaskState::Pending, 2)].into(),
        detail: (state == RunState::Failed).then(|| "`test` failed: exit code 1".into()),
        cancelling: false,
        approvals: vec![],
        last_offset: 9,
    }
}

fn a_task(name: &str, state: TaskState) -> TaskView {
    TaskView {
        id: TaskId::new(name).unwrap(),
        state,
        needs: vec![],
        agent: None,
        node: None,
        attempts: u32::from(state != TaskState::Pending),
        session: None,
        started_ms: (state != TaskState::Pending).then_some(NOW - 12_000),
        ended_ms: state.is_terminal().then_some(NOW - 11_600),
        exit_code: None,
        reason: None,
        outputs: BTreeMap::new(),
        outputs_omitted: false,
        artifacts: vec![],
        artifacts_omitted: false,
        approval: None,
        said: None,
        waits: None,
    }
}

#[test]
fn a_session_that_waits_is_shown_with_a_command_that_its_prompt_takes() {
    for (kind, command) in [
        (PromptKind::Permission, "(cis answer kqzvra)"),
        (PromptKind::Pager, "(cis answer kqzvra --keys q)"),
        (PromptKind::Password, "(cis dag attach build)"),
    ] {
        let said = waits_for_human(kind, "", "kqzvra", "build");
        assert!(said.ends_with(command), "{said}");
    }
}

#[test]
fn listing_of_runs() {
    let mut cancelling = a_run(2, RunState::Running);
    cancelling.cancelling = true;
    let all = [a_run(3, RunState::Created), cancelling, a_run(1, RunState::Failed)];
    insta::assert_snapshot!(plain_text(&runs(&all, NOW)));
    insta::assert_snapshot!(runs(&[], NOW), @"No runs. `cis dag run FILE` starts one.");
}

#[test]
fn one_run() {
    let mut done = a_task("build", TaskState::Succeeded);
    done.outputs.insert("failed".into(), 3.into());
    let mut waiting = a_task("deploy", TaskState::Pending);
    waiting.needs = vec![TaskId::new("build").unwrap(), TaskId::new("test").unwrap()];
    let mut retried = a_task("test", TaskState::Queued);
    retried.attempts = 2;
    retried.reason = Some("next try in 4s after exit code 1\x1b[31m".into());
    let detail = RunDetail {
        run: a_run(1, RunState::Running),
        params: [("branch".to_owned(), "main".into())].into(),
        tasks: vec![done, retried, waiting],
    };
    insta::assert_snapshot!(plain_text(&run(&detail, NOW)));
}

#[test]
fn a_long_output_leaves_room_for_the_other_rows() {
    let mut long = a_task("build", TaskState::Succeeded);
    long.outputs = (0..9).map(|n| (format!("o{n}"), "x".repeat(30_000).into())).collect();
    let params = [("branch".to_owned(), "y".repeat(30_000).into())].into();
    let detail = RunDetail { run: a_run(1, RunState::Running), params, tasks: vec![long] };
    let shown = plain_text(&run(&detail, NOW));
    assert!(shown.contains("o0=\"xxx") && shown.contains('…'));
    assert!(shown.lines().all(|line| line.chars().count() < 300), "{shown}");
}

#[test]
fn listing_of_sessions() {
    let session = |n, task: Option<&str>, state| SessionView {
        id: SessionId::from_parts(1_700_000_000_000, n),
        run: task.map(|_| RunId::from_parts(1_700_000_000_000, 1)),
        task: task.map(|task| TaskId::new(task).unwrap()),
        attempt: task.map(|_| 2),
        name: task.is_none().then(|| "shell".into()),
        state,
        pid: Some(4711),
        tty: true,
        size: Some(TermSize::default()),
        command: "sh -c 'read x'\n\x1b[2J".into(),
        created_ms: NOW - 65_000,
        ended_ms: None,
        exit_code: (state == SessionState::Exited).then_some(7),
        detail: (state == SessionState::Terminated).then(|| "idle for too long".into()),
    };
    let all = [
        session(1, Some("ask"), SessionState::Blocked),
        session(2, None, SessionState::Ready),
        session(3, Some("old"), SessionState::Exited),
        session(4, None, SessionState::Terminated),
    ];
    insta::assert_snapshot!(plain_text(&sessions(&all, NOW)));
}

#[test]
fn why_a_task_is_where_it_is() {
    let view = WhyView {
        run: RunId::from_parts(0, 1),
        task: TaskId::new("deploy").unwrap(),
        state: TaskState::Queued,
        because: vec!["it waits for a slot: 2 of 2 sessions are running".into()],
        try_this: vec!["cis dag sessions".into()],
    };
    insta::assert_snapshot!(plain_text(&why(&view)));
}

#[test]
fn what_a_task_gets() {
    let need = |state, outputs: &[(&str, serde_json::Value)], output: &str, artifacts: usize| NeedContext {
        state,
        outputs: outputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        output: output.to_owned(),
        artifacts: (1..=artifacts).map(|n| format!("out/{n}\x1b[31m")).collect(),
        incomplete: artifacts > 0,
    };
    let mut found = TaskContext {
        run: "r".into(),
        dag: "ship".into(),
        task: TaskId::new("deploy").unwrap(),
        needs: BTreeMap::new(),
    };
    insta::assert_snapshot!(plain_text(&context(&found)), @"Task deploy needs nothing, so it gets nothing of other tasks.");
    let log: String = (1..=12).map(|n| format!("line {n}\n")).collect();
    let build = need(TaskState::Succeeded, &[("size", 3.into()), ("notes", "a\nb".into())], &log, 12);
    found.needs.insert(TaskId::new("build-it").unwrap(), build);
    found.needs.insert(TaskId::new("lint").unwrap(), need(TaskState::Completed, &[], "", 0));
    insta::assert_snapshot!(plain_text(&context(&found)));
}

#[test]
fn a_node_that_runs_and_one_that_does_not() {
    let mut view = NodeView {
        running: true,
        pid: Some(99),
        version: "0.1.0".into(),
        socket: "/run/user/7/cis/node.sock".into(),
        home: "/home/ann/.cis".into(),
        did: Some("did:key:z6Mk".into()),
        host_pid: Some(98),
        stays: true,
        paused: false,
        started_ms: Some(NOW - 7_000_000),
        open_runs: 1,
        live_sessions: 2,
        max_sessions: 100,
        outbox: 0,
        rooms: vec!["!builds:example.org".into()],
        observes: vec!["!others:example.org".into()],
        warnings: vec!["the disk is full".into()],
        remote: Some(RemoteView { url: "https://127.0.0.1:7443".into(), fingerprint: "ab".repeat(32) }),
    };
    insta::assert_snapshot!("node_running", plain_text(&node(&view, NOW)));
    view = NodeView { running: false, pid: None, warnings: vec![], ..view };
    insta::assert_snapshot!("node_absent", plain_text(&node(&view, NOW)));
}

#[test]
fn who_a_node_is_and_whom_it_trusts() {
    use cis_core::api::{IdentityView, RevokedView, RotatedView, TrustedView};

    let did = |name: &str| NodeDid(format!("did:key:z6Mk{name}"));
    let alone = IdentityView {
        did: did("own"),
        running: None,
        revision: 0,
        trusted: vec![],
        revoked: vec![],
        rotated: vec![],
        problem: None,
    };
    let known = IdentityView {
        running: Some(did("old")),
        trusted: vec![
            TrustedView {
                did: did("a"),
                name: Some("builder".into()),
                since_ms: NOW - 5000,
                may: vec![Right::Coordinate, Right::Execute],
            },
            TrustedView { did: did("b"), name: None, since_ms: NOW - 400_000, may: Vec::new() },
        ],
        revoked: vec![RevokedView { did: did("c"), since_ms: NOW - 60_000 }],
        rotated: vec![RotatedView { old: did("old"), new: did("own"), at_ms: NOW - 1000 }],
        ..alone.clone()
    };
    let damaged =
        IdentityView { problem: Some("nobody is trusted, as \u{1b}[31mit".into()), ..alone.clone() };
    let all = [alone, known, damaged].map(|view| plain_text(&identity(&view, NOW)));
    insta::assert_snapshot!(all.join("\n----\n"));
}
