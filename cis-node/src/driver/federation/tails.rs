//! Outputs of tasks on other nodes to which the texts of a task refer: fetched before the task starts.
//!
//! Owns which attempts wait for them. Which logs those are is the matter of `context`.

use super::super::Driver;
use super::files::{Giving, NOT_NOW, Then};
use crate::context;
use crate::file_jobs::{Job, Undone};
use crate::files::Stop;
use cis_core::event::ExecutionMode;
use cis_core::federation::protocol::message::Granted;
use cis_core::ids::{AttemptId, Fence, NodeDid, SessionId, TimestampMs};

impl Driver {
    /// Fetches the logs that an attempt needs before its texts can be completed. `node`: the node of a room that gets the attempt.
    /// Returns whether the attempt waits for that, or ended because of it.
    pub(in crate::driver) fn fetch_tails(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
        node: Option<&NodeDid>,
        now: TimestampMs,
    ) -> bool {
        let Some(run) = self.parts.machine.run(&attempt.run) else { return false };
        let Some((task, _)) = run.task(&attempt.task) else { return false };
        if run.facts().mode != ExecutionMode::Matrix {
            return false;
        }
        let logs = context::logs_elsewhere(run, task, (&self.parts.home, &self.parts.blobs));
        let granted = Granted { attempt: attempt.clone(), fence };
        let logs = match logs {
            Ok(logs) if logs.is_empty() => return false,
            Ok(logs) => logs,
            Err(why) => {
                self.fail_giving(granted, Undone::Task(why), now);
                return true;
            }
        };
        let (stop, then) = (Stop::default(), Then::Complete { session, node: node.cloned() });
        let job = Job::FetchLogs { granted: granted.clone(), logs, stop: stop.clone() };
        if self.parts.link.carry(job) {
            self.federation.files.give(attempt.clone(), Giving { fence, stop, then });
        } else {
            self.fail_giving(granted, Undone::Resources(NOT_NOW.to_owned()), now);
        }
        true
    }
}
