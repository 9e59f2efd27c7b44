//! Coordinators at several homeservers.

use crate::federation::{did, execute, lines_in, member, waiting_for};
use crate::harness::eventually_within;
use crate::harness::pair::pair;
use crate::matrix::logged_in;
use crate::rooms::{SLOW, room_of};

/// The two homeservers could be cut off from each other while both coordinators work.
#[test]
fn a_run_of_a_coordinator_at_another_homeserver_is_continued_by_a_person_only() {
    let [here, there] = pair();
    let ((cis, _), ann) = (logged_in(&here), here.register("ann"));
    let room = room_of(&cis, &ann);
    let heir = member(&there, &room, &ann, &cis, ("heir", "both", "submit,coordinate,execute"));
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    let shown = |heir: &crate::harness::Cis| heir.run(["dag", "show", &run]).code == Some(0);
    eventually_within(SLOW, "it is read of there", || shown(&heir).then_some(()));
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
