//! The API as a program sees it that speaks HTTP by itself.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::harness::Cis;

/// Sends these bytes to the node and gives the answer's head and body.
#[track_caller]
pub fn exchange(cis: &Cis, request: &[u8]) -> (String, Vec<u8>) {
    let socket = cis.status()["socket"].as_str().unwrap().to_owned();
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase(), answer[end + 4..].to_vec())
}

/// The answer to `GET PATH`.
#[track_caller]
pub fn get(cis: &Cis, path: &str, more: &str) -> (String, Vec<u8>) {
    exchange(cis, request(&format!("GET {path}"), more).as_bytes())
}

pub fn request(line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: cis\r\nconnection: close\r\n{more}\r\n")
}

#[test]
fn every_refusal_is_a_problem_document() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    for (line, status) in [
        ("GET /v1/nothing", 404),
        ("DELETE /v1/runs", 405),
        ("GET /v1/runs/%ff%fe", 400),
        ("GET /v1/runs/%ff%fe/tasks/a/log", 400),
        ("GET /v1/sessions/%ff", 400),
        ("GET /v1/events", 426),
        ("GET /v1/sessions/01JD0V3Z8K6T9W2B5N7Q4R1XEC/attach", 404),
        ("GET /v1/runs?limit=many", 400),
        ("POST /v1/runs", 415),
        ("PATCH /v1/docs", 405),
        ("GET /v1/threads/%ff", 400),
        ("GET /v1/inbox?limit=-1", 400),
    ] {
        let (head, body) = exchange(&cis, request(line, "").as_bytes());
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{line}: {head}");
        assert!(head.contains("content-type: application/problem+json"), "{line}: {head}");
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["status"], status, "{line}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{line}: {problem}");
    }
    let (head, _) = exchange(&cis, request("DELETE /v1/runs", "").as_bytes());
    assert!(head.contains("allow: get,head,post"), "RFC 9110, 15.5.6: {head}");
    let (head, _) = exchange(&cis, request("GET /v1/events", "").as_bytes());
    assert!(head.contains("upgrade: websocket"), "RFC 9110, 15.5.22: {head}");
    let json = "content-type: application/json\r\n";
    for (more, body, status) in [
        (json, "{", 400),
        (json, "[]", 400),
        (json, "\u{0}", 400),
        ("content-type: text/plain\r\n", "{}", 415),
    ] {
        let more = format!("{more}content-length: {}\r\n", body.len());
        let (head, answer) = exchange(&cis, format!("{}{body}", request("POST /v1/runs", &more)).as_bytes());
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{body:?}: {head}");
        assert!(head.contains("content-type: application/problem+json"), "{body:?}: {head}");
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&answer).unwrap()["status"], status);
    }
}

#[test]
fn a_body_without_an_end_is_too_large() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let body = vec![b' '; (160 << 20) + 1];
    let more = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let (head, answer) = exchange(&cis, &[request("POST /v1/runs", &more).as_bytes(), &body].concat());
    assert!(head.starts_with("http/1.1 413 "), "{head}");
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&answer).unwrap()["status"], 413);
}

#[test]
fn a_refused_request_is_read_to_its_end_so_that_its_sender_gets_the_answer() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let body = vec![b'x'; 4 << 20];
    for (line, status) in [("POST /v1/nothing", 404), ("DELETE /v1/runs", 405), ("POST /v1/runs", 415)] {
        let length = format!("content-length: {}\r\n", body.len());
        let whole = [request(line, &length).as_bytes(), &body].concat();
        let (head, _) = exchange(&cis, &whole);
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{line}: {head}");
    }
}
