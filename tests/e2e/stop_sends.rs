//! A node that is stopped sends its last messages to other nodes.

use cis_core::api::Report;
use cis_core::event::AttemptOutcome;
use cis_core::federation::protocol::message::Message;

use crate::federation::execute;
use crate::harness::eventually;
use crate::harness::synapse::Synapse;
use crate::mallory::Mallory;
use crate::matrix::logged_in;
use crate::rooms::room_of;

const THERE: &str = r#"
version = 1
[dag]
id = "there"
[[tasks]]
id = "a"
nodes = ["mallory"]
tty = false
script = "true"
"#;

/// The worker keeps its task, with its directory and secrets, until it hears this. A stop does not wait long: a homeserver that is busy with other tests
/// may not take it in time.
#[test]
fn alone_a_coordinator_that_stops_after_a_run_still_answers_its_worker() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    cis.ok(["node", "invite", "--room", &room.id]);
    let mut mallory = Mallory::admitted(&synapse, &room, &ann, &cis, &["execute", "--name", "mallory"]);
    let run = execute(&cis, &room, THERE);
    let granted = mallory.is_given(&cis);
    let report = Report::bare(AttemptOutcome::Succeeded, Some(0), 1);
    mallory.say(&cis, &Message::Claimed { granted: granted.clone() });
    mallory.say(&cis, &Message::Result { granted, report });
    cis.wait_run(&run, "succeeded");
    cis.stop();
    eventually("its task is over for it", || {
        mallory.bodies().iter().any(|body| body["kind"] == "forget").then_some(())
    });
}
