//! Commands whose answers did not come: what is said of them until their outcome is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cis_client::Client;
use cis_core::api::{Problem, ProblemKind};

use super::Shared;
use crate::command::Command;
use crate::model::Update;

/// The outcome of a command is looked up until the node was away for so long: later, a person may not want it any more.
const PATIENCE: Duration = Duration::from_secs(300);

/// Returns the name of a command that changes something. `None`: it only looks, or says itself what became of it.
fn name(command: &Command) -> Option<String> {
    match command {
        Command::Answer { .. } => Some("Answer".to_owned()),
        Command::Steer(_, verb) => Some(verb.word().to_owned()),
        Command::Retry(..) => Some("Retry".to_owned()),
        Command::Kill(session) => Some(format!("End session {}", session.short())),
        Command::Report(..) => Some("Report".to_owned()),
        Command::Submit(..) => Some("New run".to_owned()),
        _ => None,
    }
}

/// The line about one command.
pub(super) struct Line {
    shared: Arc<Shared>,
    number: u64,
    name: String,
    is_shown: AtomicBool,
}

impl Line {
    /// Returns the line of a command that changes something, and the client that looks its outcome up.
    pub(super) fn of(
        command: &Command,
        client: &Client,
        shared: &Arc<Shared>,
    ) -> Option<(Arc<Self>, Client)> {
        let number = shared.newest.fetch_add(1, Ordering::Relaxed);
        let (shared, name) = (Arc::clone(shared), name(command)?);
        let line = Arc::new(Self { shared, number, name, is_shown: AtomicBool::new(false) });
        let told = Arc::clone(&line);
        let client = client.patient(PATIENCE, move |why| told.broke(&why.to_string()));
        Some((line, client))
    }

    /// The answer did not come.
    fn broke(&self, why: &str) {
        self.is_shown.store(true, Ordering::Relaxed);
        let text = format!("{}: {why}. The outcome is looked up when the node can be reached", self.name);
        self.shared.apply(Update::Unconfirmed(self.number, text));
    }

    /// The command has ended. The line stays if its outcome is still unknown; `false`: there was none, or it is gone.
    pub(super) fn end(&self, failed: Option<&Problem>) -> bool {
        if !self.is_shown.load(Ordering::Relaxed) {
            return false;
        }
        let unknown = failed.filter(|problem| problem.kind == ProblemKind::Unavailable);
        let update = match unknown {
            Some(problem) => {
                let text = format!("{}: {}. Look whether it was done", self.name, problem.detail);
                Update::Unconfirmed(self.number, text)
            }
            None => Update::Confirmed(self.number),
        };
        self.shared.apply(update);
        unknown.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Verb;
    use cis_core::ids::RunId;

    fn said(shared: &Shared) -> Vec<String> {
        shared.model().unconfirmed.values().cloned().collect()
    }

    #[test]
    fn a_command_is_not_confirmed_until_its_outcome_is_known() {
        let shared = Shared::new(Arc::new(|| {}));
        let client = Client::new(std::path::Path::new("/nowhere"), None);
        let cancel = Command::Steer(RunId::from_parts(1, 1), Verb::Cancel);
        let line = || Line::of(&cancel, &client, &shared).unwrap().0;
        assert!(!line().end(None) && said(&shared).is_empty(), "its answer came");

        let (found, unknown) = (line(), line());
        found.broke("the connection broke");
        unknown.broke("the connection broke");
        assert_eq!(said(&shared).len(), 2);
        assert!(said(&shared)[0].starts_with("Cancel: the connection broke. "));
        assert!(!found.end(None));
        let away = Problem::new(ProblemKind::Unavailable, "no node is running");
        assert!(unknown.end(Some(&away)));
        assert_eq!(said(&shared), ["Cancel: no node is running. Look whether it was done"]);

        let refused = line();
        refused.broke("the connection broke");
        assert!(!refused.end(Some(&Problem::new(ProblemKind::Conflict, "it has ended"))), "a note says so");
        assert_eq!(said(&shared).len(), 1);
        assert!(Line::of(&Command::Ring, &client, &shared).is_none());
    }
}
