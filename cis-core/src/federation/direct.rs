//! Messages of the protocol as envelopes that go from device to device, with what grants and results of tasks carry.
//!
//! Owns their types and bodies, and what of a task's specification another machine may get. Signs and sends nothing.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::json;
use ulid::Ulid;

use super::envelope::{Draft, Verified};
use super::envelope_type::EnvelopeType;
use super::packed::{pack, unpack};
use super::parts;
use super::protocol::message::{Message, Payload};
use super::session_news::{self, SessionNews};
use crate::api::{Report, TaskSpec};
use crate::event::Category;
use crate::event::Uploaded;
use crate::identity::sealed::Sealed;
use crate::ids::TimestampMs;
use crate::scheduler::placement::NodeOffer;

/// What the protocol carries between nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskPayload {}

impl Payload for TaskPayload {
    type Spec = RemoteSpec;
    type Report = Report;
    type Status = NodeOffer;
    type Progress = Progress;

    fn told(status: &NodeOffer, others: u32) -> NodeOffer {
        NodeOffer { others: Some(others), ..status.clone() }
    }

    fn slots(status: &NodeOffer) -> u32 {
        status.slots
    }

    fn weight(progress: &Progress) -> usize {
        match progress {
            Progress::Started { .. } | Progress::Collecting {} => 1,
            Progress::Session { news } => news.weight(),
        }
    }

    fn is_routine(progress: &Progress) -> bool {
        matches!(progress, Progress::Started { .. } | Progress::Collecting {})
    }

    fn shorten(progress: &mut Vec<(u32, Progress)>) {
        let news = progress.iter().map(|(_, piece)| match piece {
            Progress::Session { news } => Some(news),
            Progress::Started { .. } | Progress::Collecting {} => None,
        });
        let mut needed = session_news::needed(news).into_iter();
        progress.retain(|_| needed.next().unwrap_or(true));
    }
}

/// What a worker on another machine gets of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoteSpec {
    /// How many sessions of its run may run at once.
    pub slots: u32,
    /// The list of the files that are in its directory when it starts; none: it gets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Uploaded>,
    /// Tags that it asks for, so that the worker's own policy can decide by them; none: an earlier version does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// It starts only when the room has this grant, and with that the results of all tasks before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub commit: bool,
    /// The task. Its directory is relative to an empty one that the worker makes. Where the specification is sealed, only what
    /// everybody may know.
    pub spec: Box<TaskSpec>,
    /// The specification of a task with secrets, sealed to the node that runs it: `{spec, secrets}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
}

/// What a session of an attempt goes through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Progress {
    /// Its process started.
    Started {
        /// When, Unix ms.
        at_ms: TimestampMs,
    },
    /// Its process ended, and what it left is being collected.
    Collecting {},
    /// It waits for a human, asks or says something, or was answered.
    Session {
        /// What.
        news: SessionNews,
    },
}

/// Why a task cannot run on another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPortable {
    /// Its directory is one of the submitting machine.
    #[error("its directory (`cwd`) is one of the submitter's machine")]
    Directory,
}

impl RemoteSpec {
    /// What another machine gets of a specification that was completed here, in the directory `workdir`. `tags`: those that
    /// the task asks for. Values of secrets are not part of it:
    /// [`PrivateSpec::seal_in`](super::private::PrivateSpec::seal_in) adds them.
    ///
    /// # Errors
    /// [`NotPortable`].
    pub fn of(mut spec: TaskSpec, workdir: &str, slots: u32, tags: Vec<String>) -> Result<Self, NotPortable> {
        if spec.cwd != workdir {
            return Err(NotPortable::Directory);
        }
        // The submitter's environment, mask and directory are this machine's; results of its cache are too.
        (spec.base_env, spec.umask, spec.cache) = (None, None, None);
        // Where the values come from is this machine's matter.
        (spec.secrets, spec.run_secrets) = (BTreeMap::new(), Vec::new());
        spec.cwd.clear();
        Ok(Self { slots, files: None, tags: Some(tags), commit: false, spec: Box::new(spec), sealed: None })
    }
}

/// The type of the envelope that carries several messages.
pub const SEVERAL: EnvelopeType = EnvelopeType::device("cis.dag.node.messages", Category::Node);

/// Messages in one envelope, or in the parts of one, at most.
pub const TOGETHER_MAX: usize = 128;

/// Messages with more bytes go in parts. Encrypted, an envelope has 4/3 of its bytes, and Matrix carries at most 65,536.
const WHOLE_BYTES_MAX: usize = 40 << 10;

#[derive(Debug, Deserialize)]
struct Several {
    messages: Vec<Message<TaskPayload>>,
}

/// The type of the envelope that carries a message.
#[must_use]
pub fn type_of<P: Payload>(message: &Message<P>) -> EnvelopeType {
    let device = EnvelopeType::device;
    match message {
        Message::Heartbeat { .. } => device("cis.dag.node.heartbeat", Category::Node),
        Message::Alive {} => device("cis.dag.node.alive", Category::Node),
        Message::Grant { .. } => device("cis.dag.task.assigned", Category::Task),
        Message::Renew { .. } => device("cis.dag.task.renewed", Category::Task),
        Message::Cancel { .. } => device("cis.dag.task.cancel", Category::Task),
        Message::Noted { .. } => device("cis.dag.task.noted", Category::Task),
        Message::Recorded { .. } => device("cis.dag.task.recorded", Category::Task),
        Message::Forget { .. } => device("cis.dag.task.forget", Category::Task),
        Message::Recover { .. } => device("cis.dag.run.recover", Category::Run),
        Message::Holding { .. } => device("cis.dag.run.holding", Category::Run),
        Message::Claimed { .. } => device("cis.dag.task.claimed", Category::Task),
        Message::Refused { .. } => device("cis.dag.task.refused", Category::Task),
        Message::Unknown { .. } => device("cis.dag.task.unknown", Category::Task),
        Message::Progress { .. } => device("cis.dag.task.progress", Category::Task),
        Message::Result { .. } => device("cis.dag.task.result", Category::Task),
        Message::Groups { .. } => device("cis.dag.groups.places", Category::Node),
        Message::Voters { .. } => device("cis.dag.node.voters", Category::Node),
    }
}

/// A message as an envelope, before it is signed.
#[must_use]
pub fn draft(message: &Message<TaskPayload>, id: Ulid, room: &str, sender: &str) -> Draft {
    // Plain structs with text keys: they have JSON.
    let body = pack(serde_json::to_value(message).unwrap_or_default());
    let kind = type_of(message);
    Draft { v: kind.v, ..Draft::of_room(kind.name, body, id, room, sender) }
}

/// Several messages in one envelope, in order, before it is signed.
#[must_use]
pub fn draft_all(messages: &[Message<TaskPayload>], id: Ulid, room: &str, sender: &str) -> Draft {
    match messages {
        [message] => draft(message, id, room, sender),
        messages => {
            let values = messages.iter().map(|message| serde_json::to_value(message).unwrap_or_default());
            let body = pack(json!({ "messages": values.collect::<Vec<_>>() }));
            Draft { v: SEVERAL.v, ..Draft::of_room(SEVERAL.name, body, id, room, sender) }
        }
    }
}

/// A message has more bytes as JSON than nodes take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message has at most {} bytes", parts::MESSAGE_BYTES_MAX)]
pub struct TooLarge;

/// Messages of so many bytes ([`size_of`]) as envelopes, before they are signed: several small ones in one, one that is too large for an
/// envelope in parts. `id` gives the id of each envelope.
///
/// # Errors
/// [`TooLarge`].
pub fn drafts(
    messages: &[Message<TaskPayload>],
    bytes: usize,
    id: impl Fn() -> Ulid,
    room: &str,
    sender: &str,
) -> Result<Vec<Draft>, TooLarge> {
    if bytes <= WHOLE_BYTES_MAX {
        return Ok(vec![draft_all(messages, id(), room, sender)]);
    }
    let text = json!({ "messages": messages }).to_string();
    parts::split(&text, room, sender, id).ok_or(TooLarge)
}

/// The messages whose parts came, in order.
///
/// # Errors
/// What is wrong with their JSON.
pub fn read_joined(text: &str) -> Result<Vec<Message<TaskPayload>>, String> {
    let Several { messages } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if messages.len() > TOGETHER_MAX {
        return Err(format!("it has {} messages", messages.len()));
    }
    Ok(messages)
}

/// Bytes of a message in an envelope, about.
#[must_use]
pub fn size_of(message: &Message<TaskPayload>) -> usize {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, message).map_or(usize::MAX, |()| counter.0)
}

/// Counts what is written.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The messages in an envelope, in order.
///
/// # Errors
/// What is wrong with it.
pub fn read(envelope: Verified) -> Result<Vec<Message<TaskPayload>>, String> {
    let type_name = envelope.type_name().to_owned();
    let body = unpack(envelope.into_body()).map_err(|error| error.to_string())?;
    if type_name == SEVERAL.name {
        let several: Several = serde_json::from_value(body).map_err(|error| error.to_string())?;
        return Ok(several.messages);
    }
    let message: Message<TaskPayload> = serde_json::from_value(body).map_err(|error| error.to_string())?;
    let kind = type_of(&message);
    if kind.name != type_name {
        return Err(format!("a `{}` in an envelope of type `{type_name}`", kind.name));
    }
    Ok(vec![message])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Program, Refusal};
    use crate::dag::SecretSource;
    use crate::event::AttemptOutcome;
    use crate::federation::envelope::{Carrier, verify};
    use crate::federation::protocol::groups::message::{GroupMessage, GroupPlaces};
    use crate::federation::protocol::message::{Grant, Granted, HeldRecord, HeldState};
    use crate::federation::sample::{key, run_id, session, task};
    use crate::identity::Standing;
    use crate::ids::AttemptId;

    fn spec() -> TaskSpec {
        TaskSpec {
            program: Program::Argv(vec!["true".to_owned()]),
            env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
            base_env: None,
            umask: Some(0o22),
            cwd: "/home/ann/project".to_owned(),
            tty: true,
            keeps_log: false,
            secrets: BTreeMap::new(),
            run_secrets: Vec::new(),
            sensitive: Vec::new(),
            timeout_ms: Some(1),
            idle_ms: None,
            grace_ms: 2,
            log_limit_bytes: 3,
            outputs: BTreeMap::new(),
            artifacts: Vec::new(),
            cache: None,
            context: None,
            profile: None,
            inputs: BTreeMap::new(),
        }
    }

    fn granted() -> Granted {
        let attempt = AttemptId { run: run_id(), task: task(1), number: 1 };
        Granted { attempt, fence: crate::fence::next(0, 3) }
    }

    fn messages() -> Vec<Message<TaskPayload>> {
        let granted = granted();
        let spec = RemoteSpec::of(spec(), "/home/ann/project", 2, vec!["gpu".to_owned()]).unwrap();
        let grant = Grant { granted: granted.clone(), session: session(1), spec };
        let report = Report::bare(AttemptOutcome::Succeeded, Some(1), 2);
        let held = HeldRecord { granted: granted.clone(), session: session(1), state: HeldState::Frozen };
        let (run, epoch) = (run_id(), 3);
        vec![
            Message::Heartbeat { nonce: 7, status: NodeOffer::default() },
            Message::Alive {},
            Message::Grant { epoch, nonce: 7, lease_ms: 60_000, grant },
            Message::Renew { run, epoch, nonce: 8, lease_ms: 1, grants: vec![granted.clone()] },
            Message::Cancel { epoch, granted: granted.clone(), grace_ms: 1, keep: true },
            Message::Noted { epoch, granted: granted.clone(), next: 1 },
            Message::Recorded { epoch, granted: granted.clone() },
            Message::Forget { epoch, granted: granted.clone() },
            Message::Recover { run, epoch },
            Message::Holding { run, epoch, held: vec![held] },
            Message::Claimed { granted: granted.clone() },
            Message::Refused { granted: granted.clone(), reason: Refusal::Policy { detail: "no".into() } },
            Message::Unknown { granted: granted.clone() },
            Message::Progress {
                granted: granted.clone(),
                first: 0,
                progress: vec![
                    Progress::Started { at_ms: 5 },
                    Progress::Session { news: SessionNews::Recovered { episode: 1 } },
                    Progress::Collecting {},
                ],
            },
            Message::Result { granted, report },
            Message::Groups {
                of: GroupMessage::Quotas {
                    epoch,
                    nonce: 9,
                    lease_ms: 20_000,
                    groups: [("gpu".to_owned(), GroupPlaces { places: 1, taken: 2, fair: 1 })].into(),
                },
            },
        ]
    }

    fn carried(draft: &Draft) -> Verified {
        let envelope = draft.sign(&key(1), 60_000).unwrap();
        let carrier = Carrier { room: "!r:x", type_name: &draft.type_name, sender: Some("@n:x") };
        let content = serde_json::from_str(&envelope.content().to_string()).unwrap();
        verify(&content, carrier, |_| Standing::Trusted).unwrap()
    }

    #[test]
    fn every_message_comes_back_as_it_was_sent() {
        let mut names = std::collections::BTreeSet::new();
        for message in messages() {
            let draft = draft(&message, Ulid::nil(), "!r:x", "@n:x");
            names.insert(draft.type_name.clone());
            assert_eq!(read(carried(&draft)).unwrap(), [message]);
        }
        assert_eq!(names.len(), messages().len(), "each has a type of its own");
        let draft = draft_all(&messages(), Ulid::nil(), "!r:x", "@n:x");
        assert_eq!(read(carried(&draft)).unwrap(), messages());
        let one = draft_all(&messages()[..1], Ulid::nil(), "!r:x", "@n:x");
        assert_eq!(one.type_name, "cis.dag.node.heartbeat");
    }

    /// What a node signed as one thing cannot be shown as another.
    #[test]
    fn a_message_counts_under_its_own_type_alone() {
        let mut draft = draft(&Message::Alive {}, Ulid::nil(), "!r:x", "@n:x");
        draft.type_name = "cis.dag.node.heartbeat".to_owned();
        assert!(read(carried(&draft)).unwrap_err().contains("cis.dag.node.alive"));
        draft.body = json!({ "kind": "heartbeat", "nonce": "many" });
        assert!(read(carried(&draft)).is_err());
    }

    #[test]
    fn nothing_of_the_submitters_machine_is_sent() {
        let remote = RemoteSpec::of(spec(), "/home/ann/project", 1, Vec::new()).unwrap();
        assert_eq!((&*remote.spec.cwd, remote.spec.umask), ("", None));
        let mut with_secrets = spec();
        with_secrets.secrets.insert("T".to_owned(), SecretSource::File("/home/ann/token".to_owned()));
        with_secrets.run_secrets.push(SecretSource::Env("HOST_VARIABLE".to_owned()));
        assert_eq!(RemoteSpec::of(with_secrets, "/home/ann/project", 1, Vec::new()).unwrap(), remote);
        let of = |change: fn(&mut TaskSpec)| {
            let mut spec = spec();
            change(&mut spec);
            RemoteSpec::of(spec, "/home/ann/project", 1, Vec::new()).unwrap_err()
        };
        assert_eq!(of(|s| s.cwd = "/home/ann/project/sub".to_owned()), NotPortable::Directory);
    }
}
