//! Approvals, items, artifacts and groups, as clients read them.

use serde_json::json;

use super::support::{Home, assigned, created, draft, run_id, session_id, succeeded, task, ulid};
use cis_core::dag::Group;
use cis_core::event::{
    ArtifactRecord, EventBody, FileReaders, NodeRule, OutputRecord, QueueReason, RetryScope, RuleEffect,
    TaskChange, TaskState,
};
use cis_core::ids::BlobId;
use cis_core::policy::node_rules::KeptRule;

fn change(name: &str, state: TaskState, queued: Option<QueueReason>) -> TaskChange {
    TaskChange { task: task(name), state, end: None, queued }
}

fn asked() -> EventBody {
    let queued = QueueReason::Approval { prompt: "Deploy?".into(), until_ms: Some(99) };
    EventBody::TaskStatus { changes: vec![change("a", TaskState::Queued, Some(queued))] }
}

#[test]
fn a_question_is_there_until_it_is_decided() {
    let home = Home::new();
    let mut writer = home.writer();
    let run = Some(run_id(1));
    let add = |writer: &mut crate::Writer, n: u128, body: EventBody| {
        writer.append(&draft(run, 10, body), ulid(n)).unwrap();
        writer.commit().unwrap();
    };
    add(&mut writer, 1, created("d", 0));
    add(&mut writer, 2, EventBody::RunStarted {});
    add(&mut writer, 3, asked());
    let view = || home.readers().get().unwrap().run_detail(run_id(1)).unwrap();
    assert_eq!(view().run.approvals, [task("a")]);
    let approval = view().tasks[0].approval.clone().unwrap();
    assert_eq!((approval.prompt.as_str(), approval.until_ms), ("Deploy?", Some(99)));
    // Another process reads the rows anew.
    drop(writer);
    let mut writer = home.writer();
    add(&mut writer, 4, EventBody::TaskApproved { task: task("a"), by: "x".into(), comment: None });
    assert!(view().run.approvals.is_empty() && view().tasks[0].approval.is_none());
    assert_eq!(view().tasks[0].state, TaskState::Queued);
    add(&mut writer, 5, asked());
    add(&mut writer, 6, EventBody::TaskStatus { changes: vec![change("a", TaskState::Failed, None)] });
    assert!(view().run.approvals.is_empty());
}

#[test]
fn items_have_rows_and_their_task_has_their_outputs() {
    let home = Home::new();
    let mut writer = home.writer();
    let run = Some(run_id(1));
    let mut next = 0;
    let mut add = |body: EventBody| {
        next += 1;
        writer.append(&draft(run, 10, body), ulid(next)).unwrap();
        writer.commit().unwrap();
    };
    let view = || home.readers().get().unwrap().run_detail(run_id(1)).unwrap().tasks;
    let states = || view().iter().map(|task| format!("{} {}", task.id, task.state)).collect::<Vec<_>>();
    let expanded =
        |n: u64| EventBody::TaskExpanded { task: task("a"), items: (0..n).map(Into::into).collect() };
    let status = |changes| EventBody::TaskStatus { changes };
    add(created("d", 0));
    add(EventBody::RunStarted {});
    add(expanded(2));
    assert_eq!(states(), ["a queued", "a.1 queued", "a.2 queued"]);
    assert_eq!(view()[0].reason.as_deref(), Some("its 2 items are at work"));
    for n in [1, 2] {
        let (name, session) = (format!("a.{n}"), session_id(n));
        add(assigned(&name, 1, session));
        let EventBody::TaskResult(mut result) = succeeded(&name, 1, session, 20) else { unreachable!() };
        if n == 2 {
            let value = OutputRecord { value: json!("us"), hash: "h".into(), blob: None, hidden: false };
            result.outputs.insert("url".into(), value);
            let (path, blob) = ("out/x".to_owned(), BlobId("b".into()));
            result.artifacts = vec![ArtifactRecord {
                path,
                blob,
                size: 7,
                executable: true,
                readers: FileReaders::default(),
            }];
        }
        add(EventBody::TaskResult(result));
    }
    assert!(view()[0].outputs.is_empty(), "it has not ended");
    add(status(vec![change("a", TaskState::Succeeded, None)]));
    assert_eq!(view()[0].outputs["url"], json!([null, "us"]));
    assert_eq!((view()[2].artifacts[0].path.as_str(), view()[2].artifacts[0].size), ("out/x", 7));
    let pending = ["a", "a.1", "a.2"].map(|name| change(name, TaskState::Pending, None)).to_vec();
    add(EventBody::RunRetried { scope: RetryScope::All, changes: pending });
    add(expanded(1));
    assert_eq!(states(), ["a queued", "a.1 queued", "a.2 completed"]);
    assert!(view()[2].outputs.is_empty() && view()[2].artifacts.is_empty(), "of an older list");
}

#[test]
fn the_groups_that_commands_made_are_remembered() {
    let home = Home::new();
    let mut writer = home.writer();
    let set = |name: &str, limit: Option<u32>| EventBody::NodeGroup {
        name: name.into(),
        group: limit.map(|limit| Group { limit, frees_when_blocked: limit == 2 }),
    };
    for (n, body) in
        [set("a", Some(1)), set("b", Some(5)), set("a", Some(2)), set("b", None)].iter().enumerate()
    {
        writer.append(&draft(None, 1, body.clone()), ulid(n as u128)).unwrap();
    }
    writer.commit().unwrap();
    let groups = home.readers().get().unwrap().node_groups().unwrap();
    assert_eq!(groups, [("a".to_owned(), Group { limit: 2, frees_when_blocked: true })].into());
}

#[test]
fn rules_of_the_policy_are_kept_and_their_numbers_are_never_free_again() {
    let home = Home::new();
    let mut writer = home.writer();
    let mut rule = NodeRule::new(RuleEffect::Deny);
    rule.command = Some("rm *".into());
    let set = |number, rule: Option<&NodeRule>| EventBody::NodePolicy {
        number,
        rule: rule.cloned().map(Box::new),
        by: "uid:1000".into(),
    };
    for (n, body) in [set(1, Some(&rule)), set(2, Some(&rule)), set(2, None)].into_iter().enumerate() {
        writer.append(&draft(None, 7, body), ulid(n as u128)).unwrap();
    }
    writer.commit().unwrap();
    let rules = home.readers().get().unwrap().node_rules().unwrap();
    let kept = KeptRule { number: 1, rule: rule.clone(), added_by: "uid:1000".into(), added_ms: 7 };
    assert_eq!(rules.kept().collect::<Vec<_>>(), [&kept]);
    assert_eq!(rules.number_for(&rule), Ok(3));
}
