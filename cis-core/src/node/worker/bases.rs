//! Environments that sessions start from: read once, and placed at the host once.

use std::sync::Arc;

use super::{LocalWorker, NODE_ENVIRONMENT, Variables};
use crate::ids::BlobId;
use crate::node::environment;
use crate::session::protocol::ToHost;

impl LocalWorker {
    /// The environment that sessions without a submitter's get.
    pub(in crate::node) fn place_own_environment(&mut self) -> String {
        self.place(NODE_ENVIRONMENT.to_owned(), None)
    }

    /// An environment given as it is, for one session; the host is told to forget it by its name.
    pub(in crate::node) fn place_given_environment(&mut self, name: String, vars: Variables) -> String {
        self.to_host.push(ToHost::Env { name: name.clone(), vars: environment::inherited(vars) });
        name
    }

    pub(super) fn place(&mut self, name: String, vars: Option<&Variables>) -> String {
        if self.placed.insert(name.clone()) {
            let vars = vars.unwrap_or(&self.own_environment).clone();
            self.to_host.push(ToHost::Env { name: name.clone(), vars });
        }
        name
    }

    /// A run ended: its environment is needed no more.
    pub(in crate::node) fn drop_environment(&mut self, base: &BlobId) {
        self.environments.remove(base);
        if self.placed.remove(&base.0) {
            self.to_host.push(ToHost::DropEnv { name: base.0.clone() });
        }
    }

    pub(in crate::node) fn base_environment(
        &mut self,
        base: Option<&BlobId>,
    ) -> Result<Arc<Variables>, String> {
        let Some(base) = base else { return Ok(Arc::new(self.own_environment.clone())) };
        if let Some(known) = self.environments.get(base) {
            return Ok(Arc::clone(known));
        }
        let bytes = self
            .blobs
            .get(base)
            .map_err(|e| format!("the run's environment cannot be read: {e}"))?
            .ok_or_else(|| "the run's environment is gone from the blobs".to_owned())?;
        let vars: Variables =
            serde_json::from_slice(&bytes).map_err(|e| format!("the run's environment is damaged: {e}"))?;
        let vars = Arc::new(vars);
        self.environments.insert(base.clone(), Arc::clone(&vars));
        Ok(vars)
    }
}
