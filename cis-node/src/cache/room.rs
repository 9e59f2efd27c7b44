//! Results of tasks on the nodes of a room: their keys, and the entries made of them.
//!
//! A key covers everything that a task gets on another node. So the coordinators of the room can use each other's results:
//! nothing of the machine, the directory or the environment of the submitter reaches such a task
//! (`cis_core::federation::direct::RemoteSpec::of`).

use super::entry::{Entry, Vouched};
use super::key::{Parts, declared, named, own, submitted};
use cis_core::api::{CacheUse, Report, TaskSpec};
use cis_core::dag::{CacheKey, Placement};
use cis_core::event::{
    ArtifactRecord, AttemptOutcome, AttemptResult, ExitStatus, OutputRecord, TaskState, Uploaded, UploadedLog,
};
use cis_core::ids::{AttemptId, BlobId, NodeDid, RunId, TimestampMs};
use std::collections::BTreeMap;

/// First part of every key. Another form of keys gets another one.
const FORM: &str = "cis cache key of a room 1";

/// First part of the key of an entry.
const ENTRY_FORM: &str = "cis cache entry of a room 1";

/// Where a task may run, and for whom.
pub(crate) struct Placed<'a> {
    pub(crate) room: &'a str,
    pub(crate) placement: Option<&'a Placement>,
    pub(crate) coordinator: &'a NodeDid,
}

/// A key without its files.
#[derive(Debug)]
pub(crate) struct RoomRecipe {
    parts: Parts,
    room: String,
    reach: Reach,
}

/// Key of a result of a room's task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomKey {
    room: String,
    hash: String,
    reach: Reach,
}

/// Whose results a key finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Those of all coordinators of the room.
    Room,
    /// Those of this node.
    Coordinator,
}

impl RoomRecipe {
    /// What the key has of the task itself. With [`CacheKey::Auto`]: what it runs, its environment, its terminal and the outputs of
    /// what it needs. With a text: that text, and which task of which file it is. With a text, or a terminal into which people can type:
    /// who submitted the run and which node coordinates it. Always: the nodes that it asks for, as their machines are not alike, and what it declares.
    pub(crate) fn new(spec: &TaskSpec, cache: &CacheUse, placed: &Placed<'_>) -> Self {
        let mut parts = Parts::of(FORM);
        parts.add("room", placed.room.as_bytes());
        let reach = match &cache.key {
            CacheKey::Auto => {
                own(spec, None, &mut parts);
                // What is typed is not part of the key: a node that may only submit runs could change the results of others by it.
                if spec.tty { Reach::Coordinator } else { Reach::Room }
            }
            CacheKey::Text(text) => {
                named(text, cache, &mut parts);
                Reach::Coordinator
            }
        };
        if reach == Reach::Coordinator {
            submitted(cache, &mut parts);
            parts.add("coordinator", placed.coordinator.to_string().as_bytes());
        }
        for (name, words) in [
            ("tag", placed.placement.map(|placement| &placement.tags)),
            ("node", placed.placement.map(|placement| &placement.nodes)),
        ] {
            parts.count(name, words.map_or(0, Vec::len));
            for word in words.into_iter().flatten() {
                parts.add(name, word.as_bytes());
            }
        }
        declared(spec, &mut parts);
        Self { parts, room: placed.room.to_owned(), reach }
    }

    /// The key with the files that are in the directory of the task when it starts, in the order of their paths.
    pub(crate) fn finish(&self, files: &[ArtifactRecord]) -> RoomKey {
        let mut parts = self.parts.clone();
        parts.count("files", files.len());
        for file in files {
            parts.add("path", file.path.as_bytes());
            parts.add(if file.executable { "program" } else { "file" }, file.blob.0.as_bytes());
        }
        RoomKey { room: self.room.clone(), hash: parts.hash(), reach: self.reach }
    }
}

impl RoomKey {
    /// A key that the coordinator of a run told the nodes of its room. None: nobody made it.
    pub(crate) fn of_told(room: &str, hash: &str) -> Option<Self> {
        let is_one = BlobId::is_written_as(hash);
        is_one.then(|| Self { room: room.to_owned(), hash: hash.to_owned(), reach: Reach::Room })
    }

    /// What the other nodes of the room are told.
    pub(crate) fn told(&self) -> Option<&str> {
        match self.reach {
            Reach::Room => Some(&self.hash),
            Reach::Coordinator => None,
        }
    }

    /// The key of its entry. Whatever another node says is a key: it never names an entry of tasks that run here, of another room, or of
    /// a key that is a text.
    pub(crate) fn entry(&self) -> String {
        let mut parts = Parts::of(ENTRY_FORM);
        parts.add("room", self.room.as_bytes());
        parts.add(
            match self.reach {
                Reach::Room => "shared",
                Reach::Coordinator => "own",
            },
            self.hash.as_bytes(),
        );
        parts.hash()
    }
}

/// A result that may be used again.
pub(crate) struct Success {
    from: AttemptId,
    ended_ms: TimestampMs,
    outputs: BTreeMap<String, OutputRecord>,
    artifacts: Vec<ArtifactRecord>,
    files: Option<Uploaded>,
    log: Option<UploadedLog>,
    log_bytes: u64,
}

impl Success {
    /// Of what a worker reported to this node, with the files that its list names. None: it may not be used again.
    pub(crate) fn of_report(from: &AttemptId, report: &Report) -> Option<Self> {
        let ended = (&report.outcome, report.exit, report.cached.is_none());
        let made = Self {
            from: from.clone(),
            ended_ms: report.ended_ms,
            outputs: report.outputs.clone(),
            artifacts: report.artifacts.clone(),
            files: report.files.clone(),
            log: report.log.clone(),
            log_bytes: report.log_bytes,
        };
        is_success(ended).then_some(made)?.whole()
    }

    /// Of what the coordinator of a run told its room. None: it may not be used again.
    pub(crate) fn of_result(run: RunId, result: &AttemptResult) -> Option<Self> {
        let ended = (&result.outcome, result.exit, result.cached.is_none());
        let made = Self {
            from: AttemptId { run, task: result.task.clone(), number: result.attempt },
            ended_ms: result.ended_ms,
            outputs: result.outputs.clone(),
            artifacts: result.artifacts.clone(),
            files: result.files.clone(),
            log: result.log.clone().filter(UploadedLog::is_sound),
            log_bytes: result.log_bytes,
        };
        (is_success(ended) && result.state == TaskState::Succeeded).then_some(made)?.whole()
    }

    /// Only with real values, and with files that other nodes can get.
    fn whole(self) -> Option<Self> {
        let is_open = self.outputs.values().all(|output| !output.hidden && output.blob.is_none());
        (is_open && (self.artifacts.is_empty() || self.files.is_some())).then_some(self)
    }

    /// As an entry that these nodes of a room vouch for.
    pub(crate) fn entry(
        self,
        key: &RoomKey,
        worker: NodeDid,
        coordinator: NodeDid,
        now_ms: TimestampMs,
    ) -> Entry {
        let Self { from, ended_ms, outputs, mut artifacts, files, log, log_bytes } = self;
        if artifacts.iter().any(|file| !BlobId::is_written_as(&file.blob.0)) {
            artifacts.clear();
        }
        let room = key.room.clone();
        Entry {
            key: key.entry(),
            from: from.to_string(),
            // Clocks differ, and no entry is to outlive its time.
            made_ms: ended_ms.min(now_ms),
            outputs,
            artifacts,
            vouched: Some(Box::new(Vouched { room, worker, coordinator, files, log, log_bytes })),
        }
    }
}

fn is_success((outcome, exit, ran): (&AttemptOutcome, Option<ExitStatus>, bool)) -> bool {
    ran && *outcome == AttemptOutcome::Succeeded && exit.is_some_and(ExitStatus::is_success)
}

#[cfg(test)]
mod tests;
