//! What nodes of a room say to each other directly. Carriers may lose, repeat and reorder these messages.

use serde::{Deserialize, Serialize};

use super::groups::message::GroupMessage;
use super::voters::VoterMessage;
use crate::api::Refusal;
use crate::ids::{AttemptId, Epoch, Fence, RunId, SessionId};

/// What grants and results carry, and the protocol does not look into.
pub trait Payload: Clone + std::fmt::Debug + PartialEq {
    /// What is run.
    type Spec: Clone + std::fmt::Debug + PartialEq;
    /// How an attempt ended.
    type Report: Clone + std::fmt::Debug + PartialEq;
    /// What a worker offers: slots, load, tags, agents.
    type Status: Clone + std::fmt::Debug + PartialEq;
    /// What a session of an attempt goes through, for the coordinator to know.
    type Progress: Clone + std::fmt::Debug + PartialEq;

    /// What one coordinator is told of it: `others` of the sessions are those of other coordinators.
    fn told(status: &Self::Status, others: u32) -> Self::Status {
        let _ = others;
        status.clone()
    }

    /// How many sessions a worker with this status runs at a time.
    fn slots(status: &Self::Status) -> u32 {
        let _ = status;
        u32::MAX
    }

    /// How much room it takes in a message: [`PROGRESS_WEIGHT_MAX`] fit into one.
    fn weight(progress: &Self::Progress) -> usize {
        let _ = progress;
        1
    }

    /// Whether the result tells as much later. It is not repeated soon, and the result does not wait for it.
    fn is_routine(progress: &Self::Progress) -> bool {
        let _ = progress;
        false
    }

    /// Leaves out what nobody needs any more, a node that takes the run over neither. `progress` is what its coordinator has, in
    /// order.
    fn shorten(progress: &mut Vec<(u32, Self::Progress)>) {
        let _ = progress;
    }
}

/// So much progress goes into one message; one that is larger goes alone.
pub const PROGRESS_WEIGHT_MAX: usize = 16;

/// Number of a heartbeat of one node, which only that node can date.
pub type Nonce = u64;

/// An attempt under the fence of its grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Granted {
    /// The attempt.
    pub attempt: AttemptId,
    /// Of its grant.
    pub fence: Fence,
}

/// An attempt that a worker has, whether its session lives or has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeldRecord {
    /// Which.
    #[serde(flatten)]
    pub granted: Granted,
    /// Its session.
    pub session: SessionId,
    /// How it is.
    pub state: HeldState,
}

/// How an attempt is at its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldState {
    /// Its session works, or waits for its turn.
    Working,
    /// Its lease is over, and its processes are stopped.
    Frozen,
    /// It ended; its result is kept.
    Ended,
}

/// A grant on its way to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant<S> {
    /// The attempt and its fence.
    #[serde(flatten)]
    pub granted: Granted,
    /// The session to start.
    pub session: SessionId,
    /// What is run.
    pub spec: S,
}

/// Which part of a node a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressee {
    /// The worker: it comes from a coordinator.
    Worker,
    /// The coordinator: it comes from a worker.
    Coordinator,
    /// A voter: it comes from another one.
    Voter,
}

impl<P: Payload> Message<P> {
    /// Which part of a node takes this.
    #[must_use]
    pub const fn addressee(&self) -> Addressee {
        match self {
            Self::Grant { .. }
            | Self::Renew { .. }
            | Self::Cancel { .. }
            | Self::Noted { .. }
            | Self::Recorded { .. }
            | Self::Forget { .. }
            | Self::Recover { .. } => Addressee::Worker,
            Self::Heartbeat { .. }
            | Self::Holding { .. }
            | Self::Claimed { .. }
            | Self::Refused { .. }
            | Self::Unknown { .. }
            | Self::Progress { .. }
            | Self::Result { .. } => Addressee::Coordinator,
            Self::Alive {} | Self::Groups { .. } | Self::Voters { .. } => Addressee::Voter,
        }
    }
}

/// A message of one node to another, without the envelope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[serde(bound(
    serialize = "P::Spec: Serialize, P::Report: Serialize, P::Status: Serialize, P::Progress: Serialize",
    deserialize = "P::Spec: Deserialize<'de>, P::Report: Deserialize<'de>, P::Status: Deserialize<'de>, P::Progress: Deserialize<'de>"
))]
pub enum Message<P: Payload> {
    /// A worker is there. To all coordinators.
    Heartbeat {
        /// Of this heartbeat.
        nonce: Nonce,
        /// What it offers.
        status: P::Status,
    },
    /// A coordinator is there. To all other voters.
    Alive {},
    /// Run this.
    Grant {
        /// The sender's term in the run.
        epoch: Epoch,
        /// A heartbeat of the receiver: the lease begins when that was sent.
        nonce: Nonce,
        /// How long the lease is, ms.
        lease_ms: i64,
        /// What.
        grant: Grant<P::Spec>,
    },
    /// These grants hold on.
    Renew {
        /// The run of all of them.
        run: RunId,
        /// The sender's term in the run.
        epoch: Epoch,
        /// A heartbeat of the receiver: the leases begin when that was sent.
        nonce: Nonce,
        /// How long the leases are, ms.
        lease_ms: i64,
        /// Which.
        grants: Vec<Granted>,
    },
    /// End it: SIGTERM, then SIGKILL.
    Cancel {
        /// The sender's term in the run.
        epoch: Epoch,
        /// Which.
        granted: Granted,
        /// Between the two signals, ms.
        grace_ms: u64,
        /// Collect what it leaves, as its result was handed in.
        keep: bool,
    },
    /// Progress is durable at the coordinator.
    Noted {
        /// The sender's term in the run.
        epoch: Epoch,
        /// Which.
        granted: Granted,
        /// Number of the first one that the sender does not have.
        next: u32,
    },
    /// The result is durable at the coordinator. It may still be lost with that machine.
    Recorded {
        /// The sender's term in the run.
        epoch: Epoch,
        /// Which.
        granted: Granted,
    },
    /// Nothing of it is needed any more: the result is final, or the grant is void. A session that lives is ended.
    Forget {
        /// The sender's term in the run.
        epoch: Epoch,
        /// Which.
        granted: Granted,
    },
    /// The sender coordinates the run from now on, and asks what the receiver has of it. The receiver takes nothing from
    /// earlier terms from now on.
    Recover {
        /// The run.
        run: RunId,
        /// The new term.
        epoch: Epoch,
    },
    /// Answer to `Recover`.
    Holding {
        /// The run.
        run: RunId,
        /// The term that the receiver named.
        epoch: Epoch,
        /// All that the sender has of it.
        held: Vec<HeldRecord>,
    },
    /// The grant is taken.
    Claimed {
        /// Which.
        granted: Granted,
    },
    /// The grant is not taken, or was given back.
    Refused {
        /// Which.
        granted: Granted,
        /// Why.
        reason: Refusal,
    },
    /// The sender has nothing of it, and will not take it from grants that are under way.
    Unknown {
        /// Which.
        granted: Granted,
    },
    /// What its session went through. Repeated until `Noted` comes; what only says that the session began or ended goes only with
    /// heartbeats, and `Noted` answers it only then.
    Progress {
        /// Which.
        granted: Granted,
        /// Number of the first of them, from 0.
        first: u32,
        /// In order.
        progress: Vec<P::Progress>,
    },
    /// It ended. Repeated until `Forget` comes.
    Result {
        /// Which.
        granted: Granted,
        /// How.
        report: P::Report,
    },
    /// Places in the groups of the room: between a coordinator and the one that keeps them.
    Groups {
        /// What.
        of: GroupMessage,
    },
    /// Who coordinates runs: between the voters of a room, where they use several homeservers.
    Voters {
        /// What.
        of: VoterMessage,
    },
}
