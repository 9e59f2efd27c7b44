//! Which ended runs and sessions have to go. The oldest end first.

use std::collections::HashMap;
use std::time::Duration;

use super::Cleaner;
use crate::config::Retention;
use crate::upkeep::error::UpkeepError;
use crate::upkeep::stock::{Found, Logs};
use crate::victims::Victims;
use cis_core::ids::{BlobId, RunId, SessionId, TimestampMs};
use cis_core::text;
use cis_store::maintenance::{Census, Needs};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Those that ended too long ago; then those of whom there are too many.
    pub(super) victims: Vec<Victims>,
    /// Bytes of their logs.
    pub(super) log_bytes: u64,
    /// Blobs that nobody needs, then.
    pub(super) blobs: u64,
    pub(super) blob_bytes: u64,
    /// Bytes that are left, then.
    pub(super) left_bytes: u64,
    /// What cannot be read, and why.
    pub(super) failed: Vec<String>,
}

/// Who might have to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Candidate {
    Run(RunId),
    Session(SessionId),
}

impl Choice {
    pub(super) fn make(cleaner: &Cleaner<'_>, census: &Census, logs: &Logs) -> Result<Self, UpkeepError> {
        let mut choice = Self { left_bytes: logs.bytes(), ..Self::default() };
        let mut needs = super::needs(census, cleaner.home, &mut choice.failed)?;
        let sizes = sizes(cleaner)?;
        for (id, bytes) in &sizes {
            if needs.has(id) {
                choice.left_bytes = choice.left_bytes.saturating_add(*bytes);
            } else {
                choice.free_blob(*bytes);
            }
        }
        let oldest_kept = cleaner.rules.max_age_ms.map(|age| {
            let age = TimestampMs::try_from(age).unwrap_or(TimestampMs::MAX);
            cleaner.now_ms().saturating_sub(age)
        });
        let [mut aged_ones, mut crowding] = rules(&cleaner.rules).map(Victims::new);
        for (ended_ms, candidate) in candidates(census, logs) {
            let aged = oldest_kept.is_some_and(|oldest| ended_ms <= oldest);
            let crowded = cleaner.rules.max_bytes.is_some_and(|max| choice.left_bytes > max);
            if !aged && !crowded {
                break;
            }
            let victims = if aged { &mut aged_ones } else { &mut crowding };
            match candidate {
                Candidate::Run(run) => victims.runs.push(run),
                Candidate::Session(session) => victims.sessions.push(session),
            }
            choice.free(candidate, census, logs, &sizes, &mut needs);
        }
        choice.victims = vec![aged_ones, crowding];
        Ok(choice)
    }

    fn free(
        &mut self,
        candidate: Candidate,
        census: &Census,
        logs: &Logs,
        sizes: &HashMap<BlobId, u64>,
        needs: &mut Needs,
    ) {
        let bytes: u64 = match candidate {
            Candidate::Run(run) => {
                for id in census.of_run(run).filter(|id| needs.remove(id)).collect::<Vec<_>>() {
                    if let Some(bytes) = sizes.get(&id) {
                        self.left_bytes = self.left_bytes.saturating_sub(*bytes);
                        self.free_blob(*bytes);
                    }
                }
                logs.runs.get(&run).map_or(0, |found| found.bytes)
            }
            Candidate::Session(session) => bytes(logs.sessions.get(&session)),
        };
        self.log_bytes = self.log_bytes.saturating_add(bytes);
        self.left_bytes = self.left_bytes.saturating_sub(bytes);
    }

    fn free_blob(&mut self, bytes: u64) {
        self.blobs += 1;
        self.blob_bytes = self.blob_bytes.saturating_add(bytes);
    }
}

/// In words.
fn rules(rules: &Retention) -> [String; 2] {
    let age = humantime::format_duration(Duration::from_millis(rules.max_age_ms.unwrap_or_default()));
    let size = text::bytes(rules.max_bytes.unwrap_or_default());
    [
        format!("what ended more than {age} ago is removed"),
        format!("at most {size} are kept, and the oldest goes first"),
    ]
}

fn bytes(files: Option<&Vec<Found>>) -> u64 {
    files.into_iter().flatten().map(|found| found.bytes).sum()
}

/// Those that have ended and still have something, in the order of their end.
fn candidates(census: &Census, logs: &Logs) -> Vec<(TimestampMs, Candidate)> {
    let runs = census.runs.iter().filter(|(_, run)| !run.cleaned);
    let runs = runs.filter_map(|(id, run)| Some((run.ended_ms?, Candidate::Run(*id))));
    let sessions = census.sessions.iter().filter(|(id, _)| logs.sessions.contains_key(id));
    let sessions = sessions.filter(|(id, _)| !census.cleaned_sessions.contains(id));
    let sessions = sessions.filter_map(|(id, ended)| Some(((*ended)?, Candidate::Session(*id))));
    let mut all: Vec<_> = runs.chain(sessions).collect();
    all.sort_unstable();
    all
}

fn sizes(cleaner: &Cleaner<'_>) -> Result<HashMap<BlobId, u64>, UpkeepError> {
    let all = cleaner.blobs.list()?.into_iter();
    Ok(all.filter_map(|stored| Some((stored.id?, stored.bytes))).collect())
}
