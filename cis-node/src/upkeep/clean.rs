//! Removes what ended runs left. A run that has not ended keeps everything, and so does a blob that
//! anybody else needs.
//!
//! In this order: choose, record, remove logs, look again at what is needed, sweep blobs. A crash in between leaves
//! files that the next cleaning finds; never a row that promises what is gone unsaid. If the removal cannot be recorded,
//! the reserve is released to make space for that. Only if that does not help and the disk is full, logs are removed
//! before the removal is recorded.

mod choice;
mod remains;

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::choice::Choice;
use super::error::UpkeepError;
use super::hold::{self, Hold};
use super::reserve;
use super::rules::with_request;
use super::stock::Logs;
use crate::cache;
use crate::config::Retention;
use crate::victims::Victims;
use cis_core::api::{CleanReport, CleanStore, Problem, ProblemKind};
use cis_core::event::{Actor, EventDraft};
use cis_core::ids::TimestampMs;
use cis_local::Home;
use cis_store::maintenance::{Census, Needs};
use cis_store::{Blobs, Swept, Writer, try_room};

/// A blob that a run named may be about to be named by another, for so long after it was put.
const YOUNG: Duration = Duration::from_secs(10 * 60);
/// What no run names stays so long: its run may be in a store that is to be brought back.
const ORPHANED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A node that cannot write for want of space can do so at most so long after there is some again.
const RECORD_TRIES: u32 = 20;
/// Space that is needed to record anything, bytes.
const RECORD_BYTES: usize = 256 << 10;
/// With this much space a record that fails does not fail for lack of space, bytes.
const ROOM_BYTES: usize = 4 << 20;
const RECORD_PAUSE: Duration = Duration::from_millis(250);

/// Makes it durable that what these left is about to be removed. Gives those of whom it may be.
pub(crate) type Record<'a> = dyn FnMut(Vec<Victims>) -> Result<Vec<Victims>, Problem> + 'a;

/// What cleans a home.
pub(super) struct Cleaner<'a> {
    /// Which.
    pub(super) home: &'a Home,
    /// Its blobs; the node's own where one runs.
    pub(super) blobs: &'a Blobs,
    /// What is kept.
    pub(super) rules: Retention,
    /// The time.
    pub(super) now: SystemTime,
}

impl Cleaner<'_> {
    /// Takes the lock that [`Self::clean`] needs, for which it waits at most this long.
    ///
    /// # Errors
    /// A backup or a cleaning is under way.
    pub(super) fn hold(
        home: &Home,
        dry_run: bool,
        patience: Duration,
        wants: impl Fn() -> bool,
    ) -> Result<Hold, UpkeepError> {
        if dry_run {
            Hold::shared(&home.dir, patience, wants)
        } else {
            Hold::alone(&home.dir, patience, wants)
        }
    }

    /// Cleans, or with `dry_run` only says what it would do. The caller knows that no other process writes
    /// this home, other than through `record`.
    ///
    /// # Errors
    /// Something cannot be read or recorded. What cannot be removed is in the report.
    pub(super) fn clean(
        &self,
        dry_run: bool,
        hold: &Hold,
        record: &mut Record<'_>,
    ) -> Result<CleanReport, UpkeepError> {
        let census = Census::take(&self.home.database())?;
        let logs = Logs::take(&self.home.logs())?;
        let choice = Choice::make(self, &census, &logs)?;
        let mut report = CleanReport {
            dry_run,
            runs: choice.victims.iter().map(|one| one.runs.len() as u64).sum(),
            sessions: choice.victims.iter().map(|one| one.sessions.len() as u64).sum(),
            ..CleanReport::default()
        };
        let rules = &self.rules;
        let cache = |dry_run| {
            let (age, bytes) = (rules.cache_max_age_ms, rules.cache_max_bytes);
            cache::sweep(&self.home.dir, self.now, age, bytes, dry_run)
                .map_err(UpkeepError::file("clean the cache in", &self.home.dir))
        };
        if dry_run {
            report.cache_entries = cache(true)?.entries;
            report.failed = choice.failed;
            report.log_bytes = choice.log_bytes;
            (report.blobs, report.blob_bytes) = (choice.blobs, choice.blob_bytes);
            report.kept_bytes = choice.left_bytes;
            return Ok(report);
        }
        let victims = choice.victims;
        let nothing = victims.iter().all(|one| one.runs.is_empty() && one.sessions.is_empty());
        let had_reserve = reserve::is_whole(&self.home.dir);
        let certain = if nothing {
            victims
        } else {
            match record(victims.clone()) {
                Err(problem) if problem.kind == ProblemKind::Unavailable => {
                    self.record_with_room(&victims, &logs, record, &mut report)?
                }
                recorded => recorded.map_err(UpkeepError::NotRecorded)?,
            }
        };
        report.runs = certain.iter().map(|victims| victims.runs.len() as u64).sum();
        self.remove_logs(&certain, &logs, &mut report);
        report.cache_entries = cache(false)?.entries;
        self.sweep(&mut report)?;
        report.kept_bytes = report.kept_bytes.saturating_add(Logs::take(&self.home.logs())?.bytes());
        match hold.cleaned(self.now) {
            Err(error) if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                return Err(UpkeepError::file("note the time in", &self.home.dir)(error));
            }
            _ => {}
        }
        if had_reserve {
            reserve::take_back(&self.home.dir);
        } else {
            reserve::keep(&self.home.dir);
        }
        Ok(report)
    }

    /// Makes space for the record of a removal and records it, after the first attempt failed.
    fn record_with_room(
        &self,
        victims: &[Victims],
        logs: &Logs,
        record: &mut Record<'_>,
        report: &mut CleanReport,
    ) -> Result<Vec<Victims>, UpkeepError> {
        if reserve::release(&self.home.dir) && try_room(&self.home.dir, RECORD_BYTES).is_ok() {
            match record_again(victims, record) {
                Err(UpkeepError::NotRecorded(problem)) if problem.kind == ProblemKind::Unavailable => {}
                recorded => return recorded,
            }
        }
        if try_room(&self.home.dir, ROOM_BYTES).is_ok() {
            // There is enough space, so the cause is another one.
            reserve::take_back(&self.home.dir);
            return record(victims.to_vec()).map_err(UpkeepError::NotRecorded);
        }
        // There is no space to record the removal, so free some first. No run can be retried
        // meanwhile, because that needs space too.
        self.remove_logs(victims, logs, report);
        record_again(victims, record)
    }

    /// Directories stay for now: a run that is run again at this moment is about to write into its own.
    fn remove_logs(&self, all: &[Victims], logs: &Logs, report: &mut CleanReport) {
        for victims in all {
            let runs = victims.runs.iter().filter_map(|run| logs.runs.get(run));
            let sessions = victims.sessions.iter().filter_map(|one| logs.sessions.get(one)).flatten();
            for found in runs.chain(sessions) {
                let (bytes, failed) = found.empty(self.now);
                report.log_bytes = report.log_bytes.saturating_add(bytes);
                report.failed.extend(failed);
            }
        }
    }

    /// Removes blobs that nobody needs as the store stands now, and what crashes left.
    fn sweep(&self, report: &mut CleanReport) -> Result<(), UpkeepError> {
        let census = Census::take(&self.home.database())?;
        let needs = needs(&census, self.home, &mut report.failed)?;
        for stored in self.blobs.list()? {
            let patience = match &stored.id {
                Some(id) if needs.has(id) => {
                    report.kept_bytes = report.kept_bytes.saturating_add(stored.bytes);
                    continue;
                }
                Some(id) if needs.was_known(id) => YOUNG,
                _ => ORPHANED,
            };
            let before = self.ago(patience);
            let swept =
                if stored.modified > before { Ok(Swept::InUse) } else { self.blobs.sweep(&stored, before) };
            match swept {
                Ok(Swept::Gone) => {
                    report.blobs += 1;
                    report.blob_bytes = report.blob_bytes.saturating_add(stored.bytes);
                }
                Ok(Swept::InUse) => {
                    report.young_bytes = report.young_bytes.saturating_add(stored.bytes);
                    report.kept_bytes = report.kept_bytes.saturating_add(stored.bytes);
                }
                Err(error) => report.failed.push(error.to_string()),
            }
        }
        remains::remove(self, &census, report)
    }

    fn ago(&self, time: Duration) -> SystemTime {
        self.now.checked_sub(time).unwrap_or(UNIX_EPOCH)
    }

    fn now_ms(&self) -> TimestampMs {
        let since = self.now.duration_since(UNIX_EPOCH).unwrap_or_default();
        TimestampMs::try_from(since.as_millis()).unwrap_or(TimestampMs::MAX)
    }
}

/// Runs, and entries of the cache. Those that cannot be read are added to `failed`.
fn needs(census: &Census, home: &Home, failed: &mut Vec<String>) -> Result<Needs, UpkeepError> {
    let mut needs = census.needs();
    let cached = cache::living_blobs(&home.dir).map_err(UpkeepError::file("read the cache in", &home.dir))?;
    cached.blobs.iter().for_each(|id| needs.add(id));
    failed.extend(cached.unreadable);
    Ok(needs)
}

fn record_again(victims: &[Victims], record: &mut Record<'_>) -> Result<Vec<Victims>, UpkeepError> {
    let mut tries = RECORD_TRIES;
    loop {
        match record(victims.to_vec()) {
            Ok(certain) => return Ok(certain),
            Err(problem) if tries == 0 || problem.kind != ProblemKind::Unavailable => {
                return Err(UpkeepError::NotRecorded(problem));
            }
            // Nothing tells when the store can be written again: it tries by itself.
            Err(_) => std::thread::sleep(RECORD_PAUSE),
        }
        tries -= 1;
    }
}

/// Cleans a home in which no node runs. Until it is done none can start.
///
/// # Errors
/// As `Cleaner::clean`; or a node runs ([`cis_store::StoreError::InUse`]).
pub fn clean_without_node(
    home: &Home,
    configured: &Retention,
    request: &CleanStore,
    actor: &Actor,
) -> Result<CleanReport, UpkeepError> {
    let now = SystemTime::now();
    let blobs = Blobs::new(&home.dir);
    let cleaner = Cleaner { home, blobs: &blobs, rules: with_request(configured, request), now };
    let at_ms = cleaner.now_ms();
    // Before the store is taken: a node must not have to wait for a backup.
    let hold = Cleaner::hold(home, request.dry_run, hold::PATIENCE, || true)?;
    let mut writer = Writer::open(&home.database())?;
    cleaner.clean(request.dry_run, &hold, &mut |all| {
        let mut keep = || {
            for body in all.iter().flat_map(Victims::events) {
                let draft = EventDraft { run: None, at_ms, actor: Some(actor.clone()), cause: None, body };
                writer.append(&draft, ulid::Ulid::new())?;
            }
            writer.commit()
        };
        let kept = keep().map_err(|error| Problem::from(&error));
        if kept.is_err() {
            writer.rollback();
        }
        kept.map(|_| all)
    })
}

/// Whether something lies there.
fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
