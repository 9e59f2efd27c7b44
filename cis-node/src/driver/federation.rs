//! This node's part in the runs of rooms: what it coordinates there, and what it works on for others.
//!
//! Owns the two halves of the protocol for each room, and translates: the coordinator's half and the scheduler, the
//! worker's half and the own worker. Messages of a node to itself take no way around.
//!
//! What a worker holds for others is not kept across a restart of its node: its sessions end, and the tasks run again.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rustix::time::{ClockId, clock_gettime};

use super::Driver;
use super::spec::{Moment, complete, slots};
use cis_core::api::{FromWorker, Refusal, Report, ToWorker, Worker as _};
use cis_core::event::{AttemptOutcome, ExecutionMode, FailureCause, GrantRecord, SessionState};
use cis_core::federation::direct::{Progress, RemoteSpec, TaskPayload};
use cis_core::federation::protocol::coordinator::{CoordinatorHalf, Effect as Lead, KnownGrant};
use cis_core::federation::protocol::message::{Grant, Granted, HeldRecord, Message};
use cis_core::federation::protocol::worker::{Effect as Work, WorkerHalf};
use cis_core::federation::protocol::{BootMs, Settings};
use cis_core::identity::Right;
use cis_core::ids::{AttemptId, Fence, NodeDid, RunId, SessionId, TimestampMs};
use cis_core::scheduler::placement::NodeOffer;
use cis_core::scheduler::{Input, InputKind};
use cis_host::protocol::{AtDeadline, ToHost};

/// A specification that is larger does not go into a message, bytes of JSON.
const SPEC_BYTES_MAX: usize = 50_000;

/// The load of the machine is read so often at most, ms.
const LOAD_PAUSE_MS: i64 = 5_000;

/// See the module.
#[derive(Default)]
pub(super) struct Federation {
    rooms: BTreeMap<String, Room>,
    /// Attempts that the own worker has for a coordinator of a room.
    held: BTreeMap<AttemptId, Held>,
    load: Option<(BootMs, u32)>,
}

struct Room {
    coordinator: CoordinatorHalf<TaskPayload>,
    /// Where this node works on tasks of the room.
    worker: Option<WorkerHalf<TaskPayload>>,
}

struct Held {
    room: String,
    granted: Granted,
    session: SessionId,
}

impl Room {
    fn new() -> Self {
        // Runs are not taken over yet: whoever submitted a run coordinates it to its end.
        Self { coordinator: CoordinatorHalf::new(Settings::default(), true), worker: None }
    }
}

impl Federation {
    /// When something is due, on the clock of the node.
    pub(super) fn poll_timeout(&self, now: TimestampMs) -> Option<TimestampMs> {
        let due = self.rooms.values().flat_map(|room| {
            let worker = room.worker.as_ref().and_then(WorkerHalf::poll_timeout);
            [worker, room.coordinator.poll_timeout()].into_iter().flatten()
        });
        due.min().map(|at| now.saturating_add((at.saturating_sub(boot_ms())).max(0)))
    }

    fn room(&mut self, room: &str) -> &mut Room {
        self.rooms.entry(room.to_owned()).or_insert_with(Room::new)
    }

    fn coordinator_of(&mut self, run: RunId) -> Option<(String, &mut CoordinatorHalf<TaskPayload>)> {
        let mut rooms = self.rooms.iter_mut();
        rooms.find_map(|(name, room)| {
            let coordinates = room.coordinator.epoch(run).is_some();
            coordinates.then_some((name.clone(), &mut room.coordinator))
        })
    }

    fn worker(&mut self, room: &str) -> Option<&mut WorkerHalf<TaskPayload>> {
        self.rooms.get_mut(room)?.worker.as_mut()
    }
}

impl Driver {
    /// Goes on with the runs of rooms that this node coordinates, and says where it works.
    pub(super) fn begin_federation(&mut self, now: TimestampMs) {
        if let Some(room) = self.parts.config.settings.federation.room.clone() {
            self.parts.link.serve(&room);
        }
        let own = self.parts.did.clone();
        let others = self.parts.identity.others_who_may(Right::Execute);
        let workers: Vec<NodeDid> = others.into_iter().chain([own]).collect();
        let in_rooms: Vec<(RunId, String, u32)> = self
            .parts
            .machine
            .open_runs()
            .filter(|run| run.facts().mode == ExecutionMode::Matrix)
            .filter_map(|run| Some((run.id(), run.facts().room.clone()?, run.facts().epoch)))
            .collect();
        let live: Vec<_> = self.parts.machine.live_attempts().collect();
        for (run, room, epoch) in in_rooms {
            let known = live.iter().filter(|live| live.attempt.run == run).map(|live| KnownGrant {
                granted: Granted { attempt: live.attempt.clone(), fence: live.fence },
                worker: live.node.clone(),
                recorded: false,
            });
            let known: Vec<KnownGrant> = known.collect();
            self.parts.link.serve(&room);
            self.federation.room(&room).coordinator.take_over(run, epoch, known, workers.clone(), boot_ms());
            self.handle(Input::internal(InputKind::HoldGrants { run, held: true }), now);
        }
    }

    /// The other nodes of a room are heard.
    pub(super) fn room_served(&mut self, name: &str, room: &str, now: TimestampMs) {
        if self.parts.config.settings.federation.room.as_deref() == Some(name) {
            // Heartbeats of an earlier life have smaller numbers.
            let nonce = u64::try_from(now).unwrap_or_default() << 10;
            let worker = WorkerHalf::new(Settings::default(), nonce, boot_ms());
            self.federation.room(room).worker.get_or_insert(worker);
        }
        self.federate(now);
    }

    /// Hears the other nodes of the rooms whose nodes execute runs of this one.
    pub(super) fn serve_rooms(&mut self) {
        let in_rooms = self.parts.machine.open_runs().filter(|run| run.facts().mode == ExecutionMode::Matrix);
        let rooms: Vec<String> = in_rooms.filter_map(|run| run.facts().room.clone()).collect();
        for room in rooms {
            if !self.federation.rooms.contains_key(&room) {
                self.parts.link.serve(&room);
                self.federation.room(&room);
            }
        }
    }

    /// Other nodes can be told what this one offers.
    pub(super) fn node_found(&mut self, now: TimestampMs) {
        for worker in self.federation.rooms.values_mut().filter_map(|room| room.worker.as_mut()) {
            worker.status_changed(boot_ms());
        }
        self.federate(now);
    }

    /// Whether the tasks of a run go to the nodes of a room.
    pub(super) fn is_in_room(&self, run: RunId) -> bool {
        let known = self.parts.machine.run(&run);
        known.is_some_and(|run| run.facts().mode == ExecutionMode::Matrix)
    }

    /// Gives an attempt to a node of the run's room.
    pub(super) fn grant_in_room(
        &mut self,
        attempt: AttemptId,
        session: SessionId,
        fence: Fence,
        node: NodeDid,
        now: TimestampMs,
    ) {
        let Some(run) = self.parts.machine.run(&attempt.run) else { return };
        let Some(room) = run.facts().room.clone() else { return };
        let epoch = run.facts().epoch;
        let completed = complete(run, &attempt, &self.parts.home, &self.parts.blobs, Moment::Start);
        let remote = completed.and_then(|spec| {
            let remote = RemoteSpec::of(spec, &run.facts().workdir, slots(run));
            let remote = remote.map_err(|why| format!("the task cannot run with --matrix: {why}"))?;
            let size = serde_json::to_vec(&remote).map_err(|error| error.to_string())?.len();
            if size > SPEC_BYTES_MAX {
                return Err(format!(
                    "the task cannot run with --matrix: its script, prompt and values have {size} bytes, and at most \
                     {SPEC_BYTES_MAX} go to another node"
                ));
            }
            Ok(remote)
        });
        match remote {
            Ok(spec) => {
                let coordinator = &mut self.federation.room(&room).coordinator;
                if coordinator.epoch(attempt.run).is_none() {
                    coordinator.begin(attempt.run, epoch);
                }
                let granted = Granted { attempt, fence };
                let coordinator = &mut self.federation.room(&room).coordinator;
                coordinator.grant(node, Grant { granted, session, spec }, boot_ms());
            }
            Err(detail) => {
                let outcome = AttemptOutcome::Failed { cause: FailureCause::Input { detail } };
                let report = Box::new(Report::bare(outcome, None, now));
                self.parts.worker.said.push(FromWorker::Result { attempt, fence, report });
            }
        }
    }

    /// Ends an attempt on the node that has it.
    pub(super) fn cancel_in_room(&mut self, attempt: AttemptId, fence: Fence, grace_ms: u64, keep: bool) {
        if let Some((_, coordinator)) = self.federation.coordinator_of(attempt.run) {
            coordinator.cancel(&Granted { attempt, fence }, grace_ms, keep, boot_ms());
        }
    }

    /// The result is durable here, and this node alone decides about the run: its worker may forget it.
    pub(super) fn acknowledge_in_room(&mut self, attempt: AttemptId, fence: Fence, now: TimestampMs) {
        let granted = Granted { attempt, fence };
        let mut out = Vec::new();
        let Some((room, coordinator)) = self.federation.coordinator_of(granted.attempt.run) else { return };
        coordinator.recorded(&granted, &mut out);
        if let Some(worker) = coordinator.worker_of(&granted).cloned() {
            coordinator.release(&granted, &worker, &mut out);
        }
        self.lead(&room, out, now);
    }

    /// Sends what was granted or cancelled in this turn.
    pub(super) fn offer_grants(&mut self, now: TimestampMs) {
        for room in self.federation.rooms.keys().cloned().collect::<Vec<_>>() {
            let mut out = Vec::new();
            self.federation.room(&room).coordinator.tick(boot_ms(), &mut out);
            self.lead(&room, out, now);
        }
    }

    /// Does what is due.
    pub(super) fn federate(&mut self, now: TimestampMs) {
        if self.federation.rooms.is_empty() {
            return;
        }
        let boot = boot_ms();
        let own = self.parts.did.clone();
        let others = self.parts.identity.others_who_may(Right::Coordinate);
        let coordinators: Vec<NodeDid> = others.into_iter().chain([own]).collect();
        let offer = self.offer(boot);
        for room in self.federation.rooms.keys().cloned().collect::<Vec<_>>() {
            let mut work = Vec::new();
            if let Some(worker) = self.federation.worker(&room) {
                worker.tick(boot, Some(&offer), &coordinators, &mut work);
            }
            self.work(&room, work, now);
        }
        self.offer_grants(now);
    }

    /// What this node offers to its room.
    fn offer(&mut self, boot: BootMs) -> NodeOffer {
        let load_permille = match self.federation.load {
            Some((at, load)) if boot - at < LOAD_PAUSE_MS => load,
            _ => {
                let load = load_permille();
                self.federation.load = Some((boot, load));
                load
            }
        };
        let settings = &self.parts.config.settings.federation;
        let name = if settings.name.is_empty() { machine_name() } else { settings.name.clone() };
        NodeOffer {
            name,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tags: settings.tags.iter().cloned().collect(),
            // A task with an agent is refused by whoever grants it, with the reason.
            agents: self.parts.config.settings.agents.iter().map(|agent| agent.name.clone()).collect(),
            slots: settings.slots,
            sessions: u32::try_from(self.federation.held.len()).unwrap_or(u32::MAX),
            load_permille,
            draining: false,
        }
    }

    /// Another node of a room, or this one, says something.
    pub(super) fn federated(
        &mut self,
        room: &str,
        from: &NodeDid,
        message: Message<TaskPayload>,
        now: TimestampMs,
    ) {
        let right = match message {
            Message::Grant { .. }
            | Message::Renew { .. }
            | Message::Cancel { .. }
            | Message::Noted { .. }
            | Message::Recorded { .. }
            | Message::Forget { .. }
            | Message::Recover { .. }
            | Message::Alive {} => Right::Coordinate,
            _ => Right::Execute,
        };
        if !self.parts.identity.may(from, right) {
            tracing::debug!(%from, right = right.word(), "a node is not trusted to say this");
            return;
        }
        if !self.federation.rooms.contains_key(room) {
            return;
        }
        let boot = boot_ms();
        let refused = if right == Right::Coordinate {
            let mut out = Vec::new();
            let Some(worker) = self.federation.worker(room) else { return };
            let taken = worker.receive(from, message, boot, &mut out);
            self.work(room, out, now);
            taken
        } else {
            let mut out = Vec::new();
            let taken = self.federation.room(room).coordinator.receive(from, message, boot, &mut out);
            self.lead(room, out, now);
            taken
        };
        if let Err(why) = refused {
            tracing::warn!(%from, room, why, "a message of a node changed nothing");
        }
    }

    fn send(&mut self, room: &str, to: NodeDid, message: Message<TaskPayload>, now: TimestampMs) {
        if to == self.parts.did {
            self.federated(room, &to, message, now);
        } else {
            self.parts.link.send(room, to, message);
        }
    }

    /// What follows for the runs that this node coordinates.
    fn lead(&mut self, room: &str, effects: Vec<Lead<TaskPayload>>, now: TimestampMs) {
        for effect in effects {
            match effect {
                Lead::Send { to, message } => self.send(room, to, message, now),
                Lead::Status { worker, status } => {
                    let offer = InputKind::NodeOffer { node: worker, offer: Some(status) };
                    self.handle(Input::internal(offer), now);
                }
                Lead::Silent(worker) => {
                    let gone = InputKind::NodeOffer { node: worker, offer: None };
                    self.handle(Input::internal(gone), now);
                }
                Lead::Claimed(_) => {}
                Lead::Refused { granted: Granted { attempt, fence }, reason } => {
                    let refused = FromWorker::Refused { attempt, fence, reason };
                    self.handle(Input::internal(InputKind::Worker(refused)), now);
                }
                Lead::Progress { granted, first, progress } => {
                    let next = first + u32::try_from(progress.len()).unwrap_or(0);
                    for progress in progress {
                        let Granted { attempt, fence } = granted.clone();
                        let (state, pid) = match progress {
                            // Processes of another machine have no pid here.
                            Progress::Started { .. } => (SessionState::Working, Some(0)),
                            Progress::Collecting {} => (SessionState::Exited, None),
                        };
                        let said = FromWorker::Session { attempt, fence, state, pid };
                        self.handle(Input::internal(InputKind::Worker(said)), now);
                    }
                    let mut out = Vec::new();
                    self.federation.room(room).coordinator.noted(&granted, next, &mut out);
                    self.lead(room, out, now);
                }
                Lead::Result { granted: Granted { attempt, fence }, report } => {
                    let report = Box::new(without_files(report));
                    let result = FromWorker::Result { attempt, fence, report };
                    self.handle(Input::internal(InputKind::Worker(result)), now);
                }
                Lead::Lost(Granted { attempt, .. }) => {
                    let detail = "its node stopped answering, or does not have it any more".to_owned();
                    self.handle(Input::internal(InputKind::AttemptLost { attempt, detail }), now);
                }
                Lead::Found { worker, record } => self.adopt(room, &worker, record, now),
                Lead::Ready(run) => {
                    self.handle(Input::internal(InputKind::HoldGrants { run, held: false }), now);
                }
            }
        }
    }

    /// Counts what a worker has and the store does not tell, where it can.
    fn adopt(&mut self, room: &str, worker: &NodeDid, record: HeldRecord, now: TimestampMs) {
        let HeldRecord { granted, session, .. } = record;
        let grant = GrantRecord {
            task: granted.attempt.task.clone(),
            attempt: granted.attempt.number,
            fence: granted.fence,
            session,
            node: worker.clone(),
            host: None,
            lease_ms: None,
            ahead: false,
        };
        let adopt = InputKind::Adopt { run: granted.attempt.run, grant: Box::new(grant) };
        let adopted = self.parts.machine.handle(Input::internal(adopt), now, &mut self.ids).is_ok();
        self.collect();
        let coordinator = &mut self.federation.room(room).coordinator;
        let mut out = Vec::new();
        if adopted {
            coordinator.adopt(&granted, worker, boot_ms());
        } else {
            coordinator.release(&granted, worker, &mut out);
        }
        self.lead(room, out, now);
    }

    /// What follows for the own worker.
    fn work(&mut self, room: &str, effects: Vec<Work<TaskPayload>>, now: TimestampMs) {
        for effect in effects {
            match effect {
                Work::Send { to, message } => self.send(room, to, message, now),
                Work::Start { grant, lease_end } => self.start_for(room, grant, lease_end),
                Work::Freeze(granted) => {
                    if let Some(session) = self.session_held(&granted) {
                        self.parts.worker.to_host.push(ToHost::Freeze { session });
                    }
                }
                Work::Extend { granted, lease_end } => {
                    if let Some(session) = self.session_held(&granted) {
                        self.parts.worker.to_host.push(freeze_at(session, lease_end));
                        self.parts.worker.to_host.push(ToHost::Thaw { session });
                    }
                }
                Work::Cancel { granted: Granted { attempt, fence }, grace_ms, keep } => {
                    self.parts.worker.tell(ToWorker::Cancel { attempt, fence, grace_ms, keep });
                }
                Work::Kill(Granted { attempt, fence }) => {
                    self.parts.worker.tell(ToWorker::Cancel { attempt, fence, grace_ms: 0, keep: false });
                }
                Work::Drop(Granted { attempt, fence }) => {
                    self.federation.held.remove(&attempt);
                    let dir = self.directory_of(&attempt);
                    self.parts.worker.tell(ToWorker::Ack { attempt, fence });
                    if let Err(error) = fs::remove_dir_all(&dir) {
                        tracing::debug!(dir = %dir.display(), %error, "the directory of a task was not removed");
                    }
                }
            }
        }
    }

    /// Starts a task of another coordinator in an empty directory.
    fn start_for(&mut self, room: &str, grant: Grant<RemoteSpec>, lease_end: BootMs) {
        let Grant { granted, session, spec: RemoteSpec { slots, mut spec } } = grant;
        let Granted { attempt, fence } = granted.clone();
        let dir = self.directory_of(&attempt);
        let made = fs::create_dir_all(&dir);
        let held = Held { room: room.to_owned(), granted, session };
        self.federation.held.insert(attempt.clone(), held);
        if let Err(error) = made {
            let detail = format!("cannot make the directory {}: {error}", dir.display());
            let reason = Refusal::Resources { detail };
            self.parts.worker.said.push(FromWorker::Refused { attempt, fence, reason });
            return;
        }
        // Whatever a coordinator says: a task gets nothing of this node's files, environments and secrets.
        (spec.base_env, spec.umask, spec.cache) = (None, None, None);
        (spec.secrets, spec.run_secrets) = (BTreeMap::new(), Vec::new());
        (spec.artifacts, spec.inputs) = (Vec::new(), BTreeMap::new());
        spec.cwd = dir.display().to_string();
        self.parts.worker.tell(ToWorker::Grant { attempt, session, fence, lease_ms: None, slots, spec });
        self.parts.worker.to_host.push(freeze_at(session, lease_end));
    }

    fn session_held(&self, granted: &Granted) -> Option<SessionId> {
        let held = self.federation.held.get(&granted.attempt)?;
        (held.granted == *granted).then_some(held.session)
    }

    fn directory_of(&self, attempt: &AttemptId) -> PathBuf {
        let AttemptId { run, task, number } = attempt;
        self.parts.home.dir.join("remote").join(run.to_string()).join(format!("{task}-{number}"))
    }

    /// Tells the coordinator of another's attempt what the own worker says of it. Gives back what is about the own runs.
    pub(super) fn tell_coordinator(&mut self, message: FromWorker, now: TimestampMs) -> Option<FromWorker> {
        let attempt = match &message {
            FromWorker::Claimed { attempt, .. }
            | FromWorker::Refused { attempt, .. }
            | FromWorker::Session { attempt, .. }
            | FromWorker::Child { attempt, .. }
            | FromWorker::Result { attempt, .. } => attempt,
            FromWorker::Ahead { .. } => return Some(message),
        };
        let Some(Held { room, granted, .. }) = self.federation.held.get(attempt) else {
            return Some(message);
        };
        let (room, granted, boot) = (room.clone(), granted.clone(), boot_ms());
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
                worker.refused(&granted, reason, boot, &mut out);
                self.federation.held.remove(&granted.attempt);
            }
            FromWorker::Claimed { .. } | FromWorker::Child { .. } | FromWorker::Ahead { .. } => {}
        }
        self.work(&room, out, now);
        None
    }

    /// The session host is gone with all sessions that this node had for others.
    pub(super) fn federated_lost(&mut self, now: TimestampMs) {
        let held: Vec<(String, Granted)> =
            self.federation.held.values().map(|held| (held.room.clone(), held.granted.clone())).collect();
        for (room, granted) in held {
            let detail = super::facts::HOST_ENDED.to_owned();
            let report = Report::bare(AttemptOutcome::Lost { detail }, None, now);
            let mut out = Vec::new();
            if let Some(worker) = self.federation.worker(&room) {
                worker.ended(&granted, report, boot_ms(), &mut out);
            }
            self.work(&room, out, now);
        }
    }
}

/// Files of another machine are not here.
fn without_files(mut report: Report) -> Report {
    for output in report.outputs.values_mut() {
        output.blob = None;
    }
    report.artifacts.clear();
    report.cached = None;
    report
}

/// The session host freezes a session whose lease is over by itself: this node may be dead then.
fn freeze_at(session: SessionId, lease_end: BootMs) -> ToHost {
    let after_ms = u64::try_from(lease_end.saturating_sub(boot_ms())).unwrap_or(0);
    ToHost::Deadline { session, after_ms: Some(after_ms), action: AtDeadline::Freeze }
}

/// The time since the machine started, its sleep included, ms.
fn boot_ms() -> BootMs {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// Runnable processes per processor over the last minute, in thousandths (proc_loadavg(5)).
fn load_permille() -> u32 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small"
    )]
    let permille = (load * 1000.0 / processors as f64) as u32;
    permille
}

fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
