//! The history of a run (who did what), folded from its events.
//!
//! Owns which events are actions, and how they are worded. Knows nothing of the store or of the caller.

use std::collections::BTreeMap;

use crate::api::{HistoryAction, HistoryEntry};
use crate::event::{AnswerRecord, EndReason, Event, EventBody, QueueReason, RetryScope, TaskChange};
use crate::ids::{InboxId, InputId, SessionId, TaskId};
use crate::policy;

/// Maximum number of tasks that one entry names.
const NAMED_MAX: usize = 3;

/// The history of one run.
#[derive(Debug, Default)]
pub struct History {
    entries: Vec<HistoryEntry>,
    /// Questions of sessions and approvals.
    prompts: BTreeMap<(SessionId, InboxId), String>,
    approvals: BTreeMap<TaskId, String>,
    /// Indices of the entries of answers, by input.
    answers: BTreeMap<InputId, usize>,
    /// Index of the entry of a cancel, until the run has ended.
    cancel: Option<usize>,
}

impl History {
    /// Applies the next event of the run. Skips an event that cannot be decoded.
    pub fn apply(&mut self, event: &Event) {
        if let Ok(body) = event.decode() {
            self.run_action(event, &body);
            self.session_action(event, &body);
        }
    }

    /// The entries, oldest first.
    #[must_use]
    pub fn into_entries(self) -> Vec<HistoryEntry> {
        self.entries
    }

    /// Whether the last entry is a cancel of the same moment, by the same person.
    fn is_last_cancel(&self, event: &Event) -> bool {
        self.entries.last().is_some_and(|last| {
            last.action == HistoryAction::Cancelled && last.at_ms == event.at_ms && last.actor == event.actor
        })
    }

    /// Whether the last entry is that nobody resumed the run in the moment in which nobody pauses it.
    fn is_still_paused(&self, event: &Event) -> bool {
        self.entries.last().is_some_and(|last| {
            let is_nobodys = last.actor.is_none() && event.actor.is_none();
            last.action == HistoryAction::Resumed && last.at_ms == event.at_ms && is_nobodys
        })
    }

    fn push(&mut self, event: &Event, action: HistoryAction) -> &mut HistoryEntry {
        let at = self.entries.len();
        self.entries.push(HistoryEntry {
            offset: event.offset,
            at_ms: event.at_ms,
            actor: event.actor.clone(),
            action,
            task: None,
            session: None,
            item: None,
            question: None,
            text: None,
            comment: None,
            result: None,
        });
        &mut self.entries[at]
    }

    fn run_action(&mut self, event: &Event, body: &EventBody) {
        match body {
            EventBody::RunCreated(facts) => {
                self.push(event, HistoryAction::Created).text = Some(facts.source.clone());
            }
            EventBody::RunStarted {} => drop(self.push(event, HistoryAction::Started).text.take()),
            // A session that is adopted in a paused run stands between two events of nobody.
            EventBody::RunPaused {} if self.is_still_paused(event) => drop(self.entries.pop()),
            EventBody::RunPaused {} => drop(self.push(event, HistoryAction::Paused).text.take()),
            // A cancel resumes a paused run by itself.
            EventBody::RunResumed {} => drop(self.push(event, HistoryAction::Resumed).text.take()),
            // A cancel that spares nothing is told by two events.
            EventBody::RunCancelling { .. } if self.is_last_cancel(event) => {}
            EventBody::RunCancelling { reason } => {
                let text = (*reason != EndReason::RunCancelled).then(|| reason.to_string());
                self.push(event, HistoryAction::Cancelled).text = text;
                self.cancel = Some(self.entries.len() - 1);
            }
            EventBody::RunRetried { scope, changes } => {
                let text = match scope {
                    RetryScope::All => "all tasks".to_owned(),
                    RetryScope::Failed => format!("failed tasks: {}", names(changes)),
                    RetryScope::From { task, also } => {
                        let from: Vec<&str> = std::iter::once(task).chain(also).map(TaskId::as_str).collect();
                        format!("from {}: {}", listed(&from), names(changes))
                    }
                };
                self.push(event, HistoryAction::Retried).text = Some(text);
                self.cancel = None;
            }
            EventBody::RunModeChanged { mode, room } => {
                let room = room.as_ref().map(|room| format!(", room {room}")).unwrap_or_default();
                self.push(event, HistoryAction::Mode).text = Some(format!("{mode}{room}"));
            }
            EventBody::RunTakenOver { owner, epoch, voted, .. } => {
                let how = if *voted { ", by vote" } else { "" };
                self.push(event, HistoryAction::TakenOver).text =
                    Some(format!("by {owner}{how}, term {epoch}"));
            }
            EventBody::RunCompleted {} => self.run_ended("succeeded"),
            EventBody::RunFailed { .. } => self.run_ended("failed"),
            EventBody::RunErrored { .. } => self.run_ended("error"),
            EventBody::RunCancelled {} => self.run_ended("cancelled"),
            EventBody::TasksAdded { parent, tasks } => {
                let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
                let entry = self.push(event, HistoryAction::Added);
                (entry.task, entry.text) = (Some(parent.clone()), Some(listed(&ids)));
            }
            EventBody::TaskStatus { changes } => {
                changes.iter().for_each(|change| self.task_changed(event, change));
            }
            EventBody::TaskApproved { task, comment, .. } => {
                let question = self.approvals.remove(task);
                let entry = self.push(event, HistoryAction::Approved);
                (entry.task, entry.question, entry.comment) = (Some(task.clone()), question, comment.clone());
            }
            EventBody::AccessDenied { action, detail } => {
                let session = event.actor.as_ref().and_then(|actor| actor.name.parse().ok());
                let entry = self.push(event, HistoryAction::Denied);
                entry.session = session;
                let action = policy::words_of(action).unwrap_or(action);
                (entry.text, entry.result) = (Some(action.to_owned()), Some(format!("refused: {detail}")));
            }
            _ => {}
        }
    }

    fn run_ended(&mut self, state: &str) {
        if let Some(at) = self.cancel.take() {
            self.entries[at].result = Some(format!("the run ended as {state}"));
        }
    }

    fn task_changed(&mut self, event: &Event, change: &TaskChange) {
        if let Some(QueueReason::Approval { prompt, .. }) = &change.queued {
            self.approvals.insert(change.task.clone(), prompt.clone());
        }
        let (action, comment, text) = match &change.end {
            Some(EndReason::Rejected { reason, .. }) => {
                (HistoryAction::Rejected, Some(reason.clone()).filter(|reason| !reason.is_empty()), None)
            }
            Some(end @ EndReason::ApprovalTimeout { .. }) => {
                (HistoryAction::Expired, None, Some(end.to_string()))
            }
            // This is the intent; the end of the attempt follows.
            Some(EndReason::Killed) if !change.state.is_terminal() => (HistoryAction::Killed, None, None),
            _ => return,
        };
        let question = self.approvals.remove(&change.task);
        let entry = self.push(event, action);
        entry.task = Some(change.task.clone());
        (entry.question, entry.comment, entry.text) = (question, comment, text);
    }

    fn session_action(&mut self, event: &Event, body: &EventBody) {
        match body {
            EventBody::SessionBlocked { session, prompt, .. } => {
                self.prompts.insert((*session, prompt.item.clone()), prompt.question.clone());
            }
            EventBody::SessionAsked { session, task, ask } => {
                self.prompts.insert((*session, ask.item.clone()), ask.text.clone());
                let entry = self.about(event, HistoryAction::Asked, *session, task.as_ref());
                (entry.item, entry.text) = (Some(ask.item.clone()), Some(ask.text.clone()));
            }
            EventBody::AskWithdrawn { session, task, item, detail } => {
                let entry = self.about(event, HistoryAction::Withdrawn, *session, task.as_ref());
                (entry.item, entry.text) = (Some(item.clone()), Some(detail.clone()));
            }
            EventBody::SessionAnswered { session, task, item, input, answer } => {
                self.answered(event, *session, task.as_ref(), item, answer);
                self.answers.insert(*input, self.entries.len() - 1);
            }
            EventBody::AnswerVoid { input, detail, .. } => {
                if let Some(at) = self.answers.get(input) {
                    self.entries[*at].result = Some(format!("not typed: {detail}"));
                }
            }
            EventBody::SessionInput { session, task, bytes, .. } => {
                let entry = self.about(event, HistoryAction::Typed, *session, task.as_ref());
                entry.text = Some(format!("{bytes} bytes"));
            }
            EventBody::TaskHandedIn { task, session, text } => {
                self.about(event, HistoryAction::HandedIn, *session, Some(task)).text.clone_from(text);
            }
            _ => {}
        }
    }

    fn about(
        &mut self,
        event: &Event,
        action: HistoryAction,
        session: SessionId,
        task: Option<&TaskId>,
    ) -> &mut HistoryEntry {
        let entry = self.push(event, action);
        (entry.session, entry.task) = (Some(session), task.cloned());
        entry
    }

    fn answered(
        &mut self,
        event: &Event,
        session: SessionId,
        task: Option<&TaskId>,
        item: &InboxId,
        answer: &AnswerRecord,
    ) {
        let question = self.prompts.get(&(session, item.clone())).filter(|text| !text.is_empty()).cloned();
        let entry = self.about(event, HistoryAction::Answered, session, task);
        entry.item = Some(item.clone());
        (entry.question, entry.text) = (question, Some(answer.text.clone()));
        entry.comment.clone_from(&answer.reason);
        entry.result = Some(match answer.bytes {
            0 => "given to the session".to_owned(),
            bytes => format!("typed {bytes} bytes"),
        });
    }
}

fn names(changes: &[TaskChange]) -> String {
    let ids: Vec<&str> = changes.iter().map(|change| change.task.as_str()).collect();
    listed(&ids)
}

/// `a, b, c, 4 more`.
fn listed(ids: &[&str]) -> String {
    let mut text = ids.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    if ids.len() > NAMED_MAX {
        text.push_str(&format!(", {} more", ids.len() - NAMED_MAX));
    }
    text
}

#[cfg(test)]
mod tests;
