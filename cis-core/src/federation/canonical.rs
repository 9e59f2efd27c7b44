//! The canonical state of a run: what every node that knows its journal has to come to, byte for byte.
//!
//! Spec hash; of each attempt that ended: outcome, exit, start, end, node, outputs (redacted) with their hashes; how
//! long sessions waited for a human; what was answered, by whom and when; the states that follow. Not: pids, paths,
//! screens, queue times. Owns the fold that collects this beside the reducer, and the form.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::fact::Fact;
use super::packed::pack;
use crate::event::{AnswerRecord, AttemptResult, EndReason, EventBody, OutputRecord, PromptKind, TaskChange};
use crate::identity::canonical_json;
use crate::ids::{InboxId, InputId, NodeDid, SessionId, TaskId, TimestampMs};
use crate::scheduler::{ApplyError, Run};

/// A run that is folded from its events, with what its canonical state says beside it.
#[derive(Debug, Clone)]
pub struct Fold {
    run: Run,
    attempts: BTreeMap<(TaskId, u32), Attempt>,
    blocked: BTreeMap<(TaskId, SessionId, u32), Blocked>,
    answers: Vec<Answer>,
}

#[derive(Debug, Clone)]
struct Attempt {
    result: Value,
    node: NodeDid,
    outputs: BTreeMap<String, OutputRecord>,
}

#[derive(Debug, Clone)]
struct Blocked {
    item: InboxId,
    kind: PromptKind,
    since_ms: TimestampMs,
    until_ms: Option<TimestampMs>,
}

#[derive(Debug, Clone)]
struct Answer {
    task: TaskId,
    item: Option<InboxId>,
    input: Option<InputId>,
    by: String,
    option: Option<String>,
    text: String,
    reason: Option<String>,
    at_ms: TimestampMs,
    void: bool,
}

impl Fold {
    /// A run that was just created.
    #[must_use]
    pub fn new(run: Run) -> Self {
        Self { run, attempts: BTreeMap::new(), blocked: BTreeMap::new(), answers: Vec::new() }
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Takes one event into account, as the reducer does. In a list of changes tasks may stand in any order.
    ///
    /// # Errors
    /// [`ApplyError`] where it cannot follow those before it; nothing has changed then.
    pub fn apply(&mut self, fact: &Fact) -> Result<(), ApplyError> {
        let at_ms = fact.at_ms;
        let worker = match &fact.body {
            EventBody::TaskResult(result) => self.worker_of(&result.task),
            _ => None,
        };
        match &fact.body {
            EventBody::TaskStatus { changes } => {
                let changes = self.in_order(changes);
                self.run.apply(&EventBody::TaskStatus { changes }, at_ms)?;
            }
            body => self.run.apply(body, at_ms)?,
        }
        match &fact.body {
            EventBody::TaskResult(result) => self.ended(result, worker, at_ms),
            EventBody::SessionBlocked { session, task: Some(task), prompt } => {
                let (item, kind) = (prompt.item.clone(), prompt.kind);
                let blocked = Blocked { item, kind, since_ms: at_ms, until_ms: None };
                self.blocked.insert((task.clone(), *session, prompt.episode), blocked);
            }
            EventBody::SessionRecovered { session, task: Some(task), episode } => {
                if let Some(blocked) = self.blocked.get_mut(&(task.clone(), *session, *episode)) {
                    blocked.until_ms.get_or_insert(at_ms);
                }
            }
            EventBody::SessionAnswered { task: Some(task), item, input, answer, .. } => {
                self.answered(task, item, *input, answer, at_ms);
            }
            EventBody::AnswerVoid { input, .. } => {
                for answer in self.answers.iter_mut().filter(|answer| answer.input == Some(*input)) {
                    answer.void = true;
                }
            }
            EventBody::TaskApproved { task, by, comment } => {
                self.decided(task, by, "approve", comment.clone(), at_ms);
            }
            EventBody::TaskStatus { changes } => {
                for change in changes {
                    if let Some(EndReason::Rejected { by, reason }) = &change.end {
                        let reason = Some(reason.clone()).filter(|reason| !reason.is_empty());
                        self.decided(&change.task, by, "reject", reason, at_ms);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The canonical state, as canonical JSON.
    #[must_use]
    pub fn canonical(&self) -> String {
        // What is packed has canonical JSON.
        canonical_json(&pack(self.state())).unwrap_or_default()
    }

    /// SHA-256 of the canonical state, hex.
    #[must_use]
    pub fn canonical_hash(&self) -> String {
        hex::encode(Sha256::digest(self.canonical()))
    }

    fn state(&self) -> Value {
        let tasks: Map<String, Value> =
            self.run.tasks().map(|(spec, entry)| (spec.id.to_string(), json!(entry.state))).collect();
        let attempts: Vec<Value> = self.attempts.values().map(Attempt::state).collect();
        let blocked: Vec<Value> = self.blocked.iter().map(|(key, blocked)| blocked.state(key)).collect();
        let answers: Vec<Value> = self.answers.iter().map(Answer::state).collect();
        json!({
            "v": 1,
            "run": self.run.id(),
            "spec": self.run.facts().spec,
            "state": self.run.state(),
            "tasks": tasks,
            "attempts": attempts,
            "blocked": blocked,
            "answers": answers,
        })
    }

    fn in_order(&self, changes: &[TaskChange]) -> Vec<TaskChange> {
        let mut changes = changes.to_vec();
        changes.sort_by_key(|change| self.run.find(&change.task));
        changes
    }

    fn worker_of(&self, task: &TaskId) -> Option<NodeDid> {
        let (_, entry) = self.run.task(task)?;
        entry.live.as_ref().map(|live| live.node.clone())
    }

    fn ended(&mut self, result: &AttemptResult, worker: Option<NodeDid>, at_ms: TimestampMs) {
        let key = (result.task.clone(), result.attempt);
        for (_, blocked) in self.blocked.iter_mut().filter(|(key, _)| key.1 == result.session) {
            blocked.until_ms.get_or_insert(at_ms);
        }
        let state = json!({
            "task": result.task,
            "attempt": result.attempt,
            "outcome": result.outcome.word(),
            "exit": result.exit,
            "started_ms": result.started_ms,
            "ended_ms": result.ended_ms,
        });
        let node = worker.unwrap_or_else(|| self.run.facts().owner.clone());
        self.attempts.insert(key, Attempt { result: state, node, outputs: result.outputs.clone() });
    }

    fn answered(
        &mut self,
        task: &TaskId,
        item: &InboxId,
        input: InputId,
        answer: &AnswerRecord,
        at_ms: TimestampMs,
    ) {
        self.answers.push(Answer {
            task: task.clone(),
            item: Some(item.clone()),
            input: Some(input),
            by: answer.by.clone(),
            option: answer.option.clone(),
            text: answer.text.clone(),
            reason: answer.reason.clone(),
            at_ms,
            void: false,
        });
    }

    fn decided(&mut self, task: &TaskId, by: &str, what: &str, reason: Option<String>, at_ms: TimestampMs) {
        self.answers.push(Answer {
            task: task.clone(),
            item: None,
            input: None,
            by: by.to_owned(),
            option: Some(what.to_owned()),
            text: what.to_owned(),
            reason,
            at_ms,
            void: false,
        });
    }
}

impl Attempt {
    fn state(&self) -> Value {
        let output = |record: &OutputRecord| json!({"value": record.value, "hash": record.hash});
        let outputs: Map<String, Value> =
            self.outputs.iter().map(|(name, record)| (name.clone(), output(record))).collect();
        let mut state = self.result.clone();
        state["node"] = json!(self.node);
        state["outputs"] = Value::Object(outputs);
        state
    }
}

impl Blocked {
    fn state(&self, (task, session, episode): &(TaskId, SessionId, u32)) -> Value {
        json!({
            "task": task, "session": session, "episode": episode, "item": self.item,
            "kind": self.kind, "since_ms": self.since_ms, "until_ms": self.until_ms,
        })
    }
}

impl Answer {
    fn state(&self) -> Value {
        json!({
            "task": self.task, "item": self.item, "by": self.by, "option": self.option,
            "text": self.text, "reason": self.reason, "at_ms": self.at_ms, "void": self.void,
        })
    }
}
