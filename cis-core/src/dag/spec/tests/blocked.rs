//! `on_blocked` and `[dag.on] blocked`: what is read, and what is wrong.

use super::*;
use crate::dag::{Action, BlockedAction, Handlers, OnBlocked, RetryOn};
use crate::event::PromptKind;

fn dag(text: &str) -> Dag {
    parse(format!("version = 1\n[dag]\nid = \"d\"\n{text}").as_bytes(), "x.toml").unwrap()
}

#[test]
fn what_is_read() {
    let dag = dag(r#"
on = { blocked = "tell" }
[dag.defaults]
on_blocked = { escalate_after = "5m", deadline = "1h", notify = ["@ann:example.org"] }
retries = { on = ["blocked", "rate_limit", "login"] }
[[tasks]]
id = "plain"
script = "true"
[[tasks]]
id = "short"
script = "true"
on_blocked = "fail"
[[tasks]]
id = "script"
shell = "bash"
script = "true"
on_blocked = { run = "tell {{ run.id }}", kinds = ["question", "rate_limit", "question"] }
[[tasks]]
id = "tell"
script = "true"
on_blocked = { action = "run", run = ["tell", "{{ task.id }}"], default = "n {{ attempt }}", deadline = "10m" }
"#);
    let rules: Vec<OnBlocked> = dag.tasks.iter().map(|task| *task.on_blocked.clone().unwrap()).collect();
    let defaults = OnBlocked {
        escalate_after_ms: Some(300_000),
        deadline_ms: Some(3_600_000),
        notify: vec!["@ann:example.org".into()],
        ..OnBlocked::default()
    };
    assert_eq!(rules[0], defaults);
    assert_eq!(rules[1], OnBlocked { action: BlockedAction::Fail, ..OnBlocked::default() });
    let text = "tell {{ run.id }}".into();
    let action = BlockedAction::Run(Action::Script { text, shell: "bash".into() });
    let kinds = vec![PromptKind::Question, PromptKind::RateLimit];
    assert_eq!(rules[2], OnBlocked { action, kinds, ..defaults.clone() });
    let action = BlockedAction::Run(Action::Command(vec!["tell".into(), "{{ task.id }}".into()]));
    let (deadline_ms, default) = (Some(600_000), Some("n {{ attempt }}".into()));
    assert_eq!(rules[3], OnBlocked { action, deadline_ms, default, ..defaults });
    assert_eq!(dag.on, Handlers { blocked: Some(dag.tasks[3].id.clone()), ..Handlers::default() });
    assert_eq!(dag.tasks[0].retries.on, [RetryOn::Blocked, RetryOn::RateLimit, RetryOn::Login]);
}

/// What is said of a task with this key, each mistake by its first line and what helps.
fn said(key: &str) -> Vec<String> {
    let text = format!(
        "version = 1\n[dag]\nid = \"d\"\n[[tasks]]\nid = \"t\"\nscript = \"true\"\non_blocked = {key}\n"
    );
    let wrong = parse(text.as_bytes(), "x.toml").unwrap_err();
    let lines = wrong.findings.iter().flat_map(|finding| finding.rendered.lines().map(str::to_owned));
    lines.filter(|line| line.starts_with("error") || line.contains("= help")).collect()
}

#[test]
fn what_is_wrong() {
    for (key, error) in [
        ("\"run\"", "error: `on_blocked` is to run something, and does not say what"),
        ("{ action = \"run\" }", "error: `on_blocked` is to run something, and does not say what"),
        ("{ run = [] }", "error: `run` names no program"),
        ("{ action = \"ask\", run = [\"x\"] }", "error: `run` is for action = \"run\""),
        (
            "{ action = \"fail\", deadline = \"1h\" }",
            "error: `deadline` is for a session that waits, and this one fails at once",
        ),
        ("{ default = \"yes\" }", "error: `default` is answered at a deadline, and there is none"),
        (
            "{ escalate_after = \"1h\", deadline = \"1h\" }",
            "error: `escalate_after` is not shorter than `deadline`",
        ),
        ("{ kinds = [\"permision\"] }", "error: `permision` is no kind of prompt"),
        ("{ kinds = [\"approval\"] }", "error: `approval` is no kind of prompt"),
        ("{ kinds = [] }", "error: `kinds` names no prompt"),
        ("{ deadlin = \"1h\" }", "error: unknown key `deadlin` in `on_blocked`"),
        ("3", "error: `on_blocked` must be a table"),
        ("\"wait\"", "error: `wait` is not a value of on_blocked"),
        (
            "{ deadline = \"1h\", default = \"{{ tasks.t.output }}\" }",
            "error: logs are not read for what is said of a session that waits",
        ),
        ("{ notify = [\"{{ item }}\"] }", "error: this task has no `item`"),
        ("{ run = [\"x\", \"{{ params.x }}\"] }", "error: no parameter `x`"),
    ] {
        let said = said(key);
        assert_eq!(said.first().map(String::as_str), Some(error), "{key}: {said:#?}");
    }
}
