//! Handlers of the node's identity and its list of trust.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post, put};
use axum::{Json, Router};

use super::node_api::NodeApi;
use super::routes::{Body, Caller, Name, Outcome, admit};
use crate::api::{IdentityView, RotateIdentity, TrustNode, paths};
use crate::ids::NodeDid;
use crate::policy::Action;

pub(super) fn routes<N: NodeApi>() -> Router<Arc<N>> {
    Router::new()
        .route(paths::IDENTITY, get(identity::<N>))
        .route(paths::IDENTITY_ROTATE, post(rotate::<N>))
        .route(paths::IDENTITY_TRUSTED, put(trust::<N>).delete(untrust::<N>))
        .route(paths::IDENTITY_REVOKED, put(revoke::<N>))
}

async fn identity<N: NodeApi>(State(node): State<Arc<N>>, Caller(who): Caller) -> Outcome<IdentityView> {
    admit(&node, &who, Action::See)?;
    Ok(Json(node.identity().await?))
}

async fn rotate<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<RotateIdentity>,
) -> Outcome<IdentityView> {
    admit(&node, &who, Action::ControlIdentity)?;
    Ok(Json(node.rotate_identity(body?.0).await?))
}

async fn trust<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(did): Name<String>,
    body: Body<TrustNode>,
) -> Outcome<IdentityView> {
    admit(&node, &who, Action::ControlIdentity)?;
    Ok(Json(node.trust(NodeDid(did), body?.0).await?))
}

async fn untrust<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(did): Name<String>,
) -> Outcome<IdentityView> {
    admit(&node, &who, Action::ControlIdentity)?;
    Ok(Json(node.untrust(NodeDid(did)).await?))
}

async fn revoke<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(did): Name<String>,
) -> Outcome<IdentityView> {
    admit(&node, &who, Action::ControlIdentity)?;
    Ok(Json(node.revoke(NodeDid(did)).await?))
}
