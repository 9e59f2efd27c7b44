//! The dashboard driven as by hand: what is clicked goes out as a command, what comes is shown.

use std::sync::atomic::{AtomicUsize, Ordering};

use cis_core::api::{AnswerWith, InboxItem, Problem, ProblemKind};
use egui::epaint::text::MissingGlyphPolicy;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::command::Verb;
use crate::model::tests::detail;
use crate::model::{Note, Update};

struct Stage {
    shared: Arc<Shared>,
    commands: UnboundedReceiver<Command>,
    harness: Harness<'static, Dashboard>,
}

fn stage() -> Stage {
    let shared = Shared::new(Arc::new(|| {}));
    let (to, commands) = Sender::channel();
    let dashboard = Dashboard::new(Arc::clone(&shared), to);
    let harness = Harness::builder()
        .with_size(egui::vec2(1200.0, 700.0))
        .build_ui_state(|ui, dashboard: &mut Dashboard| dashboard.draw(ui), dashboard);
    theme::install(&harness.ctx);
    Stage { shared, commands, harness }
}

impl Stage {
    fn sent(&mut self) -> Vec<Command> {
        std::iter::from_fn(|| self.commands.try_recv().ok()).collect()
    }

    fn steps(&mut self) {
        for _ in 0..4 {
            self.harness.step();
        }
    }

    fn click(&mut self, label: &str) {
        self.harness.get_by_label(label).click();
        self.steps();
    }

    fn shows(&self, text: &str) -> bool {
        self.harness.query_all_by_label_contains(text).next().is_some()
    }
}

fn question(kind: &str, options: &serde_json::Value) -> InboxItem {
    serde_json::from_value(json!({
        "id": "abcdef", "run": "01JD0V3Z8K6T9W2B5N7Q4R1XEC", "task": "paint",
        "session": "01JD0V3Z8K6T9W2B5N7Q4R1XED", "kind": kind, "question": "Which colour?", "options": options,
        "since": 5, "confidence": 90, "layer": "kernel", "episode": 1, "hash": "h1", "screen": "Which colour? ",
        "urgency": "medium",
    }))
    .unwrap()
}

#[test]
fn an_option_is_answered_by_a_click_with_the_prompt_that_was_looked_at() {
    let mut stage = stage();
    let options = json!([{ "id": "1", "label": "red" }, { "id": "2", "label": "blue" }]);
    stage.shared.apply(Update::Inbox(vec![question("question", &options)]));
    stage.steps();
    assert!(stage.shows("Inbox (1)"));
    stage.click("blue");
    let sent = stage.sent();
    let [Command::Answer { item, with: AnswerWith::Option { option }, hash, again: None, .. }] =
        sent.as_slice()
    else {
        panic!("{sent:?}")
    };
    assert_eq!((option.as_str(), hash.as_str()), ("2", "h1"));
    assert_eq!(*item, question("question", &json!([])).name());
    // Answered elsewhere it disappears.
    stage.shared.apply(Update::Inbox(Vec::new()));
    stage.steps();
    assert!(stage.shows("Nothing waits for you"));
}

#[test]
fn words_are_typed_and_a_password_is_not() {
    let mut stage = stage();
    stage.shared.apply(Update::Inbox(vec![question("question", &json!([]))]));
    stage.steps();
    stage.harness.get_by_label("Answer in words").focus();
    stage.steps();
    stage.harness.get_by_label("Answer in words").type_text("green");
    stage.steps();
    stage.click("Send");
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Answer { with: AnswerWith::Text { text }, .. }] if text == "green"),
        "{sent:?}"
    );
    stage.shared.apply(Update::Inbox(vec![question("password", &json!([]))]));
    stage.steps();
    assert!(stage.shows("typed into its terminal"));
    assert!(stage.harness.query_by_label("Send").is_none());
}

#[test]
fn a_run_is_opened_steered_and_its_task_shown() {
    let mut stage = stage();
    stage.shared.apply(Update::Run(Box::new(detail(1, &["compile", "test"]))));
    stage.click("Runs");
    stage.click("Pause");
    assert!(matches!(stage.sent()[..], [Command::Steer(_, Verb::Pause)]));
    let run = stage.shared.model().runs.all().next().unwrap().view().id;
    stage.harness.state_mut().go(Go::Run(run));
    stage.steps();
    assert!(matches!(stage.sent()[..], [Command::Look(_)]));
    stage.click("Tasks");
    stage.click("compile");
    assert!(matches!(stage.sent()[..], [Command::Why(..)]));
    assert!(stage.shows("Close"));
}

#[test]
fn every_state_of_the_line_says_what_to_do() {
    let mut stage = stage();
    stage.steps();
    assert!(stage.shows("connecting"));
    let why = "no node is running".to_owned();
    stage.shared.apply(Update::Link(Link::Lost { since_ms: 0, why }));
    stage.steps();
    assert!(stage.shows("disconnected") && stage.shows("cis node start"));
    stage.click("Try now");
    assert!(matches!(stage.sent()[..], [Command::Reconnect]));
    let refused = Problem::new(ProblemKind::Denied, "this token is revoked").hint("make another one");
    stage.shared.apply(Update::Link(Link::Refused(Box::new(refused))));
    stage.steps();
    assert!(stage.shows("make another one"));
    stage.shared.apply(Update::Link(Link::Up));
    stage.steps();
    assert!(stage.shows("connected") && !stage.shows("Try now"));
}

#[test]
fn foreign_names_of_any_size_are_drawn() {
    let mut stage = stage();
    // The window asks the system for fonts; here there are only those that come with it.
    stage.harness.ctx.set_missing_glyph_policy(MissingGlyphPolicy::Tofu);
    for (n, name) in
        ["x".repeat(1 << 20), "שלום עולם".to_owned(), "🎨🏳️‍🌈\u{202E}".to_owned()].into_iter().enumerate()
    {
        let mut run = detail(1, &["a"]);
        run.run.id = cis_core::ids::RunId::from_parts(9, n as u128);
        run.run.dag = name;
        stage.shared.apply(Update::Run(Box::new(run)));
    }
    let note = Note { at_ms: now_ms(), tone: Tone::Bad, text: "refused".into(), hint: None };
    stage.shared.apply(Update::Note(note));
    stage.click("Runs");
    assert!(stage.shows("שלום"));
}

#[test]
fn nothing_is_drawn_while_nothing_changes() {
    static WOKEN: AtomicUsize = AtomicUsize::new(0);
    let shared = Shared::new(Arc::new(|| {
        WOKEN.fetch_add(1, Ordering::Relaxed);
    }));
    let (to, _commands) = Sender::channel();
    let dashboard = Dashboard::new(Arc::clone(&shared), to);
    let mut harness =
        Harness::builder().build_ui_state(|ui, dashboard: &mut Dashboard| dashboard.draw(ui), dashboard);
    shared.apply(Update::Link(Link::Up));
    assert_eq!(WOKEN.load(Ordering::Relaxed), 1, "a change wakes whoever draws");
    // It ends only where no frame asks for another one.
    harness.run();
}

#[test]
fn a_burst_of_changes_wakes_once_and_another_one_after_a_look() {
    let woken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&woken);
    let shared = Shared::new(Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    for _ in 0..100 {
        shared.apply(Update::Link(Link::Up));
    }
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    shared.look();
    shared.apply(Update::Link(Link::Up));
    assert_eq!(woken.load(Ordering::Relaxed), 2);
}

/// When the next frame is asked for after all that settles has settled.
fn next_frame(stage: &mut Stage) -> Duration {
    for _ in 0..200 {
        stage.harness.step();
        let next = stage.harness.output().viewport_output.values().map(|view| view.repaint_delay).min();
        if next.is_none_or(|next| next > Duration::from_millis(100)) {
            return next.unwrap_or(Duration::MAX);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Duration::ZERO
}

#[test]
fn frames_are_asked_for_by_clocks_that_are_shown_alone() {
    let mut stage = stage();
    stage.shared.apply(Update::Run(Box::new(detail(1, &["compile", "test"]))));
    let run = stage.shared.model().runs.all().next().unwrap().view().id;
    stage.steps();
    assert!(next_frame(&mut stage) > Duration::from_secs(3_000), "the inbox has no clock of runs");
    for go in [Go::Runs, Go::Run(run)] {
        stage.harness.state_mut().go(go);
        let next = next_frame(&mut stage);
        // It began long ago, so that its clock changes once an hour.
        assert!(next > Duration::from_millis(500) && next <= Duration::from_hours(1), "{go:?} {next:?}");
    }
    let over = serde_json::json!({ "offset": 9, "id": "01JD0V3Z8K6T9W2B5N7Q4R1XEC", "run": run, "v": 1,
        "type": "cis.dag.run.completed", "at_ms": 9, "body": {} });
    stage.shared.apply(Update::Events(vec![serde_json::from_value(over).unwrap()]));
    assert_eq!(next_frame(&mut stage), Duration::MAX, "a run that is over does not change");
}

#[test]
fn the_critical_path_is_shown_where_it_is_asked_for() {
    let mut stage = stage();
    let mut run = detail(1, &["plan", "fast", "slow", "end"]);
    let times = [(0, 1_000), (1_000, 2_000), (1_000, 61_000), (61_000, 62_000)];
    for (task, (from, to)) in run.tasks.iter_mut().zip(times) {
        (task.started_ms, task.ended_ms) = (Some(from), Some(to));
        task.state = cis_core::event::TaskState::Succeeded;
    }
    let plan = run.tasks[0].id.clone();
    let both = vec![run.tasks[1].id.clone(), run.tasks[2].id.clone()];
    run.tasks[1].needs = vec![plan.clone()];
    run.tasks[2].needs = vec![plan];
    run.tasks[3].needs = both;
    let id = run.run.id;
    stage.shared.apply(Update::Run(Box::new(run)));
    stage.harness.state_mut().go(Go::Run(id));
    next_frame(&mut stage);
    assert!(!stage.shows("1:02 min"));
    stage.click("Critical path");
    next_frame(&mut stage);
    assert!(stage.shows("1:02 min"), "how long it took stands beside it");
    stage.click("Critical path");
    assert!(!stage.shows("1:02 min"));
}
