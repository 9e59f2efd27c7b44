//! The caller of the API as the node sees it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::event::Via;
use crate::ids::SessionId;

/// The role of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallerRole {
    /// Nothing.
    None,
    /// What a session may do for itself.
    Session,
    /// Look.
    Viewer,
    /// Look, run, answer, cancel.
    Operator,
    /// Everything.
    Admin,
}

/// The caller of a request, and the operations that the caller may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallerView {
    /// The name that events have for the caller: `uid:1000`, `token:ann`, or the id of a session.
    pub name: String,
    /// The channel of the request.
    pub via: Via,
    /// The role.
    pub role: CallerRole,
    /// The session whose token was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Operations that the caller may use, by their `operationId` in the description. A single one can still be refused: the DAG file of a
    /// run can name the people who approve a task.
    pub operations: Vec<String>,
}

impl CallerView {
    /// Whether the caller may use this operation.
    #[must_use]
    pub fn may(&self, operation: &str) -> bool {
        self.operations.iter().any(|known| known == operation)
    }
}
