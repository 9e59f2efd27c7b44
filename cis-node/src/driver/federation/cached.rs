//! Results of the cache and tasks that go to nodes of a room.
//!
//! Owns under which key the result of an attempt is kept, from its grant to its result. A coordinator that restarts, or takes a run over,
//! does not know the keys of earlier grants: those results are not kept. What is in the cache is the matter of `crate::cache`, when it
//! counts that of `crate::transfers`.

use std::collections::BTreeMap;

use super::super::Driver;
use crate::cache::{Entry, Placed, RoomKey, RoomRecipe, Success};
use crate::file_jobs::{CachedResult, Job, Lookup, Wants};
use cis_core::api::{FromWorker, Report, TaskSpec};
use cis_core::dag::{Task, template};
use cis_core::event::{AttemptOutcome, OutputRecord, TaskState};
use cis_core::federation::protocol::message::Granted;
use cis_core::ids::{AttemptId, Fence, TimestampMs};
use cis_core::scheduler::Run;

/// See the module.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<AttemptId, (Fence, RoomKey)>);

impl Keys {
    pub(super) fn note(&mut self, granted: &Granted, key: RoomKey) {
        self.0.insert(granted.attempt.clone(), (granted.fence, key));
    }

    /// Its result is not kept: people have a part in it, and the key does not tell which.
    pub(super) fn forget(&mut self, granted: &Granted) {
        self.0.remove(&granted.attempt);
    }

    /// Forgets attempts that are over.
    pub(super) fn retain(&mut self, lives: impl Fn(&AttemptId, Fence) -> bool) {
        self.0.retain(|attempt, (fence, _)| lives(attempt, *fence));
    }

    fn get(&self, granted: &Granted) -> Option<&RoomKey> {
        let (fence, key) = self.0.get(&granted.attempt)?;
        (*fence == granted.fence).then_some(key)
    }
}

impl Driver {
    /// How an attempt that goes to a node of a room uses the cache. None: it does not. What comes with a secret has no shared result: the key
    /// does not cover the values of secrets, and must not let anybody guess them.
    pub(super) fn lookup_of(&self, attempt: &AttemptId, spec: &TaskSpec, room: &str) -> Option<Box<Lookup>> {
        let cache = spec.cache.as_ref()?;
        let run = self.parts.machine.run(&attempt.run)?;
        let (task, _) = run.task(&attempt.task)?;
        if !spec.secrets.is_empty() || !spec.sensitive.is_empty() || needs_hidden(run, task) {
            return None;
        }
        let placed = Placed { room, placement: task.placement.as_deref(), coordinator: &self.parts.did };
        Some(Box::new(Lookup {
            recipe: RoomRecipe::new(spec, cache, &placed),
            globs: spec.artifacts.clone(),
            ttl_ms: cache.ttl_ms,
            wants: if cache.refresh { Wants::Nothing } else { Wants::Result },
            reads_output: is_read(run, task),
        }))
    }

    /// Ends an attempt that was not given to its node with the result of an earlier one.
    pub(super) fn end_cached(&mut self, granted: Granted, cached: CachedResult, now: TimestampMs) {
        let CachedResult { from, outputs, artifacts, files, log } = cached;
        let bare = Report::bare(AttemptOutcome::Succeeded, None, now);
        let report = Box::new(Report { outputs, artifacts, files, log, cached: Some(from), ..bare });
        let Granted { attempt, fence } = granted;
        self.parts.worker.said.push(FromWorker::Result { attempt, fence, report });
    }

    /// The entry of what a worker reports, where it may be used again. The report gets the key that the room is told.
    pub(super) fn entry_of(&self, granted: &Granted, report: &mut Report, now: TimestampMs) -> Option<Entry> {
        let key = self.federation.files.keys.get(granted)?;
        let (_, entry) = self.parts.machine.run(&granted.attempt.run)?.task(&granted.attempt.task)?;
        // What was handed in, or was told to end, may not be all that the task does.
        let live =
            entry.live.as_ref().filter(|live| live.fence == granted.fence && live.stopping.is_none())?;
        let success = Success::of_report(&granted.attempt, report)?;
        report.cache_key = key.told().map(str::to_owned);
        Some(success.entry(key, live.node.clone(), self.parts.did.clone(), now))
    }

    /// Keeps the result of an attempt for later ones once it is durable, if it was recorded as a success.
    pub(super) fn keep_entry(&mut self, granted: &Granted, entry: Entry) {
        let run = self.parts.machine.run(&granted.attempt.run);
        let recorded = run.and_then(|run| run.task(&granted.attempt.task)).is_some_and(|(_, task)| {
            let is_it = task.last.as_ref().is_some_and(|last| last.fence == granted.fence);
            is_it && task.state == TaskState::Succeeded
        });
        if !recorded {
            return;
        }
        let link = self.parts.link.clone();
        self.turn.confirm_by(Box::new(move |durable| {
            if durable.is_ok() && !link.carry(Job::Keep(Box::new(entry))) {
                tracing::debug!("a result is not kept in the cache: too much is under way");
            }
        }));
    }
}

/// Whether a task needs an output whose real value is secret.
fn needs_hidden(run: &Run, task: &Task) -> bool {
    let is_hidden = |output: &OutputRecord| output.hidden || output.blob.is_some();
    task.needs.iter().any(|need| {
        let items = run.items(need).unwrap_or_default().iter().map(|item| run.entry(*item));
        let own = run.task(need).map(|(_, entry)| entry);
        own.into_iter().chain(items).any(|entry| entry.outputs.values().any(is_hidden))
    })
}

/// Whether texts of other tasks refer to the output of a task.
fn is_read(run: &Run, task: &Task) -> bool {
    let id = task.item.as_ref().map_or(&task.id, |item| &item.of);
    run.tasks().any(|(other, _)| template::referenced_tails(other).contains(id))
}
