//! Agents on other nodes: placed where their programs are, asked about and answered from here, logged in there.

use serde_json::Value;

use crate::agents::{scripted, typed_at};
use crate::federation::{did, events, execute, member};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, eventually_within};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, room_of, waits};
use crate::supervision::LOGGED_OUT;

/// A coordinator that knows the agents and has none of their programs.
fn coordinator(synapse: &Synapse, names: &[&str]) -> (Cis, User) {
    let (cis, user) = logged_in(synapse);
    let known = names.iter().map(|name| format!("[agents.{name}]\ncommand = [\"no-such-program\"]\n"));
    cis.configure(&known.collect::<String>());
    cis.run(["node", "stop"]);
    (cis, user)
}

/// A worker with these agents in its configuration.
fn worker(synapse: &Synapse, (room, ann): (&Room<'_>, &User), owner: &Cis, name: &str, agents: &str) -> Cis {
    let worker = member(synapse, room, ann, owner, (name, "worker", "execute"));
    // The names of all agents in these tests.
    let lends = "[federation]\nagents = [\"painter\", \"out\"]\n";
    worker.configure(&format!("{lends}{agents}"));
    worker.ok(["node", "stop"]);
    worker.ok(["node", "start", "--detach", "--room", &room.id, "--role", "worker"]);
    worker
}

const PAINTER: &str = r#"
printf 'Paint the door? [y/N] '; read -r door
printf 'your turn> '; read -r wish
printf '%s|%s|%s' "$door" "$wish" "$SECRET_OF_THE_PROFILE" > "$CIS_HOME/painted"
"#;

#[test]
fn an_agent_runs_where_its_program_is_and_is_answered_from_here() {
    let synapse = Synapse::shared();
    let (cis, _) = coordinator(&synapse, &["painter"]);
    let ann = synapse.register("ann");
    let room = room_of(&cis, &ann);
    let bare = worker(&synapse, (&room, &ann), &cis, "bare", "[agents.painter]\ncommand = [\"absent\"]\n");
    let program = Cis::new();
    let keys = typed_at("painter", "your turn>").replacen(
        '\n',
        "\nenv = { SECRET_OF_THE_PROFILE = \"there\" }\n",
        1,
    );
    let painter =
        worker(&synapse, (&room, &ann), &cis, "builder", &scripted(&program, "painter", &keys, PAINTER));
    cis.write("wish.md", "a red one\n");
    let text = r#"
version = 1
[dag]
id = "agents"
[[tasks]]
id = "paint"
agent = "painter"
prompt_file = "wish.md"
[[tasks]]
id = "plain"
needs = ["paint"]
tty = false
script = 'test -z "$SECRET_OF_THE_PROFILE"'
"#;
    let run = execute(&cis, &room, text);
    let door = waits(&cis, "Paint the door? [y/N]");
    let node = cis.task(&run, "paint")["node"].clone();
    assert_eq!(node, serde_json::json!({ "did": did(&painter), "name": "builder" }));
    let shown = cis.ok(["dag", "show", &run]);
    assert!(shown.contains("NODE") && shown.contains("builder"), "{shown}");
    let offers = |node: &Cis| {
        let show = cis.json(&["node", "show", &did(node)]);
        show["items"][0]["agents"].as_array().is_some_and(|agents| agents.contains(&Value::from("painter")))
    };
    assert!(offers(&painter) && !offers(&bare));
    cis.ok(["answer", &door, "y"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(std::fs::read_to_string(painter.home().join("painted")).unwrap(), "y|a red one|there");
}

/// Its file says what is to be done where nobody answers; the node of the session does it.
#[test]
fn what_a_file_says_of_prompts_holds_on_other_nodes() {
    let synapse = Synapse::shared();
    let (cis, _) = coordinator(&synapse, &[]);
    let ann = synapse.register("ann");
    let room = room_of(&cis, &ann);
    let worker = worker(&synapse, (&room, &ann), &cis, "builder", "");
    let text = r#"
version = 1
[dag]
id = "blocked"
[[tasks]]
id = "words"
script = "printf 'Which colour? '; read -r colour; test \"$colour\" = deep-red"
on_blocked = { deadline = "1s", default = "deep-red" }
[[tasks]]
id = "option"
script = "printf 'Go on? [y/N] '; read -r on; test \"$on\" = y"
on_blocked = { deadline = "1s", default = "yes" }
[[tasks]]
id = "skipped"
script = "printf 'Which shape? '; read -r shape"
on_blocked = "skip"
[[tasks]]
id = "unfit"
allow_failure = true
script = "printf 'Stay? [y/N] '; read -r stay"
on_blocked = { deadline = "1s", default = "allow_session" }
"#;
    let run = execute(&cis, &room, text);
    cis.wait_run(&run, "succeeded");
    for task in ["words", "option", "skipped", "unfit"] {
        assert_eq!(cis.task(&run, task)["node"]["did"], did(&worker), "{task}");
    }
    assert_eq!(cis.task(&run, "skipped")["state"], "completed");
    let unfit = cis.task(&run, "unfit");
    assert!(unfit["reason"].to_string().contains("default was refused"), "{unfit}");
    let answered = events(&cis, &run, "cis.dag.session.answered");
    let by = |event: &Value| event["actor"]["name"].as_str().map(str::to_owned);
    assert_eq!(answered.len(), 2, "{answered:?}");
    assert!(answered.iter().all(|event| by(event).as_deref() == Some("on_blocked.default")), "{answered:?}");
}

/// A node whose login is gone gets no more of the agent's tasks; another one that has it does.
#[test]
fn an_agent_that_is_logged_out_on_one_node_runs_on_another() {
    let synapse = Synapse::shared();
    let (cis, _) = coordinator(&synapse, &["out"]);
    let ann = synapse.register("ann");
    let room = room_of(&cis, &ann);
    let programs = Cis::new();
    let out = scripted(&programs, "out", "", "printf 'Please log in first> '; read -r x");
    let gone = worker(&synapse, (&room, &ann), &cis, "gone", &format!("{out}{LOGGED_OUT}"));
    let task = "[[tasks]]\nid = \"work\"\nagent = \"out\"\nprompt = \"p\"\n";
    let run = execute(&cis, &room, &format!("version = 1\n[dag]\nid = \"agents\"\n{task}"));
    let why = eventually_within(SLOW, "its node does not offer it any more", || {
        let why = cis.ok(["dag", "why", "work", "--run", &run]);
        why.contains("Node gone does not offer agent `out`").then_some(why)
    });
    assert_eq!(cis.json(&["inbox"])["items"], Value::Array(Vec::new()), "nobody is asked: {why}");
    let programs_here = Cis::new();
    let works = scripted(&programs_here, "out", "", "echo done");
    let here = worker(&synapse, (&room, &ann), &cis, "here", &works);
    cis.wait_run(&run, "succeeded");
    let work = cis.task(&run, "work");
    assert_eq!(
        (&work["node"]["did"], &work["attempts"]),
        (&Value::from(did(&here)), &Value::from(2)),
        "{work}"
    );
    assert_ne!(did(&gone), did(&here));
}
