//! Runs that a room follows: what is said where that cannot be, and that everything else goes on.

use serde_json::{Value, json};

use super::harness::Cis;
use super::harness::synapse::Synapse;
use super::matrix::{logged_in, login};

const FILE: &str = r#"
version = 1
[dag]
id = "ship"
[[tasks]]
id = "plan"
command = ["sh", "-c", "test -t 0 && echo terminal; echo planned"]
tty = false
[[tasks]]
id = "deploy"
needs = ["plan"]
tty = false
command = ["true"]
approval = { prompt = "Deploy?", allowed = ["pl>=50", "@ann:example.org"] }
"#;

#[test]
fn without_an_account_a_hybrid_run_says_how_to_get_one() {
    let cis = Cis::new();
    let file = cis.write("ship.toml", FILE);
    let file = file.to_str().unwrap();
    let room = "#builds:example.org";
    for args in [["dag", "execute", file, "--room", room], ["dag", "run", "--room", room, file]] {
        let said = cis.run(args).expect(3).stderr;
        assert!(said.contains("no Matrix account") && said.contains("cis matrix login"), "{said}");
    }
    let said = cis.run(["dag", "execute", "--hybrid", file]).expect(2).stderr;
    assert!(said.contains("needs a room") && said.contains("auto_create_room"), "{said}");
    let said = cis.run(["dag", "execute", "--hybrid", "--room", "builds", file]).expect(2).stderr;
    assert!(said.contains("matrix.to"), "{said}");
    let said = cis.run(["dag", "execute", "--local", "--room", room, file]).expect(2).stderr;
    assert!(said.contains("cannot be used with"), "{said}");
    assert_eq!(cis.run(["dag", "list", "--json"]).expect(0).json()["items"], json!([]));
}

#[test]
fn the_configuration_says_what_holds_without_a_flag() {
    let cis = Cis::new();
    cis.configure("[dag]\ndefault_mode = \"hybrid\"\n");
    let file = cis.write("ship.toml", FILE);
    let file = file.to_str().unwrap();
    let said = cis.run(["dag", "run", file]).expect(2).stderr;
    assert!(said.contains("needs a room"), "{said}");
    let run = cis.run(["dag", "run", "--local", "--create-only", "--json", file]).expect(0).json();
    assert_eq!((&run["mode"], &run["room"]), (&"local".into(), &Value::Null));
    let off = Cis::new();
    off.configure("[dag]\nroom_id = \"!r:example.org\"\n[dag.matrix]\nenabled = false\n");
    let said = off.run(["dag", "run", "--hybrid", file]).expect(3).stderr;
    assert!(said.contains("dag.matrix.enabled"), "{said}");
}

#[test]
fn a_mode_is_switched_only_to_what_can_be() {
    let cis = Cis::new();
    let run = cis.start(FILE);
    let said = cis.run(["dag", "mode", &run, "hybrid", "--room", "!r:example.org"]).expect(3).stderr;
    assert!(said.contains("cis matrix login"), "{said}");
    let said = cis.ok(["dag", "mode", &run, "local"]);
    assert!(said.contains("is local now"), "{said}");
    super::harness::eventually("the question", || {
        (cis.show(&run)["run"]["approvals"][0] == "deploy").then_some(())
    });
    let asked = cis.task(&run, "deploy");
    assert_eq!(asked["approval"]["allowed"], json!(["pl>=50", "@ann:example.org"]), "{asked}");
    // Whoever has the socket is the owner: the list is for rooms.
    cis.ok(["dag", "approve", &run, "deploy"]);
    cis.wait_run(&run, "succeeded");
    let said = cis.run(["dag", "mode", &run, "local"]).expect(3).stderr;
    assert!(said.contains("has ended"), "{said}");
    let status = cis.run(["node", "status", "--json"]).expect(0).json();
    assert_eq!(status["outbox"], 0);
}

#[test]
fn every_command_gets_a_terminal_and_agents_get_the_rest() {
    let cis = Cis::new();
    let file = cis.write("ship.toml", FILE);
    let file = file.to_str().unwrap();
    let run = cis.run(["dag", "execute", "--use-agent", "--detach", file]).expect(0).stdout;
    let run = run.trim();
    super::harness::eventually("the question", || {
        (cis.show(run)["run"]["approvals"][0] == "deploy").then_some(())
    });
    let log = cis.ok(["dag", "logs", "plan"]);
    assert!(log.contains("terminal"), "{log}");
    cis.ok(["dag", "approve", run, "deploy"]);
    let said = cis.run(["dag", "execute", "--use-agent=nobody", file]).expect(2).stderr;
    assert!(said.contains("there is no agent `nobody`"), "{said}");
    let named = cis.run(["dag", "run", "--create-only", "--use-agent=shell", file]).expect(0).stdout;
    let tasks = cis.show(named.trim())["tasks"].clone();
    assert!(tasks.as_array().unwrap().iter().all(|task| task["agent"] == "shell"), "{tasks}");
    let said = cis.run(["dag", "execute", "--run-id", run, "--use-agent"]).expect(2).stderr;
    assert!(said.contains("cannot change the agent"), "{said}");
    let said = cis.run(["dag", "execute", "--run-id", run, "--no-cache"]).expect(2).stderr;
    assert!(said.contains("omit --no-cache"), "{said}");
}

/// A run that was made and not started.
fn made(cis: &Cis, file: &str, more: &[&str]) -> Value {
    let words = ["dag", "run", "--create-only", "--json", file].into_iter().chain(more.iter().copied());
    cis.run(words).expect(0).json()
}

#[test]
fn a_room_is_named_by_id_alias_or_link_and_known_without_its_homeserver() {
    let mut synapse = Synapse::own();
    let (cis, user) = logged_in(&synapse);
    let ann = synapse.register("ann");
    let room = ann.create_room("builds", &[&user.id]);
    let file = cis.write("ship.toml", FILE);
    let file = file.to_str().unwrap();

    let link = format!("https://matrix.to/#/{room}?via=cis.test");
    let run = made(&cis, file, &["--room", &link]);
    assert_eq!((&run["mode"], &run["room"]), (&json!("hybrid"), &json!(room)), "it was invited, and joins");
    let id = run["id"].as_str().unwrap();
    assert_eq!(cis.json(&["dag", "list"])["items"][0]["room"], json!(room));
    assert!(cis.ok(["dag", "show", id]).contains(&room));

    let local = cis.json(&["dag", "mode", id, "local"]);
    assert_eq!((&local["mode"], &local["room"]), (&json!("local"), &Value::Null));
    cis.run(["dag", "mode", id, "hybrid"]).expect(2);
    let said = cis.run(["dag", "run", "--create-only", "--room", "#nowhere:cis.test", file]);
    assert!(said.stderr.contains("#nowhere:cis.test"), "{said:?}");

    synapse.stop();
    let again = cis.json(&["dag", "mode", id, "hybrid", "--room", &room]);
    assert_eq!((&again["mode"], &again["room"]), (&json!("hybrid"), &json!(room)));
    assert_eq!(made(&cis, file, &["--room", &room])["room"], json!(room));
    let said = cis.run(["dag", "run", "--create-only", "--room", "#other:cis.test", file]).stderr;
    assert!(said.contains("--local goes on without a room"), "{said}");
    assert_eq!(cis.json(&["dag", "list"])["items"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_room_is_made_once_for_runs_without_one() {
    let synapse = Synapse::shared();
    let (cis, user, ann) = (Cis::new(), synapse.register("cis"), synapse.register("ann"));
    let config =
        "[dag]\ndefault_mode = \"hybrid\"\n[dag.matrix]\nauto_create_room = true\nroom_name = \"Builds\"";
    cis.configure(&format!("{config}\ninvite = [\"{}\"]\n", ann.id));
    login(&cis, &synapse, &user, "--token-stdin", &user.token).expect(0);
    let file = cis.write("ship.toml", FILE);
    let file = file.to_str().unwrap();
    let room = made(&cis, file, &[])["room"].as_str().unwrap().to_owned();
    ann.join(&room);
    super::harness::kill_9(cis.node_pid().unwrap());
    assert_eq!(made(&cis, file, &["--hybrid"])["room"], json!(room), "it is remembered");
    let rooms = cis.json(&["matrix", "list-rooms"]);
    assert_eq!(rooms["items"].as_array().map(Vec::len), Some(1), "{rooms}");
    assert_eq!(rooms["items"][0]["name"], "Builds");
}
