//! THE event: every change of a run, a task, a session or a node is one value of [`EventBody`].
//!
//! The store keeps it, the API streams it, recovery folds it through the same reducer
//! ([`crate::scheduler::Run::apply`]). This module owns the shapes and names; it decides nothing.

mod body;
mod facts;
mod node_rule;
mod outcome;
mod row;
mod states;

pub use crate::prompt::{
    AnswerRecord, AskRecord, AskType, LABEL_CHARS_MAX, Layer, Meaning, OPTIONS_MAX, PromptKind, PromptOption,
    PromptRecord, QUESTION_CHARS_MAX, SCREEN_CHARS_MAX, SaidKind, SaidRecord, Urgency,
};
pub use body::EventBody;
pub use facts::{
    ArtifactRecord, AttemptResult, Category, FileReaders, GrantRecord, KeptFile, LostBy, LostOutput,
    MEDIA_BYTES_MAX, NamedPrograms, OutputRecord, QueueReason, ReadBack, RetryScope, RunCreated,
    SessionLimit, Submitter, TaskChange, Uploaded, UploadedLog, UseAgent,
};
pub use node_rule::{NodeRule, RuleEffect, in_quotes};
pub use outcome::{AttemptOutcome, EndReason, ExitStatus, FailureCause};
pub use row::{Actor, ActorKind, Event, EventDraft, Via};
pub use states::{ExecutionMode, RunState, SessionState, TaskState};

/// Version of the event schema that this build writes.
pub const SCHEMA_VERSION: u32 = 1;
