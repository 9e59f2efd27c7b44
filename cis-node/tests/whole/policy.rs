//! The node's own policy, its groups, and what needs a Matrix account that it does not have.

use cis_client::ClientError;
use cis_core::api::{
    CheckPolicy, GroupPlace, ListNodes, LoginMatrix, LogoutMatrix, ProblemKind, ReadMatrixRoom, RecoverRuns,
};
use cis_core::dag::Group;
use cis_core::event::{NodeRule, RuleEffect, RunState, TaskState};
use serde_json::{Value, json};

use crate::harness::{Node, eventually, on_a_runtime, task};
use crate::wire::{get, kind, post, send};

const FILE: &str = r#"
version = 1
[dag]
id = "checked"
[dag.params.what]
type = "string"
default = "x"
[dag.defaults]
tty = false
[[tasks]]
id = "plain"
script = "echo one two"
[[tasks]]
id = "removes"
command = ["rm", "-rf", "nothing"]
[[tasks]]
id = "variable"
env = { CC = "gcc" }
script = "echo one"
[[tasks]]
id = "template"
command = ["echo", "{{ params.what }}"]
"#;

#[test]
fn rules_are_numbered_kept_and_decide_what_a_file_may_run_for_other_nodes() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut node = Node::local(scratch.path(), &[]).await;
        let check = async |node: &Node, by| {
            let request = CheckPolicy { text: FILE.to_owned(), source: "f.toml".to_owned(), room: None, by };
            let checked = node.client.check_policy(&request).await.unwrap();
            let executed: Vec<_> =
                checked.tasks.iter().filter(|task| task.executes).map(|task| task.task.to_string()).collect();
            assert_eq!(checked.executes_all, executed.len() == checked.tasks.len());
            (executed.join(" "), checked)
        };
        let rule = |effect, command: Option<&str>, by| NodeRule {
            command: command.map(str::to_owned),
            by,
            ..NodeRule::new(effect)
        };
        assert_eq!(check(&node, None).await.0, "plain removes variable template", "without rules all of it");
        let deny = rule(RuleEffect::Deny, Some("rm *"), None);
        let added = node.client.add_policy_rule(&deny).await.unwrap();
        assert_eq!((added.number, &added.added_by), (1, &node.client.me().await.unwrap().name));
        assert_eq!(node.client.add_policy_rule(&deny).await.unwrap(), added, "the same rule is there once");
        let (executed, checked) = check(&node, None).await;
        assert_eq!(executed, "plain variable template");
        assert_eq!(checked.tasks[1].rule, Some(1));
        assert!(checked.tasks[1].why.contains("rule 1"), "{checked:?}");
        assert!(checked.tasks[3].depends_on_values && !checked.tasks[0].depends_on_values, "{checked:?}");

        // What is allowed closes the rest, and a rule for a node needs to know it.
        let by = node.did.clone();
        let allow = rule(RuleEffect::Allow, Some("echo *"), Some(by.clone()));
        assert_eq!(node.client.add_policy_rule(&allow).await.unwrap().number, 2);
        assert_eq!(check(&node, None).await.0, "");
        let (executed, checked) = check(&node, Some(by.clone())).await;
        assert!(executed.starts_with("plain") && !executed.contains("variable"), "{checked:?}");
        assert!(checked.tasks[2].why.contains("`CC`"), "{checked:?}");
        node.leave().await;
        node = Node::local(scratch.path(), &[]).await;
        let kept = node.client.policy().await.unwrap();
        assert_eq!(kept.rules.iter().map(|rule| rule.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((kept.room, &kept.rules[0]), (None, &added));
        assert_eq!(node.client.remove_policy_rule(1).await.unwrap(), added);
        assert_eq!(kind(node.client.remove_policy_rule(1).await), ProblemKind::NotFound);
        node.client.remove_policy_rule(2).await.unwrap();
        let next = node.client.add_policy_rule(&deny).await.unwrap();
        assert_eq!(next.number, 3, "a number is never given twice");

        let wrong = CheckPolicy { text: "x".to_owned(), source: "f.toml".to_owned(), room: None, by: None };
        assert_eq!(kind(node.client.check_policy(&wrong).await), ProblemKind::BadInput);
        let reply = post(&node, "/v1/node/policy/check", &[], &json!({ "text": FILE, "by": "nobody" })).await;
        assert_eq!(reply.problem(), (400, "bad-input".to_owned()));
        assert_eq!(send(&node, "DELETE /v1/node/policy/x", &[], "").await.problem().0, 404);
        node.stop().await;
    });
}

#[test]
fn a_group_of_the_node_limits_what_runs_at_a_time_and_can_be_changed_meanwhile() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let here = GroupPlace::default();
        let set = async |name: &str, limit| {
            node.client.set_group(name, &Group { limit, frees_when_blocked: false }, &here).await
        };
        assert_eq!(kind(set("gpu", 0).await), ProblemKind::BadInput);
        assert_eq!(kind(set("a b", 1).await), ProblemKind::BadInput);
        set("gpu", 1).await.unwrap();
        let go = scratch.path().join("go");
        let mut text = "version = 1\n[dag]\nid = \"g\"\n[dag.defaults]\ntty = false\n".to_owned();
        for id in ["a", "b", "c"] {
            let wait = format!("while [ ! -e '{}' ]; do sleep 0.05; done", go.display());
            text.push_str(&format!(
                "[[tasks]]\nid = \"{id}\"\nconcurrency = {{ group = \"gpu\" }}\nscript = {wait:?}\n"
            ));
        }
        let run = node.submit(&text).await;
        let active = async |wanted: u32| {
            eventually(&format!("{wanted} are active"), async || {
                let groups = node.client.groups().await.unwrap().items;
                let group = groups.into_iter().find(|group| group.name == "gpu").unwrap();
                (group.active == wanted).then_some(group)
            })
            .await
        };
        let group = active(1).await;
        assert_eq!((group.limit, group.waiting, group.run), (1, 2, None));
        let tasks = node.client.run(&run).await.unwrap().tasks;
        let waits = tasks.iter().find(|task| task.state == TaskState::Queued).unwrap().id.to_string();
        let why = node.client.why(&run, &waits).await.unwrap();
        assert!(why.because.concat().contains("gpu"), "{why:?}");
        set("gpu", 2).await.unwrap();
        assert_eq!(active(2).await.waiting, 1);
        assert_eq!(kind(node.client.remove_group("none", &here).await), ProblemKind::NotFound);
        std::fs::write(go, "").unwrap();
        let ended = node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&ended, "c").attempts, 1);
        node.client.remove_group("gpu", &here).await.unwrap();
        assert!(node.client.groups().await.unwrap().items.is_empty());
        assert_eq!(kind(node.client.remove_group("gpu", &here).await), ProblemKind::NotFound);
        node.stop().await;
    });
}

#[test]
fn without_an_account_what_needs_one_is_refused_with_what_to_do() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let room = "!room:example.org";
        let path = |rest: &str| format!("/v1/matrix/rooms/{}/{rest}", room.replace('!', "%21"));
        let client = &node.client;
        for outcome in [
            client.matrix_account().await.map(drop),
            client.matrix_rooms().await.map(drop),
            client.audit_matrix_room(room).await.map(drop),
            client.read_matrix_room(room, &ReadMatrixRoom::default()).await.map(drop),
            client.recover_runs(room, &RecoverRuns { workdir: "/".to_owned() }).await.map(drop),
            client.matrix_standing().await.map(drop),
            client.new_matrix_recovery().await.map(drop),
            client.logout_matrix(&LogoutMatrix::default()).await,
        ] {
            let Err(ClientError::Problem(problem)) = outcome else { panic!("{outcome:?}") };
            assert!(problem.kind == ProblemKind::Conflict, "{problem:?}");
            let said = format!("{problem} {}", problem.hint.as_deref().unwrap_or_default());
            assert!(said.contains("cis matrix login"), "{said}");
        }
        let login: LoginMatrix =
            serde_json::from_value(json!({ "homeserver": "not a url", "proof": { "token": "x" } })).unwrap();
        let Err(ClientError::Problem(problem)) = client.login_matrix(&login).await else { panic!() };
        assert_eq!(problem.kind, ProblemKind::BadInput, "{problem:?}");
        assert_eq!(get(&node, &path("nothing")).await.problem().0, 404);
        // A run of a room, and a room's group, need it too; a node of its own has no room and no other nodes.
        let body = json!({ "text": FILE, "mode": "matrix", "room": room });
        let run = post(&node, "/v1/runs", &[], &body).await;
        assert_eq!(run.problem().1, "conflict", "{run:?}");
        let of_room = GroupPlace { room: Some(room.to_owned()) };
        let group = Group { limit: 1, frees_when_blocked: false };
        assert_eq!(kind(client.set_group("g", &group, &of_room).await), ProblemKind::Conflict);
        let nodes = client.nodes(ListNodes::default().room.as_deref()).await.unwrap().items;
        assert_eq!(json!(nodes), Value::Array(Vec::new()));
        node.stop().await;
    });
}
