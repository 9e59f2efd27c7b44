//! Sessions that wait in the host for their turn.

use cis_core::ids::{RunId, SessionId};
use cis_host::protocol::{FromHost, Line, Role, Start, StartFailure, ToHost};

use crate::support::{Host, Peer, until};

fn queue(at_once: u32, lazy_above: u32) -> Option<Line> {
    Some(Line { of: RunId::from_parts(1, 1), at_once, lazy_above })
}

/// Notes in `now` that it is there, in `most` how many were there with it.
const COUNTED: &str = "mkdir -p now; : > now/$$; ls now | wc -l >> most; sleep 0.02; rm now/$$";

fn ask(control: &mut Peer, start: &Start) {
    control.send(&ToHost::Start(Box::new(start.clone())));
}

fn failure(control: &mut Peer, session: SessionId) -> StartFailure {
    control.expect("a failure", |message| match message {
        FromHost::StartFailed { session: of, why } if *of == session => Some(why.clone()),
        _ => None,
    })
}

#[test]
fn never_more_than_the_queue_allows_run_at_once_and_all_of_them_do() {
    let host = Host::start();
    let mut control = host.control();
    let starts: Vec<Start> = (0..24).map(|_| Start { line: queue(3, 4), ..host.shell(COUNTED) }).collect();
    // All at once; another queue and a session without one are not in their way.
    for start in &starts {
        control.client.send(&ToHost::Start(Box::new(start.clone()))).unwrap();
    }
    let other = Line { of: RunId::from_parts(1, 2), at_once: 1, lazy_above: 0 };
    let free = [host.shell("exit 3"), Start { line: Some(other), ..host.shell("exit 4") }];
    for start in &free {
        ask(&mut control, start);
    }
    for start in free.iter().chain(&starts) {
        control.exit(start.session);
    }
    let most = std::fs::read_to_string(host.path("most")).unwrap();
    let counts: Vec<u32> = most.lines().map(|n| n.trim().parse().unwrap()).collect();
    assert_eq!(counts.len(), starts.len());
    assert_eq!(counts.iter().max(), Some(&3), "{counts:?}");
}

#[test]
fn they_begin_in_the_order_in_which_they_came_and_each_once() {
    let host = Host::start();
    let mut control = host.control();
    let gate = Start { line: queue(1, 9), ..host.shell("while [ ! -e open ]; do sleep 0.05; done") };
    assert!(control.start(&gate) > 0, "one that lives for a moment is told of");
    let rest: Vec<Start> =
        (0..5).map(|n| Start { line: queue(1, 9), ..host.shell(&format!("echo {n} >> order")) }).collect();
    for start in rest.iter().chain(&rest) {
        ask(&mut control, start);
    }
    std::fs::write(host.path("open"), "").unwrap();
    for start in &rest {
        control.exit(start.session);
    }
    assert_eq!(std::fs::read_to_string(host.path("order")).unwrap(), "0\n1\n2\n3\n4\n");
}

#[test]
fn what_waits_can_be_taken_back_and_what_has_begun_cannot() {
    let host = Host::start();
    let mut control = host.control();
    let first = Start { line: queue(1, 0), ..host.shell("read none < /dev/null; exec sleep 100") };
    control.start(&first);
    let waiting: Vec<Start> =
        (0..3).map(|_| Start { line: queue(1, 0), ..host.shell("touch ran") }).collect();
    for start in &waiting {
        ask(&mut control, start);
    }
    control.send(&ToHost::Withdraw { session: first.session });
    control.send(&ToHost::Withdraw { session: waiting[0].session });
    assert_eq!(failure(&mut control, waiting[0].session), StartFailure::Withdrawn {});
    // A kill of one that waits takes it back as well.
    control.send(&ToHost::Kill { session: waiting[1].session, grace_ms: None });
    assert_eq!(failure(&mut control, waiting[1].session), StartFailure::Withdrawn {});
    control.send(&ToHost::Kill { session: first.session, grace_ms: Some(0) });
    assert!(control.exit(first.session).killed);
    assert!(control.exit(waiting[2].session).status.is_success());
    assert!(!control.messages.iter().any(|message| matches!(message, FromHost::StartFailed { .. })));
}

#[test]
fn one_that_cannot_be_started_leaves_its_turn_to_the_next() {
    let host = Host::start();
    let mut control = host.control();
    let missing = Start { line: queue(1, 9), ..host.command(&["no-such-program"]) };
    let next = Start { line: queue(1, 9), ..host.shell("exit 7") };
    ask(&mut control, &missing);
    ask(&mut control, &next);
    assert!(matches!(failure(&mut control, missing.session), StartFailure::Program { .. }));
    assert!(!control.exit(next.session).status.is_success());
}

#[test]
fn the_queue_goes_on_while_no_node_is_there() {
    let host = Host::start();
    let mut control = host.control();
    let starts: Vec<Start> =
        (0..4).map(|_| Start { line: queue(1, 9), ..host.shell("sleep 0.05; echo x >> ran") }).collect();
    for start in &starts {
        ask(&mut control, start);
    }
    control.start(&host.shell("exit 0"));
    drop(control);
    until("all of them ran", || {
        std::fs::read_to_string(host.path("ran")).is_ok_and(|ran| ran.lines().count() == 4)
    });
    let mut control = host.connect(Role::Control);
    let known = control.welcome();
    for start in &starts {
        assert!(known.iter().any(|known| known.session == start.session), "its end is still to be told");
    }
}

#[test]
fn what_waits_when_another_node_comes_begins_only_if_that_one_asks_for_it() {
    let host = Host::start();
    let mut control = host.control();
    let gate = Start { line: queue(1, 9), ..host.shell("while [ ! -e open ]; do sleep 0.05; done") };
    control.start(&gate);
    let waiting = [0, 1].map(|n| Start { line: queue(1, 9), ..host.shell(&format!("echo {n} >> ran")) });
    waiting.iter().for_each(|start| ask(&mut control, start));
    control.start(&host.shell("exit 0"));
    let mut next = host.connect(Role::Control);
    let known = next.welcome();
    assert!(known.iter().any(|known| known.session == gate.session));
    assert!(waiting.iter().all(|start| known.iter().all(|known| known.session != start.session)));
    ask(&mut next, &waiting[1]);
    std::fs::write(host.path("open"), "").unwrap();
    next.exit(gate.session);
    next.exit(waiting[1].session);
    assert_eq!(std::fs::read_to_string(host.path("ran")).unwrap(), "1\n");
}
