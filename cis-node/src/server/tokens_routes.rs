//! Handlers of the tokens by which the API is used over TCP.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::body::Body;
use super::caller::Caller;
use super::describe::{Created, Operations, operations};
use super::errors::Failure;
use super::extract::{Name, Outcome};
use super::node_api::NodeApi;
use cis_core::api::{CreateToken, Listing, NewTokenView, TokenView, paths};
use cis_core::policy::{Action, act};

pub(super) fn operations<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Lists tokens that were not revoked, oldest first; never the tokens themselves.
        ///
        /// There are 1,000 at most: all of them are one page.
        list_tokens: GET paths::TOKENS, Tokens, Action::ControlTokens, [Conflict] => list::<N>;
        /// Makes a token by which the node is used over TCP.
        ///
        /// This answer alone has the token itself: the node keeps a hash of it.
        create_token: POST paths::TOKENS, Tokens, Action::ControlTokens, [Conflict] => create::<N>;
        /// Makes a token void, at once: what is open by it ends.
        revoke_token: DELETE paths::TOKEN, Tokens, Action::ControlTokens, [NotFound, Conflict] => revoke::<N>;
    }
}

async fn list<N: NodeApi>(State(node): State<Arc<N>>, Caller(who): Caller) -> Outcome<Listing<TokenView>> {
    let permit = node.admit(&who, act::ControlTokens)?;
    Ok(Json(Listing { items: node.tokens(permit).await?, next: None }))
}

async fn create<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CreateToken>,
) -> Result<Created<NewTokenView>, Failure> {
    let permit = node.admit(&who, act::ControlTokens)?;
    Ok(Created(node.create_token(permit, body.read().await?).await?))
}

async fn revoke<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Outcome<TokenView> {
    let permit = node.admit(&who, act::ControlTokens)?;
    Ok(Json(node.revoke_token(permit, name).await?))
}
