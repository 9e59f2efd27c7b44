//! Keys into wishes.

use cis_core::event::{PromptKind, RetryScope};
use serde_json::json;

use super::super::board::tests::{blocks, board, ends, happens, session, starts, statuses};
use super::form::Given;
use super::press::Wish;
use super::*;
use crate::term::keys::Key as Typed;

fn at(board: &Board) -> Ui {
    let mut ui = Ui { page: 10, ..Ui::default() };
    ui.refresh(board);
    ui
}

/// Types; the wishes that came of it.
fn types(ui: &mut Ui, board: &Board, keys: &str) -> Vec<Wish> {
    let key = |c| match c {
        '\r' => Typed::Enter,
        '\x1b' => Typed::Escape,
        '\x7f' => Typed::Backspace,
        '\x03' => Typed::Ctrl('c'),
        c => Typed::Char(c),
    };
    keys.chars().filter_map(|c| ui.press(board, &key(c))).collect()
}

fn said(ui: &Ui) -> &str {
    ui.message.as_ref().map_or("", |message| &message.text)
}

fn waiting() -> Board {
    let mut board = board(&["a", "b", "c"]);
    starts(&mut board, 0, "a", 1);
    starts(&mut board, 0, "b", 2);
    board
}

#[test]
fn nothing_is_cancelled_by_leaving_or_by_one_key() {
    let board = waiting();
    for keys in ["q", "\x03", "/x\x03"] {
        assert_eq!(types(&mut at(&board), &board, keys), [Wish::Quit], "{keys:?}");
    }
    for keys in ["cn", "c\x1b", "cc", "c\r", "c\x03"] {
        let mut ui = at(&board);
        assert_eq!(types(&mut ui, &board, keys), [], "{keys:?}");
        assert!(ui.over.is_none());
    }
    assert_eq!(types(&mut at(&board), &board, "cy"), [Wish::Cancel]);
    // What comes from a clipboard is no key.
    let mut ui = at(&board);
    assert_eq!(ui.press(&board, &Typed::Pasted("cy".into())), None);
    assert!(ui.over.is_none());
}

#[test]
fn enter_goes_to_the_live_session_and_to_the_log_of_an_ended_one() {
    let mut board = waiting();
    assert_eq!(types(&mut at(&board), &board, "\r"), [Wish::Attach(0)]);
    ends(&mut board, 5, "a", 1, 0);
    assert_eq!(types(&mut at(&board), &board, "\r"), [Wish::Log(0)]);
    let mut ui = at(&board);
    assert_eq!(types(&mut ui, &board, "jj\r"), []);
    assert!(said(&ui).contains("no session"), "{}", said(&ui));
    assert_eq!(types(&mut ui, &board, "kl"), [Wish::Log(1)]);
    assert_eq!(types(&mut ui, &board, "kkq"), [Wish::LogClosed], "its keys are its own");
}

#[test]
fn an_option_is_chosen_by_number_and_names_the_prompt_that_was_seen() {
    let mut board = waiting();
    let options: Vec<String> = (1..=12).map(|n| format!("option {n}")).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    blocks(&mut board, 9, "b", 2, PromptKind::Permission, (1, "Run?"), &options);
    for (keys, option) in
        [("aj\r", "1"), ("a3\r", "3"), ("a12\r", "12"), ("a19\r", "9"), ("a2jk\r", "2"), ("a99\r", "9")]
    {
        let mut ui = at(&board);
        let wishes = types(&mut ui, &board, keys);
        let [Wish::Answer { task: 1, asked, given: Given::Option(id) }] = wishes.as_slice() else {
            panic!("{keys:?}: {wishes:?}");
        };
        assert_eq!((id.as_str(), asked.hash.as_str()), (option, "0000000000000001"), "{keys:?}");
    }
    // The only one that waits is meant, wherever one is; Escape answers nothing.
    assert_eq!(types(&mut at(&board), &board, "a\x1b"), []);
    let wishes = types(&mut at(&board), &board, "a13\rno thanks\x7f!\r");
    assert!(
        matches!(wishes.as_slice(), [Wish::Answer { given: Given::Words(words), .. }] if words == "no thank!"),
        "{wishes:?}"
    );
}

/// The id of the option that these keys send. None: they send nothing.
fn option_sent(board: &Board, keys: &str) -> Option<String> {
    match types(&mut at(board), board, keys).as_slice() {
        [Wish::Answer { given: Given::Option(id), .. }] => Some(id.clone()),
        [] => None,
        other => panic!("{keys:?}: {other:?}"),
    }
}

#[test]
fn enter_sends_only_what_was_chosen() {
    let mut board = waiting();
    blocks(
        &mut board,
        9,
        "b",
        2,
        PromptKind::Permission,
        (1, "Delete everything?"),
        &["Yes", "No", "Now not"],
    );
    for keys in ["a\r", "ax\r", "ayesterday\r", "an\r", "a7\r", "aje\r"] {
        assert_eq!(types(&mut at(&board), &board, keys), [], "{keys:?}");
    }
    for (keys, option) in [
        ("ano\x1b", None),
        ("anot\r", None),
        ("ano\r", Some("2")),
        ("anow\r", Some("3")),
        ("aY\r", Some("1")),
        ("ayes\r", Some("1")),
        ("axkk\r", None),
        ("akk\r", Some("3")),
        ("aok\r", None),
        ("ajoke\r", None),
        ("ayes\x7f\r", None),
        ("ano2\r", None),
    ] {
        assert_eq!(option_sent(&board, keys).as_deref(), option, "{keys:?}");
    }
}

#[test]
fn letters_choose_labels_with_digits_and_nothing_that_lasts() {
    let mut board = waiting();
    let options = ["v2", "v3", "Yes, always", "Yes, once"];
    blocks(&mut board, 9, "b", 2, PromptKind::Permission, (1, "Which?"), &options);
    for (keys, option) in [
        ("av2\r", Some("1")),
        ("ay\r", None),
        ("ayes, o\r", Some("4")),
        ("ayes, a\r", None),
        ("a3\r", Some("3")),
    ] {
        assert_eq!(option_sent(&board, keys).as_deref(), option, "{keys:?}");
    }
}

#[test]
fn a_number_is_that_of_the_row_that_shows_it() {
    let mut board = waiting();
    blocks(&mut board, 9, "b", 2, PromptKind::Question, (1, "Which backup?"), &["monday", "tuesday"]);
    for (asked, id) in board.more[1].asked.iter_mut().flat_map(|asked| &mut asked.options).zip(["2", "3"]) {
        asked.id = id.to_owned();
    }
    assert_eq!(option_sent(&board, "a2\r").as_deref(), Some("2"));
    assert_eq!(option_sent(&board, "a3\r").as_deref(), Some("3"));
    assert_eq!(option_sent(&board, "a1\r"), None, "no row shows it");
    let words = types(&mut at(&board), &board, "a4\rother\r");
    assert!(matches!(&words[..], [Wish::Answer { given: Given::Words(_), .. }]));
}

#[test]
fn a_prompt_that_goes_away_under_the_menu_is_not_answered() {
    let mut board = waiting();
    blocks(&mut board, 9, "b", 2, PromptKind::Permission, (1, "Run?"), &["Yes", "No"]);
    let mut ui = at(&board);
    types(&mut ui, &board, "a");
    assert!(matches!(ui.over, Some(Over::Answer(_))));
    blocks(&mut board, 10, "b", 2, PromptKind::Permission, (2, "Remove all?"), &["Yes", "No"]);
    ui.refresh(&board);
    assert!(ui.over.is_none() && said(&ui).contains("nothing was answered"), "{}", said(&ui));
}

#[test]
fn a_password_is_never_typed_here() {
    let mut board = waiting();
    blocks(&mut board, 9, "a", 1, PromptKind::Password, (1, "Password:"), &[]);
    let mut ui = at(&board);
    assert_eq!(
        types(&mut ui, &board, "asecret\r"),
        [Wish::Attach(0)],
        "Enter attaches, nothing was answered"
    );
    let mut ui = at(&board);
    types(&mut ui, &board, "a");
    assert!(ui.over.is_none() && said(&ui).contains("Enter attaches"), "{}", said(&ui));
}

#[test]
fn words_are_one_line_whatever_is_pasted() {
    let mut board = waiting();
    blocks(&mut board, 9, "a", 1, PromptKind::Question, (1, "Name?"), &[]);
    let mut ui = at(&board);
    types(&mut ui, &board, "a");
    ui.press(&board, &Typed::Pasted("one\rtwo\x1b[2J\n".into()));
    for _ in 0..20 {
        ui.press(&board, &Typed::Pasted("x".repeat(1000)));
    }
    let wishes = types(&mut ui, &board, "\r");
    let [Wish::Answer { given: Given::Words(words), .. }] = wishes.as_slice() else { panic!("{wishes:?}") };
    assert!(words.starts_with("one two [2Jxxx") && words.len() <= 4003, "{}", words.len());
}

#[test]
fn an_approval_is_given_or_refused_with_a_reason() {
    let mut board = waiting();
    let asks = json!([{ "task": "c", "state": "queued", "queued": { "kind": "approval", "prompt": "Go?" } }]);
    statuses(&mut board, 9, &asks);
    let given = |keys: &str| match types(&mut at(&board), &board, keys).as_slice() {
        [Wish::Answer { task: 2, given, .. }] => Some(given.clone()),
        [] => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(given("wa\r"), None, "nothing is chosen");
    assert_eq!(given("waa\r"), Some(Given::Decision { approve: true, reason: None }));
    let reason = Some("on Friday".to_owned());
    assert_eq!(given("wa2\r\r \ron Friday\r"), Some(Given::Decision { approve: false, reason }));
    assert_eq!(given("wa2\rx\x1b\x1b"), None, "Escape goes back to the menu, and out");
}

#[test]
fn pause_and_retry_know_how_the_run_stands() {
    let mut board = waiting();
    assert_eq!(types(&mut at(&board), &board, "p"), [Wish::Pause]);
    let mut ui = at(&board);
    assert_eq!(types(&mut ui, &board, "rf"), []);
    assert!(ui.message.is_none(), "said, and gone with the next key");
    happens(&mut board, 10, "cis.dag.run.paused", &json!({}));
    assert_eq!(types(&mut at(&board), &board, "p"), [Wish::Resume]);
    happens(&mut board, 11, "cis.dag.run.failed", &json!({ "detail": "x" }));
    assert_eq!(types(&mut at(&board), &board, "rf"), [Wish::Retry(RetryScope::Failed)]);
    let from = RetryScope::From { task: "b".parse().unwrap(), also: vec![] };
    assert_eq!(types(&mut at(&board), &board, "jrt"), [Wish::Retry(from)]);
    assert_eq!(types(&mut at(&board), &board, "rx"), []);
    let mut ui = at(&board);
    assert_eq!(types(&mut ui, &board, "c"), []);
    assert!(said(&ui).contains("has ended"));
}

#[test]
fn the_choice_stays_on_its_task_while_the_list_changes() {
    let names: Vec<String> = (0..100).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut board = board(&names);
    starts(&mut board, 0, "t50", 50);
    let mut ui = at(&board);
    assert_eq!(ui.task(), Some(50), "the others are folded");
    starts(&mut board, 0, "t3", 3);
    ui.refresh(&board);
    assert_eq!((ui.task(), ui.at), (Some(50), 1));
    ends(&mut board, 5, "t50", 50, 0);
    ui.refresh(&board);
    assert_eq!(ui.task(), Some(50), "it stays in sight while it is chosen");
    types(&mut ui, &board, "k");
    ui.refresh(&board);
    assert_eq!(ui.rows.len(), 2, "t3, and the rest");
    types(&mut ui, &board, "/t9");
    assert_eq!(ui.rows.len(), 11);
    types(&mut ui, &board, "9\r");
    assert_eq!(ui.task(), Some(99));
    types(&mut ui, &board, "\x1b");
    assert_eq!(ui.task(), Some(99));
    assert_eq!(session(3).to_string().len(), 26);
}
