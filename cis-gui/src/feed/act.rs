//! Commands of panels, carried out.

use std::sync::Arc;

use cis_client::Client;
use cis_core::api::{
    AdmitNode, Answer, CancelRun, KillSession, Problem, ProblemKind, ReadTime, ReportSession, RetryRun,
    RoomNodeView,
};
use cis_core::identity::Right;

use super::unconfirmed::Line;
use super::{Shared, files, problem, save, tail};
use crate::command::{Command, Slot, Verb};
use crate::model::{Tone, Want};

/// Carries one out and says what became of it.
pub(super) async fn act(client: Arc<Client>, shared: Arc<Shared>, command: Command) {
    let Some((line, patient)) = Line::of(&command, &client, &shared) else {
        return look(&client, &shared, command).await;
    };
    let dismissed = dismissal(&command);
    tokio::select! {
        biased;
        () = line.dismissed() => {
            dismissed(Problem::new(ProblemKind::Unavailable, "dismissed: it is unknown whether it was done"));
            shared.wake();
        }
        outcome = change(&patient, &shared, command) => tell(&shared, &line, outcome),
    }
    shared.want([Want::Inbox].into());
}

/// Returns what tells the panel that waits for a command that a person has dismissed it.
fn dismissal(command: &Command) -> Box<dyn FnOnce(Problem) + Send> {
    match command {
        Command::Answer { slot, .. } => {
            let slot = slot.clone();
            Box::new(move |why: Problem| slot.fill(Err(why)))
        }
        Command::Submit(_, slot) => {
            let slot = slot.clone();
            Box::new(move |why: Problem| slot.fill(Err(why)))
        }
        _ => Box::new(|_: Problem| {}),
    }
}

/// Says what became of a command that has ended.
fn tell(shared: &Shared, line: &Line, outcome: Option<Result<String, Problem>>) {
    let is_unknown = line.end(outcome.as_ref().and_then(|outcome| outcome.as_ref().err()));
    match outcome {
        Some(Ok(text)) => shared.note(Tone::Good, text, None),
        Some(Err(failed)) if !is_unknown => shared.note(Tone::Bad, failed.detail, failed.hint),
        // The line says it, or the panel.
        Some(Err(_)) | None => {}
    }
}

/// Does what is looked up if its answer is lost. Returns what a note says of it, if a note does.
async fn change(client: &Client, shared: &Shared, command: Command) -> Option<Result<String, Problem>> {
    let outcome = match command {
        Command::Answer { item, with, hash, again, reason, slot } => {
            let hash = Some(hash).filter(|hash| !hash.is_empty());
            let receipt = match cis_client::input_id() {
                Ok(input) => {
                    let answer = Answer { with, reason, hash, again, input };
                    client.answer(&item, &answer).await.map_err(problem)
                }
                Err(failed) => Err(failed),
            };
            let told = match &receipt {
                Ok(receipt) => Ok(format!("Answered: {}", receipt.text)),
                Err(failed) => Err(failed.clone()),
            };
            fill(shared, &slot, receipt);
            told
        }
        Command::Steer(run, verb) => {
            let id = run.to_string();
            let done = match verb {
                Verb::Start => client.start_run(&id).await,
                Verb::Pause => client.pause_run(&id).await,
                Verb::Resume => client.resume_run(&id).await,
                Verb::Cancel => client.cancel_run(&id, CancelRun::default()).await,
            };
            done.map(|run| format!("{}: {}", verb.word(), run.dag)).map_err(problem)
        }
        Command::Retry(run, scope) => client
            .retry_run(&run.to_string(), &RetryRun { scope })
            .await
            .map(|run| format!("Runs again: {}", run.dag))
            .map_err(problem),
        Command::Kill(session) => client
            .kill_session(&session.to_string(), &KillSession::default())
            .await
            .map(|()| format!("Ending session {}", session.short()))
            .map_err(problem),
        Command::Submit(new, slot) => {
            fill(shared, &slot, files::submit(client, *new).await);
            return None;
        }
        _ => return None,
    };
    Some(outcome)
}

/// Does everything else; the answer goes into a slot or a note.
async fn look(client: &Client, shared: &Shared, command: Command) {
    match command {
        Command::Why(run, task, slot) => {
            fill(shared, &slot, client.why(&run.to_string(), &task).await.map_err(problem));
        }
        Command::Explain(session, slot) => {
            fill(shared, &slot, client.explain(&session.to_string()).await.map_err(problem));
        }
        Command::Times(run, slot) => {
            let times = client.run_time(&run.to_string(), &ReadTime::default()).await;
            fill(shared, &slot, times.map_err(problem));
        }
        Command::Inspect(slot) => {
            shared.want([Want::Node, Want::Groups, Want::Sessions].into());
            fill(shared, &slot, client.matrix_account().await.map_err(problem));
        }
        Command::ListNodes(slot) => {
            let nodes = client.nodes(None).await.map(|nodes| nodes.items);
            fill(shared, &slot, nodes.map_err(problem));
        }
        Command::Admit(admit, slot) => {
            let nodes = client.admit_node(&admit).await.map(|nodes| nodes.items).map_err(problem);
            if let Ok(nodes) = &nodes {
                shared.note(Tone::Good, admitted(&admit, nodes), None);
            }
            fill(shared, &slot, nodes);
        }
        Command::Report(session, waits_for) => {
            let kept = client.report_session(&session.to_string(), &ReportSession { waits_for }).await;
            match kept.map_err(problem) {
                Ok(kept) => {
                    shared.note(Tone::Good, format!("Kept in {}; nothing was sent", kept.path), None);
                }
                Err(failed) => shared.note(Tone::Bad, failed.detail, failed.hint),
            }
        }
        Command::Browse(path, slot) => {
            fill(shared, &slot, blocking(move || files::browse(&path)).await);
        }
        Command::Read(path, slot) => {
            fill(shared, &slot, blocking(move || files::read(&path)).await);
        }
        Command::Save(run, task, file, slot) => {
            fill(shared, &slot, save::save(client, &run.to_string(), &task, &file).await);
        }
        Command::Log(run, task, attempt, slot) => {
            tail::fill(client, shared, &tail::Of::Attempt(run.to_string(), task, attempt), &slot).await;
        }
        Command::SessionLog(session, slot) => {
            tail::fill(client, shared, &tail::Of::Session(session.to_string()), &slot).await;
        }
        // Those that have a line, and those that the feed itself takes.
        Command::Answer { .. }
        | Command::Steer(..)
        | Command::Retry(..)
        | Command::Kill(_)
        | Command::Submit(..)
        | Command::Look(_)
        | Command::Open(_)
        | Command::Reconnect
        | Command::Dismiss(_)
        | Command::Ring => {}
    }
}

/// What became of a change of rights.
fn admitted(admit: &AdmitNode, nodes: &[RoomNodeView]) -> String {
    let node = nodes.iter().find(|node| node.did == admit.did);
    let name = node.map(|node| node.name.as_str()).filter(|name| !name.is_empty()).unwrap_or(&admit.did.0);
    // The node's own list has the last word, and some rooms need several owners.
    if node.is_none_or(|node| node.may != admit.may) {
        return format!(
            "The room has what this node says of {name}. Other owners, or the node's own list, can still say otherwise"
        );
    }
    match Right::words(&admit.may).join(", ") {
        may if may.is_empty() => format!("{name} has no rights in the room"),
        may => format!("{name} may {may}"),
    }
}

/// Files may be slow.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let failed = |error| Problem::new(ProblemKind::Internal, format!("it came to no end: {error}"));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(error)))
}

fn fill<T>(shared: &Shared, slot: &Slot<T>, answer: Result<T, Problem>) {
    slot.fill(answer);
    shared.wake();
}
