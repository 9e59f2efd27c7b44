//! How long what ended runs left is kept.

use crate::api::CleanStore;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// See the module. A limit that is none does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Logs and blobs of runs that ended longer ago go, ms.
    pub max_age_ms: Option<u64>,
    /// Logs and blobs have no more bytes together; the oldest ended runs go first.
    pub max_bytes: Option<u64>,
    /// Entries of the cache that are older go, ms.
    pub cache_max_age_ms: Option<u64>,
    /// What the cache alone keeps has no more bytes.
    pub cache_max_bytes: Option<u64>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_age_ms: Some(30 * DAY_MS),
            max_bytes: Some(10 << 30),
            cache_max_age_ms: Some(30 * DAY_MS),
            cache_max_bytes: Some(5 << 30),
        }
    }
}

impl Rules {
    /// With what a request says of its own.
    #[must_use]
    pub fn with(mut self, request: &CleanStore) -> Self {
        self.max_age_ms = request.max_age_ms.or(self.max_age_ms);
        self.max_bytes = request.max_bytes.or(self.max_bytes);
        self
    }
}
