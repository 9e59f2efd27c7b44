//! Handlers of the inbox: what people see and answer, and what sessions say by themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::body::Body;
use super::caller::Caller;
use super::describe::{Created, Done, Operations, operations};
use super::errors::Failure;
use super::extract::{Args, Name, Outcome};
use super::idempotency::KeyedAnswer;
use super::node_api::NodeApi;
use cis_core::api::{
    Answer, AnswerReceipt, Ask, AskView, HandIn, InboxItem, ListInbox, Listing, Page, ReadAsk, Say,
    ThreadMessage, paths,
};
use cis_core::ids::InboxId;
use cis_core::policy::{Action, Permit, Principal, Who, act};

/// By this name a session calls itself: its token tells which it is.
const SELF: &str = "self";

pub(super) fn operations<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Lists what waits for a human, oldest first.
        list_inbox: GET paths::INBOX, Inbox, Action::ReadSession(None), [NotFound, Ambiguous] => inbox::<N>;
        /// Shows an item of the inbox, also one that is over.
        get_inbox_item: GET paths::INBOX_ITEM, Inbox, Action::ReadSession(None), [NotFound, Ambiguous] => item::<N>;
        /// Answers an item.
        ///
        /// The first answer counts. One that comes after another, or names what the screen does not show any more, is a conflict;
        /// the problem then says in `item` what the session waits at now.
        answer: POST paths::INBOX_ANSWER, Inbox, Action::ControlSession(None), [NotFound, Conflict] => answer::<N>;
        /// Lists what was said in the thread of an item, oldest first.
        list_thread: GET paths::THREAD, Inbox, Action::ReadSession(None), [NotFound, Ambiguous] => thread::<N>;
        /// Asks people something, as a session.
        ask: POST paths::SESSION_ASKS, Inbox, Action::SpeakAs(None), [NotFound, Conflict] => ask::<N>;
        /// Says how an ask of the session stands; can wait for the answer.
        get_ask: GET paths::SESSION_ASK, Inbox, Action::SpeakAs(None), [NotFound, Conflict] => read_ask::<N>;
        /// Takes an ask of the session back.
        withdraw_ask: DELETE paths::SESSION_ASK, Inbox, Action::SpeakAs(None), [NotFound, Conflict] => withdraw_ask::<N>;
        /// Tells people something, as a session.
        say: POST paths::SESSION_SAY, Inbox, Action::SpeakAs(None), [NotFound, Conflict] => say::<N>;
        /// Hands in the result of the session's task: the session is ended then.
        hand_in: POST paths::SESSION_HAND_IN, Inbox, Action::SpeakAs(None), [NotFound, Conflict] => hand_in::<N>;
    }
}

async fn inbox<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<ListInbox>,
) -> Outcome<Listing<InboxItem>> {
    // Items show what screens show.
    let permit = node.admit(&who, act::ReadSessions)?;
    Ok(Json(node.inbox(permit, query?.0).await?))
}

async fn item<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Outcome<InboxItem> {
    let permit = node.admit(&who, act::ReadSessions)?;
    Ok(Json(node.item(permit, name).await?))
}

async fn thread<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    query: Args<Page>,
) -> Outcome<Listing<ThreadMessage>> {
    let permit = node.admit(&who, act::ReadSessions)?;
    Ok(Json(node.thread(permit, name, query?.0).await?))
}

async fn answer<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<Answer>,
) -> Result<KeyedAnswer<Json<AnswerReceipt>>, Failure> {
    // Who may answer nobody learns nothing about items.
    let permit = node.admit(&who, act::Answer)?;
    let item = node.item_to_answer(&permit, name).await?;
    let keyed = body.read_keyed(&who).await?;
    Ok(keyed
        .act(node, permit, |node, permit, answer, _| async move { node.answer(permit, item, answer).await })
        .await?
        .map(Json))
}

async fn ask<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<Ask>,
) -> Result<KeyedAnswer<Created<AskView>>, Failure> {
    let permit = speaker(&node, &who, name).await?;
    let keyed = body.read_keyed(&who).await?;
    Ok(keyed
        .act(node, permit, |node, permit, ask, _| async move { node.ask(permit, ask).await })
        .await?
        .map(Created))
}

async fn read_ask<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((name, item)): Name<(String, String)>,
    query: Args<ReadAsk>,
) -> Outcome<AskView> {
    let permit = speaker(&node, &who, name).await?;
    Ok(Json(node.read_ask(permit, InboxId(item), query?.0).await?))
}

async fn withdraw_ask<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name((name, item)): Name<(String, String)>,
) -> Outcome<AskView> {
    let permit = speaker(&node, &who, name).await?;
    Ok(Json(node.withdraw_ask(permit, InboxId(item)).await?))
}

async fn say<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<Say>,
) -> Result<KeyedAnswer<Done>, Failure> {
    let permit = speaker(&node, &who, name).await?;
    let keyed = body.read_keyed(&who).await?;
    Ok(keyed
        .act(node, permit, |node, permit, say, _| async move { node.say(permit, say).await })
        .await?
        .map(|()| Done))
}

async fn hand_in<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
    body: Body<HandIn>,
) -> Result<KeyedAnswer<Done>, Failure> {
    let permit = speaker(&node, &who, name).await?;
    let keyed = body.read_keyed(&who).await?;
    Ok(keyed
        .act(node, permit, |node, permit, result, _| async move { node.hand_in(permit, result).await })
        .await?
        .map(|()| Done))
}

/// The session as which `who` may speak.
async fn speaker<N: NodeApi>(
    node: &Arc<N>,
    who: &Principal,
    name: String,
) -> Result<Permit<act::SpeakAs>, Failure> {
    let name = match &who.who {
        Who::Session { session, .. } if name == SELF => session.to_string(),
        _ => name,
    };
    Ok(node.admit_to_session(who, name, false).await?)
}
