//! Lines that were begun in a terminal and not ended: an answer is not appended to what somebody typed, and what a program took
//! key by key, or nobody typed, keeps no answer back.

use std::sync::Arc;

use cis_core::api::TermSize;
use cis_core::ids::{InputId, SessionId};
use cis_core::monitor::{Change, Profile, Seed};
use cis_core::policy::redact::Redactor;
use cis_host::hub::{Answer, Hub, HubNews, Monitoring, SessionInfo, Sighting};
use cis_host::protocol::{FromHost, ToHost};

use crate::support::{Host, PATIENCE, Peer, input_id};

/// What the model of a terminal replies to `CSI c`, as the terminal echoes it.
const ECHO: &str = "^[[?62;22c";

/// Types this; it is with the terminal then.
fn type_keys(peer: &mut Peer, session: SessionId, n: u128, keys: &[u8]) {
    peer.client.send_input(session, Some(input_id(n)), keys).unwrap();
    peer.expect("taken", |message| match message {
        FromHost::Written { input, .. } if *input == input_id(n) => Some(()),
        _ => None,
    });
}

/// Whether somebody has begun a line, as the host says.
fn is_begun(peer: &mut Peer, session: SessionId) -> bool {
    peer.send(&ToHost::Probe { session });
    peer.expect("evidence", |message| match message {
        FromHost::Probed { line_begun, .. } => Some(*line_begun),
        _ => None,
    })
}

#[test]
fn a_line_whose_keys_a_program_took_is_not_begun() {
    let host = Host::start();
    let mut control = host.control();
    let start = host.shell_on_pty(
        "until [ -e go ]; do sleep 0.01; done; stty -icanon -echo; dd bs=1 count=2 2>/dev/null; printf ' taken '; \
         dd bs=1 count=1 2>/dev/null; stty icanon; printf ' name? '; read -r a; echo \"got $a\"",
    );
    let session = start.session;
    control.start(&start);
    control.send(&ToHost::Watch { session, from: 0 });
    type_keys(&mut control, session, 1, b"no");
    control.wait_for_output(session, "no");
    assert!(is_begun(&mut control, session));
    std::fs::write(host.path("go"), "").unwrap();
    control.wait_for_output(session, "taken");
    assert!(!is_begun(&mut control, session));
    type_keys(&mut control, session, 2, b"x");
    control.wait_for_output(session, "name? ");
    assert!(!is_begun(&mut control, session));
    type_keys(&mut control, session, 3, b"Ann\n");
    control.exit(session);
    assert_eq!(host.log(session), "nono taken x name? got Ann\r\n");
}

#[test]
fn keys_that_no_program_took_begin_the_line_that_is_read_next() {
    let host = Host::start();
    let mut control = host.control();
    let start = host.shell_on_pty(
        "until [ -e go ]; do sleep 0.01; done; stty -icanon -echo; printf ' keys '; \
         until [ -e on ]; do sleep 0.01; done; stty icanon; printf ' name? '; read -r a; echo \"got $a\"",
    );
    let session = start.session;
    control.start(&start);
    control.send(&ToHost::Watch { session, from: 0 });
    type_keys(&mut control, session, 1, b"no");
    control.wait_for_output(session, "no");
    std::fs::write(host.path("go"), "").unwrap();
    control.wait_for_output(session, "keys");
    assert!(is_begun(&mut control, session), "it can be read, and was not");
    type_keys(&mut control, session, 2, b"w");
    assert!(is_begun(&mut control, session));
    std::fs::write(host.path("on"), "").unwrap();
    control.wait_for_output(session, "name? ");
    assert!(is_begun(&mut control, session));
    type_keys(&mut control, session, 3, b"!\n");
    control.exit(session);
    assert_eq!(host.log(session), "no keys  name? got now!\r\n");
}

/// Runs a script that has the terminal reply while it collects lines, and waits for the file `go` then. Answers its question `Name?` with
/// `Ann`, and gives what was written after that question.
fn after_the_question(script: &str) -> String {
    let host = Host::start();
    let mut control = host.control();
    let start =
        host.shell_on_pty(&format!("printf '\\033[c'; until [ -e go ]; do sleep 0.01; done; {script}"));
    let session = start.session;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (seen, sightings) = std::sync::mpsc::channel();
    let watcher = Arc::new(move |news| {
        if let HubNews::Seen(sighting) = news {
            drop(seen.send(sighting));
        }
    });
    let hub = Hub::spawn(runtime.handle(), host.path("socket"), watcher);
    control.start(&start);
    hub.open(SessionInfo {
        id: session,
        tty: true,
        size: TermSize::default(),
        log: host.log_path(session),
        live_from: Some(0),
        redactor: Arc::new(Redactor::default()),
        monitor: Some(Monitoring { profile: Profile::plain(), seed: Seed::default() }),
    });
    control.send(&ToHost::Watch { session, from: 0 });
    // The line of the terminal has the reply now.
    control.wait_for_output(session, ECHO);
    std::fs::write(host.path("go"), "").unwrap();
    let verdict = loop {
        let Sighting { change, .. } = sightings.recv_timeout(PATIENCE).unwrap();
        if let Change::Blocked(verdict) = change
            && verdict.question.contains("Name?")
        {
            break verdict;
        }
    };
    let answer = Answer {
        session,
        episode: verdict.episode,
        hash: verdict.hash.clone(),
        input: InputId::from_parts(1, 1),
        bytes: b"Ann\r".to_vec(),
        is_line: true,
        again: false,
        repeated: false,
        by_default: false,
    };
    runtime.block_on(hub.answer(answer)).unwrap();
    control.exit(session);
    drop(hub);
    drop(runtime);
    host.log(session).rsplit_once("Name? ").unwrap().1.to_owned()
}

#[test]
fn a_reply_of_the_terminal_that_a_program_took_keeps_no_answer_back() {
    let written = after_the_question(
        "stty -icanon -echo; dd bs=1 count=9 of=reply 2>/dev/null; stty icanon echo; \
         printf '\\nName? '; read -r a; echo \"got $a\"",
    );
    assert_eq!(written, "Ann\r\ngot Ann\r\n");
}

#[test]
fn a_reply_of_the_terminal_that_no_program_took_is_removed_before_an_answer() {
    let written = after_the_question("printf '\\nName? '; read -r a; echo \"got $a\"");
    // The terminal shows that it erases the ten columns of the reply.
    assert_eq!(written, format!("{}Ann\r\ngot Ann\r\n", "\u{8} \u{8}".repeat(10)));
}
