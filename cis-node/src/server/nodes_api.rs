//! What the API's nodes of rooms need of the node behind it.

use std::future::Future;

use cis_core::api::{
    AdmitNode, DrainNode, InvitationView, InviteNodes, JoinNodes, JoinedView, ListNodes, Listing, Problem,
    RevokeNode, RoomNodeView,
};
use cis_core::policy::{Permit, act};

type Outcome<T> = Result<T, Problem>;

/// The nodes that share tasks with this one.
pub trait NodesApi: Send + Sync + 'static {
    /// How they are.
    fn nodes(
        &self,
        permit: Permit<act::See>,
        query: ListNodes,
    ) -> impl Future<Output = Outcome<Listing<RoomNodeView>>> + Send;
    /// Makes a join code for a room. The node owns the room from now on, where nobody is known to.
    fn invite_nodes(
        &self,
        permit: Permit<act::ControlIdentity>,
        request: InviteNodes,
    ) -> impl Future<Output = Outcome<InvitationView>> + Send;
    /// Joins a room, and believes its owners from now on.
    fn join_nodes(
        &self,
        permit: Permit<act::ControlIdentity>,
        request: JoinNodes,
    ) -> impl Future<Output = Outcome<JoinedView>> + Send;
    /// Takes no new tasks of others, or does again.
    fn drain_node(
        &self,
        permit: Permit<act::StopNode>,
        request: DrainNode,
    ) -> impl Future<Output = Outcome<Listing<RoomNodeView>>> + Send;
    /// Says, as an owner of a room, what a node may do there.
    fn admit_node(
        &self,
        permit: Permit<act::ControlIdentity>,
        request: AdmitNode,
    ) -> impl Future<Output = Outcome<Listing<RoomNodeView>>> + Send;
    /// Revokes, as an owner of a room, the key of a node there.
    fn revoke_node(
        &self,
        permit: Permit<act::ControlIdentity>,
        request: RevokeNode,
    ) -> impl Future<Output = Outcome<Listing<RoomNodeView>>> + Send;
}
