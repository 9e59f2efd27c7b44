//! Environments that sessions start from: read once, and placed at the host once.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{LocalWorker, NODE_ENVIRONMENT, Variables};
use crate::{environment, environments};
use cis_core::api::TaskSpec;
use cis_core::dag::SecretSource;
use cis_core::ids::BlobId;
use cis_host::protocol::ToHost;

impl LocalWorker {
    /// The environment that sessions without a submitter's get.
    pub(crate) fn place_own_environment(&mut self) -> String {
        self.place(NODE_ENVIRONMENT.to_owned(), None)
    }

    /// An environment given as it is, for one session; the host is told to forget it by its name.
    pub(crate) fn place_given_environment(&mut self, name: String, vars: Variables) -> String {
        self.to_host.push(ToHost::Env { name: name.clone(), vars: environment::inherited(vars) });
        name
    }

    fn place(&mut self, name: String, vars: Option<&Variables>) -> String {
        if self.placed.insert(name.clone()) {
            let vars = vars.unwrap_or(&self.own_environment).clone();
            self.to_host.push(ToHost::Env { name: name.clone(), vars });
        }
        name
    }

    /// Gives the host the environment that sessions of a run start from: `base` without the variables that the
    /// run's secrets come from.
    pub(super) fn place_base(&mut self, spec: &TaskSpec, base: &Variables) -> String {
        let name = name_of(spec.base_env.as_ref(), &spec.run_secrets);
        if self.placed.insert(name.clone()) {
            let mut vars = base.clone();
            environment::remove_secrets(&mut vars, &spec.run_secrets);
            self.to_host.push(ToHost::Env { name: name.clone(), vars });
        }
        name
    }

    /// Forgets an environment that no open run uses.
    pub(crate) fn forget_environment(&mut self, base: &BlobId) {
        self.environments.remove(base);
    }

    /// Drops the environment of an ended run from the host. No open run may use the same environment without
    /// the same variables.
    pub(crate) fn drop_environment(&mut self, base: Option<&BlobId>, secrets: &[SecretSource]) {
        let name = name_of(base, secrets);
        // Standalone sessions use the node's own environment as well.
        if name != NODE_ENVIRONMENT && self.placed.remove(&name) {
            self.to_host.push(ToHost::DropEnv { name });
        }
    }

    /// The `PATH` of sessions that get the environment of this node.
    pub(crate) fn own_path(&self) -> &str {
        self.own_environment.get("PATH").map_or("", String::as_str)
    }

    pub(crate) fn base_environment(&mut self, base: Option<&BlobId>) -> Result<Arc<Variables>, String> {
        let Some(base) = base else { return Ok(Arc::new(self.own_environment.clone())) };
        if let Some(known) = self.environments.get(base) {
            return Ok(Arc::clone(known));
        }
        let vars = Arc::new(environments::load(&self.blobs, base).map_err(|error| error.to_string())?);
        self.environments.insert(base.clone(), Arc::clone(&vars));
        Ok(vars)
    }
}

/// Returns the name of a run's environment at the host.
fn name_of(base: Option<&BlobId>, secrets: &[SecretSource]) -> String {
    let base = base.map_or(NODE_ENVIRONMENT, |base| &base.0);
    let taken: BTreeSet<&str> = environment::variables_of(secrets).collect();
    if taken.is_empty() {
        return base.to_owned();
    }
    let mut digest = Sha256::new();
    taken.iter().for_each(|name| digest.update([name.as_bytes(), b"\0"].concat()));
    format!("{base}-without-{}", hex::encode(&digest.finalize()[..16]))
}
