//! What a homeserver throws away of a room when it was away for long: it keeps some of the newest events, and gets the rest only if
//! somebody reads the room backwards.

use crate::federation::member;
use crate::harness::pair::pair;
use crate::harness::synapse::User;
use crate::harness::{Cis, eventually_or};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, hybrid, room_of};

/// More than a homeserver takes of a room at once.
const SAID: usize = 150;

const TEXT: &str = r#"
version = 1
[dag]
id = "early"
[[tasks]]
id = "a"
command = ["true"]
[[tasks]]
id = "b"
needs = ["a"]
command = ["true"]
"#;

#[test]
#[ignore = "600 messages between two homeservers take minutes: cargo xtask test-all"]
fn nothing_is_missed_of_a_room_whose_homeserver_was_away() {
    let [here, mut there] = pair();
    let ((cis, _), ann) = (logged_in(&here), here.register("ann"));
    here.lift_limits(&ann);
    let room = room_of(&cis, &ann);
    let reader = member(&there, &room, &ann, &cis, ("reader", "observer", "execute"));
    let known = hybrid(&cis, &room, TEXT);
    reads(&reader, &known);
    there.stop();
    let mut runs = Vec::new();
    for _ in 0..3 {
        says_much(&ann, &room.id);
        let run = hybrid(&cis, &room, TEXT);
        cis.wait_run(&run, "succeeded");
        runs.push(run);
    }
    says_much(&ann, &room.id);
    there.start();
    runs.iter().for_each(|run| reads(&reader, run));
}

fn says_much(user: &User, room: &str) {
    for n in 0..SAID {
        user.say(room, &format!("{n}"));
    }
}

/// A node reads the whole of a run that another one tells of.
fn reads(node: &Cis, run: &str) {
    let look = || {
        let shown = node.run(["dag", "show", run, "--json"]);
        (shown.code == Some(0) && shown.stdout.contains("\"succeeded\"")).then_some(())
    };
    eventually_or(SLOW, look, || {
        let log = std::fs::read_to_string(node.home().join("node.log")).unwrap_or_default();
        let tail = log.lines().rev().take(40).collect::<Vec<_>>().join("\n");
        format!("run {run} is read of; the node's last lines, the newest first:\n{tail}")
    });
    node.wait_run(run, "succeeded");
    assert_eq!(node.show(run)["run"]["counts"]["succeeded"], 2);
}
