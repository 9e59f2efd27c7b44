//! What follows for the own worker: the worker's half, and sessions that run for other nodes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::{Driver, facts};
use super::Held;
use super::files::Transfer;
use crate::account::boot_ms;
use cis_core::api::{FromWorker, Program, Refusal, Report, TaskSpec, ToWorker, Worker as _};
use cis_core::event::{AttemptOutcome, SessionState};
use cis_core::federation::direct::{Progress, RemoteSpec, TaskPayload};
use cis_core::federation::private::PrivateSpec;
use cis_core::federation::protocol::message::{Grant, Granted, Message};
use cis_core::federation::protocol::worker::{Change, Effect, Remembered, WorkerHalf};
use cis_core::federation::protocol::{BootMs, Settings};
use cis_core::identity::Standing;
use cis_core::ids::{AttemptId, SessionId, TimestampMs};
use cis_host::protocol::{AtDeadline, Lease, ToHost};

impl Driver {
    /// What follows for the own worker.
    pub(super) fn work(&mut self, room: &str, effects: Vec<Effect<TaskPayload>>, now: TimestampMs) {
        for effect in effects {
            match effect {
                // A coordinator with a revoked key gets no messages.
                Effect::Send { to, .. } if self.parts.members.standing(room, &to) == Standing::Revoked => {}
                // Sessions wait for their turn, so that more will have ended in a moment.
                Effect::Send {
                    to,
                    message: message @ (Message::Claimed { .. } | Message::Result { .. }),
                } if to != self.parts.did && self.has_queue(room) => {
                    self.parts.link.send_batched(room, to, message);
                }
                // It would be numbered like something else if this node died before it is durable.
                Effect::Send { to, message } if matches!(message, Message::Progress { .. }) => {
                    self.send_durable(room, to, message, now);
                }
                Effect::Send { to, message } => self.send(room, to, message, now),
                Effect::Start { grant, lease_end } => self.start_for(room, grant, lease_end, now),
                Effect::Freeze(granted) if self.give_back_awaiting(&granted) => {}
                Effect::Freeze(granted) => {
                    if let Some(session) = self.session_held(&granted) {
                        self.parts.worker.to_host.push(ToHost::Freeze { session });
                    }
                }
                Effect::Extend { granted, lease_end } => {
                    self.extend_held(&granted, lease_end);
                    if self.resumes(&granted) {
                        self.resume_held(&granted);
                    } else if let Some(session) = self.session_held(&granted) {
                        self.parts.worker.to_host.push(freeze_at(session, lease_end, lost_keep_ms()));
                        self.parts.worker.to_host.push(ToHost::Thaw { session });
                    }
                }
                Effect::Cancel { granted, .. } | Effect::Kill(granted) if self.resumes(&granted) => {
                    self.cancelled_before_start(granted, now);
                }
                Effect::Cancel { granted, .. } | Effect::Kill(granted)
                    if self.stop_awaiting(&granted, now) => {}
                Effect::Cancel { granted, keep, .. } if self.stop_files(&granted, keep, now) => {}
                Effect::Kill(granted) if self.stop_files(&granted, false, now) => {}
                Effect::Cancel { granted, grace_ms, keep } => {
                    if keep && let Some(worker) = self.federation.worker(room) {
                        worker.handed_in(&granted, cis_local::now_ms());
                    }
                    let Granted { attempt, fence } = granted;
                    self.parts.worker.tell(ToWorker::Cancel { attempt, fence, grace_ms, keep });
                }
                Effect::Kill(Granted { attempt, fence }) => {
                    self.parts.worker.tell(ToWorker::Cancel { attempt, fence, grace_ms: 0, keep: false });
                }
                Effect::Drop(Granted { attempt, fence }) => {
                    let held = self.federation.held.remove(&attempt);
                    self.remove_secrets_of(&attempt);
                    let dir = self.directory_of(&attempt);
                    self.parts.worker.tell(ToWorker::Ack { attempt: attempt.clone(), fence });
                    if !self.is_being_filled(&attempt, held) {
                        self.federation.directories.give_back(&self.parts.home.remote(), &dir);
                    }
                }
            }
        }
        self.remember(room);
    }

    /// Keeps what changed of the tasks that this node has, for its next life.
    fn remember(&mut self, room: &str) {
        let changes = self.federation.worker(room).map(WorkerHalf::take_changes).unwrap_or_default();
        for change in changes {
            match change {
                Change::Keep(remembered) => {
                    let Some(held) = self.federation.held.get(&remembered.granted.attempt) else { continue };
                    let AttemptId { run, task, .. } = remembered.granted.attempt.clone();
                    let (spec, begun) = (held.spec.clone(), held.begun);
                    let kept = Kept { room: room.to_owned(), remembered: *remembered, spec, begun };
                    match serde_json::to_string(&kept) {
                        Ok(text) => self.turn.hold(run, task, Some(text)),
                        Err(error) => tracing::error!(%run, %task, %error, "a task is not kept"),
                    }
                }
                Change::Forget(run, task) => self.turn.hold(run, task, None),
            }
        }
    }

    /// Takes back what an earlier life of this node had of tasks of others.
    pub(in crate::driver) fn recall_held(&mut self, now: TimestampMs) {
        let held = match self.parts.readers.get().and_then(|reader| reader.held()) {
            Ok(held) => held,
            Err(error) => {
                self.federation.directories.keep_all();
                return tracing::error!(%error, "tasks of other nodes are lost");
            }
        };
        for text in held {
            let Ok(Kept { room, remembered, spec, begun }) = serde_json::from_str(&text) else {
                tracing::error!("a task of another node is lost: a later version kept it");
                self.federation.directories.keep_all();
                continue;
            };
            let (granted, session) = (remembered.granted.clone(), remembered.session);
            // Its coordinator may be in another room than the one for which this life of the node works, or the node has another role now.
            // Who takes the run over asks it nevertheless, as long as it may have something.
            if self.federation.worker(&room).is_none() {
                self.parts.link.has_tasks(&room);
            }
            self.serve_room(&room);
            let heartbeat_ms = self.parts.heartbeat_ms;
            self.federation.room(&room).work(heartbeat_ms, now).restore(remembered, boot_ms());
            if self.federation.worker(&room).is_some_and(|worker| !worker.has_ended(&granted)) {
                self.recall_asks(&room, &granted, session, now);
            }
            let (lease_end, transfer, awaits) = (boot_ms(), None, None);
            let (resumes, recalled) = (false, false);
            let held =
                Held { room, granted, session, spec, begun, resumes, lease_end, transfer, awaits, recalled };
            self.federation.held.insert(held.granted.attempt.clone(), held);
        }
    }

    /// Removes directories of tasks that an earlier life of this node had, and this one does not.
    pub(super) fn tidy_directories(&mut self) {
        let kept = self.federation.held.keys().map(|attempt| self.directory_of(attempt)).collect();
        self.federation.directories.tidy(&self.parts.home.remote(), &kept);
    }

    /// Settles what became of sessions of other nodes' tasks while this node did not run.
    pub(in crate::driver) fn settle_held(&mut self, now: TimestampMs) {
        let held: Vec<(String, Granted, SessionId)> = self
            .federation
            .held
            .values()
            .map(|held| (held.room.clone(), held.granted.clone(), held.session))
            .collect();
        for (room, granted, session) in held {
            let there = self.unread.sessions.remove(&session);
            let is_over = self.federation.worker(&room).is_some_and(|worker| worker.has_ended(&granted));
            match there {
                Some(there) if is_over => {
                    let exited = there.exit.is_some();
                    self.tell_host(&if exited {
                        ToHost::AckExit { session }
                    } else {
                        ToHost::Kill { session, grace_ms: None }
                    });
                }
                Some(there) => {
                    let Some(held) = self.federation.held.get(&granted.attempt) else { continue };
                    let slots = self.slots_for(held.spec.slots);
                    // Its session runs: where its specification cannot be opened any more, what everybody may know is enough.
                    let private = self.private_spec(&held.spec, &granted, session);
                    let spec = private.map_or_else(|_| (*held.spec.spec).clone(), |private| private.spec);
                    let spec = self.own_of(&granted.attempt, spec);
                    let Granted { attempt, fence } = &granted;
                    self.parts.worker.adopt(attempt, session, *fence, slots, spec, &there);
                    self.upload_ahead(session, room.clone());
                    self.recall_news(&room, &granted, session, now);
                    if let Some((grace_ms, keep)) = self.end_of_held(&room, &granted) {
                        let (attempt, fence) = (attempt.clone(), *fence);
                        let worker = self.federation.worker(&room).filter(|_| keep);
                        if let Some(at_ms) = worker.and_then(|worker| worker.handed_in_ms(&granted)) {
                            self.parts.worker.was_handed_in(session, at_ms);
                        }
                        self.parts.worker.tell(ToWorker::Cancel { attempt, fence, grace_ms, keep });
                    }
                    if let Some(exit) = there.exit {
                        self.session_exited(session, &exit);
                    }
                }
                None if is_over => {}
                None if self.never_began(&granted) => self.resume_with_lease(&room, &granted, now),
                None => self.held_lost(&room, &granted, now),
            }
        }
    }

    /// An earlier life of this node began no session of it: its files were on their way, or it waited for the room.
    fn never_began(&self, granted: &Granted) -> bool {
        let held = self.federation.held.get(&granted.attempt);
        held.is_some_and(|held| held.begun == Some(false) && held.transfer.is_none() && held.awaits.is_none())
    }

    /// Begins anew with such a task as soon as its coordinator gives it a lease.
    fn resume_with_lease(&mut self, room: &str, granted: &Granted, now: TimestampMs) {
        let Some(worker) = self.federation.worker(room) else { return };
        if worker.is_void(granted) {
            return self.cancelled_before_start(granted.clone(), now);
        }
        worker.needs_lease(granted, boot_ms());
        if let Some(held) = self.federation.held.get_mut(&granted.attempt) {
            held.resumes = true;
        }
    }

    fn resumes(&self, granted: &Granted) -> bool {
        let held = self.federation.held.get(&granted.attempt);
        held.is_some_and(|held| held.resumes && held.granted == *granted)
    }

    /// Begins anew, in an empty directory, with a task that has waited, if the policy and the state of this node still allow that.
    pub(super) fn resume_held(&mut self, granted: &Granted) {
        let Granted { attempt, fence } = granted.clone();
        let Some(held) = self.federation.held.get_mut(&attempt) else { return };
        held.resumes = false;
        let (files, spec) = (held.spec.files.clone(), held.spec.spec.clone());
        let dir = self.directory_of(&attempt);
        self.federation.directories.give_back(&self.parts.home.remote(), &dir);
        let forbidden = self.forbidden_held(&attempt).map(|detail| Refusal::Policy { detail });
        let refusal = forbidden.or_else(|| self.refusal(&attempt, &spec));
        let made = if refusal.is_none() { self.federation.directories.make(&dir) } else { Ok(()) };
        if let Some(reason) = refusal.or_else(|| made.err().map(|error| unmade(&dir, &error))) {
            return self.parts.worker.said.push(FromWorker::Refused { attempt, fence, reason });
        }
        match files {
            Some(uploaded) => self.take_files(granted, uploaded, dir),
            None => self.begin_held(&attempt),
        }
    }

    /// How the session of a grant was being ended in an earlier life of this node: ms between SIGTERM and SIGKILL, and whether what it leaves
    /// is wanted.
    fn end_of_held(&mut self, room: &str, granted: &Granted) -> Option<(u64, bool)> {
        let worker = self.federation.worker(room)?;
        if worker.is_void(granted) {
            return Some((0, false));
        }
        worker.hand_in_grace_ms(granted, boot_ms()).map(|grace_ms| (grace_ms, true))
    }

    /// Starts a task of another coordinator in an empty directory.
    fn start_for(&mut self, room: &str, grant: Grant<RemoteSpec>, lease_end: BootMs, now: TimestampMs) {
        let Grant { granted, session, spec: remote } = grant;
        let Granted { attempt, fence } = granted.clone();
        let dir = self.directory_of(&attempt);
        let (slots, files) = (self.slots_for(remote.slots), remote.files.clone());
        let queued = self.federation.ahead().map(|ahead| ahead.run).filter(|run| *run != attempt.run);
        let refusal = match self.private_spec(&remote, &granted, session) {
            Ok(private) => self
                .refusal_of_room(room, &granted, remote.tags.as_deref(), &private, now)
                .or_else(|| self.refusal_of_queue(room, &granted, slots)),
            Err(refusal) => Some(refusal),
        };
        let waits = refusal.is_none() && self.federation.files.is_filling(&attempt);
        let makes = refusal.is_none() && !waits;
        let made = if makes { self.federation.directories.make(&dir) } else { Ok(()) };
        let held = Held {
            room: room.to_owned(),
            granted: granted.clone(),
            session,
            spec: Box::new(remote),
            begun: Some(false),
            resumes: false,
            lease_end,
            transfer: waits.then_some(Transfer::Waiting),
            awaits: None,
            recalled: true,
        };
        self.federation.held.insert(attempt.clone(), held);
        if let Some(run) = queued {
            // Both runs are to get the slots.
            self.parts.worker.withdraw(run);
            self.offer_changed();
        }
        if let Some(reason) = refusal.or_else(|| made.err().map(|error| unmade(&dir, &error))) {
            self.parts.worker.said.push(FromWorker::Refused { attempt, fence, reason });
            return;
        }
        match files {
            // A refusal would keep all tasks of its coordinator from this node.
            _ if waits => {}
            Some(uploaded) => self.take_files(&granted, uploaded, dir),
            None => self.begin_held(&attempt),
        }
    }

    /// An attempt ends as cancelled, as its session has not begun.
    pub(super) fn cancelled_before_start(&mut self, granted: Granted, now: TimestampMs) {
        let Granted { attempt, fence } = granted;
        let report = Box::new(Report::bare(AttemptOutcome::Cancelled, None, now));
        self.parts.worker.said.push(FromWorker::Result { attempt, fence, report });
    }

    /// Starts the session of a task whose directory is as it is to be, unless it waits for the room.
    pub(super) fn begin_held(&mut self, attempt: &AttemptId) {
        if !self.waits_for_room(attempt) {
            self.begin_session(attempt);
        }
    }

    /// Starts the session of a task that waits for nothing any more, if the policy and the state of this node still allow that.
    pub(super) fn begin_session(&mut self, attempt: &AttemptId) {
        let Some(held) = self.federation.held.get(attempt) else { return };
        let (session, granted, lease_end) = (held.session, held.granted.clone(), held.lease_end);
        let (slots, room, tags) =
            (self.slots_for(held.spec.slots), held.room.clone(), held.spec.tags.clone());
        let fence = granted.fence;
        let opened = if self.host.pid().is_some() {
            self.private_spec(&held.spec, &granted, session)
        } else {
            let detail = "the session host of the node does not run".to_owned();
            Err(Refusal::Resources { detail })
        };
        // Both may have changed while it waited.
        let checked = opened.and_then(|private| {
            let now = cis_local::now_ms();
            let refusal = self.refusal_of_room(&room, &granted, tags.as_deref(), &private, now);
            refusal.map_or(Ok(private), Err)
        });
        let PrivateSpec { spec, secrets } = match checked {
            Ok(private) => private,
            Err(reason) => {
                let attempt = attempt.clone();
                return self.parts.worker.said.push(FromWorker::Refused { attempt, fence, reason });
            }
        };
        let spec = self.own_of(attempt, spec);
        let secrets = self.own_variables(&spec, secrets);
        if let Some(held) = self.federation.held.get_mut(attempt) {
            held.begun = Some(true);
        }
        if let Some(worker) = self.federation.worker(&room) {
            worker.remember_again(&granted);
        }
        self.remember(&room);
        self.learn_secrets_of(attempt.run);
        self.parts.worker.grant_for_room((attempt, fence), session, slots, spec, secrets, lease(lease_end));
        self.upload_ahead(session, room);
        // Hosts of an earlier version do not know of the lease of a start.
        self.parts.worker.to_host.push(freeze_at(session, lease_end, lost_keep_ms()));
    }

    /// How many sessions of a run that may have `slots` run here at a time.
    fn slots_for(&self, slots: u32) -> u32 {
        slots.min(self.parts.config.settings.federation.slots).max(1)
    }

    /// Why this node does not start a task of a room, by its policy or by its state.
    fn refusal_of_room(
        &mut self,
        room: &str,
        granted: &Granted,
        tags: Option<&[String]>,
        private: &PrivateSpec,
        now: TimestampMs,
    ) -> Option<Refusal> {
        let forbidden = self.forbidden(room, granted, tags, private, now);
        let forbidden = forbidden.map(|detail| Refusal::Policy { detail });
        forbidden.or_else(|| self.refusal(&granted.attempt, &private.spec))
    }

    /// Why this node does not start a task, whatever it offered.
    fn refusal(&self, attempt: &AttemptId, spec: &TaskSpec) -> Option<Refusal> {
        if self.parts.machine.is_paused() {
            return Some(Refusal::Resources { detail: "the node is paused".to_owned() });
        }
        // The offer of the other one may have come later than that of this node, and says otherwise.
        if self.federation.twin_in.is_some() {
            return Some(Refusal::Resources { detail: "another node uses the key of this one".to_owned() });
        }
        let Program::Agent { agent, .. } = &spec.program else { return None };
        let is_own = self.parts.machine.run(&attempt.run).is_some();
        (!is_own && !self.lends_agent(agent)).then(|| Refusal::Policy {
            detail: format!("`federation.agents` of the node does not name agent `{agent}`"),
        })
    }

    /// Whatever a coordinator says: a task gets nothing of this node's files, environments and secrets.
    fn own_of(&self, attempt: &AttemptId, mut spec: TaskSpec) -> TaskSpec {
        (spec.base_env, spec.umask, spec.cache) = (None, None, None);
        (spec.secrets, spec.run_secrets) = (BTreeMap::new(), Vec::new());
        spec.inputs = BTreeMap::new();
        // Only the agent itself gets what its profile adds to the environment, and no task changes that.
        let env = std::mem::take(&mut spec.env);
        spec.env = self.own_variables(&spec, env);
        spec.cwd = self.directory_of(attempt).display().to_string();
        spec
    }

    /// The variables that a coordinator may set for a task.
    fn own_variables(
        &self,
        spec: &TaskSpec,
        mut variables: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let agent = spec.profile.as_ref().and_then(|name| self.parts.config.settings.agents.get(name));
        if let Some(agent) = agent {
            variables.retain(|variable, _| variable != "PATH" && !agent.env.contains_key(variable));
        }
        variables
    }

    fn session_held(&self, granted: &Granted) -> Option<SessionId> {
        let held = self.federation.held.get(&granted.attempt)?;
        (held.granted == *granted).then_some(held.session)
    }

    pub(super) fn directory_of(&self, attempt: &AttemptId) -> PathBuf {
        let AttemptId { run, task, number } = attempt;
        self.parts.home.remote().join(run.to_string()).join(format!("{task}-{number}"))
    }

    /// Tells the coordinator of another's attempt what the own worker says of it. Gives back what is about the own runs.
    pub(in crate::driver) fn tell_coordinator(
        &mut self,
        message: FromWorker,
        now: TimestampMs,
    ) -> Option<FromWorker> {
        let message = self.share(message, now)?;
        self.tell_held(message, now)
    }

    /// Tells the coordinator of another's attempt what the own worker says of it, after all uploads. Gives back what is about the own runs.
    pub(super) fn tell_held(&mut self, mut message: FromWorker, now: TimestampMs) -> Option<FromWorker> {
        if matches!(message, FromWorker::Result { .. }) {
            self.shortage_may_end();
        }
        let attempt = match &message {
            FromWorker::Claimed { attempt, .. }
            | FromWorker::Refused { attempt, .. }
            | FromWorker::Session { attempt, .. }
            | FromWorker::Child { attempt, .. }
            | FromWorker::Result { attempt, .. } => attempt,
            FromWorker::Ahead { .. } | FromWorker::NotGiven { .. } => return Some(message),
        };
        let Some(Held { room, granted, .. }) = self.federation.held.get(attempt) else {
            return Some(message);
        };
        let (room, granted, boot) = (room.clone(), granted.clone(), boot_ms());
        if let FromWorker::Result { report, .. } = &mut message {
            let slots = self.slots_for(u32::MAX);
            if self.federation.queue_ended(granted.attempt.run, report, slots) {
                self.offer_changed();
            }
            self.seal_outputs(&room, &granted, report);
        }
        let mut out = Vec::new();
        let worker = self.federation.worker(&room)?;
        match message {
            FromWorker::Session { state: SessionState::Exited, .. } => {
                worker.progress(&granted, Progress::Collecting {}, boot, &mut out);
            }
            FromWorker::Session { .. } => {
                worker.progress(&granted, Progress::Started { at_ms: now }, boot, &mut out);
            }
            FromWorker::Result { report, .. } => worker.ended(&granted, *report, boot, &mut out),
            FromWorker::Refused { reason, .. } => {
                let is_short = matches!(reason, Refusal::Resources { .. });
                worker.refused(&granted, reason, boot, &mut out);
                let held = self.federation.held.remove(&granted.attempt);
                self.remove_unused_secrets_of(&granted.attempt);
                if !self.is_being_filled(&granted.attempt, held) {
                    let dir = self.directory_of(&granted.attempt);
                    self.federation.directories.give_back(&self.parts.home.remote(), &dir);
                }
                // After what came of its files is gone.
                if is_short {
                    self.shortage_begins();
                }
            }
            FromWorker::Claimed { .. }
            | FromWorker::Child { .. }
            | FromWorker::Ahead { .. }
            | FromWorker::NotGiven { .. } => {}
        }
        self.work(&room, out, now);
        None
    }

    fn held_lost(&mut self, room: &str, granted: &Granted, now: TimestampMs) {
        if let Some(session) = self.session_held(granted) {
            self.parts.shared.held_asks.forget(session);
        }
        // It has ended, and its result waits for its log.
        if self.forgo_log(granted, now) {
            return;
        }
        // Its session has not begun, or has ended, and what it left is in the blobs.
        if self
            .federation
            .held
            .get(&granted.attempt)
            .is_some_and(|held| held.transfer.is_some() || held.awaits.is_some())
        {
            return;
        }
        let report = Report::bare(AttemptOutcome::Lost { detail: facts::HOST_ENDED.to_owned() }, None, now);
        let mut out = Vec::new();
        if let Some(worker) = self.federation.worker(room).filter(|worker| !worker.has_ended(granted)) {
            worker.ended(granted, report, boot_ms(), &mut out);
        }
        self.work(room, out, now);
    }
}

fn unmade(dir: &Path, error: &std::io::Error) -> Refusal {
    Refusal::Resources { detail: format!("cannot make the directory {}: {error}", dir.display()) }
}

/// What the store keeps of a task that this node has for a coordinator of a room.
#[derive(Serialize, Deserialize)]
struct Kept {
    room: String,
    remembered: Remembered<TaskPayload>,
    spec: Box<RemoteSpec>,
    /// Whether its session was begun. Earlier versions did not write it.
    #[serde(default)]
    begun: Option<bool>,
}

/// The session host freezes a session whose lease is over by itself: this node may be dead then.
pub(super) fn freeze_at(session: SessionId, until: BootMs, keep_ms: Option<u64>) -> ToHost {
    // Hosts of an earlier version know only this one.
    let after_ms = Some(ms(until.saturating_sub(boot_ms())));
    ToHost::Deadline { session, after_ms, action: AtDeadline::Freeze, keep_ms, until_ms: Some(ms(until)) }
}

fn lease(until: BootMs) -> Lease {
    Lease { until_ms: ms(until), keep_ms: lost_keep_ms() }
}

/// For this time a session whose lease is over stays frozen, ms.
fn lost_keep_ms() -> Option<u64> {
    Some(ms(Settings::default().lost_keep_ms))
}

fn ms(time: BootMs) -> u64 {
    u64::try_from(time).unwrap_or(0)
}
