//! The session host of a node: process trees that outlive the node, freeze by their lease, and end when the walk says so.

use std::collections::BTreeMap;

use cis_core::api::Report;
use cis_core::event::AttemptOutcome;
use cis_core::federation::protocol::BootMs;
use cis_core::federation::protocol::message::Granted;
use cis_core::ids::{HostInstance, SessionId, TimestampMs};

use crate::plan::Plan;

/// What a node asks of its session host.
#[derive(Debug, Clone)]
pub(crate) enum ToHost {
    Start {
        session: SessionId,
        granted: Granted,
        failures: u32,
    },
    /// It freezes so long after the message came.
    FreezeIn {
        session: SessionId,
        after_ms: i64,
    },
    Freeze(SessionId),
    Thaw(SessionId),
    Cancel {
        session: SessionId,
        grace_ms: u64,
    },
    /// Its end was heard.
    Ack(SessionId),
}

#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) granted: Granted,
    failures: u32,
    started_ms: TimestampMs,
    freeze_at: Option<BootMs>,
    pub(crate) is_frozen: bool,
    /// It got SIGKILL: nothing of it runs any more.
    pub(crate) is_dying: bool,
    is_cancelled: bool,
    pub(crate) exit: Option<Report>,
    pub(crate) is_told: bool,
}

impl Tree {
    /// Something of it runs.
    pub(crate) fn works(&self) -> bool {
        self.exit.is_none() && !self.is_frozen && !self.is_dying
    }

    /// A frozen program cannot end by itself.
    pub(crate) fn can_end(&self) -> bool {
        self.exit.is_none() && (self.is_dying || !self.is_frozen)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) instance: HostInstance,
    pub(crate) trees: BTreeMap<SessionId, Tree>,
}

impl Host {
    pub(crate) fn new(n: u128) -> Self {
        Self { instance: HostInstance::from_parts(1, n), trees: BTreeMap::new() }
    }

    /// Gives the grant whose session began, where one did.
    pub(crate) fn take(&mut self, message: ToHost, boot: BootMs, wall: TimestampMs) -> Option<Granted> {
        let tree = match &message {
            ToHost::Start { session, .. }
            | ToHost::FreezeIn { session, .. }
            | ToHost::Freeze(session)
            | ToHost::Thaw(session)
            | ToHost::Cancel { session, .. }
            | ToHost::Ack(session) => self.trees.get_mut(session),
        };
        match (message, tree) {
            (ToHost::Start { session, granted, failures }, None) => {
                let tree = Tree {
                    granted: granted.clone(),
                    failures,
                    started_ms: wall,
                    freeze_at: None,
                    is_frozen: false,
                    is_dying: false,
                    is_cancelled: false,
                    exit: None,
                    is_told: false,
                };
                self.trees.insert(session, tree);
                return Some(granted);
            }
            (ToHost::FreezeIn { after_ms, .. }, Some(tree)) => tree.freeze_at = Some(boot + after_ms),
            (ToHost::Freeze(_), Some(tree)) => tree.is_frozen = true,
            (ToHost::Thaw(_), Some(tree)) => tree.is_frozen = tree.is_dying,
            (ToHost::Cancel { grace_ms, .. }, Some(tree)) => {
                tree.is_cancelled = true;
                tree.is_dying |= grace_ms == 0;
            }
            (ToHost::Ack(session), Some(_)) => drop(self.trees.remove(&session)),
            (_, _) => {}
        }
        None
    }

    /// Freezes what has no lease any more.
    pub(crate) fn pass_time(&mut self, boot: BootMs) {
        for tree in self.trees.values_mut() {
            tree.is_frozen |= tree.freeze_at.is_some_and(|at| at <= boot);
        }
    }

    pub(crate) fn next_freeze(&self) -> Option<BootMs> {
        self.trees.values().filter(|tree| tree.works()).filter_map(|tree| tree.freeze_at).min()
    }

    /// A program ends, by itself or because it was told to.
    pub(crate) fn finish(&mut self, plan: &Plan, session: SessionId, wall: TimestampMs) {
        let Some(tree) = self.trees.get_mut(&session) else { return };
        let at = (tree.started_ms, wall);
        tree.exit = Some(if tree.is_cancelled {
            Report::bare(AttemptOutcome::Cancelled, Some(at.0), at.1)
        } else {
            plan.report(&tree.granted.attempt.task, tree.failures, at)
        });
    }
}
