//! Answers without a known end: events, logs, terminals.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt as _, Stream, StreamExt as _};

use super::errors::Failure;
use super::node_api::{AttachFrame, AttachInput, AttachStreams, EventBatch, NodeApi};
use super::routes::{Caller, Name, admit, session_for};
use crate::api::{Attach, FollowEvents, ReadLog};
use crate::ids::BlobId;
use crate::policy::Action;

/// Events in one frame at most.
const EVENTS_PER_FRAME_MAX: usize = 4096;

type Args<T> = Result<Query<T>, QueryRejection>;
type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

pub(super) async fn events<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<FollowEvents>,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    admit(&node, &who, Action::See)?;
    let (query, upgrade) = (query?.0, upgrade?);
    let run = match query.run.clone() {
        Some(name) => Some(node.find_run(name).await?),
        None => None,
    };
    let batches = node.events(run, query).await?;
    Ok(upgrade.on_upgrade(move |socket| send_events(socket, batches)))
}

async fn send_events(socket: WebSocket, batches: impl Stream<Item = EventBatch> + Send) {
    let (mut to_client, mut from_client) = socket.split();
    let mut batches = std::pin::pin!(batches);
    loop {
        tokio::select! {
            biased;
            said = from_client.next() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            batch = batches.next() => {
                let Some(batch) = batch else {
                    // The node stops: a close tells that nothing was cut off.
                    let _ = to_client.close().await;
                    return;
                };
                for part in batch.chunks(EVENTS_PER_FRAME_MAX) {
                    let Ok(text) = serde_json::to_string(part) else { return };
                    if to_client.send(Message::Text(text.into())).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

pub(super) async fn task_log<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task)): Name<(String, String)>,
    query: Args<ReadLog>,
) -> Result<Response, Failure> {
    admit(&node, &who, Action::ReadSession(None))?;
    let query = query?.0;
    let run = node.find_run(run).await?;
    let session = node.task_session(run, task, query.attempt).await?;
    let bytes = node.log(session, query).await?;
    Ok(byte_stream(bytes))
}

pub(super) async fn session_log<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    query: Args<ReadLog>,
) -> Result<Response, Failure> {
    let session = session_for(&node, &who, name, true, Action::ReadSession).await?;
    let bytes = node.log(session, query?.0).await?;
    Ok(byte_stream(bytes))
}

pub(super) async fn artifact<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((run, task, blob)): Name<(String, String, String)>,
) -> Result<Response, Failure> {
    // It may hold anything, as a log may.
    admit(&node, &who, Action::ReadSession(None))?;
    let run = node.find_run(run).await?;
    let bytes = node.artifact(run, task, BlobId(blob)).await?;
    Ok(byte_stream(bytes))
}

fn byte_stream(bytes: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(bytes.map(Ok::<_, std::convert::Infallible>));
    ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response()
}

pub(super) async fn attach<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    query: Args<Attach>,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    let query = query?.0;
    let action = if query.read_only { Action::ReadSession } else { Action::ControlSession };
    let session = session_for(&node, &who, name, false, action).await?;
    let upgrade = upgrade?;
    let streams = node.attach(who, session, query).await?;
    Ok(upgrade.on_upgrade(move |socket| pump(socket, streams)))
}

async fn pump(socket: WebSocket, streams: AttachStreams) {
    let (mut to_client, mut from_client) = socket.split();
    let AttachStreams { mut output, input } = streams;
    let outward = async {
        while let Some(frame) = output.next().await {
            let message = match frame {
                AttachFrame::Output(bytes) => Message::Binary(bytes),
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
