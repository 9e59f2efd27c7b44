//! What people are told of sessions here that are frozen. Freezing itself is the worker's half of the protocol, and the session host's.

use cis_core::federation::protocol::BootMs;
use cis_core::federation::protocol::message::Granted;
use cis_core::ids::{AttemptId, RunId, TaskId};
use cis_core::text::duration;

use crate::account::boot_ms;
use crate::driver::Driver;

/// Why leases end. The worker does not know which of these it is.
const WHY: &str = "the node that coordinates the run is not heard, or the task has no place in a group of the room any more";

impl Driver {
    /// What `cis node status` says of frozen sessions, room by room.
    pub(in crate::driver) fn frozen_warnings(&self) -> impl Iterator<Item = String> {
        self.federation.rooms.iter().filter_map(|(name, room)| {
            let frozen: Vec<BootMs> =
                room.worker.iter().flat_map(|worker| worker.frozen()).map(since).collect();
            let first = frozen.iter().min()?;
            let ago = ago(*first);
            Some(match frozen.len() {
                1 => format!(
                    "room {name}: 1 session here has been frozen (SIGSTOP) for {ago}: {WHY}. It continues when its lease is renewed"
                ),
                count => format!(
                    "room {name}: {count} sessions here are frozen (SIGSTOP), the first one for {ago}: {WHY}. They continue when \
                     their leases are renewed"
                ),
            })
        })
    }

    /// Why a task does not go on although its session is here; none: it is not frozen.
    pub(in crate::driver) fn why_frozen(&self, run: RunId, task: &TaskId) -> Option<String> {
        let workers = self.federation.rooms.values().filter_map(|room| room.worker.as_ref());
        let mut frozen = workers.flat_map(|worker| worker.frozen());
        let is_it = |attempt: &AttemptId| attempt.run == run && attempt.task == *task;
        let since = frozen.find(|(granted, _)| is_it(&granted.attempt)).map(since)?;
        Some(format!(
            "Its session has been frozen (SIGSTOP) for {}: {WHY}. It continues when its lease is renewed.",
            ago(since)
        ))
    }
}

fn since((_, since): (&Granted, BootMs)) -> BootMs {
    since
}

fn ago(since: BootMs) -> String {
    duration(u64::try_from(boot_ms().saturating_sub(since)).unwrap_or(0))
}
