//! What people at one node want done to a run that another node of the room coordinates, and what came of it.
//!
//! Owns both bodies and their envelopes. The asking node repeats what it wants until it hears what came of it; the same id
//! counts once. Decides nothing and sends nothing.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::envelope::{Draft, Verified};
use super::envelope_type::{EnvelopeType, Way};
use super::packed::{pack, unpack};
use crate::api::{Decide, Problem, RunView};
use crate::event::{Category, RetryScope};
use crate::ids::{InputId, RunId, TaskId, TimestampMs};

/// The type of the envelope that carries a [`Wanted`].
pub const WANTED: EnvelopeType =
    EnvelopeType { name: "cis.dag.run.wanted", v: 1, category: Category::Run, way: Way::Device };

/// The type of the envelope that carries an [`Outcome`].
pub const OUTCOME: EnvelopeType =
    EnvelopeType { name: "cis.dag.run.outcome", v: 1, category: Category::Run, way: Way::Device };

/// A wish that is older, or that much younger than now, is refused: somebody may have kept it back. ms.
pub const AGE_MAX_MS: TimestampMs = 10 * 60 * 1000;

/// Characters of a person's name.
const NAME_MAX: usize = 64;

/// What can be wanted of a run.
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
    Cancel {},
    /// Run tasks of it again.
    Retry {
        /// Which.
        of: RetryScope,
    },
    /// Decide about a task that waits for approval.
    Decide {
        /// The task.
        task: TaskId,
        /// The decision.
        decision: Decide,
    },
}

/// What somebody at the sender wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Names it. Its time is the sender's when it was first wanted.
    pub id: InputId,
    /// Of which run.
    pub run: RunId,
    /// What.
    #[serde(flatten)]
    pub verb: Verb,
    /// Who, as the sender says: `uid:1000`, `token:NAME`.
    pub by: String,
}

impl Wanted {
    /// Whether it was kept back, or a clock is wrong.
    #[must_use]
    pub fn is_stale(&self, now: TimestampMs) -> bool {
        let at = i64::try_from(self.id.0.timestamp_ms()).unwrap_or(i64::MAX);
        now.saturating_sub(at).saturating_abs() > AGE_MAX_MS
    }

    /// Who wants it, as it can be shown.
    #[must_use]
    pub fn name(&self) -> String {
        self.by.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect()
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "came")]
pub enum Came {
    /// It is done, and durable. How the run is then.
    Done {
        /// The run.
        run: Box<RunView>,
    },
    /// It is not.
    Refused {
        /// Why.
        why: Box<Problem>,
    },
}

/// The answer to a [`Wanted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Of the wish.
    pub id: InputId,
    /// What came of it.
    #[serde(flatten)]
    pub came: Came,
}

/// One of both.
#[derive(Debug, Clone, PartialEq)]
pub enum Steering {
    /// For the node that coordinates the run.
    Wanted(Wanted),
    /// For the node that asked.
    Outcome(Outcome),
}

impl Steering {
    /// As an envelope, before it is signed.
    #[must_use]
    pub fn draft(&self, room: &str, sender: &str) -> Draft {
        // Plain structs with text keys: they have JSON.
        let (kind, body) = match self {
            Self::Wanted(wanted) => (WANTED, serde_json::to_value(wanted)),
            Self::Outcome(outcome) => (OUTCOME, serde_json::to_value(outcome)),
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
        if kind != WANTED.name && kind != OUTCOME.name {
            return Ok(None);
        }
        let body = unpack(envelope.body().clone()).map_err(|error| error.to_string())?;
        let read = if kind == WANTED.name {
            serde_json::from_value(body).map(Self::Wanted)
        } else {
            serde_json::from_value(body).map(Self::Outcome)
        };
        read.map(Some).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ProblemKind;
    use crate::federation::envelope::{Carrier, verify};
    use crate::federation::sample::{key, run_id, task};
    use crate::identity::Standing;

    fn wanted(verb: Verb) -> Steering {
        Steering::Wanted(Wanted {
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
        let why = Box::new(Problem::new(ProblemKind::Conflict, "it has ended").hint("retry it"));
        for said in [
            wanted(Verb::Start {}),
            wanted(Verb::Pause {}),
            wanted(Verb::Resume {}),
            wanted(Verb::Cancel {}),
            wanted(Verb::Retry { of: RetryScope::From { task: task(1) } }),
            wanted(Verb::Decide { task: task(1), decision }),
            Steering::Outcome(Outcome { id: InputId::from_parts(60_000, 7), came: Came::Refused { why } }),
        ] {
            let read = Steering::read(&carried(&said.draft("!r:x", "@n:x")));
            assert_eq!(read, Ok(Some(said)));
        }
    }

    #[test]
    fn what_was_signed_as_a_wish_is_no_outcome() {
        let mut draft = wanted(Verb::Cancel {}).draft("!r:x", "@n:x");
        draft.type_name = OUTCOME.name.to_owned();
        assert!(Steering::read(&carried(&draft)).is_err());
        draft.type_name = "cis.dag.node.alive".to_owned();
        assert_eq!(Steering::read(&carried(&draft)), Ok(None));
    }

    #[test]
    fn what_was_kept_back_is_stale() {
        let Steering::Wanted(mut wanted) = wanted(Verb::Cancel {}) else { unreachable!() };
        assert!(!wanted.is_stale(60_000 + AGE_MAX_MS) && wanted.is_stale(60_001 + AGE_MAX_MS));
        wanted.id = InputId::from_parts(u64::MAX >> 16, 1);
        assert!(wanted.is_stale(60_000));
        wanted.by = format!("ann\u{1b}[2J{}", "x".repeat(100));
        assert_eq!(wanted.name(), format!("ann[2J{}", "x".repeat(58)));
    }
}
