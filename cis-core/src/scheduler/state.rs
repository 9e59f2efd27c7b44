//! The state of one run: what the events so far say, and nothing else.
//!
//! [`Run::apply`] (in `reduce`) is the only way to change it, for recovery and for the live machine alike.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexSet;

use super::apply_error::ApplyError;
use super::handler::{self, Handler};
use super::index::{Index, Seat};
use super::links::Links;
use super::narrow::narrow;
use super::task::{Tally, TaskEntry, Waits};
use crate::api::TaskCounts;
use crate::dag::{Commit, Dag, Item, SecretSource, Task, Trigger};
use crate::event::{EndReason, QueueReason, RunCreated, RunState, TaskState};
use crate::ids::{NodeDid, RunId, TaskId, TimestampMs};

/// One execution of a DAG. Tasks are known by their index: the order of the file, then those added.
#[derive(Debug, Clone)]
pub struct Run {
    pub(super) id: RunId,
    pub(super) facts: RunCreated,
    /// The key of its first coordinator at that time; none: what is known begins later, or it does not matter any more.
    pub(super) submitted_by: Option<NodeDid>,
    /// A person chose its coordinator, against or without the votes of the others.
    pub(super) by_person: bool,
    /// See [`Run::doubt`].
    pub(super) doubt: Option<String>,
    pub(super) dag: Arc<Dag>,
    /// Sources of all secrets that its tasks declare, each once.
    pub(super) secrets: Vec<SecretSource>,
    pub(super) added: Vec<Task>,
    /// A task of it has `commit = "room"`.
    pub(super) commits: bool,
    pub(super) names: IndexSet<TaskId>,
    pub(super) links: Links,
    pub(super) tasks: Vec<TaskEntry>,
    pub(super) handlers: Vec<Handler>,
    pub(super) index: Index,
    pub(super) phase: Phase,
    /// So many may be granted ahead of their turn: the worker's wish, which no event holds.
    pub(super) ahead: u32,
}

/// What is known of the run itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Phase {
    pub(super) state: RunState,
    pub(super) created_ms: TimestampMs,
    pub(super) started_ms: Option<TimestampMs>,
    /// From when its timeout counts: the start, or the last `dag retry`.
    pub(super) clock_from_ms: Option<TimestampMs>,
    pub(super) ended_ms: Option<TimestampMs>,
    pub(super) cancelling: Option<Cancelling>,
    /// Why it ended before its time. A retry of handlers alone keeps it: how the other tasks ended does not change.
    pub(super) former: Option<Cancelling>,
    pub(super) detail: Option<String>,
    /// A session of it has waited for a human.
    pub(super) asked: bool,
}

/// It is being ended before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cancelling {
    /// The first reason stays.
    pub(super) reason: EndReason,
    /// Cancelled with `now`: `always` tasks do not run either.
    pub(super) at_once: bool,
    /// All tasks but handlers had ended by then.
    pub(super) late: bool,
}

/// Two runs are equal when the same was said of them. Indexes are left out: they follow from the tasks,
/// which [`Run::audit`] checks.
impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.facts == other.facts
            && (Arc::ptr_eq(&self.dag, &other.dag) || self.dag == other.dag)
            && self.added == other.added
            && self.phase == other.phase
            && self.tasks == other.tasks
    }
}

impl Run {
    /// A run as its [`RunCreated`] of `at_ms` says: created, every task pending.
    ///
    /// # Errors
    /// [`ApplyError::Dag`] where `dag` is not the checked file that `facts` speaks of.
    pub fn new(id: RunId, facts: &RunCreated, dag: Arc<Dag>, at_ms: TimestampMs) -> Result<Self, ApplyError> {
        let wrong = |detail: String| ApplyError::Dag { run: id, detail };
        let count = dag.tasks.len();
        if facts.tasks as usize != count {
            return Err(wrong(format!("it was created with {} tasks, the file has {count}", facts.tasks)));
        }
        let mut names = IndexSet::with_capacity(count);
        for task in &dag.tasks {
            if !names.insert(task.id.clone()) {
                return Err(wrong(format!("two tasks are called `{}`", task.id)));
            }
        }
        let mut edges = Vec::new();
        let mut tasks = Vec::with_capacity(count);
        for (i, task) in dag.tasks.iter().enumerate() {
            let mut tally = Tally::default();
            for need in &task.needs {
                let Some(from) = names.get_index_of(need) else {
                    return Err(wrong(format!("task `{}` needs `{need}`, which is not there", task.id)));
                };
                edges.push((narrow(from), narrow(i)));
                tally.add(TaskState::Pending);
            }
            tasks.push(TaskEntry::new(tally, at_ms));
        }
        let handlers = handler::of(&dag.on, &names).map_err(wrong)?;
        let mut index = Index::default();
        for task in &dag.tasks {
            index.entered(TaskState::Pending);
            if let Some(group) = &task.group {
                index.add_lane(group, dag.groups.get(group).copied());
            }
        }
        let phase = Phase {
            state: RunState::Created,
            created_ms: at_ms,
            started_ms: None,
            clock_from_ms: None,
            ended_ms: None,
            cancelling: None,
            former: None,
            detail: None,
            asked: false,
        };
        let links = Links::new(count, &edges);
        let (facts, added) = (facts.clone(), Vec::new());
        let submitted_by = (facts.epoch == 0).then(|| facts.owner.clone());
        let commits = dag.tasks.iter().any(|task| task.commit == Commit::Room);
        let secrets: BTreeSet<&SecretSource> =
            dag.tasks.iter().flat_map(|task| task.secrets.values()).collect();
        let secrets = secrets.into_iter().cloned().collect();
        Ok(Self {
            id,
            facts,
            submitted_by,
            by_person: false,
            doubt: None,
            dag,
            secrets,
            added,
            commits,
            names,
            links,
            tasks,
            handlers,
            index,
            phase,
            ahead: 0,
        })
    }

    /// Whether a person chose its coordinator, against or without the votes of the others.
    #[must_use]
    pub fn is_by_person(&self) -> bool {
        self.by_person
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Its facts; mode, room, owner and epoch are the present ones.
    #[must_use]
    pub fn facts(&self) -> &RunCreated {
        &self.facts
    }

    /// Sources of all secrets that its tasks declare, each once.
    #[must_use]
    pub fn secret_sources(&self) -> &[SecretSource] {
        &self.secrets
    }

    /// Its file.
    #[must_use]
    pub fn dag(&self) -> &Arc<Dag> {
        &self.dag
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> RunState {
        self.phase.state
    }

    /// Why it is being ended before its time, where it is.
    #[must_use]
    pub fn cancelling(&self) -> Option<&EndReason> {
        self.phase.cancelling.as_ref().map(|c| &c.reason)
    }

    /// Why it did not end well.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.phase.detail.as_deref()
    }

    /// When it was created, Unix ms.
    #[must_use]
    pub fn created_ms(&self) -> TimestampMs {
        self.phase.created_ms
    }

    /// When it was started.
    #[must_use]
    pub fn started_ms(&self) -> Option<TimestampMs> {
        self.phase.started_ms
    }

    /// When it ended.
    #[must_use]
    pub fn ended_ms(&self) -> Option<TimestampMs> {
        self.phase.ended_ms
    }

    /// When its timeout passes; none where it has none, has ended, or is being ended already.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<TimestampMs> {
        if self.phase.state.is_terminal() || self.phase.cancelling.is_some() {
            return None;
        }
        let limit = i64::try_from(self.dag.timeout_ms?).unwrap_or(i64::MAX);
        Some(self.phase.clock_from_ms?.saturating_add(limit))
    }

    /// How many tasks it has, added ones included.
    #[must_use]
    pub fn len(&self) -> u32 {
        narrow(self.tasks.len())
    }

    /// Whether it has no task at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Index of a task.
    #[must_use]
    pub fn find(&self, task: &TaskId) -> Option<u32> {
        self.names.get_index_of(task).map(narrow)
    }

    /// Whether no other machine could run this task in Matrix mode: it needs something of the one where it was submitted. One that
    /// names nodes or tags is refused instead.
    #[must_use]
    pub fn stays_home(&self, index: u32) -> bool {
        self.spec(index).stays_home()
    }

    /// Whether a task gets files where it runs on another machine, or leaves some.
    #[must_use]
    pub fn moves_files(&self, index: u32) -> bool {
        let task = self.spec(index);
        let leaves_some =
            |need: &TaskId| self.find(need).is_some_and(|of| !self.spec(of).artifacts.is_empty());
        !task.artifacts.is_empty() || !task.inputs.is_empty() || task.needs.iter().any(leaves_some)
    }

    /// What the file says of the task at `index`.
    ///
    /// # Panics
    /// Not for an index below [`Self::len`].
    #[must_use]
    pub fn spec(&self, index: u32) -> &Task {
        let i = index as usize;
        self.dag.tasks.get(i).unwrap_or_else(|| &self.added[i - self.dag.tasks.len()])
    }

    /// What is known of the task at `index`.
    ///
    /// # Panics
    /// Not for an index below [`Self::len`].
    #[must_use]
    pub fn entry(&self, index: u32) -> &TaskEntry {
        &self.tasks[index as usize]
    }

    /// A task by its name.
    #[must_use]
    pub fn task(&self, task: &TaskId) -> Option<(&Task, &TaskEntry)> {
        self.find(task).map(|i| (self.spec(i), self.entry(i)))
    }

    /// All tasks, in the order of the file.
    pub fn tasks(&self) -> impl Iterator<Item = (&Task, &TaskEntry)> {
        self.dag.tasks.iter().chain(&self.added).zip(&self.tasks)
    }

    /// Indexes of the tasks with an attempt under way, in the order of the file.
    pub fn live(&self) -> impl Iterator<Item = u32> + '_ {
        self.index.live.iter().copied()
    }

    /// How many those are.
    #[must_use]
    pub fn live_count(&self) -> u32 {
        narrow(self.index.live.len())
    }

    /// How many of those wait for a human and hold no slot.
    #[must_use]
    pub fn blocked_count(&self) -> u32 {
        self.index.blocked
    }

    /// How many tasks are in `state`.
    #[must_use]
    pub fn count(&self, state: TaskState) -> u32 {
        self.index.count(state)
    }

    /// Its tasks by state.
    #[must_use]
    pub fn counts(&self) -> TaskCounts {
        TaskState::ALL.iter().map(|s| (*s, self.count(*s))).filter(|(_, n)| *n > 0).collect()
    }

    /// Slots of `max_parallel` that are free: sessions that wait for a human hold none.
    pub(super) fn free_slots(&self) -> u32 {
        let working = self.live_count() - self.blocked_count();
        self.facts.max_parallel.max(1).saturating_sub(working)
    }

    /// How many may be granted now: slots that are free, and what the worker takes ahead. While a session
    /// waits for a human there is one slot more than when it ends, and what waits at the worker could take
    /// that: then nothing goes ahead.
    pub(super) fn room(&self) -> u32 {
        if self.blocked_count() > 0 {
            return self.free_slots();
        }
        self.facts.max_parallel.max(1).saturating_add(self.ahead).saturating_sub(self.live_count())
    }

    /// Whether some of its grants may wait at the worker: one that waits has all slots before it.
    pub(super) fn may_wait_at_worker(&self) -> bool {
        self.live_count() > self.facts.max_parallel.max(1)
    }

    /// Whether cancelling takes the task at `index`: an `always` task and the handler of such an end still
    /// run where something may be there for them to clean up, unless it was cancelled with `now`.
    pub(super) fn swept(&self, index: u32) -> Option<&EndReason> {
        let cancelling = self.phase.cancelling.as_ref()?;
        let meant = match self.handler(index) {
            Some(handler) => handler.survives(&cancelling.reason),
            None => self.spec(index).trigger == Trigger::Always,
        };
        let spared = meant && !cancelling.at_once && self.phase.started_ms.is_some();
        (!spared).then_some(&cancelling.reason)
    }

    /// What time alone changes first, of each kind: when, and to which task.
    pub(super) fn next_due(&self) -> [Option<(TimestampMs, u32)>; 3] {
        let index = &self.index;
        [&index.timers, &index.expiries, &index.prompts].map(|times| times.first().copied())
    }

    /// When time alone changes something.
    pub(super) fn next_wake(&self) -> Option<TimestampMs> {
        let of_tasks = self.next_due().into_iter().flatten().map(|(at_ms, _)| at_ms);
        of_tasks.chain(self.deadline_ms()).min()
    }

    /// Tasks whose time has come are free to start.
    pub(super) fn wake(&mut self, now: TimestampMs) {
        while let Some(task) = self.index.due(now) {
            let seat = self.seat(task);
            self.index.enqueue(seat, Waits::Turn);
        }
    }

    /// Where the task at `index` stands in line.
    pub(super) fn seat(&self, index: u32) -> Seat {
        let spec = self.spec(index);
        let lane = self.index.lane_of(spec.group.as_deref());
        Seat { lane, rank: (std::cmp::Reverse(spec.priority), index) }
    }

    /// Why a task waits that is free to start.
    pub(super) fn turn(spec: &Task) -> QueueReason {
        match &spec.group {
            Some(name) => QueueReason::Group { name: name.clone() },
            None => QueueReason::Slot,
        }
    }

    /// Which item of which task it is. The tasks of the file are none.
    pub(super) fn item_of(&self, index: u32) -> Option<(u32, &Item)> {
        let added = (index as usize).checked_sub(self.dag.tasks.len())?;
        let item = self.added.get(added)?.item.as_ref()?;
        Some((self.find(&item.of)?, item))
    }

    /// What the task at `index` needs; an item needs what its task needs.
    #[must_use]
    pub fn needs_of(&self, index: u32) -> &[TaskId] {
        let of = self.item_of(index).map_or(index, |(parent, _)| parent);
        &self.spec(of).needs
    }
}
