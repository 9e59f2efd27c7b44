//! Ends: nothing of a session stays behind.

use std::fs;

use cis_core::event::ExitStatus;
use cis_host::protocol::{AtDeadline, FromHost, Start, ToHost};

use crate::support::{Host, Peer, processes_with, until};

/// Starts it, waits until it says ready, kills it; nothing may be left.
#[track_caller]
fn is_killed_whole(script: &str, grace_ms: u64) -> ExitStatus {
    let host = Host::start();
    let mut control = host.control();
    // A live neighbour must not be touched.
    let neighbour = host.shell("while :; do sleep 0.05; done");
    let neighbour_pid = control.start(&neighbour);
    let start = host.shell_on_pty(script);
    control.start(&start);
    until("it is ready", || host.path("ready").exists());
    control.send(&ToHost::Kill { session: start.session, grace_ms: Some(grace_ms) });
    let exit = control.exit(start.session);
    assert!(exit.killed && !exit.timed_out);
    assert_eq!(processes_with(&start.label), [0; 0]);
    assert!(processes_with(&neighbour.label).contains(&neighbour_pid));
    exit.status
}

#[test]
fn sigterm_is_enough_for_most() {
    assert_eq!(is_killed_whole("touch ready; sleep 1000", 60_000), ExitStatus::Signal(15));
    assert_eq!(
        is_killed_whole("trap 'exit 3' TERM; touch ready; while :; do sleep 0.05; done", 60_000),
        ExitStatus::Code(3)
    );
}

#[test]
fn an_interactive_shell_ends_within_the_grace() {
    let host = Host::start();
    let mut control = host.control();
    for at_its_prompt in [true, false, false, false, false] {
        let start = host.shell_on_pty("PS1=prompt exec bash --norc --noprofile -i");
        control.start(&start);
        if at_its_prompt {
            control.send(&ToHost::Watch { session: start.session, from: 0 });
            control.wait_for_output(start.session, "prompt");
        }
        control.send(&ToHost::Kill { session: start.session, grace_ms: Some(600_000) });
        let status = control.exit(start.session).status;
        // Before it ignores SIGTERM, that ends it.
        assert!(
            status == ExitStatus::Signal(1) || !at_its_prompt && status == ExitStatus::Signal(15),
            "{status}"
        );
    }
}

#[test]
fn a_shell_that_forgets_hang_ups_while_it_starts_slowly_ends_within_the_grace() {
    let host = Host::start();
    let mut control = host.control();
    // On a busy machine a shell takes seconds to start.
    let script = "trap '' TERM TSTP TTOU; trap : HUP; touch ready; end=$(($(date +%s) + 5)); while [ $(date +%s) -lt $end ]; do sleep 0.05; done; trap 'exit 7' HUP; while :; do sleep 0.05; done";
    let start = host.shell_on_pty(script);
    control.start(&start);
    until("it is ready", || host.path("ready").exists());
    control.send(&ToHost::Kill { session: start.session, grace_ms: Some(30_000) });
    assert_eq!(control.exit(start.session).status, ExitStatus::Code(7));
}

#[test]
fn a_program_that_ignores_sigterm_has_its_grace_on_a_terminal_too() {
    let script = "trap '' TERM; touch ready; sleep 2; exit 5";
    assert_eq!(is_killed_whole(script, 60_000), ExitStatus::Code(5));
}

#[test]
fn what_ignores_signals_is_killed_after_the_grace() {
    let script = "trap '' TERM HUP INT; (trap '' TERM HUP; while :; do sleep 1; done) & touch ready; while :; do sleep 1; done";
    assert_eq!(is_killed_whole(script, 200), ExitStatus::Signal(9));
}

#[test]
fn a_session_of_its_own_is_no_escape() {
    is_killed_whole("setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' & touch ready; wait", 200);
}

#[test]
fn a_double_fork_is_no_escape() {
    is_killed_whole(
        "(setsid sh -c '(trap \"\" TERM HUP; touch ready; while :; do sleep 1; done) &' &); while :; do sleep 1; done",
        200,
    );
}

#[test]
fn a_double_fork_that_empties_its_environment_is_no_escape() {
    let host = Host::start();
    let mut control = host.control();
    let folder = host.folder.path().to_str().unwrap().to_owned();
    let script = "(setsid env -i sh -c 'trap \"\" TERM HUP; echo $$ > ready; while :; do sleep 1; done' &); while :; do sleep 1; done";
    let start = host.shell(script);
    control.start(&start);
    until("it is ready", || fs::read_to_string(host.path("ready")).is_ok_and(|pid| pid.ends_with('\n')));
    let daemon: u32 = fs::read_to_string(host.path("ready")).unwrap().trim().parse().unwrap();
    assert!(processes_with(&folder).contains(&daemon));
    control.send(&ToHost::Kill { session: start.session, grace_ms: Some(100) });
    control.exit(start.session);
    assert!(!processes_with(&folder).contains(&daemon));
}

#[test]
fn a_tree_that_multiplies_is_killed() {
    let bomb = "trap '' TERM HUP; f() { [ $(ls /proc | grep -c '^[0-9]') -gt 400 ] || { f & f & }; sleep 0.01; f; }; touch ready; f";
    is_killed_whole(bomb, 100);
}

#[test]
fn what_stays_behind_is_ended_before_the_exit_is_told() {
    let host = Host::start();
    let mut control = host.control();
    for script in [
        "sleep 1000 & exit 4",
        "sleep 1000 </dev/null >/dev/null 2>&1 & exit 4",
        "(setsid sleep 1000 &) ; exit 4",
        "(setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &); exit 4",
    ] {
        for start in [host.shell(script), host.shell_on_pty(script)] {
            let exit = control.run(&start);
            assert_eq!((exit.status, exit.killed), (ExitStatus::Code(4), false), "{script}");
            assert_eq!(processes_with(&start.label), [0; 0], "{script}");
        }
    }
}

#[test]
fn waiting_for_what_stayed_behind_costs_nothing() {
    let host = Host::start();
    let mut control = host.control();
    // It has let go of the terminal, whose end is then to be seen for the whole grace.
    let daemon = "trap '' TERM HUP; touch ready; exec sleep 1000";
    let script = format!(
        "(setsid sh -c \"{daemon}\" </dev/null >/dev/null 2>&1 &); while [ ! -e ready ]; do sleep 0.05; done"
    );
    let start = Start { grace_ms: 2000, ..host.shell_on_pty(&script) };
    control.run(&start);
    assert!(host.cpu_ms() <= 300, "{} ms", host.cpu_ms());
    assert_eq!(processes_with(&start.label), [0; 0]);
}

#[test]
fn last_words_of_what_stayed_behind_are_kept() {
    let host = Host::start();
    let mut control = host.control();
    let script = "sh -c 'trap \"echo bye; exit\" TERM; touch ready; while :; do sleep 0.05; done' & while [ ! -e ready ]; do sleep 0.05; done; echo end";
    let start = Start { grace_ms: 30_000, ..host.shell(script) };
    assert!(control.run(&start).status.is_success());
    let log = host.log(start.session);
    // Between the two the shell may tell of its sleep that was ended.
    assert!(log.starts_with("end\n") && log.ends_with("bye\n"), "{log}");
}

#[test]
fn a_timeout_ends_the_tree_and_is_told() {
    let host = Host::start();
    let mut control = host.control();
    let start = Start {
        timeout_ms: Some(200),
        grace_ms: 100,
        ..host.shell("trap '' TERM; sleep 1000 & while :; do sleep 1; done")
    };
    let exit = control.run(&start);
    assert!(exit.timed_out && !exit.killed);
    assert_eq!(exit.status, ExitStatus::Signal(9));
    let took = exit.ended_ms - exit.started_ms;
    assert!((300..20_000).contains(&took), "{took} ms");
    assert_eq!(processes_with(&start.label), [0; 0]);
}

#[test]
fn a_limit_is_told_also_if_a_kill_comes_while_it_ends_the_session() {
    let host = Host::start();
    let mut control = host.control();
    for is_idle in [false, true] {
        let limit = Some(300);
        let start = Start {
            timeout_ms: limit.filter(|_| !is_idle),
            idle_ms: limit.filter(|_| is_idle),
            grace_ms: 600_000,
            ..host.shell(
                "trap 'touch told; while [ ! -e go ]; do sleep 0.05; done; exit 0' TERM; sleep 1000 & wait",
            )
        };
        control.start(&start);
        until("its limit ends it", || host.path("told").exists());
        control.send(&ToHost::Kill { session: start.session, grace_ms: None });
        control.send(&ToHost::Probe { session: start.session });
        control.expect("evidence", |message| matches!(message, FromHost::Probed { .. }).then_some(()));
        fs::write(host.path("go"), "").unwrap();
        let exit = control.exit(start.session);
        assert_eq!(
            (exit.timed_out, exit.idle, exit.killed, exit.shut_down),
            (!is_idle, is_idle, true, false)
        );
        let limit_ms = exit.limit_ms.unwrap();
        assert!((exit.started_ms..=exit.ended_ms).contains(&limit_ms), "{exit:?}");
        for name in ["told", "go"] {
            fs::remove_file(host.path(name)).unwrap();
        }
    }
    let start = host.shell("sleep 1000");
    control.start(&start);
    control.send(&ToHost::Kill { session: start.session, grace_ms: None });
    assert_eq!(control.exit(start.session).limit_ms, None);
}

#[test]
fn a_deadline_can_be_moved_removed_and_kills() {
    let host = Host::start();
    let mut control = host.control();
    let start = host.shell("while :; do sleep 0.05; done");
    control.start(&start);
    let action = AtDeadline::Kill { grace_ms: 100 };
    let session = start.session;
    control.send(&ToHost::Deadline {
        session,
        after_ms: Some(60_000),
        action,
        keep_ms: None,
        until_ms: None,
    });
    control.send(&ToHost::Deadline { session, after_ms: None, action, keep_ms: None, until_ms: None });
    control.send(&ToHost::Probe { session });
    control.expect("evidence", |message| matches!(message, FromHost::Probed { .. }).then_some(()));
    control.send(&ToHost::Deadline { session, after_ms: Some(50), action, keep_ms: None, until_ms: None });
    assert!(control.exit(session).timed_out);
}

/// A program that was frozen because of its lease may have another attempt elsewhere.
#[test]
fn what_is_frozen_is_killed_without_going_on_first() {
    let mut host = Host::start();
    let mut control = host.control();
    let script = "trap 'touch \"went-on-$0\"; exit 3' TERM; touch \"ready-$0\"; while :; do sleep 0.05; done";
    let frozen = |control: &mut Peer, name: &str| {
        let start = Start { grace_ms: 600_000, ..host.command(&["sh", "-c", script, name]) };
        control.start(&start);
        until("it is ready", || host.path(&format!("ready-{name}")).exists());
        control.send(&ToHost::Freeze { session: start.session });
        start.session
    };
    let action = AtDeadline::Kill { grace_ms: 600_000 };
    let [late, asked, last] = ["late", "asked", "last"].map(|name| frozen(&mut control, name));
    control.send(&ToHost::Deadline {
        session: late,
        after_ms: Some(0),
        action,
        keep_ms: None,
        until_ms: None,
    });
    control.send(&ToHost::Kill { session: asked, grace_ms: None });
    let (late, asked) = (control.exit(late), control.exit(asked));
    assert!(late.timed_out && asked.killed, "{late:?} {asked:?}");
    control.send(&ToHost::Shutdown {});
    let last = control.exit(last);
    assert!(last.shut_down, "{last:?}");
    assert_eq!([late.status, asked.status, last.status], [ExitStatus::Signal(9); 3]);
    for name in ["late", "asked", "last"] {
        assert!(!host.path(&format!("went-on-{name}")).exists(), "{name} went on");
    }
    host.wait_for_end();
}

#[test]
fn a_grace_ends_when_the_lease_does() {
    let host = Host::start();
    let mut control = host.control();
    let script = "trap ': >\"told-$0\"' TERM; touch \"ready-$0\"; while :; do sleep 0.05; done";
    let in_grace = |control: &mut Peer, name: &str| {
        let start = Start { grace_ms: 600_000, ..host.command(&["sh", "-c", script, name]) };
        control.start(&start);
        until("it is ready", || host.path(&format!("ready-{name}")).exists());
        control.send(&ToHost::Kill { session: start.session, grace_ms: None });
        until("it has its grace", || host.path(&format!("told-{name}")).exists());
        start.session
    };
    let [over, frozen] = ["over", "frozen"].map(|name| in_grace(&mut control, name));
    control.send(&ToHost::Deadline {
        session: over,
        after_ms: Some(0),
        action: AtDeadline::Freeze,
        keep_ms: Some(600_000),
        until_ms: None,
    });
    control.send(&ToHost::Freeze { session: frozen });
    for exit in [control.exit(over), control.exit(frozen)] {
        assert!(exit.killed && !exit.shut_down, "{exit:?}");
        assert_eq!(exit.status, ExitStatus::Signal(9));
    }
}

#[test]
fn a_signal_goes_to_the_foreground() {
    let host = Host::start();
    let mut control = host.control();
    let start =
        host.shell_on_pty("trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.05; done");
    control.start(&start);
    control.send(&ToHost::Watch { session: start.session, from: 0 });
    control.wait_for_output(start.session, "ready");
    control.send(&ToHost::Signal { session: start.session, signal: 2 });
    assert_eq!(control.exit(start.session).status, ExitStatus::Code(5));
    control.send(&ToHost::Signal { session: start.session, signal: 2 });
    control.expect("it is over", |message| matches!(message, FromHost::NoSuchSession { .. }).then_some(()));
}

#[test]
fn shutdown_ends_every_session_and_the_host() {
    let mut host = Host::start();
    let mut control = host.control();
    let starts = [host.shell("sleep 1000"), host.shell_on_pty("trap '' TERM HUP; while :; do sleep 1; done")];
    for start in &starts {
        control.start(start);
    }
    control.send(&ToHost::Shutdown {});
    for start in &starts {
        assert!(control.exit(start.session).killed);
    }
    host.wait_for_end();
    assert!(!host.path("socket").exists());
}

#[test]
fn many_that_end_together_share_their_looks_at_processes() {
    const SESSIONS: u64 = 200;
    let mut host = Host::start();
    let mut control = host.control();
    let starts: Vec<_> = (0..SESSIONS).map(|_| host.shell("trap '' TERM; sleep 1000 & wait")).collect();
    for start in &starts {
        control.start(start);
    }
    let before = host.reads().unwrap();
    // Its last words wait for who reads them: its reads are seen until nearly its end.
    control.send(&ToHost::Shutdown {});
    let mut reads = 0;
    for start in &starts {
        assert!(control.exit(start.session).killed);
        reads = host.reads().unwrap_or(reads);
    }
    host.wait_for_end();
    // One look reads a file of each of their 400 processes. A look for each session would be 80,000 at once.
    assert!(reads - before < 200 * SESSIONS, "{} reads", reads - before);
}

#[test]
fn a_hundred_sessions_leave_nothing() {
    let host = Host::start();
    let mut control = host.control();
    control.run(&host.shell_on_pty("echo warm"));
    control.welcome();
    let (descriptors, threads) = (host.descriptors(), host.threads());
    for round in 0..50 {
        let pipes = host.shell(&format!("echo {round}; sleep 1000 & exit 0"));
        let pty = host.shell_on_pty(&format!("echo {round}"));
        control.start(&pipes);
        control.start(&pty);
        control.send(&ToHost::Watch { session: pty.session, from: 0 });
        for start in [pipes, pty] {
            control.exit(start.session);
            control.send(&ToHost::AckExit { session: start.session });
        }
    }
    until("its descriptors are closed", || host.descriptors() == descriptors);
    assert_eq!(host.threads(), threads);
    control.send(&ToHost::Probe { session: crate::support::new_id() });
    control.expect("it listens", |message| matches!(message, FromHost::NoSuchSession { .. }).then_some(()));
    let children: Vec<u32> = processes_with(host.folder.path().to_str().unwrap());
    assert_eq!(children, [host.pid()]);
}
