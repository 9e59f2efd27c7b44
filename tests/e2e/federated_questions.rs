//! Questions of sessions on other nodes: shown where people are, answered from there, decided by the node of the session.

use rustix::process::Signal;
use serde_json::Value;

use crate::federation::{actors, did, events, execute, member, switch_off};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, eventually_within, kill_9, signal};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, asked, room_of, waits};

const TEXT: &str = r#"
version = 1
[dag]
id = "asking"
[[tasks]]
id = "screen"
script = '''
printf 'Deploy to production? [y/N] '; read first; echo "first=$first" >> "$CIS_OUTPUT"
printf 'Whose turn? '; read turn; echo "turn=$turn" >> "$CIS_OUTPUT"
printf 'Which region? '; read second; echo "second=$second" >> "$CIS_OUTPUT"
'''
outputs = { first = { type = "string" }, turn = { type = "string" }, second = { type = "string" } }
[[tasks]]
id = "asks"
tty = false
needs = ["screen"]
script = '''
answer=$("$E2E_CIS" task ask "Which colour?" --option red --option blue)
echo "answer=$answer" >> "$CIS_OUTPUT"
"$E2E_CIS" task complete --text "painted $answer"; sleep 60
'''
outputs = { answer = { type = "string" } }
[[tasks]]
id = "last"
needs = ["asks"]
tty = false
script = 'test "{{ tasks.screen.outputs.first }} {{ tasks.screen.outputs.turn }} {{ tasks.screen.outputs.second }} {{ tasks.asks.outputs.answer }}" = "y mine eu west blue"'
"#;

struct Nodes<'a> {
    room: Room<'a>,
    cis: Cis,
    worker: Cis,
}

/// The coordinator, which owns the room, and a worker.
fn nodes<'a>(synapse: &'a Synapse, ann: &'a User) -> Nodes<'a> {
    let (cis, _) = logged_in(synapse);
    let room = room_of(&cis, ann);
    let worker = member(synapse, &room, ann, &cis, ("builder", "worker", "execute"));
    Nodes { room, cis, worker }
}

#[test]
fn people_answer_sessions_of_other_nodes_from_where_they_are() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let Nodes { room, cis, worker } = nodes(&synapse, &ann);
    let guest = member(&synapse, &room, &ann, &cis, ("guest", "observer", "submit"));
    let run = execute(&cis, &room, TEXT);

    // At the coordinator; the second answer is too late.
    let deploy = waits(&cis, "Deploy to production? [y/N]");
    let shown: Value = cis.json(&["inbox", "show", &deploy]);
    assert_eq!((&shown["task"], &shown["run"]), (&"screen".into(), &run.as_str().into()), "{shown}");
    // Who may only coordinate answers nothing.
    let spare = member(&synapse, &room, &ann, &cis, ("spare", "observer", "coordinate"));
    assert_eq!(waits(&spare, "Deploy to production? [y/N]"), deploy);
    eventually_within(SLOW, "its node is heard in the room, and refused there", || {
        let refused = spare.run(["answer", &deploy, "n"]).expect(3).stderr;
        refused.contains("may not control runs of this room").then_some(())
    });
    cis.ok(["answer", &deploy, "y"]);
    let late = cis.run(["answer", &deploy, "n"]);
    assert_ne!(late.code, Some(0), "{late:?}");

    // In the room: a reply to the message that rings.
    let turn = asked(&room, &run, "Whose turn?");
    ann.reply(&room.id, turn["event_id"].as_str().unwrap(), "mine");

    // At a node that has nothing to do with it but the right to submit.
    let region = waits(&cis, "Which region?");
    assert_eq!(waits(&guest, "Which region?"), region);
    guest.ok(["answer", &region, "--text", "eu west"]);

    let uid = rustix::process::getuid().as_raw();
    // The session asks by itself, and its node dies meanwhile. A word that is no option is refused.
    let colour = waits(&cis, "Which colour?");
    kill_9(worker.node_pid().unwrap());
    worker.ok(["node", "start", "--detach", "--room", &room.id, "--role", "worker"]);
    let refused = cis.run(["answer", &colour, "--text", "green"]).expect(2).stderr;
    assert!(refused.contains("red") && refused.contains("blue"), "{refused}");
    // It is taken in the end, also if the command that gave it no longer waited.
    eventually_within(SLOW, "the answer arrives", || {
        let said = cis.run(["answer", &colour, "blue"]);
        (said.code == Some(0) || said.stderr.contains(&format!("answered by uid:{uid}"))).then_some(())
    });
    cis.wait_run(&run, "succeeded");

    let by = actors(&cis, &run, "cis.dag.session.answered");
    let own = format!("uid:{uid}");
    assert_eq!(by, [own.as_str(), &ann.id, &format!("{own} at {}", did(&guest)), &own]);
    assert_eq!(events(&cis, &run, "cis.dag.session.asked").len(), 1);
    assert_eq!(events(&cis, &run, "cis.dag.task.handed_in")[0]["body"]["text"], "painted blue");
    assert_eq!(cis.json(&["inbox"])["items"], Value::Array(Vec::new()));
}

/// Questions that are open when their coordinator is lost are open at the next one, once.
#[test]
fn a_question_outlives_the_coordinator_of_its_run() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let Nodes { room, cis, worker: _worker } = nodes(&synapse, &ann);
    let next = member(&synapse, &room, &ann, &cis, ("next", "coordinator", "submit,coordinate"));
    let text = r#"
version = 1
[dag]
id = "asking"
[[tasks]]
id = "asks"
tty = false
script = '''
"$E2E_CIS" task notify "a word before"
test "$("$E2E_CIS" task ask "Which colour?" --option red --option blue)" = blue
'''
[[tasks]]
id = "screen"
script = "printf 'Whose turn? '; read turn; test $turn = mine"
"#;
    let run = execute(&cis, &room, text);
    let (colour, turn) = (waits(&next, "Which colour?"), waits(&next, "Whose turn?"));
    switch_off(&cis);
    eventually_within(SLOW, "the other node goes on with the run", || {
        let node = &next.show(&run)["run"]["node"];
        (node.as_str() == Some(&did(&next))).then_some(())
    });
    for (item, answer) in [(&colour, "blue"), (&turn, "mine")] {
        eventually_within(SLOW, "the answer arrives", || {
            let said = next.run(["answer", item, if answer == "blue" { "blue" } else { "--text=mine" }]);
            (said.code == Some(0) || said.stderr.contains("answered by")).then_some(())
        });
    }
    next.wait_run(&run, "succeeded");
    for kind in ["cis.dag.session.asked", "cis.dag.session.said"] {
        assert_eq!(events(&next, &run, kind).len(), 1, "{kind}");
    }
    assert_eq!(events(&next, &run, "cis.dag.session.answered").len(), 2);
}

/// What is typed into a session of another node answers what it waits for, also where the node coordinates nothing.
#[test]
fn a_task_of_another_node_is_typed_into_and_killed_from_here() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let Nodes { room, cis, worker } = nodes(&synapse, &ann);
    let run = execute(&cis, &room, TEXT);
    waits(&cis, "Deploy to production? [y/N]");
    let session = cis.task(&run, "screen")["session"].as_str().unwrap().to_owned();
    cis.ok(["session", "exec", &session, "no"]);
    waits(&cis, "Whose turn?");
    eventually_within(SLOW, "the worker reads of it", || {
        (worker.run(["dag", "show", &run]).code == Some(0)).then_some(())
    });
    worker.ok(["session", "exec", &session, "mine"]);
    waits(&cis, "Which region?");
    cis.ok(["dag", "kill", &session]);
    cis.wait_run(&run, "cancelled");
    assert_eq!(cis.task(&run, "screen")["state"], "cancelled");
}

/// Its coordinator hears of a question and of its end at once, as it was stopped meanwhile.
#[test]
fn a_question_that_is_withdrawn_before_it_is_heard_stays_open_nowhere() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let Nodes { room, cis, worker } = nodes(&synapse, &ann);
    let text = r#"
version = 1
[dag]
id = "asking"
[[tasks]]
id = "asks"
tty = false
script = '''
test "$("$E2E_CIS" task ask "First?")" = yes
while [ ! -e "$E2E_WORK/go" ]; do sleep 0.05; done
"$E2E_CIS" task ask "Never mind?" --timeout 1s || true
touch "$E2E_WORK/withdrawn"
test "$("$E2E_CIS" task ask "Last?")" = yes
'''
"#;
    let run = execute(&cis, &room, text);
    cis.ok(["answer", &waits(&cis, "First?"), "--text", "yes"]);
    let node = cis.node_pid().unwrap();
    signal(node, Signal::STOP);
    worker.write("go", "");
    eventually_within(SLOW, "it is withdrawn", || worker.work().join("withdrawn").exists().then_some(()));
    signal(node, Signal::CONT);
    let last = waits(&cis, "Last?");
    let open = cis.json(&["inbox"])["items"].clone();
    assert_eq!(open.as_array().map(Vec::len), Some(1), "{open}");
    cis.ok(["answer", &last, "--text", "yes"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(events(&cis, &run, "cis.dag.session.ask_withdrawn").len(), 1);
}
