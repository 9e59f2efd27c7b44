//! A node that only reads a room: what others tell there, as they tell it.

use serde_json::json;

use crate::harness::room::own_state;
use crate::harness::synapse::{Synapse, encoded};
use crate::harness::{Cis, eventually_within, kill_9};
use crate::matrix::{logged_in, login};
use crate::rooms::{SLOW, hybrid, room_of};

const TEXT: &str = r#"
version = 1
[dag]
id = "ship"
[[tasks]]
id = "plan"
tty = false
script = '"$E2E_CIS" task output colour=red'
[[tasks]]
id = "ask"
needs = ["plan"]
tty = false
script = '"$E2E_CIS" task ask "Which colour?" --option red --option blue'
[[tasks]]
id = "deploy"
needs = ["ask"]
tty = false
command = ["true"]
approval = { prompt = "Deploy?" }
"#;

/// Waits for an item of the inbox.
#[track_caller]
fn waits(cis: &Cis, question: &str) -> String {
    eventually_within(SLOW, question, || {
        let items = cis.json(&["inbox"])["items"].clone();
        let one = items.as_array()?.iter().find(|item| item["question"] == question)?;
        one["id"].as_str().map(str::to_owned)
    })
}

#[test]
fn an_observer_sees_what_other_nodes_tell_and_has_no_part_in_it() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let ended = hybrid(
        &cis,
        &room,
        "version = 1\n[dag]\nid = \"first\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n",
    );
    cis.wait_run(&ended, "succeeded");
    let run = hybrid(&cis, &room, TEXT);
    let colour = waits(&cis, "Which colour?");

    let (observer, second) = (Cis::new(), synapse.register("observer"));
    login(&observer, &synapse, &second, "--token-stdin", &second.token).expect(0);
    ann.ok("POST", &format!("/rooms/{}/invite", encoded(&room.id)), Some(json!({ "user_id": second.id })));
    observer.ok(["matrix", "join", &room.id]);
    observer.ok(["node", "stop"]);
    let start = ["node", "start", "--detach", "--room", &room.id, "--role", "observer"];
    observer.ok(start);
    // Whom it does not trust it does not believe, and says so.
    let did = cis.status()["did"].as_str().unwrap().to_owned();
    eventually_within(SLOW, "the warning", || {
        let warnings = observer.status()["warnings"].to_string();
        warnings.contains(&format!("cis identity trust {did}")).then_some(())
    });
    assert_eq!(observer.json(&["dag", "list", "--all"])["items"], json!([]));
    observer.ok(["identity", "trust", &did]);
    eventually_within(SLOW, "both runs", || {
        let runs = observer.json(&["dag", "list", "--all"])["items"].clone();
        runs.as_array().is_some_and(|runs| runs.len() == 2).then_some(())
    });
    observer.wait_run(&ended, "succeeded");
    waits(&observer, "Which colour?");
    observer.wait_task(&run, "plan", "succeeded");
    assert_eq!(observer.status()["observes"], json!([room.id]));
    // It steers nothing.
    for words in [vec!["dag", "cancel", &run], vec!["answer", &colour, "red"], vec!["dag", "retry", &ended]] {
        let said = observer.run(words.clone()).expect(3).stderr;
        assert!(said.contains("coordinated by"), "{words:?}: {said}");
    }
    // It sees what happens, as it happens; also what happened while it was away.
    cis.ok(["answer", &colour, "blue"]);
    let deploy = waits(&observer, "Deploy?");
    kill_9(observer.node_pid().unwrap());
    cis.ok(["answer", &deploy, "approve"]);
    cis.wait_run(&run, "succeeded");
    observer.ok(start);
    observer.wait_run(&run, "succeeded");
    eventually_within(SLOW, "the same state", || {
        (own_state(&observer.home(), &run, TEXT) == own_state(&cis.home(), &run, TEXT)).then_some(())
    });
    assert_eq!(observer.json(&["inbox"])["items"], json!([]));
    assert_eq!(observer.status()["live_sessions"], 0);
}
