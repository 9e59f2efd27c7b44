//! Handlers of the inbox: what people see and answer, and what sessions say by themselves.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::errors::Failure;
use super::node_api::NodeApi;
use super::routes::{Args, Body, Caller, Name, Outcome, admit, session_for};
use crate::api::{
    Answer, AnswerReceipt, Ask, AskView, HandIn, InboxItem, ListInbox, Listing, ReadAsk, Say, ThreadMessage,
    paths,
};
use crate::ids::{InboxId, SessionId};
use crate::policy::{Action, Principal, Who};

/// By this name a session calls itself: its token tells which it is.
const SELF: &str = "self";

pub(super) fn routes<N: NodeApi>() -> Router<Arc<N>> {
    Router::new()
        .route(paths::INBOX, get(inbox::<N>))
        .route(paths::INBOX_ITEM, get(item::<N>))
        .route(paths::INBOX_ANSWER, post(answer::<N>))
        .route(paths::THREAD, get(thread::<N>))
        .route(paths::SESSION_ASKS, post(ask::<N>))
        .route(paths::SESSION_ASK, get(read_ask::<N>).delete(withdraw_ask::<N>))
        .route(paths::SESSION_SAY, post(say::<N>))
        .route(paths::SESSION_HAND_IN, post(hand_in::<N>))
}

async fn inbox<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<ListInbox>,
) -> Outcome<Listing<InboxItem>> {
    // Items show what screens show.
    admit(&node, &who, Action::ReadSession(None))?;
    Ok(Json(node.inbox(query?.0).await?))
}

async fn item<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Outcome<InboxItem> {
    admit(&node, &who, Action::ReadSession(None))?;
    Ok(Json(node.item(name).await?))
}

async fn thread<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Outcome<Listing<ThreadMessage>> {
    admit(&node, &who, Action::ReadSession(None))?;
    let item = node.item(name).await?;
    Ok(Json(node.thread(item).await?))
}

async fn answer<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<Answer>,
) -> Outcome<AnswerReceipt> {
    // Who may answer nobody learns nothing about items.
    admit(&node, &who, Action::ControlSession(None))?;
    let item = node.item(name).await?;
    let action = match (item.session, item.run) {
        (None, run) => Action::ControlRun(run),
        (session, _) => Action::ControlSession(session),
    };
    admit(&node, &who, action)?;
    Ok(Json(node.answer(who, item, body?.0).await?))
}

async fn ask<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<Ask>,
) -> Result<(StatusCode, Json<AskView>), Failure> {
    let session = speaker(&node, &who, name).await?;
    Ok((StatusCode::CREATED, Json(node.ask(who, session, body?.0).await?)))
}

async fn read_ask<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((name, item)): Name<(String, String)>,
    query: Args<ReadAsk>,
) -> Outcome<AskView> {
    let session = speaker(&node, &who, name).await?;
    Ok(Json(node.read_ask(session, InboxId(item), query?.0).await?))
}

async fn withdraw_ask<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((name, item)): Name<(String, String)>,
) -> Outcome<AskView> {
    let session = speaker(&node, &who, name).await?;
    Ok(Json(node.withdraw_ask(who, session, InboxId(item)).await?))
}

async fn say<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<Say>,
) -> Result<StatusCode, Failure> {
    let session = speaker(&node, &who, name).await?;
    node.say(who, session, body?.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn hand_in<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<HandIn>,
) -> Result<StatusCode, Failure> {
    let session = speaker(&node, &who, name).await?;
    node.hand_in(who, session, body?.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The session as which `who` may speak.
async fn speaker<N: NodeApi>(node: &Arc<N>, who: &Principal, name: String) -> Result<SessionId, Failure> {
    let name = match &who.who {
        Who::Session { session, .. } if name == SELF => session.to_string(),
        _ => name,
    };
    session_for(node, who, name, false, Action::SpeakAs).await
}
