//! DAG files: from TOML text to a checked [`Dag`], and from templates to what a session runs.
//!
//! Owns the format and its messages. Knows nothing of runs, sessions or time.

pub mod diagnose;
pub mod drawing;
mod finding;
mod globs;
mod graph;
mod model;
pub mod outputs;
mod params;
mod program;
pub mod spec;
pub mod template;
mod value;
mod with_agent;

pub use diagnose::Diagnostics;

pub use finding::Finding;
pub use graph::{Graph, GraphError};
pub use model::{
    Action, Approval, Backoff, BlockedAction, Cache, CacheKey, Commit, DEFAULT_GRACE_MS, Dag, Foreach, Group,
    Handlers, Item, OnBlocked, Param, Placement, Prompt, RetryOn, RetryPolicy, SecretSource, Task, Trigger,
    ValueType,
};
pub use params::resolve_params;
pub use program::Program;
pub use spec::{MAX_FILE_BYTES, MAX_TASKS, parse, parse_accepted, schema};
pub use with_agent::with_agent;

/// The longest prompt of an agent that goes through a file, bytes. One that is an argument is held to
/// [`template::MAX_ARGUMENT_BYTES`].
pub const PROMPT_BYTES_MAX: usize = 1 << 20;
