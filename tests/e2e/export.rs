//! `cis dag export` and `cis dag verify`: what happened to a run, for somebody who trusts no node.

use serde_json::Value;

use crate::federation::{did, execute, member};
use crate::harness::synapse::Synapse;
use crate::harness::{Cis, Output};
use crate::matrix::logged_in;
use crate::rooms::{hybrid, room_of, waits};

const TEXT: &str = r#"
version = 1
[dag]
id = "proof"
[[tasks]]
id = "asks"
script = 'printf "Deploy? [y/N] "; read x; test "$x" = y'
[[tasks]]
id = "after"
needs = ["asks"]
tty = false
script = "echo done"
"#;

/// Checks a file on a machine that knows nothing.
fn verified(file: &str, owner: &str) -> (Output, Value) {
    let alone = Cis::new();
    let out = alone.run(["dag", "verify", file, "--owner", owner, "--json"]);
    let verdict = serde_json::from_str(&out.stdout).unwrap_or(Value::Null);
    assert!(alone.node_pid().is_none(), "it needs no node");
    (out, verdict)
}

#[test]
fn a_run_of_several_nodes_is_proved_to_somebody_who_knows_the_owner_alone() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let (cis, _) = logged_in(&synapse);
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let run = execute(&cis, &room, TEXT);
    let deploy = waits(&cis, "Deploy? [y/N]");
    cis.ok(["answer", &deploy, "y"]);
    cis.wait_run(&run, "succeeded");
    let file = cis.work().join("proof.jsonl").display().to_string();
    // Also right after the end: it waits until the room has all of it.
    cis.ok(["dag", "export", &run, "--output", &file]);
    let (_, whole) = verified(&file, &did(&cis));
    assert_eq!(whole["state"], "succeeded", "{whole}");
    assert_eq!(whole["wrong"], serde_json::json!([]), "{whole}");
    assert_eq!(whole["specification"], "matches", "{whole}");
    let tasks = whole["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 2);
    for task in tasks {
        assert_eq!((&task["node"], &task["by"]), (&did(&worker).into(), &did(&cis).into()), "{task}");
    }
    assert_eq!(whole["answers"][0]["task"], "asks", "{whole}");

    // For people.
    let shown = cis.ok(["dag", "verify", &file, "--owner", &did(&cis)]);
    assert!(
        shown.contains("builder") && shown.contains("verified: nothing in the file was changed"),
        "{shown}"
    );

    // Somebody else is not the owner: nothing counts.
    let (out, verdict) = verified(&file, &did(&worker));
    assert_eq!(out.code, Some(1), "{verdict}");

    // An output that was changed, a line that is gone, an end that is gone, and another format.
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = |what: &str, text: String| {
        let path = cis.write(what, &text);
        let (out, verdict) = verified(path.to_str().unwrap(), &did(&cis));
        assert_ne!(out.code, Some(0), "{what}: {verdict}");
        (out, verdict)
    };
    let lines: Vec<&str> = text.lines().collect();
    let journal = lines.iter().position(|line| line.contains("cis.dag.run.journal")).unwrap();
    let without = |n: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != n).map(|(_, line)| format!("{line}\n"));
        kept.collect::<String>()
    };
    changed("gone.jsonl", without(journal));
    changed("cut.jsonl", without(lines.len() - 1));
    changed("renamed.jsonl", text.replacen("proof", "prooF", 1));
    let (out, _) = changed("other.jsonl", "{}\n".to_owned());
    assert!(out.stderr.contains("this is no export of a run"), "{out:?}");
    let mut forged = text.clone();
    let at = text.find("\"sig\":\"").unwrap() + 8;
    forged.replace_range(at..=at, if &text[at..=at] == "0" { "1" } else { "0" });
    changed("forged.jsonl", forged);
}

#[test]
fn a_run_that_a_room_follows_is_proved_by_the_did_of_its_node_and_another_one_is_not_exported() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let (cis, _) = logged_in(&synapse);
    let room = room_of(&cis, &ann);
    let run =
        hybrid(&cis, &room, "version = 1\n[dag]\nid = \"one\"\n[[tasks]]\nid = \"a\"\nscript = \"true\"\n");
    cis.wait_run(&run, "succeeded");
    let text = cis.ok(["dag", "export", &run, "--output", "-"]);
    let file = cis.write("one.jsonl", &text);
    let (out, verdict) = verified(file.to_str().unwrap(), &did(&cis));
    assert_eq!((out.code, &verdict["state"]), (Some(0), &"succeeded".into()), "{verdict}");
    let own = cis.start("version = 1\n[dag]\nid = \"own\"\n[[tasks]]\nid = \"a\"\nscript = \"true\"\n");
    let refused = cis.run(["dag", "export", &own]);
    assert!(refused.code != Some(0) && refused.stderr.contains("is in no room"), "{refused:?}");
}
