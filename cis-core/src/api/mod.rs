//! What is said across boundaries: requests, views and paths of the HTTP API, messages between
//! coordinator and worker.
//!
//! Owns shapes. Does no IO, decides nothing.

pub mod attach_marks;
mod audit;
mod caller;
mod choice;
mod context;
mod history;
mod identity;
mod inbox;
pub mod log_pieces;
mod matrix;
mod nodes;
mod outbox;
pub mod paths;
mod policy;
mod problem;
mod requests;
pub mod text_or_hex;
mod tokens;
mod upkeep;
mod verification;
mod views;
pub mod web;
mod worker;

#[cfg(test)]
mod fuzz;

pub use audit::{AuditReport, AuditedNode, AuditedRun, HereAs, RefusedView};
pub use caller::{CallerRole, CallerView};
pub use choice::{Closeness, NotChosen, lasts, option_numbers};
pub use context::{NeedContext, TaskContext};
pub use history::{HistoryAction, HistoryEntry, ReadHistory};
pub use identity::{IdentityView, RevokedView, RotateIdentity, RotatedView, TrustNode, TrustedView};
pub use inbox::{
    Answer, AnswerReceipt, AnswerWith, Ask, AskAnswer, AskView, ClosedItem, ExplainView, HandIn, InboxItem,
    ListInbox, ReadAsk, Say, ThreadMessage,
};
pub use matrix::{
    CreateMatrixRoom, InviteToMatrixRoom, JoinMatrixRoom, LoginMatrix, LogoutMatrix, MatrixAccountView,
    MatrixEncryptionView, MatrixEventView, MatrixProof, MatrixRoomEvents, MatrixRoomView, ReadMatrixRoom,
    RecoverReport, RecoverRuns, RecoveredRunView, UnknownNode,
};
pub use nodes::{
    AdmitNode, DrainNode, InvitationView, InviteNodes, JoinNodes, JoinedView, ListNodes, RevokeNode,
    RoomNodeState, RoomNodeView, RoomTaskView,
};
pub use outbox::{
    FollowedRun, OutboxEntry, Outgoing, Priority, RoomMessage, RoomState, RoomWrite, SealedEvent,
};
pub use policy::{CheckPolicy, PolicyCheckView, PolicyRuleView, PolicyTaskView, PolicyView};
pub use problem::{PROBLEM_JSON, Problem, ProblemKind};
pub use requests::{
    Attach, AttachControl, AttachNotice, BEHIND, CancelRun, CreateRun, CreateSession, CreatedOrder, Decide,
    FollowEvents, GroupPlace, HasKey, InputReceipt, KillSession, ListRuns, ListSessions, ListTasks, Page,
    PauseNode, ReadLog, ReadTime, ReportSession, Reported, RetryRun, SendInput, SetMode, StartAgent,
    StopNode, SubmitRun, submitted_env,
};
pub use tokens::{CLIENT_VARIABLES, CreateToken, NewTokenView, RemoteView, TokenView};
pub use upkeep::{CleanReport, CleanStore};
pub use verification::{
    BeginMatrixSso, BeginVerification, EmojiView, MatrixSsoView, MatrixStandingView, NewRecoveryView,
    ReadVerification, RecoverMatrix, SayVerification, VerificationState, VerificationView, VerificationWord,
};
pub use views::{
    ApprovalView, AttemptView, BoundEffect, BoundTaskView, GroupView, Listing, ModeView, NodeView, RunDetail,
    RunView, SaidView, SessionView, TaskCounts, TaskNodeView, TaskTime, TaskView, TimeSplit, TimeStep,
    TimeView, WaitsView, WhyView,
};
pub use worker::{CacheUse, FromWorker, Refusal, Report, TaskSpec, ToWorker, Worker};

pub use crate::dag::{Finding, Program};
pub use crate::term_size::TermSize;
