//! This node's part in the runs of rooms: what it coordinates there, and what it works on for others.
//!
//! Owns the halves of the protocol for each room, and when something of them is due. What they decide is carried out
//! for the scheduler in `leading` and `results`, for the own worker in `work`; who coordinates what, as journals tell it, is
//! followed in `terms`, places in groups of the room in `groups`; what this node offers is in `offer`; results of the cache are used in `cached`; tasks that wait for the room do so in `commit`; whether this node executes a task is decided in `policy`; what sessions of others wait for is told in `news`. Messages of a node to itself take no way around.

mod absent;
mod cached;
mod commit;
mod directories;
mod files;
mod frozen;
mod groups;
mod leading;
mod list;
mod logs;
mod news;
mod offer;
mod policy;
mod queue;
mod refused;
mod results;
mod secrets;
mod shortages;
mod tails;
mod terms;
mod voting;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::absent::Absent;
use self::commit::{AwaitsGrant, HomeGrant};
use self::directories::Directories;
use self::files::{Transfer, Underway};
use self::groups::Groups;
use self::logs::LogUploads;
use self::queue::QueueOffer;
use self::refused::Refused;
use self::secrets::Hiding;
use self::shortages::Shortages;
use self::terms::Terms;
use self::voting::Votes;
use self::work::freeze_at;
use super::retry::RetryAt;
use super::{Driver, Parts};
use crate::account::boot_ms;
use crate::commands::Reply;
use crate::restore;
use crate::wrong::Wrong;
use cis_core::event::ExecutionMode;
use cis_core::federation::direct::{RemoteSpec, TaskPayload};
use cis_core::federation::finality::Finality;
use cis_core::federation::journal::Position;
use cis_core::federation::lead;
use cis_core::federation::protocol::coordinator::CoordinatorHalf;
use cis_core::federation::protocol::message::{Addressee, Granted, Message};
use cis_core::federation::protocol::voters::Voters;
use cis_core::federation::protocol::worker::WorkerHalf;
use cis_core::federation::protocol::{BootMs, Settings};
use cis_core::federation::transfer::FileList;
use cis_core::fence::epoch_of;
use cis_core::identity::{Right, Standing};
use cis_core::ids::{AttemptId, Epoch, Fence, NodeDid, Offset, RunId, SessionId, TimestampMs};
use cis_core::rate::Bucket;
use cis_core::scheduler::{Input, InputKind, LiveAttempt, Run};
use cis_local::Clocks;

/// Name of the note in the store that this node takes no new tasks of others.
const DRAINING: &str = "draining";

/// The same that it starts no tasks at all.
const PAUSED: &str = "paused";

/// See the module.
pub(super) struct Federation {
    rooms: BTreeMap<String, Room>,
    votes: Votes,
    /// Attempts that the own worker has for a coordinator of a room.
    held: BTreeMap<AttemptId, Held>,
    /// Runs of this node that may be new in a room: it coordinates them once that is durable.
    to_lead: Vec<RunId>,
    /// Tasks of own runs that stay on this node, and wait until the room has their grants.
    at_home: Vec<HomeGrant>,
    /// Runs of other nodes in which something waits, as they were read from the store, up to an event.
    read_of_others: BTreeMap<RunId, (Offset, Run)>,
    /// It takes nothing new.
    draining: bool,
    /// It is about to end.
    stopping: bool,
    /// A room in which another process has the key of this node, until this process ends. What the two give to others, and get from
    /// them, cannot be told apart: so nothing new is given or taken.
    twin_in: Option<String>,
    /// A room with such a process, which was found while nothing could be recorded.
    pub(super) twin_later: Option<String>,
    /// Others were trusted or found meanwhile.
    pub(super) found_later: bool,
    /// Leases that this node gives depend on what it has read.
    is_urgent: bool,
    /// Tells whether the machine stood still.
    clocks: Clocks,
    /// What was asked of the homeserver before this time was asked before the machine stood still.
    read_after: BootMs,
    refused: Refused,
    directories: Directories,
    files: Underway,
    logs: LogUploads,
    /// Runs of other nodes whose logs are being cleared of secrets.
    hiding: BTreeMap<RunId, Hiding>,
    /// Accounts that sessions for other nodes found logged out, and until when their agents are not offered.
    logged_out: BTreeMap<String, TimestampMs>,
    /// How many sessions of a run of another node are worth having here before their turn.
    queue: Option<QueueOffer>,
    shortages: Shortages,
    /// What sessions of other nodes may tell in a time.
    told: BTreeMap<SessionId, Bucket>,
}

struct Room {
    coordinator: CoordinatorHalf<TaskPayload>,
    voters: Voters,
    /// Runs that a person gave to this node: it goes on with them also without a majority, until one follows.
    by_person: BTreeSet<RunId>,
    /// What it must not forget of its votes is more than is kept.
    has_news: bool,
    /// Since when votes decide.
    votes_since: BootMs,
    /// Where this node works on tasks of the room.
    worker: Option<WorkerHalf<TaskPayload>>,
    /// It takes new ones: an earlier life may have had another room.
    takes_tasks: bool,
    terms: Terms,
    /// Where it is known who owns the room.
    groups: Option<Groups>,
    /// It goes on with runs whose coordinator is gone, where owners let it.
    takes_over: bool,
    /// Runs that an earlier life of this node coordinated, until it is known who the room's nodes are.
    to_recover: Vec<(RunId, Epoch)>,
    /// Of runs that this node coordinates: what cannot be voided any more.
    finality: BTreeMap<RunId, Finality>,
    /// The newest entries of this node's own journals that were read.
    read_own: BTreeMap<RunId, Position>,
    absent: Absent,
}

struct Held {
    room: String,
    granted: Granted,
    session: SessionId,
    spec: Box<RemoteSpec>,
    /// Whether its session was begun; none: an earlier version did not keep that.
    begun: Option<bool>,
    /// An earlier life of this node had it, and its session was not begun: that is done when it has a lease again.
    resumes: bool,
    /// When its lease is over: its session may not have begun by then.
    lease_end: BootMs,
    /// Its files, while they come or go.
    transfer: Option<Transfer>,
    /// It does not begin before the room has its grant.
    awaits: Option<AwaitsGrant>,
    /// What its session waits at is known in this life of the node.
    recalled: bool,
}

impl Room {
    fn new(voters: Voters) -> Self {
        Self {
            coordinator: CoordinatorHalf::new(Settings::default(), false),
            voters,
            by_person: BTreeSet::new(),
            has_news: false,
            votes_since: BootMs::default(),
            worker: None,
            takes_tasks: false,
            terms: Terms::new(Settings::default()),
            groups: None,
            takes_over: false,
            to_recover: Vec::new(),
            finality: BTreeMap::new(),
            read_own: BTreeMap::new(),
            absent: Absent::default(),
        }
    }

    /// This node works on tasks of the room.
    fn work(&mut self, heartbeat_ms: Option<i64>, now: TimestampMs) -> &mut WorkerHalf<TaskPayload> {
        // Heartbeats of an earlier life have smaller numbers.
        let nonce = u64::try_from(now).unwrap_or_default() << 10;
        let usual = Settings::default();
        let settings = Settings { heartbeat_ms: heartbeat_ms.unwrap_or(usual.heartbeat_ms), ..usual };
        self.worker.get_or_insert_with(|| WorkerHalf::new(settings, nonce, boot_ms()))
    }
}

impl Federation {
    /// Whether a session of another node's run starts when its files, or its grant in the room, have come.
    pub(super) fn is_to_start(&self, session: SessionId) -> bool {
        let waits = |held: &Held| {
            let comes = matches!(held.transfer, Some(Transfer::Waiting | Transfer::Download(_)));
            comes || held.awaits.is_some()
        };
        self.held.values().any(|held| held.session == session && waits(held))
    }

    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            rooms: BTreeMap::new(),
            votes: Votes::recall(parts),
            held: BTreeMap::new(),
            to_lead: Vec::new(),
            at_home: Vec::new(),
            read_of_others: BTreeMap::new(),
            draining: false,
            stopping: false,
            twin_in: None,
            twin_later: None,
            found_later: false,
            is_urgent: false,
            clocks: Clocks::default(),
            read_after: BootMs::default(),
            refused: Refused::default(),
            directories: Directories::default(),
            files: Underway::default(),
            logs: LogUploads::default(),
            hiding: BTreeMap::new(),
            logged_out: BTreeMap::new(),
            queue: None,
            shortages: Shortages::new(),
            told: BTreeMap::new(),
        }
    }

    /// When something is due, on the clock of the node.
    pub(super) fn poll_timeout(&self, now: TimestampMs) -> Option<TimestampMs> {
        let due = self.rooms.values().flat_map(|room| {
            let worker = room.worker.as_ref().and_then(WorkerHalf::poll_timeout);
            let groups = room.groups.as_ref().and_then(Groups::poll_timeout);
            let leads = [room.coordinator.poll_timeout(), room.terms.poll_timeout()];
            [worker, groups, room.absent.poll_timeout()].into_iter().chain(leads).flatten()
        });
        due.map(RetryAt::at).chain(self.shortages.look_at()).map(|at| at.on_wall(now)).min()
    }

    /// Whether it has tasks of others.
    pub(super) fn works(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether workers may still ask for sessions of runs of this node.
    pub(super) fn awaits_workers(&self) -> bool {
        self.rooms.values().any(|room| !room.absent.is_empty())
    }

    fn room(&mut self, room: &str) -> &mut Room {
        let votes = &mut self.votes;
        self.rooms.entry(room.to_owned()).or_insert_with(|| Room::new(votes.of(room)))
    }

    fn room_of(&mut self, run: RunId) -> Option<(String, &mut Room)> {
        let mut rooms = self.rooms.iter_mut();
        rooms.find_map(|(name, room)| {
            let coordinates = room.coordinator.epoch(run).is_some();
            coordinates.then_some((name.clone(), room))
        })
    }

    fn worker(&mut self, room: &str) -> Option<&mut WorkerHalf<TaskPayload>> {
        self.rooms.get_mut(room)?.worker.as_mut()
    }
}

impl Driver {
    /// Nothing of the runs of rooms is granted before their workers are asked what they have: what the host tells of sessions that ended would
    /// start what comes next.
    pub(super) fn hold_shared_runs(&mut self, now: TimestampMs) {
        for (run, room, epoch) in self.shared_runs() {
            self.handle(Input::internal(InputKind::HoldGrants { run, held: true }), now);
            // Also if it ends before that: it may be tried again.
            self.serve_room(&room);
            self.federation.room(&room).to_recover.push((run, epoch));
        }
    }

    /// Open runs in Matrix mode, with their rooms and terms.
    fn shared_runs(&self) -> Vec<(RunId, String, Epoch)> {
        let open = self.parts.machine.open_runs();
        open.filter(|run| run.facts().mode == ExecutionMode::Matrix)
            .filter_map(|run| Some((run.id(), run.facts().room.clone()?, run.facts().epoch)))
            .collect()
    }

    /// Goes on with the runs of rooms that this node coordinates, and says where it works.
    pub(super) fn begin_federation(&mut self, now: TimestampMs) {
        self.federation.draining = self.is_noted(DRAINING);
        self.tidy_directories();
        self.remove_old_secrets();
        if let Some(room) = &self.parts.config.settings.federation.room {
            self.parts.link.serve(room);
        }
        self.parts.members.rooms().iter().for_each(|room| self.serve_room(room));
        for room in self.federation.rooms.keys().cloned().collect::<Vec<_>>() {
            self.count_voters(&room, now);
            self.recover_runs(&room, now);
        }
    }

    /// Asks the workers of a room what they have of runs that an earlier life of this node coordinated, once it is known who
    /// they are, and that no other node has taken the runs over since: tasks that stay here would start without anybody's consent.
    pub(super) fn recover_runs(&mut self, name: &str, now: TimestampMs) {
        let room = self.federation.room(name);
        let is_read = !room.terms.is_deaf() || room.coordinator.is_sole();
        if !is_read || !self.parts.members.is_settled(name) {
            return;
        }
        for (run, epoch) in std::mem::take(&mut self.federation.room(name).to_recover) {
            self.go_on_with(run, name, epoch, now);
        }
    }

    /// Goes on with a run that this node, in an earlier life, or another one coordinated.
    fn go_on_with(&mut self, run: RunId, room: &str, epoch: Epoch, now: TimestampMs) {
        let live = self.parts.machine.live_attempts().filter(|live| live.attempt.run == run);
        // What an earlier coordinator gave to this node may never have come here, and what ran here as a task of this node was ended: it is
        // lost then, as anywhere else.
        let is_asked_for = |live: &LiveAttempt| {
            self.is_elsewhere(live) || self.goes_to_room(&live.attempt) || epoch_of(live.fence) < epoch
        };
        let live: Vec<LiveAttempt> = live.filter(is_asked_for).collect();
        let mut workers = self.parts.members.others_who_may_have_tasks(room);
        // A node that says of itself that it executes nothing here has nothing, be it there or not.
        let announced = self.parts.shared.announced().remove(room).unwrap_or_default();
        workers.retain(|did| announced.get(did).is_none_or(|announced| !announced.is_idle));
        // It gives itself nothing to do where it does not work for the room.
        if self.works_in(room) {
            workers.push(self.parts.did.clone());
        }
        // All that have something are asked, also those that may not work here any more.
        workers.extend(live.iter().map(|live| live.node.clone()));
        let known = lead::known_grants(live);
        let newest = self.newest_of(run);
        let published = restore::published(&self.parts.readers, run);
        let by_person = self.parts.machine.run(&run).is_some_and(Run::is_by_person);
        let room = self.federation.room(room);
        if by_person && room.voters.kept().followed.get(&run) != Some(&epoch) {
            room.by_person.insert(run);
        } else {
            room.by_person.remove(&run);
        }
        room.coordinator.take_over(run, epoch, known, workers, boot_ms());
        room.put_finality(run, Finality::since(newest, published));
        self.share_groups(now);
        self.handle(Input::internal(InputKind::HoldGrants { run, held: true }), now);
    }

    fn works_in(&self, room: &str) -> bool {
        self.federation.rooms.get(room).is_some_and(|room| room.worker.is_some())
    }

    /// The other nodes of a room are heard.
    pub(super) fn room_served(&mut self, name: &str, room: &str, now: TimestampMs) {
        let settings = &self.parts.config.settings.federation;
        let is_own_room = settings.room.as_deref() == Some(name);
        let (works, coordinates) = (settings.role.works(), settings.role.coordinates());
        let served = self.federation.room(room);
        served.takes_over |= is_own_room && coordinates;
        if is_own_room && works {
            served.takes_tasks = true;
            // What it said before this was known took nothing.
            served.work(self.parts.heartbeat_ms, now).status_changed(boot_ms());
        }
        self.count_voters(room, now);
        self.recover_runs(room, now);
        self.federate(now);
    }

    /// After a pause of the machine all leases of this node may be over, those that it gave too.
    pub(super) fn look_at_clocks(&mut self, now: TimestampMs) {
        let (before, unix, after) = (cis_host::boot_ms(), cis_local::now_ms(), cis_host::boot_ms());
        if !self.federation.clocks.stood_still(before, unix, after) {
            return;
        }
        tracing::warn!(
            "this machine stood still, or its clock was set forward: leases are renewed before tasks of rooms go on"
        );
        let boot = boot_ms();
        self.federation.read_after = boot;
        for name in self.federation.rooms.keys().cloned().collect::<Vec<_>>() {
            let room = self.federation.room(&name);
            room.coordinator.stood_still();
            room.voters.stood_still();
            if let Some(groups) = &mut room.groups {
                groups.stood_still(boot);
            }
            let mut out = Vec::new();
            if let Some(worker) = self.federation.worker(&name) {
                worker.stood_still(boot, &mut out);
            }
            self.work(&name, out, now);
        }
    }

    /// Takes no new tasks of others from now on, also after a restart; or takes them again.
    pub(super) fn drain(&mut self, draining: bool, reply: Reply<()>, now: TimestampMs) {
        self.federation.draining = draining;
        self.turn.note(DRAINING, if draining { "1" } else { "0" });
        self.turn.confirm(reply, Ok(()));
        self.node_found(now);
    }

    /// Tells the rooms that this node takes and answers nothing more, before it ends. Its next life offers again what it has.
    pub(in crate::driver) fn leave_rooms(&mut self, now: TimestampMs) {
        (self.federation.draining, self.federation.stopping) = (true, true);
        self.offer_changed();
        self.federate(now);
    }

    /// Starts no tasks from now on, also after a restart; or starts them again.
    pub(super) fn pause(&mut self, paused: bool, reply: Reply<()>, now: TimestampMs) {
        self.parts.machine.set_paused(paused);
        if paused {
            // What waits for its turn at the session host is taken back.
            let runs: BTreeSet<RunId> = self.federation.held.keys().map(|attempt| attempt.run).collect();
            runs.into_iter().for_each(|run| self.parts.worker.withdraw(run));
        }
        self.turn.note(PAUSED, if paused { "1" } else { "0" });
        self.turn.confirm(reply, Ok(()));
        self.handle(Input::internal(InputKind::Tick), now);
        self.node_found(now);
    }

    /// Whether it was paused in an earlier life.
    pub(super) fn recall_pause(&mut self) {
        let paused = self.is_noted(PAUSED);
        self.parts.machine.set_paused(paused);
    }

    fn is_noted(&self, name: &'static str) -> bool {
        match self.parts.writer.get_meta(name) {
            Ok(word) => word.as_deref() == Some("1"),
            Err(error) => {
                tracing::error!(name, %error, "a note cannot be read: it counts as set");
                true
            }
        }
    }

    /// Hears the other nodes of a room.
    pub(super) fn serve_room(&mut self, room: &str) {
        if !self.federation.rooms.contains_key(room) {
            self.parts.link.serve(room);
            self.federation.room(room);
        }
    }

    /// Hears the other nodes of the room in which a run's tasks are executed, and is heard by them, also if nothing of it is given to a node
    /// for long.
    pub(super) fn serve_room_of(&mut self, run: RunId) {
        if let Some(room) = self.room_of_tasks(run) {
            self.serve_room(&room);
            self.federation.to_lead.push(run);
        }
    }

    /// The room whose nodes execute the tasks of a run.
    fn room_of_tasks(&self, run: RunId) -> Option<String> {
        let in_room = self.parts.machine.run(&run).filter(|run| run.facts().mode == ExecutionMode::Matrix);
        in_room.and_then(|run| run.facts().room.clone())
    }

    /// Coordinates the runs that are new in a room.
    fn lead_new(&mut self, now: TimestampMs) {
        let mut begun = false;
        for run in std::mem::take(&mut self.federation.to_lead) {
            let is_open = self.parts.machine.run(&run).is_some_and(|run| !run.state().is_terminal());
            let Some(room) = self.room_of_tasks(run).filter(|_| is_open) else { continue };
            // What its workers have is asked for first, where an earlier life of this node or another node coordinated it.
            if !self.parts.machine.holds_grants_of(run) {
                begun |= self.federation.room(&room).coordinator.epoch(run).is_none();
                self.coordinate(&room, run);
            }
        }
        if begun {
            self.federate(now);
        }
    }

    /// Another process in a room has the key of this node.
    pub(super) fn twin_found(&mut self, room: &str, now: TimestampMs) {
        let own = self.parts.did.clone();
        let detail = format!("another node uses the key {own} of this one: a copy of its home runs");
        self.refuse_message(room, &own, (Wrong::Twin, detail), now);
        self.federation.twin_in = Some(room.to_owned());
        self.offer_changed();
        self.node_found(now);
    }

    /// What `cis node status` says of it.
    pub(super) fn twin_warning(&self) -> Option<String> {
        let room = self.federation.twin_in.as_ref()?;
        Some(format!(
            "another node in room {room} uses the key of this one: a copy of this home runs. This node gives no tasks to other \
             nodes and takes none. Stop the other node and remove its home, then stop and start this node"
        ))
    }

    /// What was found while nothing could be recorded.
    pub(super) fn found_meanwhile(&mut self, now: TimestampMs) {
        if std::mem::take(&mut self.federation.found_later) {
            self.node_found(now);
        }
        if let Some(room) = self.federation.twin_later.take() {
            self.twin_found(&room, now);
        }
    }

    /// Others are trusted than before, or it is known where one is.
    pub(super) fn node_found(&mut self, now: TimestampMs) {
        for name in self.federation.rooms.keys().cloned().collect::<Vec<_>>() {
            self.count_voters(&name, now);
            self.offers_follow_rights(&name, now);
            self.recover_runs(&name, now);
        }
        self.begin_waiting(None, now);
        self.offer_changed();
        self.federate(now);
    }

    /// Finds out who coordinates in a room.
    fn count_voters(&mut self, name: &str, now: TimestampMs) {
        let others = self.parts.members.other_voters(name);
        let (rank, is_settled) = (self.parts.members.rank(name), self.parts.members.is_settled(name));
        let far = self.at_other_homeservers(name, &others);
        let room = self.federation.room(name);
        let is_sole = is_settled && others.is_empty();
        room.coordinator.set_sole(is_sole);
        room.terms.vote(others.clone(), rank, room.takes_over);
        self.set_voters(name, &others, rank);
        let room = self.federation.room(name);
        // Where a majority decides, it does so about all.
        room.terms.set_far(if room.voters.decide() { BTreeSet::new() } else { far });
        self.groups_declared(name, is_sole, now);
    }

    /// Which of these nodes use other homeservers than this one, as far as their announcements tell.
    fn at_other_homeservers(&self, room: &str, nodes: &[NodeDid]) -> BTreeSet<NodeDid> {
        let announced = self.parts.shared.announced().remove(room).unwrap_or_default();
        let homeserver = |did: &NodeDid| announced.get(did)?.homeserver();
        let Some(own) = homeserver(&self.parts.did) else { return BTreeSet::new() };
        let is_far = |did: &&NodeDid| homeserver(did).is_some_and(|server| server != own);
        nodes.iter().filter(is_far).cloned().collect()
    }

    /// What `cis node status` says of runs that wait for the nodes where they were submitted.
    pub(super) fn submitter_warnings(&self) -> impl Iterator<Item = String> {
        let open = self.parts.machine.open_runs();
        let waiting = open.filter(|run| run.facts().is_foreign() && run.awaits_submitter());
        waiting.map(|run| {
            format!(
                "run {} waits for the node where it was submitted{}: tasks need files, secrets or programs that only that node has. That node takes \
                 the run back when it is there, and its `cis node status` says if a person has to do that. `cis dag cancel {}` ends the run",
                run.id(),
                run.submitter_note(),
                run.id()
            )
        })
    }

    /// Whether an attempt that was just granted goes to a node of a room, be it this one.
    pub(super) fn goes_to_room(&self, attempt: &AttemptId) -> bool {
        let Some(run) = self.parts.machine.run(&attempt.run) else { return false };
        // What needs the submitter's machine runs there as any task does. A node that took the run over is another machine.
        let stays = run
            .find(&attempt.task)
            .is_some_and(|index| run.may_use_submitter(index) && run.stays_home(index));
        run.facts().mode == ExecutionMode::Matrix && !stays
    }

    /// Whether an attempt was given to a node of a room.
    pub(super) fn is_given(&self, attempt: &AttemptId, fence: Fence) -> bool {
        let granted = Granted { attempt: attempt.clone(), fence };
        self.federation.rooms.values().any(|room| room.coordinator.worker_of(&granted).is_some())
    }

    /// Whether an attempt of an open run is at work somewhere else, or here as a task of a room: its worker knows it.
    pub(super) fn is_elsewhere(&self, live: &LiveAttempt) -> bool {
        // An earlier life may have had another key.
        !self.parts.identity.is_or_was(&live.node) || self.federation.held.contains_key(&live.attempt)
    }

    /// Does what is due for the own worker, and about who coordinates what. What is due for the runs that this node
    /// coordinates is done with what follows from the turn.
    pub(super) fn federate(&mut self, now: TimestampMs) {
        self.take_kept_done(now);
        self.carry_waiting();
        self.look_for_space();
        let mut worked = false;
        for room in self.federation.rooms.keys().cloned().collect::<Vec<_>>() {
            let boot = boot_ms();
            self.federation.room(&room).absent.forget_until(boot);
            let due = self.federation.worker(&room).and_then(|worker| worker.poll_timeout());
            if due.is_some_and(|due| due <= boot) {
                let offer = self.offer(&room, now);
                let mut coordinators = self.parts.members.others_who_may(&room, Right::Coordinate);
                coordinators.push(self.parts.did.clone());
                let mut work = Vec::new();
                let members = Arc::clone(&self.parts.members);
                if let Some(worker) = self.federation.worker(&room) {
                    worker.tick(boot, Some(&offer), &coordinators, &mut work);
                    let is_revoked = |did: &NodeDid| members.standing(&room, did) == Standing::Revoked;
                    worker.drop_results_for_revoked(is_revoked, boot, &mut work);
                }
                self.work(&room, work, now);
                self.forget_over(&room);
                worked = true;
            }
            self.watch_terms(&room, boot, now);
        }
        if worked {
            self.begin_waiting(None, now);
        }
        self.share_groups(now);
        let depends = |room: &Room| {
            (room.coordinator.coordinates() && !room.coordinator.is_sole())
                || room.groups.as_ref().is_some_and(Groups::promises)
        };
        let is_urgent = self.federation.rooms.values().any(depends);
        if std::mem::replace(&mut self.federation.is_urgent, is_urgent) != is_urgent {
            self.parts.link.be_urgent(is_urgent);
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
        self.federated_with(room, from, message, None, now);
    }

    /// Takes a message of another node of a room, or of this one. `list`: the files that a result tells of, where they were looked up.
    fn federated_with(
        &mut self,
        room: &str,
        from: &NodeDid,
        message: Message<TaskPayload>,
        list: Option<&FileList>,
        now: TimestampMs,
    ) {
        let addressee = message.addressee();
        let right = match addressee {
            Addressee::Worker | Addressee::Voter => Right::Coordinate,
            Addressee::Coordinator => Right::Execute,
        };
        if !self.parts.members.may(room, from, right) {
            let detail = format!("{from} may not {} here", right.word());
            self.refuse_message(room, from, (Wrong::Without(right), detail), now);
            return;
        }
        if !self.federation.rooms.contains_key(room) {
            return;
        }
        let boot = boot_ms();
        let taken = match addressee {
            Addressee::Voter => {
                self.federation.room(room).terms.heard(from, boot);
                match message {
                    Message::Groups { of } => self.groups_said(room, from, of, now),
                    Message::Voters { of } => {
                        self.voter_said(room, from, of, now);
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
            Addressee::Worker if self.federation.worker(room).is_none() => {
                if let Message::Recover { run, epoch } = message {
                    self.send(room, from.clone(), Message::Holding { run, epoch, held: Vec::new() }, now);
                }
                return;
            }
            Addressee::Worker => {
                let mut out = Vec::new();
                let Some(worker) = self.federation.worker(room) else { return };
                let taken = worker.receive(from, message, boot, &mut out);
                self.work(room, out, now);
                taken
            }
            Addressee::Coordinator if self.is_of_before(room, &message) => return,
            Addressee::Coordinator => {
                let Some(message) = self.with_files(room, from, message, list) else { return };
                if let Some(granted) = self.of_ended(room, &message) {
                    return self.forget_of_ended(room, from, granted, now);
                }
                let mut out = Vec::new();
                let taken = self.federation.room(room).coordinator.receive(from, message, boot, &mut out);
                self.lead(room, out, now);
                taken
            }
        };
        if let Err(why) = taken {
            // A coordinator that was just replaced does not know it yet: it, too, gets a line.
            let wrong = if addressee == Addressee::Worker { Wrong::Term } else { Wrong::Unfitting };
            self.refuse_message(room, from, (wrong, why), now);
        }
    }

    /// Sends a message to another node once this turn is durable.
    fn send_durable(&mut self, room: &str, to: NodeDid, message: Message<TaskPayload>, now: TimestampMs) {
        if to == self.parts.did {
            return self.send(room, to, message, now);
        }
        let (link, room) = (self.parts.link.clone(), room.to_owned());
        self.turn.confirm_by(Box::new(move |durable| {
            if durable.is_ok() {
                link.send(&room, to, message);
            }
        }));
    }

    fn send(&mut self, room: &str, to: NodeDid, message: Message<TaskPayload>, now: TimestampMs) {
        if to == self.parts.did {
            self.federated(room, &to, message, now);
        } else {
            self.parts.link.send(room, to, message);
        }
    }
}
