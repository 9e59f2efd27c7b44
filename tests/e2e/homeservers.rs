//! Coordinators at several homeservers.

use crate::federation::{did, execute, lines_in, member, reads_that_it_runs, waiting_for};
use crate::harness::pair::{pair, pair_apart};
use crate::harness::{Cis, eventually_within};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, room_of};

/// The two homeservers could be cut off from each other while both coordinators work. Two are no majority without each other.
#[test]
fn a_run_of_a_coordinator_at_another_homeserver_is_continued_by_a_person_only() {
    let [here, there] = pair();
    let ((cis, _), ann) = (logged_in(&here), here.register("ann"));
    let room = room_of(&cis, &ann);
    let heir = member(&there, &room, &ann, &cis, ("heir", "both", "submit,coordinate,execute"));
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    // What the room has not heard when its coordinator goes does not count, and runs again.
    reads_that_it_runs(&heir, &run, "b");
    cis.ok(["node", "stop"]);
    let warning = format!("cis dag takeover {run} --force");
    eventually_within(SLOW, "it waits for a person", || {
        heir.status()["warnings"].to_string().contains(&warning).then_some(())
    });
    assert_eq!(heir.show(&run)["run"]["node"], did(&cis));
    heir.ok(["dag", "takeover", &run, "--force"]);
    std::fs::write(&go, "").unwrap();
    heir.wait_run(&run, "succeeded");
    assert_eq!(heir.show(&run)["run"]["node"], did(&heir));
    assert_eq!(lines_in(&go.with_extension("pids")), 1, "nothing ran twice");
}

/// Each homeserver has its own order of what was said while they were cut off from each other: the node that a person chose counts for all.
#[test]
fn after_a_person_chose_a_coordinator_all_nodes_tell_the_same_of_a_run() {
    let [(here, from_here), (there, from_there)] = pair_apart();
    let ((cis, _), ann) = (logged_in(&here), here.register("ann"));
    let room = room_of(&cis, &ann);
    let heir = member(&there, &room, &ann, &cis, ("heir", "both", "submit,coordinate,execute"));
    let reader = member(&here, &room, &ann, &cis, ("reader", "observer", "execute"));
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    reads_that_it_runs(&heir, &run, "b");
    [&from_here, &from_there].iter().for_each(|strait| strait.close());
    cis.ok(["dag", "pause", &run]);
    eventually_within(SLOW, "a third node reads what will be void", || {
        (reader.run(["dag", "show", &run]).code == Some(0) && reader.show(&run)["run"]["state"] == "paused")
            .then_some(())
    });
    eventually_within(SLOW, "it waits for a person", || {
        heir.status()["warnings"].to_string().contains(&format!("cis dag takeover {run}")).then_some(())
    });
    heir.ok(["dag", "takeover", &run, "--force"]);
    eventually_within(SLOW, "the heir coordinates it", || {
        (heir.show(&run)["run"]["node"] == did(&heir)).then_some(())
    });
    assert_eq!(cis.show(&run)["run"]["node"], did(&cis));
    [&from_here, &from_there].iter().for_each(|strait| strait.open());
    eventually_within(SLOW, "the one before reads of it", || {
        (cis.show(&run)["run"]["node"] == did(&heir)).then_some(())
    });
    std::fs::write(&go, "").unwrap();
    for node in [&heir, &cis, &reader] {
        node.wait_run(&run, "succeeded");
        assert_eq!(node.show(&run)["run"]["node"], did(&heir));
    }
    let story = |node: &Cis| {
        let tasks = node.show(&run)["tasks"].clone();
        tasks
            .as_array()
            .unwrap()
            .iter()
            .map(|task| (task["id"].clone(), task["state"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(story(&heir), story(&cis));
    assert_eq!(story(&heir), story(&reader));
}

/// Two of three coordinators are at one homeserver, the third one at another, which is cut off.
#[test]
fn a_majority_of_the_coordinators_continues_a_run_without_a_person() {
    let [(here, from_here), (there, from_there)] = pair_apart();
    let ((cis, _), ann) = (logged_in(&here), here.register("ann"));
    let room = room_of(&cis, &ann);
    let heir = member(&there, &room, &ann, &cis, ("heir", "both", "submit,coordinate,execute"));
    let second = member(&there, &room, &ann, &cis, ("second", "coordinator", "submit,coordinate"));
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    [&heir, &second].iter().for_each(|node| reads_that_it_runs(node, &run, "b"));
    // A result is final once a majority has read it: its worker keeps nothing of the task `a` any more.
    eventually_within(SLOW, "its worker forgets what is final", || {
        (heir.status()["live_sessions"] == 1).then_some(())
    });
    [&from_here, &from_there].iter().for_each(|strait| strait.close());
    eventually_within(SLOW, "a majority chose another coordinator", || {
        let node = heir.show(&run)["run"]["node"].clone();
        (node == did(&heir) || node == did(&second)).then_some(())
    });
    // What is cut off does not know it, and says what it lacks.
    assert_eq!(cis.show(&run)["run"]["node"], did(&cis));
    eventually_within(SLOW, "it says that it has no majority", || {
        cis.status()["warnings"].to_string().contains("a majority is 2").then_some(())
    });
    std::fs::write(&go, "").unwrap();
    heir.wait_run(&run, "succeeded");
    [&from_here, &from_there].iter().for_each(|strait| strait.open());
    for node in [&cis, &second] {
        eventually_within(SLOW, "all read how it ended", || {
            let shown = node.show(&run);
            (shown["run"]["state"] == "succeeded" && shown["run"]["node"] != did(&cis)).then_some(())
        });
    }
    assert_eq!(lines_in(&go.with_extension("pids")), 1, "nothing ran twice");
}
