//! Checks of the home that take longer the more runs it has: whether the store has lost its newest events, and whether local runs belong
//! to keys that no list names. The node does not wait for them when it starts; `cis node status` says what they found.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use cis_core::ids::NodeDid;
use cis_local::Home;
use cis_store::{Readers, StoreError};

use crate::config::Identity;
use crate::upkeep::UnknownOwners;

/// What they have found by now, in words.
#[derive(Debug, Clone, Default)]
pub(crate) struct StartChecks {
    warnings: Arc<Mutex<Vec<String>>>,
}

impl StartChecks {
    /// Begins them in a thread of their own.
    pub(crate) fn begin(home: &Home, identity: &Arc<Identity>, readers: &Readers) -> Self {
        let checks = Self::default();
        let (of_thread, home) = (checks.clone(), home.clone());
        let (identity, readers) = (Arc::clone(identity), readers.clone());
        let check = move || {
            match of_keys(&home, &identity, &readers) {
                Ok(found) => of_thread.add(found),
                Err(error) => tracing::warn!(%error, "cannot find out whose keys local runs have"),
            }
            match UnknownOwners::at_start(&home) {
                Ok(unknown) => of_thread.add(of_lost_events(&unknown.findings())),
                Err(error) => {
                    tracing::warn!(%error, "cannot find out whether the store knows all runs with logs")
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("start-checks".to_owned()).spawn(check) {
            tracing::warn!(%error, "cannot check the home");
        }
        checks
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, warning: Option<String>) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).extend(warning);
    }
}

fn of_keys(home: &Home, identity: &Identity, readers: &Readers) -> Result<Option<String>, StoreError> {
    let unknown = identity.own_by_store(readers.get()?.owners_of_local_runs()?);
    let keys: Vec<_> = unknown.iter().map(NodeDid::to_string).collect();
    Ok((!keys.is_empty()).then(|| {
        format!(
            "local runs in this home belong to {}, which is no earlier key of this node by the list of trust {}: they continue, \
             but runs in rooms do not. Restore the list from a backup",
            keys.join(" and "),
            home.trust_file().display()
        )
    }))
}

fn of_lost_events(findings: &[String]) -> Option<String> {
    let (first, more) = findings.split_first()?;
    let more = match more.len() {
        0 => String::new(),
        count => format!(" (and {count} more: `cis store check` names them)"),
    };
    Some(format!(
        "the database has lost its newest events: {first}{more}. Restore a newer backup, or start the missing runs again"
    ))
}
