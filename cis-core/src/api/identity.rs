//! Who a node is and whom it trusts, as the API says it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::identity::Right;
use crate::ids::{NodeDid, TimestampMs};

/// Who this node is, and how others stand with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdentityView {
    /// Who it is: by its key on disk.
    pub did: NodeDid,
    /// Who the running node is, where that is another key: it takes the new one when it starts again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<NodeDid>,
    /// How many changes made the list.
    pub revision: u64,
    /// Nodes that are obeyed.
    pub trusted: Vec<TrustedView>,
    /// Keys that are void.
    pub revoked: Vec<RevokedView>,
    /// Changes of keys, this node's own among them.
    pub rotated: Vec<RotatedView>,
    /// Why the list cannot be read: nobody is trusted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A node that is obeyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrustedView {
    /// Who.
    pub did: NodeDid,
    /// What people call it.
    pub name: Option<String>,
    /// Since when, Unix ms.
    pub since_ms: TimestampMs,
    /// What it may do beside being believed: submit, coordinate, execute.
    #[serde(default)]
    pub may: Vec<Right>,
}

/// A key that is void.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevokedView {
    /// Whose.
    pub did: NodeDid,
    /// Since when, Unix ms.
    pub since_ms: TimestampMs,
}

/// A change to another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotatedView {
    /// Who it was.
    pub old: NodeDid,
    /// Who it is since then.
    pub new: NodeDid,
    /// When, Unix ms.
    pub at_ms: TimestampMs,
}

/// Takes another key in place of `from`. Asked for again, it is done once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotateIdentity {
    /// The key that is to be replaced.
    pub from: NodeDid,
}

/// Trusts a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrustNode {
    /// What people call it.
    #[serde(default)]
    pub name: Option<String>,
    /// What it may do from now on: submit, coordinate, execute; none: as before, and nothing for a new one.
    #[serde(default)]
    pub may: Option<Vec<Right>>,
}
