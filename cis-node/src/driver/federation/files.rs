//! Files of tasks that run on the nodes of a room: what waits until they are where they are to be.
//!
//! Owns which attempts wait for that, and what follows when it is done or stopped. Moves no file: that is `transfers`' matter.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::super::Driver;
use super::Held;
use crate::account::boot_ms;
use crate::file_jobs::{Done, Gift, Inputs, Job, Undone};
use crate::files::{STAGING, Stop};
use cis_core::api::{FromWorker, Refusal, Report};
use cis_core::event::Uploaded;
use cis_core::event::{ArtifactRecord, AttemptOutcome, ExecutionMode, FailureCause};
use cis_core::federation::direct::{RemoteSpec, TaskPayload};
use cis_core::federation::finality::Finality;
use cis_core::federation::protocol::BootMs;
use cis_core::federation::protocol::message::{Grant, Granted, Message};
use cis_core::ids::{AttemptId, Fence, NodeDid, SessionId, TimestampMs};
use cis_core::scheduler::Run;

/// Why nothing is done about files.
const NOT_NOW: &str = "too much waits to be sent to other nodes at the moment";

/// See the module.
#[derive(Default)]
pub(super) struct Underway {
    /// Attempts of this node's runs, by what they wait for.
    giving: BTreeMap<AttemptId, Giving>,
    /// Attempts that this node worked on, and whose directories are still being filled.
    leaving: BTreeSet<AttemptId>,
    /// Results of workers that wait for the list of their files.
    listing: BTreeSet<Granted>,
    /// What was done while the database could not be written.
    kept: Vec<Done>,
}

struct Giving {
    fence: Fence,
    stop: Stop,
    then: Then,
}

enum Then {
    /// The attempt goes to this node of this room.
    Grant { room: String, node: NodeDid, grant: Grant<RemoteSpec> },
    /// It is started here.
    Start { session: SessionId },
}

/// Files of a task that this node has for a coordinator.
pub(super) enum Bringing {
    /// They come: its session begins then.
    In(Stop),
    /// They go: its result is told then.
    Out(Stop, Box<Report>),
}

impl Driver {
    /// Gives a grant that need not wait for files. One that does is granted later.
    pub(super) fn give_files(
        &mut self,
        room: &str,
        node: &NodeDid,
        grant: Grant<RemoteSpec>,
        now: TimestampMs,
    ) -> Option<Grant<RemoteSpec>> {
        let Granted { attempt, fence } = &grant.granted;
        let run = self.parts.machine.run(&attempt.run)?;
        let Some((task, _)) = run.task(&attempt.task) else { return Some(grant) };
        let gifts = gifts(run, &task.needs);
        if gifts.is_empty() && task.inputs.is_empty() {
            return Some(grant);
        }
        let globs = task.inputs.clone();
        if run.facts().epoch > 0 && !globs.is_empty() {
            let detail = "inputs: the files are on the node where the run was submitted, and another node has taken the run over since";
            self.fail_giving(grant.granted, Undone::Task(detail.to_owned()), now);
            return None;
        }
        let dir = PathBuf::from(&run.facts().workdir);
        let inputs = (!globs.is_empty()).then_some(Inputs { dir, globs });
        let (stop, granted, fence) = (Stop::default(), grant.granted.clone(), *fence);
        let stays = self.parts.identity.is_or_was(node);
        let job = Job::Give {
            granted: granted.clone(),
            room: room.to_owned(),
            gifts,
            inputs,
            stays,
            stop: stop.clone(),
        };
        let then = Then::Grant { room: room.to_owned(), node: node.clone(), grant };
        self.federation.files.giving.insert(granted.attempt.clone(), Giving { fence, stop, then });
        if !self.parts.link.carry(job) {
            self.files_done(Done::Given(granted, Err(Undone::Resources(NOT_NOW.to_owned()))), now);
        }
        None
    }

    /// Puts files of tasks that ran on other nodes into the submitter's directory, before a task starts there that needs them. Gives
    /// whether there are any.
    pub(in crate::driver) fn place_files(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
    ) -> bool {
        let Some(run) = self.parts.machine.run(&attempt.run) else { return false };
        let (Some((task, _)), Some(room)) = (run.task(&attempt.task), run.facts().room.clone()) else {
            return false;
        };
        let mut gifts = gifts(run, &task.needs);
        // What stayed on this machine is in its place.
        gifts.retain(|gift| gift.uploaded.is_some());
        if run.facts().mode != ExecutionMode::Matrix || gifts.is_empty() {
            return false;
        }
        let (stop, dir) = (Stop::default(), PathBuf::from(&run.facts().workdir));
        let granted = Granted { attempt: attempt.clone(), fence };
        let staging = format!("{STAGING}{session}");
        let job = Job::Place { granted, room, gifts, dir, staging, stop: stop.clone() };
        let carried = self.parts.link.carry(job);
        if carried {
            let giving = Giving { fence, stop, then: Then::Start { session } };
            self.federation.files.giving.insert(attempt.clone(), giving);
        } else {
            let (attempt, reason) = (attempt.clone(), Refusal::Resources { detail: NOT_NOW.to_owned() });
            self.parts.worker.said.push(FromWorker::Refused { attempt, fence, reason });
        }
        true
    }

    /// Ends an attempt that waits for its files. Gives whether there was one.
    pub(in crate::driver) fn stop_giving(
        &mut self,
        attempt: &AttemptId,
        fence: Fence,
        now: TimestampMs,
    ) -> bool {
        let is_it = |giving: &Giving| giving.fence == fence;
        if !self.federation.files.giving.get(attempt).is_some_and(is_it) {
            return false;
        }
        if let Some(giving) = self.federation.files.giving.remove(attempt) {
            giving.stop.set();
        }
        self.fail_giving(Granted { attempt: attempt.clone(), fence }, Undone::Stopped, now);
        true
    }

    fn fail_giving(&mut self, granted: Granted, why: Undone, now: TimestampMs) {
        let Granted { attempt, fence } = granted;
        let told = match why {
            Undone::Resources(detail) => {
                FromWorker::Refused { attempt, fence, reason: Refusal::Resources { detail } }
            }
            other => {
                let report = Box::new(Report::bare(outcome(other), None, now));
                FromWorker::Result { attempt, fence, report }
            }
        };
        self.parts.worker.said.push(told);
    }

    /// Fetches the files of a task that this node works on.
    pub(super) fn take_files(&mut self, granted: &Granted, uploaded: Uploaded, dir: PathBuf) {
        let Some(held) = self.federation.held.get_mut(&granted.attempt) else { return };
        let (stop, staging) = (Stop::default(), format!("{STAGING}{}", held.session));
        held.bringing = Some(Bringing::In(stop.clone()));
        let (granted, room) = (granted.clone(), held.room.clone());
        let job = Job::Take { granted: granted.clone(), room, uploaded, dir, staging, stop };
        if !self.parts.link.carry(job) {
            self.taken(granted, Err(Undone::Resources(NOT_NOW.to_owned())));
        }
    }

    fn taken(&mut self, granted: Granted, taken: Result<(), Undone>) {
        if self.federation.files.leaving.remove(&granted.attempt) {
            let dir = self.directory_of(&granted.attempt);
            return self.federation.directories.give_back(&self.parts.home.remote(), dir);
        }
        let Some(held) = self.federation.held.get_mut(&granted.attempt) else { return };
        if held.granted != granted || !matches!(held.bringing, Some(Bringing::In(_))) {
            return;
        }
        held.bringing = None;
        let room = held.room.clone();
        if self.federation.worker(&room).is_some_and(|worker| worker.has_ended(&granted)) {
            return;
        }
        let Granted { attempt, fence } = granted;
        match taken {
            Ok(()) => self.begin_held(&attempt),
            Err(Undone::Resources(detail)) => {
                let reason = Refusal::Resources { detail };
                self.parts.worker.said.push(FromWorker::Refused { attempt, fence, reason });
            }
            Err(why) => {
                let report = Box::new(Report::bare(outcome(why), None, cis_local::now_ms()));
                self.parts.worker.said.push(FromWorker::Result { attempt, fence, report });
            }
        }
    }

    /// The lease of an attempt goes on.
    pub(super) fn extend_held(&mut self, granted: &Granted, lease_end: BootMs) {
        let held = self.federation.held.get_mut(&granted.attempt);
        if let Some(held) = held.filter(|held| held.granted == *granted) {
            held.lease_end = lease_end;
        }
    }

    /// Stops the files of an attempt that this node works on, unless what it left is to be kept. Gives whether its end is told by that.
    pub(super) fn stop_files(&mut self, granted: &Granted, keep: bool, now: TimestampMs) -> bool {
        let held = self.federation.held.get_mut(&granted.attempt);
        let Some(held) = held.filter(|held| held.granted == *granted) else { return false };
        match &held.bringing {
            None => false,
            Some(Bringing::Out(stop, _)) => {
                if !keep {
                    stop.set();
                }
                true
            }
            Some(Bringing::In(stop)) => {
                stop.set();
                // What is being fetched may be written into the directory for another moment.
                self.federation.files.leaving.insert(granted.attempt.clone());
                held.bringing = None;
                let Granted { attempt, fence } = granted.clone();
                let report = Box::new(Report::bare(AttemptOutcome::Cancelled, None, now));
                self.parts.worker.said.push(FromWorker::Result { attempt, fence, report });
                true
            }
        }
    }

    /// Whether the directory of an attempt that is forgotten is still being filled. It is removed later then.
    pub(super) fn is_being_filled(&mut self, attempt: &AttemptId, held: Option<Held>) -> bool {
        if let Some(Bringing::In(stop) | Bringing::Out(stop, _)) = held.and_then(|held| {
            if matches!(held.bringing, Some(Bringing::In(_))) {
                self.federation.files.leaving.insert(attempt.clone());
            }
            held.bringing
        }) {
            stop.set();
        }
        self.federation.files.leaving.contains(attempt)
    }

    /// Uploads what an attempt for a coordinator of a room left. Gives back a message that need not wait for that.
    pub(super) fn share_files(&mut self, message: FromWorker) -> Option<FromWorker> {
        let FromWorker::Result { attempt, fence, report } = message else { return Some(message) };
        let held = self.federation.held.get_mut(&attempt);
        let is_done = report.artifacts.is_empty() || report.files.is_some();
        let Some(held) = held.filter(|_| !is_done) else {
            return Some(FromWorker::Result { attempt, fence, report });
        };
        let (granted, room, stop) = (held.granted.clone(), held.room.clone(), Stop::default());
        let files = report.artifacts.clone();
        held.bringing = Some(Bringing::Out(stop.clone(), report));
        if !self.parts.link.carry(Job::Share { granted: granted.clone(), room, files, stop }) {
            self.shared(&granted, Err(Undone::Resources(NOT_NOW.to_owned())));
        }
        None
    }

    fn shared(&mut self, granted: &Granted, shared: Result<Uploaded, Undone>) {
        let held = self.federation.held.get_mut(&granted.attempt);
        let Some(held) = held.filter(|held| held.granted == *granted) else { return };
        let Some(Bringing::Out(_, mut report)) = held.bringing.take() else { return };
        match shared {
            Ok(uploaded) => report.files = Some(uploaded),
            Err(why) => report.outcome = outcome(why),
        }
        // The list tells of them.
        report.artifacts.clear();
        let Granted { attempt, fence } = granted.clone();
        self.parts.worker.said.push(FromWorker::Result { attempt, fence, report });
    }

    /// A message of a worker, with the files that its result tells of. None: they are looked for first.
    pub(super) fn with_files(
        &mut self,
        room: &str,
        from: &NodeDid,
        message: Message<TaskPayload>,
    ) -> Option<Message<TaskPayload>> {
        let Message::Result { granted, mut report } = message else { return Some(message) };
        // Whatever else it names is not checked, and not there.
        report.artifacts.clear();
        let Some(uploaded) = report.files.clone() else { return Some(Message::Result { granted, report }) };
        let is_its_own = self
            .federation
            .rooms
            .get(room)
            .is_some_and(|room| room.coordinator.worker_of(&granted) == Some(from));
        if !is_its_own {
            return Some(Message::Result { granted, report });
        }
        if let Some(list) = self.parts.uploads.list(room, &uploaded) {
            report.artifacts.clone_from(&list.files);
            return Some(Message::Result { granted, report });
        }
        // It is repeated until it is recorded.
        if self.federation.files.listing.insert(granted.clone()) {
            let message = Box::new(Message::Result { granted: granted.clone(), report });
            let job = Job::List { room: room.to_owned(), from: from.clone(), message, uploaded };
            if !self.parts.link.carry(job) {
                self.federation.files.listing.remove(&granted);
            }
        }
        None
    }

    /// Something about files was done.
    pub(in crate::driver) fn files_done(&mut self, done: Done, now: TimestampMs) {
        match done {
            Done::Given(granted, given) => self.given(granted, given.map(Some), now),
            Done::Placed(granted, placed) => self.given(granted, placed.map(|()| None), now),
            Done::Taken(granted, taken) => self.taken(granted, taken),
            Done::Shared(granted, shared) => self.shared(&granted, shared),
            Done::Listed { room, from, message, files } => {
                let Message::Result { granted, mut report } = *message else { return };
                self.federation.files.listing.remove(&granted);
                if let Err(why) = files {
                    // Its worker has it for as long as it is not recorded: what passes is tried again.
                    report.outcome = outcome(why);
                    report.files = None;
                }
                self.federated(&room, &from, Message::Result { granted, report }, now);
            }
        }
    }

    fn given(&mut self, granted: Granted, given: Result<Option<Uploaded>, Undone>, now: TimestampMs) {
        let is_it = |giving: &Giving| giving.fence == granted.fence;
        if !self.federation.files.giving.get(&granted.attempt).is_some_and(is_it) {
            return;
        }
        let Some(Giving { fence, then, .. }) = self.federation.files.giving.remove(&granted.attempt) else {
            return;
        };
        match (given, then) {
            (Err(why), _) => self.fail_giving(granted, why, now),
            (Ok(_), Then::Start { session }) => self.grant(granted.attempt, session, fence, now),
            (Ok(files), Then::Grant { room, node, mut grant }) => {
                grant.spec.files = files;
                let Some(run) = self.parts.machine.run(&granted.attempt.run) else { return };
                let epoch = run.facts().epoch;
                let room = self.federation.room(&room);
                if room.coordinator.epoch(granted.attempt.run).is_none() {
                    room.coordinator.begin(granted.attempt.run, epoch);
                    room.finality.insert(granted.attempt.run, Finality::since(0, None));
                }
                room.coordinator.grant(node, grant, boot_ms());
            }
        }
    }

    /// Keeps what was done for when the database can be written again.
    pub(in crate::driver) fn keep_done(&mut self, done: Done) {
        self.federation.files.kept.push(done);
    }

    pub(super) fn take_kept_done(&mut self, now: TimestampMs) {
        for done in std::mem::take(&mut self.federation.files.kept) {
            self.files_done(done, now);
        }
    }
}

/// What the tasks left that one needs, and the items of those.
fn gifts(run: &Run, needs: &[cis_core::ids::TaskId]) -> Vec<Gift> {
    let mut gifts = Vec::new();
    for need in needs {
        let Some((_, entry)) = run.task(need) else { continue };
        let items = run.items(need).unwrap_or_default();
        for entry in std::iter::once(entry).chain(items.iter().map(|item| run.entry(*item))) {
            let files: Vec<ArtifactRecord> = entry.artifacts().to_vec();
            if !files.is_empty() {
                gifts.push(Gift { files, uploaded: entry.files().cloned() });
            }
        }
    }
    gifts
}

fn outcome(why: Undone) -> AttemptOutcome {
    match why {
        Undone::Stopped => AttemptOutcome::Cancelled,
        Undone::Task(detail) => AttemptOutcome::Failed { cause: FailureCause::Input { detail } },
        Undone::Resources(detail) | Undone::Other(detail) => AttemptOutcome::SpawnError { detail },
    }
}
