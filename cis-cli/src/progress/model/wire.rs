//! What is read of the events: only the fields that the model needs.

use std::borrow::Cow;

use cis_core::event::{EndReason, PromptKind, SessionLimit, TaskState};
use cis_core::ids::TimestampMs;
use serde::Deserialize;

/// What is read of most results.
#[derive(Deserialize)]
pub(super) struct ResultHead<'a> {
    #[serde(borrow)]
    pub(super) task: Cow<'a, str>,
    pub(super) state: TaskState,
    pub(super) started_ms: Option<TimestampMs>,
    pub(super) ended_ms: TimestampMs,
}

#[derive(Deserialize)]
pub(super) struct Grant<'a> {
    #[serde(borrow)]
    pub(super) task: Cow<'a, str>,
    pub(super) attempt: u32,
    #[serde(default)]
    pub(super) ahead: bool,
}

#[derive(Deserialize)]
pub(super) struct Began<'a> {
    #[serde(default, borrow)]
    pub(super) task: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct Changes<'a> {
    #[serde(borrow)]
    pub(super) changes: Vec<StateChange<'a>>,
}

#[derive(Deserialize)]
pub(super) struct StateChange<'a> {
    #[serde(borrow)]
    pub(super) task: Cow<'a, str>,
    pub(super) state: TaskState,
    #[serde(default)]
    pub(super) end: Option<EndReason>,
    #[serde(default, borrow)]
    pub(super) queued: Option<Queued<'a>>,
}

/// What is read of why a task waits.
#[derive(Deserialize)]
pub(super) struct Queued<'a> {
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) prompt: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct Named<'a> {
    #[serde(borrow)]
    pub(super) task: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct Expanded<'a> {
    #[serde(borrow)]
    pub(super) task: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) items: Vec<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Prompt<'a> {
    #[serde(borrow)]
    pub(super) task: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) kind: PromptKind,
    #[serde(default, borrow)]
    pub(super) item: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) question: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct Expiring<'a> {
    #[serde(borrow)]
    pub(super) task: Option<Cow<'a, str>>,
    pub(super) limit: SessionLimit,
    pub(super) at_ms: TimestampMs,
}

#[derive(Deserialize)]
pub(super) struct Added<'a> {
    #[serde(borrow)]
    pub(super) tasks: Vec<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Reason {
    pub(super) reason: EndReason,
}

#[derive(Deserialize)]
pub(super) struct Detail {
    #[serde(default)]
    pub(super) detail: String,
}
