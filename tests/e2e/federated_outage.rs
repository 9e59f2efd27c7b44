//! A homeserver that is away for longer than a lease: the sessions of workers are frozen meanwhile, and go on when it is back.

use crate::federation::{did, execute, member};
use crate::harness::synapse::Synapse;
use crate::harness::{Cis, Ticker, eventually_within, state_of};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, room_of};

#[test]
#[ignore = "a lease lasts a minute: cargo xtask test-all"]
fn a_session_is_frozen_while_the_homeserver_is_away_and_goes_on_after_it() {
    let mut synapse = Synapse::own();
    let ticker = Ticker::new();
    let text = format!(
        "version = 1\n[dag]\nid = \"ticks\"\n[[tasks]]\nid = \"a\"\ntty = false\nscript = '''{}'''\n",
        ticker.script("a")
    );
    let (cis, nodes, run) = {
        let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
        let room = room_of(&cis, &ann);
        let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
        // It could take the run over, and give the task to itself.
        let second = member(&synapse, &room, &ann, &cis, ("second", "both", "coordinate,execute"));
        let run = execute(&cis, &room, &text);
        (cis, [worker, second], run)
    };
    let pid = eventually_within(SLOW, "it works", || ticker.sessions("a").pop());
    let has_it = |node: &&Cis| node.processes().iter().any(|process| process.pid == pid);
    let worker = nodes.iter().find(has_it).unwrap();
    assert_eq!(worker.status()["live_sessions"], 1);

    synapse.stop();
    let frozen = || (state_of(pid) == Some('T')).then(|| ticker.lines("a").len());
    let count = eventually_within(SLOW, "its lease is over", frozen);
    assert_eq!(cis.task(&run, "a")["state"], "running", "nobody else could do it");
    let warns =
        || worker.status()["warnings"].to_string().contains("1 session here has been frozen (SIGSTOP)");
    eventually_within(SLOW, "its node says so", || warns().then_some(()));
    synapse.start();
    // The session was still frozen when the homeserver was back, or went on after that.
    let goes_on = || (ticker.lines("a").len() > count + 1 && state_of(pid) != Some('T')).then_some(());
    eventually_within(SLOW, "it goes on", goes_on);
    ticker.go();
    for node in nodes.iter().chain([&cis]) {
        eventually_within(SLOW, "the run succeeds", || {
            // It may not have read of the run yet.
            let shown = node.run(["dag", "show", &run, "--json"]);
            (shown.code == Some(0) && shown.json()["run"]["state"] == "succeeded").then_some(())
        });
    }
    assert_eq!(ticker.sessions("a"), [pid], "it ran twice");
    assert_eq!(ticker.ended("a"), [pid]);
    let detail = cis.show(&run);
    assert_eq!((&detail["tasks"][0]["attempts"], &detail["run"]["node"]), (&1.into(), &did(&cis).into()));
}
