//! A file with a part of a run's journal that its homeserver does not have any more.

use std::path::Path;

use serde_json::Value;

use crate::federation::{
    did, events, execute, lines_in, member, member_behind, reads_that_it_runs, switch_off, takes_over,
};
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::synapse::Synapse;
use crate::harness::{eventually_or, eventually_within};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, room_of};
use crate::storage::files_below;

/// The result of `a` is too large for an event: it goes into a file.
fn text(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"
version = 1
[dag]
id = "large"
[[tasks]]
id = "a"
tty = false
script = '''
echo $$ >> {folder}/a; touch own-file
until [ -e {folder}/begin ]; do sleep 0.05; done
for name in one two; do echo "$name=$(head -c 60000 /dev/zero | tr '\0' x)" >> "$CIS_OUTPUT"; done
'''
outputs = {{ one = {{ type = "string" }}, two = {{ type = "string" }} }}
[[tasks]]
id = "b"
needs = ["a"]
tty = false
script = 'echo $$ >> {folder}/b; until [ -e {folder}/go ]; do sleep 0.05; done'
"#
    )
}

/// Some node read that file, but none that coordinates.
#[test]
fn a_run_goes_on_without_a_file_of_its_journal_that_is_gone() {
    let synapse = Synapse::own();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let builder = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let reader = member(&synapse, &room, &ann, &cis, ("reader", "observer", "execute"));
    let second = member(&synapse, &room, &ann, &cis, ("second", "coordinator", "coordinate"));
    second.ok(["node", "stop"]);
    let folder = cis.work();
    let run = execute(&cis, &room, &text(&folder));
    reads_that_it_runs(&reader, &run, "a");
    std::fs::write(folder.join("begin"), "").unwrap();
    reads_that_it_runs(&reader, &run, "b");
    // From then on its worker does not know the result either.
    eventually_within(SLOW, "the worker forgets the first task", || {
        let files = files_below(&builder.home().join("remote"));
        (!files.iter().any(|file| file.ends_with("own-file"))).then_some(())
    });
    switch_off(&cis);
    synapse.remove_media();
    second.ok(["node", "start", "--detach", "--room", &room.id, "--role", "coordinator"]);
    let warning = format!("a part of the journal of run {run}");
    let says = || second.status()["warnings"].to_string().contains(&warning).then_some(());
    eventually_or(SLOW, says, || format!("nothing is missing for it: {}", second.status()));
    assert_eq!(second.show(&run)["run"]["node"], did(&cis), "it waits for a while");
    second.ok(["dag", "takeover", &run, "--force"]);
    std::fs::write(folder.join("go"), "").unwrap();
    for node in [&second, &reader] {
        node.wait_run(&run, "succeeded");
        assert_eq!(node.show(&run)["run"]["node"], did(&second));
        let taken_over = events(node, &run, "cis.dag.run.taken_over");
        assert_eq!(taken_over.len(), 1);
        assert_eq!(taken_over[0]["body"]["lost"], true);
    }
    assert_eq!(lines_in(&folder.join("a")), 2, "what nobody can read counts for nobody");
    cis.ok(["node", "start", "--detach"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.show(&run)["run"]["node"], did(&second), "its former coordinator finds out");
    eventually_within(SLOW, "the worker forgets what is void", || {
        (builder.status()["live_sessions"] == 0).then_some(())
    });
}

/// Homeservers answer "internal error" now and then. A coordinator that starts then does not count the file as gone.
#[test]
fn a_file_of_a_journal_is_asked_for_again_after_an_internal_error_of_the_homeserver() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let _builder = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let (proxy, what) = (Proxy::before(synapse.url()), ("second", "coordinator", "coordinate"));
    let (second, _) = member_behind(&proxy, &synapse, &room, &ann, &cis, what);
    second.ok(["node", "stop"]);
    let folder = cis.work();
    let run = execute(&cis, &room, &text(&folder));
    std::fs::write(folder.join("begin"), "").unwrap();
    eventually_within(SLOW, "the second task works", || folder.join("b").exists().then_some(()));
    let told = || (cis.status()["outbox"] == 0).then_some(());
    eventually_within(SLOW, "the room has all of it", told);
    switch_off(&cis);
    let _fault = proxy.fault(
        &["GET", "/media/download/"],
        Fault::error("500 Internal Server Error", "M_UNKNOWN", ""),
        2,
    );
    second.ok(["node", "start", "--detach", "--room", &room.id, "--role", "coordinator"]);
    takes_over(&second, &run);
    assert_eq!(events(&second, &run, "cis.dag.run.taken_over")[0]["body"]["lost"], Value::Null);
    std::fs::write(folder.join("go"), "").unwrap();
    second.wait_run(&run, "succeeded");
    assert_eq!(lines_in(&folder.join("a")), 1);
}
