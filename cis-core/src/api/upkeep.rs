//! Looking after what a node keeps: what is asked, and what came of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Removes what ended runs left. What is not given is as the node's configuration says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CleanStore {
    /// Only say what would be removed.
    #[serde(default)]
    pub dry_run: bool,
    /// Of runs that ended longer ago, ms.
    #[serde(default)]
    pub max_age_ms: Option<u64>,
    /// Of the oldest ones, until what is kept has no more bytes.
    #[serde(default)]
    pub max_bytes: Option<u64>,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CleanReport {
    /// Nothing was removed, only looked at.
    pub dry_run: bool,
    /// Ended runs of which logs and blobs went.
    pub runs: u64,
    /// Ended sessions without a run whose logs went.
    pub sessions: u64,
    /// Bytes of their logs.
    pub log_bytes: u64,
    /// Blobs that nothing refers to any more.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Entries of the cache.
    pub cache_entries: u64,
    /// Files that crashes left behind.
    pub leftovers: u64,
    /// Their bytes.
    pub leftover_bytes: u64,
    /// Bytes of blobs that nothing refers to, but that are too new to be removed: something that is about to
    /// begin may be using them.
    pub young_bytes: u64,
    /// Bytes of logs and blobs that are left.
    pub kept_bytes: u64,
    /// What could not be removed, and why; it is tried again the next time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

impl CleanReport {
    /// Bytes that are free now, or would be.
    #[must_use]
    pub fn freed_bytes(&self) -> u64 {
        self.log_bytes.saturating_add(self.blob_bytes).saturating_add(self.leftover_bytes)
    }
}
