//! Files of tasks that run on the nodes of a room: what waits until they are where they are to be.
//!
//! Owns which attempts wait for that, and what follows when it is done or stopped. Moves no file: that is `transfers`' matter.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use super::super::Driver;
use super::super::spec::{IS_AWAY, artifacts_of};
use super::Held;
use super::cached::Keys;
use super::logs::Ended;
use crate::file_jobs::{Done, Gift, Inputs, Job, Lookup, Prepared, Undone};
use crate::files::{STAGING, Stop};
use crate::upload_ahead::UploadAhead;
use cis_core::api::{FromWorker, Refusal, Report};
use cis_core::event::{ArtifactRecord, AttemptOutcome, ExecutionMode, FailureCause};
use cis_core::event::{Uploaded, UploadedLog};
use cis_core::federation::direct::{RemoteSpec, TaskPayload};
use cis_core::federation::protocol::BootMs;
use cis_core::federation::protocol::message::{Grant, Granted, Message};
use cis_core::federation::transfer::FileList;
use cis_core::ids::{AttemptId, BlobId, Fence, NodeDid, SessionId, TaskId, TimestampMs};
use cis_core::scheduler::Run;

/// So many lists of one worker are looked up at a time.
const LISTS_OF_ONE_MAX: usize = 2;

/// So many lists that are known to be right are remembered.
const CHECKED_MAX: usize = 50_000;

/// So often a list is looked up that cannot be had: then its attempt ends with an error.
const LIST_TRIES_MAX: u32 = 10;

/// Why nothing is done about files.
pub(super) const NOT_NOW: &str = "too much waits to be sent to other nodes at the moment";

/// See the module.
#[derive(Default)]
pub(super) struct Underway {
    /// Attempts of this node's runs, by what they wait for.
    giving: BTreeMap<AttemptId, Giving>,
    /// Lists that are with nodes of a room for attempts of this node's runs.
    given: BTreeMap<AttemptId, Given>,
    /// Of attempts that are with nodes of a room: under which keys their results are kept.
    pub(super) keys: Keys,
    /// Grants that this node works on no more, and whose downloads still fill the directories of their attempts.
    leaving: BTreeSet<Granted>,
    /// Results of workers that wait for the list of their files, and how often it could not be had.
    listing: BTreeMap<Granted, Listing>,
    /// Lists of which this node knows that their files are those that the attempt was to leave.
    checked: HashSet<(AttemptId, BlobId)>,
    /// What was done while the database could not be written.
    kept: Vec<Done>,
    /// Uploads for which the queue of jobs had no place.
    waiting: VecDeque<Box<Job>>,
}

struct Listing {
    of: NodeDid,
    is_underway: bool,
    failures: u32,
    /// It waits until fewer lists of its worker are looked up.
    next: Option<Box<Job>>,
}

struct Given {
    fence: Fence,
    room: String,
    uploaded: Uploaded,
}

pub(super) struct Giving {
    pub(super) fence: Fence,
    pub(super) stop: Stop,
    pub(super) then: Then,
}

pub(super) enum Then {
    /// The attempt goes to this node of this room.
    Grant { room: String, node: NodeDid, grant: Box<Grant<RemoteSpec>> },
    /// It is started here.
    Start { session: SessionId },
    /// Its specification is completed, then it goes to a node of its room, or is started here.
    Complete { session: SessionId, node: Option<NodeDid> },
}

impl Underway {
    /// Whatever an earlier attempt of this number waits for, it waits no longer.
    pub(super) fn give(&mut self, attempt: AttemptId, giving: Giving) {
        if let Some(earlier) = self.giving.insert(attempt, giving) {
            earlier.stop.set();
        }
    }

    /// Whether the directory of an attempt is filled by the download of a grant that this node works on no more.
    pub(super) fn is_filling(&self, attempt: &AttemptId) -> bool {
        self.leaving.iter().any(|granted| granted.attempt == *attempt)
    }

    /// The download of a grant has ended. `holder`: the grant of its attempt that this node has now.
    fn download_ended(&mut self, granted: &Granted, holder: Option<&Granted>) -> Downloaded {
        if !self.leaving.remove(granted) {
            Downloaded::Files
        } else if self.is_filling(&granted.attempt) {
            Downloaded::Shared
        } else if holder.is_some_and(|holder| holder != granted) {
            Downloaded::HandedOver
        } else {
            Downloaded::Unneeded
        }
    }
}

/// What a download that has ended means for the directory of its attempt. Grants of one attempt have the same directory.
#[derive(Debug, PartialEq, Eq)]
enum Downloaded {
    /// It has the files of a grant that is still wanted, or they cannot be had.
    Files,
    /// The grant is over, and the download of another one still fills the directory.
    Shared,
    /// The grant is over, and a newer one has the directory for itself now.
    HandedOver,
    /// The directory is no longer needed.
    Unneeded,
}

/// Files of a task that this node has for a coordinator.
pub(super) enum Transfer {
    /// An earlier download still fills the directory: it begins when that has stopped.
    Waiting,
    /// They come: its session begins then.
    Download(Stop),
    /// They go, or its log: its result is told then.
    Upload(Upload),
}

/// What goes up of an attempt that has ended.
pub(super) struct Upload {
    report: Box<Report>,
    /// Stops the upload of its files; none: they are there, or there are none.
    files: Option<Stop>,
    log: LogUpload,
}

/// What is known of the upload of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogUpload {
    /// It is there, or there is none, or the result counts without it.
    Over,
    /// The result does not wait long for it.
    Underway,
    /// It failed while the files were on their way: it begins once more after them.
    Repeat,
}

impl Driver {
    /// Gives a grant that need not wait for files, nor for an earlier result. One that does is granted later.
    pub(super) fn give_files(
        &mut self,
        room: &str,
        node: &NodeDid,
        (grant, lookup): (Grant<RemoteSpec>, Option<Box<Lookup>>),
        now: TimestampMs,
    ) -> Option<Grant<RemoteSpec>> {
        let Granted { attempt, fence } = &grant.granted;
        let run = self.parts.machine.run(&attempt.run)?;
        let Some(index) = run.find(&attempt.task) else { return Some(grant) };
        let task = run.spec(index);
        let gifts = self.gifts(run, &task.needs);
        if gifts.is_empty() && task.inputs.is_empty() && lookup.is_none() {
            return Some(grant);
        }
        let globs = task.inputs.clone();
        if !run.may_use_submitter(index) && !globs.is_empty() {
            self.fail_giving(grant.granted, Undone::Task(format!("inputs: {IS_AWAY}")), now);
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
            lookup,
            stays,
            stop: stop.clone(),
        };
        let then = Then::Grant { room: room.to_owned(), node: node.clone(), grant: Box::new(grant) };
        // The other coordinators of the room hear that this one is there while it uploads.
        self.coordinate(room, granted.attempt.run);
        self.federation.files.give(granted.attempt.clone(), Giving { fence, stop, then });
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
        if run.facts().mode != ExecutionMode::Matrix {
            return false;
        }
        let mut gifts = self.gifts(run, &task.needs);
        // What stayed on this machine is in its place.
        gifts.retain(|gift| gift.uploaded.is_some());
        if gifts.is_empty() {
            return false;
        }
        let (stop, dir) = (Stop::default(), PathBuf::from(&run.facts().workdir));
        let granted = Granted { attempt: attempt.clone(), fence };
        let staging = format!("{STAGING}{session}");
        let job = Job::Place { granted, room, gifts, dir, staging, stop: stop.clone() };
        let carried = self.parts.link.carry(job);
        if carried {
            let giving = Giving { fence, stop, then: Then::Start { session } };
            self.federation.files.give(attempt.clone(), giving);
        } else {
            let (attempt, detail) = (attempt.clone(), NOT_NOW.to_owned());
            self.parts.worker.said.push(FromWorker::NotGiven { attempt, fence, detail });
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

    pub(super) fn fail_giving(&mut self, granted: Granted, why: Undone, now: TimestampMs) {
        let Granted { attempt, fence } = granted;
        let told = match why {
            Undone::Resources(detail) => FromWorker::NotGiven { attempt, fence, detail },
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
        held.transfer = Some(Transfer::Download(stop.clone()));
        let (granted, room) = (granted.clone(), held.room.clone());
        let job = Job::Take { granted: granted.clone(), room, uploaded, dir, staging, stop };
        if !self.parts.link.carry(job) {
            self.taken(granted, Err(Undone::Resources(NOT_NOW.to_owned())));
        }
    }

    fn taken(&mut self, granted: Granted, taken: Result<(), Undone>) {
        let holder = self.federation.held.get(&granted.attempt).map(|held| &held.granted);
        match self.federation.files.download_ended(&granted, holder) {
            Downloaded::Files => {}
            // The download that ends last hands it over, or gives it back.
            Downloaded::Shared => return,
            Downloaded::HandedOver => return self.begin_in_free_directory(&granted.attempt),
            Downloaded::Unneeded => {
                let dir = self.directory_of(&granted.attempt);
                return self.federation.directories.give_back(&self.parts.home.remote(), &dir);
            }
        }
        let Some(held) = self.federation.held.get_mut(&granted.attempt) else { return };
        if held.granted != granted || !matches!(held.transfer, Some(Transfer::Download(_))) {
            return;
        }
        held.transfer = None;
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

    /// Begins with a grant that waited until no earlier download put anything into its directory.
    fn begin_in_free_directory(&mut self, attempt: &AttemptId) {
        let held = self.federation.held.get_mut(attempt);
        if let Some(held) = held.filter(|held| matches!(held.transfer, Some(Transfer::Waiting))) {
            held.transfer = None;
            let granted = held.granted.clone();
            self.resume_held(&granted);
        }
    }

    /// The lease of an attempt goes on.
    pub(super) fn extend_held(&mut self, granted: &Granted, lease_end: BootMs) {
        let held = self.federation.held.get_mut(&granted.attempt);
        if let Some(held) = held.filter(|held| held.granted == *granted) {
            held.lease_end = lease_end;
        }
    }

    /// Ends the transfer of an attempt's files, unless what it left is to be kept. Says whether the attempt's end is told by the transfer, now or
    /// when it is done; otherwise its session is to be ended.
    pub(super) fn stop_files(&mut self, granted: &Granted, keep: bool, now: TimestampMs) -> bool {
        let held = self.federation.held.get_mut(&granted.attempt);
        let Some(held) = held.filter(|held| held.granted == *granted) else { return false };
        match &mut held.transfer {
            None => false,
            Some(Transfer::Waiting) => {
                held.transfer = None;
                self.cancelled_before_start(granted.clone(), now);
                true
            }
            Some(Transfer::Upload(upload)) => {
                match &upload.files {
                    Some(stop) if !keep => stop.set(),
                    Some(_) => return true,
                    None => {}
                }
                self.forgo_log(granted, now);
                true
            }
            Some(Transfer::Download(stop)) => {
                stop.set();
                // What is being fetched may be written into the directory for another moment.
                self.federation.files.leaving.insert(granted.clone());
                held.transfer = None;
                self.cancelled_before_start(granted.clone(), now);
                true
            }
        }
    }

    /// Whether the directory of an attempt that is forgotten is still being filled. It is removed later then.
    pub(super) fn is_being_filled(&mut self, attempt: &AttemptId, held: Option<Held>) -> bool {
        match held.map(|held| (held.transfer, held.granted)) {
            Some((Some(Transfer::Download(stop)), granted)) => {
                self.federation.files.leaving.insert(granted);
                stop.set();
            }
            Some((Some(Transfer::Upload(Upload { files: Some(stop), .. })), _)) => stop.set(),
            _ => {}
        }
        self.federation.files.is_filling(attempt)
    }

    /// Uploads what an attempt for a coordinator of a room left, and at the same time its log. Gives back a message that need not wait for that.
    pub(super) fn share(&mut self, message: FromWorker, now: TimestampMs) -> Option<FromWorker> {
        let FromWorker::Result { attempt, fence, report } = message else { return Some(message) };
        let log = self.log_to_share(&attempt, fence, &report);
        let has_files = !report.artifacts.is_empty() && report.files.is_none();
        let held = self.federation.held.get_mut(&attempt);
        let Some(held) = held.filter(|_| has_files || log.is_some()) else {
            return Some(FromWorker::Result { attempt, fence, report });
        };
        let (granted, room) = (held.granted.clone(), held.room.clone());
        let (stop, files) = (Stop::default(), report.artifacts.clone());
        let of_log = if log.is_some() { LogUpload::Underway } else { LogUpload::Over };
        let upload = Upload { report, files: has_files.then(|| stop.clone()), log: of_log };
        held.transfer = Some(Transfer::Upload(upload));
        if let Some(worker) = self.federation.worker(&room) {
            worker.shares(&granted);
        }
        if has_files {
            let job = Job::Share { granted, room: room.clone(), files, stop };
            // The task has done its work: what it left waits for as long as others go first.
            if let Err(job) = self.parts.link.try_carry(job) {
                self.federation.files.waiting.push_back(job);
            }
        }
        if let Some(log) = log {
            self.share_log(&room, log, now);
        }
        None
    }

    /// Lets files of an attempt for a coordinator of a room go up while they are read.
    pub(super) fn upload_ahead(&mut self, session: SessionId, room: String) {
        let ahead = UploadAhead::new(self.parts.link.clone(), Arc::clone(&self.parts.uploads), room);
        self.parts.worker.upload_ahead(session, ahead);
    }

    fn shared(&mut self, granted: &Granted, shared: Result<Uploaded, Undone>, now: TimestampMs) {
        let Some(upload) = self.upload_of(granted) else { return };
        if upload.files.take().is_none() {
            return;
        }
        match shared {
            Ok(uploaded) => upload.report.files = Some(uploaded),
            Err(why) => upload.report.outcome = outcome(why),
        }
        // The list tells of them.
        upload.report.artifacts.clear();
        let bytes = upload.report.log_bytes;
        if upload.log == LogUpload::Repeat {
            upload.log = LogUpload::Underway;
            if let Some(Held { room, session, .. }) = self.federation.held.get(&granted.attempt) {
                let (room, log) = (room.clone(), Ended::new(granted.clone(), *session, bytes));
                return self.share_log(&room, log, now);
            }
        }
        self.tell_uploaded(granted, now);
    }

    /// The log of an attempt is uploaded, or cannot be.
    pub(super) fn log_shared(&mut self, granted: &Granted, log: Option<UploadedLog>, now: TimestampMs) {
        let Some(upload) = self.upload_of(granted).filter(|upload| upload.log == LogUpload::Underway) else {
            return;
        };
        // The homeserver may not answer at the moment, and the files wait for it.
        let repeats = log.is_none() && upload.files.is_some();
        upload.log = if repeats { LogUpload::Repeat } else { LogUpload::Over };
        upload.report.log = log;
        self.tell_uploaded(granted, now);
    }

    /// Lets the result of an attempt count without its log. Says whether it was told with that.
    pub(super) fn forgo_log(&mut self, granted: &Granted, now: TimestampMs) -> bool {
        let Some(upload) = self.upload_of(granted) else { return false };
        upload.log = LogUpload::Over;
        self.tell_uploaded(granted, now)
    }

    fn upload_of(&mut self, granted: &Granted) -> Option<&mut Upload> {
        let held = self.federation.held.get_mut(&granted.attempt)?;
        match &mut held.transfer {
            Some(Transfer::Upload(upload)) if held.granted == *granted => Some(upload),
            _ => None,
        }
    }

    /// Tells the result of an attempt if nothing of it is on its way any more. Says whether it did.
    fn tell_uploaded(&mut self, granted: &Granted, now: TimestampMs) -> bool {
        let Some(held) = self.federation.held.get_mut(&granted.attempt) else { return false };
        match held.transfer.take() {
            Some(Transfer::Upload(Upload { report, files: None, log: LogUpload::Over })) => {
                let Granted { attempt, fence } = granted.clone();
                self.tell_held(FromWorker::Result { attempt, fence, report }, now);
                true
            }
            other => {
                held.transfer = other;
                false
            }
        }
    }

    /// A message of a worker, with the files that its result tells of. None: they are looked for first.
    pub(super) fn with_files(
        &mut self,
        room: &str,
        from: &NodeDid,
        message: Message<TaskPayload>,
        list: Option<&FileList>,
    ) -> Option<Message<TaskPayload>> {
        let Message::Result { granted, mut report } = message else { return Some(message) };
        // Whatever else it names is not checked, and not there.
        report.artifacts.clear();
        report.log = report.log.filter(UploadedLog::is_sound);
        let known = self.federation.rooms.get(room);
        if known.is_none_or(|room| room.coordinator.worker_of(&granted) != Some(from)) {
            return Some(Message::Result { granted, report });
        }
        if let (AttemptOutcome::SpawnError { .. }, Some(given)) =
            (&report.outcome, self.federation.files.given.remove(&granted.attempt))
        {
            // The homeserver may not have them any more: they go up again for the next attempt.
            self.parts.uploads.forget(&given.room, &given.uploaded);
        }
        let Some(uploaded) = report.files.clone() else { return Some(Message::Result { granted, report }) };
        let key = (granted.attempt.clone(), uploaded.sha256.clone());
        let cached = if self.federation.files.checked.contains(&key) {
            self.parts.uploads.list(room, &uploaded)
        } else {
            None
        };
        if let Some(list) = list.or(cached.as_deref()) {
            report.artifacts.clone_from(&list.files);
            return Some(Message::Result { granted, report });
        }
        let Some(run) = self.parts.machine.run(&granted.attempt.run) else {
            // Nothing can be recorded of it.
            return Some(Message::Result { granted, report });
        };
        // It is repeated until it is recorded.
        let listing = &mut self.federation.files.listing;
        let known = listing.entry(granted.clone());
        let known = known.or_insert_with(|| Listing {
            of: from.clone(),
            is_underway: false,
            failures: 0,
            next: None,
        });
        if !known.is_underway {
            let globs = artifacts_of(run, &granted.attempt, &self.parts.home, &self.parts.blobs);
            let message = Box::new(Message::Result { granted: granted.clone(), report });
            let job = Job::List { room: room.to_owned(), from: from.clone(), message, uploaded, globs };
            known.next = Some(Box::new(job));
        }
        self.list_next(from);
        None
    }

    /// Looks up the next lists of a worker. One that has no place is looked up later, or when its result is repeated.
    fn list_next(&mut self, of: &NodeDid) {
        let listing = &mut self.federation.files.listing;
        let mut free = LISTS_OF_ONE_MAX
            - listing.values().filter(|one| one.is_underway && one.of == *of).count().min(LISTS_OF_ONE_MAX);
        for one in listing.values_mut().filter(|one| one.of == *of && !one.is_underway) {
            let Some(job) = one.next.take_if(|_| free > 0) else { continue };
            match self.parts.link.try_carry(*job) {
                Ok(()) => (one.is_underway, free) = (true, free - 1),
                Err(job) => return one.next = Some(job),
            }
        }
    }

    /// Uploads what waits for that.
    pub(super) fn carry_waiting(&mut self) {
        while let Some(job) = self.federation.files.waiting.pop_front() {
            if let Err(job) = self.parts.link.try_carry(*job) {
                return self.federation.files.waiting.push_front(job);
            }
        }
    }

    /// Something about files was done.
    pub(in crate::driver) fn files_done(&mut self, done: Done, now: TimestampMs) {
        match done {
            Done::Given(granted, given) => self.given(granted, given, now),
            Done::LogsFetched(granted, done) | Done::Placed(granted, done) => {
                self.given(granted, done.map(|()| Prepared::Files(None, None)), now);
            }
            Done::Taken(granted, taken) => self.taken(granted, taken),
            Done::Shared(granted, shared) => self.shared(&granted, shared, now),
            Done::Logged { room, run, logs } => self.logged(&room, run, logs, now),
            Done::Hidden { run, is_done } => self.secrets_hidden(run, is_done),
            Done::Listed { room, from, message, list } => self.listed(&room, &from, *message, list, now),
        }
    }

    fn listed(
        &mut self,
        room: &str,
        from: &NodeDid,
        message: Message<TaskPayload>,
        list: Result<Arc<FileList>, Undone>,
        now: TimestampMs,
    ) {
        let Message::Result { granted, mut report } = message else { return };
        self.let_go_of_ended();
        let files = &mut self.federation.files;
        if let Some(listing) = files.listing.get_mut(&granted) {
            listing.is_underway = false;
        }
        self.list_next(from);
        let files = &mut self.federation.files;
        let Some(listing) = files.listing.get_mut(&granted) else { return };
        let list = match list {
            Ok(list) => {
                if files.checked.len() >= CHECKED_MAX {
                    files.checked.clear();
                }
                let sha256 = report.files.as_ref().map(|uploaded| uploaded.sha256.clone());
                files.checked.extend(sha256.map(|sha256| (granted.attempt.clone(), sha256)));
                Some(list)
            }
            // Its worker has the result for as long as it is not recorded, and says it again.
            Err(Undone::Passing(why) | Undone::Resources(why)) if listing.failures < LIST_TRIES_MAX => {
                listing.failures += 1;
                return tracing::debug!(attempt = %granted.attempt, why, "a list of files cannot be had yet");
            }
            Err(why) => {
                report.outcome = outcome(why);
                report.files = None;
                None
            }
        };
        self.federation.files.listing.remove(&granted);
        self.federated_with(room, from, Message::Result { granted, report }, list.as_deref(), now);
    }

    fn given(&mut self, granted: Granted, given: Result<Prepared, Undone>, now: TimestampMs) {
        self.let_go_of_ended();
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
            (Ok(_), Then::Complete { session, node: Some(node) }) => {
                self.grant_in_room(granted.attempt, session, fence, node, now);
            }
            (Ok(_), Then::Complete { session, node: None }) => {
                if !self.place_files(&granted.attempt, session, fence) {
                    self.grant(granted.attempt, session, fence, now);
                }
            }
            (Ok(Prepared::Cached(cached)), Then::Grant { .. }) => self.end_cached(granted, *cached, now),
            (Ok(Prepared::Files(files, key)), Then::Grant { room, node, mut grant }) => {
                if let Some(key) = key {
                    self.federation.files.keys.note(&granted, key);
                }
                if let Some(uploaded) = files.clone() {
                    let given = Given { fence, room: room.clone(), uploaded };
                    self.federation.files.given.insert(granted.attempt.clone(), given);
                }
                grant.spec.files = files;
                self.coordinate(&room, granted.attempt.run);
                self.give_to(&room, node, *grant, now);
            }
        }
    }

    /// Attempts that wait for files, and are over by something else: another one of their tasks may be at work.
    pub(in crate::driver) fn let_go_of_ended(&mut self) {
        let machine = &self.parts.machine;
        let lives = |attempt: &AttemptId, fence| {
            let task = machine.run(&attempt.run).and_then(|run| run.task(&attempt.task));
            let live = task.and_then(|(_, entry)| entry.live.as_ref());
            live.is_some_and(|live| (live.attempt, live.fence) == (attempt.number, fence))
        };
        let files = &mut self.federation.files;
        for (_, giving) in files.giving.extract_if(.., |attempt, giving| !lives(attempt, giving.fence)) {
            giving.stop.set();
        }
        files.given.retain(|attempt, given| lives(attempt, given.fence));
        files.keys.retain(lives);
        files.listing.retain(|granted, _| lives(&granted.attempt, granted.fence));
    }

    /// What tasks left that one needs, and the items of those.
    fn gifts(&self, run: &Run, needs: &[TaskId]) -> Vec<Gift> {
        let mut gifts = Vec::new();
        for need in needs {
            let Some((_, entry)) = run.task(need) else { continue };
            let items = run.items(need).unwrap_or_default();
            let items = items.iter().map(|item| (run.spec(*item).id.clone(), run.entry(*item)));
            for (task, entry) in std::iter::once((need.clone(), entry)).chain(items) {
                let files: Vec<ArtifactRecord> = entry.artifacts().to_vec();
                if files.is_empty() {
                    continue;
                }
                let attempt = AttemptId { run: run.id(), task, number: entry.attempts };
                // Where it stays here, another node has nothing of it.
                let is_from_here = run.facts().read_back.is_some()
                    && run.find(need).is_some_and(|need| run.stays_home(need));
                let uploaded = entry.files().filter(|_| !is_from_here).cloned();
                let is_to_be_checked = uploaded.as_ref().is_some_and(|uploaded| {
                    !self.federation.files.checked.contains(&(attempt.clone(), uploaded.sha256.clone()))
                });
                let globs = is_to_be_checked
                    .then(|| artifacts_of(run, &attempt, &self.parts.home, &self.parts.blobs));
                gifts.push(Gift { files, uploaded, globs });
            }
        }
        gifts
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

fn outcome(why: Undone) -> AttemptOutcome {
    match why {
        Undone::Stopped => AttemptOutcome::Cancelled,
        Undone::Task(detail) => AttemptOutcome::Failed { cause: FailureCause::Input { detail } },
        Undone::Resources(detail) | Undone::Passing(detail) | Undone::Other(detail) => {
            AttemptOutcome::SpawnError { detail }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::ids::RunId;

    #[test]
    fn the_end_of_an_older_download_leaves_the_directory_to_the_newer_grant() {
        let granted = |fence| {
            let (run, task) = (RunId::from_parts(1, 1), TaskId::new("a").unwrap());
            Granted { attempt: AttemptId { run, task, number: 1 }, fence }
        };
        let (old, new, newest) = (granted(1), granted(2), granted(3));
        let mut underway = Underway::default();
        underway.leaving.insert(old.clone());
        assert!(underway.is_filling(&new.attempt), "the new grant waits");
        assert_eq!(underway.download_ended(&new, Some(&new)), Downloaded::Files, "the new grant is wanted");
        assert_eq!(underway.download_ended(&old, Some(&new)), Downloaded::HandedOver, "it begins");
        assert!(!underway.is_filling(&new.attempt));
        // It waits for all of them.
        underway.leaving.extend([old.clone(), new.clone()]);
        assert_eq!(underway.download_ended(&new, Some(&newest)), Downloaded::Shared);
        assert_eq!(underway.download_ended(&old, Some(&newest)), Downloaded::HandedOver);
        // The download that ends last gives the directory back.
        underway.leaving.extend([old.clone(), new.clone()]);
        assert_eq!(underway.download_ended(&new, None), Downloaded::Shared);
        assert_eq!(underway.download_ended(&old, None), Downloaded::Unneeded);
        // It was cancelled, and its end is not acknowledged yet.
        underway.leaving.insert(new.clone());
        assert_eq!(underway.download_ended(&new, Some(&new)), Downloaded::Unneeded);
    }
}
