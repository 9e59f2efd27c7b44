//! What must not be seen of a session: values of its secrets, and those that it got from earlier tasks.

use std::path::Path;

use super::disk::Trouble;
use super::run_secrets::Hidden;
use super::{LocalWorker, Variables};
use crate::environment::{self, SecretError};
use crate::exposure::command_line;
use crate::secret_file::{self, Secrets};
use cis_core::api::TaskSpec;
use cis_core::ids::{RunId, SessionId};

impl LocalWorker {
    /// Values of secrets, found now: what a grant kept that was taken back is of no use to the next one, which
    /// has the same number.
    pub(super) fn secrets_of(
        &self,
        spec: &TaskSpec,
        log: &Path,
        base: &Variables,
    ) -> Result<Secrets, Trouble> {
        if spec.secrets.is_empty() && spec.sensitive.is_empty() {
            return Ok(Secrets::default());
        }
        let named =
            environment::secrets(spec, base).map_err(|e: SecretError| Trouble::OfTask(e.to_string()))?;
        let secrets = Secrets { named, sensitive: spec.sensitive.clone() };
        secret_file::keep(log, &secrets)
            .map_err(|e| Trouble::OfDisk(format!("cannot keep the secrets next to the log: {e}")))?;
        Ok(secrets)
    }

    /// What must not be seen of a session that was started in an earlier life of this node.
    pub(super) fn redactor_again(
        &mut self,
        run: RunId,
        spec: &TaskSpec,
        log: &Path,
    ) -> Result<Hidden, String> {
        let base = self.base_environment(spec.base_env.as_ref());
        // The file is there where it was granted with secrets, whatever they were.
        let secrets = match kept(log)? {
            Some(kept) => kept,
            None if spec.secrets.is_empty() => {
                Secrets { sensitive: spec.sensitive.clone(), ..Secrets::default() }
            }
            None => self
                .secrets_of(spec, log, base.as_deref().map_err(String::clone)?)
                .map_err(Trouble::into_detail)?,
        };
        let base = base.as_deref().map_err(String::as_str);
        if secret_file::has_values(&self.home.run_logs(run)) {
            self.secrets_of_run(run, &spec.run_secrets, &Secrets::default(), base)
                .map_err(Trouble::into_detail)?;
        }
        self.redactor_for(run, spec, &secrets, base).map_err(Trouble::into_detail)
    }

    /// Tries again to find the secrets of a session that is withheld.
    pub(super) fn reveal(&mut self, session: SessionId) {
        let Some((spec, log, run)) = self.live.get_mut(&session).and_then(|live| {
            let (_, spec) = live.withheld.take()?;
            Some((spec, live.log.clone(), live.attempt.run))
        }) else {
            return;
        };
        let found = self.redactor_again(run, &spec, &log);
        let Some(live) = self.live.get_mut(&session) else { return };
        match found {
            Ok(Hidden { all, own }) => {
                live.command = command_line(&spec.program, &all);
                (live.redactor, live.own_secrets) = (all, own);
            }
            Err(why) => live.withheld = Some((why, spec)),
        }
    }

    /// Why nothing of a session may be shown.
    pub(crate) fn withheld(&self, session: SessionId) -> Option<&str> {
        self.live.get(&session)?.withheld.as_ref().map(|(why, _)| why.as_str())
    }
}

fn kept(log: &Path) -> Result<Option<Secrets>, String> {
    secret_file::try_load(log).map_err(|e| format!("the secrets kept beside its log cannot be read: {e}"))
}
