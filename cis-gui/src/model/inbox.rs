//! What waits for a human: as the node listed it, and less of it as soon as it is known to be over.

use std::collections::{BTreeMap, BTreeSet};

use cis_core::api::InboxItem;
use cis_core::event::{Event, EventBody, QueueReason};
use cis_core::ids::{InboxId, RunId, SessionId, TaskId, TimestampMs};

use super::Want;
use crate::widgets::one_line;

/// Ends that are known since the node was asked; with more of them it is asked again.
const OVER_MAX: usize = 4_096;

/// The inbox.
#[derive(Debug, Default)]
pub struct Inbox {
    items: Vec<InboxItem>,
    listed: bool,
    /// Names of what the node has listed.
    told: BTreeSet<String>,
    /// What has come to its end since the node was asked, and when: a list may be older than that.
    over: BTreeMap<Over, TimestampMs>,
    /// More of it than is known.
    spilt: bool,
}

/// Of what all items are over.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Over {
    Item(SessionId, InboxId),
    Session(SessionId),
    /// What waits without a session.
    Task(RunId, TaskId),
    Run(RunId),
}

impl Over {
    fn has(&self, one: &InboxItem) -> bool {
        match self {
            Self::Item(session, item) => one.session == Some(*session) && one.id == *item,
            Self::Session(session) => one.session == Some(*session),
            Self::Task(run, task) => {
                one.session.is_none() && one.run == Some(*run) && one.task.as_ref() == Some(task)
            }
            Self::Run(run) => one.run == Some(*run),
        }
    }

    /// All that an item could be over by.
    fn of(item: &InboxItem) -> impl Iterator<Item = Self> {
        let one = item.session.map(|session| Self::Item(session, item.id.clone()));
        let task = item.task.clone().filter(|_| item.session.is_none());
        let task = item.run.zip(task).map(|(run, task)| Self::Task(run, task));
        [one, item.session.map(Self::Session), task, item.run.map(Self::Run)].into_iter().flatten()
    }
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

    /// The node is asked for its list from now on.
    pub(super) fn taken(&mut self) {
        self.over.clear();
        self.spilt = false;
    }

    /// Takes the node's list; gives places of what has begun to wait since the first one.
    pub(super) fn replace(&mut self, mut items: Vec<InboxItem>, wants: &mut BTreeSet<Want>) -> Vec<usize> {
        let listed = items.len();
        if !self.over.is_empty() {
            items.retain(|item| {
                !Over::of(item).any(|over| self.over.get(&over).is_some_and(|at| item.since <= *at))
            });
        }
        if items.len() < listed || std::mem::take(&mut self.spilt) {
            // The list is older than what has happened, as it seems.
            wants.insert(Want::Inbox);
        }
        let names: Vec<String> = items.iter().map(InboxItem::name).collect();
        let begun = |(at, name): (usize, &String)| (self.listed && !self.told.contains(name)).then_some(at);
        let fresh = names.iter().enumerate().filter_map(begun).collect();
        // What is answered and asked anew has another name.
        self.told = names.into_iter().collect();
        self.items = items;
        self.listed = true;
        fresh
    }

    /// The one in that place.
    pub(super) fn at(&self, place: usize) -> Option<&InboxItem> {
        self.items.get(place)
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
                self.close(event, Over::Item(*session, InboxId::of_prompt(*session, *episode)), wants);
                // Of an ask the prompt is over and the ask may stay.
                wants.insert(Want::Inbox);
            }
            EventBody::AskWithdrawn { session, item, .. } => {
                self.close(event, Over::Item(*session, item.clone()), wants);
            }
            EventBody::TaskResult(result) => self.close(event, Over::Session(result.session), wants),
            EventBody::SessionEnded { session, .. } => self.close(event, Over::Session(*session), wants),
            EventBody::TaskApproved { task, .. } | EventBody::TaskExpanded { task, .. } => {
                self.decided(event, task, wants);
            }
            EventBody::TaskStatus { changes } | EventBody::RunRetried { changes, .. } => {
                for change in changes {
                    if matches!(change.queued, Some(QueueReason::Approval { .. })) {
                        wants.insert(Want::Inbox);
                    } else {
                        self.decided(event, &change.task, wants);
                    }
                }
            }
            EventBody::RunCompleted {}
            | EventBody::RunFailed { .. }
            | EventBody::RunErrored { .. }
            | EventBody::RunCancelled {} => {
                if let Some(run) = event.run {
                    self.close(event, Over::Run(run), wants);
                }
            }
            _ => {}
        }
    }

    fn decided(&mut self, event: &Event, task: &TaskId, wants: &mut BTreeSet<Want>) {
        if let Some(run) = event.run {
            self.close(event, Over::Task(run, task.clone()), wants);
        }
    }

    /// Takes out what is over; the node says what waits instead, where anything does.
    fn close(&mut self, event: &Event, over: Over, wants: &mut BTreeSet<Want>) {
        let before = self.items.len();
        self.items.retain(|item| !over.has(item));
        if self.items.len() < before {
            wants.insert(Want::Inbox);
        }
        if self.over.len() < OVER_MAX {
            self.over.insert(over, event.at_ms);
        } else {
            self.spilt = true;
        }
    }
}
