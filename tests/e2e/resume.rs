//! A terminal whose connection was lost: it goes on where it was, without a gap and without a new picture.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::harness::websocket::{Frame, WebSocket};
use super::harness::{Cis, eventually, ulid_in};
use super::requests::Api;

/// Reads frames until their bytes end with `end`; gives all bytes, and the place behind them.
fn until(socket: &mut WebSocket, end: &str) -> (Vec<u8>, u64) {
    let (mut bytes, mut place) = (Vec::new(), u64::MAX);
    while !bytes.ends_with(end.as_bytes()) {
        match socket.next().unwrap() {
            Some(Frame::Binary(frame)) => {
                let (next, more) = frame.split_first_chunk::<8>().unwrap();
                place = u64::from_le_bytes(*next);
                bytes.extend_from_slice(more);
            }
            Some(Frame::Text(_)) => {}
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    (bytes, place)
}

fn hello(socket: &mut WebSocket) -> Value {
    match socket.next().unwrap() {
        Some(Frame::Text(text)) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn goes_on(kind: &[&str], end: &str) {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let script = "stty -echo 2>/dev/null; n=0; echo ready; while read x; do n=$((n+1)); echo line $n; done";
    let mut arguments = vec!["session", "create"];
    arguments.extend(kind);
    arguments.extend(["--", "sh", "-c", script]);
    let session = ulid_in(&cis.ok(arguments));
    let socket = PathBuf::from(cis.status()["socket"].as_str().unwrap());
    let mut number = 0;
    let mut type_line = || {
        number += 1;
        let body = json!({ "data": "x\n", "input": format!("01K000000000000000000000{number:02}") });
        let (status, answer) = Api::of(&cis).post(&format!("/v1/sessions/{session}/input"), &body);
        assert_eq!(status, 200, "{answer}");
    };
    let log_has = |text: &str| {
        let path = format!("/v1/sessions/{session}/log");
        eventually(text, || {
            String::from_utf8_lossy(&super::http::get(&cis, &path, "").1).contains(text).then_some(())
        });
    };
    log_has("ready");
    let path = format!("/v1/sessions/{session}/attach?read_only=true&marks=true");
    let mut first = WebSocket::open(&socket, &path).unwrap();
    let said = hello(&mut first);
    assert!(
        said["offset"].as_u64().is_some_and(|offset| offset > 0) && said.get("resumed").is_none(),
        "{said}"
    );
    type_line();
    let (_, place) = until(&mut first, &format!("line 1{end}"));
    drop(first);
    type_line();
    type_line();
    log_has("line 3");

    let mut second = WebSocket::open(&socket, &format!("{path}&from={place}")).unwrap();
    let said = hello(&mut second);
    assert_eq!(said["resumed"], true, "{said}");
    type_line();
    let (bytes, place) = until(&mut second, &format!("line 4{end}"));
    let expected = format!("line 2{end}line 3{end}line 4{end}");
    assert_eq!(String::from_utf8_lossy(&bytes), expected, "without a gap, a picture, or anything twice");
    drop(second);

    // What it never had it cannot go on from: it gets what everybody gets.
    let mut third = WebSocket::open(&socket, &format!("{path}&from={}", place + 1_000_000)).unwrap();
    assert!(hello(&mut third).get("resumed").is_none());
}

#[test]
fn a_terminal_goes_on_from_where_its_connection_was_lost() {
    goes_on(&[], "\r\n");
}

#[test]
fn a_session_on_pipes_goes_on_from_where_its_connection_was_lost() {
    goes_on(&["--no-tty"], "\r\n");
}

#[test]
fn a_terminal_that_goes_on_inside_of_a_secret_gets_none_of_it() {
    let cis = Cis::new().env("MY_TOKEN", "q9secretW77xyABC");
    let run = cis.start(
        "version = 1\n[dag]\nid = \"held\"\n[[tasks]]\nid = \"a\"\nsecrets = { TOKEN = { env = \"MY_TOKEN\" } }\n\
         script = 'printf \"before-$TOKEN-after\"; read x'",
    );
    let session = cis.session_of("a")["id"].as_str().unwrap().to_owned();
    let log = format!("/v1/sessions/{session}/log");
    eventually("the output", || {
        String::from_utf8_lossy(&super::http::get(&cis, &log, "").1).contains("-after").then_some(())
    });
    let socket = PathBuf::from(cis.status()["socket"].as_str().unwrap());
    for from in 0.."before-q9secretW77xyABC-".len() {
        let path = format!("/v1/sessions/{session}/attach?read_only=true&marks=true&from={from}");
        let mut viewer = WebSocket::open(&socket, &path).unwrap();
        assert_eq!(hello(&mut viewer)["resumed"], true);
        let bytes = until(&mut viewer, "after").0;
        let shown = String::from_utf8_lossy(&bytes);
        assert!(!shown.contains("ABC") && !shown.contains("cret"), "{from}: {shown}");
    }
    cis.ok(["dag", "cancel", &run]);
}
