//! Ends of sessions into results: outcome and outputs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::disk::Trouble;
use super::{Live, LocalWorker};
use crate::secret_file;
use crate::small_file::{self, Links, ReadError};
use cis_core::api::{FromWorker, Refusal, Report};
use cis_core::dag::outputs::{self, Quotes};
use cis_core::event::{AttemptOutcome, FailureCause, OutputRecord};
use cis_core::ids::{AttemptId, Fence, SessionId};
use cis_core::policy::redact::Redactor;
use cis_host::protocol::{Exit, StartFailure};
use cis_local::Home;
use cis_store::Safety;

/// A `CIS_OUTPUT` file is read no further.
const OUTPUT_FILE_BYTES_MAX: u64 = 1 << 20;

impl LocalWorker {
    /// It could not be started.
    pub(crate) fn start_failed(&mut self, session: SessionId, why: StartFailure) {
        let Some(live) = self.live.get(&session) else { return };
        let (attempt, fence) = (live.attempt.clone(), live.fence);
        match why {
            StartFailure::Resources { detail } => {
                self.forget(session);
                self.said.push(FromWorker::Refused { attempt, fence, reason: Refusal::Resources { detail } });
            }
            StartFailure::Withdrawn {} => self.withdrawn(session),
            StartFailure::Program { detail } => {
                self.say_result(attempt, fence, AttemptOutcome::SpawnError { detail }, None, BTreeMap::new());
            }
        }
    }

    /// It was taken back before it began: nothing is left of it, its secrets neither.
    pub(super) fn withdrawn(&mut self, session: SessionId) {
        let Some(live) = self.live.get(&session) else { return };
        let (attempt, fence) = (live.attempt.clone(), live.fence);
        if live.keeps_secrets {
            remove(&secret_file::path(&live.log));
        }
        self.forget(session);
        self.said.push(FromWorker::Refused { attempt, fence, reason: Refusal::Withdrawn { full: false } });
    }

    /// It ended. Answers whether it is one of ours: if so it was shown to the hub before or not.
    pub(crate) fn exited(&mut self, session: SessionId, exit: &Exit) -> bool {
        let Some(live) = self.live.get(&session) else { return false };
        if live.life.is_reported() || live.life.is_keeping() {
            return true;
        }
        let (attempt, fence, handed_in) = (live.attempt.clone(), live.fence, live.handed_in_ms.is_some());
        let limit = live.reached_limit(exit);
        self.pace_ended(attempt.run, exit);
        let mut values = BTreeMap::new();
        let outcome = if let Some(cause) = limit {
            AttemptOutcome::Failed { cause }
        } else if handed_in {
            match self.collect(session, exit) {
                Ok(outputs) => {
                    match self.keep_files(session, exit, outputs) {
                        Some(outputs) => values = outputs,
                        None => return true,
                    }
                    AttemptOutcome::Succeeded
                }
                Err(trouble) => trouble.outcome(),
            }
        } else if exit.shut_down {
            AttemptOutcome::Lost { detail: "its session host was told to end".to_owned() }
        } else if exit.killed {
            // The exit code does not matter: a program may exit with 0 on SIGTERM with half of its work done.
            AttemptOutcome::Cancelled
        } else {
            match self.collect(session, exit) {
                Ok(outputs) if exit.status.is_success() => {
                    match self.keep_files(session, exit, outputs) {
                        Some(outputs) => values = outputs,
                        None => return true,
                    }
                    AttemptOutcome::Succeeded
                }
                Ok(outputs) => {
                    values = outputs;
                    AttemptOutcome::Failed { cause: FailureCause::Exit { status: exit.status } }
                }
                // A task that failed need not have written its outputs. If this node could not, that may be why it failed.
                Err(Trouble::OfTask(_)) if !exit.status.is_success() => {
                    AttemptOutcome::Failed { cause: FailureCause::Exit { status: exit.status } }
                }
                Err(trouble) => trouble.outcome(),
            }
        };
        self.say_result(attempt, fence, outcome, Some(exit), values);
        true
    }

    fn collect(
        &mut self,
        session: SessionId,
        exit: &Exit,
    ) -> Result<BTreeMap<String, OutputRecord>, Trouble> {
        let (live, written) = (&self.live, &mut self.written);
        let adopted = live.get(&session).is_none_or(|live| live.adopted);
        let look = adopted || written.may_have(session, |other| live.contains_key(&other));
        let bytes = if look { read_output(&self.home.output_file(session))? } else { None };
        self.reveal(session);
        let Some(live) = self.live.get_mut(&session) else { return Ok(BTreeMap::new()) };
        live.wrote_output = bytes.is_some();
        let bytes = bytes.unwrap_or_default();
        if bytes.is_empty() && live.declared.is_empty() {
            return Ok(BTreeMap::new());
        }
        if let Some((why, _)) = &live.withheld {
            return Err(Trouble::OfTask(format!("they may hold secrets that are not known: {why}")));
        }
        // Most files have no mistake that anything would be shown of.
        let values = outputs::parse(&bytes, &live.declared, Quotes::Shown)
            .or_else(|_| outputs::parse(&bytes, &live.declared, quotes(&live.redactor, &bytes)));
        let values = match values {
            Ok(values) => values,
            Err(detail) => return Err(self.classify_outputs(exit, detail)),
        };
        let Some(live) = self.live.get(&session) else { return Ok(BTreeMap::new()) };
        let redactor = Arc::clone(&live.redactor);
        check_names(values.keys(), &redactor)?;
        let mut records = BTreeMap::new();
        for (name, real) in values {
            let mut value = real.clone();
            redactor.redact_json(&mut value);
            records.insert(name.clone(), self.output_record(&name, &real, value)?);
        }
        Ok(records)
    }

    /// An output of which `value` is what may be seen: the real one goes into a blob where it is another.
    pub(super) fn output_record(
        &self,
        name: &str,
        real: &Value,
        value: Value,
    ) -> Result<OutputRecord, Trouble> {
        let blob = if value == *real {
            None
        } else {
            let bytes = serde_json::to_vec(real).map_err(|e| Trouble::OfTask(e.to_string()))?;
            let kept = self.blobs.put_secret(&bytes, Safety::Processes);
            Some(kept.map_err(|e| Trouble::OfDisk(format!("output `{name}` cannot be kept: {e}")))?)
        };
        Ok(OutputRecord { hash: hash_of(&value), value, hidden: blob.is_some(), blob })
    }

    /// The same of an output of a task on another node.
    ///
    /// # Errors
    /// Why its value cannot be kept.
    pub(crate) fn output_of_room(
        &self,
        name: &str,
        real: &Value,
        value: Value,
    ) -> Result<OutputRecord, String> {
        self.output_record(name, real, value).map_err(Trouble::into_detail)
    }

    pub(super) fn say_result(
        &mut self,
        attempt: AttemptId,
        fence: Fence,
        outcome: AttemptOutcome,
        exit: Option<&Exit>,
        outputs: BTreeMap<String, OutputRecord>,
    ) {
        let report = self.report(outcome, exit, outputs);
        self.say(attempt, fence, report);
    }

    /// What is said of an attempt that ended now, or with this exit.
    pub(super) fn report(
        &self,
        outcome: AttemptOutcome,
        exit: Option<&Exit>,
        outputs: BTreeMap<String, OutputRecord>,
    ) -> Report {
        let Some(exit) = exit else {
            return Report { outputs, ..Report::bare(outcome, None, self.now_ms) };
        };
        Report {
            exit: Some(exit.status),
            outputs,
            log_bytes: exit.output_bytes,
            lost_output: exit.lost_output.clone(),
            ..Report::bare(outcome, Some(exit.started_ms), exit.ended_ms)
        }
    }

    pub(super) fn say(&mut self, attempt: AttemptId, fence: Fence, mut report: Report) {
        if let Some(live) = self.by_attempt.get(&attempt).and_then(|session| self.live.get_mut(session)) {
            live.life.report();
            hide(&live.redactor, &mut report.outcome);
            report.not_cached = report.not_cached.map(|why| live.redactor.redact(&why));
        }
        self.said.push(FromWorker::Result { attempt, fence, report: Box::new(report) });
    }

    pub(super) fn forget(&mut self, session: SessionId) {
        let Some(live) = self.live.remove(&session) else { return };
        self.by_attempt.remove(&live.attempt);
        self.pace_leaves(live.attempt.run);
        self.written.forget(session);
        if live.wrote_output {
            remove(&self.home.output_file(session));
        }
        live.given.iter().for_each(|file| remove(file));
        self.forget_job(session, &live);
    }
}

impl Live {
    /// Returns the limit that ended its session; none: nothing did, or people or its own hand-in did.
    fn reached_limit(&self, exit: &Exit) -> Option<FailureCause> {
        let cause = if exit.idle {
            FailureCause::Idle { limit_ms: self.idle_ms.unwrap_or_default() }
        } else if exit.timed_out {
            FailureCause::Timeout { limit_ms: self.timeout_ms.unwrap_or_default() }
        } else {
            return None;
        };
        let is_cause = match self.handed_in_ms {
            // A program that handles SIGTERM may hand in a result after the limit.
            Some(at_ms) => exit.limit_ms.is_none_or(|limit_ms| limit_ms <= at_ms),
            None => !exit.killed,
        };
        is_cause.then_some(cause)
    }
}

/// Whether errors may show parts of a file that a task wrote: a part of a secret would not be known as one.
fn quotes(redactor: &Redactor, bytes: &[u8]) -> Quotes {
    let text = String::from_utf8_lossy(bytes);
    if redactor.is_empty() || redactor.redact(&text) == text { Quotes::Shown } else { Quotes::Hidden }
}

/// What is said of a failure may quote what the task wrote, or names of its files.
fn hide(redactor: &Redactor, outcome: &mut AttemptOutcome) {
    if redactor.is_empty() {
        return;
    }
    if let AttemptOutcome::SpawnError { detail }
    | AttemptOutcome::Failed {
        cause: FailureCause::Input { detail } | FailureCause::Outputs { detail },
    } = outcome
    {
        *detail = redactor.redact(detail);
    }
}

/// What a task wrote; none: it made no file.
fn read_output(path: &Path) -> Result<Option<Vec<u8>>, Trouble> {
    match small_file::read(path, OUTPUT_FILE_BYTES_MAX, Links::Refuse) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(ReadError::NotRegular) => {
            let detail = "CIS_OUTPUT is no longer a regular file: write to it, do not replace it";
            Err(Trouble::OfTask(detail.to_owned()))
        }
        Err(ReadError::Io(e)) => Err(Trouble::of(&e, format!("CIS_OUTPUT cannot be read: {e}"))),
    }
}

/// Refuses outputs whose names hold a secret: names are visible to everybody who sees the run.
pub(super) fn check_names<'a>(
    names: impl Iterator<Item = &'a String>,
    redactor: &Redactor,
) -> Result<(), Trouble> {
    let Some(name) = redactor.first_with_secret(names.map(String::as_str)) else { return Ok(()) };
    let detail = format!("the name of output `{name}` holds a secret, and names are visible: rename it");
    Err(Trouble::OfTask(detail))
}

pub(super) fn hash_of(value: &Value) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(value.to_string().as_bytes()))
}

pub(crate) fn remove(path: &Path) {
    if let Err(e) = fs::remove_file(path)
        && e.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), error = %e, "a session's file could not be removed");
    }
}

/// Behind `CIS_CONTEXT`.
pub(super) fn context_file(home: &Home, session: SessionId) -> PathBuf {
    home.output_file(session).with_extension("context")
}
