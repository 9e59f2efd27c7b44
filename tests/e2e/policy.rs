//! A node's own policy: what it executes for other nodes of its room, whatever these may ask for.

use std::fs;

use serde_json::{Value, json};

use crate::federation::{did, execute, member, switch_off, waiting_for};
use crate::harness::synapse::Synapse;
use crate::harness::{Cis, Remote, audit_of, eventually_within};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, room_of};

/// Waits until `why` says these words of a task.
#[track_caller]
fn says_why(cis: &Cis, run: &str, task: &str, words: &[&str]) {
    eventually_within(SLOW, &format!("`why` of {task} says {words:?}"), || {
        let why = cis.ok(["dag", "why", task, "--run", run]);
        words.iter().all(|words| why.contains(words)).then_some(())
    });
}

fn rules(cis: &Cis) -> Value {
    cis.json(&["node", "policy", "show"])["rules"].clone()
}

/// `stuck` can run on the first node alone, `moves` on both.
const DENIED: &str = r#"
version = 1
[dag]
id = "denied"
[dag.defaults]
tty = false
[[tasks]]
id = "stuck"
nodes = ["first"]
script = "true; rm -rf nothing"
[[tasks]]
id = "moves"
nodes = ["first", "second"]
command = ["rm", "-rf", "nothing"]
"#;

#[test]
fn a_task_that_a_worker_denies_runs_elsewhere_and_why_says_so() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let first = member(&synapse, &room, &ann, &cis, ("first", "worker", "execute"));
    let said = first.ok(["node", "policy", "deny", "--command", "rm *"]);
    assert_eq!(said, "Rule 1: deny --command 'rm *'\n");
    let run = execute(&cis, &room, DENIED);
    let denied = "Node first refused it: rule 1 of the node's policy denies it (`deny --command 'rm *'`).";
    let advice = "`cis node policy`, on first for example";
    for task in ["stuck", "moves"] {
        says_why(&cis, &run, task, &[denied, advice]);
    }
    // The coordinator is in the audit of the worker, once.
    let denials = |cis: &Cis| {
        let events = audit_of(cis).into_iter().filter(|event| event.0 == "cis.dag.node.denied");
        events.map(|event| event.1["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(denials(&first), [did(&cis)]);

    let second = member(&synapse, &room, &ann, &cis, ("second", "worker", "execute"));
    let moved = cis.wait_task(&run, "moves", "succeeded");
    assert_eq!(cis.task(&run, "moves")["node"]["did"], did(&second), "{moved}");
    assert!(cis.ok(["dag", "show", &run]).contains("second"));
    assert_eq!(cis.task(&run, "stuck")["state"], "queued");

    // The change holds at once, also for what was refused before.
    first.ok(["node", "policy", "remove", "1"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "stuck")["node"]["did"], did(&first));
}

const ALLOWED: &str = r#"
version = 1
[dag]
id = "allowed"
[dag.defaults]
tty = false
[[tasks]]
id = "plain"
script = "echo one two"
[[tasks]]
id = "words"
command = ["echo", "a; b"]
[[tasks]]
id = "joined"
script = "echo one; true"
[[tasks]]
id = "variable"
env = { CC = "gcc" }
script = "echo one"
[[tasks]]
id = "other"
script = "true"
"#;

#[test]
fn allow_rules_close_the_rest_and_survive_a_restart_and_a_rebuild() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let (coordinator, stranger) = (did(&cis), did(&worker));
    let file = worker.write("allowed.toml", ALLOWED);
    let check = |more: &[&str]| {
        let words = [&["node", "policy", "check", file.to_str().unwrap(), "--json"], more].concat();
        let out = worker.run(words);
        let checked = out.json();
        let executes = |task: &Value| (task["task"].as_str().unwrap().to_owned(), task["executes"] == true);
        let all: Vec<_> = checked["tasks"].as_array().unwrap().iter().map(executes).collect();
        let executed: Vec<_> = all.into_iter().filter(|(_, yes)| *yes).map(|(task, _)| task).collect();
        assert_eq!(out.code, Some(if executed.len() == 5 { 0 } else { 1 }), "{checked}");
        (executed.join(" "), checked)
    };
    assert_eq!(check(&[]).0, "plain words joined variable other");
    worker.ok(["node", "policy", "allow", "--by", &coordinator, "--command", "echo *"]);
    worker.ok(["node", "policy", "allow", "--by", &stranger, "--command", "true"]);
    assert_eq!(check(&["--by", &coordinator]).0, "plain words");
    assert_eq!(check(&["--by", &stranger]).0, "other");
    assert_eq!(check(&[]).0, "", "rules for a node do not match a node that is not known");
    let checked = check(&["--by", &coordinator]).1;
    assert_eq!(checked["tasks"][0]["rule"], 1);
    let shown =
        worker.run(["node", "policy", "check", file.to_str().unwrap(), "--by", &coordinator]).expect(1);
    assert!(shown.stdout.contains("rule 1 would, but the task sets the variable `CC`"), "{}", shown.stdout);

    // What is refused is what the check said.
    let run = execute(&cis, &room, ALLOWED);
    let denied = "Node builder refused it: no rule of the node's policy allows it";
    for task in ["joined", "variable", "other"] {
        says_why(&cis, &run, task, &[denied]);
    }
    for task in ["plain", "words"] {
        cis.wait_task(&run, task, "succeeded");
    }

    let before = rules(&worker);
    assert_eq!(before[0]["added_by"], json!(format!("uid:{}", rustix::process::getuid().as_raw())));
    worker.ok(["node", "stop"]);
    worker.ok(["store", "check"]);
    worker.ok(["store", "rebuild"]);
    worker.ok(["node", "start", "--detach", "--room", &room.id, "--role", "worker"]);
    assert_eq!(rules(&worker), before);
    says_why(&cis, &run, "other", &[denied]);
    worker.ok(["node", "policy", "allow", "--command", "echo one; true"]);
    worker.ok(["node", "policy", "allow", "--command", "echo *", "--env", "CC"]);
    worker.ok(["node", "policy", "allow", "--coordinator", &coordinator, "--command", "true"]);
    cis.wait_run(&run, "succeeded");
}

#[test]
fn the_own_tasks_of_a_node_are_not_subject_to_its_policy() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    cis.ok(["node", "invite", "--room", &room.id]);
    cis.ok(["node", "stop"]);
    cis.ok(["node", "start", "--detach", "--room", &room.id, "--role", "both"]);
    cis.ok(["node", "policy", "deny", "--command", "*"]);
    let run = execute(&cis, &room, ALLOWED);
    cis.wait_task(&run, "plain", "succeeded");
}

/// Who submitted a run is known from its journal when another node coordinates it.
#[test]
fn after_a_takeover_the_submitting_node_is_the_one_that_began_the_journal() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let second = member(&synapse, &room, &ann, &cis, ("second", "coordinator", "coordinate"));
    let go = cis.work().join("go");
    worker.ok(["node", "policy", "allow", "--by", &did(&cis)]);
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    eventually_within(SLOW, "the other coordinator reads of it", || {
        let show = second.run(["--json", "dag", "show", &run]);
        (show.code == Some(0) && show.stdout.contains("succeeded")).then_some(())
    });
    switch_off(&cis);
    eventually_within(SLOW, "the other one takes it over", || {
        (second.show(&run)["run"]["node"] == did(&second)).then_some(())
    });
    worker.ok(["node", "policy", "deny", "--by", &did(&cis), "--coordinator", &did(&second)]);
    fs::write(&go, "").unwrap();
    says_why(&second, &run, "c", &["rule 2 of the node's policy denies it"]);
    worker.ok(["node", "policy", "remove", "2"]);
    second.wait_run(&run, "succeeded");
    assert_eq!(second.task(&run, "c")["node"]["did"], did(&worker));
}

/// Tries to change the policy from a session, with and without its token.
const SLY: &str = r#"
version = 1
[dag]
id = "sly"
[[tasks]]
id = "sly"
tty = false
script = '''
try() { "$@" >> "$E2E_WORK/said" 2>&1; echo "$?" >> "$E2E_WORK/codes"; }
try "$E2E_CIS" node policy allow --command '*'
try "$E2E_CIS" node policy deny --tag gpu
try "$E2E_CIS" node policy remove 1
try env -u CIS_TOKEN "$E2E_CIS" node policy remove 1
try env -u CIS_TOKEN -u CIS_SOCKET -u CIS_ATTEMPT -u CIS_RUN_ID setsid "$E2E_CIS" node policy remove 1
'''
"#;

#[test]
fn neither_a_session_nor_an_operator_changes_the_policy_and_changes_are_audited() {
    let remote = Remote::start(&[]);
    let cis = &remote.node;
    cis.ok(["node", "policy", "deny", "--command", "rm *"]);
    let before = rules(cis);
    cis.dag(SLY, &[]).expect(0);
    assert_eq!(fs::read_to_string(cis.work().join("codes")).unwrap(), "3\n".repeat(5));
    let said = cis.read("said");
    assert!(said.contains("may not change what this node executes for other nodes"), "{said}");

    let (operator, _) = remote.token("operator", "olga", &[]);
    let (viewer, _) = remote.token("viewer", "vera", &[]);
    let (admin, _) = remote.token("admin", "root", &[]);
    for words in [&["node", "policy", "deny", "--tag", "gpu"][..], &["node", "policy", "remove", "1"]] {
        let refused = remote.run(&operator, words).expect(3).stderr;
        assert!(refused.contains("token olga may not change what this node executes"), "{refused}");
    }
    assert_eq!(rules(cis), before);
    assert!(
        remote.run(&viewer, &["node", "policy", "show"]).expect(0).stdout.contains("deny --command 'rm *'")
    );

    remote.run(&admin, &["node", "policy", "deny", "--tag", "gpu"]).expect(0);
    remote.run(&admin, &["node", "policy", "deny", "--tag", "gpu"]).expect(0);
    remote.run(&admin, &["node", "policy", "remove", "2"]).expect(0);
    let missing = remote.run(&admin, &["node", "policy", "remove", "2"]).expect(2).stderr;
    assert!(missing.contains("the policy has no rule 2"), "{missing}");
    let changes: Vec<_> =
        audit_of(cis).into_iter().filter(|event| event.0 == "cis.dag.node.policy").collect();
    let of = |event: &(String, Value, Value)| {
        (event.1["name"].clone(), event.2["number"].clone(), event.2["rule"]["tag"].clone())
    };
    let by = json!(format!("uid:{}", rustix::process::getuid().as_raw()));
    assert_eq!(
        changes.iter().map(of).collect::<Vec<_>>(),
        [
            (by, json!(1), Value::Null),
            (json!("token:root"), json!(2), json!("gpu")),
            (json!("token:root"), json!(2), Value::Null)
        ],
        "the same rule again changes nothing"
    );
}
