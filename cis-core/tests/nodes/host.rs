//! The session host of a node: process trees that outlive the node, freeze by their lease, and ask and end when the walk says so.

use std::collections::{BTreeMap, BTreeSet};

use cis_core::api::Report;
use cis_core::event::AttemptOutcome;
use cis_core::federation::protocol::BootMs;
use cis_core::federation::protocol::message::Granted;
use cis_core::ids::{HostInstance, InputId, SessionId, TimestampMs};

use crate::plan::Plan;

/// What a node asks of its session host.
#[derive(Debug, Clone)]
pub(crate) enum ToHost {
    Start {
        session: SessionId,
        granted: Granted,
        failures: u32,
        /// So often it asks something before it ends.
        questions: u32,
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

/// An answer that is typed, as the hub of a node has it.
#[derive(Debug, Clone)]
pub(crate) struct Typing {
    pub(crate) session: SessionId,
    /// Of the prompt that it is for.
    pub(crate) episode: u32,
    pub(crate) input: InputId,
    /// It was recorded before.
    pub(crate) repeated: bool,
}

/// Why an answer was not typed, in the words of `cis_host::hub::HubError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTyped {
    #[error("there is no such session: nothing was typed")]
    NoSuchSession,
    #[error("the prompt has changed: nothing was typed")]
    PromptMoved,
    #[error("nobody waits for it: nothing was typed")]
    NotAwaited,
    #[error("this answer cannot be typed now, and whether it was typed before is not known")]
    Unknown,
    #[error("the session host has not said whether it typed: it may have been typed, or may be yet")]
    Unconfirmed,
}

impl NotTyped {
    pub(crate) fn may_have_typed(self) -> bool {
        matches!(self, Self::Unknown | Self::Unconfirmed)
    }
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
    /// So much it has yet to ask.
    questions: u32,
    /// So much it asked: the number of its newest prompt.
    pub(crate) asked: u32,
    waits: bool,
    /// The answers that were typed.
    typed: BTreeSet<InputId>,
    /// An answer that the host has, and is slow about.
    late: Option<Typing>,
}

impl Tree {
    /// Its newest prompt stands on its screen.
    pub(crate) fn stands(&self) -> bool {
        self.waits && self.exit.is_none()
    }

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
            (ToHost::Start { session, granted, failures, questions }, None) => {
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
                    questions,
                    asked: 0,
                    waits: false,
                    typed: BTreeSet::new(),
                    late: None,
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

    /// Whether an answer was typed before.
    pub(crate) fn was_typed(&self, typing: &Typing) -> bool {
        self.trees.get(&typing.session).is_some_and(|tree| tree.typed.contains(&typing.input))
    }

    /// Types an answer, once by its id. Gives the number of the prompt that took it. `hangs`: it is slow about that.
    pub(crate) fn type_in(&mut self, typing: &Typing, hangs: bool) -> Result<u32, NotTyped> {
        let Some(tree) = self.trees.get_mut(&typing.session).filter(|tree| tree.exit.is_none()) else {
            return Err(NotTyped::NoSuchSession);
        };
        if tree.typed.contains(&typing.input) {
            return Ok(typing.episode);
        }
        if tree.late.as_ref().is_some_and(|late| late.input == typing.input) {
            return Err(NotTyped::Unconfirmed);
        }
        if !tree.waits || tree.asked != typing.episode {
            return Err(NotTyped::PromptMoved);
        }
        if !tree.works() {
            return Err(NotTyped::NotAwaited);
        }
        if hangs {
            tree.late = Some(typing.clone());
            return Err(NotTyped::Unconfirmed);
        }
        tree.typed.insert(typing.input);
        tree.waits = false;
        Ok(tree.asked)
    }

    /// Types what it was slow about, if its prompt still stands.
    pub(crate) fn type_late(&mut self, session: SessionId) -> Option<Typing> {
        let typing = self.trees.get_mut(&session)?.late.take()?;
        self.type_in(&typing, false).is_ok().then_some(typing)
    }

    /// A program goes on: it asks, waits no longer (`gives_up`), or ends, by itself or because it was told to.
    pub(crate) fn go_on(&mut self, plan: &Plan, session: SessionId, wall: TimestampMs, gives_up: bool) {
        let Some(tree) = self.trees.get_mut(&session) else { return };
        if !tree.is_dying && !tree.is_cancelled {
            if tree.waits {
                tree.waits = !gives_up;
                return;
            }
            if tree.questions > 0 {
                tree.questions -= 1;
                tree.asked += 1;
                tree.waits = true;
                return;
            }
        }
        let at = (tree.started_ms, wall);
        tree.exit = Some(if tree.is_cancelled {
            Report::bare(AttemptOutcome::Cancelled, Some(at.0), at.1)
        } else {
            plan.report(&tree.granted.attempt.task, tree.failures, at)
        });
    }
}
