//! Commands whose answers did not come: what is said of them until their outcome is known.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use cis_client::Client;
use cis_core::api::{Problem, ProblemKind};
use tokio::sync::Notify;

use super::Shared;
use crate::command::Command;
use crate::model::Update;

/// The outcome of a command is looked up for so long after its answer was lost: later, a person may not want it any more. It is given up
/// earlier if three answers were lost.
const PATIENCE: Duration = Duration::from_secs(300);

/// Returns the name of a command whose outcome can be looked up. `None`: it only looks, or is not repeated if its answer is lost.
fn name(command: &Command) -> Option<String> {
    match command {
        Command::Answer { .. } => Some("Answer".to_owned()),
        Command::Steer(_, verb) => Some(verb.word().to_owned()),
        Command::Retry(..) => Some("Retry".to_owned()),
        Command::Kill(session) => Some(format!("End session {}", session.short())),
        Command::Submit(..) => Some("New run".to_owned()),
        _ => None,
    }
}

impl Shared {
    /// A person gives a command up: it ends if it has not, and its line goes.
    pub(super) fn dismiss(&self, number: u64) {
        let dismissed = self.dismissals().remove(&number);
        if let Some(dismissed) = dismissed {
            dismissed.notify_one();
        }
        self.apply(Update::LineGone(number));
    }

    fn dismissals(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Notify>>> {
        self.dismissals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line about one command.
pub(super) struct Line {
    shared: Arc<Shared>,
    number: u64,
    name: String,
    is_shown: AtomicBool,
    dismissed: Arc<Notify>,
}

impl Line {
    /// Returns the line of a command whose outcome can be looked up, and the client that does so.
    pub(super) fn of(
        command: &Command,
        client: &Client,
        shared: &Arc<Shared>,
    ) -> Option<(Arc<Self>, Client)> {
        let number = shared.newest.fetch_add(1, Ordering::Relaxed);
        let (shared, name) = (Arc::clone(shared), name(command)?);
        let dismissed = Arc::new(Notify::new());
        shared.dismissals().insert(number, Arc::clone(&dismissed));
        let line = Arc::new(Self { shared, number, name, is_shown: AtomicBool::new(false), dismissed });
        let told = Arc::clone(&line);
        let client = client.patient(PATIENCE, move |why| told.broke(&why.to_string()));
        Some((line, client))
    }

    /// The answer did not come.
    fn broke(&self, why: &str) {
        self.is_shown.store(true, Ordering::Relaxed);
        let text = format!(
            "{}: {why}. When the node can be reached, the command is looked up, and sent again if it was not done. Dismiss stops that",
            self.name
        );
        self.shared.apply(Update::Unconfirmed(self.number, text));
    }

    /// Returns when a person has dismissed the line. Nothing is to be said of the command after that.
    pub(super) async fn dismissed(&self) {
        self.dismissed.notified().await;
    }

    /// The command has ended. The line stays if its outcome is still unknown; `false`: there was none, or it is gone.
    pub(super) fn end(&self, failed: Option<&Problem>) -> bool {
        self.shared.dismissals().remove(&self.number);
        if !self.is_shown.load(Ordering::Relaxed) {
            return false;
        }
        let unknown = failed.filter(|problem| problem.kind == ProblemKind::Unavailable);
        let update = match unknown {
            Some(problem) => {
                let text = format!("{}: {}. Look whether it was done", self.name, problem.detail);
                Update::Unconfirmed(self.number, text)
            }
            None => Update::LineGone(self.number),
        };
        self.shared.apply(update);
        unknown.is_some()
    }
}

#[cfg(test)]
mod tests {
    use cis_core::api::AnswerWith;
    use cis_core::ids::{RunId, SessionId};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{UnixListener, UnixStream};

    use super::super::act::act;
    use super::*;
    use crate::command::{Slot, Verb};

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
        let report = Command::Report(SessionId::from_parts(1, 1), None);
        assert!(Line::of(&report, &client, &shared).is_none(), "a report is not repeated");
        assert!(shared.dismissals().is_empty(), "none of them is at work");
    }

    /// Accepts a connection and reads the head of its request, which begins so.
    async fn asked(node: &UnixListener, method: &str) -> UnixStream {
        let (mut stream, _) = node.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with(method), "{head}");
        stream
    }

    #[tokio::test]
    async fn a_command_that_is_dismissed_is_not_sent_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let node = UnixListener::bind(&path).unwrap();
        let client = Arc::new(Client::new(&path, None));
        let shared = Shared::new(Arc::new(|| {}));
        let slot = Slot::default();
        let answer = Command::Answer {
            item: "abcdef".to_owned(),
            with: AnswerWith::Text { text: "green".to_owned() },
            hash: String::new(),
            again: None,
            reason: None,
            slot: slot.clone(),
        };
        // A kill is looked up first. An answer is sent again at once, as it counts once.
        let commands = [(Command::Kill(SessionId::from_parts(1, 1)), "GET /"), (answer, "POST /")];
        for (number, (command, next)) in commands.into_iter().enumerate() {
            let acts = tokio::spawn(act(Arc::clone(&client), Arc::clone(&shared), command));
            drop(asked(&node, "POST /").await);
            let unanswered = asked(&node, next).await;
            assert!(said(&shared)[0].contains("sent again if it was not done"));
            shared.dismiss(number.try_into().unwrap());
            acts.await.unwrap();
            assert!(said(&shared).is_empty(), "it does not come back");
            drop(unanswered);
        }
        slot.look(|told| assert!(told.unwrap().is_err(), "the panel does not wait for ever"));
        assert!(shared.dismissals().is_empty());
    }
}
