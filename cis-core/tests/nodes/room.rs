//! The timeline of the room at its homeserver, and what everybody who reads all of it comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cis_core::event::EventBody;
use cis_core::federation::canonical::Fold;
use cis_core::federation::envelope::{Carrier, Draft, SIZE_MAX, Verified, verify};
use cis_core::federation::journal::{Fact, Page, Writer};
use cis_core::federation::outgoing::JOURNAL;
use cis_core::federation::protocol::message::Granted;
use cis_core::federation::recovery::Recovery;
use cis_core::identity::{Right, Standing};
use cis_core::ids::{AttemptId, Fence, NodeDid, TaskId};
use cis_core::scheduler::Run;
use serde_json::{Value, json};
use ulid::Ulid;

use crate::plan::{Plan, ROOM, identities, run};

/// What stands in the timeline.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Entries(Arc<Verified>),
    /// Entries in a file that nobody gets.
    Lost(Arc<Verified>),
    Members(Members),
}

/// What the owners of the room say of its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Members {
    /// In the order in which they take over.
    pub(crate) coordinate: Vec<NodeDid>,
    pub(crate) execute: BTreeSet<NodeDid>,
    /// Those that might.
    pub(crate) executed: BTreeSet<NodeDid>,
}

impl Members {
    pub(crate) fn may(&self, did: &NodeDid, right: Right) -> bool {
        match right {
            Right::Coordinate => self.coordinate.contains(did),
            Right::Execute => self.execute.contains(did),
            // Nobody takes that back.
            Right::Submit => true,
        }
    }
}

/// The pages of a writer, signed by the node `at`.
pub(crate) fn signed(at: usize, writer: &mut Writer, body_max: usize, ids: &mut u128) -> Vec<Item> {
    pages(at, writer, (body_max, false), ids)
}

/// What a writer has to write, in files that nobody gets.
pub(crate) fn lost(at: usize, writer: &mut Writer, ids: &mut u128) -> Vec<Item> {
    pages(at, writer, (50_000, true), ids)
}

fn pages(at: usize, writer: &mut Writer, (body_max, lost): (usize, bool), ids: &mut u128) -> Vec<Item> {
    let (key, _) = &identities()[at];
    let sender = format!("@{at}:example.org");
    let epoch = writer.epoch();
    let page = |page: Page| {
        let body = match page {
            Page::Inline { body, .. } => body,
            Page::File(file) => file.body(json!("mxc://example.org/gone")),
        };
        *ids += 1;
        let draft = Draft::of_room(JOURNAL.name, body, Ulid::from_parts(1, *ids), ROOM, &sender);
        let draft = Draft { run: Some(run()), epoch, ..draft };
        let content: Value = draft.sign(key, SIZE_MAX).unwrap().into_content();
        let carrier = Carrier { room: ROOM, type_name: JOURNAL.name, sender: Some(&sender) };
        let envelope = Arc::new(verify(&content, carrier, |_| Standing::Trusted).unwrap());
        if lost { Item::Lost(envelope) } else { Item::Entries(envelope) }
    };
    writer.flush(body_max, if lost { 0 } else { usize::MAX }).into_iter().map(page).collect()
}

/// The homeserver, with somebody who reads the room as it is written.
pub(crate) struct Room {
    pub(crate) is_up: bool,
    pub(crate) timeline: Vec<Item>,
    plan: Arc<Plan>,
    reader: Recovery,
    pub(crate) facts: Vec<Fact>,
    pub(crate) fold: Option<Fold>,
    /// Newest fence of each task, and which attempts have a result.
    fences: BTreeMap<TaskId, Fence>,
    results: BTreeMap<AttemptId, Fence>,
    grants: BTreeMap<AttemptId, Fence>,
    /// Tasks that have ended at some time, each with the fence of its newest grant: a result that a takeover voided has another one.
    ended: BTreeSet<(TaskId, Fence)>,
}

impl Room {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        Self {
            is_up: true,
            timeline: Vec::new(),
            plan,
            reader: Recovery::new(ROOM.to_owned(), BTreeSet::new()),
            facts: Vec::new(),
            fold: None,
            fences: BTreeMap::new(),
            results: BTreeMap::new(),
            grants: BTreeMap::new(),
            ended: BTreeSet::new(),
        }
    }

    pub(crate) fn members(&self) -> &Members {
        let newest = self.timeline.iter().rev().find_map(|item| match item {
            Item::Members(members) => Some(members),
            Item::Entries(_) | Item::Lost(_) => None,
        });
        newest.unwrap()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.fold.as_ref().is_some_and(|fold| fold.run().state().is_terminal())
    }

    /// Whether somebody who reads all of it is told that a coordinator wrote two entries in one place.
    pub(crate) fn tells_of_fork(&self) -> bool {
        self.reader.forks().next().is_some()
    }

    pub(crate) fn has_result(&self, granted: &Granted) -> bool {
        self.results.get(&granted.attempt) == Some(&granted.fence)
    }

    pub(crate) fn has_grant(&self, granted: &Granted) -> bool {
        self.grants.get(&granted.attempt) == Some(&granted.fence)
    }

    pub(crate) fn has_end(&self, ended: &(TaskId, Fence)) -> bool {
        self.ended.contains(ended)
    }

    /// Appends to the timeline, and checks what a reader makes of it: the journal goes on as one story, and at most one
    /// result of each attempt counts, under the newest fence of its task (I1).
    pub(crate) fn append(&mut self, item: Item) -> Result<(), String> {
        read(&mut self.reader, &item);
        self.timeline.push(item);
        let Some(fresh) = self.reader.fresh(run()) else { return Ok(()) };
        if fresh.void {
            return Err(format!("what counted does not count any more: {fresh:?}"));
        }
        for fact in fresh.facts {
            match &mut self.fold {
                None => self.fold = Some(begun(&self.plan, &fact)?),
                Some(fold) => fold
                    .apply(&fact)
                    .map_err(|error| format!("the journal goes on with {fact:?}: {error}"))?,
            }
            self.note(&fact)?;
            self.facts.push(fact);
        }
        Ok(())
    }

    fn note(&mut self, fact: &Fact) -> Result<(), String> {
        let ended: Vec<&TaskId> = match &fact.body {
            EventBody::TaskResult(result) if result.state.is_terminal() => vec![&result.task],
            EventBody::TaskStatus { changes } => changes
                .iter()
                .filter(|change| change.state.is_terminal())
                .map(|change| &change.task)
                .collect(),
            _ => Vec::new(),
        };
        for task in ended {
            let fold = self.fold.as_ref().and_then(|fold| fold.run().task(task));
            self.ended.insert((task.clone(), fold.map_or(0, |(_, entry)| entry.fence)));
        }
        match &fact.body {
            EventBody::TaskAssigned(grant) => {
                let attempt = AttemptId { run: run(), task: grant.task.clone(), number: grant.attempt };
                self.grants.insert(attempt, grant.fence);
                let before = self.fences.insert(grant.task.clone(), grant.fence);
                if before.is_some_and(|before| before >= grant.fence) {
                    return Err(format!("the fence of {grant:?} is not newer than {before:?}"));
                }
            }
            EventBody::TaskResult(result) => {
                let (task, number) = (result.task.clone(), result.attempt);
                if self.fences.get(&task) != Some(&result.fence) {
                    return Err(format!("I1: {result:?} counts, but the newest fence is {:?}", self.fences));
                }
                let attempt = AttemptId { run: run(), task, number };
                if self.results.insert(attempt, result.fence).is_some() {
                    return Err(format!("I1: a second result counts: {result:?}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Lets a reader take what stands in the timeline.
pub(crate) fn read(reader: &mut Recovery, item: &Item) {
    match item {
        Item::Entries(envelope) => drop(reader.take(envelope)),
        Item::Lost(envelope) => {
            if let Some(file) = reader.take(envelope) {
                reader.fetched(file, Err("the file is gone".to_owned()));
            }
        }
        Item::Members(members) => reader.set_coordinators(members.coordinate.iter().cloned().collect()),
    }
}

/// The run as its first event makes it.
pub(crate) fn begun(plan: &Plan, first: &Fact) -> Result<Fold, String> {
    let EventBody::RunCreated(facts) = &first.body else {
        return Err(format!("a run begins with {first:?}"));
    };
    let begun = Run::new(run(), facts, Arc::clone(&plan.dag), first.at_ms).map_err(|e| e.to_string())?;
    Ok(Fold::new(begun))
}

/// The run as all these events make it.
pub(crate) fn folded<'a>(
    plan: &Plan,
    facts: impl IntoIterator<Item = &'a Fact>,
) -> Result<Option<Fold>, String> {
    let mut facts = facts.into_iter();
    let Some(first) = facts.next() else { return Ok(None) };
    let mut fold = begun(plan, first)?;
    for fact in facts {
        fold.apply(fact).map_err(|error| format!("{fact:?}: {error}"))?;
    }
    Ok(Some(fold))
}
