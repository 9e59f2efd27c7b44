//! Why something that another node of a room said changes nothing: what the audit tells apart.

use cis_core::identity::Right;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// No owner of the room trusts its sender.
    Untrusted,
    /// Its sender has not this right.
    Without(Right),
    /// The policy of this node forbids the task that it grants.
    Policy,
    /// It does not fit what is known.
    Unfitting,
    /// The worker does not obey it. In most cases its sender does not coordinate the run any more.
    Term,
    /// Its sender wrote into the journal of a run that it took the run over, but has no right to do so.
    Takeover,
    /// It has the key of this node.
    Twin,
    /// It has the place of another entry of a journal.
    Forked,
}
