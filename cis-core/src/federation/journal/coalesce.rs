//! What is merged before a journal is written: intermediate states. Ends, results, prompts and answers never are.
//!
//! A try of which nothing else is to be told goes into one piece: queued, granted, started, ended. The beginning moves to
//! its end then, past events of other tasks alone: an event of the run, or any other of the same task, keeps it where
//! it is. Law (property-tested with the real reducer): what is merged folds to the same canonical state.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fact, Life, Piece};
use crate::event::{Category, EventBody, GrantRecord, QueueReason, SaidKind, TaskChange, TaskState};
use crate::federation::room_event;
use crate::ids::{SessionId, TaskId, TimestampMs};

/// Events on their way into a journal. [`Self::drain`] gives what is left of them.
#[derive(Debug, Clone, Default)]
pub struct Coalescer {
    slots: Vec<Option<Piece>>,
    /// Tries whose beginning may still move.
    begun: BTreeMap<TaskId, Begun>,
    /// The newest piece, where it says nothing but that tasks are queued.
    queueing: Option<usize>,
    /// Tasks whose being queued is told elsewhere, and where it stood.
    moved: BTreeMap<usize, BTreeSet<TaskId>>,
    /// The newest progress that each session told.
    progress: BTreeMap<SessionId, usize>,
}

/// Where the beginning of a try stands.
#[derive(Debug, Clone, Default)]
struct Begun {
    queued: Option<(usize, TimestampMs)>,
    granted: Option<usize>,
    started: Option<usize>,
}

impl Coalescer {
    /// How many pieces there are by now, at most.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is nothing to be told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        // What is taken out of a place stands in a later one.
        self.slots.is_empty()
    }

    /// Takes the next event of the run.
    pub fn push(&mut self, fact: Fact) {
        if !room_event::is_shown(&fact.body) {
            return;
        }
        let queueing = self.queueing.take();
        if fact.body.category() == Category::Run {
            self.begun.clear();
        }
        let plain = fact.actor.is_none() && fact.cause.is_none();
        let slot = self.slots.len();
        match &fact.body {
            EventBody::TaskStatus { changes } => {
                let changes = changes.clone();
                return self.status(queueing, changes, plain, fact);
            }
            EventBody::TaskAssigned(grant) => {
                let begun = self.begun.remove(&grant.task).filter(|begun| begun.granted.is_none());
                if plain && grant.lease_ms.is_none() {
                    let begun = begun.unwrap_or_default();
                    self.begun.insert(grant.task.clone(), Begun { granted: Some(slot), ..begun });
                }
            }
            EventBody::SessionStarted { session, task: Some(task), .. } => {
                let ours = self.grant_of(task).is_some_and(|grant| grant.session == *session);
                match self.begun.get_mut(task) {
                    Some(begun) if ours && plain && begun.started.is_none() => begun.started = Some(slot),
                    _ => drop(self.begun.remove(task)),
                }
            }
            EventBody::TaskResult(result) => {
                let life = self.whole_life(&result.task, result.attempt, result.fence, result.session);
                self.slots.push(Some(Piece { fact, life }));
                return;
            }
            EventBody::SessionSaid { session, said, .. } if said.kind == SaidKind::Progress => {
                if let Some(earlier) = self.progress.insert(*session, slot) {
                    self.slots[earlier] = None;
                }
            }
            body => {
                if let Some(task) = task_of(body) {
                    self.begun.remove(task);
                }
            }
        }
        self.slots.push(Some(Piece { fact, life: None }));
    }

    /// All pieces, in order; it is empty then.
    pub fn drain(&mut self) -> Vec<Piece> {
        let Self { mut slots, moved, .. } = std::mem::take(self);
        for (slot, tasks) in moved {
            let Some(piece) = slots.get_mut(slot) else { continue };
            if let Some(Piece { fact: Fact { body: EventBody::TaskStatus { changes }, .. }, .. }) = piece {
                changes.retain(|change| !tasks.contains(&change.task));
                if changes.is_empty() {
                    *piece = None;
                }
            }
        }
        slots.into_iter().flatten().collect()
    }

    /// `queueing` is the newest piece where that only says that tasks are queued: more of them go there too.
    fn status(&mut self, queueing: Option<usize>, changes: Vec<TaskChange>, plain: bool, fact: Fact) {
        let at_ms = fact.at_ms;
        let movable = plain && changes.iter().all(is_only_queued);
        // What that piece queued is still begun there: anything else would have made a newer piece.
        let there = |slot: usize, change: &TaskChange| {
            let begun = self.begun.get(&change.task).and_then(|begun| begun.queued);
            begun.is_some_and(|(queued, _)| queued == slot)
        };
        let slot = match queueing {
            Some(slot) if movable && !changes.iter().any(|change| there(slot, change)) => slot,
            _ => self.slots.len(),
        };
        for change in &changes {
            self.begun.remove(&change.task);
            if plain && is_only_queued(change) {
                let begun = Begun { queued: Some((slot, at_ms)), ..Begun::default() };
                self.begun.insert(change.task.clone(), begun);
            }
        }
        self.queueing = movable.then_some(slot);
        match self.slots.get_mut(slot) {
            Some(Some(Piece {
                fact: Fact { body: EventBody::TaskStatus { changes: there }, .. }, ..
            })) => {
                there.extend(changes);
            }
            _ => self.slots.push(Some(Piece { fact, life: None })),
        }
    }

    fn grant_of(&self, task: &TaskId) -> Option<&GrantRecord> {
        let slot = self.begun.get(task)?.granted?;
        match &self.slots.get(slot)?.as_ref()?.fact.body {
            EventBody::TaskAssigned(grant) => Some(grant),
            _ => None,
        }
    }

    /// Takes the beginning of the try out, where nothing keeps it where it is.
    fn whole_life(&mut self, task: &TaskId, attempt: u32, fence: u64, session: SessionId) -> Option<Life> {
        let grant = self.grant_of(task)?;
        let same = grant.attempt == attempt && grant.fence == fence && grant.session == session;
        let node = grant.node.clone();
        let begun = self.begun.remove(task).filter(|_| same)?;
        let granted = self.slots.get_mut(begun.granted?)?.take()?;
        if let Some(slot) = begun.started {
            self.slots[slot] = None;
        }
        if let Some((slot, _)) = begun.queued {
            self.moved.entry(slot).or_default().insert(task.clone());
        }
        let queued_ms = begun.queued.map(|(_, at_ms)| at_ms);
        Some(Life { queued_ms, granted_ms: granted.fact.at_ms, node })
    }
}

/// The task is free to start from now on, and nothing else is said.
fn is_only_queued(change: &TaskChange) -> bool {
    let reason = matches!(change.queued, Some(QueueReason::Slot | QueueReason::Group { .. }));
    change.state == TaskState::Queued && change.end.is_none() && reason
}

/// The task that an event is about.
fn task_of(body: &EventBody) -> Option<&TaskId> {
    match body {
        EventBody::TasksAdded { parent: task, .. }
        | EventBody::TaskExpanded { task, .. }
        | EventBody::TaskHandedIn { task, .. }
        | EventBody::TaskApproved { task, .. } => Some(task),
        EventBody::SessionBlocked { task, .. }
        | EventBody::SessionRecovered { task, .. }
        | EventBody::SessionEscalated { task, .. }
        | EventBody::SessionAsked { task, .. }
        | EventBody::AskWithdrawn { task, .. }
        | EventBody::SessionSaid { task, .. }
        | EventBody::SessionAnswered { task, .. }
        | EventBody::AnswerVoid { task, .. } => task.as_ref(),
        _ => None,
    }
}
