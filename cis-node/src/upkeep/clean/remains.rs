//! What crashes left behind: files of sessions that are gone, logs that nothing knows of, half a backup.

use std::time::Duration;

use super::{Cleaner, ORPHANED, is_there};
use crate::notices;
use crate::upkeep::error::UpkeepError;
use crate::upkeep::stock::{Found, Logs, beside_sessions, entries};
use crate::upkeep::{backup, bring_back};
use cis_core::api::CleanReport;
use cis_core::ids::SessionId;
use cis_store::maintenance::{Census, live_sessions};

/// A session may be about to be started, or to end, for so long.
const SETTLED: Duration = Duration::from_secs(60 * 60);

pub(super) fn remove(
    cleaner: &Cleaner<'_>,
    census: &Census,
    report: &mut CleanReport,
) -> Result<(), UpkeepError> {
    for found in beside_gone_sessions(cleaner)?.into_iter().chain(logs_of_nobody(cleaner, census)?) {
        one(&found, report);
    }
    // Whoever makes a backup has the hold that we have.
    let ours = |name: &str| {
        [backup::ASIDE, bring_back::ASIDE, notices::ASIDE].iter().any(|aside| name.starts_with(aside))
    };
    for (name, found) in entries(&cleaner.home.dir, ours)? {
        let old = found.modified < cleaner.ago(ORPHANED);
        if old || name.starts_with(backup::ASIDE) {
            one(&found, report);
        }
    }
    Ok(())
}

fn one(found: &Found, report: &mut CleanReport) {
    if !is_there(&found.path) {
        return;
    }
    match found.remove() {
        Ok(()) => {
            report.leftovers += 1;
            report.leftover_bytes = report.leftover_bytes.saturating_add(found.bytes);
        }
        Err(error) => report.failed.push(format!("{}: {error}", found.path.display())),
    }
}

fn beside_gone_sessions(cleaner: &Cleaner<'_>) -> Result<Vec<Found>, UpkeepError> {
    let before = cleaner.ago(SETTLED);
    let mut all = beside_sessions(&cleaner.home.outputs())?;
    all.retain(|(_, found)| found.modified < before);
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let sessions: Vec<SessionId> = all.iter().map(|(session, _)| *session).collect();
    let live = live_sessions(&cleaner.home.database(), &sessions)?;
    all.retain(|(session, _)| !live.contains(session));
    Ok(all.into_iter().map(|(_, found)| found).collect())
}

/// Logs of runs and sessions that the store does not know, once they are old; and those of cleaned ones
/// that an earlier cleaning did not come to.
fn logs_of_nobody(cleaner: &Cleaner<'_>, census: &Census) -> Result<Vec<Found>, UpkeepError> {
    let before = cleaner.ago(ORPHANED);
    let settled = cleaner.ago(SETTLED);
    let logs = Logs::take(&cleaner.home.logs())?;
    let runs = logs.runs.into_iter().filter(|(run, found)| match census.runs.get(run) {
        Some(run) => run.cleaned && found.modified < settled,
        None => found.modified < before,
    });
    let runs = runs.map(|(_, found)| found);
    let sessions = logs.sessions.into_iter().filter(|(session, files)| {
        let old = files.iter().all(|found| found.modified < before);
        census.cleaned_sessions.contains(session) || (old && !census.sessions.contains_key(session))
    });
    Ok(runs.chain(sessions.flat_map(|(_, files)| files)).collect())
}
