//! Grants of earlier terms that a worker has and the journal does not tell.
//!
//! Only the worker tells of them, so nothing of what it says is believed that an honest coordinator could not have done.

use super::{Machine, Turn};
use crate::dag::{Commit, Task};
use crate::event::{EventBody, GrantRecord, RunState, TaskState};
use crate::fence::{self, EPOCH_MAX};
use crate::ids::RunId;
use crate::scheduler::input::Rejected;
use crate::scheduler::outcome::{LOST_RETRIES_MAX, REMOTE_LOGIN_TRIES_MAX};
use crate::scheduler::placement::{NodeOffer, had_no_right_to};
use crate::scheduler::state::Run;
use crate::scheduler::task::Waits;

/// So many grants of a task may have been refused, for whatever reason, before the room knew of one of them. Only refusals for want of
/// resources ([`Refusal::Resources`](crate::api::Refusal::Resources)) delay the next grant: the delays between eight of them add up to
/// more than a minute.
const REFUSALS_UNTOLD_MAX: u32 = 16;

impl Machine {
    /// Counts a grant that was made in an earlier term and that the journal does not tell. Its session is at work already, so the run
    /// may be paused meanwhile, and the journal may have an older attempt of the task as the one under way. `member`: what the owners of
    /// the room say of its worker, if that does not say yet what it offers.
    pub(super) fn adopt(
        &mut self,
        id: RunId,
        grant: GrantRecord,
        member: &NodeOffer,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let run = self.own(id)?;
        let index =
            run.find(&grant.task).ok_or_else(|| Rejected::NoTask { run: id, task: grant.task.clone() })?;
        let (state, entry) = (run.state(), run.entry(index));
        if let Some(why) = self.why_not_granted(run, index, &grant, member) {
            let GrantRecord { task, attempt, fence, .. } = &grant;
            return Err(Rejected::State(format!(
                "run {id} is {state}, task `{task}` is {} after #{} with fence {}: #{attempt} with fence {fence} does not count: {why}",
                entry.state, entry.attempts, entry.fence
            )));
        }
        if entry.live.is_some() {
            self.supersede(id, index, turn)?;
        }
        let is_paused = state == RunState::Paused;
        // No run is assigned anything while it is paused, also by the rules of readers of earlier versions.
        if is_paused {
            self.emit(id, EventBody::RunResumed {}, turn)?;
        }
        self.emit(id, EventBody::TaskAssigned(grant), turn)?;
        if is_paused {
            self.emit(id, EventBody::RunPaused {}, turn)?;
        }
        self.touch(id);
        Ok(())
    }

    /// Why no coordinator of an earlier term can have made a grant, or why it must not count. None: it can, and counts.
    fn why_not_granted(
        &self,
        run: &Run,
        index: u32,
        grant: &GrantRecord,
        member: &NodeOffer,
    ) -> Option<String> {
        let (task, entry) = (run.spec(index), run.entry(index));
        let said = |why: &str| Some(why.to_owned());
        if !matches!(run.state(), RunState::Running | RunState::Paused) {
            return said("the run grants nothing");
        }
        if grant.attempt <= entry.attempts || grant.fence <= entry.fence {
            return said("it comes too late");
        }
        // In its own term a coordinator stores a grant before it sends it.
        if fence::epoch_of(grant.fence) >= run.facts().epoch.min(EPOCH_MAX) {
            return said("its fence is not one of an earlier term");
        }
        if grant.attempt - entry.attempts > untold_attempts_max(task) {
            return said("its number is larger than that of any attempt that the room could lack");
        }
        let is_startable = match &entry.live {
            Some(live) => live.stopping.is_none(),
            None => {
                entry.state == TaskState::Queued && matches!(entry.waits(), Waits::Turn | Waits::Until(_))
            }
        };
        if !is_startable {
            return said("the task was not to start");
        }
        if run.stays_home(index) && !self.is_self(&grant.node) {
            return said("the task stays on the node of its submitter");
        }
        if task.commit == Commit::Room {
            return said("its session does not begin before the room has its grant");
        }
        let heard = run.facts().room.as_ref().and_then(|room| self.offer_of(room, &grant.node));
        let (offer, is_heard) = (heard.unwrap_or(member), heard.is_some());
        let why = had_no_right_to(task, run.moves_files(index), &grant.node, (offer, is_heard))?;
        Some(format!("its worker {why}"))
    }
}

/// So many attempts of a task that its journal does not tell can a coordinator have made at most, if nobody retried it meanwhile: each
/// one but the last ended as a failure, lost, without a login, or was refused.
fn untold_attempts_max(task: &Task) -> u32 {
    let counted = task.retries.count.saturating_add(1).saturating_mul(REMOTE_LOGIN_TRIES_MAX);
    counted.saturating_add(LOST_RETRIES_MAX + REFUSALS_UNTOLD_MAX)
}
