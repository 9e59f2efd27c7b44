//! Ids of what a command asks for: sent twice, it counts once.

use std::time::{SystemTime, UNIX_EPOCH};

use cis_core::ids::{InputId, TimestampMs};

use crate::error::CliError;

/// A new one.
pub(crate) fn new() -> Result<InputId, CliError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| CliError::unavailable(format!("the system gives no random numbers: {error}")))?;
    Ok(InputId::from_parts(now_ms().unsigned_abs(), u128::from_ne_bytes(random)))
}

/// Now, Unix ms.
pub(crate) fn now_ms() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs::try_from(since.as_millis()).unwrap_or(TimestampMs::MAX)
}
