//! The dashboard driven as by hand: what is clicked goes out as a command, what comes is shown.
#![allow(clippy::disallowed_methods, reason = "tests write files")]

mod bad_input;
mod decisions;
mod graph;
mod rights;
mod room_nodes;
mod sessions;
mod starts;

use std::sync::atomic::{AtomicUsize, Ordering};

use cis_core::api::{AnswerWith, InboxItem, Problem, ProblemKind};
use egui::epaint::text::MissingGlyphPolicy;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::command::Verb;
use crate::feed::files;
use crate::model::Note;
use crate::model::tests::detail;

struct Stage {
    shared: Arc<Shared>,
    commands: UnboundedReceiver<Command>,
    harness: Harness<'static, Dashboard>,
}

fn stage() -> Stage {
    stage_in_steps_of(0.25)
}

/// With so much time from one frame to the next, s.
fn stage_in_steps_of(seconds: f32) -> Stage {
    let shared = Shared::new(Arc::new(|| {}));
    let (to, commands) = Sender::channel();
    let dashboard = Dashboard::new(Arc::clone(&shared), to);
    let harness = Harness::builder()
        .with_size(egui::vec2(1200.0, 700.0))
        .with_step_dt(seconds)
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

    /// The node says this.
    fn gets(&mut self, update: Update) {
        self.shared.apply(update);
        self.steps();
    }

    fn go(&mut self, to: Go) {
        self.harness.state_mut().go(to);
        self.steps();
    }

    fn press(&mut self, key: Key) {
        self.harness.key_press(key);
        self.steps();
    }

    fn press_with(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.steps();
    }

    /// Writes into a field.
    fn write(&mut self, label: &str, text: &str) {
        self.harness.get_by_label(label).focus();
        self.steps();
        self.harness.get_by_label(label).type_text(text);
        self.steps();
    }

    /// The node refused the answers among what was sent.
    fn refused(&mut self, sent: &[Command]) {
        for command in sent {
            if let Command::Answer { slot, .. } = command {
                slot.fill(Err(Problem::new(ProblemKind::Unavailable, "refused")));
            }
        }
        self.steps();
    }

    /// A note says that another command failed.
    fn failed_note(&mut self) {
        let note = Note { at_ms: now_ms(), tone: Tone::Bad, text: "refused".into(), hint: None };
        self.gets(Update::Note(note));
    }

    /// What stands in the field for an answer.
    fn written(&self) -> String {
        self.value("Answer in words")
    }

    /// What stands in a field.
    fn value(&self, label: &str) -> String {
        self.harness.get_by_label(label).value().unwrap_or_default()
    }

    fn shows(&self, text: &str) -> bool {
        self.harness.query_all_by_label_contains(text).next().is_some()
    }
}

/// What a screen reader says of a node.
fn said(node: &egui_kittest::Node<'_>) -> String {
    use egui_kittest::kittest::NodeT as _;
    let node = node.accesskit_node();
    node.label().or_else(|| node.value()).unwrap_or_default()
}

fn question(kind: &str, options: &serde_json::Value) -> InboxItem {
    serde_json::from_value(json!({
        "id": "abcdef", "run": "01JD0V3Z8K6T9W2B5N7Q4R1XEC", "task": "paint",
        "session": "01JD0V3Z8K6T9W2B5N7Q4R1XED", "kind": kind, "question": "Which colour?", "options": options,
        "since_ms": 5, "confidence": 90, "layer": "kernel", "episode": 1, "hash": "h1", "screen": "Which colour? ",
        "urgency": "medium",
    }))
    .unwrap()
}

#[test]
fn an_option_is_answered_by_a_click_with_the_prompt_that_was_looked_at() {
    let mut stage = stage();
    let options = json!([{ "id": "1", "label": "red" }, { "id": "2", "label": "blue" }]);
    stage.gets(Update::Inbox(vec![question("question", &options)]));
    assert!(stage.shows("Inbox (1)"));
    stage.click("blue");
    let sent = stage.sent();
    let [Command::Answer { item, with: AnswerWith::Option { option }, hash, again: None, .. }] =
        sent.as_slice()
    else {
        panic!("{sent:?}")
    };
    assert_eq!((option.as_str(), hash.as_str()), ("id:2", "h1"));
    assert_eq!(*item, question("question", &json!([])).name());
    // Answered elsewhere it disappears.
    stage.gets(Update::Inbox(Vec::new()));
    assert!(stage.shows("Nothing waits for you"));
}

#[test]
fn words_are_typed_and_a_password_is_not() {
    let mut stage = stage();
    stage.gets(Update::Inbox(vec![question("question", &json!([]))]));
    stage.write("Answer in words", "green");
    stage.click("Send");
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Answer { with: AnswerWith::Text { text }, .. }] if text == "green"),
        "{sent:?}"
    );
    assert_eq!(stage.written(), "", "it is on its way");
    stage.refused(&sent);
    assert_eq!(stage.written(), "green", "nobody writes it again");
    stage.click("Send");
    assert_eq!(stage.sent().len(), 1);
    stage.gets(Update::Inbox(vec![question("editor", &json!([]))]));
    assert!(stage.shows("answered in its terminal"));
    assert!(stage.harness.query_by_label("Send").is_none());
    stage.gets(Update::Inbox(vec![question("password", &json!([]))]));
    assert!(stage.shows("typed into its terminal"));
    assert!(stage.harness.query_by_label("Send").is_none());
}

#[test]
fn an_option_and_words_are_reached_by_keys_and_sent_by_enter() {
    let mut stage = stage();
    let options = json!([{ "id": "1", "label": "red" }, { "id": "2", "label": "blue" }]);
    stage.gets(Update::Inbox(vec![question("question", &options)]));
    stage.press(Key::Num2);
    assert!(stage.sent().is_empty() && stage.harness.get_by_label("blue").is_focused());
    stage.press(Key::Num1);
    assert!(stage.harness.get_by_label("red").is_focused());
    stage.press(Key::Enter);
    let sent = stage.sent();
    let [Command::Answer { with: AnswerWith::Option { option }, .. }] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!(option, "id:1");
    stage.press(Key::Enter);
    assert!(stage.sent().is_empty(), "what became of the first is not known yet");
    stage.refused(&sent);
    // A key and its letter come together.
    let key = Key::A;
    let modifiers = Modifiers::NONE;
    stage.harness.input_mut().events.extend([
        egui::Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers },
        egui::Event::Text("a".into()),
        egui::Event::Key { key, physical_key: None, pressed: false, repeat: false, modifiers },
    ]);
    stage.steps();
    stage.harness.event(egui::Event::Text("a1".into()));
    stage.steps();
    stage.press(Key::Enter);
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Answer { with: AnswerWith::Text { text }, .. }] if text == "a1"),
        "{sent:?}"
    );
}

#[test]
fn a_run_is_opened_steered_and_its_task_shown() {
    let mut stage = stage();
    stage.shared.apply(Update::Run(Box::new(detail(1, &["compile", "test"]))));
    stage.click("Runs");
    stage.click("Pause");
    assert!(matches!(stage.sent()[..], [Command::Steer(_, Verb::Pause)]));
    let run = stage.shared.model().runs.all().next().unwrap().view().id;
    stage.go(Go::Run(run));
    assert!(matches!(stage.sent()[..], [Command::Look(_)]));
    stage.click("Tasks");
    stage.click("compile");
    assert!(matches!(stage.sent()[..], [Command::Why(..)]));
    assert!(stage.shows("Close"));
}

#[test]
fn a_run_that_ends_while_it_is_shown_keeps_its_tasks_until_another_one_is_shown() {
    let mut stage = stage();
    let run = detail(1, &["compile"]);
    let id = run.run.id;
    let mut other = detail(1, &["test"]);
    other.run.id = cis_core::ids::RunId::from_parts(9, 9);
    let over = json!({ "offset": 9, "id": "01JD0V3Z8K6T9W2B5N7Q4R1XEC", "run": id, "v": 1,
        "type": "cis.dag.run.completed", "at_ms": 9, "body": {} });
    let is_whole = |stage: &Stage| stage.shared.model().run(id).unwrap().live().is_some();
    stage.shared.apply(Update::Run(Box::new(run)));
    stage.harness.state_mut().go(Go::Run(id));
    stage.steps();
    stage.shared.apply(Update::Events(vec![serde_json::from_value(over).unwrap()]));
    stage.click("Tasks");
    assert!(stage.shows("compile"));
    stage.harness.state_mut().go(Go::Runs);
    stage.steps();
    stage.sent();
    stage.harness.state_mut().go(Go::Run(id));
    stage.steps();
    assert!(stage.shows("compile") && stage.sent().is_empty(), "it was not loaded again");
    let at = other.run.id;
    stage.shared.apply(Update::Run(Box::new(other)));
    stage.harness.state_mut().go(Go::Run(at));
    stage.steps();
    assert!(!is_whole(&stage));
    stage.sent();
    stage.harness.state_mut().go(Go::Run(id));
    stage.steps();
    assert!(matches!(&stage.sent()[..], [Command::Look(run)] if *run == id), "its tasks are loaded");
}

#[test]
fn every_state_of_the_line_says_what_to_do() {
    let mut stage = stage();
    stage.steps();
    assert!(stage.shows("connecting"));
    let why = "no node is running. `cis node start` starts one".to_owned();
    stage.gets(Update::Link(Link::Lost { since_ms: 0, why }));
    assert!(stage.shows("disconnected") && stage.shows("cis node start"));
    stage.click("Try now");
    assert!(matches!(stage.sent()[..], [Command::Reconnect]));
    let refused = Problem::new(ProblemKind::Denied, "this token is revoked").hint("make another one");
    stage.gets(Update::Link(Link::Refused(Box::new(refused))));
    assert!(stage.shows("make another one"));
    stage.gets(Update::Link(Link::Up));
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
    stage.failed_note();
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
fn a_file_becomes_a_run_with_its_parameters_and_one_that_is_wrong_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let good = "version = 1\n[dag]\nid = \"ship\"\n[dag.params]\nbranch = { type = \"string\" }\n\
        fast = { type = \"boolean\", default = false }\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n";
    std::fs::write(dir.path().join("good.toml"), good).unwrap();
    std::fs::write(dir.path().join("wrong.toml"), good.replace("command", "comand")).unwrap();
    let mut stage = stage();
    stage.press_with(Modifiers::CTRL, Key::N);
    let served = |stage: &mut Stage| {
        let mut submitted = None;
        for command in stage.sent() {
            match command {
                Command::Browse(_, slot) => slot.fill(files::browse(dir.path())),
                Command::Read(path, slot) => slot.fill(files::read(&path)),
                Command::Submit(new, slot) => submitted = Some((new, slot)),
                other => panic!("{other:?}"),
            }
        }
        stage.steps();
        submitted
    };
    served(&mut stage);
    stage.click("wrong.toml");
    served(&mut stage);
    assert!(stage.shows("comand") && stage.shows("wrong.toml has "));
    assert!(stage.harness.query_by_label("Start").is_none());
    stage.click("good.toml");
    served(&mut stage);
    // What must be given is missing: nothing is sent.
    assert!(stage.shows("`branch` is missing"));
    stage.click("Start");
    assert!(stage.sent().is_empty());
    stage.write("Value of branch", "main");
    stage.click("fast true");
    stage.click("Start");
    let (new, slot) = served(&mut stage).expect("it is sent");
    let params: Vec<_> = new.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(params, [("branch", "main"), ("fast", "true")]);
    assert!(new.start && new.room.is_none());
    assert_eq!(std::path::Path::new(&new.workdir), dir.path().canonicalize().unwrap());
    // The node refuses: said where it was asked, and what was filled in stays.
    slot.fill(Err(Problem::new(ProblemKind::Unavailable, "the disk is full").hint("make room")));
    stage.steps();
    assert!(stage.shows("the disk is full") && stage.shows("make room"));
    stage.click("Start");
    let (_, slot) = served(&mut stage).expect("it is sent again");
    let run = detail(1, &["a"]).run;
    slot.fill(Ok(run.clone()));
    stage.steps();
    assert!(matches!(&stage.sent()[..], [Command::Look(id)] if *id == run.id), "its run is opened");
}

#[test]
fn the_timeline_asks_once_and_shows_where_time_went() {
    let mut stage = stage();
    let run = detail(1, &["compile", "test"]);
    let id = run.run.id;
    stage.gets(Update::Run(Box::new(run)));
    stage.click("Runs");
    stage.click("build");
    stage.sent();
    stage.click("Timeline");
    let sent = stage.sent();
    let [Command::Times(of, slot)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*of, id);
    let times = json!({
        "run": id, "state": "succeeded", "from_ms": 1_000, "wall_ms": 3_000,
        "critical": { "queue_ms": 500, "machine_ms": 2_000, "human_ms": 500 }, "path": [],
        "tasks": [
            { "task": "compile", "state": "succeeded", "critical": true, "from_ms": 1_000, "to_ms": 3_000,
              "queue_ms": 500, "machine_ms": 1_500, "human_ms": 0 },
            { "task": "test", "state": "succeeded", "critical": false, "from_ms": 3_000, "to_ms": 4_000,
              "queue_ms": 0, "machine_ms": 500, "human_ms": 500 },
        ],
    });
    slot.fill(Ok(serde_json::from_value(times).unwrap()));
    stage.steps();
    assert!(stage.shows("Critical path (outlined): 500 ms in the queue, 2 s at work"));
    assert!(stage.sent().is_empty(), "nothing has happened since");
    stage.click("compile: 500 ms in the queue, 1.5 s at work, on the critical path");
    assert!(matches!(&stage.sent()[..], [Command::Why(_, task, _)] if task == "compile"));
}

#[test]
fn settings_count_at_once() {
    let mut stage = stage();
    stage.press_with(Modifiers::CTRL, Key::Num5);
    stage.click("Dark");
    assert!(stage.harness.ctx.global_style().visuals.dark_mode);
    stage.click("Light");
    assert!(!stage.harness.ctx.global_style().visuals.dark_mode);
    stage.click("Larger");
    assert!((stage.harness.ctx.zoom_factor() - 1.1).abs() < 0.01);
    stage.press_with(Modifiers::COMMAND, Key::Num0);
    assert!(stage.shows("100 %"), "keys count as well");
    stage.click("Show one");
    assert!(matches!(stage.sent()[..], [Command::Ring]));
}

#[test]
fn logs_of_all_tries_are_read_and_files_saved() {
    let mut stage = stage();
    let mut run = detail(1, &["compile"]);
    let task = &mut run.tasks[0];
    task.attempts = 2;
    task.session = Some("01JD0V3Z8K6T9W2B5N7Q4R1XED".parse().unwrap());
    task.artifacts =
        serde_json::from_value(json!([{ "path": "out/a.html", "blob": "ab", "size": 12 }])).unwrap();
    stage.gets(Update::Run(Box::new(run)));
    stage.click("Runs");
    stage.click("build");
    stage.click("Tasks");
    stage.click("compile");
    stage.sent();
    stage.click("Log");
    let sent = stage.sent();
    let [Command::Log(_, task, 2, slot)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(task, "compile");
    slot.fill(Ok("second\n".to_owned()));
    stage.steps();
    assert!(stage.shows("second"));
    stage.click("Log of try 1");
    let sent = stage.sent();
    let [Command::Log(_, _, 1, slot)] = &sent[..] else { panic!("{sent:?}") };
    slot.fill(Ok(String::new()));
    stage.steps();
    assert!(stage.shows("It wrote nothing") && !stage.shows("second"));
    stage.click("Save out/a.html");
    let sent = stage.sent();
    let [Command::Save(_, _, file, slot)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(file.path, "out/a.html");
    slot.fill(Ok("/home/ann/Downloads/a.html".into()));
    stage.steps();
    assert!(stage.shows("saved as /home/ann/Downloads/a.html"));
}

#[test]
fn what_is_typed_for_an_item_that_is_over_goes_nowhere() {
    let mut stage = stage();
    let mut second = question("question", &json!([{ "id": "1", "label": "yes" }]));
    second.id = cis_core::ids::InboxId("ghijkl".into());
    stage.gets(Update::Inbox(vec![question("question", &json!([])), second.clone()]));
    stage.harness.get_by_label("Answer in words").focus();
    stage.steps();
    stage.harness.event(egui::Event::Text("on branch ".into()));
    stage.steps();
    // Somebody else answers, in the middle of a word.
    stage.gets(Update::Inbox(vec![second]));
    for text in ["1", "a"] {
        stage.harness.event(egui::Event::Text(text.into()));
        stage.steps();
    }
    stage.press(Key::Enter);
    assert!(stage.sent().is_empty(), "it was for another question");
    assert!(stage.shows("What you were answering is over"));
    stage.click("Leave it");
    assert!(stage.shows("yes") && stage.sent().is_empty());
}

#[test]
fn what_was_written_for_an_item_is_there_again_when_it_is_shown_again() {
    let mut stage = stage();
    let first = |kind: &str| question(kind, &json!([]));
    let mut second = first("question");
    second.id = cis_core::ids::InboxId("ghijkl".into());
    second.question = "Which size?".into();
    let write = |stage: &mut Stage, text: &str| {
        stage.harness.get_by_label("Answer in words").focus();
        stage.steps();
        stage.harness.get_by_label("Answer in words").type_text(text);
        stage.steps();
    };
    let choose = |stage: &mut Stage, card: &str| {
        stage.harness.get_by_label_contains(card).click_accesskit();
        stage.steps();
    };
    stage.shared.apply(Update::Inbox(vec![first("question"), second.clone()]));
    stage.steps();
    write(&mut stage, "green");
    choose(&mut stage, "Question: Which size?");
    assert_eq!(stage.written(), "", "this is the field of the other item");
    write(&mut stage, "small");
    stage.harness.state_mut().inbox.pick(first("question").name());
    stage.steps();
    assert_eq!(stage.written(), "green");
    stage.click("Send");
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Answer { with: AnswerWith::Text { text }, .. }] if text == "green"),
        "{sent:?}"
    );
    stage.refused(&sent);
    choose(&mut stage, "Question: Which size?");
    assert_eq!(stage.written(), "small");
    choose(&mut stage, "Question: Which colour?");
    // The other one is over.
    stage.shared.apply(Update::Inbox(vec![first("question")]));
    stage.steps();
    stage.shared.apply(Update::Inbox(vec![first("question"), second.clone()]));
    stage.steps();
    choose(&mut stage, "Question: Which size?");
    assert_eq!(stage.written(), "");
    choose(&mut stage, "Question: Which colour?");
    assert_eq!(stage.written(), "green");
    // What may be a secret is not kept.
    for (kind, card) in [("login", "Login: Which colour?"), ("password", "Password: Which colour?")] {
        stage.shared.apply(Update::Inbox(vec![first(kind), second.clone()]));
        stage.steps();
        choose(&mut stage, "Question: Which size?");
        choose(&mut stage, card);
        stage.shared.apply(Update::Inbox(vec![first("question"), second.clone()]));
        stage.steps();
        assert_eq!(stage.written(), "", "{kind}");
        write(&mut stage, "hunter2");
    }
}

#[test]
fn a_number_is_that_of_the_row_that_shows_it() {
    let mut stage = stage();
    let options = json!([{ "id": "2", "label": "monday" }, { "id": "3", "label": "tuesday" }]);
    stage.gets(Update::Inbox(vec![question("question", &options)]));
    stage.press(Key::Num1);
    stage.press(Key::Enter);
    assert!(stage.sent().is_empty(), "no row shows it");
    stage.press(Key::Num3);
    assert!(stage.harness.get_by_label("tuesday").is_focused());
}

#[test]
fn an_answer_once_more_is_asked_for() {
    let mut stage = stage();
    let mut item = question("question", &json!([{ "id": "1", "label": "yes" }]));
    (item.answered_ms, item.answered_by) = (Some(7), Some("ann".to_owned()));
    stage.gets(Update::Inbox(vec![item]));
    assert!(stage.shows("ann has answered") && stage.harness.query_by_label("yes").is_none());
    stage.click("Answer once more");
    stage.click("yes");
    assert!(matches!(stage.sent()[..], [Command::Answer { again: Some(7), .. }]));
}

#[test]
fn a_question_about_one_thing_is_no_answer_about_another() {
    let mut stage = stage();
    let mut run = detail(1, &["compile", "test"]);
    for (task, session) in
        run.tasks.iter_mut().zip(["01JD0V3Z8K6T9W2B5N7Q4R1XED", "01JD0V3Z8K6T9W2B5N7Q4R1XEE"])
    {
        task.session = Some(session.parse().unwrap());
        task.state = cis_core::event::TaskState::Running;
    }
    stage.gets(Update::Run(Box::new(run)));
    stage.click("Runs");
    stage.click("build");
    stage.click("Tasks");
    stage.click("compile");
    stage.click("End session");
    stage.click("test");
    assert!(stage.shows("End session") && !stage.shows("Really end it"));
}

#[test]
fn a_command_that_was_not_confirmed_is_shown_until_its_outcome_is_known_or_it_is_dismissed() {
    let mut stage = stage();
    stage.gets(Update::Unconfirmed(3, "Cancel: the connection broke".into()));
    assert!(stage.shows("Not confirmed: Cancel: the connection broke"));
    stage.click("Dismiss");
    assert!(stage.sent().iter().any(|command| matches!(command, Command::Dismiss(3))));
    stage.gets(Update::LineGone(3));
    assert!(!stage.shows("Not confirmed"));
    (0..200).for_each(|n| stage.shared.apply(Update::Unconfirmed(n, String::new())));
    assert_eq!(stage.shared.model().unconfirmed.len(), 50, "they are bounded");
}
