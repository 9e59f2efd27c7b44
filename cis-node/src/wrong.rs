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
    /// Its sender coordinates the run no more, or never did.
    Term,
    /// Its sender says in the journal of a run that it took it over, and may not.
    Takeover,
    /// It has the key of this node.
    Twin,
    /// It has the place of another entry of a journal.
    Forked,
}
