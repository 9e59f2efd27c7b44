//! Answers without a known end: events, logs, terminals.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, Stream, StreamExt as _};

use super::caller::Caller;
use super::describe::{Conditions, EventStream, Log, Terminal};
use super::encoding::AsItComes;
use super::errors::Failure;
use super::extract::{Args, Name};
use super::gate::WEB_SOCKET_PROTOCOL;
use super::node_api::{AttachFrame, AttachInput, AttachPermit, AttachStreams, EventBatch, NodeApi};
use super::range;
use cis_core::api::attach_marks::mark_frame;
use cis_core::api::log_pieces::SESSION_HEADER;
use cis_core::api::{Attach, BEHIND, FollowEvents, ReadLog};
use cis_core::ids::Offset;
use cis_core::policy::{Permit, act};

/// A frame of events ends behind the event that makes it so long, bytes.
const FRAME_BYTES: usize = 256 << 10;

/// A subscriber that does not take a frame within this time is dropped.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// So long what is on its way to one that was dropped waits for it, and the word where to go on.
const LINGER: Duration = Duration::from_secs(30);

/// Longest message that a subscriber of events may send, bytes. Messages have no meaning; a longer one ends
/// the stream.
const NOTHING_BYTES_MAX: usize = 4 << 10;

/// Longest message to a terminal, bytes: twice the most that can wait to be typed. A longer one ends the
/// stream.
const TYPED_BYTES_MAX: usize = 2 << 20;

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

pub(super) async fn events<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<FollowEvents>,
    upgrade: Upgrade,
) -> Result<EventStream, Failure> {
    let permit = node.admit(&who, act::See)?;
    let (query, upgrade) = (query?.0, upgrade?);
    let batches = node.events(permit, query).await?;
    let upgrade = upgrade
        .protocols([WEB_SOCKET_PROTOCOL])
        .max_message_size(NOTHING_BYTES_MAX)
        .max_frame_size(NOTHING_BYTES_MAX);
    Ok(EventStream(upgrade.on_upgrade(move |socket| send_events(socket, batches))))
}

/// Gives events to a subscriber until one of both goes. Nobody waits for it: one that does not read gets no more than
/// what is on its way to it, and then its place, to go on from there.
async fn send_events(socket: WebSocket, batches: impl Stream<Item = Arc<EventBatch>> + Send) {
    let (mut to_client, mut from_client) = socket.split();
    let mut newest = None;
    let behind = {
        let given = give(&mut to_client, batches, &mut newest);
        tokio::select! {
            biased;
            () = gone(&mut from_client) => return,
            given = given => given,
        }
    };
    // The batches are let go of: of a subscriber that is stuck nothing stays but the frame that it did not take.
    let last_word = async {
        match behind {
            // A close tells that nothing was cut off.
            Given::All => drop(to_client.close().await),
            Given::Lost => {}
            Given::Stuck => {
                let after = newest.unwrap_or(0);
                tracing::info!(after, "a subscriber of events does not read: it is dropped");
                // It stands behind what is on its way.
                let reason = format!("{{\"after\":{after}}}").into();
                if to_client.send(Message::Close(Some(CloseFrame { code: BEHIND, reason }))).await.is_ok() {
                    gone(&mut from_client).await;
                }
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, last_word).await;
}

/// How a stream of events ended.
enum Given {
    /// There is no more: the node stops.
    All,
    /// The connection broke.
    Lost,
    /// The subscriber did not take a frame for too long.
    Stuck,
}

/// Gives frames, and keeps the offset of the newest that is on its way.
async fn give(
    to_client: &mut SplitSink<WebSocket, Message>,
    batches: impl Stream<Item = Arc<EventBatch>> + Send,
    newest: &mut Option<Offset>,
) -> Given {
    let mut batches = std::pin::pin!(batches);
    while let Some(batch) = batches.next().await {
        for frame in batch.frames(FRAME_BYTES) {
            *newest = Some(frame.newest);
            match tokio::time::timeout(STUCK_AFTER, to_client.send(Message::Text(frame.text.clone()))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Given::Lost,
                Err(_) => return Given::Stuck,
            }
        }
    }
    Given::All
}

/// Until the client closes or breaks the connection. What else it says means nothing.
async fn gone(from_client: &mut SplitStream<WebSocket>) {
    while let Some(Ok(message)) = from_client.next().await {
        if matches!(message, Message::Close(_)) {
            return;
        }
    }
}

pub(super) async fn task_log<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
    query: Args<ReadLog>,
    Conditions(headers): Conditions,
) -> Result<Log, Failure> {
    let permit = node.admit_to_run(&who, run).await?;
    let query = query?.0;
    let permit = node.task_session(permit, task, query.attempt).await?;
    log(&node, permit, query, &headers).await
}

pub(super) async fn session_log<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    query: Args<ReadLog>,
    Conditions(headers): Conditions,
) -> Result<Log, Failure> {
    let permit = node.admit_to_session(&who, name, true).await?;
    log(&node, permit, query?.0, &headers).await
}

/// A log, and of which session it is: a task may have another one by the next request.
async fn log<N: NodeApi>(
    node: &Arc<N>,
    permit: Permit<act::ReadSession>,
    query: ReadLog,
    headers: &HeaderMap,
) -> Result<Log, Failure> {
    let session = permit.target();
    let is_still = !query.follow && !query.marks;
    let kind = match query.plain && !query.marks {
        true => HeaderValue::from_static("text/plain; charset=utf-8"),
        false => HeaderValue::from_static("application/octet-stream"),
    };
    let mut answer = match is_still && headers.contains_key(header::RANGE) {
        true => part_of_log(node, permit, &query, headers).await?,
        false => byte_stream(node.log(permit, query).await?),
    };
    if answer.status().is_success() {
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        if is_still {
            answer.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        } else {
            answer.extensions_mut().insert(AsItComes);
        }
    }
    Ok(Log(([(SESSION_HEADER, session.to_string())], answer).into_response()))
}

/// A range of a log as it is shown: with secrets replaced it may be longer or shorter than what was written, so that it is read
/// once to be measured.
async fn part_of_log<N: NodeApi>(
    node: &Arc<N>,
    permit: Permit<act::ReadSession>,
    query: &ReadLog,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let mut measured = std::pin::pin!(node.log(permit.clone(), query.clone()).await?);
    let mut size = 0;
    while let Some(piece) = measured.next().await {
        size += piece.len() as u64;
    }
    match range::asked(headers, size, None) {
        Err(refused) => Ok(refused),
        Ok(None) => Ok(byte_stream(node.log(permit, query.clone()).await?)),
        Ok(Some(wanted)) => {
            let bytes = Box::pin(node.log(permit, query.clone()).await?);
            Ok(range::part(&wanted, size, range::cut(bytes, wanted.clone())))
        }
    }
}

pub(super) fn byte_stream(bytes: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(bytes.map(Ok::<_, std::convert::Infallible>));
    ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response()
}

pub(super) async fn attach<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    query: Args<Attach>,
    upgrade: Upgrade,
) -> Result<Terminal, Failure> {
    let query = query?.0;
    let marks = query.marks;
    let permit = match query.read_only {
        true => AttachPermit::Read(node.admit_to_session(&who, name, false).await?),
        false => AttachPermit::Control(node.admit_to_session(&who, name, false).await?),
    };
    let upgrade = upgrade?
        .protocols([WEB_SOCKET_PROTOCOL])
        .max_message_size(TYPED_BYTES_MAX)
        .max_frame_size(TYPED_BYTES_MAX);
    let streams = node.attach(permit, query).await?;
    Ok(Terminal(upgrade.on_upgrade(move |socket| pump(socket, streams, marks))))
}

async fn pump(socket: WebSocket, streams: AttachStreams, marks: bool) {
    let (mut to_client, mut from_client) = socket.split();
    let AttachStreams { mut output, input } = streams;
    let outward = async {
        while let Some(frame) = output.next().await {
            let message = match frame {
                AttachFrame::Output { bytes, next } if marks => {
                    Message::Binary(mark_frame(&bytes, next).into())
                }
                AttachFrame::Output { bytes, .. } => Message::Binary(bytes.into()),
                AttachFrame::Notice(notice) => match serde_json::to_string(&notice) {
                    Ok(text) => Message::Text(text.into()),
                    Err(_) => continue,
                },
            };
            if to_client.send(message).await.is_err() {
                return;
            }
        }
        let _ = to_client.close().await;
    };
    let inward = async {
        while let Some(Ok(message)) = from_client.next().await {
            let typed = match message {
                Message::Binary(bytes) => AttachInput::Typed(bytes),
                Message::Text(text) => match serde_json::from_str(&text) {
                    Ok(control) => AttachInput::Control(control),
                    // A control message of a newer client: nothing that this node can do.
                    Err(_) => continue,
                },
                Message::Close(_) => return,
                Message::Ping(_) | Message::Pong(_) => continue,
            };
            if input.send(typed).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = outward => {}
        () = inward => {}
    }
}
