//! Nodes come and go; sessions and their exits stay.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use cis_core::event::ExitStatus;
use cis_host::control::{HostClient, HostClientError, spawn_host};
use cis_host::frames::put_json;
use cis_host::protocol::{FromHost, Role, ToHost};

use crate::support::{Host, PATIENCE, command, until};

#[test]
fn exits_are_kept_until_acknowledged() {
    let host = Host::start();
    let mut control = host.control();
    assert_eq!(control.welcome(), []);
    let (quick, slow) = (host.shell("exit 3"), host.shell("while [ ! -e go ]; do sleep 0.05; done; exit 9"));
    let pids = [control.start(&quick), control.start(&slow)];
    control.exit(quick.session);
    drop(control);
    fs::write(host.path("go"), "").unwrap();
    until("it ended with nobody there", || crate::support::processes_with(&slow.label).is_empty());
    let mut control = host.control();
    let mut known = control.welcome();
    known.sort_by_key(|known| known.pid != pids[0]);
    assert_eq!([known[0].pid, known[1].pid], pids);
    assert_eq!(known[0].label, quick.label);
    let status = |at: usize| known[at].exit.clone().map(|exit| exit.status);
    assert_eq!(status(0), Some(ExitStatus::Code(3)));
    // The exit of the second may be told on this connection instead.
    if status(1).is_none() {
        assert_eq!(control.exit(slow.session).status, ExitStatus::Code(9));
    }
    control.send(&ToHost::AckExit { session: quick.session });
    control.send(&ToHost::AckExit { session: slow.session });
    drop(control);
    let mut control = host.control();
    assert_eq!(control.welcome(), []);
}

#[test]
fn a_new_control_connection_replaces_the_old() {
    let host = Host::start();
    let mut old = host.control();
    old.welcome();
    let mut new = host.control();
    new.welcome();
    let error = loop {
        if let Err(error) = old.receive() {
            break error;
        }
    };
    assert!(matches!(error, HostClientError::Closed), "{error}");
    assert!(new.run(&host.command(&["true"])).status.is_success());
}

#[test]
fn a_second_host_says_so_and_leaves_the_first_alone() {
    let host = Host::start();
    let error = spawn_host(&command(host.folder.path(), &[], "1000"), PATIENCE).unwrap_err().to_string();
    assert!(error.contains("another session host is running"), "{error}");
    assert!(host.control().run(&host.command(&["true"])).status.is_success());
}

#[test]
fn the_socket_of_a_host_that_was_killed_is_replaced() {
    let mut host = Host::start();
    host.kill();
    assert!(host.path("socket").exists());
    let error = HostClient::connect(host.path("socket"), Role::Control).unwrap_err();
    assert!(matches!(error, HostClientError::Connect { .. }), "{error}");
    let mut second = spawn_host(&command(host.folder.path(), &[], "1"), PATIENCE).unwrap();
    until("it ends by itself, with nothing to do", || second.try_wait().unwrap().is_some());
}

#[test]
fn what_is_not_this_protocol_is_refused_and_harms_nobody() {
    let host = Host::start();
    let mut control = host.control();
    let answer = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(host.path("socket")).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert!(answer(b"GET / HTTP/1.1\r\n\r\n").contains("another protocol"));
    let mut early = Vec::new();
    put_json(&mut early, &ToHost::Shutdown {}).unwrap();
    assert!(answer(&early).contains("first message must be a hello"));
    let mut unknown = Vec::new();
    put_json(&mut unknown, &ToHost::Hello { version: 1, role: Role::Stream }).unwrap();
    put_json(&mut unknown, &serde_json::json!({ "type": "of a later version" })).unwrap();
    assert!(answer(&unknown).contains("unknown variant"));
    let mut stream = Vec::new();
    put_json(&mut stream, &ToHost::Hello { version: 1, role: Role::Stream }).unwrap();
    put_json(&mut stream, &ToHost::Shutdown {}).unwrap();
    assert!(answer(&stream).contains("for the control connection"));
    let mut version = Vec::new();
    put_json(&mut version, &ToHost::Hello { version: 99, role: Role::Control }).unwrap();
    assert!(answer(&version).contains("\"version\":1"));
    assert!(control.run(&host.command(&["true"])).status.is_success(), "the node is still the node");
}

#[test]
fn arbitrary_and_broken_frames_do_not_end_the_host() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    let host = Host::start();
    let mut control = host.control();
    let living = host.shell("while :; do sleep 0.05; done");
    control.start(&living);
    let session = living.session;
    let messages = [
        ToHost::Watch { session, from: u64::MAX },
        ToHost::Watch { session, from: 0 },
        ToHost::Probe { session },
        ToHost::Resize { session, size: cis_core::api::TermSize { cols: 0, rows: u16::MAX } },
        ToHost::Signal { session, signal: -5 },
        ToHost::Thaw { session },
        ToHost::Unwatch { session },
    ];
    let mut valid = Vec::new();
    put_json(&mut valid, &ToHost::Hello { version: 1, role: Role::Stream }).unwrap();
    let after_hello = valid.len();
    for message in &messages {
        put_json(&mut valid, message).unwrap();
    }
    let changes = proptest::collection::vec((0..valid.len(), any::<u8>()), 0..4);
    let noise = proptest::collection::vec(any::<u8>(), 0..60);
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(changes, noise, any::<bool>()), |(changes, noise, whole)| {
        let mut bytes = valid.clone();
        for (at, byte) in changes {
            if at >= after_hello || whole {
                bytes[at] = byte;
            }
        }
        bytes.extend(noise);
        let mut stream = UnixStream::connect(host.path("socket")).unwrap();
        // The host may have hung up already.
        let _ = stream.write_all(&bytes);
        Ok(())
    });
    outcome.unwrap();
    assert!(control.run(&host.command(&["true"])).status.is_success());
    control.send(&ToHost::Probe { session });
    control.expect("the session lives", |message| matches!(message, FromHost::Probed { .. }).then_some(()));
    drop(control);
    until("all connections are closed", || host.descriptors() < 16);
}

#[test]
fn another_user_is_not_served() {
    // Root passes every file permission, so that only the host's own check is left; others cannot start
    // a host for somebody else.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let host = Host::start_as(65534);
    // `HostClient` is not used here, because it refuses a host of another user by itself.
    let mut stream = UnixStream::connect(host.path("socket")).unwrap();
    let mut hello = Vec::new();
    put_json(&mut hello, &ToHost::Hello { version: 1, role: Role::Control }).unwrap();
    // It may have hung up before the hello was sent.
    let _ = stream.write_all(&hello);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    let error = HostClient::connect(host.path("socket"), Role::Control).unwrap_err();
    assert!(error.to_string().contains("uid 65534"), "{error}");
}

#[test]
fn a_host_whose_socket_is_removed_listens_again() {
    let host = Host::start();
    let mut control = host.control();
    for _ in 0..2 {
        fs::remove_file(host.path("socket")).unwrap();
        until("it listens again", || HostClient::connect(host.path("socket"), Role::Stream).is_ok());
    }
    assert_eq!(control.run(&host.shell("exit 3")).status, ExitStatus::Code(3), "a connection stays");
    let place = cis_local::Place::of_holder(host.path("elsewhere"), host.path("lock"));
    assert!(HostClient::connect(place, Role::Stream).is_ok(), "the lock says where it is");
}

#[test]
fn what_runs_in_a_session_cannot_speak_to_the_host() {
    let host = Host::start();
    let mut control = host.control();
    let script =
        "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\nprint(s.recv(100))";
    let socket = host.path("socket");
    let start = host.command(&["python3", "-c", script, socket.to_str().unwrap()]);
    control.run(&start);
    assert_eq!(host.log(start.session), "b''\n", "closed without a word");
}

#[test]
fn many_requests_in_one_write_are_answered_in_order() {
    let host = Host::start();
    let mut control = host.control();
    let starts: Vec<_> = (0..40).map(|n| host.shell(&format!("exit {n}"))).collect();
    for start in &starts {
        control.client.send(&ToHost::Start(Box::new(start.clone()))).unwrap();
    }
    control.client.flush().unwrap();
    for (n, start) in (0..).zip(&starts) {
        assert_eq!(control.exit(start.session).status, ExitStatus::Code(n));
    }
    let started: Vec<_> = control
        .messages
        .iter()
        .filter_map(|message| match message {
            FromHost::Started { session, .. } => Some(*session),
            _ => None,
        })
        .collect();
    assert_eq!(started, starts.iter().map(|start| start.session).collect::<Vec<_>>());
}
