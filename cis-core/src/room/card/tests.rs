use super::super::sample::{NOW, run, task, tasks};
use super::*;
use crate::event::PromptKind;

fn card<'a>(run: &'a RunView, tasks: &'a [TaskView], now: TimestampMs) -> Card<'a> {
    Card { run, tasks, node: Some("forge"), now }
}

#[test]
fn a_run_under_way() {
    let tasks = tasks();
    let run = run(RunState::Running, &tasks);
    let content = card(&run, &tasks, NOW).message().content();
    insta::assert_snapshot!(content["body"].as_str().unwrap());
    insta::assert_snapshot!(content["formatted_body"].as_str().unwrap());
    assert_eq!(content["m.mentions"], serde_json::json!({}));
    insta::assert_json_snapshot!(content["cis.dag.card"]);
}

/// What `!cis answer` refuses, the card does not offer.
#[test]
fn what_waits_names_a_command_that_answers_it() {
    for (kind, command) in [
        (PromptKind::Password, "On its machine: cis dag attach 000007"),
        (PromptKind::Editor, "On its machine: cis dag attach 000007"),
        (PromptKind::Pager, "On its machine: cis answer kqzvra --keys q"),
        (PromptKind::Question, "!cis answer kqzvra"),
    ] {
        let mut tasks = tasks();
        tasks[2].waits.as_mut().unwrap().kind = kind;
        let run = run(RunState::Running, &tasks);
        let body = card(&run, &tasks, NOW).essence();
        assert!(body.contains(&format!("• fix ({kind}) Run `make <deploy>`? {command}\n")), "{body}");
    }
}

#[test]
fn runs_that_ended() {
    let tasks = [task("plan", TaskState::Succeeded)];
    let good = run(RunState::Succeeded, &tasks);
    let mut bad = run(RunState::Failed, &tasks);
    bad.detail = Some("1 of 2 tasks failed".to_owned());
    let said: Vec<String> = [good, bad]
        .iter()
        .map(|run| card(run, &tasks, NOW + 999_000).message().content()["body"].to_string())
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn time_alone_is_no_news() {
    let tasks = tasks();
    let run = run(RunState::Running, &tasks);
    let (now, later) = (card(&run, &tasks, NOW), card(&run, &tasks, NOW + 60_000));
    assert_eq!(now.essence(), later.essence());
    assert_ne!(now.message().content()["body"], later.message().content()["body"]);
    let mut more = tasks.clone();
    more[0].state = TaskState::Failed;
    assert_ne!(now.essence(), card(&run, &more, NOW).essence());
}

#[test]
fn of_many_the_first_are_named() {
    let tasks: Vec<TaskView> = (0..500).map(|n| task(&format!("t{n}"), TaskState::Failed)).collect();
    let run = run(RunState::Failed, &tasks);
    let body = card(&run, &tasks, NOW).essence();
    assert!(body.contains("• t7") && !body.contains("• t8"), "{body}");
    assert!(body.contains("… and 492 more"), "{body}");
    // Whoever shows it need not know the others.
    assert_eq!(card(&run, &tasks[..NAMED_MAX], NOW).essence(), body);
}

#[test]
fn a_bar_is_full_only_at_the_end() {
    assert_eq!(share(999, 1000, 20), 19);
    assert_eq!(share(1000, 1000, 20), 20);
    assert_eq!(share(0, 0, 20), 0);
}
