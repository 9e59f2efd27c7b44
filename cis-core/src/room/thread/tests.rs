use super::super::sample::{NOW, item, run, task, tasks};
use super::*;
use crate::api::ClosedItem;
use crate::event::RunState;

fn body(message: &Message) -> String {
    message.content()["body"].as_str().unwrap().to_owned()
}

#[test]
fn one_failure_is_told_with_the_end_of_its_log() {
    let all = tasks();
    let run = run(RunState::Running, &all);
    let tail = "step 1\n```\n@room <b>boom</b>\u{202e}\n";
    let message = failures(&[Failure { task: &all[4], tail, has_more: true, log_on: None }], &run).unwrap();
    let content = message.in_thread("$card".parse().unwrap()).content();
    insta::assert_snapshot!(content["body"].as_str().unwrap());
    insta::assert_snapshot!(content["formatted_body"].as_str().unwrap());
    assert_eq!(content["msgtype"], "m.notice");
    assert_eq!(content["m.relates_to"]["rel_type"], "m.thread");
}

#[test]
fn of_a_failure_on_another_node_the_node_is_named() {
    let all = tasks();
    let run = run(RunState::Running, &all);
    let failure = Failure { task: &all[4], tail: "", has_more: true, log_on: Some("builder") };
    let said = body(&failures(&[failure], &run).unwrap());
    assert!(said.contains("Its log is on node builder."), "{said}");
    assert!(said.contains(&format!("!cis logs {}:{}", run.id.short(), all[4].id)), "{said}");
}

#[test]
fn many_failures_are_one_message() {
    let all: Vec<TaskView> = (0..200).map(|n| task(&format!("t{n}"), TaskState::Failed)).collect();
    let run = run(RunState::Running, &all);
    let told: Vec<Failure<'_>> =
        all.iter().map(|task| Failure { task, tail: "log", has_more: false, log_on: None }).collect();
    let said = body(&failures(&told, &run).unwrap());
    assert!(said.starts_with("✗ 200 tasks did not end well"), "{said}");
    assert_eq!(said.matches("```\nlog").count(), 3);
    assert!(said.contains("… and 157 more"), "{said}");
    let fourth = format!("More of it: !cis logs {}:t3", run.id.short());
    assert!(said.ends_with(&fourth), "the first one whose log is not shown: {said}");
    let whole = body(&failures(&told[..3], &run).unwrap());
    assert!(!whole.contains("More of it"), "{whole}");
    assert!(failures(&[], &run).is_none());
}

#[test]
fn the_end_of_a_run() {
    let all = tasks();
    let mut ended = run(RunState::Failed, &all);
    ended.detail = Some("1 task failed: lint".to_owned());
    insta::assert_snapshot!(body(&summary(&ended, &all, NOW)));
    let good = [task("plan", TaskState::Succeeded)];
    insta::assert_snapshot!(body(&summary(&run(RunState::Succeeded, &good), &good, NOW)));
}

#[test]
fn a_run_that_failed_rings_for_people_in_the_main_timeline() {
    let all = tasks();
    let mut ended = run(RunState::Failed, &all);
    ended.detail = Some("1 task failed: lint".to_owned());
    let people: Vec<UserId> = vec!["@ann:example.org".parse().unwrap(), "@bob:example.org".parse().unwrap()];
    let card = Place { room: "!room".parse().unwrap(), event: "$card".parse().unwrap(), via: Vec::new() };
    let content = failed_run(&ended, &all, Some(&card), &people, NOW).content();
    assert_eq!(content["msgtype"], "m.text");
    assert_eq!(content["m.mentions"]["user_ids"], json!(["@ann:example.org", "@bob:example.org"]));
    assert!(content.get("m.relates_to").is_none(), "{content}");
    let body = content["body"].as_str().unwrap();
    assert!(body.starts_with("✗ ship failed") && body.contains("!cis retry"), "{body}");
    assert!(content["formatted_body"].as_str().unwrap().contains("https://matrix.to/#/!room/$card"));
    let quiet = summary(&ended, &all, NOW).content();
    assert_eq!((&quiet["msgtype"], &quiet["m.mentions"]), (&json!("m.notice"), &json!({})));
}

#[test]
fn how_waiting_ended() {
    let mut item = item();
    assert!(waiting_ended(&item).is_none());
    item.closed = Some(ClosedItem {
        at_ms: NOW,
        how: "answered".to_owned(),
        by: Some("@ann:example.org".to_owned()),
        text: Some("Yes".to_owned()),
    });
    insta::assert_snapshot!(body(&waiting_ended(&item).unwrap()));
}
