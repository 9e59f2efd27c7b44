//! The history and the events of a run, also after its end.

use serde_json::Value;

use super::harness::{Cis, eventually};

const DECIDED: &str = r#"
version = 1
[dag]
id = "decided"
[[tasks]]
id = "gate"
tty = false
approval = { prompt = "Go to production?" }
command = ["true"]
[[tasks]]
id = "ask"
needs = ["gate"]
script = "printf 'Proceed? [y/n] '; read -r answer; echo got $answer"
[[tasks]]
id = "long"
needs = ["ask"]
tty = false
command = ["sleep", "600"]
"#;

/// Starts the run, approves, answers, and cancels it.
fn decided(cis: &Cis) -> String {
    let run = cis.start(DECIDED);
    eventually("the approval", || (cis.show(&run)["run"]["approvals"][0] == "gate").then_some(()));
    cis.ok(["dag", "approve", "gate", "--comment", "reviewed by me"]);
    cis.unblock(&["ask", "--text", "y"]);
    cis.wait_task(&run, "long", "running");
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
    run
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

#[test]
fn the_history_of_an_ended_run_names_every_actor() {
    let cis = Cis::new();
    let run = decided(&cis);
    let me = format!("uid:{}", rustix::process::getuid().as_raw());
    let entries = cis.run(["dag", "history", &run, "--json"]).expect(0).json_lines();
    assert_eq!(actions(&entries), ["created", "started", "approved", "answered", "cancelled"], "{entries:?}");
    for entry in &entries {
        assert_eq!(
            (&entry["actor"]["name"], &entry["actor"]["via"]),
            (&me.as_str().into(), &"socket".into())
        );
        assert!(entry["at_ms"].is_i64() && entry["offset"].is_u64(), "{entry}");
    }
    let (approved, answered, cancelled) = (&entries[2], &entries[3], &entries[4]);
    assert_eq!((&approved["task"], &approved["comment"]), (&"gate".into(), &"reviewed by me".into()));
    assert_eq!(approved["question"], "Go to production?");
    assert_eq!((&answered["task"], &answered["text"]), (&"ask".into(), &"y".into()));
    assert!(answered["question"].as_str().unwrap().contains("Proceed?"), "{answered}");
    assert_eq!(answered["result"], "typed 2 bytes");
    assert_eq!(cancelled["result"], "the run ended as cancelled");

    let shown = cis.show(&run);
    assert_eq!(shown["history"].as_array().unwrap(), &entries, "the same entries as next to the tasks");
    let why = cis.json(&["dag", "why", "gate"]);
    assert_eq!(why["history"], serde_json::json!([approved]));
    for text in [cis.ok(["dag", "show", &run]), cis.ok(["dag", "why", "gate"])] {
        assert!(text.contains(&me) && text.contains("reviewed by me"), "{text}");
    }
    let of_task = cis.ok(["dag", "history", &run, "--task", "ask", "--action", "answered"]);
    assert!(of_task.contains("Proceed? [y/n]") && of_task.contains("→ y (typed 2 bytes)"), "{of_task}");
    assert_eq!(of_task.lines().count(), 2, "{of_task}");
    let wrong = cis.run(["dag", "history", "--action", "danced"]).expect(2).stderr;
    assert!(wrong.contains("possible values") && wrong.contains("approved"), "{wrong}");
}

#[test]
fn refusals_and_rejections_are_in_the_history() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "sly"
[[tasks]]
id = "gate"
tty = false
approval = { prompt = "?" }
command = ["true"]
[[tasks]]
id = "sly"
tty = false
script = '"$E2E_CIS" dag approve "$CIS_RUN_ID" gate; true'
"#;
    let run = cis.start(text);
    let session = cis.wait_task(&run, "sly", "succeeded")["session"].clone();
    cis.ok(["dag", "reject", "gate", "--reason", "the tests are red"]);
    cis.wait_run(&run, "failed");
    let entries = cis.run(["dag", "history", "--json"]).expect(0).json_lines();
    assert_eq!(actions(&entries), ["created", "started", "denied", "rejected"]);
    let denied = &entries[2];
    assert_eq!((&denied["actor"]["kind"], &denied["actor"]["name"]), (&"session".into(), &session));
    assert!(denied["result"].as_str().unwrap().starts_with("refused: "), "{denied}");
    assert_eq!(entries[3]["comment"], "the tests are red");
    // The history of another run does not have this entry.
    let other = cis.start("version = 1\n[dag]\nid = \"o\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n");
    cis.wait_run(&other, "succeeded");
    let entries = cis.run(["dag", "history", &other, "--json"]).expect(0).json_lines();
    assert_eq!(actions(&entries), ["created", "started"]);
}

#[test]
fn events_of_an_ended_run_are_listed_and_filtered() {
    let cis = Cis::new();
    let run = decided(&cis);
    let events = |more: &[&str]| {
        let arguments = [&["dag", "events", run.as_str(), "--json"], more].concat();
        cis.run(arguments).expect(0).json_lines()
    };
    let all = events(&[]);
    assert_eq!(all[0]["type"], "cis.dag.run.created");
    assert!(all.iter().any(|event| event["type"] == "cis.dag.run.cancelled"), "{all:?}");
    let offsets: Vec<u64> = all.iter().map(|event| event["offset"].as_u64().unwrap()).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b) && all.iter().all(|event| event["run"] == run.as_str()));
    let results = events(&["--type", "task.result"]);
    assert_eq!(results.len(), 3, "{results:?}");
    let of_gate = events(&["--type", "cis.dag.task.result", "--task", "gate"]);
    assert_eq!((of_gate.len(), &of_gate[0]["body"]["task"]), (1, &"gate".into()));
    assert!(events(&["--type", "session"]).len() >= 2);
    let rest = events(&["--after", &offsets[2].to_string()]);
    assert_eq!(rest.len(), all.len() - 3);
    assert!(events(&["--after", &offsets[offsets.len() - 1].to_string()]).is_empty());
    assert_eq!(events(&["--follow"]), all, "an ended run does not go on");
    let text = cis.ok(["dag", "events", "--type", "task.approved"]);
    assert!(text.contains("task.approved") && text.contains("reviewed by me"), "{text}");
    let wrong = cis.run(["dag", "events", "--type", "dance"]).expect(2).stderr;
    assert!(wrong.contains("task.result"), "{wrong}");
}

#[test]
fn events_of_an_open_run_are_followed_to_its_end() {
    let cis = Cis::new();
    let run = cis.start_task("gate", "tty = false\napproval = { prompt = \"?\" }\ncommand = [\"true\"]");
    eventually("the approval", || (cis.show(&run)["run"]["approvals"][0] == "gate").then_some(()));
    let so_far = cis.run(["dag", "events", &run, "--json"]).expect(0).json_lines();
    assert!(so_far.iter().all(|event| event["type"] != "cis.dag.run.completed"), "{so_far:?}");
    let following = cis.spawn(["dag", "events", &run, "--json", "--follow"]);
    cis.ok(["dag", "approve", "gate"]);
    let events = following.wait().expect(0).json_lines();
    assert_eq!(events[..so_far.len()], so_far);
    assert_eq!(events.last().unwrap()["type"], "cis.dag.run.completed");
}
