//! Requests as they are on the wire, for what the client does not send and does not show.

use axum::body::{Body, to_bytes};
use cis_client::ClientError;
use cis_core::api::ProblemKind;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use crate::harness::{Node, problem_of};

/// The whole answer to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Its body as JSON; null: it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header; empty: it has none of this name.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and kind of a problem document.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        let kind = problem["kind"].as_str().unwrap();
        assert_eq!(problem["type"], format!("about:cis:{kind}"), "{problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
        (self.status, kind.to_owned())
    }
}

/// The kind of the problem that a call of the client came to.
#[track_caller]
pub(crate) fn kind<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> ProblemKind {
    problem_of(outcome).kind
}

/// Sends a request over the node's Unix socket. `line`: method and path.
pub(crate) async fn send(node: &Node, line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
    let stream = UnixStream::connect(node.home.node_place().socket()).await.unwrap();
    send_on(stream, line, &[&[("host", "localhost")], headers].concat(), body).await
}

/// Sends a request on a connection.
pub(crate) async fn send_on(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    line: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Reply {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(body.into()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).await.unwrap().to_vec();
    connection.abort();
    Reply { status: head.status.as_u16(), headers: head.headers, body }
}

/// The answer to `GET PATH`.
pub(crate) async fn get(node: &Node, path: &str) -> Reply {
    send(node, &format!("GET {path}"), &[], Body::empty()).await
}

/// The same of JSON.
pub(crate) async fn get_json(node: &Node, path: &str) -> Value {
    let reply = get(node, path).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

/// Sends a body of JSON.
pub(crate) async fn post(node: &Node, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let headers = [&[("content-type", "application/json")], headers].concat();
    send(node, &format!("POST {path}"), &headers, body.to_string()).await
}
