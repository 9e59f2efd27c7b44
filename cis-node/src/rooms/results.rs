//! Results of other nodes' runs that tasks of this node may use instead of running.
//!
//! Owns which results of a journal those are. Who may vouch for one, and when it counts, is the matter of `crate::transfers`.

use crate::cache::{Entry, RoomKey, Success};
use crate::node::Node;
use cis_core::event::{EventBody, ExecutionMode};
use cis_core::federation::journal::Fact;
use cis_core::identity::Right;
use cis_core::scheduler::Run;
use cis_local::now_ms;

impl Node {
    /// Keeps results that coordinators of a room told, if this node may coordinate runs there: nobody else looks for them.
    pub(super) fn keep_told(&self, room: &str, results: &[Entry]) {
        if self.members.of(room).is_none_or(|of| of.may(&self.did, Right::Coordinate)) {
            self.keep_results(results);
        }
    }
}

/// The entry of a result, as its coordinator told it; `run`: as it was before. A coordinator speaks for results of its own runs alone: a
/// journal has no entries of anybody else.
pub(super) fn entry_of(run: &Run, fact: &Fact) -> Option<Entry> {
    let EventBody::TaskResult(result) = &fact.body else { return None };
    let facts = run.facts();
    let room = facts.room.as_deref().filter(|_| facts.mode == ExecutionMode::Matrix)?;
    let key = RoomKey::of_told(room, result.cache_key.as_deref()?)?;
    let (_, task) = run.task(&result.task)?;
    let live = task.live.as_ref().filter(|live| live.fence == result.fence)?;
    let success = Success::of_result(run.id(), result)?;
    Some(success.entry(&key, live.node.clone(), facts.owner.clone(), now_ms()))
}
