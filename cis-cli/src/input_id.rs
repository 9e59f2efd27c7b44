//! Ids of what a command asks for: sent twice, it counts once.

use cis_core::ids::InputId;
use cis_local::now_ms;

use crate::error::CliError;

/// A new one.
pub(crate) fn new() -> Result<InputId, CliError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| CliError::unavailable(format!("the system gives no random numbers: {error}")))?;
    Ok(InputId::from_parts(now_ms().unsigned_abs(), u128::from_ne_bytes(random)))
}
