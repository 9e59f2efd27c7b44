use super::super::sample::{NOW, run, tasks};
use super::*;
use crate::event::RunState;

fn body(message: &Message) -> String {
    message.content()["body"].as_str().unwrap().to_owned()
}

#[test]
fn help_is_what_one_may_do() {
    insta::assert_snapshot!(body(&help(Some(Role::Operator))));
    insta::assert_snapshot!(body(&help(Some(Role::Viewer))));
    insta::assert_snapshot!(body(&help(None)));
}

#[test]
fn listings_and_states() {
    let tasks = tasks();
    let all: Vec<RunView> = [RunState::Running, RunState::Succeeded].map(|state| run(state, &tasks)).into();
    insta::assert_snapshot!(body(&runs(&all, NOW)));
    assert_eq!(body(&runs(&[], NOW)), "No runs.");
    let many = vec![all[0].clone(); 40];
    assert!(body(&runs(&many, NOW)).ends_with("… and 25 more"));
    let node = NodeView {
        running: true,
        pid: Some(7),
        version: "0.1.0".to_owned(),
        socket: "/secret/path".to_owned(),
        home: "/secret/home".to_owned(),
        did: None,
        host_pid: None,
        stays: true,
        started_ms: Some(NOW - 60_000),
        open_runs: 2,
        live_sessions: 3,
        max_sessions: 100,
        outbox: 0,
        rooms: Vec::new(),
        observes: Vec::new(),
        warnings: vec!["the disk is full".to_owned()],
        remote: None,
    };
    let said = body(&status(&node, 1, NOW));
    assert!(!said.contains("secret"));
    insta::assert_snapshot!(said);
}

#[test]
fn why_not_is_said_politely() {
    let stale = crate::room::freshness::Stale::TooOld { age_ms: 3_600_000 };
    assert_eq!(body(&not_done(&stale)), "Not done: it was written 1h 00m ago: say it again.");
    let refusal = crate::room::people::Refusal::NotNamed { named: "@ann:example.org".to_owned() };
    assert_eq!(body(&not_done(&refusal)), "Not done: this is decided by ＠ann:example.org.");
}

#[test]
fn logs_and_screens() {
    assert_eq!(body(&log("build", "a\nb\n")), "Log of build\n\n```\na\nb\n```");
    assert_eq!(body(&screen("build", " \n")), "Screen of build: it is empty");
}
