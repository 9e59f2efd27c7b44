//! Control requests: what people at one node want done to a run that another node of the room coordinates, or to a session that
//! another node has; and the responses.
//!
//! Owns both bodies and their envelopes. A request is repeated until its response comes; the same id counts once. Decides
//! nothing and sends nothing.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::envelope::{Draft, Verified};
use super::envelope_type::EnvelopeType;
use super::packed::{pack, unpack};
use crate::api::{Answer, AnswerReceipt, Decide, Problem, RunView};
use crate::event::{Category, RetryScope};
use crate::ids::{InboxId, InputId, RunId, SessionId, TaskId, TimestampMs};

/// The type of the envelope that carries a [`ControlRequest`].
pub const REQUEST: EnvelopeType = EnvelopeType::device("cis.dag.run.control_request", Category::Run);

/// The type of the envelope that carries a [`ControlResponse`].
pub const RESPONSE: EnvelopeType = EnvelopeType::device("cis.dag.run.control_response", Category::Run);

/// A request that is older, or from so far in the future, is refused: somebody may have kept it back. ms.
pub const AGE_MAX_MS: TimestampMs = 2 * 60 * 1000;

/// Characters of a person's name.
const NAME_MAX: usize = 64;
/// Characters of ` at ` and the node that vouches for the name.
const NODE_NAME_MAX: usize = 96;

/// Whether what an id names is too old, by the time in it, or a clock is wrong.
#[must_use]
pub fn is_stale(id: InputId, now: TimestampMs) -> bool {
    let at = i64::try_from(id.0.timestamp_ms()).unwrap_or(i64::MAX);
    now.saturating_sub(at).saturating_abs() > AGE_MAX_MS
}

/// What can be done to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb")]
pub enum Verb {
    /// Start it.
    Start {},
    /// Start no more tasks.
    Pause {},
    /// Start tasks again.
    Resume {},
    /// End it.
    Cancel {
        /// Also cancel tasks with the trigger `always` and handlers.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        now: bool,
    },
    /// Run tasks of it again.
    Retry {
        /// Which tasks.
        of: RetryScope,
    },
    /// Decide about a task that waits for approval.
    Decide {
        /// The task.
        task: TaskId,
        /// The decision.
        decision: Decide,
    },
    /// End a session of it.
    Kill {
        /// The session.
        session: SessionId,
        /// Between SIGTERM and SIGKILL, ms; none: as its task says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace_ms: Option<u64>,
    },
    /// Answer what a session waits for. To the coordinator of its run, and from there to the node of the session, which decides.
    Answer {
        /// The session.
        session: SessionId,
        /// What is answered.
        item: InboxId,
        /// The answer.
        answer: Box<Answer>,
        /// The request of the answer beside which this one is given, where it is one more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beside: Option<InputId>,
        /// It is the default of the task's file: nobody has looked at the screen.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_default: bool,
    },
}

/// What a person at the sender wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRequest {
    /// Names the request. Its time is when the sender first sent it.
    pub id: InputId,
    /// The run.
    pub run: RunId,
    /// What is to be done.
    #[serde(flatten)]
    pub verb: Verb,
    /// The person, as the sender says: `uid:1000`, `token:NAME`.
    pub by: String,
}

impl ControlRequest {
    /// Whether it is too old, or a clock is wrong.
    #[must_use]
    pub fn is_stale(&self, now: TimestampMs) -> bool {
        is_stale(self.id, now)
    }

    /// The person's name, safe to show.
    #[must_use]
    pub fn name(&self) -> String {
        self.shortened(NAME_MAX)
    }

    /// The same of a request that a coordinator forwards: the name ends with the node that vouches for the person.
    #[must_use]
    pub fn forwarded_name(&self) -> String {
        self.shortened(NAME_MAX + NODE_NAME_MAX)
    }

    fn shortened(&self, chars: usize) -> String {
        self.by.chars().filter(|c| !c.is_control()).take(chars).collect()
    }
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum ControlOutcome {
    /// It is done, and durable.
    Done {
        /// The run after it.
        run: Box<RunView>,
    },
    /// The answer was taken, and what it types was typed.
    Answered {
        /// What came of it.
        receipt: Box<AnswerReceipt>,
    },
    /// Nothing is done.
    Refused {
        /// Why.
        why: Box<Problem>,
    },
}

/// The answer to a [`ControlRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlResponse {
    /// Of the request.
    pub id: InputId,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: ControlOutcome,
}

/// A request or a response.
#[derive(Debug, Clone, PartialEq)]
pub enum Control {
    /// To the node that coordinates the run.
    Request(ControlRequest),
    /// To the node that sent the request.
    Response(ControlResponse),
}

impl Control {
    /// As an envelope, before it is signed.
    #[must_use]
    pub fn draft(&self, room: &str, sender: &str) -> Draft {
        // Plain structs with text keys: they have JSON.
        let (kind, body) = match self {
            Self::Request(request) => (REQUEST, serde_json::to_value(request)),
            Self::Response(response) => (RESPONSE, serde_json::to_value(response)),
        };
        let body = pack(body.unwrap_or_default());
        Draft { v: kind.v, ..Draft::of_room(kind.name, body, Ulid::new(), room, sender) }
    }

    /// What an envelope carries; none: something else.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(envelope: &Verified) -> Result<Option<Self>, String> {
        let kind = envelope.type_name();
        if kind != REQUEST.name && kind != RESPONSE.name {
            return Ok(None);
        }
        let body = unpack(envelope.body().clone()).map_err(|error| error.to_string())?;
        let read = if kind == REQUEST.name {
            serde_json::from_value(body).map(Self::Request)
        } else {
            serde_json::from_value(body).map(Self::Response)
        };
        read.map(Some).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{AnswerWith, ProblemKind};
    use crate::federation::envelope::{Carrier, verify};
    use crate::federation::sample::{key, run_id, session, task};
    use crate::identity::Standing;

    fn wanted(verb: Verb) -> Control {
        Control::Request(ControlRequest {
            id: InputId::from_parts(60_000, 7),
            run: run_id(),
            verb,
            by: "uid:1000".into(),
        })
    }

    fn carried(draft: &Draft) -> Verified {
        let envelope = draft.sign(&key(1), 60_000).unwrap();
        let carrier = Carrier { room: "!r:x", type_name: &draft.type_name, sender: Some("@n:x") };
        let content = serde_json::from_str(&envelope.content().to_string()).unwrap();
        verify(&content, carrier, |_| Standing::Trusted).unwrap()
    }

    #[test]
    fn every_wish_and_its_outcome_come_as_they_were_sent() {
        let decision = Decide { approve: false, reason: Some("not today".into()) };
        let item = InboxId::of_prompt(session(1), 1);
        let with = AnswerWith::Keys { data: vec![27], names: "Esc".into() };
        let answer = Answer { with, reason: None, hash: None, again: None, input: InputId::from_parts(1, 2) };
        let why = Box::new(Problem::new(ProblemKind::Conflict, "it has ended").hint("retry it"));
        for said in [
            wanted(Verb::Start {}),
            wanted(Verb::Pause {}),
            wanted(Verb::Resume {}),
            wanted(Verb::Cancel { now: false }),
            wanted(Verb::Kill { session: session(1), grace_ms: Some(5) }),
            wanted(Verb::Retry { of: RetryScope::From { task: task(1), also: vec![] } }),
            wanted(Verb::Decide { task: task(1), decision }),
            wanted(Verb::Answer {
                session: session(1),
                item,
                answer: Box::new(answer),
                beside: None,
                by_default: true,
            }),
            Control::Response(ControlResponse {
                id: InputId::from_parts(60_000, 7),
                outcome: ControlOutcome::Refused { why },
            }),
        ] {
            let read = Control::read(&carried(&said.draft("!r:x", "@n:x")));
            assert_eq!(read, Ok(Some(said)));
        }
    }

    #[test]
    fn what_was_signed_as_a_wish_is_no_outcome() {
        let mut draft = wanted(Verb::Cancel { now: false }).draft("!r:x", "@n:x");
        draft.type_name = RESPONSE.name.to_owned();
        assert!(Control::read(&carried(&draft)).is_err());
        draft.type_name = "cis.dag.node.alive".to_owned();
        assert_eq!(Control::read(&carried(&draft)), Ok(None));
    }

    #[test]
    fn what_was_kept_back_is_stale() {
        let Control::Request(mut wanted) = wanted(Verb::Cancel { now: false }) else { unreachable!() };
        assert!(!wanted.is_stale(60_000 + AGE_MAX_MS) && wanted.is_stale(60_001 + AGE_MAX_MS));
        wanted.id = InputId::from_parts(u64::MAX >> 16, 1);
        assert!(wanted.is_stale(60_000));
        wanted.by = format!("ann\u{1b}[2J{}", "x".repeat(200));
        assert_eq!(wanted.name(), format!("ann[2J{}", "x".repeat(58)));
    }
}
