//! A store that was lost, out of the room that followed its runs.

use std::fs;

use serde_json::{Value, json};

use crate::harness::room::own_state;
use crate::harness::synapse::Synapse;
use crate::harness::{Cis, eventually, eventually_within};
use crate::matrix::{logged_in, login};
use crate::rooms::{SLOW, all_is_told, hybrid, journal_is_whole, room_of, waits};

const TEXT: &str = r#"
version = 1
[dag]
id = "ship"
[[tasks]]
id = "plan"
tty = false
script = '"$E2E_CIS" task output colour=red && echo planned'
[[tasks]]
id = "ask"
needs = ["plan"]
tty = false
script = '"$E2E_CIS" task ask "Which colour?" --option red --option blue'
[[tasks]]
id = "lint"
needs = ["deploy"]
tty = false
script = "exit 3"
[[tasks]]
id = "deploy"
needs = ["ask"]
tty = false
command = ["true"]
approval = { prompt = "Deploy?" }
"#;

#[test]
fn an_empty_store_gets_its_runs_out_of_their_room_byte_for_byte() {
    let synapse = Synapse::shared();
    let ((cis, user), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let ended = hybrid(&cis, &room, TEXT);
    cis.ok(["answer", &waits(&cis, "Which colour?"), "blue"]);
    cis.ok(["answer", &waits(&cis, "Deploy?"), "approve"]);
    cis.wait_run(&ended, "failed");
    // A second one is open, and its room began to follow it on the way.
    let open = cis.start(&TEXT.replace("exit 3", "exit 0"));
    let question = waits(&cis, "Which colour?");
    cis.wait_task(&open, "plan", "succeeded");
    cis.ok(["dag", "mode", &open, "hybrid", "--room", &room.id]);
    cis.ok(["answer", &question, "red"]);
    waits(&cis, "Deploy?");
    for run in [&ended, &open] {
        journal_is_whole(&cis, &room, run, TEXT);
    }
    let did = cis.status()["did"].as_str().unwrap().to_owned();
    let states: Vec<String> = [&ended, &open].iter().map(|run| own_state(&cis.home(), run, TEXT)).collect();
    cis.ok(["node", "stop", "--kill-sessions"]);

    // Another machine, which does not trust the node that is gone, and then does.
    let other = Cis::new();
    let second = synapse.register("other");
    login(&other, &synapse, &second, "--token-stdin", &second.token).expect(0);
    ann.invite(&room.id, &second.id);
    other.ok(["matrix", "join", &room.id]);
    let words = ["dag", "recover", "--room", &room.id, "--json"];
    let said = other.run(words).expect(1).json();
    assert_eq!((&said["runs"], &said["unknown"][0]["did"]), (&json!([]), &json!(did)), "{said}");
    other.ok(["identity", "trust", &did]);
    let said = other.run(words).expect(0).json();
    assert_eq!(said["runs"].as_array().map(Vec::len), Some(2), "{said}");
    assert!(said["runs"].as_array().unwrap().iter().all(is_whole), "{said}");
    for (run, state) in [&ended, &open].iter().zip(&states) {
        assert_eq!(&own_state(&other.home(), run, TEXT), state);
    }
    let said = other.run(words).expect(0).json();
    assert!(said["runs"].as_array().unwrap().iter().all(|run| run["recovered"] == false), "{said}");
    assert_eq!(other.show(&ended)["run"]["state"], "failed");
    // It is another node's: nobody else ends it.
    let said = other.run(["dag", "cancel", &open]).expect(3).stderr;
    assert!(said.contains("coordinated by"), "{said}");

    // The same node with an empty store: its key was kept.
    let key = fs::read(cis.home().join("identity.key")).unwrap();
    let again = Cis::new();
    fs::create_dir_all(again.home()).unwrap();
    let private = |path: &std::path::Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    private(&again.home(), 0o700);
    fs::write(again.home().join("identity.key"), key).unwrap();
    private(&again.home().join("identity.key"), 0o600);
    login(&again, &synapse, &user, "--token-stdin", &user.token).expect(0);
    assert_eq!(again.status()["did"], json!(did));
    let said = again.ok(["dag", "recover", "--room", &room.id]);
    assert!(said.contains("continue when it starts again"), "{said}");
    assert_eq!(own_state(&again.home(), &open, TEXT), states[1]);
    let pid = again.node_pid();
    again.ok(["node", "stop"]);
    eventually("it is gone", || (again.node_pid() != pid).then_some(()));
    again.ok(["answer", &waits(&again, "Deploy?"), "approve"]);
    again.wait_run(&open, "succeeded");
}

#[test]
fn a_run_of_thousands_goes_into_its_room_as_files_and_comes_back() {
    let mut synapse = Synapse::own();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let mut text =
        "version = 1\n[dag]\nid = \"many\"\nmax_parallel = 8\n[dag.defaults]\ntty = false\n".to_owned();
    // More events than are read at a time.
    for n in 0..2_600 {
        text.push_str(&format!("[[tasks]]\nid = \"t{n}\"\ncommand = [\"true\"]\n"));
    }
    // All of it is told at once, when it is over.
    synapse.stop();
    let run = hybrid(&cis, &room, &text);
    cis.wait_run(&run, "succeeded");
    synapse.start();
    crate::rooms::card_says(&room, &run, "succeeded");
    eventually_within(SLOW, "the room has its journal", || (cis.status()["outbox"] == 0).then_some(()));
    let (other, second) = (Cis::new(), synapse.register("other"));
    login(&other, &synapse, &second, "--token-stdin", &second.token).expect(0);
    ann.invite(&room.id, &second.id);
    other.ok(["matrix", "join", &room.id]);
    other.ok(["identity", "trust", cis.status()["did"].as_str().unwrap()]);
    let said = other.json(&["dag", "recover", "--room", &room.id]);
    assert!(
        said["runs"].as_array().unwrap().iter().all(is_whole) && said["runs"][0]["run"] == run.as_str(),
        "{said}"
    );
    assert_eq!(own_state(&other.home(), &run, &text), own_state(&cis.home(), &run, &text));
}

#[test]
fn a_journal_goes_on_under_the_nodes_new_key() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let run = hybrid(&cis, &room, TEXT);
    let colour = waits(&cis, "Which colour?");
    let old = cis.status()["did"].as_str().unwrap().to_owned();
    eventually_within(SLOW, "what the old key signed", || {
        room.events().iter().any(|event| event["type"] == "cis.dag.run.journal").then_some(())
    });
    cis.ok(["identity", "rotate"]);
    cis.ok(["node", "stop"]);
    cis.ok(["answer", &colour, "blue"]);
    cis.ok(["answer", &waits(&cis, "Deploy?"), "approve"]);
    cis.wait_run(&run, "failed");
    let new = cis.status()["did"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    all_is_told(&cis);
    let said = cis.run(["matrix", "audit", &room.id, "--json"]).expect(0).json();
    assert_eq!((&said["runs"][0]["here"], &said["runs"][0]["node"]), (&json!("same"), &json!(new)), "{said}");
    // Somebody who knows the old key alone.
    let (other, second) = (Cis::new(), synapse.register("other"));
    login(&other, &synapse, &second, "--token-stdin", &second.token).expect(0);
    ann.invite(&room.id, &second.id);
    other.ok(["matrix", "join", &room.id]);
    other.ok(["identity", "trust", &old]);
    let said = other.json(&["dag", "recover", "--room", &room.id]);
    assert!(is_whole(&said["runs"][0]) && said["unknown"].is_null(), "{said}");
    assert_eq!(own_state(&other.home(), &run, TEXT), own_state(&cis.home(), &run, TEXT));
}

#[test]
fn an_audit_finds_what_is_forged_and_what_is_gone() {
    let synapse = Synapse::shared();
    let ((cis, account), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let words = ["matrix", "audit", &room.id, "--json"];
    let empty = cis.run(words).expect(0).json();
    assert_eq!((&empty["nodes"], &empty["runs"]), (&json!([]), &json!([])), "{empty}");
    let run = hybrid(&cis, &room, TEXT);
    cis.ok(["answer", &waits(&cis, "Which colour?"), "blue"]);
    let deploy = waits(&cis, "Deploy?");
    eventually_within(SLOW, "a part of its journal", || {
        room.events().iter().any(|event| event["type"] == "cis.dag.run.journal").then_some(())
    });
    cis.ok(["answer", &deploy, "approve"]);
    cis.wait_run(&run, "failed");
    journal_is_whole(&cis, &room, &run, TEXT);

    let journal: Vec<Value> =
        room.events().into_iter().filter(|event| event["type"] == "cis.dag.run.journal").collect();
    let said = cis.run(words).expect(0).json();
    assert_eq!((&said["runs"][0]["here"], &said["runs"][0]["state"]), (&json!("same"), &json!("failed")));
    all_is_told(&cis);
    let said = cis.run(words).expect(0).json();
    let of_nodes = |event: &&Value| event["type"].as_str().unwrap().starts_with("cis.dag.");
    let envelopes = room.events().iter().filter(of_nodes).count();
    assert!(envelopes > journal.len(), "announcements are signed and checked too");
    assert_eq!(said["nodes"][0]["envelopes"], json!(envelopes), "{said}");
    // Somebody else says the same, and something else in its name.
    let mut forged = journal[0]["content"].clone();
    ann.send(&room.id, "cis.dag.run.journal", forged.clone());
    forged["body"] = json!({});
    ann.send(&room.id, "cis.dag.run.journal", forged);
    let said = cis.run(words).expect(0);
    assert_eq!(said.json()["refused_count"], 2, "{}", said.stdout);
    assert!(said.stdout.contains("for another sender") && said.stdout.contains("its signature is not"));
    // A part of it is taken away.
    let path = format!(
        "/rooms/{}/redact/{}/1",
        crate::harness::synapse::encoded(&room.id),
        crate::harness::synapse::encoded(journal[0]["event_id"].as_str().unwrap())
    );
    assert_eq!(ann.ask("PUT", &path, Some(json!({}))).0, 403, "people who were invited cannot do that");
    account.ok("PUT", &path, Some(json!({})));
    let said = cis.run(words).expect(1).json();
    assert_eq!(said["nodes"][0]["missing"], 1, "{said}");
    assert!(said["runs"][0]["lacks"][0].as_str().unwrap().contains("not in the room"), "{said}");
    let shown = cis.run(["matrix", "audit", &room.id]).expect(1).stdout;
    assert!(shown.contains("Not all of it is there"), "{shown}");
    assert!(shown.contains("2 events are forged, copied or not signed"), "{shown}");
    // For a node that trusts nobody it decides nothing; for one that trusts it, it does.
    let (other, second) = (Cis::new(), synapse.register("other"));
    login(&other, &synapse, &second, "--token-stdin", &second.token).expect(0);
    ann.invite(&room.id, &second.id);
    other.ok(["matrix", "join", &room.id]);
    let said = other.run(words).expect(0).json();
    let node = &said["nodes"][0];
    assert_eq!((&node["standing"], &node["missing"]), (&json!("unknown"), &json!(1)), "{said}");
    other.ok(["identity", "trust", cis.status()["did"].as_str().unwrap()]);
    let said = other.run(words).expect(1).json();
    assert_eq!(said["nodes"][0]["standing"], "trusted", "{said}");
    assert_eq!(said["runs"][0]["here"], Value::Null, "{said}");
}

fn is_whole(run: &Value) -> bool {
    run["recovered"] == true && run["lacks"].is_null()
}
