//! Handlers of the node's identity and its list of trust.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::body::Body;
use super::caller::Caller;
use super::describe::{Operations, operations};
use super::extract::{Name, Outcome};
use super::node_api::NodeApi;
use cis_core::api::{IdentityView, RotateIdentity, TrustNode, paths};
use cis_core::ids::NodeDid;
use cis_core::policy::{Action, act};

pub(super) fn operations<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Shows who the node is, and whom it trusts.
        get_identity: GET paths::IDENTITY, Identity, Action::See, [] => identity::<N>;
        /// Takes another key.
        rotate_identity: POST paths::IDENTITY_ROTATE, Identity, Action::ControlIdentity, [Conflict] => rotate::<N>;
        /// Trusts a node.
        trust_node: PUT paths::IDENTITY_TRUSTED, Identity, Action::ControlIdentity, [Conflict] => trust::<N>;
        /// Trusts a node no more.
        untrust_node: DELETE paths::IDENTITY_TRUSTED, Identity, Action::ControlIdentity, [NotFound, Conflict] => untrust::<N>;
        /// Makes a key void for good.
        revoke_key: PUT paths::IDENTITY_REVOKED, Identity, Action::ControlIdentity, [Conflict] => revoke::<N>;
    }
}

async fn identity<N: NodeApi>(State(node): State<Arc<N>>, Caller(who): Caller) -> Outcome<IdentityView> {
    let permit = node.admit(&who, act::See)?;
    Ok(Json(node.identity(permit).await?))
}

async fn rotate<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<RotateIdentity>,
) -> Outcome<IdentityView> {
    let permit = node.admit(&who, act::ControlIdentity)?;
    Ok(Json(node.rotate_identity(permit, body.read().await?).await?))
}

async fn trust<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(did): Name<String>,
    body: Body<TrustNode>,
) -> Outcome<IdentityView> {
    let permit = node.admit(&who, act::ControlIdentity)?;
    Ok(Json(node.trust(permit, NodeDid(did), body.read().await?).await?))
}

async fn untrust<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(did): Name<String>,
) -> Outcome<IdentityView> {
    let permit = node.admit(&who, act::ControlIdentity)?;
    Ok(Json(node.untrust(permit, NodeDid(did)).await?))
}

async fn revoke<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(did): Name<String>,
) -> Outcome<IdentityView> {
    let permit = node.admit(&who, act::ControlIdentity)?;
    Ok(Json(node.revoke(permit, NodeDid(did)).await?))
}
