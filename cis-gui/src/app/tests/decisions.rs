//! Decisions in the inbox, actions that need a second click, the status line, and the list of sessions.

use cis_core::api::AnswerReceipt;
use cis_core::event::RunState;
use cis_core::ids::RunId;

use super::*;

/// Returns an approval of the run with this number.
fn approval(run: u128, until_ms: Option<i64>) -> InboxItem {
    serde_json::from_value(json!({
        "id": if run == 1 { "abcdef" } else { "ghijkl" }, "run": RunId::from_parts(9, run), "task": "deploy", "session": null,
        "kind": "approval", "question": "Deploy it?",
        "options": [{ "id": "approve", "label": "Approve" }, { "id": "reject", "label": "Reject" }],
        "since": 5, "confidence": 100, "layer": null, "episode": null, "hash": "", "screen": "",
        "urgency": "medium", "until_ms": until_ms,
    }))
    .unwrap()
}

/// Adds two runs of one DAG that wait for an approval each.
fn two(stage: &mut Stage, until_ms: Option<i64>) {
    for (number, region) in [(1, "eu"), (2, "us")] {
        let mut run = detail(1, &["deploy"]);
        run.run.id = RunId::from_parts(9, number);
        run.run.dag = "release".to_owned();
        run.params = [("region".to_owned(), json!(region)), ("canary".to_owned(), json!(true))].into();
        stage.shared.apply(Update::Run(Box::new(run)));
    }
    stage.gets(Update::Inbox(vec![approval(1, until_ms), approval(2, until_ms)]));
}

#[test]
fn inbox_cards_name_the_run_and_its_parameters() {
    let mut stage = stage();
    two(&mut stage, None);
    for (number, region) in [(1, "eu"), (2, "us")] {
        let id = RunId::from_parts(9, number).short();
        let card = format!("Approval: Deploy it? (release {id} / deploy, canary=true, region={region})");
        assert!(stage.harness.query_by_label(&card).is_some(), "{card}");
    }
}

#[test]
fn an_approval_has_a_reason_and_shows_its_deadline() {
    let mut stage = stage();
    two(&mut stage, Some(now_ms() + 20 * 60_000));
    assert!(stage.shows("expires in 20 min: the task fails then"));
    stage.click("Approve");
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Answer { reason: None, .. }]),
        "an empty reason is not sent: {sent:?}"
    );
    stage.refused(&sent);
    stage.write("Reason", "not on a Friday");
    stage.press(Key::Enter);
    assert!(stage.sent().is_empty(), "Enter in the field decides nothing");
    stage.click("Reject");
    let sent = stage.sent();
    let [Command::Answer { with: AnswerWith::Option { option }, reason, .. }] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!((option.as_str(), reason.as_deref()), ("id:reject", Some("not on a Friday")));
}

#[test]
fn the_reason_of_a_decision_that_failed_is_in_its_field_again() {
    let mut stage = stage();
    two(&mut stage, None);
    stage.write("Reason", "not on a Friday");
    stage.click("Reject");
    let sent = stage.sent();
    assert_eq!(stage.value("Reason"), "", "it is on its way");
    stage.refused(&sent);
    assert_eq!(stage.value("Reason"), "not on a Friday", "nobody writes it again");
    stage.click("Reject");
    let sent = stage.sent();
    let [Command::Answer { reason, .. }] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(reason.as_deref(), Some("not on a Friday"));
    // Its item is over by then: the reason is not lost either.
    stage.shared.apply(Update::Inbox(vec![approval(2, None)]));
    stage.refused(&sent);
    assert!(stage.shows("What you were answering is over"));
}

#[test]
fn an_answer_waits_for_its_own_outcome() {
    let mut stage = stage();
    two(&mut stage, None);
    stage.write("Reason", "not on a Friday");
    stage.click("Reject");
    let sent = stage.sent();
    assert_eq!(sent.len(), 1);
    stage.failed_note();
    assert_eq!(stage.value("Reason"), "", "another command failed");
    stage.click("Reject");
    assert!(stage.sent().is_empty(), "the first answer is still on its way");
    stage.refused(&sent);
    stage.click("Reject");
    assert_eq!(stage.sent().len(), 1);
}

#[test]
fn answers_of_two_items_are_told_apart() {
    let mut stage = stage();
    two(&mut stage, None);
    stage.write("Reason", "too late");
    stage.click("Reject");
    let first = stage.sent();
    stage.harness.state_mut().inbox.pick(approval(2, None).name());
    stage.steps();
    stage.write("Reason", "too early");
    stage.click("Reject");
    let second = stage.sent();
    let [Command::Answer { item, slot, .. }] = second.as_slice() else { panic!("{second:?}") };
    assert_eq!(*item, approval(2, None).name());
    stage.refused(&first);
    assert_eq!(stage.value("Reason"), "", "this is the field of the other item");
    slot.fill(Ok(AnswerReceipt::new(approval(2, None).id, "ann".into(), "Reject".into())));
    stage.steps();
    assert_eq!(stage.value("Reason"), "");
    stage.harness.state_mut().inbox.pick(approval(1, None).name());
    stage.steps();
    assert_eq!(stage.value("Reason"), "too late");
}

#[test]
fn actions_that_start_work_need_a_second_click() {
    for (state, word, question) in [
        (RunState::Created, "Start", "Really start"),
        (RunState::Paused, "Resume", "Really resume"),
        (RunState::Failed, "Retry failed", "Really retry"),
    ] {
        let mut stage = stage();
        let mut run = detail(1, &["compile"]);
        run.run.state = state;
        stage.shared.apply(Update::Run(Box::new(run)));
        stage.click("Runs");
        stage.click(word);
        assert!(stage.sent().is_empty(), "{word}");
        stage.click(question);
        assert!(matches!(stage.sent()[..], [Command::Steer(..) | Command::Retry(..)]), "{word}");
    }
}

#[test]
fn a_double_click_does_not_confirm() {
    let mut stage = stage_in_steps_of(0.02);
    stage.shared.apply(Update::Run(Box::new(detail(1, &["compile"]))));
    stage.click("Runs");
    let pos = stage.harness.get_by_label("Cancel").rect().left_center() + egui::vec2(8.0, 0.0);
    let (button, modifiers) = (egui::PointerButton::Primary, Modifiers::NONE);
    stage.harness.event(egui::Event::PointerMoved(pos));
    for pressed in [true, false, true, false] {
        stage.harness.event(egui::Event::PointerButton { pos, button, pressed, modifiers });
        stage.harness.step();
    }
    let sent = stage.sent();
    assert!(sent.is_empty(), "{sent:?}");
    assert!(stage.shows("Really cancel"), "it still asks");
}

#[test]
fn a_lost_connection_moves_nothing() {
    let mut stage = stage();
    stage.shared.apply(Update::Run(Box::new(detail(1, &["compile"]))));
    stage.shared.apply(Update::Link(Link::Up));
    stage.click("Runs");
    let before = stage.harness.get_by_label("Pause").rect();
    let why = "the node went away; it is tried again by itself".to_owned();
    stage.gets(Update::Link(Link::Lost { since_ms: now_ms(), why }));
    assert!(stage.shows("the node went away"));
    assert_eq!(stage.harness.get_by_label("Pause").rect(), before);
}

/// Opens the view of a node with so many live sessions, and one that has ended.
fn show_sessions(stage: &mut Stage, live: u128) {
    let session = |n: u128, state: &str| {
        json!({ "id": cis_core::ids::SessionId::from_parts(7, n), "run": null, "task": null, "attempt": null,
            "name": format!("shell-{n}"), "state": state, "pid": null, "tty": true, "size": null, "command": "bash",
            "created_ms": 1, "ended_ms": null, "exit_code": null })
    };
    let views: Vec<_> = (0..live).map(|n| session(n, "ready")).chain([session(live, "exited")]).collect();
    let node = json!({ "running": true, "pid": 1, "version": "1", "socket": "/s", "home": "/h", "did": null,
        "host_pid": null, "stays": true, "started_ms": 1, "open_runs": 0, "live_sessions": 0, "max_sessions": 1000 });
    stage.shared.apply(Update::Node(Box::new(serde_json::from_value(node).unwrap())));
    stage.shared.apply(Update::Sessions(serde_json::from_value(json!(views)).unwrap()));
    stage.press_with(Modifiers::CTRL, Key::Num4);
}

#[test]
fn a_long_list_of_sessions_says_how_many_it_leaves_out() {
    let mut stage = stage();
    show_sessions(&mut stage, 401);
    assert!(stage.shows("401 live of at most 1000") && stage.shows("and 2 more"));
}

#[test]
fn the_listed_sessions_are_counted_and_have_logs() {
    let mut stage = stage();
    show_sessions(&mut stage, 7);
    assert!(stage.shows("7 live of at most 1000") && stage.shows("shell-7"));
    assert!(!stage.shows(" more"), "all are listed");
    let ended = cis_core::ids::SessionId::from_parts(7, 7);
    stage.click(&ended.short());
    stage.sent();
    stage.click("Log");
    let sent = stage.sent();
    let [Command::SessionLog(of, slot)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*of, ended);
    slot.fill(Ok("$ make\nall done\n".to_owned()));
    stage.steps();
    assert!(stage.shows("all done"));
    stage.click("Log");
    assert!(!stage.shows("all done"));
}

#[test]
fn symbols_of_agents_hangul_and_emoji_are_drawn() {
    let mut stage = stage();
    // Fails for a character that nothing can draw.
    stage.harness.ctx.set_missing_glyph_policy(MissingGlyphPolicy::Panic);
    let mut item = question("question", &json!([{ "id": "1", "label": "예 👍" }]));
    item.question = "⎿ 배포할까요? 🚀".to_owned();
    item.screen = "⏺ Update(a.rs)\n  ⎿  ✻ 漢字 👩\u{200d}💻 ☒ ⠋".to_owned();
    stage.gets(Update::Inbox(vec![item]));
    assert!(stage.shows("배포할까요") && stage.shows("⎿  ✻"));
}
