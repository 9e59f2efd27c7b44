use super::super::sample::{NOW, item, run, tasks};
use super::*;
use crate::event::{PromptKind, RunState};

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
    let said = body(&status(&node(), 1, NOW));
    assert!(!said.contains("secret"));
    insta::assert_snapshot!(said);
}

fn node() -> NodeView {
    NodeView {
        running: true,
        pid: Some(7),
        version: "0.1.0".to_owned(),
        socket: "/secret/path".to_owned(),
        home: "/secret/home".to_owned(),
        did: None,
        host_pid: None,
        stays: true,
        paused: false,
        started_ms: Some(NOW - 60_000),
        open_runs: 2,
        live_sessions: 3,
        max_sessions: 100,
        outbox: 0,
        rooms: Vec::new(),
        observes: Vec::new(),
        warnings: vec!["the disk is full".to_owned()],
        remote: None,
    }
}

#[test]
fn nodes_are_listed_and_let_in() {
    let did = |n: u8| crate::identity::NodeKey::from_seed(&[n; 32]).did();
    let mut here = RoomNodeView::new("!r:x", did(1), RoomNodeState::Here);
    here.name = "build `one` @room".to_owned();
    here.may = [Right::Execute, Right::Coordinate].into();
    (here.sessions, here.slots) = (1, 4);
    let pending = RoomNodeView::new("!r:x", did(2), RoomNodeState::Pending);
    insta::assert_snapshot!(body(&nodes(&[here.clone(), pending])));
    assert!(!body(&nodes(&[here])).contains("trust"), "nobody waits");
    assert_eq!(body(&let_in("two", &[Right::Execute].into())), "two may execute here from now on.");
}

#[test]
fn why_not_is_said_politely() {
    let stale = crate::room::freshness::Stale::TooOld { age_ms: 3_600_000 };
    assert_eq!(body(&not_done(&stale)), "Not done: it was written 1h 00m ago: say it again.");
    let refusal = Refusal::NotNamed { named: "@ann:example.org".to_owned() };
    assert_eq!(body(&not_done(&refusal)), "Not done: this is decided by ＠ann:example.org.");
}

#[test]
fn one_run_is_one_run() {
    let node = NodeView { open_runs: 1, ..node() };
    assert!(body(&status(&node, 0, NOW)).contains("1 open run, "), "{}", body(&status(&node, 0, NOW)));
}

/// Whether by a reaction or a reply: what decides is the same.
#[test]
fn in_an_encrypted_room_one_way_decides() {
    for refusal in [Refusal::ReactionInClear, Refusal::ReplyInClear] {
        let said = body(&by_name(&refusal, &item()));
        assert!(said.starts_with("Not done: in an encrypted room"), "{said}");
        assert!(said.ends_with("This decides it:\n\n!cis answer kqzvra 1"), "{said}");
        assert!(!said.contains("please"), "{said}");
    }
}

#[test]
fn a_reply_to_a_card_leads_to_what_waits() {
    let id = RunId::from_parts(1_700_000_000_000, 42);
    let said = body(&to_card(id, &[item()]));
    assert!(said.contains("asks nothing") && said.contains("• fix: !cis answer kqzvra 1"), "{said}");
    for (kind, command) in
        [(PromptKind::Password, "cis dag attach "), (PromptKind::Pager, "cis answer kqzvra")]
    {
        let said = body(&to_card(id, &[InboxItem { kind, ..item() }]));
        assert!(said.contains(&format!("• fix: {command}")) && !said.contains("!cis answer"), "{said}");
    }
    assert!(body(&to_card(id, &[])).contains("Nothing in this run waits"));
}

#[test]
fn logs_and_screens() {
    assert_eq!(body(&log("build", "a\nb\n")), "Log of build\n\n```\na\nb\n```");
    assert_eq!(body(&screen("build", "key ********\n")), "Screen of build\n\n```\nkey ***\n```");
    assert_eq!(body(&screen("build", " \n")), "Screen of build: it is empty");
}
