//! An event with its circumstances: when, by whom, because of what.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ulid::Ulid;
use utoipa::ToSchema;

use super::body::EventBody;
use crate::ids::{InputId, Offset, RunId, TimestampMs};

/// What kind of actor caused an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person.
    Human,
    /// A process in a session, with that session's rights.
    Session,
    /// A node, by itself.
    Node,
    /// A rule in a file or configuration.
    Policy,
}

/// The way by which a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The Unix socket.
    Socket,
    /// A Matrix room.
    Room,
    /// A TCP listener.
    Http,
    /// Nobody asked from outside.
    Internal,
}

/// Who caused an event, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// Human, session, node or policy.
    pub kind: ActorKind,
    /// `uid:1000`, a session id, a DID, a Matrix id, `token:NAME`, or a rule's name.
    pub name: String,
    /// By which way.
    pub via: Via,
}

/// What is to become an event: everything but the place in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDraft {
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// By whom; none: by this node itself.
    pub actor: Option<Actor>,
    /// The input that caused it.
    pub cause: Option<InputId>,
    /// What happened.
    pub body: EventBody,
}

/// A stored event as it is streamed: the body stays the text that was stored, so that fields
/// which this version does not know survive.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Row in this store.
    pub offset: Offset,
    /// Unique everywhere.
    #[schema(value_type = String, example = "01JD0V3Z8K6T9W2B5N7Q4R1XEC")]
    pub id: Ulid,
    /// The run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Schema version.
    pub v: u32,
    /// `cis.dag.…`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// By whom; none: by the node itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// The input that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<InputId>,
    /// What happened, as stored.
    #[schema(value_type = serde_json::Value)]
    pub body: Box<RawValue>,
}

impl Event {
    /// The body, where this version knows its type.
    ///
    /// # Errors
    /// The type is unknown to this version, or the body has another shape.
    pub fn decode(&self) -> Result<EventBody, serde_json::Error> {
        EventBody::from_parts(&self.type_name, self.body.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_types_and_fields_survive_reading_and_writing() {
        let text = r#"{"offset":7,"id":"01JD0V3Z8K6T9W2B5N7Q4R1XEC","v":9,"type":"cis.dag.run.celebrated","at_ms":5,"body":{"cake":true}}"#;
        let event: Event = serde_json::from_str(text).unwrap();
        assert!(event.decode().is_err());
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }

    #[test]
    fn bodies_read_back_as_written() {
        let bodies = [
            EventBody::RunStarted {},
            EventBody::RunFailed { detail: "x".into() },
            EventBody::RunRetried { scope: crate::event::RetryScope::Failed, changes: vec![] },
        ];
        for body in bodies {
            let text = body.body_json().unwrap();
            assert_eq!(EventBody::from_parts(body.type_name(), &text).unwrap(), body);
            let tagged = serde_json::to_value(&body).unwrap();
            assert_eq!(tagged["type"], body.type_name(), "serde's tag and type_name agree");
        }
    }
}
