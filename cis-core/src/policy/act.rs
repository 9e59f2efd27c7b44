//! What a [`Permit`](super::Permit) can be for: a type for each thing that needs rights.

use std::fmt::Debug;

use super::Action;
use crate::ids::{RunId, SessionId};

/// Something that needs rights.
pub trait Act: Debug + Send + Sync + 'static {
    /// What [`authorize`](super::authorize) is asked for it.
    fn action(&self) -> Action;
}

/// Something that is done to one run or session.
pub trait Targeted: Act + Sized {
    /// [`RunId`] or [`SessionId`].
    type Target: Send;

    /// The act on this target.
    fn on(target: Self::Target) -> Self;

    /// Its target.
    fn target(&self) -> Self::Target;

    /// What is asked where the target is not known yet, or is this one.
    fn action_on(target: Option<Self::Target>) -> Action;
}

macro_rules! acts {
    ($($(#[$doc:meta])+ $name:ident => $action:expr;)+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name;

        impl Act for $name {
            fn action(&self) -> Action {
                $action
            }
        }
    )+};
}

macro_rules! targeted {
    ($($(#[$doc:meta])+ $name:ident($target:ty) => $action:expr;)+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name($target);

        impl Act for $name {
            fn action(&self) -> Action {
                Self::action_on(Some(self.0))
            }
        }

        impl Targeted for $name {
            type Target = $target;

            fn on(target: $target) -> Self {
                Self(target)
            }

            fn target(&self) -> $target {
                self.0
            }

            fn action_on(target: Option<$target>) -> Action {
                let action: fn(Option<$target>) -> Action = $action;
                action(target)
            }
        }
    )+};
}

acts! {
    /// See version, pid and counts of the node.
    SeeNode => Action::SeeNode;
    /// List runs, sessions, groups and events, and see whom the node trusts.
    See => Action::See;
    /// Read what sessions show and showed: inbox, logs, screens.
    ReadSessions => Action::ReadSession(None);
    /// Create a run.
    CreateRun => Action::ControlRun(None);
    /// Answer what waits in the inbox. The session of an item needs [`ControlSession`] as well; an approval is decided as
    /// [`authorize_decision`](super::authorize_decision) says.
    Answer => Action::ControlSession(None);
    /// Make, change and remove concurrency groups of the node.
    ControlGroups => Action::ControlGroups;
    /// Create a session.
    CreateSession => Action::CreateSession;
    /// Change the node's key, and whom it trusts.
    ControlIdentity => Action::ControlIdentity;
    /// Change what the node executes for other nodes.
    ControlPolicy => Action::ControlPolicy;
    /// Read what is said in rooms of the node's Matrix account.
    ReadMatrix => Action::ReadMatrix;
    /// Make and join rooms, invite people, as that account.
    UseMatrix => Action::UseMatrix;
    /// Log that account in and out, sign its device, verify others with it.
    ControlMatrix => Action::ControlMatrix;
    /// Take runs that a room tells of into the store.
    RecoverRuns => Action::RecoverRuns;
    /// Remove what ended runs left.
    CleanStore => Action::CleanStore;
    /// Stop the node.
    StopNode => Action::StopNode;
    /// Make, list and revoke tokens of the API over TCP.
    ControlTokens => Action::ControlTokens;
}

targeted! {
    /// See a run: its tasks, times and history.
    SeeRun(RunId) => |_| Action::See;
    /// Read the file of a run, and what its tasks and their logs hold.
    ReadRun(RunId) => |_| Action::ReadSession(None);
    /// Read contents of artifacts of a run.
    ReadArtifacts(RunId) => |_| Action::ReadArtifacts;
    /// Start, cancel, pause, resume, retry a run, and decide its approvals.
    ControlRun(RunId) => Action::ControlRun;
    /// See the state of a session.
    SeeSession(SessionId) => Action::SeeSession;
    /// Read what a session's terminal shows and showed.
    ReadSession(SessionId) => Action::ReadSession;
    /// Type into a session, answer it, end it.
    ControlSession(SessionId) => Action::ControlSession;
    /// Ask people, tell them something, hand in a result, as a session.
    SpeakAs(SessionId) => Action::SpeakAs;
}
