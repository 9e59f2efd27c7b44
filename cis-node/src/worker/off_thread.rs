//! What of a task's work is done off the driver's thread, as jobs of a worker thread pool: looking for a cached
//! result before its session starts, and keeping artifacts and the result after its session ended.
//!
//! A node that dies in between does it again: nothing was said yet, and the host remembers the exit.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::disk::Trouble;
use super::life::{Held, JobEnd};
use super::look_up::{Looked, Search, look_up};
use super::{Live, LocalWorker, YOUNG_MS};
use crate::artifacts;
use crate::cache::{self, Cache, Entry, GivenPrompt, NotedKey};
use crate::chores::Undone;
use crate::files::{FilesError, STAGING, Stop};
use crate::upload_ahead::UploadAhead;
use cis_core::api::{CacheUse, FromWorker, Refusal, Report, TaskSpec};
use cis_core::event::{ArtifactRecord, AttemptOutcome, FailureCause, OutputRecord, SessionState};
use cis_core::ids::{AttemptId, Fence, SessionId, TimestampMs};
use cis_host::protocol::Exit;

/// Where the host's own umask is not known, files are put back as with this one.
const USUAL_UMASK: u32 = 0o022;

/// Pauses between attempts to store artifacts while no descriptor is free, or no thread can be started for them.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(900),
    Duration::from_millis(2700),
];

/// File work of one attempt that runs off the driver's thread: cache lookup before its session, artifact capture after it.
pub(super) struct OffThreadJob {
    cwd: PathBuf,
    artifacts: Vec<String>,
    cache: Option<CacheUse>,
    umask: u32,
    /// Where its files are uploaded to while they are read.
    ahead: Option<UploadAhead>,
    /// So often no thread could be started to keep its files.
    without_thread: usize,
    stop: Stop,
}

/// What a thread for files has found.
pub(super) enum Found {
    Looked(Looked),
    Kept(Kept),
}

/// What was kept after a session ended.
pub(super) struct Kept {
    artifacts: Result<Vec<ArtifactRecord>, FilesError>,
    /// Why the result is not in the cache, in words, though its task has one.
    not_cached: Option<String>,
}

/// Tickets of work that is under way, by whose it is.
pub(super) type Tickets = HashMap<u64, SessionId>;

impl OffThreadJob {
    /// None: the task has neither artifacts nor a cache.
    pub(super) fn of(spec: &TaskSpec) -> Option<Box<Self>> {
        if spec.artifacts.is_empty() && spec.cache.is_none() {
            return None;
        }
        Some(Box::new(Self {
            cwd: PathBuf::from(&spec.cwd),
            artifacts: spec.artifacts.clone(),
            cache: spec.cache.clone(),
            umask: spec.umask.unwrap_or(USUAL_UMASK),
            ahead: None,
            without_thread: 0,
            stop: Stop::default(),
        }))
    }
}

impl Drop for OffThreadJob {
    fn drop(&mut self) {
        // Nobody waits for what is still being done.
        self.stop.set();
    }
}

impl LocalWorker {
    /// Looks for a cached result. Answers what the start needs, where there is none to look for.
    pub(super) fn look_up(&mut self, session: SessionId, held: Held) -> Option<Held> {
        let search = self.live.get(&session).and_then(|live| {
            let job = live.job.as_ref()?;
            let cache = job.cache.as_ref()?;
            let stdin = held.stdin.as_deref().map(GivenPrompt::Stdin);
            let prompt = stdin.or(live.typed.as_deref().map(GivenPrompt::Typed));
            let search = Search {
                recipe: cache::recipe(&held.spec, cache, prompt),
                cwd: job.cwd.clone(),
                inputs: cache.inputs.clone(),
                artifacts: job.artifacts.clone(),
                ttl_ms: cache.ttl_ms,
                refresh: cache.refresh,
                umask: job.umask,
                staging: format!("{STAGING}{session}"),
                now_ms: self.now_ms,
            };
            Some((search, job.stop.clone()))
        });
        let Some((search, stop)) = search else { return Some(held) };
        let (cache, blobs) = (Cache::new(&self.home.dir), Arc::clone(&self.blobs));
        let key_file = key_file(&self.home.output_file(session));
        self.submit(session, move || {
            let looked = look_up(&search, &cache, &blobs, &stop);
            if let Looked::Miss { key } = &looked
                && let Err(error) = NotedKey::write(key.as_ref(), &key_file)
            {
                tracing::warn!(%error, "the key of a cache cannot be noted: the result is not kept");
            }
            Found::Looked(looked)
        });
        if let Some(live) = self.live.get_mut(&session) {
            live.life.look_up(held);
        }
        None
    }

    /// Uploads files of an attempt while they are read, when its session has ended.
    pub(crate) fn upload_ahead(&mut self, session: SessionId, ahead: UploadAhead) {
        if let Some(job) = self.live.get_mut(&session).and_then(|live| live.job.as_mut()) {
            job.ahead = Some(ahead);
        }
    }

    /// Its session ended well with these outputs: keeps what else it left. Answers the outputs, where
    /// nothing else is to be kept.
    pub(super) fn keep_files(
        &mut self,
        session: SessionId,
        exit: &Exit,
        outputs: BTreeMap<String, OutputRecord>,
    ) -> Option<BTreeMap<String, OutputRecord>> {
        let Some(live) = self.live.get_mut(&session) else { return Some(outputs) };
        let Some(job) = &mut live.job else { return Some(outputs) };
        // A stop from now on comes too late: the process has ended with code 0.
        job.stop = Stop::default();
        self.submit_keeping(session, exit.ended_ms, &outputs);
        if let Some(live) = self.live.get_mut(&session) {
            live.life.keep(exit.clone(), outputs);
        }
        self.slow.push_back((self.now_ms + YOUNG_MS, session));
        None
    }

    /// Lets a thread keep what a session left that ended then, with these outputs.
    fn submit_keeping(
        &mut self,
        session: SessionId,
        ended_ms: TimestampMs,
        outputs: &BTreeMap<String, OutputRecord>,
    ) {
        let Some(live) = self.live.get(&session) else { return };
        let Some(job) = &live.job else { return };
        let (cwd, globs, stop) = (job.cwd.clone(), job.artifacts.clone(), job.stop.clone());
        let ahead = job.ahead.clone();
        let hidden = match &live.withheld {
            Some((why, _)) => Err(why.clone()),
            None => Ok(Arc::clone(&live.redactor)),
        };
        // A cache entry stands for the log, and a result that was handed in is not in the log.
        let whole = live.handed_in_ms.is_none();
        let to_cache = job.cache.as_ref().filter(|_| whole).map(|cache| ToCache {
            cache: Cache::new(&self.home.dir),
            key_file: key_file(&self.home.output_file(session)),
            cwd: cwd.clone(),
            inputs: cache.inputs.clone(),
            from: live.attempt.to_string(),
            made_ms: ended_ms,
            outputs: outputs.clone(),
        });
        let blobs = Arc::clone(&self.blobs);
        self.submit(session, move || {
            let collect = || match &hidden {
                Ok(redactor) => artifacts::collect(&cwd, &globs, &blobs, redactor, ahead.as_ref(), &stop),
                Err(why) => Err(FilesError::Withheld { why: why.clone() }),
            };
            let artifacts = if globs.is_empty() { Ok(Vec::new()) } else { patiently(&PAUSES, collect) };
            let not_cached = match (&artifacts, to_cache) {
                (Ok(artifacts), Some(result)) => result.keep(artifacts, &stop).err(),
                _ => None,
            };
            Found::Kept(Kept { artifacts, not_cached })
        });
    }

    /// No thread could be started to keep what a session left: notes when that is tried again. Gives whether it is.
    fn keeps_later(&mut self, session: SessionId) -> bool {
        let live = self.live.get_mut(&session).filter(|live| live.life.is_keeping());
        let Some(job) = live.and_then(|live| live.job.as_mut()) else { return false };
        let Some(pause) = PAUSES.get(job.without_thread).copied() else { return false };
        job.without_thread += 1;
        let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        self.unkept.insert((self.now_ms.saturating_add(pause_ms), session));
        true
    }

    /// Tries again to keep what sessions left for whose files no thread could be started.
    pub(super) fn keep_again(&mut self) {
        while let Some((due, session)) = self.unkept.first().copied().filter(|(due, _)| *due <= self.now_ms) {
            self.unkept.remove(&(due, session));
            let kept = self.live.get(&session).and_then(|live| live.life.kept());
            if let Some((ended_ms, outputs)) = kept.map(|(exit, outputs)| (exit.ended_ms, outputs.clone())) {
                self.submit_keeping(session, ended_ms, &outputs);
            }
        }
    }

    fn submit(&mut self, session: SessionId, work: impl FnOnce() -> Found + Send + 'static) {
        let ticket = self.chores.submit(work);
        self.tickets.retain(|_, other| *other != session);
        self.tickets.insert(ticket, session);
    }

    /// Takes what the threads for files have found.
    pub(crate) fn take_found(&mut self) {
        while let Some((ticket, found)) = self.chores.next_done() {
            // Of an attempt that was let go meanwhile, or begun again.
            let Some(session) = self.tickets.remove(&ticket) else { continue };
            if matches!(found, Err(Undone::NoThread)) && self.keeps_later(session) {
                continue;
            }
            let Some(live) = self.live.get_mut(&session) else { continue };
            let (attempt, fence) = (live.attempt.clone(), live.fence);
            match (live.life.job_done(), found) {
                (Some(JobEnd::LookedUp { withdrawn: true, .. }), Ok(Found::Looked(Looked::Miss { .. })))
                    if !self.is_stopped(session) =>
                {
                    self.withdrawn(session);
                }
                (Some(JobEnd::LookedUp { held, .. }), Ok(Found::Looked(looked))) => {
                    self.looked(session, attempt, fence, *held, looked);
                }
                (Some(JobEnd::Kept { exit, outputs }), Ok(Found::Kept(kept))) => {
                    self.kept(attempt, fence, &exit, outputs, kept);
                }
                // Nothing of it has begun: it can wait.
                (Some(JobEnd::LookedUp { .. }), Err(Undone::NoThread)) => {
                    self.forget(session);
                    let detail = "no thread can be started to look for its cached result".to_owned();
                    let reason = Refusal::Resources { detail };
                    self.said.push(FromWorker::Refused { attempt, fence, reason });
                }
                (end, _) => {
                    let detail = "its files could not be worked on: the node's log says more".to_owned();
                    // Its process has succeeded, which the scheduler knows by its exit.
                    let exit = match &end {
                        Some(JobEnd::Kept { exit, .. }) => Some(exit),
                        _ => None,
                    };
                    let outcome = AttemptOutcome::SpawnError { detail };
                    self.say_result(attempt, fence, outcome, exit, BTreeMap::new());
                }
            }
        }
    }

    fn looked(&mut self, session: SessionId, attempt: AttemptId, fence: Fence, held: Held, looked: Looked) {
        let stopped = self.is_stopped(session);
        let outcome = match looked {
            Looked::Hit(entry) if !stopped => match self.outputs_of(session, &entry) {
                Ok(outputs) => {
                    let mut report = self.report(AttemptOutcome::Succeeded, None, outputs);
                    (report.artifacts, report.cached) = (entry.artifacts, Some(entry.from));
                    return self.say(attempt, fence, report);
                }
                Err(trouble) => trouble.outcome(),
            },
            Looked::Miss { .. } if !stopped => return self.start(&attempt, session, held),
            Looked::Failed(detail) => AttemptOutcome::Failed { cause: FailureCause::Input { detail } },
            _ => AttemptOutcome::Cancelled,
        };
        self.say_result(attempt, fence, outcome, None, BTreeMap::new());
    }

    /// Returns the outputs of a cache entry, with the secrets of this attempt replaced too: they may be others now. Names cannot
    /// be replaced.
    fn outputs_of(
        &mut self,
        session: SessionId,
        entry: &Entry,
    ) -> Result<BTreeMap<String, OutputRecord>, Trouble> {
        let Some(redactor) = self.live.get(&session).map(|live| Arc::clone(&live.redactor)) else {
            return Ok(BTreeMap::new());
        };
        artifacts::check_names(entry.artifacts.iter().map(|file| &*file.path), &redactor)
            .map_err(|error| Trouble::OfTask(format!("its artifacts cannot be kept: {error}")))?;
        super::results::check_names(entry.outputs.keys(), &redactor)?;
        let mut outputs = BTreeMap::new();
        for (name, record) in &entry.outputs {
            let mut value = record.value.clone();
            redactor.redact_json(&mut value);
            let record = match &record.blob {
                _ if value == record.value => record.clone(),
                None => self.output_record(name, &record.value, value)?,
                Some(blob) => OutputRecord {
                    hash: super::results::hash_of(&value),
                    value,
                    blob: Some(blob.clone()),
                    hidden: true,
                },
            };
            outputs.insert(name.clone(), record);
        }
        Ok(outputs)
    }

    fn kept(
        &mut self,
        attempt: AttemptId,
        fence: Fence,
        exit: &Exit,
        outputs: BTreeMap<String, OutputRecord>,
        kept: Kept,
    ) {
        let Kept { artifacts, not_cached } = kept;
        let report = match artifacts {
            Ok(artifacts) => {
                let report = self.report(AttemptOutcome::Succeeded, Some(exit), outputs);
                Report { artifacts, not_cached, ..report }
            }
            Err(FilesError::Stopped) => self.report(AttemptOutcome::Cancelled, Some(exit), BTreeMap::new()),
            Err(error) => {
                let detail = format!("its artifacts cannot be kept: {error}");
                // A full disk, say, or too many open files: that is not the task's fault.
                let outcome = if matches!(error, FilesError::Store(_)) || error.is_shortage() {
                    AttemptOutcome::SpawnError { detail }
                } else {
                    AttemptOutcome::Failed { cause: FailureCause::Outputs { detail } }
                };
                self.report(outcome, Some(exit), BTreeMap::new())
            }
        };
        self.say(attempt, fence, report);
    }

    /// Ends the search for a cached result. The end of the attempt is said once that has ended. What a session left that has
    /// ended well is kept all the same: its task has succeeded.
    pub(super) fn stop_job(&mut self, session: SessionId) {
        let live = self.live.get(&session).filter(|live| !live.life.is_keeping());
        if let Some(job) = live.and_then(|live| live.job.as_ref()) {
            job.stop.set();
        }
    }

    fn is_stopped(&self, session: SessionId) -> bool {
        let job = self.live.get(&session).and_then(|live| live.job.as_ref());
        job.is_some_and(|job| job.stop.is_set())
    }

    /// When the next keeping of files has taken long enough to be shown.
    pub(super) fn next_slow(&mut self) -> Option<TimestampMs> {
        while let Some((due, session)) = self.slow.front() {
            if self.live.get(session).is_some_and(|live| live.life.is_keeping()) {
                return Some(*due);
            }
            self.slow.pop_front();
        }
        None
    }

    /// Says of sessions that have ended that their files are still being kept.
    pub(super) fn show_slow(&mut self) {
        while let Some(due) = self.next_slow() {
            if due > self.now_ms {
                return;
            }
            let Some((_, session)) = self.slow.pop_front() else { return };
            let Some(live) = self.live.get(&session) else { continue };
            let (attempt, fence) = (live.attempt.clone(), live.fence);
            let state = SessionState::Exited;
            self.said.push(FromWorker::Session { attempt, fence, state, pid: live.life.pid() });
        }
    }

    /// Removes what is only needed while an attempt lives.
    pub(super) fn forget_job(&mut self, session: SessionId, live: &Live) {
        self.tickets.retain(|_, other| *other != session);
        if live.job.as_ref().is_some_and(|job| job.cache.is_some()) {
            super::results::remove(&key_file(&self.home.output_file(session)));
        }
    }
}

/// A result that is kept in the cache, but for its artifacts.
struct ToCache {
    cache: Cache,
    /// The key that was noted before the session.
    key_file: PathBuf,
    cwd: PathBuf,
    inputs: Vec<String>,
    from: String,
    made_ms: TimestampMs,
    outputs: BTreeMap<String, OutputRecord>,
}

impl ToCache {
    /// Keeps it if the input files are still those of its key. That it cannot be kept is no fault of the task: says why.
    fn keep(self, artifacts: &[ArtifactRecord], stop: &Stop) -> Result<(), String> {
        let Self { cache, key_file, cwd, inputs, from, made_ms, outputs } = self;
        let noted = NotedKey::read(&key_file)?;
        match noted.change(&cwd, &inputs, stop) {
            Ok(None) => {}
            Ok(Some(change)) => return Err(change.to_string()),
            Err(error) => return Err(format!("its inputs cannot be checked: {error}")),
        }
        let (key, artifacts) = (noted.key, artifacts.to_vec());
        let entry = Entry { key, from, made_ms, outputs, artifacts, vouched: None };
        cache.keep(&entry).map_err(|error| format!("it cannot be written to the cache: {error}"))
    }
}

/// Does `work` again after each pause, for as long as no descriptor is free.
fn patiently<T>(
    pauses: &[Duration],
    mut work: impl FnMut() -> Result<T, FilesError>,
) -> Result<T, FilesError> {
    for pause in pauses {
        match work() {
            // Nothing tells when another file is closed.
            Err(error) if error.is_short_of_descriptors() => thread::sleep(*pause),
            done => return done,
        }
    }
    work()
}

fn key_file(output: &Path) -> PathBuf {
    output.with_extension("key")
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn files_are_captured_again_only_while_no_descriptor_is_free() {
        let tries_until_success = |errors: &[Errno]| {
            let (mut tries, mut errors) = (0, errors.iter());
            let done = patiently(&[Duration::ZERO; 3], || {
                tries += 1;
                let error = errors.next().map(|&error| std::io::Error::from(error));
                error.map_or(Ok(()), |source| Err(FilesError::Read { path: "out".into(), source }))
            });
            (tries, done.is_ok())
        };
        assert_eq!(tries_until_success(&[]), (1, true));
        assert_eq!(tries_until_success(&[Errno::MFILE, Errno::NFILE]), (3, true));
        assert_eq!(tries_until_success(&[Errno::MFILE; 4]), (4, false));
        assert_eq!(tries_until_success(&[Errno::IO]), (1, false));
    }
}
