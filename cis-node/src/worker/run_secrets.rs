//! Values of all secrets of a run: a value that one task gets is hidden in the output of all tasks.
//!
//! Owns the values of the runs that are open here, and the file next to their logs. Does not decide which task is
//! given which secret.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::disk::Trouble;
use super::{LocalWorker, Variables};
use crate::secret_file::{self, Secrets};
use crate::{environment, redactors};
use cis_core::api::TaskSpec;
use cis_core::dag::SecretSource;
use cis_core::ids::{BlobId, RunId};
use cis_core::policy::redact::{RUN_SECRETS_BYTES_MAX, Redactor};

/// The secrets of one run.
pub(super) struct RunSecrets {
    values: BTreeSet<String>,
    redactor: Arc<Redactor>,
}

/// Redactors of a session.
pub(super) struct Hidden {
    /// Of all values that are hidden in its output.
    pub(super) all: Arc<Redactor>,
    /// Of the values that it got from earlier tasks, without the secrets of the run.
    pub(super) own: Arc<Redactor>,
}

impl LocalWorker {
    /// Returns environment variables with the secrets of a task that another node runs, and hides their values in the output of
    /// this run's tasks from now on.
    ///
    /// # Errors
    /// A secret has no usable value.
    pub(crate) fn secret_variables(
        &mut self,
        run: RunId,
        spec: &TaskSpec,
    ) -> Result<BTreeMap<String, String>, String> {
        let base = self.base_environment(spec.base_env.as_ref())?;
        let named = environment::secrets(spec, &base).map_err(|error| error.to_string())?;
        let own = Secrets { named, sensitive: spec.sensitive.clone() };
        self.redactor_for(run, spec, &own, Ok(&base)).map_err(Trouble::into_detail)?;
        let mut variables = own.named;
        environment::add_sources(spec, &mut variables);
        Ok(variables)
    }

    /// Finds the secrets of a run that was submitted here, and hides their values in the output of its tasks from now on.
    ///
    /// # Errors
    /// Why the values are unknown.
    pub(crate) fn learn_secrets(
        &mut self,
        run: RunId,
        base: Option<&BlobId>,
        sources: &[SecretSource],
    ) -> Result<(), String> {
        if sources.is_empty() || self.run_secrets.contains_key(&run) {
            return Ok(());
        }
        let base = self.base_environment(base);
        let base = base.as_deref().map_err(String::as_str);
        let known = self.secrets_of_run(run, sources, &Secrets::default(), base);
        known.map(|_| ()).map_err(Trouble::into_detail)
    }

    /// Keeps the secrets that a task of another node's run came with, next to its log.
    pub(super) fn keep_given(&mut self, run: RunId, log: &Path, secrets: &Secrets) -> Result<(), Trouble> {
        let cannot = |error| Trouble::OfDisk(format!("cannot keep the secrets next to the log: {error}"));
        let dir = self.home.run_logs(run);
        let values: Vec<String> = secrets.values().collect();
        Redactor::check(values.iter().map(String::as_str)).map_err(|e| Trouble::OfTask(e.to_string()))?;
        if !self.run_secrets.contains_key(&run) && secret_file::load_run(&dir).map_err(cannot)?.is_none() {
            // It says that all secrets of the run that are here are known. Otherwise its logs could not be shown.
            secret_file::keep_run(&dir, &BTreeSet::new()).map_err(cannot)?;
        }
        if secrets.is_empty() { Ok(()) } else { secret_file::keep(log, secrets).map_err(cannot) }
    }

    /// Removes the secrets of another node's run, of which nothing is left here.
    pub(crate) fn forget_secrets_of(&mut self, run: RunId) {
        self.run_secrets.remove(&run);
        if let Err(error) = secret_file::keep_run(&self.home.run_logs(run), &BTreeSet::new()) {
            tracing::warn!(%run, %error, "the secrets of a run of another node cannot be removed");
        }
    }

    /// Returns the redactor of a session of this run, which has the secrets `own`. `base` is the environment of the
    /// run, or why it cannot be read; it is not needed once the run's values are kept.
    pub(super) fn redactor_for(
        &mut self,
        run: RunId,
        spec: &TaskSpec,
        own: &Secrets,
        base: Result<&Variables, &str>,
    ) -> Result<Hidden, Trouble> {
        if spec.run_secrets.is_empty() && own.is_empty() && !self.run_secrets.contains_key(&run) {
            let none = || Arc::clone(&self.no_secrets);
            return Ok(Hidden { all: none(), own: none() });
        }
        let all = own.named.values().chain(&own.sensitive).map(String::as_str);
        Redactor::check(all).map_err(|e| Trouble::OfTask(e.to_string()))?;
        let known = self.secrets_of_run(run, &spec.run_secrets, own, base)?;
        let sensitive = own.sensitive.iter().filter(|value| !known.values.contains(*value));
        let own =
            redactors::one(&sensitive.cloned().collect()).map_err(|e| Trouble::OfTask(e.to_string()))?;
        Ok(Hidden { all: known.redactor.with(&own), own })
    }

    /// Returns the redactor of what people write about a run, also before one of its tasks has started. `base` is the
    /// blob of the run's environment.
    ///
    /// # Errors
    /// Why the values are unknown.
    pub(crate) fn redactor_of_run(
        &mut self,
        run: RunId,
        base: Option<&BlobId>,
        sources: &[SecretSource],
    ) -> Result<Arc<Redactor>, String> {
        if sources.is_empty() {
            return Ok(Arc::clone(&self.no_secrets));
        }
        if let Some(known) = self.run_secrets.get(&run) {
            return Ok(Arc::clone(&known.redactor));
        }
        let base = self.base_environment(base);
        let base = base.as_deref().map_err(String::as_str);
        let values = values_of_run(&self.home.run_logs(run), sources, base);
        values.and_then(|values| redactor(&values)).map_err(Trouble::into_detail)
    }

    /// Returns the values of the run, including those of this task. The values are on disk before a session
    /// gets one of them.
    pub(super) fn secrets_of_run(
        &mut self,
        run: RunId,
        sources: &[SecretSource],
        own: &Secrets,
        base: Result<&Variables, &str>,
    ) -> Result<&RunSecrets, Trouble> {
        let dir = self.home.run_logs(run);
        let known = match self.run_secrets.entry(run) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let values = values_of_run(&dir, sources, base)?;
                let redactor = redactor(&values)?;
                keep(&dir, &values)?;
                place.insert(RunSecrets { values, redactor })
            }
        };
        if own.named.values().any(|value| !known.values.contains(value)) {
            let mut values = known.values.clone();
            values.extend(own.named.values().cloned());
            let redactor = redactor(&values)?;
            keep(&dir, &values)?;
            *known = RunSecrets { values, redactor };
            // Sessions that already run may print the new values from now on.
            for (session, live) in &mut self.live {
                if live.attempt.run == run && live.withheld.is_none() {
                    live.redactor = known.redactor.with(&live.own_secrets);
                    self.redactors.push((*session, Arc::clone(&live.redactor)));
                }
            }
            for exposure in &mut self.exposed {
                if let Some(live) = self.live.get(&exposure.session) {
                    exposure.redactor = Arc::clone(&live.redactor);
                }
            }
        }
        Ok(known)
    }
}

/// Returns the values that are kept in the run's log directory, or else those that `sources` have now.
fn values_of_run(
    dir: &Path,
    sources: &[SecretSource],
    base: Result<&Variables, &str>,
) -> Result<BTreeSet<String>, Trouble> {
    let kept = secret_file::load_run(dir)
        .map_err(|e| Trouble::of(&e, format!("cannot read the secrets kept next to the run's logs: {e}")))?;
    if let Some(values) = kept {
        return Ok(values);
    }
    let base = base.map_err(|why| Trouble::OfTask(why.to_owned()))?;
    // Missing secrets of other tasks are no error: their file may be made later in the run.
    Ok(fitting(environment::secret_values(sources, base)))
}

/// Returns as many of these values as a run may have. A task that gets one of the others fails with the reason.
fn fitting(values: BTreeSet<String>) -> BTreeSet<String> {
    let mut left = RUN_SECRETS_BYTES_MAX;
    let fits = |value: &String| match left.checked_sub(value.len()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    values.into_iter().filter(fits).collect()
}

fn redactor(values: &BTreeSet<String>) -> Result<Arc<Redactor>, Trouble> {
    redactors::one(values).map_err(|e| Trouble::OfTask(format!("with those of the run's other tasks, {e}")))
}

fn keep(dir: &Path, values: &BTreeSet<String>) -> Result<(), Trouble> {
    secret_file::keep_run(dir, values)
        .map_err(|e| Trouble::OfDisk(format!("cannot keep the run's secrets next to its logs: {e}")))
}
