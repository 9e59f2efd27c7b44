//! Nodes that go away, refuse, or are none.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;

use super::STAYS;
use crate::harness::{Cis, Desk, Remote, eventually, kill_9};

#[test]
fn a_node_that_was_stopped_and_started_is_found_again_with_what_happened_meanwhile() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let run = cis.start(STAYS);
    cis.session_of("a");
    let window = desk.open(&cis, &["gui"]);
    window.wait_for("connected");
    window.key("ctrl+2");
    window.wait_for("stays");
    window.wait_for("0 / 2");
    cis.ok(["node", "stop"]);
    window.wait_for("disconnected");
    window.wait_for("cis node start");
    window.picture("stopped");
    // It ends while no node sees it.
    cis.write("go", "");
    cis.ok(["node", "start", "--detach"]);
    window.wait_without("disconnected");
    cis.wait_run(&run, "succeeded");
    window.wait_for("2 / 2");
    window.picture("back");
}

#[test]
fn a_node_that_was_killed_is_followed_into_its_next_life() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let run = cis.start(STAYS);
    cis.session_of("a");
    let window = desk.open(&cis, &["gui"]);
    window.key("ctrl+2");
    window.wait_for("0 / 2");
    for _ in 0..3 {
        // The host starts it again.
        kill_9(eventually("a node runs", || cis.node_pid()));
    }
    cis.write("go", "");
    cis.wait_run(&run, "succeeded");
    window.wait_for("2 / 2");
    window.wait_for("connected");
    window.wait_without("disconnected");
}

#[test]
fn a_node_of_another_machine_is_shown_and_a_token_that_does_not_count_is_told_apart() {
    let remote = Remote::start(&[]);
    let desk = Desk::new(&remote.away);
    let (file, _) = remote.token("operator", "ann", &[]);
    let run = remote.node.start(super::ASKS);
    let window = desk.open(&remote.away, &remote.words(&file, &["gui"]));
    window.wait_for("Paint it?");
    window.click("no");
    remote.node.wait_run(&run, "succeeded");
    assert_eq!(remote.node.read("said").trim(), "got n");
    remote.node.ok(["node", "token", "revoke", "ann"]);
    window.wait_for("refused");
    window.wait_for("cis node token create");
    window.picture("refused");
    drop(window);
    let wrong = "0".repeat(64);
    let words = ["--url", &remote.url, "--fingerprint", &wrong, "--token-file", &file, "gui"];
    let window = desk.open(&remote.away, &words);
    window.wait_for("not trusted");
    window.picture("wrong-fingerprint");
}

#[test]
fn what_listens_and_is_no_node_of_this_version_is_said() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let socket = cis.runtime().join("other.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let body = "{\"version\":\"99.0\",\"surprise\":true}";
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    let program = cis.binary().with_file_name("cis-gui");
    let mut command = desk.command(&cis, &[]);
    command = {
        let mut other = std::process::Command::new(program);
        other.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        other.arg("--socket").arg(&socket);
        other
    };
    let window = desk.open_with(command);
    window.wait_for("cis --version");
    assert!(!window.text().contains("cis node start"), "nothing is to be started where something listens");
    window.picture("another-version");
}

#[test]
fn without_a_display_it_says_what_is_missing() {
    let cis = Cis::new();
    let out = cis.run(["gui"]).expect(3);
    assert!(out.stderr.contains("DISPLAY"), "{out:?}");
}
