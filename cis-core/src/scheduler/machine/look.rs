//! Which run and which task is meant, and whether it is this node's to decide on.

use super::Machine;
use crate::ids::{AttemptId, Fence, NodeDid, RunId};
use crate::scheduler::input::Rejected;
use crate::scheduler::state::Run;

impl Machine {
    pub(super) fn known(&self, id: RunId) -> Result<&Run, Rejected> {
        self.run(&id).ok_or(Rejected::NoRun(id))
    }

    /// The run, where it is this node's to decide on.
    pub(super) fn own(&self, id: RunId) -> Result<&Run, Rejected> {
        let run = self.known(id)?;
        if self.is_ours(run) {
            return Ok(run);
        }
        Err(Rejected::State(format!("run {id} is coordinated by {}, not by this node", run.facts().owner)))
    }

    pub(super) fn is_ours(&self, run: &Run) -> bool {
        self.is_self(&run.facts().owner)
    }

    pub(super) fn is_self(&self, did: &NodeDid) -> bool {
        *did == self.node || self.former.contains(did)
    }

    /// Index of the task whose attempt under way is `attempt`, granted with `fence` where that is known.
    pub(super) fn live_index(&self, attempt: &AttemptId, fence: Option<Fence>) -> Result<u32, Rejected> {
        let run = self.known(attempt.run)?;
        let task = || attempt.task.clone();
        let index =
            run.find(&attempt.task).ok_or_else(|| Rejected::NoTask { run: attempt.run, task: task() })?;
        match &run.entry(index).live {
            Some(live) if live.attempt == attempt.number && fence.is_none_or(|fence| fence == live.fence) => {
                Ok(index)
            }
            _ => Err(Rejected::Stale(format!("attempt {attempt} is not under way"))),
        }
    }

    /// Those to whom it matters how a task ends: what needs it, the task whose item it is, and its own items.
    pub(super) fn affected(&self, id: RunId, index: u32) -> Vec<u32> {
        let Some(run) = self.run(&id) else { return Vec::new() };
        let items = run.entry(index).expansion().map_or(&[][..], |expansion| &expansion.items);
        let parent = run.item_of(index).map(|(parent, _)| parent);
        run.links.dependents(index).chain(parent).chain(items.iter().copied()).collect()
    }
}
