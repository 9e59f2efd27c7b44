//! What the API's identity needs of the node behind it.

use std::future::Future;

use cis_core::api::{IdentityView, Problem, RotateIdentity, TrustNode};
use cis_core::ids::NodeDid;
use cis_core::policy::{Permit, act};

type Outcome<T> = Result<T, Problem>;

/// Who a node is, and whom it trusts.
pub trait IdentityApi: Send + Sync + 'static {
    /// Both.
    fn identity(&self, permit: Permit<act::See>) -> impl Future<Output = Outcome<IdentityView>> + Send;
    /// Takes another key.
    fn rotate_identity(
        &self,
        permit: Permit<act::ControlIdentity>,
        request: RotateIdentity,
    ) -> impl Future<Output = Outcome<IdentityView>> + Send;
    /// Trusts a node.
    fn trust(
        &self,
        permit: Permit<act::ControlIdentity>,
        did: NodeDid,
        request: TrustNode,
    ) -> impl Future<Output = Outcome<IdentityView>> + Send;
    /// Trusts it no more.
    fn untrust(
        &self,
        permit: Permit<act::ControlIdentity>,
        did: NodeDid,
    ) -> impl Future<Output = Outcome<IdentityView>> + Send;
    /// Makes a key void for good.
    fn revoke(
        &self,
        permit: Permit<act::ControlIdentity>,
        did: NodeDid,
    ) -> impl Future<Output = Outcome<IdentityView>> + Send;
}
