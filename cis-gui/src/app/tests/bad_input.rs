//! What is missing, huge, hostile or too late.

use cis_core::api::TermSize;
use cis_core::event::RunState;
use serde_json::Value;

use super::sessions::open;
use super::*;
use crate::terminal::Standing;

/// A text of a megabyte with all that makes text hard.
fn huge() -> String {
    "x\u{202E}שלום 🎨🏳️‍🌈\r\n\u{7}".repeat(30_000)
}

#[test]
fn a_run_that_is_gone_says_so_where_it_is_looked_at() {
    let mut stage = stage();
    stage.shared.apply(Update::Run(Box::new(detail(1, &["compile"]))));
    let run = stage.shared.model().runs.all().next().unwrap().view().id;
    stage.go(Go::Run(run));
    stage.click("Tasks");
    stage.click("compile");
    stage.gets(Update::Listing { runs: Vec::new(), whole: true });
    assert!(stage.shows("There is no such run any more"));
    stage.click("Runs");
    assert!(stage.shows("No runs yet"));
}

#[test]
fn a_session_that_is_gone_says_so_and_lets_one_go_back() {
    let mut stage = stage();
    let terminal = open(&mut stage, TermSize::default(), b"hello");
    let gone = Problem::new(ProblemKind::NotFound, "there is no session 01JD").hint("`cis dag sessions`");
    terminal.change(|shown| shown.standing = Standing::Refused(Box::new(gone)));
    stage.steps();
    assert!(stage.shows("there is no session") && stage.shows("cis dag sessions"));
    stage.click("Back");
    assert!(!stage.shows("there is no session"));
}

#[test]
fn texts_of_a_megabyte_are_cut_before_they_are_drawn() {
    let mut stage = stage();
    stage.harness.ctx.set_missing_glyph_policy(MissingGlyphPolicy::Tofu);
    let mut run = detail(1, &["compile", "test"]);
    run.run.dag = huge();
    run.run.detail = Some(huge());
    run.tasks[0].reason = Some(huge());
    run.tasks[0].agent = Some(huge());
    run.tasks[0].outputs = [(huge(), Value::from(huge()))].into();
    let id = run.run.id;
    let options: Vec<Value> =
        (0..5_000).map(|n| json!({ "id": n.to_string(), "label": format!("{n}{}", huge_part()) })).collect();
    let mut item = question("question", &options.into());
    (item.run, item.question, item.screen) = (Some(id), huge(), huge().repeat(4));
    item.answered_by = Some(huge());
    stage.shared.apply(Update::Run(Box::new(run)));
    stage.shared.apply(Update::Inbox(vec![item]));
    let hint = Some(huge());
    stage.shared.apply(Update::Note(Note { at_ms: now_ms(), tone: Tone::Bad, text: huge(), hint }));
    let refused = Problem::new(ProblemKind::Denied, huge()).hint(huge());
    stage.shared.apply(Update::Link(Link::Refused(Box::new(refused))));
    for to in [Go::Inbox, Go::Runs, Go::Run(id), Go::Events, Go::Node] {
        stage.go(to);
        let longest = |nodes: &Stage| {
            let all = nodes.harness.query_all_by(|_| true);
            all.map(|node| said(&node).len()).max()
        };
        let longest = longest(&stage).unwrap_or(0);
        assert!(longest <= 100_000, "{to:?} lays out {longest} bytes of one text");
    }
    stage.go(Go::Run(id));
    stage.click("Tasks");
    stage.click("compile");
    assert!(stage.shows("Close"));
    // What is left of all that is room for the views themselves.
    let rect = stage.harness.get_by_label("Close").rect();
    assert!(rect.bottom() < 500.0, "{rect:?}");
}

fn huge_part() -> String {
    "y".repeat(300)
}

#[test]
fn text_that_turns_its_direction_turns_nothing_else() {
    assert_eq!(one_line("a\u{202E}b\u{2066}c\u{200F}", 10), "abc");
}

#[test]
fn a_second_click_is_no_answer_to_what_came_in_between() {
    let mut stage = stage_in_steps_of(0.02);
    let options = json!([{ "id": "1", "label": "yes" }]);
    let mut second = question("question", &options);
    second.id = cis_core::ids::InboxId("ghijkl".into());
    second.question = "Delete all of it?".into();
    stage.gets(Update::Inbox(vec![question("question", &options), second.clone()]));
    stage.click("yes");
    assert_eq!(stage.sent().len(), 1);
    // The first one is over, the next one moves to its place under the pointer.
    stage.gets(Update::Inbox(vec![second]));
    assert!(stage.shows("Delete all of it?"));
    stage.click("yes");
    assert!(stage.sent().is_empty(), "nobody has read it yet");
    stage.harness.key_press(Key::Num1);
    for _ in 0..50 {
        stage.harness.step();
    }
    assert!(!stage.harness.get_by_label("yes").is_focused(), "a key that was meant for another item");
    stage.press(Key::Num1);
    assert!(stage.harness.get_by_label("yes").is_focused());
    stage.click("yes");
    assert_eq!(stage.sent().len(), 1);
}

#[test]
fn work_is_not_thrown_away_by_one_click() {
    let mut stage = stage();
    stage.shared.apply(Update::Run(Box::new(detail(1, &["compile"]))));
    stage.click("Runs");
    stage.click("Cancel");
    assert!(stage.sent().is_empty());
    stage.click("Really cancel");
    assert!(matches!(stage.sent()[..], [Command::Steer(_, Verb::Cancel)]));
    stage.click("Pause");
    assert!(matches!(stage.sent()[..], [Command::Steer(_, Verb::Pause)]), "what ends nothing needs one");
}

#[test]
fn each_state_of_a_run_offers_what_can_be_done() {
    let mut stage = stage();
    for (state, offered) in [
        (RunState::Created, &["Start", "Cancel"][..]),
        (RunState::Running, &["Pause", "Cancel"]),
        (RunState::Paused, &["Resume", "Cancel"]),
        (RunState::Failed, &["Retry failed"]),
        (RunState::Error, &["Retry failed"]),
        (RunState::Cancelled, &["Retry failed"]),
        (RunState::Succeeded, &[]),
    ] {
        let mut run = detail(1, &["compile"]);
        run.run.state = state;
        stage.shared.apply(Update::Run(Box::new(run)));
        stage.go(Go::Runs);
        for word in ["Start", "Pause", "Resume", "Cancel", "Retry failed"] {
            let there = stage.harness.query_by_label(word).is_some();
            assert_eq!(there, offered.contains(&word), "{word} of a run that is {state}");
        }
    }
}

#[test]
fn a_line_that_is_down_says_why_and_only_what_helps() {
    let mut stage = stage();
    let why = "no node is running. `cis node start` starts one".to_owned();
    stage.gets(Update::Link(Link::Lost { since_ms: now_ms() - 3_000, why }));
    assert!(stage.shows("disconnected for") && stage.shows("`cis node start` starts one"));
    assert!(stage.shows("The node is not there"), "nobody is being asked");
    let why = "no node can be reached at https://far:7443: timed out".to_owned();
    stage.gets(Update::Link(Link::Lost { since_ms: now_ms(), why }));
    assert!(stage.shows("no node can be reached") && !stage.shows("starts one"), "it is not here");
    let problem = Problem::new(ProblemKind::Unavailable, "the node's answer is not understood");
    stage.gets(Update::Link(Link::Refused(Box::new(problem))));
    assert!(stage.shows("not understood") && !stage.shows("starts one"));
}
