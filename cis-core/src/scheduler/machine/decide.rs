//! Approval gates: a human's decision, and what comes of none.

use super::{Machine, Turn};
use crate::event::{EndReason, EventBody, TaskChange, TaskState};
use crate::ids::{RunId, TaskId};
use crate::scheduler::Run;
use crate::scheduler::input::Rejected;

impl Machine {
    /// The first decision counts; whoever comes later hears of it.
    pub(super) fn decide(
        &mut self,
        id: RunId,
        task: &TaskId,
        approve: bool,
        reason: Option<String>,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let run = self.own(id)?;
        let index = run.find(task).ok_or_else(|| Rejected::NoTask { run: id, task: task.clone() })?;
        if !run.entry(index).waits_for_approval() {
            return Err(Rejected::State(not_asked(run, index)));
        }
        let by = turn.actor.as_ref().map_or_else(|| "this node".to_owned(), |actor| actor.name.clone());
        if approve {
            let body = EventBody::TaskApproved { task: task.clone(), by, comment: reason };
            self.emit(id, body, turn)?;
            return self.finish(id, [index], turn);
        }
        let end = EndReason::Rejected { by, reason: reason.unwrap_or_default() };
        self.fail(id, vec![(index, end)], turn)
    }

    /// Tasks that nobody has approved in time.
    pub(super) fn expire(&mut self, id: RunId, turn: &Turn) -> Result<(), Rejected> {
        let run = self.known(id)?;
        let late = run.index.expiries.iter().take_while(|(at_ms, _)| *at_ms <= turn.now);
        let mut late: Vec<u32> = late.map(|(_, index)| *index).collect();
        if late.is_empty() {
            return Ok(());
        }
        late.sort_unstable();
        let end = |index: u32| {
            let approval = run.spec(index).approval.as_ref();
            let limit_ms = approval.and_then(|approval| approval.timeout_ms).unwrap_or_default();
            (index, EndReason::ApprovalTimeout { limit_ms })
        };
        let ends = late.into_iter().map(end).collect();
        self.fail(id, ends, turn)
    }

    fn fail(&mut self, id: RunId, ends: Vec<(u32, EndReason)>, turn: &Turn) -> Result<(), Rejected> {
        let run = self.known(id)?;
        let seeds: Vec<u32> = ends.iter().flat_map(|(index, _)| self.affected(id, *index)).collect();
        let change = |(index, end): (u32, EndReason)| {
            let (task, state) = (run.spec(index).id.clone(), TaskState::Failed);
            TaskChange { task, state, end: Some(end), queued: None }
        };
        let changes = ends.into_iter().map(change).collect();
        self.emit(id, EventBody::TaskStatus { changes }, turn)?;
        self.finish(id, seeds, turn)
    }
}

/// Why there is nothing to decide: in most cases somebody was first.
fn not_asked(run: &Run, index: u32) -> String {
    let (spec, entry) = (run.spec(index), run.entry(index));
    let id = &spec.id;
    match (&entry.end, entry.approved_by()) {
        (_, Some(by)) => format!("task `{id}` was approved by {by} already"),
        (Some(end @ (EndReason::Rejected { .. } | EndReason::ApprovalTimeout { .. })), _) => {
            format!("task `{id}` has failed already: {end}")
        }
        _ if spec.item.is_some() => {
            format!("task `{id}` is an item: approval is asked for once, for all items of a task")
        }
        _ if spec.approval.is_none() => format!("task `{id}` needs no approval"),
        _ => format!("task `{id}` is {}, nobody is asked to approve it now", entry.state),
    }
}
