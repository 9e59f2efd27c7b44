//! DAG files: from TOML text to a checked [`Dag`], and from templates to what a session runs.
//!
//! Owns the format and its messages. Knows nothing of runs, sessions or time.

mod model;

pub use model::{
    Action, Backoff, DEFAULT_GRACE_MS, Dag, Param, RetryPolicy, SecretSource, Task, Trigger, ValueType,
};
