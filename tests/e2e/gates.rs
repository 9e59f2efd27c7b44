//! What people decide while a run runs: approvals and groups; lists that become tasks; where time went.

use super::harness::{Cis, eventually, kill_9};

const GATED: &str = r#"
version = 1
[dag]
id = "gated"
[[tasks]]
id = "plan"
tty = false
script = """
echo 'regions=["eu","us"]' >> "$CIS_OUTPUT"
"""
outputs = { regions = { type = "list" } }
[[tasks]]
id = "deploy"
needs = ["plan"]
tty = false
approval = { prompt = "Deploy to {{ tasks.plan.outputs.regions | join(' and ') }}?" }
foreach = "tasks.plan.outputs.regions"
script = 'echo {{ item }} >> "$E2E_WORK/deployed"; echo "url=https://"{{ item }} >> "$CIS_OUTPUT"'
outputs = { url = { type = "string" } }
[[tasks]]
id = "end"
needs = ["deploy"]
if = "(tasks.deploy.outputs.url | length) == 2"
tty = false
command = ["echo", "{{ tasks.deploy.outputs.url }}"]
"#;

fn asked(cis: &Cis, run: &str) {
    eventually("the question", || (cis.show(run)["run"]["approvals"][0] == "deploy").then_some(()));
}

#[test]
fn a_task_waits_for_its_approval_over_a_crash_and_becomes_its_items() {
    let cis = Cis::new();
    let run = cis.start(GATED);
    asked(&cis, &run);
    kill_9(cis.node_pid().unwrap());
    let task = cis.task(&run, "deploy");
    assert_eq!(task["approval"]["prompt"], "Deploy to eu and us?", "{task}");
    let list = cis.ok(["dag", "list"]);
    assert!(list.contains("waits for approval: cis dag approve"), "{list}");
    let why = cis.ok(["dag", "why", "deploy"]);
    assert!(why.contains(&format!("cis dag approve {run} deploy")), "{why}");
    assert!(cis.read("deployed").is_empty(), "it has not started");
    let said = cis.ok(["dag", "approve", "deploy", "--comment", "go"]);
    assert!(said.contains("Task deploy of run") && said.contains("is approved"), "{said}");
    let late = cis.run(["dag", "reject", &run, "deploy", "--reason", "late"]).expect(3).stderr;
    assert!(late.contains("was approved by uid:") || late.contains("needs no approval"), "{late}");
    cis.wait_run(&run, "succeeded");
    let mut deployed: Vec<String> = cis.read("deployed").lines().map(str::to_owned).collect();
    deployed.sort();
    assert_eq!(deployed, ["eu", "us"]);
    assert_eq!(cis.task(&run, "deploy")["outputs"]["url"], serde_json::json!(["https://eu", "https://us"]));
    assert_eq!(cis.ok(["dag", "logs", "end"]).trim(), r#"["https://eu","https://us"]"#);
    let late = cis.run(["dag", "reject", &run, "deploy", "--reason", "late"]).expect(3).stderr;
    assert!(late.contains("was approved by uid:"), "also after the end of the run: {late}");
}

#[test]
fn a_rejected_task_fails_with_who_and_why() {
    let cis = Cis::new();
    let run = cis.start(GATED);
    asked(&cis, &run);
    cis.ok(["dag", "reject", "deploy", "--reason", "the tests are red"]);
    let ended = cis.wait_run(&run, "failed");
    let detail = ended["run"]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("rejected by uid:") && detail.contains("the tests are red"), "{detail}");
    assert_eq!(cis.task(&run, "end")["state"], "cancelled");
}

#[test]
fn a_session_cannot_approve_its_own_next_task() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "sly"
[[tasks]]
id = "gate"
approval = { prompt = "?" }
command = ["true"]
[[tasks]]
id = "sly"
tty = false
script = '''
"$E2E_CIS" dag approve "$CIS_RUN_ID" gate > "$E2E_WORK/said" 2>&1
"$E2E_CIS" group set mine --limit 1 >> "$E2E_WORK/said" 2>&1
"$E2E_CIS" dag reject "$CIS_RUN_ID" gate --reason x >> "$E2E_WORK/said" 2>&1; true
'''
"#;
    let run = cis.start(text);
    cis.wait_task(&run, "sly", "succeeded");
    let said = cis.read("said");
    assert_eq!(said.matches("may not").count(), 3, "{said}");
    assert_eq!(cis.task(&run, "gate")["state"], "queued");
    cis.ok(["dag", "approve", "gate"]);
    cis.wait_run(&run, "succeeded");
}

#[test]
fn groups_of_the_node_hold_over_runs_and_restarts() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "locked"
[[tasks]]
id = "only"
tty = false
concurrency = { group = "lock" }
script = 'while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done'
"#;
    let file = cis.write("locked.toml", text);
    let refused = cis.run(["dag", "run", file.to_str().unwrap()]).expect(2).stderr;
    assert!(refused.contains("cis group set lock --limit N"), "{refused}");
    cis.ok(["group", "set", "lock", "--limit", "1"]);
    let first = cis.start(text);
    cis.wait_task(&first, "only", "running");
    let second = cis.start(text);
    let view = || cis.json(&["group", "list"])["items"][0].clone();
    let expected = |view: &serde_json::Value| (view["active"] == 1 && view["waiting"] == 1).then_some(());
    eventually("one at work, one waiting", || expected(&view()));
    kill_9(cis.node_pid().unwrap());
    eventually("the same after a restart", || expected(&view()));
    let why = cis.ok(["dag", "why", "only", "--run", &second]);
    assert!(why.contains("All places of group `lock` are taken (1 of 1)"), "{why}");
    let busy = cis.run(["group", "remove", "lock"]).expect(3).stderr;
    assert!(busy.contains("has tasks in group `lock`"), "{busy}");
    cis.ok(["group", "set", "lock", "--limit", "2"]);
    cis.wait_task(&second, "only", "running");
    cis.write("open", "");
    cis.wait_run(&first, "succeeded");
    cis.wait_run(&second, "succeeded");
    let removed = cis.json(&["group", "remove", "lock"]);
    assert_eq!(removed, serde_json::json!({ "name": "lock", "room": null, "removed": true }));
    assert!(cis.ok(["group", "list"]).starts_with("No groups."));
}

#[test]
fn the_parts_of_the_time_make_up_the_whole() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "timed"
[[tasks]]
id = "slow"
tty = false
script = "sleep 0.6"
[[tasks]]
id = "gate"
needs = ["slow"]
tty = false
approval = { prompt = "Go?" }
script = "sleep 0.5"
"#;
    let running = cis.spawn_dag(text, &[]);
    eventually("the approval", || (cis.run(["dag", "approve", "gate"]).code == Some(0)).then_some(()));
    let ended = running.wait().expect(0).stderr;
    assert!(ended.contains("gate waits for approval: Go? (cis dag approve gate)"), "{ended}");
    assert!(ended.contains("machine 1.") && ended.contains("--time"), "{ended}");
    let times = cis.json(&["dag", "show", "--time"]);
    let part = |name: &str| times["critical"][name].as_i64().unwrap();
    let wall = times["wall_ms"].as_i64().unwrap();
    assert_eq!(part("queue_ms") + part("machine_ms") + part("human_ms"), wall);
    assert!(part("machine_ms") >= 1100 && part("human_ms") >= 1, "{times}");
    let tasks: Vec<&str> =
        times["path"].as_array().unwrap().iter().filter_map(|s| s["task"].as_str()).collect();
    assert_eq!(tasks, ["slow", "gate"]);
    assert!(cis.ok(["dag", "show", "--time"]).contains("Critical path"));
}
