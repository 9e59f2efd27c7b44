//! Secrets of tasks that run on the nodes of a room: sealed to the node that runs the task, and removed there afterwards.
//!
//! Owns who gets which secrets, and when they are removed. The encryption is in `cis_core::identity::sealed`, what is sealed in
//! `cis_core::federation::private`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::Driver;
use super::super::spec::IS_AWAY;
use crate::file_jobs::Job;
use crate::secret_file;
use cis_core::api::{Program, Refusal, Report, TaskSpec};
use cis_core::event::AttemptOutcome;
use cis_core::federation::direct::RemoteSpec;
use cis_core::federation::private::{PrivateSpec, open_output, seal_output};
use cis_core::federation::protocol::message::{Grant, Granted};
use cis_core::ids::{AttemptId, NodeDid, RunId, SessionId};
use cis_core::scheduler::placement::may_have_secrets;
use cis_store::StoreError;

/// Logs of a run of another node that are being cleared of secrets.
#[derive(Default)]
pub(super) struct Hiding {
    underway: u32,
    /// The newest of these jobs has all logs of the run.
    is_all: bool,
}

impl Driver {
    /// Returns the secrets that a task gets on another node, as environment variables. `None`: its specification has nothing
    /// secret.
    ///
    /// # Errors
    /// The task cannot get them there, and why.
    pub(super) fn secrets_for(
        &mut self,
        attempt: &AttemptId,
        spec: &TaskSpec,
        room: &str,
        node: &NodeDid,
    ) -> Result<Option<BTreeMap<String, String>>, String> {
        if spec.secrets.is_empty() && spec.sensitive.is_empty() {
            return Ok(None);
        }
        let run = self.parts.machine.run(&attempt.run).ok_or("the run has ended")?;
        let Some(index) = run.find(&attempt.task) else {
            return Err("the run does not have it".to_owned());
        };
        if !run.may_use_submitter(index) && !spec.secrets.is_empty() {
            return Err(format!("secrets: {IS_AWAY}"));
        }
        let task = run.spec(index);
        let Some(offer) = self.parts.machine.offer_of(room, node) else {
            return Err(format!("node {node} is not heard any more"));
        };
        if !may_have_secrets(task, node, offer) {
            let why = "it uses an output that holds a secret, and secrets go only to nodes that the task names by a DID, or by a name or tags that an owner of the room gave";
            return Err(why.to_owned());
        }
        if !offer.secrets {
            return Err(format!("node {node} has a version of CIS that does not support sealed secrets"));
        }
        self.parts.worker.secret_variables(attempt.run, spec).map(Some)
    }

    /// Reads the specification of a grant with the key of this node.
    pub(super) fn private_spec(
        &self,
        remote: &RemoteSpec,
        granted: &Granted,
        session: SessionId,
    ) -> Result<PrivateSpec, Refusal> {
        let opened = PrivateSpec::of(remote, granted, session, &self.parts.keys.node);
        let mut private = opened.map_err(|error| Refusal::Policy {
            detail: format!("its secrets cannot be opened: {error}; the key of the node may have changed"),
        })?;
        // What is started is the agent that the rules of this node are asked about, whatever the coordinator says.
        private.spec.profile = match &private.spec.program {
            Program::Agent { agent, .. } => Some(agent.clone()),
            Program::Argv(_) | Program::Script { .. } => None,
        };
        Ok(private)
    }

    /// Seals real values of outputs to the coordinator of the run. They do not stay here.
    pub(super) fn seal_outputs(&mut self, room: &str, granted: &Granted, report: &mut Report) {
        let worker = self.federation.worker(room);
        let to = worker.and_then(|worker| worker.coordinator_of(granted.attempt.run).cloned());
        for (name, output) in &mut report.outputs {
            let Some(blob) = output.blob.take() else { continue };
            let value = self.parts.blobs.get(&blob).ok().flatten();
            let value = value.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let sealed = value.zip(to.as_ref()).zip(fresh().ok()).and_then(|((value, to), randomness)| {
                seal_output(to, granted, name, &value, randomness).ok()
            });
            match sealed {
                Some(sealed) => drop(report.sealed.insert(name.clone(), sealed)),
                None => {
                    tracing::warn!(attempt = %granted.attempt, output = name, "an output cannot be sealed")
                }
            }
            if let Err(error) = self.parts.blobs.remove_secret(&blob) {
                tracing::warn!(attempt = %granted.attempt, %error, "the value of an output cannot be removed");
            }
        }
    }

    /// Opens real values of outputs that a worker sealed to this node, and hides in all outputs the secrets of the run.
    pub(super) fn open_outputs(&mut self, granted: &Granted, report: &mut Report) {
        let sealed = std::mem::take(&mut report.sealed);
        let is_foreign =
            self.parts.machine.run(&granted.attempt.run).is_none_or(|run| run.facts().is_foreign());
        // A node that took the run over does not have its secrets.
        let redactor =
            if is_foreign { Ok(Arc::default()) } else { self.redactor_of_run(granted.attempt.run) };
        let redactor = match redactor {
            Ok(redactor) => redactor,
            Err(why) => {
                return without_outputs(report, &format!("the secrets of the run are not known: {why}"));
            }
        };
        for (name, output) in &mut report.outputs {
            let real = sealed.get(name).and_then(|sealed| {
                let opened = open_output(&self.parts.keys.node, granted, name, sealed);
                let failed = |error| tracing::warn!(attempt = %granted.attempt, output = name, %error, "the value of an output is lost");
                opened.map_err(failed).ok()
            });
            if real.is_none() && (output.hidden || redactor.is_empty()) {
                continue;
            }
            let mut shown = output.value.clone();
            redactor.redact_json(&mut shown);
            let real = real.unwrap_or_else(|| output.value.clone());
            match self.parts.worker.output_of_room(name, &real, shown) {
                Ok(record) => *output = record,
                Err(why) => return without_outputs(report, &why),
            }
        }
    }

    /// Removes the secrets of an ended attempt of another node's run. What its log shows of them is replaced first.
    pub(super) fn remove_secrets_of(&mut self, attempt: &AttemptId) {
        let log = self.parts.home.attempt_log(attempt.run, &attempt.task, attempt.number);
        let has_some = || secret_file::has_values(&self.parts.home.run_logs(attempt.run));
        if (secret_file::has_own_values(&log) || has_some()) && self.is_of_another_node(attempt.run) {
            self.hide(attempt.run, vec![log], false);
        }
    }

    /// Removes the secrets of an attempt whose session never began.
    pub(super) fn remove_unused_secrets_of(&mut self, attempt: &AttemptId) {
        let log = self.parts.home.attempt_log(attempt.run, &attempt.task, attempt.number);
        if let Err(error) = secret_file::remove(&log) {
            tracing::warn!(%attempt, %error, "the secrets of an attempt cannot be removed");
        }
        self.hide_rest_of(attempt.run);
    }

    /// Removes what an earlier life of this node left of the secrets of other nodes' runs.
    pub(in crate::driver) fn remove_old_secrets(&mut self) {
        for run in secret_file::runs_with_values(&self.parts.home.logs()) {
            self.hide_rest_of(run);
        }
    }

    /// Removes all secrets of another node's run of which this node has no attempt any more.
    fn hide_rest_of(&mut self, run: RunId) {
        let dir = self.parts.home.run_logs(run);
        let is_held = || self.federation.held.keys().any(|attempt| attempt.run == run);
        if !is_held() && secret_file::has_any(&dir) && self.is_of_another_node(run) {
            self.hide(run, secret_file::logs_in(&dir).into_iter().collect(), true);
        }
    }

    fn hide(&mut self, run: RunId, logs: Vec<PathBuf>, is_all: bool) {
        let hiding = self.federation.hiding.entry(run).or_default();
        hiding.underway += 1;
        // What came to an end since then is not among them.
        hiding.is_all = is_all;
        if !self.parts.link.carry(Job::Hide { run, logs }) {
            self.secrets_hidden(run, false);
        }
    }

    /// Logs show no secrets any more. Where that failed, it is tried again when the next attempt of the run ends, or when the node
    /// starts again.
    pub(super) fn secrets_hidden(&mut self, run: RunId, is_done: bool) {
        let Some(hiding) = self.federation.hiding.get_mut(&run) else { return };
        hiding.underway = hiding.underway.saturating_sub(1);
        if hiding.underway > 0 {
            return;
        }
        let is_all = hiding.is_all;
        self.federation.hiding.remove(&run);
        match (is_done, is_all) {
            (true, true) if !self.federation.held.keys().any(|attempt| attempt.run == run) => {
                self.parts.worker.forget_secrets_of(run);
            }
            // Also those of attempts whose turn failed before.
            (true, false) => self.hide_rest_of(run),
            _ => {}
        }
    }

    /// Whether this node has a run neither submitted nor taken over: runs of this node keep their secrets as long as their logs.
    fn is_of_another_node(&self, run: RunId) -> bool {
        match self.parts.readers.get().and_then(|reader| reader.term(run)) {
            Ok((owner, ..)) => !self.parts.identity.is_or_was(&owner),
            Err(StoreError::NotFound { .. }) => true,
            // It is not known.
            Err(_) => false,
        }
    }
}

/// The outputs of a task cannot be kept: it has not succeeded then.
fn without_outputs(report: &mut Report, why: &str) {
    report.outputs.clear();
    report.outcome = AttemptOutcome::SpawnError { detail: format!("cannot keep its outputs: {why}") };
}

/// Seals the specification of a grant to the node that gets it.
pub(super) fn seal(
    grant: &mut Grant<RemoteSpec>,
    secrets: BTreeMap<String, String>,
    to: &NodeDid,
) -> Result<(), String> {
    let spec = (*grant.spec.spec).clone();
    let randomness = fresh()?;
    PrivateSpec { spec, secrets }.seal_in(grant, to, randomness).map_err(|error| error.to_string())
}

/// Returns random bytes of the system.
fn fresh() -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system has no randomness: {error}"))?;
    Ok(bytes)
}
