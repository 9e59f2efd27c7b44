//! A look at every file that the store refers to: is it there, and is its content what it should be?

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};

use super::Progress;
use super::error::UpkeepError;
use crate::config::Keys;
use crate::declared::declares_secrets;
use crate::secret_file;
use cis_core::ids::{BlobId, RunId};
use cis_local::{Home, open_no_link};
use cis_store::maintenance::{Census, LogRecord, logs};
use cis_store::{Blobs, Readers, StoreError};

/// So many findings of a kind are told one by one.
const FINDINGS_MAX: usize = 20;

/// What a look at the files found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeepReport {
    /// What is wrong, in words. Empty: all files are sound.
    pub findings: Vec<String>,
    /// Logs that were not in the backup that the home was restored from.
    pub logs_left_out: u64,
}

/// Looks at every file that the store refers to. What was cleaned need not be there, and what was left out of a backup
/// is counted.
///
/// # Errors
/// The store cannot be read.
pub fn deep_check(home: &Home, progress: &mut dyn FnMut(Progress)) -> Result<DeepReport, UpkeepError> {
    let census = Census::take(&home.database())?;
    let blobs = Blobs::new(&home.dir);
    // Without the key, changed secrets are only noticed if they cannot be parsed.
    let blobs = match Keys::load(&home.dir) {
        Ok(Some(keys)) => blobs.with_key(keys.secret_names()),
        Ok(None) | Err(_) => blobs,
    };
    let mut findings = Findings::default();
    let (mut done, total) = (0, blobs.list()?.iter().map(|stored| stored.bytes).sum());
    for id in census.needs().iter() {
        let Some(path) = blobs.file(&id) else {
            if census.is_blob(&id) {
                findings.add("blobs", format!("the blob {} is missing", id.0));
            }
            continue;
        };
        let is_content = path.starts_with(home.blobs());
        match if is_content { is_sound(&path, &id) } else { is_secret_sound(&blobs, &id) } {
            Ok((true, bytes)) => done += bytes,
            Ok((false, _)) if is_content => {
                findings.add("blobs", format!("the blob {} is damaged", id.0));
            }
            Ok((false, _)) => {
                findings.add("blobs", format!("the file with secrets {} is damaged", path.display()));
            }
            Err(error) => findings.add("blobs", format!("the blob {} cannot be read: {error}", id.0)),
        }
        progress(Progress { done, total: Some(total) });
    }
    let readers = Readers::open(&home.database())?;
    let mut logs_left_out = 0;
    let mut looked_at = BTreeSet::new();
    for record in logs(&home.database())? {
        if is_cleaned(&census, &record) {
            continue;
        }
        if !has_log(home, &record) {
            if record.is_elsewhere {
                continue;
            }
            if census.was_left_out(&record) {
                logs_left_out += 1;
            } else {
                findings.add("logs", missing(&record));
            }
            continue;
        }
        let Some((run, task, number)) = &record.attempt else { continue };
        if looked_at.insert(*run)
            && let Some(why) = no_secrets_of_run(home, &readers, &blobs, *run)
        {
            findings.add("logs", format!("the logs of run {run} are withheld: {why}"));
        }
        if let Err(error) = secret_file::try_load(&home.attempt_log(*run, task, *number)) {
            let why = format!("the secrets kept beside it cannot be read: {error}");
            findings.add("logs", format!("the log of {run}:{task}#{number} is withheld: {why}"));
        }
    }
    Ok(DeepReport { findings: findings.told(), logs_left_out })
}

/// Whether a secret is what was written: JSON with the checksum in its name, which those of an earlier version do not have.
fn is_secret_sound(blobs: &Blobs, id: &BlobId) -> io::Result<(bool, u64)> {
    match blobs.get(id) {
        Ok(Some(bytes)) => {
            let is_json = serde_json::from_slice::<IgnoredAny>(&bytes).is_ok();
            Ok((is_json, bytes.len() as u64))
        }
        Ok(None) => Err(io::ErrorKind::NotFound.into()),
        Err(StoreError::SecretDamaged { .. }) => Ok((false, 0)),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Content is named by its hash.
fn is_sound(path: &Path, id: &BlobId) -> io::Result<(bool, u64)> {
    let mut file = open_no_link(File::options().read(true), path)?;
    let mut hash = Sha256::new();
    let bytes = io::copy(&mut file, &mut hash)?;
    Ok((hex::encode(hash.finalize()) == id.0, bytes))
}

/// Why the secrets of a run cannot be hidden in its logs.
fn no_secrets_of_run(home: &Home, readers: &Readers, blobs: &Blobs, run: RunId) -> Option<String> {
    match secret_file::load_run(&home.run_logs(run)) {
        Ok(Some(_)) => None,
        Ok(None) => {
            declares_secrets(readers, blobs, run).then(|| match readers.get().and_then(|r| r.run_spec(run)) {
                Ok(spec) if !matches!(blobs.get(&spec), Ok(Some(_))) => {
                    format!(
                        "its DAG file, the blob {}, cannot be read, so it is unknown whether it has secrets",
                        spec.0
                    )
                }
                _ => "the file with the secrets of the run is missing".to_owned(),
            })
        }
        Err(error) => Some(format!("the secrets kept beside them cannot be read: {error}")),
    }
}

fn is_cleaned(census: &Census, record: &LogRecord) -> bool {
    match &record.attempt {
        // A run that was run again has the logs of its later attempts alone; which ones those are, no row says.
        Some((run, _, _)) => census.runs.get(run).is_none_or(|run| run.cleaned || run.was_cleaned),
        None => census.cleaned_sessions.contains(&record.session),
    }
}

fn has_log(home: &Home, record: &LogRecord) -> bool {
    let path = match &record.attempt {
        Some((run, task, number)) => home.attempt_log(*run, task, *number),
        None => home.session_log(record.session),
    };
    fs::symlink_metadata(path).is_ok()
}

fn missing(record: &LogRecord) -> String {
    match &record.attempt {
        Some((run, task, number)) => format!("the log of {run}:{task}#{number} is missing"),
        None => format!("the log of session {} is missing", record.session),
    }
}

#[derive(Default)]
struct Findings {
    told: Vec<String>,
    counts: std::collections::BTreeMap<&'static str, usize>,
}

impl Findings {
    fn add(&mut self, kind: &'static str, text: String) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= FINDINGS_MAX {
            self.told.push(text);
        }
    }

    fn told(mut self) -> Vec<String> {
        for (kind, count) in self.counts {
            if count > FINDINGS_MAX {
                self.told.push(format!("and {} more {kind}", count - FINDINGS_MAX));
            }
        }
        self.told
    }
}
