use super::*;
use cis_core::event::{Meaning, Urgency};
use cis_core::ids::{InboxId, InputId, SessionId};

pub(crate) fn item(options: &[(&str, &str, Option<Meaning>, &str)]) -> InboxItem {
    let option = |(id, label, meaning, keys): &(&str, &str, Option<Meaning>, &str)| PromptOption {
        id: (*id).to_owned(),
        label: (*label).to_owned(),
        meaning: *meaning,
        keys: (*keys).to_owned(),
    };
    InboxItem {
        id: InboxId("abcdef".into()),
        run: None,
        task: None,
        session: Some(SessionId::from_parts(1, 1)),
        kind: PromptKind::Permission,
        question: "Run it?".into(),
        options: options.iter().map(option).collect(),
        since: 0,
        confidence: 100,
        layer: None,
        episode: Some(1),
        hash: "0123456789abcdef".into(),
        screen: String::new(),
        ask_type: None,
        urgency: Urgency::Medium,
        thread: None,
        answered_by: None,
        answered_ms: None,
        until_ms: None,
        closed: None,
    }
}

fn menu() -> InboxItem {
    item(&[
        ("1", "Yes", Some(Meaning::AllowOnce), "1"),
        ("2", "Yes, and don't ask again", Some(Meaning::AllowAlways), "2"),
        ("3", "No", Some(Meaning::Deny), "\x1b"),
    ])
}

fn answer(with: AnswerWith) -> Answer {
    Answer { with, reason: None, hash: None, again: None, input: InputId(ulid::Ulid(7)) }
}

fn option(name: &str) -> Answer {
    answer(AnswerWith::Option { option: name.to_owned() })
}

#[test]
fn a_number_that_is_one_options_id_and_anothers_words_is_refused() {
    let versions = item(&[("1", "8", None, "1"), ("2", "9", None, "2"), ("8", "10", None, "8")]);
    let problem = given(&versions, &option("8")).unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Ambiguous);
    assert!(problem.hint.unwrap().contains("`1` (8), `8` (10)"));
    for (name, id) in [("id:8", "8"), ("id:1", "1"), ("9", "2"), ("10", "8"), ("2", "2")] {
        assert_eq!(given(&versions, &option(name)).unwrap().option.as_deref(), Some(id), "{name}");
    }
    // Letters of both cases are each other's labels only in small.
    let cases = item(&[("a", "a", None, "a"), ("A", "A", None, "A")]);
    assert_eq!(given(&cases, &option("A")).unwrap().option.as_deref(), Some("A"));
}

#[test]
fn an_option_is_meant_by_its_id_label_meaning_or_the_beginning_of_its_label() {
    for (name, id) in [
        ("1", "1"),
        ("yes", "1"),
        ("ALLOW-ONCE", "1"),
        ("allow_always", "2"),
        ("yes, a", "2"),
        (" deny ", "3"),
        ("n", "3"),
        ("y", "1"),
        ("2.", "2"),
    ] {
        let given = given(&menu(), &option(name)).unwrap();
        assert_eq!(given.option.as_deref(), Some(id), "{name}");
    }
    assert_eq!(given(&menu(), &option("deny")).unwrap().answer.bytes, b"\x1b");
    let ambiguous = given(&menu(), &option("ye")).unwrap_err();
    assert_eq!(ambiguous.kind, ProblemKind::Ambiguous);
    assert!(ambiguous.hint.unwrap().contains("`1` (Yes, allow_once)"));
    for unknown in ["", "4", "maybe"] {
        let problem = given(&menu(), &option(unknown)).unwrap_err();
        assert_eq!(problem.kind, ProblemKind::BadInput, "{unknown}");
        assert!(problem.hint.unwrap().contains("`3` (No, deny)"));
    }
    assert!(given(&item(&[]), &option("1")).unwrap_err().hint.unwrap().contains("--text"));
    let untyped = item(&[("1", "Yes", None, "")]);
    assert!(given(&untyped, &option("1")).unwrap_err().hint.unwrap().contains("--keys"));
}

#[test]
fn words_type_themselves_and_enter_and_nothing_else() {
    let text = |text: &str| answer(AnswerWith::Text { text: text.to_owned() });
    let line = item(&[("y", "yes", None, "y\r"), ("n", "no", None, "n\r")]);
    let typed = given(&line, &text("go on")).unwrap().answer;
    assert!(typed.bytes == b"go on\r" && typed.is_line);
    let at_menu = given(&menu(), &text("go on")).unwrap_err();
    assert!(at_menu.detail.contains("Enter would choose an option"), "{at_menu:?}");
    let below = item(&[("1", "One", None, "\x1b[B\r")]);
    assert!(given(&below, &text("go on")).is_err());
    let idle = InboxItem { kind: PromptKind::Idle, ..menu() };
    assert!(given(&idle, &text("go on")).is_ok(), "an agent takes its next task");
    for kind in [PromptKind::Editor, PromptKind::Pager] {
        let of_it = InboxItem { kind, ..item(&[]) };
        let refused = given(&of_it, &text("dd")).unwrap_err();
        assert!(refused.detail.contains("words would be commands"), "{refused:?}");
        assert!(
            given(&of_it, &answer(AnswerWith::Keys { data: b"q".to_vec(), names: "q".to_owned() })).is_ok()
        );
    }
    for bad in ["", "  ", "a\nb", "a\rb", "\x1b[A", "a\u{9b}b", "\0", &"x".repeat(TEXT_BYTES_MAX + 1)] {
        assert_eq!(given(&line, &text(bad)).unwrap_err().kind, ProblemKind::BadInput, "{bad:?}");
    }
    let keys = |data: Vec<u8>| answer(AnswerWith::Keys { data, names: "Down".into() });
    assert_eq!(given(&menu(), &keys(b"\x1b[B".to_vec())).unwrap().answer.bytes, b"\x1b[B");
    assert!(given(&menu(), &keys(Vec::new())).is_err());
    assert!(given(&menu(), &keys(vec![b'x'; TEXT_BYTES_MAX + 1])).is_err());
    let mut reasoned = option("1");
    reasoned.reason = Some("a\x07".into());
    assert!(given(&menu(), &reasoned).is_err());
}

#[test]
fn nothing_is_typed_for_an_ask_and_a_permission_is_allowed_or_denied() {
    let mut ask = item(&[]);
    ask.options = PromptOption::of_permissions();
    ask.ask_type = Some(AskType::Permission);
    let text = |text: &str| answer(AnswerWith::Text { text: text.to_owned() });
    for (word, id) in [("allow", "allow"), ("Deny", "deny"), ("allow_once", "allow")] {
        let given = given(&ask, &text(word)).unwrap();
        assert_eq!((given.option.as_deref(), given.answer.bytes.len()), (Some(id), 0));
    }
    assert!(given(&ask, &text("well")).is_err(), "it would be neither");
    let keys = AnswerWith::Keys { data: b"y".to_vec(), names: "y".into() };
    assert!(given(&ask, &answer(keys)).is_err());
    ask.ask_type = Some(AskType::Clarification);
    let refused = given(&ask, &text("well")).unwrap_err();
    assert_eq!(refused.kind, ProblemKind::BadInput, "it offers options");
    assert!(refused.hint.unwrap().contains("its options are"));
    ask.options.clear();
    assert_eq!(given(&ask, &text("well")).unwrap().text, "well");
}

#[test]
fn a_password_is_for_a_terminal_and_what_is_closed_for_nobody() {
    let mut password = menu();
    password.kind = PromptKind::Password;
    let problem = given(&password, &option("1")).unwrap_err();
    assert!(problem.hint.unwrap().starts_with("cis dag attach "));
    let mut closed = menu();
    assert!(check_open(&closed, 10).is_ok());
    let how = |how: &str, by: Option<&str>| {
        Some(cis_core::api::ClosedItem { at_ms: 0, how: how.into(), by: by.map(str::to_owned), text: None })
    };
    closed.closed = how("answered", Some("uid:7"));
    let said = check_open(&closed, 60_000).unwrap_err().detail;
    assert_eq!(said, "abcdef was answered by uid:7 1m 00s ago");
    closed.closed.as_mut().unwrap().text = Some("the\nsecond one".into());
    let said = check_open(&closed, 60_000).unwrap_err().detail;
    assert_eq!(said, "abcdef was answered by uid:7 1m 00s ago: the second one");
    closed.closed = how("withdrawn", None);
    assert_eq!(check_open(&closed, 60_000).unwrap_err().detail, "abcdef was withdrawn 1m 00s ago");
    closed.closed.as_mut().unwrap().text = Some("its command has ended".into());
    let said = check_open(&closed, 60_000).unwrap_err().detail;
    assert_eq!(said, "abcdef was withdrawn 1m 00s ago: its command has ended");
    closed.closed = how("answered", None);
    let said = check_open(&closed, 60_000).unwrap_err().detail;
    assert_eq!(said, "abcdef was over 1m 00s ago, and its answer chose nothing", "its session goes on");
    closed.closed = how("ended", None);
    assert!(check_open(&closed, 0).unwrap_err().detail.contains("has ended"));
}

#[test]
fn what_sessions_send_is_bounded_text() {
    let ask = |text: &str, options: &[&str], ask_type| Ask {
        ask_type,
        text: text.into(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        urgency: Urgency::Medium,
        thread: None,
        waits: true,
        input: InputId(ulid::Ulid(1)),
    };
    let context = AskType::Context;
    assert!(check_ask(&ask("Which?\n\t- a\n- b", &["a", "b"], context)).is_ok());
    let long = "x".repeat(LABEL_CHARS_MAX + 1);
    for (text, options) in [
        ("", &[][..]),
        ("\x1b]0;x\x07", &[]),
        ("a", &["b", "b"]),
        ("a", &["b\n"]),
        ("a", &[long.as_str()]),
        ("a", &["x"; OPTIONS_MAX + 1]),
    ] {
        assert!(check_ask(&ask(text, options, context)).is_err(), "{text:?} {options:?}");
    }
    assert!(check_ask(&ask("May I?", &["sure"], AskType::Permission)).is_err());
    let say = |text: &str, percent| Say {
        kind: cis_core::event::SaidKind::Progress,
        text: text.into(),
        urgency: Urgency::Low,
        percent,
        thread: None,
        input: InputId(ulid::Ulid(1)),
    };
    assert!(check_say(&say("half", Some(50))).is_ok());
    assert!(check_say(&say("half", Some(101))).is_err() && check_say(&say("\x07", None)).is_err());
}
