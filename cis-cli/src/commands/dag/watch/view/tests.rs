//! What is drawn, at the sizes that people have.

use cis_core::event::PromptKind;
use ratatui_core::backend::TestBackend;
use ratatui_core::terminal::Terminal;
use serde_json::json;

use super::super::board::tests::{blocks, board, ends, happens, session, starts, statuses};
use super::super::board::{Board, tree};
use super::super::ui::Ui;
use super::*;
use crate::term::keys::Key;

/// A run in its middle: something is done, something failed, two tasks wait, a list is at work.
fn middle() -> Board {
    let mut board = board(&[
        "plan",
        "build: plan",
        "lint: plan",
        "test: build lint",
        "agent: plan",
        "fetch: plan",
        "deploy: test agent",
        "later: fetch",
    ]);
    starts(&mut board, 0, "plan", 1);
    ends(&mut board, 2_000, "plan", 1, 0);
    starts(&mut board, 2_000, "build", 2);
    starts(&mut board, 2_000, "lint", 3);
    ends(&mut board, 3_000, "lint", 3, 3);
    starts(&mut board, 3_000, "agent", 4);
    happens(
        &mut board,
        3_000,
        "cis.dag.task.expanded",
        &json!({ "task": "fetch", "items": ["eu", "us", "ap"] }),
    );
    starts(&mut board, 4_000, "fetch.1", 5);
    ends(&mut board, 5_000, "fetch.1", 5, 0);
    starts(&mut board, 5_000, "fetch.2", 6);
    let asks = json!([{ "task": "later", "state": "queued", "queued": { "kind": "approval", "prompt": "Really later?" } }]);
    statuses(&mut board, 6_000, &asks);
    let options = ["Yes", "Yes, and don't ask again", "No, and tell it what to do"];
    blocks(
        &mut board,
        7_000,
        "agent",
        4,
        PromptKind::Permission,
        (1, "Run `cargo test --workspace`?"),
        &options,
    );
    board
}

fn output(task: Index) -> Output {
    let lines: Vec<String> = (1..40).map(|n| format!("compiling crate {n}")).collect();
    Output { task: Some(task), lines: lines.into(), none: None }
}

fn shown(cols: u16, rows: u16, board: &Board, ui: &mut Ui, output: &Output) -> String {
    ui.refresh(board);
    let mut terminal = Terminal::new(TestBackend::new(cols, rows)).unwrap();
    let mut scene = Scene { board, ui, output, now: 65_000, away: false };
    terminal.draw(|frame| draw(frame.buffer_mut(), &mut scene)).unwrap();
    terminal.backend().to_string()
}

fn press(ui: &mut Ui, board: &Board, keys: &str) {
    for c in keys.chars() {
        let key = if c == '\r' { Key::Enter } else { Key::Char(c) };
        ui.press(board, &key);
    }
}

#[test]
fn it_fits_the_terminals_that_people_have() {
    let board = middle();
    for (cols, rows) in [(80, 24), (120, 40), (40, 10)] {
        let mut ui = Ui::default();
        ui.refresh(&board);
        let agent = board.model.place("agent").unwrap();
        ui.choose(&board, agent);
        let text = shown(cols, rows, &board, &mut ui, &output(agent));
        insta::assert_snapshot!(format!("middle_{cols}x{rows}"), text);
    }
}

#[test]
fn no_size_is_too_small_or_too_large() {
    let board = middle();
    for cols in (1..30).chain([79, 80, 99, 100, 300]) {
        for rows in (1..30).chain([100]) {
            for keys in ["", "?", "c", "wa", "l", "/x", "jj", "fff"] {
                let mut ui = Ui::default();
                ui.refresh(&board);
                press(&mut ui, &board, keys);
                shown(cols, rows, &board, &mut ui, &output(0));
            }
        }
    }
}

#[test]
fn where_both_have_no_room_the_task_takes_the_place_of_the_list() {
    let board = middle();
    let mut ui = Ui::default();
    ui.refresh(&board);
    press(&mut ui, &board, "w");
    ui.press(&board, &Key::Tab);
    insta::assert_snapshot!("closer", shown(40, 10, &board, &mut ui, &Output::default()));
}

#[test]
fn an_answer_is_chosen_in_a_box() {
    let board = middle();
    let mut ui = Ui::default();
    ui.refresh(&board);
    ui.choose(&board, board.model.place("agent").unwrap());
    press(&mut ui, &board, "a2");
    insta::assert_snapshot!("answer", shown(60, 20, &board, &mut ui, &Output::default()));
}

#[test]
fn what_is_chosen_of_many_options_is_in_sight() {
    let mut board = board(&["agent"]);
    starts(&mut board, 0, "agent", 1);
    let options: Vec<String> = (1..=20).map(|n| format!("model {n}.")).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    blocks(&mut board, 1_000, "agent", 1, PromptKind::Question, (1, "Which model?"), &options);
    let mut ui = Ui::default();
    shown(60, 12, &board, &mut ui, &output(0));
    press(&mut ui, &board, "a");
    for chosen in [None, Some(2), Some(20), Some(9)] {
        for c in chosen.iter().flat_map(|n: &usize| n.to_string().chars().collect::<Vec<_>>()) {
            ui.press(&board, &Key::Char(c));
        }
        let screen = shown(60, 12, &board, &mut ui, &output(0));
        let chosen = format!("model {}.", chosen.unwrap_or(20));
        assert!(screen.contains(&chosen), "{chosen}:\n{screen}");
    }
}

#[test]
fn help_and_an_ended_run() {
    let mut board = middle();
    happens(&mut board, 60_000, "cis.dag.run.failed", &json!({ "detail": "task lint failed: exit code 3" }));
    let mut ui = Ui::default();
    insta::assert_snapshot!("ended", shown(80, 24, &board, &mut ui, &Output::default()));
    press(&mut ui, &board, "?");
    insta::assert_snapshot!("help", shown(80, 24, &board, &mut ui, &Output::default()));
}

#[test]
fn what_a_session_or_a_file_says_moves_nothing() {
    let mut board = board(&["a", "b"]);
    starts(&mut board, 0, "a", 1);
    let hostile =
        "\x1b[2J\x1b]0;owned\x07\u{9b}31m\u{202e}evil\r\nsecond\tline\u{feff}\u{1f468}\u{200d}\u{1f469}";
    blocks(&mut board, 0, "a", 1, PromptKind::Question, (1, hostile), &[hostile, ""]);
    board.model.dag = hostile.to_owned();
    board.more[1].reason = hostile.to_owned();
    let none = Output { task: Some(0), lines: Vec::new().into(), none: Some(hostile.to_owned()) };
    for keys in ["", "a", "a3\r\u{202e}", "/\u{202e}"] {
        let mut ui = Ui::default();
        ui.refresh(&board);
        press(&mut ui, &board, keys);
        let text = shown(80, 30, &board, &mut ui, &none);
        let bad = |c: &char| c.is_control() && *c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{9b}');
        assert_eq!(text.chars().find(bad), None, "{text:?}");
        assert!(text.contains("evil"), "{text}");
    }
    assert_eq!(session(1), board.more[0].session.unwrap());
}

/// Its figures are in the documentation of benchmarks; here it only may not become slow by an order.
#[test]
fn ten_thousand_tasks_are_drawn_quickly() {
    let names: Vec<String> = (0..10_000)
        .map(|n| if n < 100 { format!("t{n}") } else { format!("t{n}: t{} t{}", n % 100, n - 100) })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let begun = std::time::Instant::now();
    let mut board = board(&names);
    for n in 0..50 {
        starts(&mut board, 0, &format!("t{n}"), n);
    }
    let made = begun.elapsed();
    let mut ui = Ui::default();
    let mut frames = Vec::new();
    for n in 0..50 {
        starts(&mut board, 0, &format!("t{}", n * 7 + 100), n);
        let begun = std::time::Instant::now();
        ui.press(&board, &Key::Down);
        let text = shown(120, 40, &board, &mut ui, &output(0));
        frames.push(begun.elapsed());
        assert!(text.contains("0/10000 done"), "{text}");
    }
    frames.sort_unstable();
    println!("made {made:?}, list and frame median {:?}, most {:?}", frames[25], frames[49]);
    assert!(frames[25].as_millis() < 400, "{frames:?}");
    let rows = ui.rows.iter().filter(|row| matches!(row.key, tree::Key::Rest(_))).count();
    assert!(ui.rows.len() < 10_000 || rows > 0, "something is folded");
}
