//! What rooms cost, and how soon they hear and are heard: with a real Synapse of the benchmark's own, at its default
//! limits where it is not said otherwise.

mod answers;
mod away;
mod load;
mod place;
mod recovery;
// The tests' own Synapse: the same program, the same configuration.
#[allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "made for tests; a benchmark may end as they do"
)]
#[path = "../../../../tests/e2e/harness/synapse/mod.rs"]
mod synapse;

use std::path::Path;

use super::report::Report;
use crate::Outcome;
use place::Place;
use synapse::Synapse;

/// Measures all of it.
pub(super) fn measure(binary: &Path, scratch: &Path, report: &mut Report) -> Outcome {
    crate::agents::ensure()?;
    let mut synapse = Synapse::own();
    let home = |name: &str| scratch.join(format!("rooms-{name}"));
    answers::measure(&Place::new(binary, &home("answers"), &synapse)?, &synapse, report)?;
    load::measure(&|n| Place::new(binary, &home(&format!("load-{n}")), &synapse), report)?;
    recovery::measure(
        &Place::new(binary, &home("whole"), &synapse)?,
        &Place::new(binary, &home("empty"), &synapse)?,
        &synapse,
        report,
    )?;
    away::measure(&Place::new(binary, &home("away"), &synapse)?, &mut synapse, report)
}
