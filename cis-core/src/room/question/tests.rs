use super::super::sample::{NOW, item, option};
use super::*;
use crate::event::PromptKind;

fn people() -> Vec<UserId> {
    vec!["@ann:example.org".parse().unwrap()]
}

fn place() -> Place {
    Place {
        room: "!room".parse().unwrap(),
        event: "$card".parse().unwrap(),
        via: vec!["example.org".to_owned()],
    }
}

fn ask<'a>(item: &'a InboxItem, card: &'a Place, people: &'a [UserId]) -> Question<'a> {
    Question { item, dag: Some("ship"), card: Some(card), people, reactions: true, now: NOW }
}

#[test]
fn a_permission_rings_with_its_options_and_screen() {
    let (item, card, people) = (item(), place(), people());
    let content = ask(&item, &card, &people).message().content();
    insta::assert_snapshot!(content["body"].as_str().unwrap());
    insta::assert_snapshot!(content["formatted_body"].as_str().unwrap());
    assert_eq!(content["msgtype"], "m.text");
    assert_eq!(content["m.mentions"]["user_ids"], json!(["@ann:example.org"]));
    insta::assert_json_snapshot!(content["cis.dag.question"]);
}

#[test]
fn what_needs_a_terminal_and_what_takes_words() {
    let (card, people) = (place(), people());
    let mut password = item();
    password.kind = PromptKind::Password;
    password.options.clear();
    password.screen = "[sudo] password for ann:".to_owned();
    let mut open = item();
    open.options.clear();
    open.screen.clear();
    open.until_ms = None;
    open.urgency = Urgency::High;
    let said: Vec<String> = [password, open]
        .iter()
        .map(|item| ask(item, &card, &people).message().content()["body"].as_str().unwrap().to_owned())
        .collect();
    insta::assert_snapshot!(said.join("\n----\n"));
}

#[test]
fn how_it_ended_is_put_in_its_place() {
    let (card, people) = (place(), people());
    let mut ended = item();
    assert!(ask(&ended, &card, &people).closed().is_none());
    let mut said = Vec::new();
    for (how, by, text) in [
        ("answered", Some("@ann:example.org"), Some("Yes")),
        ("recovered", None, None),
        ("expired", None, None),
        ("ended", None, None),
        ("withdrawn", Some("uid:1000"), Some("not needed <any> more")),
    ] {
        ended.closed = Some(ClosedItem {
            at_ms: NOW + 60_000,
            how: how.to_owned(),
            by: by.map(str::to_owned),
            text: text.map(str::to_owned),
        });
        let edit = ask(&ended, &card, &people).closed().unwrap().edit_of(&"$question".parse().unwrap());
        said.push(edit["body"].as_str().unwrap().to_owned());
        assert_eq!(edit["m.mentions"], json!({}), "nobody is rung again");
        if how == "answered" {
            insta::assert_snapshot!(edit["m.new_content"]["body"].as_str().unwrap());
        }
    }
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn more_options_than_signs_have_numbers_too() {
    let mut many = item();
    many.options = (1..=12).map(|n| option(&format!("k{n}"), &format!("Key {n}"), None)).collect();
    let (card, people) = (place(), people());
    let content = ask(&many, &card, &people).message().content();
    let body = content["body"].as_str().unwrap();
    assert!(body.contains("\u{1f51f} k10 Key 10\n11. k11 Key 11\n"), "{body}");
}

#[test]
fn a_number_never_means_two_options() {
    let of = |ids: &[&str]| {
        let options: Vec<PromptOption> = ids.iter().map(|id| option(id, id, None)).collect();
        option_numbers(&options)
    };
    assert_eq!(of(&["1", "2"]), [Some(1), Some(2)]);
    assert_eq!(of(&["2", "1"]), [Some(2), Some(1)]);
    assert_eq!(of(&["y", "n"]), [Some(1), Some(2)]);
    assert_eq!(of(&["0", "1"]), [None, Some(1)]);
    assert_eq!(of(&["3", "x"]), [Some(3), None]);
    assert_eq!(of(&["01", "x"]), [None, None]);
    assert_eq!(of(&["", "x"]), [Some(1), Some(2)]);
}
