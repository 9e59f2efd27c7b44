//! Limits that end a session: idleness, and the warnings before it and before the timeout.

use std::time::{Duration, Instant};

use cis_core::event::SessionLimit;
use cis_core::ids::SessionId;
use cis_host::protocol::{FromHost, Io, Start, ToHost};

use crate::support::{Host, Peer, input_id};

#[track_caller]
fn warning(peer: &mut Peer, of: SessionId) -> (SessionLimit, i64) {
    peer.expect("a warning", |message| match message {
        FromHost::Expiring { session, limit, at_ms } if *session == of => Some((*limit, *at_ms)),
        _ => None,
    })
}

#[test]
fn an_idle_session_is_warned_and_then_ended() {
    let host = Host::start();
    let mut control = host.control();
    let start = Start {
        idle_ms: Some(1600),
        warn_ms: Some(400),
        ..host.shell_on_pty("echo ready; read -r line; sleep 1000")
    };
    control.start(&start);
    let (limit, at_ms) = warning(&mut control, start.session);
    let exit = control.exit(start.session);
    assert_eq!(limit, SessionLimit::Idle);
    assert!(exit.idle && !exit.timed_out && !exit.killed, "{exit:?}");
    assert!(exit.ended_ms >= at_ms && at_ms - exit.started_ms >= 1600, "{exit:?}, warned for {at_ms}");
}

#[test]
fn a_session_that_computes_in_silence_is_not_idle() {
    let host = Host::start();
    let mut control = host.control();
    let busy = Start {
        idle_ms: Some(1000),
        ..host.shell("end=$(($(date +%s) + 4)); while [ $(date +%s) -lt $end ]; do :; done; exit 7")
    };
    let idle = Start { idle_ms: Some(1000), ..host.shell("sleep 1000") };
    control.start(&busy);
    control.start(&idle);
    assert!(control.exit(idle.session).idle);
    let exit = control.exit(busy.session);
    assert_eq!((exit.idle, exit.status.to_string().as_str()), (false, "exit code 7"));
}

#[test]
fn what_is_typed_keeps_a_session_alive() {
    let host = Host::start();
    let mut control = host.control();
    let start = Start {
        io: Io::Pipes { stdin: true },
        idle_ms: Some(1500),
        ..host.command(&["sh", "-c", "exec cat > /dev/null"])
    };
    control.start(&start);
    let begun = Instant::now();
    let mut id = 0;
    while begun.elapsed() < Duration::from_secs(4) {
        id += 1;
        let input = input_id(id);
        control.client.send_input(start.session, Some(input), b"x\n").unwrap();
        control.expect("it is taken", |message| match message {
            FromHost::Written { input: taken, .. } if *taken == input => Some(()),
            FromHost::Exited { exit, .. } => panic!("it ended: {exit:?}"),
            _ => None,
        });
        // Between keystrokes: the time itself is what is tested.
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(control.exit(start.session).idle);
}

#[test]
fn a_session_that_waits_for_a_human_is_not_idle_whoever_is_connected() {
    let host = Host::start();
    let mut control = host.control();
    let waits = Start { idle_ms: Some(1000), ..host.shell_on_pty("read -r line; exit 7") };
    let told_too_late = Start { idle_ms: Some(1000), ..host.shell("sleep 1000") };
    control.start(&waits);
    control.start(&told_too_late);
    control.send(&ToHost::Waits { session: waits.session, waits: true });
    assert!(control.exit(told_too_late.session).idle);
    control.send(&ToHost::Waits { session: told_too_late.session, waits: true });
    control.expect("it is over", |message| matches!(message, FromHost::NoSuchSession { .. }).then_some(()));
    drop(control);
    // What is tested is that nothing happens while time goes by and nobody is there.
    std::thread::sleep(Duration::from_millis(2000));
    let mut next = host.control();
    let known = next.welcome();
    assert!(known.iter().any(|one| one.session == waits.session && one.exit.is_none()), "{known:?}");
    next.send(&ToHost::Waits { session: waits.session, waits: false });
    let went_on = Instant::now();
    let exit = next.exit(waits.session);
    assert!(exit.idle, "{exit:?}");
    assert!(went_on.elapsed() >= Duration::from_millis(950), "it had {:?}", went_on.elapsed());
}

#[test]
fn a_timeout_is_warned_of_to_the_next_node_where_none_was_there() {
    let host = Host::start();
    let mut control = host.control();
    let warned = Start { timeout_ms: Some(4000), warn_ms: Some(1900), ..host.shell("sleep 1000") };
    let short = Start { timeout_ms: Some(3000), warn_ms: Some(1900), ..host.shell("sleep 1000") };
    control.start(&warned);
    control.start(&short);
    let started = Instant::now();
    drop(control);
    // Nothing tells a peer that is not there that the time of the warning has come.
    std::thread::sleep(Duration::from_millis(2400).saturating_sub(started.elapsed()));
    let mut next = host.control();
    let (limit, at_ms) = warning(&mut next, warned.session);
    assert_eq!(limit, SessionLimit::Lifetime);
    let exit = next.exit(warned.session);
    assert!(exit.timed_out && !exit.idle, "{exit:?}");
    assert!((at_ms - exit.started_ms - 4000).abs() < 500, "{at_ms} for {exit:?}");
    assert!(next.exit(short.session).timed_out);
    let again = next.messages.iter().any(|message| matches!(message, FromHost::Expiring { .. }));
    assert!(!again, "{:?}", next.messages);
}

#[test]
fn sessions_without_a_limit_wake_nobody() {
    let host = Host::start();
    let mut control = host.control();
    let starts: Vec<Start> = (0..20).map(|_| host.shell("sleep 1000")).collect();
    for start in &starts {
        control.start(start);
    }
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    // What is measured is a span of time in which nothing happens.
    std::thread::sleep(Duration::from_millis(500));
    let before = switches();
    std::thread::sleep(Duration::from_secs(2));
    assert!(switches() - before <= 1, "woken {} times", switches() - before);
    for start in &starts {
        control.send(&ToHost::Kill { session: start.session, grace_ms: Some(0) });
    }
    for start in &starts {
        control.exit(start.session);
    }
}
