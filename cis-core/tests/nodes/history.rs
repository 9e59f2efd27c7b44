//! What people asked for, what they heard, and what the story of the run showed them, in the order in which it happened.
//!
//! Owns the record, and how events and responses read as what people see. Judges nothing: that is `linear`'s.

use std::collections::{BTreeMap, BTreeSet};

use cis_core::dag::Dag;
use cis_core::event::{EndReason, EventBody, QueueReason, RetryScope, RunState, TaskChange, TaskState};
use cis_core::federation::control::{ControlOutcome, Verb};
use cis_core::federation::journal::Fact;
use cis_core::ids::{Epoch, Fence, InboxId, InputId, SessionId, TaskId};

/// Each request is one person's.
pub(crate) type Uid = u32;

/// A place in the history: no two things have the same.
pub(crate) type Moment = u64;

/// Something that the story of the run shows. Everything but what is done on request may happen by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    Paused,
    Resumed,
    Cancelling {
        by_time: bool,
    },
    /// With the gates that are closed again.
    Retried(RetryScope, BTreeSet<TaskId>),
    /// A gate waits for somebody.
    Asked(TaskId),
    Approved(TaskId, String),
    Rejected(TaskId, String),
    Expired(TaskId),
    /// Nobody is asked about it any more, or was.
    Over(TaskId),
    /// A task with a gate was given to a worker.
    Begun(TaskId, Fence),
    Ended(RunState),
}

/// Something that happens at a prompt of a session, by its session host and by the node that has the session.
#[derive(Debug, Clone)]
pub(crate) enum OfPrompt {
    /// It stands on the screen.
    Stands { session: SessionId, episode: u32 },
    /// It does not any more.
    Gone { session: SessionId, episode: u32 },
    /// That this answer counts is durable.
    Took { session: SessionId, item: InboxId, input: InputId, by: String },
    /// That it does not count any more is.
    Void { session: SessionId, item: InboxId, input: InputId },
    /// An answer reached the program, which waited at this prompt.
    Typed { session: SessionId, episode: u32, input: InputId },
}

/// What a node tells the recorder. People know nothing of it but [`Self::Replied`] and [`Self::Seen`].
#[derive(Debug)]
pub(crate) enum Told {
    /// It is durable at the coordinator of that term.
    Seen(Epoch, Seen),
    /// This came of it, in that term (none: this node coordinates none), with the state of the run in the term `view_of`.
    CameTo { uid: Uid, outcome: ControlOutcome, epoch: Option<Epoch>, view_of: Option<Epoch> },
    /// Of a prompt.
    Prompt(OfPrompt),
    /// The person hears that.
    Replied { uid: Uid, outcome: ControlOutcome },
}

/// A request, and all that became of it.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) uid: Uid,
    /// Where the person is, and which node had to do it.
    pub(crate) at: usize,
    pub(crate) to: usize,
    pub(crate) verb: Verb,
    pub(crate) invoked: Moment,
    /// When what was heard.
    pub(crate) reply: Option<(Moment, ControlOutcome)>,
    /// In which term that was done or refused (none: by a node that coordinates none), and of which its view of the run is.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) view_of: Option<Epoch>,
    pub(crate) came_to: Vec<CameTo>,
}

/// What came of it at one time, and in which term; and of which term its view of the run is.
pub(crate) type CameTo = (ControlOutcome, Option<Epoch>, Option<Epoch>);

/// What one coordinator showed in its term.
#[derive(Debug, Default)]
pub(crate) struct Term {
    pub(crate) owner: usize,
    pub(crate) seen: Vec<(Moment, Seen)>,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    now: Moment,
    pub(crate) ops: Vec<Op>,
    pub(crate) terms: BTreeMap<Epoch, Term>,
    pub(crate) prompts: Vec<(Moment, OfPrompt)>,
}

impl History {
    pub(crate) fn invoke(&mut self, at: usize, to: usize, verb: Verb) -> Uid {
        self.now += 1;
        let uid = Uid::try_from(self.ops.len()).unwrap();
        let (invoked, came_to) = (self.now, Vec::new());
        let (reply, epoch, view_of) = (None, None, None);
        self.ops.push(Op { uid, at, to, verb, invoked, reply, epoch, view_of, came_to });
        uid
    }

    fn op(&mut self, uid: Uid) -> &mut Op {
        &mut self.ops[uid as usize]
    }

    pub(crate) fn take(&mut self, at: usize, told: Told) -> Result<(), String> {
        self.now += 1;
        let now = self.now;
        match told {
            Told::Seen(epoch, seen) => {
                let term = self.terms.entry(epoch).or_insert_with(|| Term { owner: at, seen: Vec::new() });
                if term.owner != at {
                    return Err(format!("nodes {at} and {} both have term {epoch}", term.owner));
                }
                term.seen.push((now, seen));
            }
            Told::CameTo { uid, outcome, epoch, view_of } => {
                self.op(uid).came_to.push((outcome, epoch, view_of));
            }
            Told::Prompt(shown) => self.prompts.push((now, shown)),
            Told::Replied { uid, outcome } => {
                let op = self.op(uid);
                let of = op.came_to.iter().rev().find(|(known, ..)| *known == outcome);
                (op.epoch, op.view_of) = of.map_or((None, None), |(_, epoch, view_of)| (*epoch, *view_of));
                op.reply = Some((now, outcome));
            }
        }
        Ok(())
    }
}

/// The tasks of a file that ask for approval.
pub(crate) fn gates(dag: &Dag) -> BTreeSet<TaskId> {
    dag.tasks.iter().filter(|task| task.approval.is_some()).map(|task| task.id.clone()).collect()
}

/// What people see of each of these events, which follow each other. A session at work that is adopted in a paused run stands between
/// two events of nobody, which change nothing about the pause.
pub(crate) fn seen_in_all(gates: &BTreeSet<TaskId>, facts: &[&Fact]) -> Vec<Vec<Seen>> {
    let mut seen: Vec<Vec<Seen>> = facts.iter().map(|fact| seen_in(gates, &fact.body)).collect();
    for (at, [first, grant, last]) in facts.array_windows().enumerate() {
        let adopts = matches!(
            (&first.body, &grant.body, &last.body),
            (EventBody::RunResumed {}, EventBody::TaskAssigned(_), EventBody::RunPaused {})
        );
        if adopts && first.actor.is_none() && last.actor.is_none() {
            seen[at].clear();
            seen[at + 2].clear();
        }
    }
    seen
}

/// What people see of an event.
fn seen_in(gates: &BTreeSet<TaskId>, body: &EventBody) -> Vec<Seen> {
    match body {
        EventBody::RunPaused {} => vec![Seen::Paused],
        EventBody::RunResumed {} => vec![Seen::Resumed],
        EventBody::RunCancelling { reason } => {
            vec![Seen::Cancelling { by_time: *reason == EndReason::RunTimeout }]
        }
        EventBody::RunRetried { scope, changes } => {
            let anew = changes.iter().filter(|change| change.state == TaskState::Pending);
            let closed = anew.map(|change| change.task.clone()).filter(|task| gates.contains(task));
            vec![Seen::Retried(scope.clone(), closed.collect())]
        }
        EventBody::RunCompleted {} => vec![Seen::Ended(RunState::Succeeded)],
        EventBody::RunFailed { .. } => vec![Seen::Ended(RunState::Failed)],
        EventBody::RunErrored { .. } => vec![Seen::Ended(RunState::Error)],
        EventBody::RunCancelled {} => vec![Seen::Ended(RunState::Cancelled)],
        EventBody::TaskApproved { task, by, .. } => vec![Seen::Approved(task.clone(), by.clone())],
        EventBody::TaskAssigned(grant) if gates.contains(&grant.task) => {
            vec![Seen::Begun(grant.task.clone(), grant.fence)]
        }
        EventBody::TaskStatus { changes } => {
            changes.iter().filter(|change| gates.contains(&change.task)).filter_map(seen_of_gate).collect()
        }
        _ => Vec::new(),
    }
}

fn seen_of_gate(TaskChange { task, state, end, queued }: &TaskChange) -> Option<Seen> {
    match (end, queued) {
        (_, Some(QueueReason::Approval { .. })) => Some(Seen::Asked(task.clone())),
        (Some(EndReason::Rejected { by, .. }), _) => Some(Seen::Rejected(task.clone(), by.clone())),
        (Some(EndReason::ApprovalTimeout { .. }), _) => Some(Seen::Expired(task.clone())),
        _ => state.is_terminal().then(|| Seen::Over(task.clone())),
    }
}
