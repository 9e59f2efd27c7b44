//! Tasks with `commit = "room"`, at the worker that was granted one: it starts when the room has its grant.
//!
//! A journal is one line of entries, and its reader takes a grant only where the tasks before it have ended. So a reader that has the grant
//! has also read the results that the task builds on, and no takeover that comes later in the room can void them.

use super::protocol::message::Granted;
use crate::ids::NodeDid;
use crate::scheduler::Run;

/// Whether a run, as far as `node` has read it in its room, has this grant to that node, and nothing that came after it ended or
/// replaced the grant.
#[must_use]
pub fn has_grant(run: &Run, granted: &Granted, node: &NodeDid) -> bool {
    let live = run.task(&granted.attempt.task).and_then(|(_, entry)| entry.live.as_deref());
    live.is_some_and(|live| {
        live.attempt == granted.attempt.number && live.fence == granted.fence && live.node == *node
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::dag::{Action, Dag, Task};
    use crate::event::{EventBody, ExecutionMode, GrantRecord, RunCreated, TaskChange, TaskState};
    use crate::ids::{AttemptId, BlobId, RunId, SessionId, TaskId};

    #[test]
    fn only_the_newest_grant_of_a_task_to_this_node_counts() {
        let (id, task) = (RunId::from_parts(1, 1), TaskId::new("t").unwrap());
        let did = |name: &str| NodeDid(name.to_owned());
        let action = Action::Command(vec!["true".into()]);
        let dag = Dag { tasks: vec![Task::new(task.clone(), action)], ..Dag::default() };
        let facts = RunCreated {
            dag: "d".into(),
            source: "d.toml".into(),
            spec: BlobId("00".into()),
            tasks: 1,
            params: BTreeMap::new(),
            max_parallel: 1,
            workdir: "/".into(),
            base_env: None,
            umask: None,
            mode: ExecutionMode::Matrix,
            owner: did("a"),
            room: Some("!r:x".into()),
            parent: None,
            epoch: 0,
            no_cache: false,
            kept: Vec::new(),
            use_agent: None,
            named: Vec::new(),
            submitter: None,
        };
        let mut run = Run::new(id, &facts, Arc::new(dag), 0).unwrap();
        let granted =
            |number, fence| Granted { attempt: AttemptId { run: id, task: task.clone(), number }, fence };
        let grant = GrantRecord {
            task: task.clone(),
            attempt: 1,
            fence: 5,
            session: SessionId::from_parts(1, 1),
            node: did("w"),
            host: None,
            lease_ms: None,
            ahead: false,
        };
        assert!(!has_grant(&run, &granted(1, 5), &did("w")), "not read yet");
        let queued = TaskChange { task: task.clone(), state: TaskState::Queued, end: None, queued: None };
        for body in [
            EventBody::RunStarted {},
            EventBody::TaskStatus { changes: vec![queued] },
            EventBody::TaskAssigned(grant),
        ] {
            run.apply(&body, 1).unwrap();
        }
        assert!(has_grant(&run, &granted(1, 5), &did("w")));
        for (other, node) in [(granted(1, 6), "w"), (granted(2, 5), "w"), (granted(1, 5), "v")] {
            assert!(!has_grant(&run, &other, &did(node)), "{other:?} of {node}");
        }
    }
}
