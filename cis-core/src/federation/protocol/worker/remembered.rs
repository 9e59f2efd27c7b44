//! What a worker remembers of its grants across a restart of its node.

use serde::{Deserialize, Serialize};

use super::super::message::{Granted, Payload};
use super::super::settings::BootMs;
use super::{Held, Phase, Term, WorkerHalf, key};
use crate::ids::{Epoch, NodeDid, RunId, SessionId, TaskId, TimestampMs};

/// What is to be remembered otherwise than before.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<P: Payload> {
    /// This, of its task.
    Keep(Box<Remembered<P>>),
    /// Nothing of this task.
    Forget(RunId, TaskId),
}

/// What a worker remembers of a grant across a restart of its node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "P::Report: Serialize, P::Progress: Serialize",
    deserialize = "P::Report: Deserialize<'de>, P::Progress: Deserialize<'de>"
))]
pub struct Remembered<P: Payload> {
    /// The coordinator's term in which it was granted or adopted.
    pub epoch: Epoch,
    /// Of that term.
    pub coordinator: NodeDid,
    /// Which.
    pub granted: Granted,
    /// Its session.
    pub session: SessionId,
    /// Where it ended: how.
    pub report: Option<P::Report>,
    /// Its grant is void: it was being killed.
    pub void: bool,
    /// Its session is frozen then, ms.
    pub lease_end: BootMs,
    /// What its session went through, without what nobody needs any more.
    pub progress: Vec<P::Progress>,
    /// The numbers of these pieces. An earlier version left nothing out, and wrote none.
    #[serde(default)]
    pub numbers: Vec<u32>,
    /// Where its session is being ended, and what it leaves is wanted: ms between SIGTERM and SIGKILL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_in_grace_ms: Option<u64>,
    /// When this node heard that its result was handed in, Unix ms. Earlier versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_in_ms: Option<TimestampMs>,
}

impl<P: Payload> WorkerHalf<P> {
    /// Takes back what it held before its node was restarted.
    pub fn restore(&mut self, remembered: Remembered<P>, now: BootMs) {
        let Remembered {
            epoch,
            coordinator,
            granted,
            session,
            report,
            void,
            lease_end,
            progress,
            numbers,
            hand_in_grace_ms,
            handed_in_ms,
        } = remembered;
        let numbers =
            if numbers.len() == progress.len() { numbers } else { (0..).take(progress.len()).collect() };
        let end = numbers.last().map_or(0, |last| last.saturating_add(1));
        let progress = numbers.into_iter().zip(progress).collect();
        self.hears_of_term(granted.attempt.run, epoch, &coordinator);
        // The clock of an earlier boot may have been anywhere.
        let lease_end = if report.is_some() { lease_end.min(now) } else { lease_end };
        let phase = match report {
            Some(report) => Phase::Ended { report, recorded: false, resend_at: 0 },
            None if void => Phase::Killed,
            None => Phase::Working,
        };
        let held = Held {
            granted,
            session,
            lease_end,
            phase,
            progress,
            end,
            noted: 0,
            unsent: 0,
            progress_at: 0,
            hand_in_grace_ms,
            handed_in_ms,
            is_sharing: false,
            next: None,
        };
        self.held.insert(key(&held.granted), held);
    }

    /// What is to be remembered otherwise than at the last call: durable before anything that follows from it.
    pub fn take_changes(&mut self) -> Vec<Change<P>> {
        let changed = std::mem::take(&mut self.changed);
        let change = |key: (RunId, TaskId)| match self.remember(&key) {
            Some(kept) => Change::Keep(Box::new(kept)),
            None => Change::Forget(key.0, key.1),
        };
        changed.into_iter().map(change).collect()
    }

    fn remember(&self, key: &(RunId, TaskId)) -> Option<Remembered<P>> {
        let held = self.held.get(key)?;
        let Term { epoch, coordinator, .. } = self.terms.get(&key.0)?.clone();
        let report = match &held.phase {
            Phase::Ended { report, .. } => Some(report.clone()),
            Phase::Working | Phase::Frozen { .. } | Phase::Killed => None,
        };
        Some(Remembered {
            epoch,
            coordinator,
            granted: held.granted.clone(),
            session: held.session,
            report,
            void: held.phase == Phase::Killed,
            lease_end: held.lease_end,
            progress: held.progress.iter().map(|(_, piece)| piece.clone()).collect(),
            numbers: held.progress.iter().map(|(number, _)| *number).collect(),
            hand_in_grace_ms: held.hand_in_grace_ms,
            handed_in_ms: held.handed_in_ms,
        })
    }
}
