//! A check of the home that takes longer the more runs it has: whether the store has lost its newest events. The node does not wait for it
//! when it starts; `cis node status` says what was found.

use std::sync::{Arc, OnceLock};
use std::thread;

use cis_local::Home;

use crate::upkeep::UnknownOwners;

/// What was found by now, in words.
#[derive(Debug, Clone, Default)]
pub(crate) struct StartChecks {
    findings: Arc<OnceLock<Vec<String>>>,
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
                let _ = of_thread.findings.set(unknown.findings());
            }
            Err(error) => not_known(&error),
        };
        if let Err(error) = thread::Builder::new().name("start-checks".to_owned()).spawn(check) {
            not_known(&error);
        }
        checks
    }

    /// Returns the warning about lost events. `sessions`: number of sessions of the session host that the store did not know.
    pub(crate) fn warning(&self, sessions: usize) -> Option<String> {
        of_lost_events(self.findings.get().map(Vec::as_slice).unwrap_or_default(), sessions)
    }
}

/// One warning for both: they have the same cause and the same remedy.
fn of_lost_events(findings: &[String], sessions: usize) -> Option<String> {
    let files = findings.split_first().map(|(first, more)| match more.len() {
        0 => first.clone(),
        count => format!("{first} (and {count} more: `cis store check` names them)"),
    });
    let (sessions, risk) = match sessions {
        0 => (None, ""),
        1 => (Some("1 session of the session host was unknown to it".to_owned()), RISK),
        count => (Some(format!("{count} sessions of the session host were unknown to it")), RISK),
    };
    let found: Vec<String> = files.into_iter().chain(sessions).collect();
    if found.is_empty() {
        return None;
    }
    let found = found.join("; ");
    Some(format!(
        "the database has lost its newest events: {found}. {risk}Restore a newer backup, or start the missing runs again"
    ))
}

/// What follows where sessions were unknown.
const RISK: &str = "Tasks that have finished may run again, and runs may be missing. ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_events_are_one_warning() {
        let findings = ["the run 1 has logs".to_owned(), "the run 2 has logs".to_owned()];
        assert_eq!(of_lost_events(&[], 0), None);
        let said = [of_lost_events(&findings[..1], 0), of_lost_events(&[], 1), of_lost_events(&findings, 2)]
            .map(Option::unwrap_or_default);
        assert_eq!(
            said,
            [
                "the database has lost its newest events: the run 1 has logs. Restore a newer backup, or start the missing runs \
                 again",
                "the database has lost its newest events: 1 session of the session host was unknown to it. Tasks that have \
                 finished may run again, and runs may be missing. Restore a newer backup, or start the missing runs again",
                "the database has lost its newest events: the run 1 has logs (and 1 more: `cis store check` names them); \
                 2 sessions of the session host were unknown to it. Tasks that have finished may run again, and runs may be \
                 missing. Restore a newer backup, or start the missing runs again",
            ]
        );
    }
}
