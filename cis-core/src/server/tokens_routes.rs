//! Handlers of the tokens by which the API is used over TCP.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};

use super::errors::Failure;
use super::node_api::NodeApi;
use super::routes::{Body, Caller, Name, Outcome, admit};
use crate::api::{CreateToken, Listing, NewTokenView, TokenView, paths};
use crate::policy::Action;

pub(super) fn routes<N: NodeApi>() -> Router<Arc<N>> {
    Router::new()
        .route(paths::TOKENS, get(list::<N>).post(create::<N>))
        .route(paths::TOKEN, delete(revoke::<N>))
}

async fn list<N: NodeApi>(State(node): State<Arc<N>>, Caller(who): Caller) -> Outcome<Listing<TokenView>> {
    admit(&node, &who, Action::ControlTokens)?;
    Ok(Json(Listing { items: node.tokens().await?, next: None }))
}

async fn create<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CreateToken>,
) -> Result<(StatusCode, Json<NewTokenView>), Failure> {
    admit(&node, &who, Action::ControlTokens)?;
    Ok((StatusCode::CREATED, Json(node.create_token(who, body?.0).await?)))
}

async fn revoke<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(name): Name<String>,
) -> Outcome<TokenView> {
    admit(&node, &who, Action::ControlTokens)?;
    Ok(Json(node.revoke_token(who, name).await?))
}
