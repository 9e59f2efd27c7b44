//! What the API's identity needs of the node behind it.

use std::future::Future;

use cis_core::api::{IdentityView, Problem, RotateIdentity, TrustNode};
use cis_core::ids::NodeDid;

type Outcome<T> = Result<T, Problem>;

/// Who a node is, and whom it trusts.
pub trait IdentityApi: Send + Sync + 'static {
    /// Both.
    fn identity(&self) -> impl Future<Output = Outcome<IdentityView>> + Send;
    /// Takes another key.
    fn rotate_identity(&self, request: RotateIdentity) -> impl Future<Output = Outcome<IdentityView>> + Send;
    /// Trusts a node.
    fn trust(&self, did: NodeDid, request: TrustNode) -> impl Future<Output = Outcome<IdentityView>> + Send;
    /// Trusts it no more.
    fn untrust(&self, did: NodeDid) -> impl Future<Output = Outcome<IdentityView>> + Send;
    /// Makes a key void for good.
    fn revoke(&self, did: NodeDid) -> impl Future<Output = Outcome<IdentityView>> + Send;
}
