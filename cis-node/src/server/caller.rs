//! Who asks: by the peer of the Unix socket, or by the token that was shown over TCP.

use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use super::errors::Failure;
use super::node_api::NodeApi;
use super::peer::Peer;
use cis_core::api::{Problem, ProblemKind};
use cis_core::policy::Principal;

/// Header by which a process in a session shows its token. Over TCP it means nothing.
pub(super) const TOKEN_HEADER: &str = "x-cis-token";

/// The principal of a request: the first thing that every handler takes.
pub(super) struct Caller(pub Principal);

impl<N: NodeApi> FromRequestParts<Arc<N>> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, node: &Arc<N>) -> Result<Self, Failure> {
        // Put there by the gate of the TCP listener; nothing that a client sends becomes an extension.
        if let Some(principal) = parts.extensions.get::<Principal>() {
            return Ok(Self(principal.clone()));
        }
        let ConnectInfo(peer) = ConnectInfo::<Peer>::from_request_parts(parts, node)
            .await
            .map_err(|_| Failure(Problem::new(ProblemKind::Internal, "the connection has no peer")))?;
        let token = parts.headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok());
        if let Some(token) = token {
            node.session_started(token).await;
        }
        Ok(Self(node.principal(peer, token)))
    }
}
