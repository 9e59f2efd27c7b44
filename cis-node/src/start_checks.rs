//! A check of the home that takes longer the more runs it has: whether the store has lost its newest events. The node does not wait for it
//! when it starts; `cis node status` says what was found.

use std::sync::{Arc, OnceLock};
use std::thread;

use cis_local::Home;

use crate::upkeep::UnknownOwners;

/// What was found by now, in words.
#[derive(Debug, Clone, Default)]
pub(crate) struct StartChecks {
    warning: Arc<OnceLock<String>>,
}

impl StartChecks {
    /// Begins the check in a thread of its own.
    pub(crate) fn begin(home: &Home) -> Self {
        let checks = Self::default();
        let (of_thread, home) = (checks.clone(), home.clone());
        let not_known = |error: &dyn std::fmt::Display| {
            tracing::warn!(%error, "cannot find out whether the store knows all runs with logs");
        };
        let check = move || match UnknownOwners::at_start(&home) {
            Ok(unknown) => {
                if let Some(warning) = of_lost_events(&unknown.findings()) {
                    let _ = of_thread.warning.set(warning);
                }
            }
            Err(error) => not_known(&error),
        };
        if let Err(error) = thread::Builder::new().name("start-checks".to_owned()).spawn(check) {
            not_known(&error);
        }
        checks
    }

    pub(crate) fn warning(&self) -> Option<String> {
        self.warning.get().cloned()
    }
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
