//! An event's type by its name, and the two apart, as they are stored.

use super::super::facts::Category;
use super::EventBody;

impl EventBody {
    /// The type's name in full, `cis.dag.…`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::RunCreated(_) => "cis.dag.run.created",
            Self::RunStarted {} => "cis.dag.run.started",
            Self::RunPaused {} => "cis.dag.run.paused",
            Self::RunResumed {} => "cis.dag.run.resumed",
            Self::RunCancelling { .. } => "cis.dag.run.cancelling",
            Self::RunCompleted {} => "cis.dag.run.completed",
            Self::RunFailed { .. } => "cis.dag.run.failed",
            Self::RunErrored { .. } => "cis.dag.run.error",
            Self::RunCancelled {} => "cis.dag.run.cancelled",
            Self::RunRetried { .. } => "cis.dag.run.retried",
            Self::RunModeChanged { .. } => "cis.dag.run.mode",
            Self::RunTakenOver { .. } => "cis.dag.run.taken_over",
            Self::RunVoided { .. } => "cis.dag.run.voided",
            Self::TaskStatus { .. } => "cis.dag.task.status",
            Self::TaskAssigned(_) => "cis.dag.task.assigned",
            Self::TaskResult(_) => "cis.dag.task.result",
            Self::TasksAdded { .. } => "cis.dag.task.added",
            Self::TaskExpanded { .. } => "cis.dag.task.expanded",
            Self::TaskApproved { .. } => "cis.dag.task.approved",
            Self::SessionCreated { .. } => "cis.dag.session.created",
            Self::SessionStarted { .. } => "cis.dag.session.started",
            Self::SessionBlocked { .. } => "cis.dag.session.blocked",
            Self::SessionEscalated { .. } => "cis.dag.session.escalated",
            Self::SessionAsked { .. } => "cis.dag.session.asked",
            Self::AskWithdrawn { .. } => "cis.dag.session.ask_withdrawn",
            Self::SessionSaid { .. } => "cis.dag.session.said",
            Self::SessionAnswered { .. } => "cis.dag.session.answered",
            Self::AnswerVoid { .. } => "cis.dag.session.answer_void",
            Self::TaskHandedIn { .. } => "cis.dag.task.handed_in",
            Self::SessionRecovered { .. } => "cis.dag.session.recovered",
            Self::SessionExpiring { .. } => "cis.dag.session.expiring",
            Self::SessionInput { .. } => "cis.dag.session.input",
            Self::SessionEnded { .. } => "cis.dag.session.ended",
            Self::NodeStarted { .. } => "cis.dag.node.started",
            Self::NodeStopped { .. } => "cis.dag.node.stopped",
            Self::NodeLost { .. } => "cis.dag.node.lost",
            Self::NodeGroup { .. } => "cis.dag.node.group",
            Self::NodeCleaned { .. } => "cis.dag.node.cleaned",
            Self::NodeToken { .. } => "cis.dag.node.token",
            Self::NodePolicy { .. } => "cis.dag.node.policy",
            Self::NodeRights { .. } => "cis.dag.node.rights",
            Self::AccessDenied { .. } => "cis.dag.node.denied",
        }
    }

    /// What it is about, by its name.
    #[must_use]
    pub fn category(&self) -> Category {
        match self.type_name().split('.').nth(2) {
            Some("run") => Category::Run,
            Some("task") => Category::Task,
            Some("session") => Category::Session,
            _ => Category::Node,
        }
    }

    /// The body's JSON alone, as it is stored beside the type's name.
    ///
    /// # Errors
    /// Never for the types here; a map with non-string keys would.
    pub fn body_json(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::RunCreated(body) => serde_json::to_string(body),
            Self::TaskAssigned(body) => serde_json::to_string(body),
            Self::TaskResult(body) => serde_json::to_string(body),
            other => {
                // `{"type":NAME,"body":BODY}`: cut out as text, as a batch of 10,000 changes makes a big tree.
                let text = serde_json::to_string(other)?;
                let head = r#"{"type":"","body":"#.len() + other.type_name().len();
                Ok(text.get(head..text.len().saturating_sub(1)).unwrap_or("{}").to_owned())
            }
        }
    }

    /// Reads a stored type and body back.
    ///
    /// # Errors
    /// The body is not JSON, or not of that type's shape; or this version does not know the type.
    pub fn from_parts(type_name: &str, body: &str) -> Result<Self, serde_json::Error> {
        match type_name {
            "cis.dag.run.created" => Ok(Self::RunCreated(serde_json::from_str(body)?)),
            "cis.dag.task.assigned" => Ok(Self::TaskAssigned(serde_json::from_str(body)?)),
            "cis.dag.task.result" => Ok(Self::TaskResult(serde_json::from_str(body)?)),
            _ => {
                let type_name = serde_json::to_string(type_name)?;
                serde_json::from_str(&format!(r#"{{"type":{type_name},"body":{body}}}"#))
            }
        }
    }
}
