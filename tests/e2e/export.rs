//! `cis dag export` and `cis dag verify`: what happened to a run, for somebody who trusts no node.

use serde_json::Value;
use sha2::Digest as _;

use crate::federation::{did, execute, member, reads_that_it_runs, waiting_for};
use crate::harness::synapse::Synapse;
use crate::harness::{Cis, Installed, Output, Running, Seeded};
use crate::matrix::logged_in;
use crate::rooms::{hybrid, room_of, waits};
use crate::witness::script_of;

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

/// Checks a file on a machine that knows nothing, and once more with the checker that was written from the documentation: both come to
/// the same.
#[track_caller]
fn verified(file: &str, owner: &str) -> (Output, Value) {
    all_verified(&[file.to_owned()], owner).remove(0)
}

/// The same of many files, with one process of that checker for all: it starts slowly.
#[track_caller]
fn all_verified(files: &[String], owner: &str) -> Vec<(Output, Value)> {
    let alone = Cis::new();
    let mut command = script_of(Installed::Nio, "verify.py");
    command.args(files).args(["--owner", owner]);
    let witness = Running::start(command).wait();
    let said: Vec<Value> = witness.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), files.len(), "{witness:?}");
    let all: Vec<(Output, Value)> =
        files.iter().zip(&said).map(|(file, said)| compared(&alone, file, owner, said)).collect();
    assert!(alone.node_pid().is_none(), "it needs no node");
    assert_eq!(witness.code == Some(0), all.iter().all(|(out, _)| out.code == Some(0)), "{witness:?}");
    all
}

/// Checks a file, and compares that with what the other checker said of it.
#[track_caller]
fn compared(alone: &Cis, file: &str, owner: &str, said: &Value) -> (Output, Value) {
    let out = alone.run(["dag", "verify", file, "--owner", owner, "--json"]);
    let verdict = serde_json::from_str(&out.stdout).unwrap_or(Value::Null);
    assert_eq!(said["wrong"] == serde_json::json!([]), out.code == Some(0), "{file}: {said}\n{out:?}");
    // Which damage makes a file no export at all is not told apart here.
    if verdict != Value::Null && said["run"] != Value::Null {
        for key in
            ["run", "room", "dag", "state", "specification", "entries", "coordinators", "tasks", "answers"]
        {
            assert_eq!(said[key], verdict[key], "{file}: {key}: {said}\n{verdict}");
        }
    }
    (out, verdict)
}

/// Checks copies of a file with one other byte each: the first byte of each line, and bytes at random places.
#[track_caller]
fn refuses_other_bytes(cis: &Cis, file: &str, owner: &str) {
    let bytes = std::fs::read(file).unwrap();
    let mut places: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    // The last one would be behind the file.
    places.pop();
    let mut seeded = Seeded::new();
    let mut below = |limit: usize| usize::try_from(seeded.below(limit as u64)).unwrap();
    places.extend((0..40).map(|_| below(bytes.len())));
    let copy = |(n, at): (usize, usize)| {
        let mut other = bytes.clone();
        other[at] ^= 1_u8 << below(8);
        cis.write(&format!("flipped-{n}-at-{at}.jsonl"), &other).display().to_string()
    };
    let files: Vec<String> = places.into_iter().enumerate().map(copy).collect();
    for (file, (out, verdict)) in files.iter().zip(all_verified(&files, owner)) {
        assert_ne!(out.code, Some(0), "{file}: {verdict}");
    }
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
    refuses_other_bytes(&cis, &file, &did(&cis));
    let (out, _) = changed("other.jsonl", "{}\n".to_owned());
    assert!(out.stderr.contains("this is no export of a run"), "{out:?}");
    let mut forged = text.clone();
    let at = text.find("\"sig\":\"").unwrap() + 8;
    forged.replace_range(at..=at, if &text[at..=at] == "0" { "1" } else { "0" });
    changed("forged.jsonl", forged);
}

#[test]
fn a_takeover_is_proved_by_what_the_owners_said_before_it() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let (cis, _) = logged_in(&synapse);
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let second = member(&synapse, &room, &ann, &cis, ("second", "coordinator", "coordinate"));
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    reads_that_it_runs(&second, &run, "b");
    second.ok(["dag", "takeover", &run, "--force"]);
    std::fs::write(&go, "").unwrap();
    second.wait_run(&run, "succeeded");
    let file = second.work().join("taken.jsonl").display().to_string();
    second.ok(["dag", "export", &run, "--output", &file]);
    let (out, whole) = verified(&file, &did(&cis));
    assert_eq!((out.code, &whole["state"]), (Some(0), &"succeeded".into()), "{whole}");
    let coordinators: Vec<&Value> =
        whole["coordinators"].as_array().unwrap().iter().map(|one| &one["did"]).collect();
    assert_eq!(coordinators, [&Value::from(did(&cis)), &did(&second).into()], "{whole}");
    let last = whole["tasks"].as_array().unwrap().iter().find(|task| task["task"] == "c").unwrap();
    assert_eq!((&last["node"], &last["by"]), (&did(&worker).into(), &did(&second).into()), "{whole}");
    refuses_other_bytes(&cis, &file, &did(&cis));
    let (out, verdict) = verified(&file, &did(&second));
    assert_eq!(out.code, Some(1), "{verdict}");
    // Without the takeover, what the second coordinator wrote follows nothing, also where the end of the file was made anew.
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    lines.pop();
    let before = lines.len();
    lines.retain(|line| {
        !line.contains("cis.dag.run.taken_over\\\"") && !line.contains("\"cis.dag.run.taken_over\"")
    });
    assert_eq!(lines.len() + 1, before, "one page tells of it");
    let events = lines.iter().filter(|line| line.contains("\"line\":\"event\"")).count();
    let cut = lines.concat();
    let sha256 = hex::encode(sha2::Sha256::digest(&cut));
    let end = serde_json::json!({ "line": "end", "events": events, "sha256": sha256 });
    let path = cis.write("without.jsonl", format!("{cut}{end}\n"));
    let (out, verdict) = verified(path.to_str().unwrap(), &did(&cis));
    assert_eq!(out.code, Some(1), "{verdict}");
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
