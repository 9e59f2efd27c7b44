//! Handlers of the nodes of rooms.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::body::Body;
use super::caller::Caller;
use super::describe::{Operations, operations};
use super::extract::{Args, Outcome};
use super::node_api::NodeApi;
use cis_core::api::{
    AdmitNode, DrainNode, InvitationView, InviteNodes, JoinNodes, JoinedView, ListNodes, Listing, RevokeNode,
    RoomNodeView, paths,
};
use cis_core::policy::{Action, act};

pub(super) fn operations<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Lists the nodes of rooms that share tasks with this one.
        list_nodes: GET paths::NODES, Nodes, Action::See, [NotFound, Conflict] => list::<N>;
        /// Makes a join code for a room.
        ///
        /// The node becomes the room's owner, unless it knows its owners.
        invite_nodes: POST paths::NODES_INVITE, Nodes, Action::ControlIdentity, [NotFound, Conflict] => invite::<N>;
        /// Joins a room with a join code.
        ///
        /// The node believes its owners from now on. It is pending until one of them lets it do something.
        join_nodes: POST paths::NODES_JOIN, Nodes, Action::ControlIdentity, [NotFound, Conflict] => join::<N>;
        /// Lets this node take no new tasks of other nodes, or take them again.
        ///
        /// What it works on continues. It stays so after a restart.
        drain_node: PUT paths::NODES_DRAIN, Nodes, Action::StopNode, [NotFound, Conflict] => drain::<N>;
        /// Says what a node may do in a room.
        ///
        /// Only an owner of the room can. It is answered once the room has it.
        admit_node: POST paths::NODES_ADMIT, Nodes, Action::ControlIdentity, [NotFound, Conflict] => admit::<N>;
        /// Revokes the key of a node in a room, for good.
        ///
        /// Only an owner of the room can. What stands in the room before stays valid. It is answered once the room has it.
        revoke_node: POST paths::NODES_REVOKE, Nodes, Action::ControlIdentity, [NotFound, Conflict] => revoke::<N>;
    }
}

async fn list<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<ListNodes>,
) -> Outcome<Listing<RoomNodeView>> {
    let permit = node.admit(&who, act::See)?;
    Ok(Json(node.nodes(permit, query?.0).await?))
}

async fn invite<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<InviteNodes>,
) -> Outcome<InvitationView> {
    let permit = node.admit(&who, act::ControlIdentity)?;
    Ok(Json(node.invite_nodes(permit, body.read().await?).await?))
}

async fn join<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<JoinNodes>,
) -> Outcome<JoinedView> {
    let permit = node.admit(&who, act::ControlIdentity)?;
    Ok(Json(node.join_nodes(permit, body.read().await?).await?))
}

async fn drain<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<DrainNode>,
) -> Outcome<Listing<RoomNodeView>> {
    let permit = node.admit(&who, act::StopNode)?;
    Ok(Json(node.drain_node(permit, body.read().await?).await?))
}

async fn admit<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<AdmitNode>,
) -> Outcome<Listing<RoomNodeView>> {
    let permit = node.admit(&who, act::ControlIdentity)?;
    Ok(Json(node.admit_node(permit, body.read().await?).await?))
}

async fn revoke<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<RevokeNode>,
) -> Outcome<Listing<RoomNodeView>> {
    let permit = node.admit(&who, act::ControlIdentity)?;
    Ok(Json(node.revoke_node(permit, body.read().await?).await?))
}
