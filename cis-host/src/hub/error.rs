//! What goes wrong between the node and its sessions, in words for people.

use cis_core::ids::SessionId;

/// Why something did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// The hub does not know it, or the host does not any more.
    #[error("session {id} is not live: `cis dag sessions` lists those that are")]
    NoSuchSession {
        /// Which.
        id: SessionId,
    },
    /// It has pipes.
    #[error(
        "session {id} has no terminal (tty = false), so it has no screen: `cis dag logs` shows its output"
    )]
    NotATerminal {
        /// Which.
        id: SessionId,
    },
    /// Typing was not asked for, or is not possible.
    #[error("session {id} is attached read-only: attach again without --read-only to type")]
    ReadOnly {
        /// Which.
        id: SessionId,
    },
    /// Too much at once, or more waits for the program than it reads.
    #[error("input for session {id} was not typed: {detail}; send it again in smaller parts, or later")]
    InputRefused {
        /// Which.
        id: SessionId,
        /// Why.
        detail: String,
    },
    /// An answer was for a prompt that is not there any more.
    #[error(
        "session {id} does not show that prompt any more, or shows something else with it: nothing was typed; `cis inbox` says what waits now"
    )]
    PromptMoved {
        /// Which.
        id: SessionId,
        /// The lowest rows of its screen, redacted; empty where they are not known.
        screen: String,
    },
    /// Words were to be typed where somebody chooses with keys.
    #[error(
        "session {id} shows a menu, a dialog or a request for a key, without a line to type into, where Enter would choose something: \
         nothing was typed; choose an option, type keys with `--keys`, or attach"
    )]
    NoLine {
        /// The session.
        id: SessionId,
    },
    /// Words were to be typed in a line that holds text already.
    #[error(
        "the line of session {id} already holds text, to which the answer would be added: nothing was typed; attach and edit it, or type \
         keys with `--keys`"
    )]
    Prefilled {
        /// The session.
        id: SessionId,
    },
    /// Several processes read its terminal: which of them gets what is typed, nobody knows.
    #[error(
        "several processes of session {id} read its terminal ({names}), and an answer could reach the wrong one: nothing was typed; attach, \
         and type there"
    )]
    SeveralRead {
        /// The session.
        id: SessionId,
        /// Their command names.
        names: String,
    },
    /// The question stands in one of several terminals that a program shows, or in another part of the screen than the cursor.
    #[error(
        "the screen of session {id} shows several terminals, as tmux does, and what is typed may go to another one than the one that asks: \
         nothing was typed; attach, and answer there"
    )]
    Elsewhere {
        /// The session.
        id: SessionId,
    },
    /// A default was to be typed where nothing tells whether the program that asked still waits: another user's, or one that passes it on.
    #[error(
        "{name} in session {id} is another user's, or forwards what is typed: CIS cannot see whether the question still stands, and types no \
         default there"
    )]
    OutOfSight {
        /// The session.
        id: SessionId,
        /// The command name of the program that reads.
        name: String,
    },
    /// Who asked does not wait for an answer any more, although the question is still on the screen.
    #[error(
        "the program of session {id} does not wait at this prompt any more: nothing was typed; `cis inbox` says what waits now, and \
         `cis dag attach` shows what it does"
    )]
    NotAwaited {
        /// The session.
        id: SessionId,
    },
    /// Arrows were typed, and its menu does not point at the option that they were to reach.
    #[error(
        "the menu of session {id} does not point at that option after the arrow keys, so Enter was not typed: nothing was chosen; \
         `cis inbox` says what waits now, and `cis dag attach` lets you choose"
    )]
    NotChosen {
        /// Which.
        id: SessionId,
    },
    /// The first key of an answer was typed, and the rest was not, or not for certain.
    #[error(
        "the first key of the answer was typed at session {id}, and the rest perhaps was not: look at what stands there (`cis dag attach`)"
    )]
    TypedInPart {
        /// Which.
        id: SessionId,
    },
    /// Another answer was first.
    #[error("that prompt of session {id} was answered already: nothing was typed")]
    Answered {
        /// Which.
        id: SessionId,
    },
    /// Somebody else typed since that prompt came: the answer would follow that.
    #[error(
        "somebody typed meanwhile at that prompt of session {id}: nothing was typed; attach, look at what stands there, and answer in the terminal"
    )]
    Typed {
        /// Which.
        id: SessionId,
    },
    /// It asks for a password.
    #[error("session {id} asks for a password: nothing was typed; only an attached terminal gives it")]
    Password {
        /// Which.
        id: SessionId,
    },
    /// Its screen changed faster than it could be checked.
    #[error(
        "the screen of session {id} does not rest, so that an answer could hit another prompt: nothing was typed; try again, or attach"
    )]
    Restless {
        /// Which.
        id: SessionId,
    },
    /// The connection to the session host broke, or could not be made.
    #[error(
        "no connection to the session host at {socket}: {detail}; sessions may still run, and `cis node status` says whether the host does"
    )]
    HostLost {
        /// Path of its socket.
        socket: String,
        /// What happened.
        detail: String,
    },
    /// The session host has an answer, and does not say what became of it.
    #[error(
        "the session host has not said for {seconds} s whether it typed the answer to session {id}: it may have been typed, or may be yet"
    )]
    Unconfirmed {
        /// Which.
        id: SessionId,
        /// So long.
        seconds: i64,
    },
    /// An answer that was sent before does not fit what stands there now: an earlier life of the node may have typed it.
    #[error(
        "this answer to session {id} cannot be typed now, and whether it was typed before is not known: look at what stands there \
         (`cis dag attach`)"
    )]
    Unknown {
        /// Which.
        id: SessionId,
    },
    /// The host is of another version.
    #[error(
        "the session host speaks version {version} of the protocol, this node another one: end its sessions, or start the node that belongs to it"
    )]
    OtherVersion {
        /// The host's.
        version: u32,
    },
    /// The hub has ended: the node stops.
    #[error("the node is stopping: try again when it runs")]
    Stopped,
}

impl HubError {
    /// What is said of an answer that was recorded before, if it cannot be typed now: an earlier life of the node may have typed it, so
    /// nobody may be told that nothing was typed.
    #[must_use]
    pub fn of_repeated(self, id: SessionId) -> Self {
        if self.may_have_typed() { self } else { Self::Unknown { id } }
    }

    /// Whether what was to be typed may have been typed all the same.
    #[must_use]
    pub fn may_have_typed(&self) -> bool {
        matches!(
            self,
            Self::HostLost { .. }
                | Self::Unconfirmed { .. }
                | Self::TypedInPart { .. }
                | Self::Unknown { .. }
                | Self::Stopped
        )
    }
}
