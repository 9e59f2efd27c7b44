//! Sessions of other nodes, looked at and typed into as if they were here.

use serde_json::Value;

use crate::federation::{did, execute, knows_end, member};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, eventually_within, kill_9};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, room_of};

const DETACH: &str = "\x1cd";

/// Echoes lines in angle brackets, then a password's length, then writes numbered lines.
const TEXT: &str = r#"
version = 1
[dag]
id = "shown"
[[tasks]]
id = "echo"
script = '''
printf 'banner\n'
while read -r line && [ "$line" != on ]; do printf '<%s>\n' "$line"; done
printf 'Password: '; stty -echo; read -r word; stty echo; printf '\nlength=%s\n' "${#word}"
seq 1 2000
'''
"#;

struct Nodes<'a> {
    room: Room<'a>,
    cis: Cis,
    worker: Cis,
    guest: Cis,
}

/// The coordinator, which owns the room, a worker, and a node of people who may submit.
fn nodes<'a>(synapse: &'a Synapse, ann: &'a User) -> Nodes<'a> {
    let (cis, _) = logged_in(synapse);
    let room = room_of(&cis, ann);
    let worker = member(synapse, &room, ann, &cis, ("builder", "worker", "execute"));
    let guest = member(synapse, &room, ann, &cis, ("guest", "observer", "submit"));
    Nodes { room, cis, worker, guest }
}

/// Waits until a node knows that the task of a run has started.
fn knows(cis: &Cis, run: &str, task: &str) {
    eventually_within(SLOW, "the node knows the session", || {
        let shown = cis.run(["dag", "show", run, "--json"]);
        let view: Value = serde_json::from_str(&shown.stdout).ok()?;
        let tasks = view["tasks"].as_array()?;
        tasks.iter().any(|one| one["id"] == task && one["state"] == "running").then_some(())
    });
}

#[test]
fn a_session_of_another_node_is_attached_to_and_its_log_is_read_from_where_people_are() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let Nodes { room, cis, worker, guest } = nodes(&synapse, &ann);
    let spare = member(&synapse, &room, &ann, &cis, ("spare", "worker", "execute"));
    spare.ok(["node", "drain"]);
    worker.ok(["node", "undrain"]);
    let run = execute(&cis, &room, TEXT);

    // At the coordinator.
    knows(&cis, &run, "echo");
    let mut terminal = cis.terminal(&["dag", "attach", "echo"]);
    terminal.wait_for("banner");
    terminal.type_keys("hello\r");
    terminal.wait_for("<hello>");
    terminal.type_keys(DETACH);
    assert_eq!(terminal.wait_exit(), 0);

    // At a node that has nothing to do with it but the right to submit; its log as well.
    knows(&guest, &run, "echo");
    let follower = guest.spawn(["dag", "logs", "echo", "--run", &run, "-f"]);
    let mut terminal = guest.terminal(&["dag", "attach", "echo"]);
    terminal.wait_for("<hello>");
    terminal.type_keys("again\r");
    terminal.wait_for("<again>");

    // Typed without a terminal; and what the monitor knows of it.
    assert!(guest.ok(["session", "exec", "echo", "sent", "--wait-for", "<sent>"]).contains("<sent>"));
    let explained: Value = guest.json(&["dag", "explain", "echo"]);
    assert_eq!(explained["session"], cis.json(&["dag", "explain", "echo"])["session"]);

    // Not at one that may only execute.
    knows(&spare, &run, "echo");
    let refused = spare.run(["dag", "logs", "echo", "--run", &run]);
    assert!(refused.stderr.contains("it needs the right `submit`"), "{refused:?}");

    // The node that has it dies; nothing that was typed is typed again.
    kill_9(worker.node_pid().unwrap());
    worker.ok(["node", "start", "--detach", "--room", &room.id, "--role", "worker"]);
    eventually_within(SLOW, "the terminal shows the session again", || {
        terminal.type_keys("later\r");
        terminal.screen().contains("<later>").then_some(())
    });
    terminal.type_keys("on\r");
    terminal.wait_for("Password:");
    terminal.type_keys("secret7\r");
    terminal.wait_exit();
    cis.wait_run(&run, "succeeded");

    let own = worker_log(&worker, &run);
    assert!(own.contains("length=7") && !own.contains("secret7"), "{own}");
    assert_eq!(own.matches("<again>").count(), 1);
    let followed = follower.wait().stdout;
    assert_eq!(followed, own, "what was followed over the restart is whole");
    for node in [&cis, &guest] {
        assert_eq!(node.ok(["dag", "logs", "echo", "--run", &run]), own);
    }
    knows_end(&guest, &run);
    worker.ok(["node", "stop"]);
    assert_eq!(guest.ok(["dag", "logs", "echo", "--run", &run]), own);
}

/// The log as it is on the machine of the worker.
fn worker_log(worker: &Cis, run: &str) -> String {
    eventually_within(SLOW, "the worker knows the end", || {
        let log = worker.run(["dag", "logs", "echo", "--run", run]);
        log.stdout.trim_end().ends_with("2000").then_some(log.stdout)
    })
}

#[test]
fn a_session_of_another_node_is_killed_from_where_people_are() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let Nodes { cis, guest, worker: _worker, room } = nodes(&synapse, &ann);
    let run = execute(&cis, &room, TEXT);
    knows(&guest, &run, "echo");
    guest.ok(["dag", "kill", "echo"]);
    cis.wait_run(&run, "cancelled");
}

#[test]
fn a_view_ends_when_the_right_to_it_is_taken_away() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let Nodes { cis, guest, worker, room } = nodes(&synapse, &ann);
    let run = execute(&cis, &room, TEXT);
    knows(&guest, &run, "echo");
    let mut terminal = guest.terminal(&["dag", "attach", "echo"]);
    terminal.wait_for("banner");
    terminal.type_keys("before\r");
    terminal.wait_for("<before>");
    cis.ok(["identity", "trust", &did(&guest), "--room", &room.id, "--may", "execute", "--name", "guest"]);
    assert_ne!(terminal.wait_exit(), 0);
    assert!(terminal.screen().contains("needs the right `submit`"), "{}", terminal.screen());
    // As it was before for those who may.
    let mut terminal = cis.terminal(&["dag", "attach", "echo"]);
    terminal.wait_for("<before>");
    terminal.type_keys("on\r");
    terminal.wait_for("Password:");
    terminal.type_keys("x\r");
    cis.wait_run(&run, "succeeded");
    assert!(worker_log(&worker, &run).contains("length=1"));
}
