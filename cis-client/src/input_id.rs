//! Ids of what a client asks for: sent twice, it counts once.

use cis_core::api::{Problem, ProblemKind};
use cis_core::ids::InputId;
use cis_local::now_ms;

/// Makes a new id.
///
/// # Errors
/// [`ProblemKind::Unavailable`]: the system gives no random numbers.
pub fn input_id() -> Result<InputId, Problem> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| {
        Problem::new(ProblemKind::Unavailable, format!("cannot get random numbers: {error}"))
    })?;
    Ok(InputId::from_parts(now_ms().unsigned_abs(), u128::from_ne_bytes(random)))
}
