//! A host whose state is passed to another one, as when its program is replaced: only the execve(2) is left out.

use super::*;

impl Bench {
    /// Goes on with another host in the place of this one. All connections end.
    fn renewed(&mut self) {
        let socket = self.server.host.pass(true).unwrap();
        self.server = Server::resume(socket).unwrap();
    }

    fn pid(&mut self, peer: &mut Peer, id: SessionId) -> u32 {
        self.hear(peer, |message| match message {
            FromHost::Started { session, pid, .. } if *session == id => Some(*pid),
            _ => None,
        })
    }
}

/// Whether the numbered lines are all there, in order.
fn are_counted(text: &str) -> bool {
    text.lines().enumerate().all(|(n, line)| line == n.to_string())
}

#[test]
fn sessions_go_on_with_their_output_input_and_exits() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    let instance = bench.server.host.instance;
    control.start(bench.piped(1, "n=0; until [ -e go ]; do echo $n; n=$((n+1)); done; exit 5"));
    control.start(bench.on_terminal(2, "printf 'name? '; read name; echo \"hello $name\"; read rest"));
    control.start(bench.piped(3, "exit 4"));
    control.start(bench.start(4, Io::Pipes { stdin: true }, "until [ -e go ]; do sleep 0.05; done; wc -c"));
    let pids = [1, 2, 4].map(|n| bench.pid(&mut control, id(n)));
    let ended = bench.exit(&mut control, id(3));
    control.watch(id(2));
    bench.until_output(&mut control, id(2), "name? ");
    control.say(&ToHost::Input { session: id(2), input: input(1) });
    control.type_bytes(id(2), b"al");
    // More than a pipe takes.
    for _ in 0..10 {
        control.type_bytes(id(4), &[b'x'; 30_000]);
        bench.turn();
    }
    control.say(&ToHost::CloseStdin { session: id(4) });
    bench.until("it waits", |bench| {
        let slot = bench.server.host.sessions.slot_of(id(4)).unwrap();
        let inputs = &bench.server.host.sessions.get(slot).unwrap().inputs;
        inputs.waiting() > 100_000 && inputs.close
    });
    for _ in 0..3 {
        bench.renewed();
        assert!(!control.read(), "connections end");
        let (next, known) = bench.greet(Role::Control);
        control = next;
        assert_eq!(bench.server.host.instance, instance);
        let of = |n| known.iter().find(|known| known.session == id(n)).unwrap();
        assert_eq!([1, 2, 4].map(|n| of(n).pid), pids);
        assert!([1, 2, 4].iter().all(|n| of(*n).exit.is_none()));
        assert_eq!(of(3).exit.as_ref(), Some(&ended));
    }
    // Taken before, so typed once.
    control.say(&ToHost::Input { session: id(2), input: input(1) });
    control.type_bytes(id(2), b"al");
    control.type_bytes(id(2), b"ice\n");
    control.watch(id(2));
    bench.until_output(&mut control, id(2), "hello alice");
    control.say(&ToHost::AckExit { session: id(3) });
    control.watch(id(1));
    bench.until_output(&mut control, id(1), "\n999\n");
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    let exit = bench.exit(&mut control, id(1));
    assert_eq!(exit.status, ExitStatus::Code(5));
    let log = std::fs::read_to_string(bench.folder.path().join("1.log")).unwrap();
    // An exit overtakes output that is read from the log.
    bench.until("all output", |_| {
        control.read();
        control.got.output.get(&id(1)).is_some_and(|output| output.len() >= log.len())
    });
    let output = String::from_utf8(control.got.output.remove(&id(1)).unwrap()).unwrap();
    assert!(are_counted(&log) && (log == output || log.len() == 512 << 10), "{} {}", log.len(), output.len());
    assert_eq!(bench.exit(&mut control, id(4)).status, ExitStatus::Code(0));
    let counted = std::fs::read_to_string(bench.folder.path().join("4.log")).unwrap();
    assert_eq!(counted.trim(), "300000");
}

#[test]
fn a_child_that_ends_while_there_is_no_program_is_waited_for() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    control.start(bench.piped(1, "until [ -e go ]; do sleep 0.05; done; echo last; exit 7"));
    let pid = bench.pid(&mut control, id(1));
    let socket = bench.server.host.pass(true).unwrap();
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !stat().contains(") Z ") {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
    bench.server = Server::resume(socket).unwrap();
    let mut control = bench.control();
    let exit = bench.exit_or_known(&mut control, id(1));
    assert_eq!((exit.status, exit.output_bytes), (ExitStatus::Code(7), 5));
}

impl Bench {
    /// The exit of a session, which may be told by the welcome.
    fn exit_or_known(&mut self, peer: &mut Peer, id: SessionId) -> Exit {
        let known = |bench: &Self| {
            let slot = bench.server.host.sessions.slot_of(id)?;
            bench.server.host.sessions.get(slot)?.exit().cloned()
        };
        let mut found = None;
        self.until("its exit", |bench| {
            peer.read();
            found = known(bench);
            found.is_some()
        });
        found.unwrap()
    }
}

#[test]
fn timeouts_graces_deadlines_and_idleness_come_when_they_were_due() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    let stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    control.start(Start { timeout_ms: Some(600), grace_ms: 0, ..bench.piped(1, "sleep 1000") });
    control.start(Start { grace_ms: 800, ..bench.piped(2, stubborn) });
    control.start(Start { idle_ms: Some(900), grace_ms: 0, ..bench.piped(3, "sleep 1000") });
    control.start(Start { timeout_ms: Some(3_600_000), ..bench.on_terminal(4, "sleep 1000") });
    control.say(&ToHost::Deadline {
        session: id(4),
        after_ms: Some(700),
        action: AtDeadline::Kill { grace_ms: 0 },
        keep_ms: None,
        until_ms: None,
    });
    control.watch(id(2));
    bench.until_output(&mut control, id(2), "ready");
    control.say(&ToHost::Kill { session: id(2), grace_ms: None });
    bench.until("it is told to end", |bench| {
        let slot = bench.server.host.sessions.slot_of(id(2)).unwrap();
        bench.server.host.sessions.get(slot).unwrap().life.kill().is_some()
    });
    bench.renewed();
    let mut control = bench.control();
    // The limits are on another clock, which may be a ms ahead.
    let took = |exit: &Exit| exit.ended_ms - exit.started_ms + 2;
    let exit = bench.exit(&mut control, id(1));
    assert!(exit.timed_out && (600..10_000).contains(&took(&exit)), "{exit:?}");
    let exit = bench.exit(&mut control, id(2));
    assert!(exit.killed && exit.status == ExitStatus::Signal(9) && took(&exit) >= 800, "{exit:?}");
    let exit = bench.exit(&mut control, id(3));
    assert!(exit.idle && (900..10_000).contains(&took(&exit)), "{exit:?}");
    let exit = bench.exit(&mut control, id(4));
    assert!(exit.timed_out && (700..10_000).contains(&took(&exit)), "{exit:?}");
}

#[test]
fn what_an_earlier_program_froze_is_known_as_frozen() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    let script = "trap 'exit 3' TERM; : >ready; while :; do sleep 0.05; done";
    control.start(Start { idle_ms: Some(600_000), ..bench.piped(1, script) });
    bench.until_file("ready");
    control.say(&ToHost::Deadline {
        session: id(1),
        after_ms: Some(0),
        action: AtDeadline::Freeze,
        keep_ms: Some(600_000),
        until_ms: None,
    });
    bench.until("all of it is stopped", |bench| {
        let slot = bench.server.host.sessions.slot_of(id(1)).unwrap();
        let session = bench.server.host.sessions.get(slot).unwrap();
        session.life.is_frozen() && session.life.freeze_next().is_none()
    });
    // Earlier programs did not note it.
    let host = &mut bench.server.host;
    let session = host.sessions.get_mut(host.sessions.slot_of(id(1)).unwrap()).unwrap();
    session.life.thaw();
    session.patience.as_mut().unwrap().freeze(host.now, false);
    bench.renewed();
    let slot = bench.server.host.sessions.slot_of(id(1)).unwrap();
    let session = bench.server.host.sessions.get(slot).unwrap();
    assert!(session.life.is_frozen());
    assert_eq!(session.patience.as_ref().unwrap().wake(0, None), None, "it is not idle");
    let mut control = bench.control();
    control.say(&ToHost::Kill { session: id(1), grace_ms: None });
    assert_eq!(bench.exit(&mut control, id(1)).status, ExitStatus::Signal(9), "it has no grace");
}

#[test]
fn what_waits_in_a_queue_begins_after_a_renewal() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    let line = Some(Line { of: RunId::from_parts(1, 1), at_once: 1, lazy_above: 0 });
    control.start(Start { line, ..bench.piped(1, "until [ -e go ]; do sleep 0.05; done") });
    control.start(Start { line, ..bench.piped(2, "echo second > second") });
    bench.pid(&mut control, id(1));
    bench.renewed();
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    bench.until_file("second");
}

#[test]
fn environments_and_notes_of_ends_are_kept() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    let vars = [("A".to_owned(), "with = and \n".to_owned()), ("B".to_owned(), String::new())];
    control.say(&ToHost::Env { name: "base".to_owned(), vars: vars.into() });
    let line = Some(Line { of: RunId::from_parts(1, 1), at_once: 1, lazy_above: 0 });
    control.start(Start { line, ..bench.piped(1, "until [ -e go ]; do sleep 0.05; done; exit 3") });
    let env_base = Some("base".to_owned());
    control.start(Start { line, env_base, ..bench.piped(2, "printf '%s|%s|' \"$A\" \"$B\"") });
    bench.pid(&mut control, id(1));
    bench.renewed();
    // The second one begins before there is another node, which would bring its own environments.
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    bench.until("both ended", |bench| bench.server.host.sessions.living().next().is_none());
    let log = std::fs::read_to_string(bench.folder.path().join("2.log")).unwrap();
    assert_eq!(log, "with = and \n||");
    // Nobody has recorded them.
    drop(control);
    let mut bench = bench.again();
    let (_, known) = bench.greet(Role::Control);
    let codes: Vec<_> = known.iter().map(|known| known.exit.as_ref().unwrap().status).collect();
    assert_eq!(codes, [ExitStatus::Code(3), ExitStatus::Code(0)]);
}

#[test]
fn a_socket_file_that_was_removed_is_made_again_after_a_renewal() {
    let mut bench = Bench::new();
    std::fs::remove_file(bench.folder.path().join("socket")).unwrap();
    bench.renewed();
    bench.server.host.door.look_at = 0;
    bench.server.host.look_after_socket();
    assert!(bench.folder.path().join("socket").exists());
    assert!(cis_local::is_held(&bench.folder.path().join("lock")).unwrap());
}

#[test]
fn a_program_that_is_asked_reads_the_state_without_descriptors() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    control.start(bench.on_terminal(1, "sleep 1000"));
    bench.pid(&mut control, id(1));
    let look = |socket| crate::host::renewal::PassedHost::look(socket);
    look(bench.server.host.pass(false).unwrap()).unwrap();
    assert!(Server::resume(bench.server.host.pass(false).unwrap()).is_err(), "nothing can be taken over");
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    assert!(look(theirs.into()).is_err());
    assert!(look(os::pass(b"{}\n{}", &os::Outgoing::default()).unwrap()).is_err());
}
