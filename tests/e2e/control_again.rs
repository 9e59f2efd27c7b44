//! Copies of control requests that arrive after the node that answered them has restarted: the homeserver, or the network, repeats
//! them.

use cis_core::event::RetryScope;
use cis_core::federation::control::{ControlOutcome, Verb};
use cis_core::ids::RunId;

use crate::federation::{execute, lines_in, member, waiting_for};
use crate::harness::synapse::Synapse;
use crate::harness::{eventually, kill_9};
use crate::mallory::{Mallory, why_refused};
use crate::matrix::logged_in;
use crate::rooms::room_of;

#[test]
fn a_copy_of_a_request_does_nothing_more_after_a_restart_of_the_node() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let mut mallory = Mallory::admitted(&synapse, &room, &ann, &cis, &["submit"]);
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    let run_id: RunId = run.parse().unwrap();
    cis.wait_task(&run, "b", "running");
    let pause = mallory.request(&cis, run_id, Verb::Pause {});
    assert!(matches!(mallory.outcome(pause), ControlOutcome::Done { .. }));
    let retry = Verb::Retry { of: RetryScope::All };
    let refused = mallory.request(&cis, run_id, retry.clone());
    let why = mallory.refusal(refused);
    let node = cis.node_pid();
    kill_9(node.unwrap());
    eventually("it is gone", || (cis.node_pid() != node).then_some(()));
    cis.ok(["dag", "resume", &run]);
    let outcome = mallory.outcome_of_copies(&cis, pause, run_id, &Verb::Pause {});
    assert!(matches!(outcome, ControlOutcome::Done { .. }), "{outcome:?}");
    assert_eq!(cis.show(&run)["run"]["state"], "running");
    std::fs::write(&go, "").unwrap();
    cis.wait_run(&run, "succeeded");
    assert_eq!(why_refused(mallory.outcome_of_copies(&cis, refused, run_id, &retry)), why);
    assert_eq!(cis.show(&run)["run"]["state"], "succeeded");
    assert_eq!(lines_in(&go.with_extension("pids")), 1, "it ran once");
    drop(worker);
}
