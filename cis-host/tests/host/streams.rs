//! Output to those who watch, input once, evidence.

use std::time::Duration;

use cis_core::ids::SessionId;
use cis_core::monitor::Modes;
use cis_host::protocol::{AtDeadline, FromHost, INPUT_BYTES_MAX, Io, Role, Start, ToHost};

use crate::support::{Host, Peer, input_id, until};

#[test]
fn an_input_with_an_id_is_typed_once() {
    let host = Host::start();
    let mut control = host.control();
    let start = host.shell_on_pty("stty -echo; echo ready; while read -r line; do echo \"got $line\"; done");
    control.start(&start);
    control.send(&ToHost::Watch { session: start.session, from: 0 });
    control.wait_for_output(start.session, "ready");
    let written = |message: &FromHost| match message {
        FromHost::Written { input, output_bytes, .. } => Some((*input, *output_bytes)),
        _ => None,
    };
    for _ in 0..3 {
        control.client.send_input(start.session, Some(input_id(1)), b"first\n").unwrap();
    }
    let answers = [0; 3].map(|_| control.expect("written", written));
    assert_eq!(answers, [(input_id(1), 7); 3], "each says what the first said");
    // Another connection, the same id.
    let mut stream = host.connect(Role::Stream);
    stream.client.send_input(start.session, Some(input_id(1)), b"first\n").unwrap();
    stream.client.send_input(start.session, Some(input_id(2)), b"second\n").unwrap();
    stream.expect("written", written);
    stream.expect("written", written);
    control.wait_for_output(start.session, "got second");
    control.client.send_input(start.session, None, b"\x04").unwrap();
    control.exit(start.session);
    let log = host.log(start.session);
    assert_eq!(log, "ready\r\ngot first\r\ngot second\r\n");
}

/// Whether it was typed, and how much output there was.
fn answer(peer: &mut Peer, session: SessionId, n: u128, output_bytes: u64, text: &[u8]) -> (bool, u64) {
    let (typed, output, _) = answer_after(peer, session, n, (output_bytes, None), text);
    (typed, output)
}

/// The same for what was judged by so much output and input; and how much input there was, where that was the
/// reason.
fn answer_after(
    peer: &mut Peer,
    session: SessionId,
    n: u128,
    (output_bytes, input_bytes): (u64, Option<u64>),
    text: &[u8],
) -> (bool, u64, Option<u64>) {
    peer.send(&ToHost::InputAt { session, input: input_id(n), output_bytes, input_bytes });
    peer.client.send_input(session, None, text).unwrap();
    peer.expect("what became of it", |message| match message {
        FromHost::Written { input, output_bytes, .. } if *input == input_id(n) => {
            Some((true, *output_bytes, None))
        }
        FromHost::InputMoved { input, output_bytes, input_bytes, .. } if *input == input_id(n) => {
            Some((false, *output_bytes, *input_bytes))
        }
        _ => None,
    })
}

#[test]
fn an_answer_is_not_typed_behind_what_somebody_else_typed() {
    let host = Host::start();
    let mut control = host.control();
    let start =
        host.shell_on_pty("stty -echo; printf 'one? '; read -r a; printf 'two? '; read -r b; echo \"$a|$b\"");
    let session = start.session;
    control.start(&start);
    control.send(&ToHost::Watch { session, from: 0 });
    control.wait_for_output(session, "one? ");
    // Somebody at another connection has begun a line, of which nothing is shown.
    let mut stream = host.connect(Role::Stream);
    stream.client.send_input(session, Some(input_id(1)), b"no").unwrap();
    stream.expect("taken", |message| matches!(message, FromHost::Written { .. }).then_some(()));
    assert_eq!(answer_after(&mut control, session, 2, (5, Some(0)), b"yes\n"), (false, 5, Some(2)));
    // Who knows of all that came, the refused answer too, types.
    let known = probe(&mut control, session);
    assert_eq!(known, Some(6));
    stream.client.send_input(session, Some(input_id(3)), b"t\n").unwrap();
    stream.expect("taken", |message| matches!(message, FromHost::Written { .. }).then_some(()));
    control.wait_for_output(session, "two? ");
    assert_eq!(answer_after(&mut control, session, 4, (10, Some(8)), b"sure\n"), (true, 10, None));
    control.exit(session);
    assert_eq!(host.log(session), "one? two? not|sure\r\n");
}

/// How much input there was, as the host counts it.
fn probe(peer: &mut Peer, session: SessionId) -> Option<u64> {
    peer.send(&ToHost::Probe { session });
    peer.expect("evidence", |message| match message {
        FromHost::Probed { input_bytes, .. } => Some(*input_bytes),
        _ => None,
    })
}

#[test]
fn an_input_for_what_was_shown_is_typed_only_there() {
    let host = Host::start();
    let mut control = host.control();
    let script = "stty -echo; printf 'one? '; read -r a; printf 'two? '; read -r b; echo \"$a $b\"";
    let start = host.shell_on_pty(script);
    control.start(&start);
    control.send(&ToHost::Watch { session: start.session, from: 0 });
    control.wait_for_output(start.session, "one? ");
    let session = start.session;
    assert_eq!(answer(&mut control, session, 1, 4, b"early\n"), (false, 5));
    assert_eq!(answer(&mut control, session, 2, 5, b"first\n"), (true, 5));
    // Sent again it is known, wherever the screen is by now.
    assert_eq!(answer(&mut control, session, 2, 5, b"first\n"), (true, 5));
    control.wait_for_output(session, "two? ");
    assert_eq!(answer(&mut control, session, 3, 5, b"late\n"), (false, 10));
    assert_eq!(answer(&mut control, session, 4, 10, b"second\n"), (true, 10));
    control.exit(session);
    assert_eq!(host.log(session), "one? two? first second\r\n");
}

#[test]
fn an_answer_does_not_wait_behind_input_that_nobody_reads() {
    let host = Host::start();
    let mut control = host.control();
    let start = host.shell_on_pty("stty raw -echo; printf ready; while :; do sleep 1; done");
    control.start(&start);
    control.send(&ToHost::Watch { session: start.session, from: 0 });
    control.wait_for_output(start.session, "ready");
    // More than a terminal holds.
    control.client.send_input(start.session, Some(input_id(1)), &vec![b'x'; INPUT_BYTES_MAX / 2]).unwrap();
    control.expect("taken", |message| matches!(message, FromHost::Written { .. }).then_some(()));
    let input = input_id(2);
    control.send(&ToHost::InputAt { session: start.session, input, output_bytes: 5, input_bytes: None });
    control.client.send_input(start.session, None, b"y\r").unwrap();
    let refused = control.expect("an outcome", |message| match message {
        FromHost::InputRefused { input: of, .. } => Some(*of == Some(input)),
        FromHost::Written { .. } => Some(false),
        _ => None,
    });
    assert!(refused, "it was taken");
}

#[test]
fn input_that_nobody_reads_is_bounded_and_the_rest_refused() {
    let host = Host::start();
    let mut control = host.control();
    let start = Start { io: Io::Pipes { stdin: true }, ..host.shell("read -r line; cat | wc -c") };
    let start = Start {
        argv: vec!["sh".into(), "-c".into(), "while [ ! -e go ]; do sleep 0.05; done; wc -c".into()],
        ..start
    };
    control.start(&start);
    let chunk = vec![b'x'; INPUT_BYTES_MAX / 2];
    let mut taken = 0u64;
    for n in 0.. {
        control.client.send_input(start.session, Some(input_id(n)), &chunk).unwrap();
        let took = control.expect("an answer", |message| match message {
            FromHost::Written { .. } => Some(true),
            FromHost::InputRefused { input, waiting_bytes, .. } => {
                assert_eq!(*input, Some(input_id(n)));
                assert!(*waiting_bytes as usize > INPUT_BYTES_MAX / 2);
                Some(false)
            }
            _ => None,
        });
        if !took {
            break;
        }
        taken += chunk.len() as u64;
    }
    assert!(control.run(&host.command(&["true"])).status.is_success(), "others are not held up");
    std::fs::write(host.path("go"), "").unwrap();
    control.send(&ToHost::CloseStdin { session: start.session });
    control.exit(start.session);
    assert_eq!(host.log(start.session).trim(), taken.to_string(), "what was taken was typed, nothing else");
}

#[test]
fn a_watcher_goes_on_where_it_was_after_reconnecting() {
    let host = Host::start();
    let mut control = host.control();
    let start = Start {
        log_limit_bytes: 64 << 20,
        ..host.shell("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); echo $i; done")
    };
    control.start(&start);
    let mut all: Vec<u8> = Vec::new();
    // Every connection is dropped after a little; each next one asks from where the last one was.
    for round in 0.. {
        let mut stream = host.connect(Role::Stream);
        stream.send(&ToHost::Watch { session: start.session, from: all.len() as u64 });
        let wanted = 10_000 * (round + 1);
        let mut ended = false;
        while !ended
            && stream
                .outputs
                .get(&start.session)
                .is_none_or(|o| o.len() < 3 && stream.output(start.session).len() < wanted)
        {
            stream.receive().unwrap();
            ended = stream.messages.iter().any(|message| matches!(message, FromHost::Exited { .. }));
            assert!(!stream.messages.iter().any(|message| matches!(message, FromHost::Gap { .. })));
        }
        if let Some(pieces) = stream.outputs.get(&start.session) {
            assert_eq!(pieces[0].0, all.len() as u64);
        }
        all.extend(stream.output(start.session));
        if ended {
            break;
        }
    }
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert!(all == expected.as_bytes(), "{} bytes instead of {}", all.len(), expected.len());
}

#[test]
fn a_watcher_that_does_not_read_stalls_nobody_and_misses_nothing() {
    let host = Host::start();
    let mut control = host.control();
    let start = Start {
        log_limit_bytes: 64 << 20,
        ..host.shell("echo first; while [ ! -e go ]; do sleep 0.05; done; seq 1 1000000")
    };
    control.start(&start);
    let mut sleepy = host.connect(Role::Stream);
    sleepy.send(&ToHost::Watch { session: start.session, from: 0 });
    sleepy.wait_for_output(start.session, "first");
    std::fs::write(host.path("go"), "").unwrap();
    // It ends though its watcher has not read a byte of it.
    let exit = control.exit(start.session);
    control.send(&ToHost::AckExit { session: start.session });
    sleepy.exit(start.session);
    let expected: String =
        std::iter::once("first\n".to_owned()).chain((1..=1_000_000).map(|n| format!("{n}\n"))).collect();
    assert_eq!(exit.output_bytes, expected.len() as u64);
    assert!(sleepy.output(start.session) == expected.as_bytes());
}

#[test]
fn a_flood_nobody_watches_holds_up_nobody() {
    let host = Host::start();
    let mut control = host.control();
    let flood = host.command(&["yes"]);
    control.start(&flood);
    for _ in 0..20 {
        assert!(control.run(&host.shell_on_pty("echo hello")).status.is_success());
    }
    control.send(&ToHost::Kill { session: flood.session, grace_ms: None });
    let exit = control.exit(flood.session);
    assert!(exit.killed && exit.output_bytes > 1 << 20, "{exit:?}");
    assert_eq!(exit.cut_bytes, exit.output_bytes.saturating_sub(kept(&host, &flood)));
    assert!(kept(&host, &flood) <= flood.log_limit_bytes);
    assert!(host.memory_kb() < 20_000, "{} KB", host.memory_kb());
}

fn kept(host: &Host, start: &Start) -> u64 {
    let size = |path: std::path::PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
    let tail = |slot| size(host.path(&format!("{}.log.tail{slot}", start.session))).saturating_sub(8);
    size(host.log_path(start.session)) + (0..4).map(tail).sum::<u64>()
}

#[test]
fn a_terminal_that_is_closed_and_opened_again_goes_on() {
    let host = Host::start();
    let mut control = host.control();
    let script = "exec 3>/dev/null; t=$(tty); exec 0<&- 1>&- 2>&-; sleep 0.2; exec 1>\"$t\"; echo back; sleep 0.1; echo again";
    let start = host.shell_on_pty(script);
    control.start(&start);
    assert!(control.exit(start.session).status.is_success());
    assert_eq!(host.log(start.session), "back\r\nagain\r\n");
    assert!(host.cpu_ms() <= 100, "nothing spins meanwhile: {} ms", host.cpu_ms());
}

#[test]
fn evidence_names_who_reads_the_terminal() {
    let host = Host::start();
    let mut control = host.control();
    let start =
        host.shell_on_pty("stty -echo; echo asking; read -r secret; stty echo; echo thanks; sleep 1000");
    let pid = control.start(&start);
    let mut probe = || {
        control.send(&ToHost::Probe { session: start.session });
        control.expect("evidence", |message| match message {
            FromHost::Probed { evidence, .. } => Some(evidence.clone()),
            _ => None,
        })
    };
    let mut evidence = probe();
    until("it reads", || {
        evidence = probe();
        !evidence.readers.is_empty()
    });
    let readers: Vec<_> = evidence.readers.iter().map(|r| (r.pid, r.name.as_str())).collect();
    assert_eq!(readers, [(pid, "sh")]);
    assert_eq!(evidence.modes, Some(Modes { canonical: true, echo: false }));
    assert_eq!((evidence.foreground.clone(), evidence.processes), (vec!["sh".to_owned()], 1));
    assert_eq!(evidence.output_bytes, 8);
    let mut typing = host.connect(Role::Stream);
    typing.client.send_input(start.session, None, b"hidden\n").unwrap();
    typing.client.flush().unwrap();
    until("it sleeps", || {
        evidence = probe();
        evidence.readers.is_empty() && evidence.modes.is_some_and(|m| m.echo) && evidence.processes == 2
    });
    until("it is quiet", || probe().quiet_ms > 300);
    control.send(&ToHost::Kill { session: start.session, grace_ms: None });
    control.exit(start.session);
}

#[test]
fn a_frozen_tree_does_nothing_until_it_is_thawed() {
    let host = Host::start();
    let mut control = host.control();
    let script = "(setsid sh -c 'while :; do echo child >> ticks; sleep 0.01; done' &); while :; do echo own >> ticks; sleep 0.01; done";
    let start = host.shell(script);
    control.start(&start);
    let ticks = || std::fs::read_to_string(host.path("ticks")).unwrap_or_default();
    until("both tick", || ticks().contains("child") && ticks().contains("own"));
    let frozen_ticks = |control: &mut Peer| {
        // A probe is answered after the freeze is done.
        control.send(&ToHost::Probe { session: start.session });
        control.expect("evidence", |message| matches!(message, FromHost::Probed { .. }).then_some(()));
        ticks().len()
    };
    control.send(&ToHost::Freeze { session: start.session });
    let before = frozen_ticks(&mut control);
    // Nothing can be awaited that must not come.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ticks().len(), before);
    control.send(&ToHost::Thaw { session: start.session });
    until("it goes on", || ticks().len() > before);
    let lease = ToHost::Deadline {
        session: start.session,
        after_ms: Some(50),
        action: AtDeadline::Freeze,
        keep_ms: None,
        until_ms: None,
    };
    control.send(&lease);
    until("its deadline froze it", || {
        let before = frozen_ticks(&mut control);
        std::thread::sleep(Duration::from_millis(200));
        ticks().len() == before
    });
    control.send(&ToHost::Kill { session: start.session, grace_ms: Some(5000) });
    let exit = control.exit(start.session);
    assert!(exit.killed && exit.ended_ms - exit.started_ms < 30_000, "what is stopped can be ended");
}
