//! The node's own policy: its rules, changes of them, and what they say of a file.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::event::NodeRule;
use crate::ids::{NodeDid, TaskId, TimestampMs};

/// The node's own policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// The room whose tasks the node executes, as it is configured; none: it executes no tasks of other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Agents that it lends to other nodes.
    pub agents: Vec<String>,
    /// Its rules, by their numbers. There are 200 at most.
    pub rules: Vec<PolicyRuleView>,
}

/// A rule of the node's own policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyRuleView {
    /// Its number. A number is never given twice.
    pub number: u32,
    /// What it says.
    #[serde(flatten)]
    pub rule: NodeRule,
    /// Who added it.
    pub added_by: String,
    /// When it was added, Unix ms.
    pub added_ms: TimestampMs,
}

/// A DAG file is to be compared with the node's own policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckPolicy {
    /// The TOML text.
    pub text: String,
    /// Where it came from, for messages.
    #[serde(default = "unnamed")]
    pub source: String,
    /// The room of the run: an id, an alias, or a link to it; none: the one that is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// The node that submits and coordinates the run; none: it is not known, so rules for a node match only if they deny.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<NodeDid>,
}

fn unnamed() -> String {
    "<api>".to_owned()
}

/// What the node would do with the tasks of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyCheckView {
    /// Whether it would execute all tasks that are given to other nodes.
    pub executes_all: bool,
    /// Each task, in the order of the file.
    pub tasks: Vec<PolicyTaskView>,
}

/// What the node would do with a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyTaskView {
    /// The task.
    pub task: TaskId,
    /// Whether nothing of the policy is against it.
    pub executes: bool,
    /// The rule that decides; none: no single rule does.
    pub rule: Option<u32>,
    /// Why, in words.
    pub why: String,
    /// Its command or a variable has a template. It is checked again with the values when it starts.
    #[serde(default)]
    pub depends_on_values: bool,
}
