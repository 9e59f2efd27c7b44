//! How long what ended runs left is kept: as configured, and as somebody asks for once.

use crate::config::Retention;
use cis_core::api::CleanStore;

/// What is configured, with what a request says of its own.
pub(super) fn with_request(configured: &Retention, request: &CleanStore) -> Retention {
    Retention {
        max_age_ms: request.max_age_ms.or(configured.max_age_ms),
        max_bytes: request.max_bytes.or(configured.max_bytes),
        ..configured.clone()
    }
}
