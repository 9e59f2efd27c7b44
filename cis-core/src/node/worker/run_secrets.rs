//! Values of all secrets of a run: a value that one task gets is hidden in the output of all tasks.
//!
//! Owns the values of the runs that are open here, and the file next to their logs. Does not decide which task is
//! given which secret.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use super::disk::Trouble;
use super::{LocalWorker, Variables};
use crate::api::TaskSpec;
use crate::ids::RunId;
use crate::node::environment;
use crate::node::secret_file::{self, Secrets};
use crate::policy::redact::Redactor;

/// The secrets of one run.
pub(super) struct RunSecrets {
    values: BTreeSet<String>,
    redactor: Arc<Redactor>,
}

impl LocalWorker {
    /// Returns the redactor of a session of this run, which has the secrets `own`. `base` is the environment of the
    /// run, or why it cannot be read; it is not needed once the run's values are kept.
    pub(super) fn redactor_for(
        &mut self,
        run: RunId,
        spec: &TaskSpec,
        own: &Secrets,
        base: Result<&Variables, &str>,
    ) -> Result<Arc<Redactor>, Trouble> {
        if spec.run_secrets.is_empty() && own.is_empty() {
            return Ok(Arc::clone(&self.no_secrets));
        }
        let all = own.named.values().chain(&own.sensitive).map(String::as_str);
        Redactor::check(all).map_err(|e| Trouble::OfTask(e.to_string()))?;
        let known = self.secrets_of_run(run, spec, own, base)?;
        if own.sensitive.is_empty() {
            return Ok(Arc::clone(&known.redactor));
        }
        let all = known.values.iter().chain(&own.sensitive).cloned();
        Redactor::new(all).map(Arc::new).map_err(|e| Trouble::OfTask(e.to_string()))
    }

    /// Returns the values of the run, including those of this task. The values are on disk before a session
    /// gets one of them.
    fn secrets_of_run(
        &mut self,
        run: RunId,
        spec: &TaskSpec,
        own: &Secrets,
        base: Result<&Variables, &str>,
    ) -> Result<&RunSecrets, Trouble> {
        let dir = self.home.run_logs(run);
        let known = match self.run_secrets.entry(run) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let kept = secret_file::load_run(&dir).map_err(|e| {
                    Trouble::of(&e, format!("cannot read the secrets kept next to the run's logs: {e}"))
                })?;
                let values = match kept {
                    Some(values) => values,
                    // Missing secrets of other tasks are no error: their file may be made later in the run.
                    None => {
                        let base = base.map_err(|why| Trouble::OfTask(why.to_owned()))?;
                        environment::known_secrets(&spec.run_secrets, base)
                    }
                };
                let redactor = redactor(&values).map_err(Trouble::OfTask)?;
                keep(&dir, &values)?;
                place.insert(RunSecrets { values, redactor })
            }
        };
        if own.named.values().any(|value| !known.values.contains(value)) {
            let mut values = known.values.clone();
            values.extend(own.named.values().cloned());
            let redactor = redactor(&values).map_err(Trouble::OfTask)?;
            keep(&dir, &values)?;
            let before = std::mem::replace(known, RunSecrets { values, redactor }).redactor;
            // Live sessions cannot have printed the new values before now.
            for (session, live) in &mut self.live {
                if Arc::ptr_eq(&live.redactor, &before) {
                    live.redactor = Arc::clone(&known.redactor);
                    self.redactors.push((*session, Arc::clone(&known.redactor)));
                }
            }
        }
        Ok(known)
    }
}

fn redactor(values: &BTreeSet<String>) -> Result<Arc<Redactor>, String> {
    Redactor::check(values.iter().map(String::as_str))
        .map_err(|e| format!("cannot hide the secrets of the run's tasks: {e}"))?;
    Redactor::new(values.iter().cloned()).map(Arc::new).map_err(|e| e.to_string())
}

fn keep(dir: &Path, values: &BTreeSet<String>) -> Result<(), Trouble> {
    secret_file::keep_run(dir, values)
        .map_err(|e| Trouble::of(&e, format!("cannot keep the run's secrets next to its logs: {e}")))
}
