//! Values of all secrets of a run: what one of its tasks is given must not be seen of any of them.
//!
//! Owns the values of the runs that are open here, and the file beside their logs. Does not decide which task is given
//! which secret.

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

/// Of one run.
pub(super) struct RunSecrets {
    values: BTreeSet<String>,
    redactor: Arc<Redactor>,
}

impl LocalWorker {
    /// What must not be seen of a session of this run, which has these secrets itself. `base` is the environment of the
    /// run, or why it cannot be had: nobody needs it once the run's values are kept.
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

    /// The run's values, those of this task among them. They are on disk before any session has one of them.
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
                    Trouble::of(&e, format!("the secrets kept beside the run's logs cannot be read: {e}"))
                })?;
                let values = match kept {
                    Some(values) => values,
                    // Of other tasks' secrets those that there are: a file may come to be while the run goes on.
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
            // Sessions that live already print it from now on, if at all.
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
        .map_err(|e| format!("of the run's tasks together, {e}"))?;
    Redactor::new(values.iter().cloned()).map(Arc::new).map_err(|e| e.to_string())
}

fn keep(dir: &Path, values: &BTreeSet<String>) -> Result<(), Trouble> {
    secret_file::keep_run(dir, values)
        .map_err(|e| Trouble::of(&e, format!("the run's secrets cannot be kept beside its logs: {e}")))
}
