//! A worker that the others cannot reach for longer than a lease: its sessions are frozen, another node runs the tasks, and the
//! frozen sessions never go on.

use crate::federation::{did, execute, listed, member, member_behind};
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::synapse::Synapse;
use crate::harness::{Ticker, eventually, eventually_or, eventually_within, is_alive, state_of};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, room_of};

const TASKS: [&str; 2] = ["pty", "pipes"];

fn text(ticker: &Ticker) -> String {
    let task = |name: &str| {
        let tty = name == "pty";
        format!("[[tasks]]\nid = \"{name}\"\ntty = {tty}\nscript = '''{}'''\n", ticker.script(name))
    };
    format!("version = 1\n[dag]\nid = \"ticks\"\n{}", TASKS.map(task).concat())
}

const NEXT: &str =
    "version = 1\n[dag]\nid = \"next\"\n[[tasks]]\nid = \"a\"\nnodes = [\"builder\"]\nscript = \"true\"\n";

/// Waits until a task has so many sessions. The newest.
#[track_caller]
fn session(ticker: &Ticker, task: &str, count: usize) -> u32 {
    let look = || Some(ticker.sessions(task)).filter(|pids| pids.len() == count)?.pop();
    eventually_or(SLOW, look, || format!("{task} began {count} times: {:?}", ticker.sessions(task)))
}

#[test]
#[ignore = "a lease lasts a minute: cargo xtask test-all"]
fn tasks_of_a_worker_that_nobody_reaches_run_elsewhere_and_never_twice_at_a_time() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let (proxy, what) = (Proxy::before(synapse.url()), ("builder", "worker", "execute"));
    let (builder, _) = member_behind(&proxy, &synapse, &room, &ann, &cis, what);
    let ticker = Ticker::new();
    let run = execute(&cis, &room, &text(&ticker));
    let frozen = TASKS.map(|task| session(&ticker, task, 1));
    // It joins after the tasks have started.
    let tester = member(&synapse, &room, &ann, &cis, ("tester", "worker", "execute"));
    eventually_within(SLOW, "both workers are there", || {
        (listed(&cis, &tester)["state"] == "online").then_some(())
    });

    let cut = ["/sync", "/sendToDevice"].map(|of| proxy.fault(&[of], Fault::Refused, usize::MAX));
    for pid in frozen {
        eventually_within(SLOW, "its lease is over", || (state_of(pid) == Some('T')).then_some(()));
    }
    let elsewhere = TASKS.map(|task| session(&ticker, task, 2));
    for (was, is) in frozen.into_iter().zip(elsewhere) {
        assert_eq!(state_of(was), Some('T'), "it goes on while another node has its task");
        assert!(tester.processes().iter().any(|process| process.pid == is), "another node has it");
    }
    ticker.go();
    cis.wait_run(&run, "succeeded");
    assert_ne!(listed(&cis, &builder)["state"], "online", "nobody reached it all the time");

    // The run has ended, and nobody started its coordinator to stay. It does so by itself, as only it ends what is frozen.
    drop(cut);
    for pid in frozen {
        eventually_within(SLOW, "what was frozen is ended", || (!is_alive(pid)).then_some(()));
    }
    for (task, is) in TASKS.into_iter().zip(elsewhere) {
        assert_eq!(ticker.sessions(task).len(), 2);
        assert_eq!(ticker.ended(task), [is], "the frozen session went on to its end");
        let shown = cis.task(&run, task);
        assert_eq!((&shown["attempts"], &shown["node"]["did"]), (&2.into(), &did(&tester).into()), "{shown}");
    }
    eventually_within(SLOW, "it is back", || (listed(&cis, &builder)["state"] == "online").then_some(()));
    cis.wait_run(&execute(&cis, &room, NEXT), "succeeded");
    eventually("the worker forgets them", || (builder.status()["live_sessions"] == 0).then_some(()));
}
