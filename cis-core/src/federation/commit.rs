//! Tasks with `commit = "room"`, at the worker that was granted one: it starts when the room has its grant.
//!
//! A journal is one line of entries, and its reader takes a grant only where the tasks before it have ended. So a reader that has the grant
//! has also read the results that the task builds on, and no takeover that comes later in the room can void them.

use super::protocol::message::Granted;
use crate::ids::NodeDid;
use crate::scheduler::Run;

/// Whether a run, as far as it was read in its room, has this grant to a node that `is_it` knows, and nothing that came after it ended
/// or replaced the grant.
#[must_use]
pub fn has_grant(run: &Run, granted: &Granted, is_it: impl Fn(&NodeDid) -> bool) -> bool {
    let live = run.task(&granted.attempt.task).and_then(|(_, entry)| entry.live.as_deref());
    live.is_some_and(|live| {
        live.attempt == granted.attempt.number && live.fence == granted.fence && is_it(&live.node)
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample::{at, created, fold, granted, queued, run_id, task};
    use super::*;
    use crate::event::EventBody;
    use crate::ids::AttemptId;

    #[test]
    fn only_the_newest_grant_of_a_task_to_this_node_counts() {
        let did = |name: &str| NodeDid(name.to_owned());
        let of =
            |number, fence| Granted { attempt: AttemptId { run: run_id(), task: task(0), number }, fence };
        let has = |facts: &[_], granted: &Granted, name| {
            has_grant(fold(facts).run(), granted, |node| *node == did(name))
        };
        let mut facts = vec![at(1, EventBody::RunCreated(Box::new(created(1, &did("a")))))];
        assert!(!has(&facts, &of(1, 1), "w"), "not read yet");
        facts.extend([EventBody::RunStarted {}, queued(0), granted(0, &did("w"))].map(|body| at(1, body)));
        assert!(has(&facts, &of(1, 1), "w"));
        for (other, name) in [(of(1, 2), "w"), (of(2, 1), "w"), (of(1, 1), "v")] {
            assert!(!has(&facts, &other, name), "{other:?} of {name}");
        }
    }
}
