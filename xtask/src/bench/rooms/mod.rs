//! What rooms cost, and how soon they hear and are heard: with a real Synapse of the benchmark's own, at its default
//! limits where it is not said otherwise.

mod answers;
mod away;
mod files;
mod latency;
mod load;
mod many;
mod nodes;
mod place;
mod recovery;
mod talk;
mod views;
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

/// Measures the parts that are wanted.
pub(super) fn measure(
    wanted: &dyn Fn(&str) -> bool,
    binary: &Path,
    scratch: &Path,
    report: &mut Report,
) -> Outcome {
    crate::agents::ensure()?;
    let mut synapse = Synapse::own();
    let home = |name: &str| scratch.join(format!("rooms-{name}"));
    let place = |name: &str| Place::new(binary, &home(name), &synapse);
    if wanted("rooms-answers") {
        answers::measure(&place("answers")?, &synapse, report)?;
    }
    if wanted("rooms-latency") {
        for interval_ms in latency::INTERVALS_MS {
            let home = home(&format!("latency-{interval_ms}"));
            let config = format!("[dag.matrix]\nbroadcast_interval_ms = {interval_ms}\n");
            let place = Place::configured(binary, &home, &synapse, &config)?;
            latency::measure(&place, interval_ms, &synapse, report)?;
        }
    }
    if wanted("rooms-load") {
        load::measure(&|n| place(&format!("load-{n}")), report)?;
    }
    if wanted("rooms-many") {
        many::measure(&place("many")?, &synapse, report)?;
    }
    if wanted("rooms-recovery") {
        recovery::measure(&place("whole")?, &place("empty")?, &synapse, report)?;
    }
    if wanted("rooms-talk") {
        talk::commands(&place("talk")?, &synapse, report)?;
    }
    if wanted("rooms-files") {
        files::measure(binary, &home("files"), report)?;
    }
    if wanted("rooms-views") {
        views::measure(binary, &home("views"), report)?;
    }
    // These stop the homeserver.
    let outages = wanted("rooms-talk").then(|| place("outages")).transpose()?;
    let away = wanted("rooms-away").then(|| place("away")).transpose()?;
    if wanted("rooms-nodes") {
        nodes::measure(binary, &home("nodes"), &mut synapse, report)?;
    }
    if let Some(place) = outages {
        talk::outages(&place, &mut synapse, report)?;
    }
    if let Some(place) = away {
        away::measure(&place, &mut synapse, report)?;
    }
    Ok(())
}
