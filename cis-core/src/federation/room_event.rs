//! What of an event a room gets: the one place where the core's events become types of a room, and back.
//!
//! An entry of a run's journal has the event's name, version, time, actor and body; what only means something on the
//! machine where it happened stays there: pids, paths, session hosts, blobs, screens, keys that are typed. Everything is
//! read back as an event that the same reducer takes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fact::{Fact, Life, Piece};
use super::packed::{BadPacked, is_named, pack, unpack};
use crate::event::{
    Actor, AttemptResult, EventBody, GrantRecord, QueueReason, SCHEMA_VERSION, TaskChange, TaskState,
};
use crate::ids::{InputId, NodeDid, TimestampMs};

/// A field that stays on its machine, and what stands in its place when the event is read back.
struct Hidden {
    /// Names with dots between them; `*` is every one of them.
    path: &'static str,
    back: Back,
}

#[derive(Clone, Copy)]
enum Back {
    Nothing,
    Text,
    Zero,
}

const fn nothing(path: &'static str) -> Hidden {
    Hidden { path, back: Back::Nothing }
}

const fn text(path: &'static str) -> Hidden {
    Hidden { path, back: Back::Text }
}

const fn zero(path: &'static str) -> Hidden {
    Hidden { path, back: Back::Zero }
}

/// Events of a run that its room gets, each with what of its body stays here.
const SHOWN: &[(&str, &[Hidden])] = &[
    (
        "cis.dag.run.created",
        &[
            nothing("base_env"),
            nothing("umask"),
            nothing("kept"),
            nothing("named"),
            nothing("submitter"),
            nothing("read_back"),
            text("source"),
            text("workdir"),
        ],
    ),
    ("cis.dag.run.started", &[]),
    ("cis.dag.run.paused", &[]),
    ("cis.dag.run.resumed", &[]),
    ("cis.dag.run.cancelling", &[]),
    ("cis.dag.run.completed", &[]),
    ("cis.dag.run.failed", &[]),
    ("cis.dag.run.error", &[]),
    ("cis.dag.run.cancelled", &[]),
    ("cis.dag.run.retried", &[]),
    ("cis.dag.run.mode", &[]),
    ("cis.dag.run.taken_over", &[]),
    ("cis.dag.task.status", &[]),
    ("cis.dag.task.assigned", &[nothing("host"), nothing("ahead")]),
    ("cis.dag.task.result", &[nothing("outputs.*.blob"), nothing("lost_output"), text("artifacts.*.blob")]),
    ("cis.dag.task.added", &[]),
    ("cis.dag.task.expanded", &[]),
    ("cis.dag.task.handed_in", &[]),
    ("cis.dag.task.approved", &[]),
    ("cis.dag.session.started", &[zero("pid")]),
    ("cis.dag.session.blocked", &[nothing("screen"), nothing("options.*.keys")]),
    ("cis.dag.session.recovered", &[]),
    ("cis.dag.session.escalated", &[]),
    ("cis.dag.session.asked", &[nothing("options.*.keys")]),
    ("cis.dag.session.ask_withdrawn", &[]),
    ("cis.dag.session.said", &[]),
    ("cis.dag.session.answered", &[]),
    ("cis.dag.session.answer_void", &[]),
];

/// Fields of entries, and of parts of them, that say what something is.
const NAMES: [&str; 2] = ["kind", "outcome"];

/// Parts of entries that have such fields. Values of tasks and parameters may have any fields.
const NAMED_PARTS: [&str; 4] = ["cause", "end", "queued", "answer"];

/// Key of the DAG file's text beside the fields of `cis.dag.run.created`.
const SPEC_TEXT: &str = "text";

/// An event as it stands in a run's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// `cis.dag.…`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Version of its shape.
    pub v: u32,
    /// By whom; none: by the node that coordinates the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// The input that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<InputId>,
    /// What happened.
    pub body: Value,
}

/// Where the beginning of a try stands whose end is told in one entry with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Beginning {
    /// Who worked on it; none: the node that wrote the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<NodeDid>,
    /// When it was granted, Unix ms.
    granted_ms: TimestampMs,
    /// When it was queued, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queued_ms: Option<TimestampMs>,
}

/// Why an entry cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadEntry {
    /// A later version wrote it.
    #[error("`{type_name}` version {v} is unknown to this version of CIS: a newer one reads it")]
    Unknown {
        /// Its type.
        type_name: String,
        /// Its version.
        v: u32,
    },
    /// It is not of its type's shape.
    #[error("`{type_name}` is not of its shape: {why}")]
    Shape {
        /// Its type.
        type_name: &'static str,
        /// Why.
        why: serde_json::Error,
    },
    /// It is no entry at all.
    #[error("it is no entry: {0}")]
    NoEntry(String),
    /// What travels as text is none.
    #[error(transparent)]
    Packed(#[from] BadPacked),
}

/// Whether a run's room gets events of this kind.
#[must_use]
pub fn is_shown(body: &EventBody) -> bool {
    hidden(body.type_name()).is_some()
}

/// The entry of `piece` as the node `by` writes it; none where no room gets such. `spec` is the text of the DAG file,
/// redacted, which goes with the run's creation.
///
/// # Errors
/// Never for events that were made here.
pub fn to_entry(piece: &Piece, by: &NodeDid, spec: Option<&str>) -> Result<Option<Value>, serde_json::Error> {
    let fact = &piece.fact;
    let Some(hidden) = hidden(fact.body.type_name()) else { return Ok(None) };
    // As a value from the beginning: a text would be read back only to the depth that readers take.
    let mut body = match serde_json::to_value(&fact.body)? {
        Value::Object(mut tagged) => tagged.remove("body").unwrap_or_default(),
        other => other,
    };
    for field in hidden {
        take_away(&mut body, field.path);
    }
    if let Value::Object(fields) = &mut body {
        if let (EventBody::RunCreated(_), Some(text)) = (&fact.body, spec) {
            fields.insert(SPEC_TEXT.to_owned(), text.into());
        }
        if let Some(Life { queued_ms, granted_ms, node }) = &piece.life {
            let node = (node != by).then(|| node.clone());
            let beginning = Beginning { node, granted_ms: *granted_ms, queued_ms: *queued_ms };
            if let Value::Object(beginning) = serde_json::to_value(beginning)? {
                fields.extend(beginning);
            }
        }
    }
    let entry = Entry {
        at_ms: fact.at_ms,
        type_name: fact.body.type_name().to_owned(),
        v: SCHEMA_VERSION,
        actor: fact.actor.clone(),
        cause: fact.cause,
        body,
    };
    Ok(Some(pack(serde_json::to_value(entry)?)))
}

/// An entry as it was written.
///
/// # Errors
/// [`BadEntry`].
pub fn read_entry(packed: Value) -> Result<Entry, BadEntry> {
    serde_json::from_value(unpack(packed)?).map_err(|e| BadEntry::NoEntry(e.to_string()))
}

/// The text of the DAG file that goes with a run's creation.
#[must_use]
pub fn spec_text(entry: &Entry) -> Option<&str> {
    entry.body.get(SPEC_TEXT)?.as_str()
}

/// What happened by an entry that the node `by` wrote, in order: of a try that is told in one entry, its beginning too.
///
/// # Errors
/// [`BadEntry`].
pub fn to_facts(entry: &Entry, by: &NodeDid) -> Result<Vec<Fact>, BadEntry> {
    let (type_name, hidden) = SHOWN
        .iter()
        .find(|(name, _)| *name == entry.type_name)
        .filter(|_| entry.v <= SCHEMA_VERSION)
        .ok_or_else(|| BadEntry::Unknown {
            type_name: entry.type_name.chars().take(64).collect(),
            v: entry.v,
        })?;
    let shape = |why| BadEntry::Shape { type_name, why };
    let parts = [&entry.body].into_iter().chain(NAMED_PARTS.iter().filter_map(|part| entry.body.get(part)));
    if parts.into_iter().any(|part| NAMES.iter().any(|name| !is_named(part, name))) {
        return Err(shape(serde::de::Error::custom("a name is a number")));
    }
    let mut body = entry.body.clone();
    for field in *hidden {
        put_back(&mut body, field.path, field.back);
    }
    let tagged = Map::from_iter([("type".to_owned(), (*type_name).into()), ("body".to_owned(), body)]);
    let body: EventBody = serde_json::from_value(Value::Object(tagged)).map_err(shape)?;
    let mut facts = Vec::new();
    if let (EventBody::TaskResult(result), Some(_)) = (&body, entry.body.get("granted_ms")) {
        let beginning = Beginning::deserialize(&entry.body).map_err(shape)?;
        facts.extend(beginning_of(result, beginning, by));
    }
    facts.push(Fact { at_ms: entry.at_ms, actor: entry.actor.clone(), cause: entry.cause, body });
    Ok(facts)
}

/// The events that a try began with.
fn beginning_of(result: &AttemptResult, beginning: Beginning, by: &NodeDid) -> impl Iterator<Item = Fact> {
    let by_itself = |at_ms, body| Fact { at_ms, actor: None, cause: None, body };
    let task = &result.task;
    let queued = beginning.queued_ms.map(|at_ms| {
        let (state, queued) = (TaskState::Queued, Some(QueueReason::Slot));
        let changes = vec![TaskChange { task: task.clone(), state, end: None, queued }];
        by_itself(at_ms, EventBody::TaskStatus { changes })
    });
    let grant = GrantRecord {
        task: task.clone(),
        attempt: result.attempt,
        fence: result.fence,
        session: result.session,
        node: beginning.node.unwrap_or_else(|| by.clone()),
        host: None,
        lease_ms: None,
        ahead: false,
    };
    let granted = by_itself(beginning.granted_ms, EventBody::TaskAssigned(grant));
    queued.into_iter().chain([granted])
}

fn hidden(type_name: &str) -> Option<&'static [Hidden]> {
    SHOWN.iter().find(|(name, _)| *name == type_name).map(|(_, hidden)| *hidden)
}

/// Calls `each` with every object that the last name of `path` is a key of.
fn at_path(value: &mut Value, path: &str, each: &mut dyn FnMut(&mut Map<String, Value>, &str)) {
    let Some((name, rest)) = path.split_once('.') else {
        if let Value::Object(map) = value {
            each(map, path);
        }
        return;
    };
    match (name, value) {
        ("*", Value::Array(items)) => items.iter_mut().for_each(|item| at_path(item, rest, each)),
        ("*", Value::Object(map)) => map.values_mut().for_each(|item| at_path(item, rest, each)),
        (name, Value::Object(map)) => {
            if let Some(inner) = map.get_mut(name) {
                at_path(inner, rest, each);
            }
        }
        _ => {}
    }
}

fn take_away(body: &mut Value, path: &str) {
    at_path(body, path, &mut |map, name| drop(map.remove(name)));
}

fn put_back(body: &mut Value, path: &str, back: Back) {
    at_path(body, path, &mut |map, name| {
        // Whatever somebody wrote there is not this machine's.
        map.remove(name);
        match back {
            Back::Nothing => {}
            Back::Text => drop(map.insert(name.to_owned(), "".into())),
            Back::Zero => drop(map.insert(name.to_owned(), 0.into())),
        }
    });
}

#[cfg(test)]
mod tests;
