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
