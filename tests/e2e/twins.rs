//! Two nodes with one key: a copy of a home runs.

use std::process::Command;

use crate::federation::{did, execute, lines_in, member, waiting_for};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, audit_of, eventually_or, eventually_within};
use crate::matrix::{log_in, logged_in};
use crate::rooms::{SLOW, room_of};

/// A copy of the home of a node, which is stopped, with an account of its own: two nodes with one account would break each other's
/// encrypted messages, too.
fn copy_of(cis: &Cis, synapse: &Synapse, room: &Room<'_>, ann: &User) -> Cis {
    let twin = Cis::new();
    let copied = Command::new("cp").arg("-aT").arg(cis.home()).arg(twin.home()).status().unwrap();
    assert!(copied.success());
    std::fs::remove_dir_all(twin.home().join("matrix")).unwrap();
    let user = synapse.register("copy");
    ann.invite(&room.id, &user.id);
    user.join(&room.id);
    log_in(&twin, synapse, &user);
    twin.ok(["node", "stop"]);
    twin
}

fn says(cis: &Cis, text: &str) {
    eventually_or(
        SLOW,
        || cis.status().to_string().contains(text).then_some(()),
        || format!("`node status` says {text:?}: {}", cis.status()),
    );
}

const TWIN: &str = "uses the key of this one";

#[test]
fn two_nodes_with_one_key_are_found_and_get_no_tasks_until_one_is_left() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    worker.ok(["node", "stop", "--kill-sessions"]);
    let twin = copy_of(&worker, &synapse, &room, &ann);
    let start =
        |node: &Cis| drop(node.ok(["node", "start", "--detach", "--room", &room.id, "--role", "worker"]));
    start(&worker);
    eventually_within(SLOW, "it is heard", || cis.ok(["node", "list"]).contains("online").then_some(()));
    start(&twin);
    says(&worker, TWIN);
    says(&twin, TWIN);
    for node in [&worker, &twin] {
        let denied =
            audit_of(node).into_iter().filter(|(_, _, body)| body.to_string().contains("copy of its home"));
        assert_eq!(denied.count(), 1, "one line of the audit");
    }
    let list = || cis.ok(["node", "list"]);
    // A heartbeat from before one of the two knew may come after one of the other.
    let stays = || (0..60).all(|_| list().contains("drain"));
    eventually_or(SLOW, || stays().then_some(()), || format!("it is told: {}", list()));
    let go = cis.work().join("go");
    std::fs::write(&go, "").unwrap();
    let run = execute(&cis, &room, &waiting_for(&go));
    let why = || cis.ok(["dag", "why", "a"]);
    eventually_or(
        SLOW,
        || why().contains("drain").then_some(()),
        || format!("it is given to neither: {}", why()),
    );
    twin.ok(["node", "stop", "--kill-sessions"]);
    worker.ok(["node", "stop", "--kill-sessions"]);
    start(&worker);
    cis.wait_run(&run, "succeeded");
    assert!(!worker.status().to_string().contains(TWIN), "{}", worker.status());
}

/// The copy of a coordinator goes on with its run, too: one of the two journals counts, and the other node stops.
#[test]
fn of_two_coordinators_with_one_key_one_stops_and_a_third_can_continue_the_run() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let third = member(&synapse, &room, &ann, &cis, ("third", "coordinator", "coordinate"));
    let go = worker.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    cis.ok(["node", "stop"]);
    let twin = copy_of(&cis, &synapse, &room, &ann);
    for node in [&cis, &twin] {
        node.ok(["node", "start", "--detach"]);
    }
    says(&cis, TWIN);
    says(&twin, TWIN);
    for node in [&cis, &twin] {
        node.ok(["dag", "pause", &run]);
    }
    says(&third, "has two entries in one place");
    eventually_within(SLOW, "one of the two stops", || {
        let left = |node: &Cis| node.status().to_string().contains("does not coordinate it any more");
        let stopped = [&cis, &twin].into_iter().filter(|node| left(node)).count();
        assert!(stopped < 2, "one journal counts");
        (stopped == 1).then_some(())
    });
    for node in [&cis, &twin] {
        node.ok(["node", "stop", "--kill-sessions"]);
    }
    third.ok(["dag", "takeover", &run, "--force"]);
    eventually_within(SLOW, "the third one coordinates it", || {
        (third.show(&run)["run"]["node"] == did(&third)).then_some(())
    });
    third.ok(["dag", "resume", &run]);
    std::fs::write(&go, "").unwrap();
    third.wait_run(&run, "succeeded");
    assert_eq!(lines_in(&go.with_extension("pids")), 1, "nothing ran twice");
}
