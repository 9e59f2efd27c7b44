//! Nothing that a session, a file or a room says gets into a message as it is, and nothing that people write
//! makes a reader panic or take what has no shape.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::card::Card;
use super::command::{Inbound, Read, Request, Said, Sign, choose, command, inbound};
use super::message::{CONTENT_BYTES_MAX, Message, size};
use super::question::Question;
use super::sample::{NOW, item, option, run, task};
use super::thread::{Failure, failures, summary, waiting_ended};
use super::{EventId, Place, UserId, reply};
use crate::api::{AnswerWith, ClosedItem, RunView, SaidView, TaskView};
use crate::event::{PromptKind, RunState, SaidKind, TaskState};
use crate::ids::InboxId;
use crate::text::clean;

/// What hostile text is made of.
const PIECES: &[&str] = &[
    "@room",
    "@",
    "room",
    "ROOM",
    "@ann:example.org",
    "https://matrix.to/#/",
    "<script>",
    "</code></pre>",
    "<",
    ">",
    "&",
    "&lt;",
    "\"",
    "'",
    "```",
    "``",
    "`",
    "~~~",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{feff}",
    "\u{e0041}",
    "\u{301}",
    "\u{1b}[31m",
    "\u{9b}",
    "\0",
    "\r",
    "\n",
    "\r\n",
    "\t",
    "\u{2028}",
    " ",
    "x",
    "漢",
    "😀",
    "\u{fe0f}",
    "!cis",
    "cancel",
    "run",
    "answer",
    "logs",
    "text",
    "..",
    "/",
    "=",
    ":",
    ".",
    "-",
    "1",
    "kqzvra",
    "build",
    "“",
    "”",
    "> ",
    "> <@eve:x> ",
    "yes",
    "ſ",
    "K",
];

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::collection::vec(prop::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.concat()),
        prop::collection::vec(any::<char>(), 0..60).prop_map(String::from_iter),
        (prop::sample::select(PIECES), 0usize..1000).prop_map(|(piece, times)| piece.repeat(times)),
    ]
}

fn turns_around(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Every text in a content.
fn texts(value: &Value, to: &mut Vec<String>) {
    match value {
        Value::String(text) => to.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, to)),
        Value::Object(fields) => fields.values().for_each(|item| texts(item, to)),
        _ => {}
    }
}

/// `html` without the tags that are ours.
fn without_tags(html: &str) -> String {
    let mut rest = html.to_owned();
    for tag in [
        "<p>",
        "</p>",
        "<br>",
        "<strong>",
        "</strong>",
        "<em>",
        "</em>",
        "<code>",
        "</code>",
        "<pre>",
        "</pre>",
        "</a>",
    ] {
        rest = rest.replace(tag, "");
    }
    while let Some(at) = rest.find("<a href=\"https://matrix.to/#/") {
        let end = at + rest[at..].find("\">").unwrap() + 2;
        assert!(!rest[at + 2..end - 2].contains(['<', '>']));
        rest.replace_range(at..end, "");
    }
    rest
}

fn check(content: &Value) {
    assert!(size(content) <= CONTENT_BYTES_MAX, "{} bytes", size(content));
    let mut all = Vec::new();
    texts(content, &mut all);
    for text in &all {
        assert!(!text.chars().any(turns_around), "{text:?}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(!text.to_lowercase().contains("@room"), "{text:?}");
    }
    for content in [content, &content["m.new_content"]] {
        let Some(html) = content["formatted_body"].as_str() else { continue };
        let rest = without_tags(html);
        assert!(!rest.contains(['<', '>', '"']), "{rest:?}");
        let body = content["body"].as_str().unwrap();
        assert_eq!(body.matches("```").count() % 2, 0, "{body:?}");
        assert!(content["m.mentions"].get("room").is_none());
    }
}

fn check_message(message: &Message) {
    let event: EventId = "$event".parse().unwrap();
    check(&message.content());
    check(&message.edit_of(&event));
    check(&message.clone().in_thread(event.clone()).content());
    check(&message.clone().answering(event).content());
}

fn hostile_tasks(text: &str, count: usize) -> Vec<TaskView> {
    let states = [TaskState::Failed, TaskState::Running, TaskState::Error];
    let one = |n: usize| {
        let mut task = task(&format!("t{n}"), states[n % 3]);
        task.reason = Some(text.to_owned());
        task.said =
            Some(SaidView { kind: SaidKind::Progress, text: text.to_owned(), percent: Some(255), at_ms: 0 });
        task
    };
    (0..count).map(one).collect()
}

fn hostile_run(text: &str, tasks: &[TaskView]) -> RunView {
    let mut run = run(RunState::Failed, tasks);
    run.dag = text.to_owned();
    run.detail = Some(text.to_owned());
    run
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn fuzz_what_is_told_of_runs(text in hostile(), count in 0usize..60) {
        let tasks = hostile_tasks(&text, count);
        let run = hostile_run(&text, &tasks);
        check_message(&Card { run: &run, tasks: &tasks, node: Some(&text), now: NOW }.message());
        check_message(&summary(&run, &tasks, NOW));
        let told: Vec<Failure<'_>> = tasks
            .iter()
            .map(|task| Failure { task, tail: &text, has_more: true, log_on: Some(&text) })
            .collect();
        if let Some(message) = failures(&told, &run) {
            check_message(&message);
        }
        check_message(&reply::log(&text, &text));
        check_message(&reply::log_on_node(&text, &text));
        check_message(&reply::words(&text, Some(&text)));
        check_message(&reply::runs(&vec![run; count], NOW));
    }

    #[test]
    fn fuzz_what_is_asked(text in hostile(), other in hostile(), count in 0usize..40) {
        let mut item = item();
        item.id = InboxId(other.chars().take(6).collect());
        item.question = text.clone();
        item.screen = [text.as_str(), "\n", &other].concat();
        item.options = (0..count).map(|n| option(&format!("{n}{other}"), &text, None)).collect();
        item.answered_by = Some(text.clone());
        item.hash = "00".to_owned();
        let people: Vec<UserId> = vec!["@ann:example.org".parse().unwrap()];
        let card = Place { room: "!r".parse().unwrap(), event: "$e".parse().unwrap(), via: vec![text.clone()] };
        let open = Question { item: &item, dag: Some(&text), card: Some(&card), people: &people, reactions: true, now: NOW };
        check_message(&open.message());
        let mut over = item.clone();
        over.closed = Some(ClosedItem { at_ms: 0, how: text.clone(), by: Some(text.clone()), text: Some(text.clone()) });
        let over = Question { item: &over, ..open };
        check_message(&over.closed().unwrap());
        check_message(&waiting_ended(over.item).unwrap());
    }

    #[test]
    fn fuzz_lines_and_blocks_are_clean_and_stay_so(text in hostile(), most in 1usize..300) {
        let line = clean::line(&text, most);
        prop_assert!(line.chars().count() <= most && !line.contains('\n'));
        prop_assert_eq!(clean::line(&line, most), line);
        let block = clean::block(&text);
        prop_assert!(!block.contains("```") && !block.contains("~~~"));
        prop_assert!(block.lines().all(|row| row.chars().count() <= clean::LINE_CHARS_MAX));
        prop_assert!(!block.chars().any(|c| c != '\n' && (c.is_control() || clean::hides(c))));
    }

    #[test]
    fn fuzz_what_people_write(text in hostile()) {
        for body in [text.clone(), format!("!cis {text}"), format!("!cis run {text}"), format!("!cis answer {text}")] {
            match command(&body) {
                Read::NotForUs => {}
                Read::Hint(hint) => check_message(&reply::hint(&hint)),
                Read::Request(Request::Run { dag, .. }) => {
                    let plain = |part: &str| !part.is_empty() && !part.starts_with('.');
                    prop_assert!(dag.as_str().split('/').all(plain) && dag.as_str().is_ascii());
                }
                Read::Request(Request::Answer { words, .. }) => prop_assert!(!words.chars().any(|c| c.is_control() && c != '\t')),
                Read::Request(_) => {}
            }
        }
    }

    #[test]
    fn fuzz_events(text in hostile(), key in hostile(), relation in prop::sample::select(vec!["m.thread", "m.replace", "m.annotation", ""])) {
        let relates = json!({ "rel_type": relation, "event_id": key, "key": text, "m.in_reply_to": { "event_id": "$e" }, "is_falling_back": text });
        let content = json!({ "msgtype": "m.text", "body": text, "m.relates_to": relates });
        for event_type in ["m.room.message", "m.reaction", text.as_str()] {
            let read = inbound(event_type, &content);
            if let Some(Inbound::Words { text, .. }) = &read {
                prop_assert!(relation != "m.replace");
                // What is quoted is nobody's own.
                prop_assert!(!text.starts_with('>'));
            }
        }
    }

    #[test]
    fn fuzz_answers(text in hostile(), label in hostile(), count in 0usize..40, number in 0usize..12) {
        let mut item = item();
        item.options = (0..count).map(|n| option(&n.to_string(), &label, None)).collect();
        for kind in [PromptKind::Permission, PromptKind::Question, PromptKind::Password] {
            item.kind = kind;
            for said in [Said::Words(&text), Said::Sign(Sign::Number(number)), Said::Sign(Sign::Yes)] {
                match choose(&item, said) {
                    Ok(AnswerWith::Text { text }) => {
                        prop_assert!(kind != PromptKind::Password);
                        prop_assert!(!text.is_empty() && !text.chars().any(char::is_control) && text.len() <= 4096);
                    }
                    Ok(AnswerWith::Option { option }) => {
                        let id = option.strip_prefix("id:");
                        prop_assert!(item.options.iter().any(|known| Some(known.id.as_str()) == id));
                    }
                    Ok(AnswerWith::Keys { .. }) => prop_assert!(false),
                    Err(hint) => check_message(&reply::hint(&hint)),
                }
            }
        }
    }
}
