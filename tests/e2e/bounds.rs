//! Limits of the memory and connections that a peer can use, before and after it is authorized.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::harness::websocket::WebSocket;
use super::harness::{Cis, Remote, eventually, peak_kb};

/// Returns the peak memory of the node so far, bytes.
pub fn peak(cis: &Cis) -> u64 {
    peak_kb(cis.node_pid().unwrap()).unwrap() << 10
}

fn socket(cis: &Cis) -> PathBuf {
    cis.status()["socket"].as_str().unwrap().into()
}

/// Runs a Python program in a session. It can call `request(head, bytes)`, which sends a request with a body of that many
/// blanks and returns the status.
fn in_session(cis: &Cis, program: &str) -> String {
    const HEAD: &str = r#"
import os, socket, sys
def connect():
    s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(os.environ["CIS_SOCKET"]); return s
def status(s):
    try:
        line = s.makefile("rb").readline()
    except ConnectionError:
        return "closed"
    return line.split()[1].decode() if line else "closed"
def head(line, length):
    return (f"{line} HTTP/1.1\r\nhost: cis\r\nx-cis-token: {os.environ['CIS_TOKEN']}\r\n"
        f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n").encode()
def request(line, length):
    s = connect(); s.sendall(head(line, length))
    try:
        for _ in range(length >> 20): s.sendall(b" " * (1 << 20))
    except ConnectionError:
        pass
    return status(s)
"#;
    cis.write("peer.py", format!("{HEAD}{program}"));
    let text = "version = 1\n[dag]\nid = \"peer\"\n[[tasks]]\nid = \"peer\"\ntty = false\nscript = 'python3 \"$E2E_WORK/peer.py\"'\n";
    let out = cis.dag(text, &[]);
    assert_eq!(out.code, Some(0), "{out:?}");
    cis.ok(["dag", "logs", "--plain", "peer"])
}

#[test]
fn a_body_is_not_held_before_authorization() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let before = peak(&cis);
    let said = in_session(
        &cis,
        r#"
from concurrent.futures import ThreadPoolExecutor
lines = ["POST /v1/runs", "POST /v1/sessions", "PUT /v1/identity/trusted/did:key:x", "POST /v1/node/stop"]
with ThreadPoolExecutor(8) as pool:
    print(" ".join(pool.map(lambda n: request(lines[n % len(lines)], 100 << 20), range(8))))
"#,
    );
    let grown = peak(&cis).saturating_sub(before);
    assert!(!said.contains('2'), "something was taken: {said}");
    assert!(said.contains("403"), "{said}");
    assert!(grown < 64 << 20, "the node has grown by {} MiB", grown >> 20);
}

#[test]
fn body_limits_depend_on_the_path() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let path = socket(&cis);
    let status = |line: &str, length: usize| {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: cis\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![b' '; length]).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    // A body that is too long, and one that is short enough to be read but is not JSON.
    for (line, most) in [("POST /v1/node/stop", 1), ("POST /v1/sessions", 8), ("POST /v1/runs", 160)] {
        let bytes = most << 20;
        assert_eq!((status(line, bytes), status(line, bytes + 1)), ("400".into(), "413".into()), "{line}");
    }
    let mut socket = WebSocket::open(&path, "/v1/events").unwrap();
    // A masked frame (RFC 6455, 5.2) of 1 MiB: events are only read.
    let mut frame = vec![0x82, 0xff];
    frame.extend((1u64 << 20).to_be_bytes());
    frame.extend([0; 4]);
    let _ = socket.send_raw(&frame);
    assert!(socket.is_ended(), "a message that means nothing is held");
}

#[test]
fn one_session_leaves_connections_for_others() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let said = in_session(
        &cis,
        r#"
held = [connect() for _ in range(200)]
answered = 0
for s in held:
    try:
        s.sendall(head("GET /v1/node", 0)); answered += status(s) == "200"
    except ConnectionError:
        pass
print("answered", answered)
"#,
    );
    assert_eq!(said.trim(), "answered 64");
    // There is room again.
    eventually("people are answered", || (cis.run(["dag", "list"]).code == Some(0)).then_some(()));
}

/// As `ssh -L` and `socat` do, for many clients.
#[test]
fn all_of_many_connections_of_one_process_are_answered() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let path = socket(&cis);
    let all: Vec<UnixStream> = (0..400).map(|_| UnixStream::connect(&path).unwrap()).collect();
    for mut stream in all {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(b"GET /v1/node HTTP/1.1\r\nhost: cis\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// Keeps as many connections open as it can, from another address of this machine, until its standard input ends.
const STRANGERS: &str = r#"
import select, socket, sys
host, port, held = sys.argv[1], int(sys.argv[2]), []
def again():
    s = socket.socket(); s.bind(("127.0.0.2", 0)); s.connect((host, port)); held.append(s)
for _ in range(400): again()
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for s in select.select(held, [], [], 0.01)[0]:
        held.remove(s); s.close(); again()
"#;

#[test]
fn connections_without_a_token_leave_places_for_those_with_one() {
    let remote = Remote::start(&[]);
    let (ann, _) = remote.token("viewer", "ann", &[]);
    let (host, port) = remote.address();
    let mut strangers = Command::new("python3")
        .args(["-c", STRANGERS, host, port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    strangers.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    for _ in 0..5 {
        remote.run(&ann, &["dag", "list"]).expect(0);
    }
    drop(strangers.stdin.take());
    assert!(strangers.wait().unwrap().success());
}
