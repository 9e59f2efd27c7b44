//! What waits for a human: as the node listed it, and less of it as soon as it is known to be over.

use std::collections::BTreeSet;

use cis_core::api::InboxItem;
use cis_core::event::{Event, EventBody, QueueReason};
use cis_core::ids::{InboxId, RunId, SessionId, TaskId};

use super::Want;
use crate::widgets::one_line;

/// The inbox.
#[derive(Debug, Default)]
pub struct Inbox {
    items: Vec<InboxItem>,
    listed: bool,
    /// Names of what the node has listed.
    told: BTreeSet<String>,
}

/// Something has begun to wait: what the desktop is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// What waits, of what.
    pub title: String,
    /// What it asks.
    pub text: String,
}

impl Ring {
    /// Of an item; `run`: the name of its run.
    #[must_use]
    pub fn new(item: &InboxItem, run: Option<String>) -> Self {
        let of = match (run, &item.task) {
            (Some(run), Some(task)) => format!("{run} / {task}"),
            (Some(run), None) => run,
            (None, _) => item.id.to_string(),
        };
        Self { title: one_line(&format!("{of} waits for you"), 120), text: one_line(&item.question, 300) }
    }
}

impl Inbox {
    /// Whether the node has been asked for it.
    #[must_use]
    pub fn listed(&self) -> bool {
        self.listed
    }

    /// What waits, oldest first.
    pub fn items(&self) -> impl ExactSizeIterator<Item = &InboxItem> {
        self.items.iter()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// One by the name that it shares with no other.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&InboxItem> {
        self.items.iter().find(|item| item.name() == name)
    }

    /// What a session waits for.
    #[must_use]
    pub fn of_session(&self, session: SessionId) -> Option<&InboxItem> {
        self.items.iter().find(|item| item.session == Some(session))
    }

    /// What waits in a run.
    pub fn of_run(&self, run: RunId) -> impl Iterator<Item = &InboxItem> {
        self.items.iter().filter(move |item| item.run == Some(run))
    }

    /// Takes the node's list; gives the names of what has begun to wait since the first one.
    pub(super) fn replace(&mut self, items: Vec<InboxItem>) -> Vec<String> {
        let names: BTreeSet<String> = items.iter().map(InboxItem::name).collect();
        let begun = |name: &&String| self.listed && !self.told.contains(*name);
        let fresh = names.iter().filter(begun).cloned().collect();
        // What is answered and asked anew has another name.
        self.told = names;
        self.items = items;
        self.listed = true;
        fresh
    }

    pub(super) fn event(&mut self, event: &Event, body: &EventBody, wants: &mut BTreeSet<Want>) {
        match body {
            EventBody::SessionBlocked { .. }
            | EventBody::SessionAsked { .. }
            | EventBody::SessionEscalated { .. }
            | EventBody::SessionAnswered { .. }
            | EventBody::AnswerVoid { .. } => {
                wants.insert(Want::Inbox);
            }
            EventBody::SessionRecovered { session, episode, .. } => {
                let item = InboxId::of_prompt(*session, *episode);
                self.close(|one| one.session == Some(*session) && one.id == item);
                // Of an ask the prompt is over and the ask may stay.
                wants.insert(Want::Inbox);
            }
            EventBody::AskWithdrawn { session, item, .. } => {
                self.close(|one| one.session == Some(*session) && one.id == *item);
            }
            EventBody::TaskResult(result) => self.close(|one| one.session == Some(result.session)),
            EventBody::SessionEnded { session, .. } => self.close(|one| one.session == Some(*session)),
            EventBody::TaskApproved { task, .. } | EventBody::TaskExpanded { task, .. } => {
                self.decided(event.run, task);
            }
            EventBody::TaskStatus { changes } | EventBody::RunRetried { changes, .. } => {
                for change in changes {
                    if matches!(change.queued, Some(QueueReason::Approval { .. })) {
                        wants.insert(Want::Inbox);
                    } else {
                        self.decided(event.run, &change.task);
                    }
                }
            }
            EventBody::RunCompleted {}
            | EventBody::RunFailed { .. }
            | EventBody::RunErrored { .. }
            | EventBody::RunCancelled {} => self.close(|one| one.run == event.run && one.run.is_some()),
            _ => {}
        }
    }

    fn decided(&mut self, run: Option<RunId>, task: &TaskId) {
        if !self.items.is_empty() {
            self.close(|one| one.session.is_none() && one.run == run && one.task.as_ref() == Some(task));
        }
    }

    fn close(&mut self, over: impl Fn(&InboxItem) -> bool) {
        self.items.retain(|item| !over(item));
    }
}
