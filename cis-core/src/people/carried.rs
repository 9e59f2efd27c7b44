//! What the way of an event lets it do: in an encrypted room only what nobody between could have made.

use super::Refusal;
use crate::prompt::PromptKind;

/// How an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// Its room is encrypted.
    pub room_encrypted: bool,
    /// It was encrypted itself. Reactions never are.
    pub encrypted: bool,
    /// How far its device is known to be its sender's.
    pub device: DeviceTrust,
}

/// How far a device is known to be its owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceTrust {
    /// Its owner has not signed it (cross-signing), or nobody can tell.
    Unsigned,
    /// It may be signed by its owner, whose identity is not the one that this node knew: the homeserver could have made it.
    IdentityChanged,
    /// Its owner has signed it.
    Signed,
}

impl DeviceTrust {
    /// Whether its owner has signed it.
    ///
    /// # Errors
    /// [`Refusal`], with what to do about it.
    pub fn check(self) -> Result<(), Refusal> {
        match self {
            Self::Signed => Ok(()),
            Self::IdentityChanged => Err(Refusal::IdentityChanged),
            Self::Unsigned => Err(Refusal::Unverified),
        }
    }
}

/// What an event would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A reaction that answers a question.
    ReactToQuestion,
    /// A reaction that would decide: about a permission, an approval, a review, or what is not known.
    ReactToDecide,
    /// A reply that answers a question.
    ReplyToQuestion,
    /// A reply that would decide.
    ReplyToDecide,
    /// Words that say all by themselves: a command.
    Words,
}

impl Act {
    /// A reaction to something that waits for this.
    #[must_use]
    pub fn reaction_to(kind: PromptKind) -> Self {
        if kind == PromptKind::Question { Self::ReactToQuestion } else { Self::ReactToDecide }
    }

    /// A reply to something that waits for this.
    #[must_use]
    pub fn reply_to(kind: PromptKind) -> Self {
        if kind == PromptKind::Question { Self::ReplyToQuestion } else { Self::ReplyToDecide }
    }
}

/// What is taken in encrypted rooms. In a plain room its homeserver can speak as anybody anyway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carriers {
    /// Reactions decide too, though the homeserver could make them.
    pub reactions_decide: bool,
    /// Words count from devices that their owner has not signed.
    pub unsigned_devices: bool,
}

impl Carriers {
    /// Whether reactions, and replies, count for something that waits for this, in such a room: questions say so.
    #[must_use]
    pub fn reactions_count(self, room_encrypted: bool, kind: PromptKind) -> bool {
        !room_encrypted || self.reactions_decide || Act::reaction_to(kind) == Act::ReactToQuestion
    }

    /// Whether an event that came so may do that.
    ///
    /// # Errors
    /// [`Refusal`], with what to do instead.
    pub fn check(self, carried: Carried, act: Act) -> Result<(), Refusal> {
        if !carried.room_encrypted {
            return Ok(());
        }
        match act {
            Act::ReactToQuestion => Ok(()),
            Act::ReactToDecide if self.reactions_decide => Ok(()),
            Act::ReactToDecide => Err(Refusal::ReactionInClear),
            // The words are their writer's, and the question that they belong to is the homeserver's word.
            Act::ReplyToDecide if !self.reactions_decide => Err(Refusal::ReplyInClear),
            Act::ReplyToQuestion | Act::ReplyToDecide | Act::Words if !carried.encrypted => {
                Err(Refusal::MessageInClear)
            }
            _ if self.unsigned_devices => Ok(()),
            _ => carried.device.check(),
        }
    }
}
