//! Calls about who the node is, and whom it trusts.

use hyper::Method;
use hyper::body::Bytes;
use serde::Serialize;

use super::query::ToQuery as _;
use super::{Client, ClientError};
use cis_core::api::{
    AdmitNode, DrainNode, IdentityView, InvitationView, InviteNodes, JoinNodes, JoinedView, ListNodes,
    Listing, RevokeNode, RoomNodeView, RotateIdentity, TrustNode, paths,
};
use cis_core::identity::Right;
use cis_core::ids::NodeDid;

/// All of them fail alike: [`ClientError::Problem`] is the node's answer, the others say that there was none.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// Who the node is, and whom it trusts.
    pub async fn identity(&self) -> Result<IdentityView, ClientError> {
        self.get(paths::IDENTITY).await
    }

    /// It takes another key in place of `from`. Sent twice, it is done once.
    pub async fn rotate_identity(&self, from: NodeDid) -> Result<IdentityView, ClientError> {
        self.post_once(paths::IDENTITY_ROTATE, &RotateIdentity { from }).await
    }

    /// It trusts a node, and lets it do these things; none: as before.
    pub async fn trust(
        &self,
        did: &str,
        name: Option<String>,
        may: Option<Vec<Right>>,
    ) -> Result<IdentityView, ClientError> {
        self.of_node(Method::PUT, paths::IDENTITY_TRUSTED, did, Some(&TrustNode { name, may })).await
    }

    /// It trusts it no more.
    pub async fn untrust(&self, did: &str) -> Result<IdentityView, ClientError> {
        self.of_node(Method::DELETE, paths::IDENTITY_TRUSTED, did, None::<&()>).await
    }

    /// It holds a key for void, for good.
    pub async fn revoke(&self, did: &str) -> Result<IdentityView, ClientError> {
        self.of_node(Method::PUT, paths::IDENTITY_REVOKED, did, None::<&()>).await
    }

    /// The nodes of rooms that share tasks with this one; of one room, by its id, or of all.
    pub async fn nodes(&self, room: Option<&str>) -> Result<Listing<RoomNodeView>, ClientError> {
        let query = ListNodes { room: room.map(str::to_owned) };
        self.get(&query.on(paths::NODES.to_owned())).await
    }

    /// It makes a join code for a room.
    pub async fn invite_nodes(&self, room: &str) -> Result<InvitationView, ClientError> {
        self.post_long(paths::NODES_INVITE, &InviteNodes { room: room.to_owned() }).await
    }

    /// It joins a room with such a code.
    pub async fn join_nodes(&self, code: &str) -> Result<JoinedView, ClientError> {
        self.post_long(paths::NODES_JOIN, &JoinNodes { code: code.to_owned() }).await
    }

    /// It says, as an owner of a room, what a node may do there.
    pub async fn admit_node(&self, admit: &AdmitNode) -> Result<Listing<RoomNodeView>, ClientError> {
        self.post_long(paths::NODES_ADMIT, admit).await
    }

    /// It revokes, as an owner of a room, the key of a node there.
    pub async fn revoke_node(&self, revoke: &RevokeNode) -> Result<Listing<RoomNodeView>, ClientError> {
        self.post_long(paths::NODES_REVOKE, revoke).await
    }

    /// It takes no new tasks of other nodes, or does again.
    pub async fn drain_node(&self, draining: bool) -> Result<Listing<RoomNodeView>, ClientError> {
        self.put(paths::NODES_DRAIN, &DrainNode { draining }).await
    }

    async fn of_node(
        &self,
        method: Method,
        path: &str,
        did: &str,
        body: Option<&impl Serialize>,
    ) -> Result<IdentityView, ClientError> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(ClientError::protocol)?.into(),
            None => Bytes::new(),
        };
        let answer = self.send(method, &paths::fill(path, &[did]), body).await?;
        serde_json::from_slice(&answer).map_err(ClientError::protocol)
    }
}
