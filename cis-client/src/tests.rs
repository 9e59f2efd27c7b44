//! The client against a socket that behaves as a node does: answers, closes, comes back.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{AttachFrame, Client, ClientError, Followed};
use cis_core::api::log_pieces::LogPiece;
use cis_core::api::{
    Attach, AttachControl, AttachNotice, BEHIND, CancelRun, Decide, KillSession, ProblemKind, ReadLog,
    RetryRun, TermSize,
};
use cis_core::event::RetryScope;

struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = crate::testing::private_directory();
        let path = dir.path().join("s");
        Self { _dir: dir, path }
    }

    fn listen(&self) -> UnixListener {
        let _ = std::fs::remove_file(&self.path);
        UnixListener::bind(&self.path).unwrap()
    }
}

/// Reads one request's head and answers it; gives back the head.
async fn answer(stream: &mut UnixStream, status: &str, body: &str) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    String::from_utf8(head).unwrap()
}

async fn accept_ws(listener: &UnixListener) -> (WebSocketStream<UnixStream>, String) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut uri = String::new();
    #[allow(clippy::result_large_err, reason = "the library's signature")]
    let note = |request: &Request, response: Response| {
        uri = request.uri().to_string();
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, note).await.unwrap();
    (socket, uri)
}

fn events(offsets: std::ops::RangeInclusive<u64>) -> Message {
    let items: Vec<String> = offsets
        .map(|n| {
            format!(r#"{{"offset":{n},"id":"01JD0V3Z8K6T9W2B5N7Q4R1XEC","v":1,"type":"cis.dag.run.started","at_ms":{n},"body":{{}}}}"#)
        })
        .collect();
    Message::Text(format!("[{}]", items.join(",")).into())
}

#[tokio::test]
async fn without_a_node_it_says_so() {
    let place = Place::new();
    let client = Client::new(&place.path, None);
    assert!(matches!(client.node().await, Err(ClientError::NotRunning { .. })));
    drop(place.listen());
    assert!(
        matches!(client.node().await, Err(ClientError::NotRunning { .. })),
        "a socket that nobody serves"
    );
}

#[tokio::test]
async fn calls_share_a_connection_until_the_node_closes_it() {
    let place = Place::new();
    let listener = place.listen();
    let server = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let head = answer(&mut first, "200 OK", "one").await;
        answer(&mut first, "200 OK", "two").await;
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        answer(&mut second, "200 OK", "three").await;
        head
    });
    let client = Client::new(&place.path, Some("t0ken"));
    for expected in ["one", "two", "three"] {
        assert_eq!(client.screen("a b").await.unwrap(), expected);
        tokio::task::yield_now().await;
    }
    let head = server.await.unwrap();
    assert!(head.starts_with("GET /v1/sessions/a%20b/screen HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-cis-token: t0ken\r\n"), "{head}");
}

#[tokio::test]
async fn a_call_does_not_wait_for_another_one() {
    let place = Place::new();
    let listener = place.listen();
    let client = Client::new(&place.path, None);
    let server = async {
        let (mut first, _) = listener.accept().await.unwrap();
        // The first call is answered after the second one.
        let (mut second, _) = listener.accept().await.unwrap();
        answer(&mut second, "200 OK", "soon").await;
        answer(&mut first, "200 OK", "late").await;
        // The connection of the call that ended last is kept.
        answer(&mut first, "200 OK", "next").await;
    };
    let calls = async {
        let (one, other) = tokio::join!(client.screen("a"), client.screen("b"));
        let mut both = [one.unwrap(), other.unwrap()];
        both.sort();
        assert_eq!(both, ["late", "soon"]);
        assert_eq!(client.screen("c").await.unwrap(), "next");
    };
    tokio::join!(server, calls);
}

#[tokio::test]
async fn a_stream_that_was_dropped_for_not_reading_goes_on_and_nobody_sees_it() {
    let place = Place::new();
    let listener = place.listen();
    let server = tokio::spawn(async move {
        let (mut socket, _) = accept_ws(&listener).await;
        socket.send(events(1..=3)).await.unwrap();
        let said = CloseFrame { code: BEHIND.into(), reason: r#"{"after":3}"#.into() };
        socket.send(Message::Close(Some(said))).await.unwrap();
        let (mut again, uri) = accept_ws(&listener).await;
        again.send(events(4..=5)).await.unwrap();
        let _ = again.next().await;
        uri
    });
    let client = Client::new(&place.path, None);
    let mut follower = client.events(None, Some(0)).await.unwrap();
    let mut offsets = Vec::new();
    while offsets.len() < 5 {
        match follower.next().await.unwrap() {
            Followed::Frame(frame) => {
                offsets.extend(frame.events().unwrap().iter().map(|event| event.offset))
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(offsets, [1, 2, 3, 4, 5]);
    drop(follower);
    assert_eq!(server.await.unwrap(), "/v1/events?after=3");
}

#[tokio::test]
async fn problems_and_answers_that_are_none_are_told_apart() {
    let place = Place::new();
    let listener = place.listen();
    let problem = cis_core::api::Problem::new(ProblemKind::NotFound, "no run `x`").hint("cis dag list");
    let text = serde_json::to_string(&problem).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream, "404 Not Found", &text).await;
        answer(&mut stream, "403 Forbidden", "<html>").await;
        answer(&mut stream, "200 OK", "{}").await;
        std::future::pending::<()>().await;
    });
    let client = Client::new(&place.path, None);
    match client.run("x").await {
        Err(ClientError::Problem(got)) => assert_eq!(*got, problem),
        other => panic!("{other:?}"),
    }
    match client.run("x").await {
        Err(ClientError::Problem(got)) => assert_eq!(got.kind, ProblemKind::Denied),
        other => panic!("{other:?}"),
    }
    assert!(matches!(client.run("x").await, Err(ClientError::Protocol { .. })));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_asked_for_once_and_says_so() {
    let place = Place::new();
    let listener = place.listen();
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            read_request(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 65 << 20);
            stream.write_all(head.as_bytes()).await.unwrap();
            let part = vec![b' '; 1 << 20];
            // The client goes before the end.
            while stream.write_all(&part).await.is_ok() {}
        }
    });
    let client = Client::new(&place.path, None).with_revive(std::sync::Arc::new(|| true));
    let error = client.run("x").await.unwrap_err();
    assert!(error.to_string().contains("larger than 64 MiB"), "{error}");
    assert!(!error.is_away());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn artifacts_are_read_page_by_page() {
    let place = Place::new();
    let listener = place.listen();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let first = r#"{"items":[{"path":"a","blob":"00","size":1}],"next":"a"}"#;
        let asked = answer_whole(&mut stream, first).await;
        [asked, answer_whole(&mut stream, r#"{"items":[{"path":"b","blob":"00","size":1}]}"#).await]
    };
    let client = Client::new(&place.path, None);
    let (asked, files) = tokio::join!(server, client.all_artifacts("x", "t"));
    assert_eq!(files.unwrap().iter().map(|file| &*file.path).collect::<Vec<_>>(), ["a", "b"]);
    let path = "GET /v1/runs/x/tasks/t/artifacts";
    assert_eq!(asked, [path.to_owned(), format!("{path}?after=a")]);
}

#[tokio::test]
async fn a_log_that_breaks_off_is_no_complete_log() {
    let place = Place::new();
    let listener = place.listen();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
        stream.write_all(head).await.unwrap();
        stream.flush().await.unwrap();
        let mut ignored = [0; 256];
        let _ = stream.read(&mut ignored).await.unwrap();
    });
    let client = Client::new(&place.path, None);
    let mut log = client.session_log("x", &ReadLog::default()).await.unwrap();
    assert_eq!(log.next().await.unwrap().unwrap(), "hello");
    assert!(matches!(log.next().await, Err(ClientError::Io { .. })));
}

/// Answers one request for a log with these pieces, and hangs up. Gives the request's path.
async fn serve_log(listener: &UnixListener, pieces: &[(&str, Option<u64>, bool)]) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut asked = vec![0; 1024];
    let length = stream.read(&mut asked).await.unwrap();
    let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
    let mut answer = b"HTTP/1.1 200 OK\r\ncis-session: S\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for (text, next, last) in pieces {
        let piece = LogPiece { bytes: text.as_bytes().to_vec(), next: *next, last: *last }.encode();
        answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        answer.extend_from_slice(&piece);
        answer.extend_from_slice(b"\r\n");
    }
    stream.write_all(&answer).await.unwrap();
    stream.shutdown().await.unwrap();
    asked.split_whitespace().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_followed_log_goes_on_where_it_was_when_the_node_comes_back() {
    let place = Place::new();
    let listener = place.listen();
    let path = place.path.clone();
    let server = tokio::spawn(async move {
        let asked = serve_log(&listener, &[("one ", Some(4), false), ("tw", None, false)]).await;
        assert_eq!(asked, "/v1/runs/r/tasks/t/log?follow=true&marks=true");
        drop(listener);
        // The node is away; a client that tries now finds nobody.
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
        let listener = UnixListener::bind(&path).unwrap();
        // The session, not the task: its newest attempt may be another one by now.
        let asked = serve_log(&listener, &[("two th", None, false)]).await;
        assert_eq!(asked, "/v1/sessions/S/log?from=4&follow=true&marks=true");
        let asked = serve_log(&listener, &[("two three", Some(13), false), ("", None, true)]).await;
        assert_eq!(asked, "/v1/sessions/S/log?from=4&follow=true&marks=true");
    });
    let client = Client::new(&place.path, None);
    let how = ReadLog { follow: true, ..ReadLog::default() };
    let mut log = client.task_log("r", "t", &how).await.unwrap();
    assert_eq!(log.read_to_end(1000).await.unwrap(), b"one two three");
    server.await.unwrap();
}

#[tokio::test]
async fn a_followed_log_waits_for_a_node_that_has_no_connection_to_the_session_host_yet() {
    let place = Place::new();
    let listener = place.listen();
    let server = tokio::spawn(async move {
        let refuse = async || {
            let (mut stream, _) = listener.accept().await.unwrap();
            let body = r#"{"type":"unavailable","status":503,"title":"x","detail":"not connected"}"#;
            answer(&mut stream, "503 Service Unavailable", body).await;
        };
        refuse().await;
        assert_eq!(
            serve_log(&listener, &[("one ", Some(4), false)]).await,
            "/v1/runs/r/tasks/t/log?from=0&follow=true&marks=true"
        );
        refuse().await;
        let asked = serve_log(&listener, &[("two", None, true)]).await;
        assert_eq!(asked, "/v1/sessions/S/log?from=4&follow=true&marks=true");
    });
    let client = Client::new(&place.path, None);
    let mut log = client.task_log("r", "t", &ReadLog { follow: true, ..ReadLog::default() }).await.unwrap();
    assert_eq!(log.read_to_end(1000).await.unwrap(), b"one two");
    server.await.unwrap();
}

#[tokio::test]
async fn a_name_that_no_path_can_have_is_refused_without_a_node() {
    let place = Place::new();
    let client = Client::new(&place.path, None);
    for (name, why) in [("", "a name is empty"), (&"x".repeat(100_000), "a name is too long")] {
        let attached = client.attach(name, &Attach::default()).await.map(drop);
        for error in [client.run(name).await.unwrap_err(), attached.unwrap_err()] {
            assert!(error.to_string().contains(why), "{error}");
            assert!(matches!(error, ClientError::Problem(problem) if problem.kind == ProblemKind::BadInput));
        }
    }
}

#[tokio::test]
async fn events_go_on_where_they_were_when_the_node_comes_back() {
    let place = Place::new();
    let listener = place.listen();
    let path = place.path.clone();
    let server = tokio::spawn(async move {
        let (mut socket, uri) = accept_ws(&listener).await;
        assert_eq!(uri, "/v1/events?run=r&after=0");
        socket.send(events(1..=2)).await.unwrap();
        drop((socket, listener));
        // The node is away; a client that tries now finds nobody.
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
        let listener = UnixListener::bind(&path).unwrap();
        let (mut socket, uri) = accept_ws(&listener).await;
        assert_eq!(uri, "/v1/events?run=r&after=2");
        // What was given out before must not come twice, whatever the node sends.
        socket.send(events(1..=2)).await.unwrap();
        socket.send(events(2..=4)).await.unwrap();
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
    });
    let client = Client::new(&place.path, None);
    let mut follower = client.events(Some("r"), Some(0)).await.unwrap();
    let mut story = Vec::new();
    loop {
        match follower.next().await.unwrap() {
            Followed::Frame(frame) => {
                let seen: Vec<u64> = frame.views().unwrap().iter().map(|event| event.offset).collect();
                let same: Vec<u64> = frame.events().unwrap().iter().map(|event| event.offset).collect();
                assert_eq!(seen, same);
                assert_eq!(frame.raw_after(0).unwrap().len(), seen.len());
                assert_eq!(
                    frame.raw_after(3).unwrap().len(),
                    seen.iter().filter(|offset| **offset > 3).count()
                );
                story.push(format!("{seen:?}"));
            }
            Followed::Lost { stopped } => {
                story.push(format!("lost, stopped: {stopped}"));
                if stopped {
                    break;
                }
            }
            Followed::Back => story.push("back".to_owned()),
        }
    }
    assert_eq!(story, ["[1, 2]", "lost, stopped: false", "back", "[3, 4]", "lost, stopped: true"]);
    server.await.unwrap();
}

#[tokio::test]
async fn a_stream_gives_up_when_the_node_stays_away() {
    let place = Place::new();
    let listener = place.listen();
    let client = Client::new(&place.path, None);
    let server = tokio::spawn(async move {
        drop(accept_ws(&listener).await);
        drop(listener);
    });
    let mut follower = client.events(None, None).await.unwrap().patience(Duration::from_millis(50));
    server.await.unwrap();
    assert!(matches!(follower.next().await, Ok(Followed::Lost { stopped: false })));
    assert!(matches!(follower.next().await, Err(ClientError::NotRunning { .. })));
}

#[tokio::test]
async fn a_refused_stream_is_a_problem() {
    let place = Place::new();
    let listener = place.listen();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream, "404 Not Found", "").await;
    });
    let client = Client::new(&place.path, None);
    match client.attach("nobody", &Attach::default()).await {
        Err(ClientError::Problem(problem)) => assert_eq!(problem.kind, ProblemKind::NotFound),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_node_that_takes_the_connection_and_does_not_answer_is_not_waited_for_without_end() {
    let place = Place::new();
    // Its queue takes connections; nobody reads them.
    let _listener = place.listen();
    let client = Client::new(&place.path, None);
    match client.upgrade_within(Duration::from_millis(10), "/v1/events").await {
        Err(error @ ClientError::Timeout { .. }) => {
            assert!(error.to_string().contains("cis node status"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_terminal_types_while_the_session_writes_more_than_fits() {
    let place = Place::new();
    let listener = place.listen();
    let flood = 8 << 20;
    let server = tokio::spawn(async move {
        let (mut socket, uri) = accept_ws(&listener).await;
        assert_eq!(uri, "/v1/sessions/s/attach?cols=80&rows=24");
        let notice = AttachNotice::Resized(TermSize { cols: 7, rows: 8 });
        socket.send(Message::Text(serde_json::to_string(&notice).unwrap().into())).await.unwrap();
        // A node that does nothing but write, until all is written.
        for _ in 0..flood >> 16 {
            socket.send(Message::Binary(vec![b'x'; 1 << 16].into())).await.unwrap();
        }
        let mut typed = Vec::new();
        while typed.len() < 1 << 20 {
            match socket.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => typed.extend_from_slice(&bytes),
                other => assert_eq!(other.to_text().unwrap(), r#"{"type":"repaint"}"#),
            }
        }
        socket.close(None).await.unwrap();
    });
    let client = Client::new(&place.path, None);
    let size = Attach { cols: Some(80), rows: Some(24), ..Attach::default() };
    let mut stream = client.attach("s", &size).await.unwrap();
    stream.control(AttachControl::Repaint).unwrap();
    stream.type_bytes(&vec![b'k'; 1 << 20]);
    assert_eq!(stream.queued_bytes(), 1 << 20);
    let mut got = 0;
    loop {
        match stream.next().await.unwrap() {
            AttachFrame::Bytes(bytes) => got += bytes.len(),
            AttachFrame::Notice(notice) => {
                assert_eq!(notice, AttachNotice::Resized(TermSize { cols: 7, rows: 8 }));
            }
            AttachFrame::Closed => break,
        }
    }
    assert_eq!((got, stream.queued_bytes()), (flood, 0));
    server.await.unwrap();
}

#[tokio::test]
async fn a_call_that_a_node_did_not_process_goes_to_the_next_one() {
    let place = Place::new();
    let listener = place.listen();
    let stopping = cis_core::api::Problem {
        unprocessed: true,
        ..cis_core::api::Problem::new(ProblemKind::Unavailable, "the node is stopping")
    };
    let stopping = serde_json::to_string(&stopping).unwrap();
    let path = place.path.clone();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // More often than a node that is away is tried.
        for _ in 0..5 {
            answer(&mut stream, "503 Service Unavailable", &stopping).await;
        }
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        answer(&mut stream, "503 Service Unavailable\r\nconnection: close", &stopping).await;
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream, "200 OK", "").await
    });
    let client = Client::new(&place.path, None).with_revive(std::sync::Arc::new(|| true));
    client.kill_session("s", &KillSession::default()).await.unwrap();
    assert!(server.await.unwrap().starts_with("POST /v1/sessions/s/kill"));
}

const RUN: &str = "01JD0V3Z8K6T9W2B5N7Q4R1XEC";

/// A run as a node shows it, whose newest event has this offset.
fn run_view(offset: u64) -> String {
    format!(
        r#"{{"id":"{RUN}","dag":"d","state":"running","mode":"local","node":"did:key:z","source":"d.toml","created_ms":1,
        "started_ms":1,"ended_ms":null,"counts":{{}},"last_offset":{offset}}}"#
    )
}

/// A run as a node shows it with its tasks.
fn detail(offset: u64) -> String {
    format!(r#"{{"run":{},"params":{{}},"tasks":[]}}"#, run_view(offset))
}

/// A run's history with these entries: offset, action, and who did it. Decisions are about the task `t`.
fn history(entries: &[(u64, &str, &str)]) -> String {
    let entry = |(offset, action, who): &(u64, &str, &str)| {
        let actor = format!(r#"{{"kind":"human","name":"{who}","via":"socket"}}"#);
        let task = if matches!(*action, "approved" | "rejected") { r#","task":"t""# } else { "" };
        format!(r#"{{"offset":{offset},"at_ms":1,"actor":{actor},"action":"{action}"{task}}}"#)
    };
    format!(r#"{{"items":[{}]}}"#, entries.iter().map(entry).collect::<Vec<_>>().join(","))
}

/// The caller, as the node sees it.
fn caller() -> String {
    r#"{"name":"uid:1","via":"socket","role":"operator","operations":[]}"#.to_owned()
}

/// Who the node is. It has another key on its disk already.
fn identity() -> String {
    r#"{"did":"did:key:next","running":"did:key:z","revision":1,"trusted":[],"revoked":[],"rotated":[]}"#
        .to_owned()
}

/// A session as a node shows it.
fn session_view(ended: &str) -> String {
    format!(
        r#"{{"id":"{RUN}","run":null,"task":null,"attempt":null,"name":null,"state":"exited","pid":null,"tty":true,
        "size":null,"command":"sh","created_ms":1,"ended_ms":{ended},"exit_code":null}}"#
    )
}

/// Does what `call` does against a node that answers `before`, dies when it is asked to act, and comes back to answer
/// `after`. Returns the requests: method and path.
async fn across_a_death<T>(
    before: &[String],
    after: &[String],
    call: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
) -> (Result<T, ClientError>, Vec<String>) {
    let place = Place::new();
    let listener = place.listen();
    let (before, after) = (before.to_vec(), after.to_vec());
    let server = tokio::spawn(async move {
        let mut asked = Vec::new();
        let (mut stream, _) = listener.accept().await.unwrap();
        for body in &before {
            asked.push(answer_whole(&mut stream, body).await);
        }
        // It reads what it is asked, and dies without an answer.
        asked.push(read_request(&mut stream).await);
        drop(stream);
        let mut left = after.iter();
        while left.len() > 0 {
            let (mut stream, _) = listener.accept().await.unwrap();
            for body in left.by_ref() {
                asked.push(answer_whole(&mut stream, body).await);
                if asked.last().unwrap().contains("/history") {
                    break;
                }
            }
        }
        asked
    });
    let client = Client::new(&place.path, None).with_revive(std::sync::Arc::new(|| true));
    let result = call(&client).await;
    (result, server.await.unwrap())
}

/// Reads a request with its body; gives back its method and path.
async fn read_request(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    stream.read_exact(&mut vec![0; length.parse().unwrap()]).await.unwrap();
    head.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Answers a request with a body; gives back its method and path.
async fn answer_whole(stream: &mut UnixStream, body: &str) -> String {
    let asked = read_request(stream).await;
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    asked
}

#[tokio::test]
async fn a_decision_counts_once_although_the_node_died() {
    let yes = Decide { approve: true, reason: None };
    let decide = async |client: &Client| client.decide(RUN, "t", &yes).await;
    let (run, ask) = (format!("GET /v1/runs/{RUN}"), format!("POST /v1/runs/{RUN}/tasks/t/approval"));
    let look = format!("GET /v1/runs/{RUN}/history");
    let (me, node) = ("GET /v1/me".to_owned(), "GET /v1/identity".to_owned());
    // The node that died had recorded it.
    let after = [history(&[(6, "approved", "uid:1")]), caller(), detail(6)];
    let (view, asked) = across_a_death(&[detail(5)], &after, decide).await;
    assert_eq!(view.unwrap().last_offset, 6);
    assert_eq!(asked, [&*run, &ask, &look, &me, &run]);
    // Or the node that coordinates the run.
    let after = [history(&[(6, "approved", "uid:1 at did:key:z")]), caller(), identity(), detail(6)];
    let (view, asked) = across_a_death(&[detail(5)], &after, decide).await;
    assert_eq!(view.unwrap().last_offset, 6);
    assert_eq!(asked, [&*run, &ask, &look, &me, &node, &run]);
    // That was a user of the same name at another node.
    for other in ["uid:1 at did:key:other", "uid:1 at did:key:zz", "uid:1 at did:key:z at did:key:other"] {
        let after = [history(&[(6, "approved", other)]), caller(), identity()];
        let (view, asked) = across_a_death(&[detail(5)], &after, decide).await;
        let said = view.unwrap_err().to_string();
        assert!(said.contains(&format!("because {other} approved task `t` meanwhile")), "{said}");
        assert_eq!(asked, [&*run, &ask, &look, &me, &node]);
    }
    // It had not: what was decided before, or about something else, is not this decision.
    let earlier = history(&[(5, "approved", "uid:1"), (6, "mode", "uid:2")]);
    let (view, asked) = across_a_death(&[detail(5)], &[earlier, run_view(7)], decide).await;
    assert_eq!(view.unwrap().last_offset, 7);
    assert_eq!(asked, [&*run, &ask, &look, &ask]);
    // Nor is what somebody else decided, or this user otherwise: it is not sent again.
    for (action, who) in [("approved", "uid:2"), ("approved", "uid:10"), ("rejected", "uid:1")] {
        let after = [history(&[(6, action, who)]), caller()];
        let (view, asked) = across_a_death(&[detail(5)], &after, decide).await;
        let said = view.unwrap_err().to_string();
        assert!(said.contains(&format!("because {who} {action} task `t` meanwhile")), "{said}");
        assert_eq!(asked, [&*run, &ask, &look, &me]);
    }
}

#[tokio::test]
async fn a_run_is_not_steered_again_after_somebody_else_has_undone_it() {
    let (run, look) = (format!("GET /v1/runs/{RUN}"), format!("GET /v1/runs/{RUN}/history"));
    let me = "GET /v1/me".to_owned();
    let verbs = [
        ("start", "started", "cancelled"),
        ("pause", "paused", "resumed"),
        ("resume", "resumed", "paused"),
        ("cancel", "cancelled", "retried"),
        ("retry", "retried", "cancelled"),
    ];
    for (verb, own, undone) in verbs {
        let steer = async |client: &Client| {
            let client = client.patient(Duration::from_secs(60), |_| {});
            match verb {
                "start" => client.start_run(RUN).await,
                "pause" => client.pause_run(RUN).await,
                "resume" => client.resume_run(RUN).await,
                "cancel" => client.cancel_run(RUN, CancelRun::default()).await,
                _ => client.retry_run(RUN, &RetryRun { scope: RetryScope::All }).await,
            }
        };
        let ask = format!("POST /v1/runs/{RUN}/{verb}");
        // The node that died had recorded it.
        let after = [history(&[(6, own, "uid:1"), (7, undone, "uid:2")]), caller(), detail(7)];
        let (view, asked) = across_a_death(&[detail(5)], &after, steer).await;
        assert_eq!(view.unwrap().last_offset, 7);
        assert_eq!(asked, [&*run, &ask, &look, &me, &run]);
        // It had not, and the run is not as it was when the person asked for that.
        let after = [history(&[(5, own, "uid:1"), (6, own, "uid:2"), (7, undone, "uid:2")]), caller()];
        let (view, asked) = across_a_death(&[detail(5)], &after, steer).await;
        let error = view.unwrap_err();
        assert!(matches!(error, ClientError::NotConfirmed { .. }) && !error.is_away(), "{error}");
        assert!(error.to_string().contains(&format!("because uid:2 {undone} the run meanwhile")), "{error}");
        assert_eq!(asked, [&*run, &ask, &look, &me]);
        // It had not, and nobody did anything else.
        let after = [history(&[(5, own, "uid:1")]), run_view(6)];
        let (view, asked) = across_a_death(&[detail(5)], &after, steer).await;
        assert_eq!(view.unwrap().last_offset, 6);
        assert_eq!(asked, [&*run, &ask, &look, &ask]);
    }
}

#[tokio::test]
async fn a_command_brings_a_run_into_a_state_once_although_the_node_died() {
    let (run, ask) = (format!("GET /v1/runs/{RUN}"), format!("POST /v1/runs/{RUN}/resume"));
    let resume = async |client: &Client| client.resume_run(RUN).await;
    let (view, asked) = across_a_death(&[], &[detail(6)], resume).await;
    assert_eq!(view.unwrap().last_offset, 6);
    assert_eq!(asked, [&*ask, &run]);
    let paused = detail(6).replace("\"state\":\"running\"", "\"state\":\"paused\"");
    let (view, asked) = across_a_death(&[], &[paused, run_view(7)], resume).await;
    assert_eq!(view.unwrap().last_offset, 7);
    assert_eq!(asked, [&*ask, &run, &ask]);
}

#[tokio::test]
async fn a_run_that_is_not_shown_is_steered_and_the_node_says_why_not() {
    let place = Place::new();
    let listener = place.listen();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        for detail in ["may not see runs", "may not control runs"] {
            let problem = cis_core::api::Problem::new(ProblemKind::Denied, detail);
            let body = serde_json::to_string(&problem).unwrap();
            asked.push(answer(&mut stream, "403 Forbidden", &body).await);
        }
        asked
    });
    let client = Client::new(&place.path, None).patient(Duration::from_secs(60), |_| {});
    let refused = client.pause_run(RUN).await.unwrap_err();
    assert!(refused.to_string().contains("may not control runs"), "{refused}");
    let asked = server.await.unwrap();
    assert!(asked[1].starts_with(&format!("POST /v1/runs/{RUN}/pause ")), "{asked:?}");
}

#[tokio::test]
async fn a_kill_is_done_once_although_the_node_died() {
    let kill = async |client: &Client| client.kill_session("s", &KillSession::default()).await;
    let (ask, look) = ("POST /v1/sessions/s/kill", "GET /v1/sessions/s");
    let (killed, asked) = across_a_death(&[], &[session_view("7")], kill).await;
    killed.unwrap();
    assert_eq!(asked, [ask, look]);
    let (killed, asked) = across_a_death(&[], &[session_view("null"), String::new()], kill).await;
    killed.unwrap();
    assert_eq!(asked, [ask, look, ask], "its processes get one signal, however often it is asked");
}

#[tokio::test]
async fn a_patient_client_finds_out_what_became_of_a_call_whose_answer_did_not_come() {
    let place = Place::new();
    let broke = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&broke);
    let count = move |_: &ClientError| {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let client = Client::new(&place.path, None).patient(Duration::from_secs(60), count);
    let unsent = client.kill_session("s", &KillSession::default()).await.unwrap_err();
    assert!(matches!(unsent, ClientError::NotRunning { .. }), "{unsent}");
    assert_eq!(broke.load(Ordering::Relaxed), 0, "it is certain that nothing was done");

    let listener = place.listen();
    let path = place.path.clone();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let kill = read_request(&mut stream).await;
        // The node is away; a client that tries now finds nobody.
        drop((stream, listener));
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
        let listener = UnixListener::bind(&path).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        [kill, answer_whole(&mut stream, &session_view("7")).await]
    });
    client.kill_session("s", &KillSession::default()).await.unwrap();
    assert_eq!(server.await.unwrap(), ["POST /v1/sessions/s/kill", "GET /v1/sessions/s"]);
    assert_eq!(broke.load(Ordering::Relaxed), 1);
}

/// Does what `call` does against a node that reads `lost` requests and answers none of them. Returns why it failed, the requests, and
/// how often a patient client said that an answer did not come.
async fn without_answers<T: std::fmt::Debug>(
    lost: usize,
    call: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
) -> (ClientError, Vec<String>, usize) {
    let place = Place::new();
    let listener = place.listen();
    let broke = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&broke);
    let count = move |_: &ClientError| {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let server = tokio::spawn(async move {
        let mut asked = Vec::new();
        for _ in 0..lost {
            let (mut stream, _) = listener.accept().await.unwrap();
            asked.push(read_request(&mut stream).await);
        }
        asked
    });
    let client = Client::new(&place.path, None).patient(Duration::from_secs(60), count);
    let error = call(&client).await.unwrap_err();
    (error, server.await.unwrap(), broke.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_patient_client_fails_at_once_if_the_command_was_not_sent() {
    let retry = async |client: &Client| client.retry_run(RUN, &RetryRun { scope: RetryScope::All }).await;
    let (error, asked, broke) = without_answers(1, retry).await;
    assert!(matches!(error, ClientError::Io { .. }), "{error}");
    assert_eq!((asked, broke), (vec![format!("GET /v1/runs/{RUN}")], 0));
}

#[tokio::test]
async fn a_patient_client_gives_up_after_three_lost_answers_also_of_lookups() {
    let kill = async |client: &Client| client.kill_session("s", &KillSession::default()).await;
    let (error, asked, broke) = without_answers(3, kill).await;
    assert!(matches!(error, ClientError::Io { .. }), "{error}");
    assert_eq!(asked, ["POST /v1/sessions/s/kill", "GET /v1/sessions/s", "GET /v1/sessions/s"]);
    assert_eq!(broke, 1, "a lookup is no command of its own");
}
