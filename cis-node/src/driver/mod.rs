//! The driver: one thread that owns the scheduler, the store's writer and the line to the session host.
//!
//! A turn gathers what the host and the API have said, lets the scheduler handle it, makes the events
//! durable in one transaction, and only then performs the effects and confirms. One thread, because
//! a task of a fast run costs less than handing it from thread to thread would.

mod agents;
mod answers;
mod asks;
mod attention;
mod defaults;
mod denials;
mod effects;
mod ending;
mod ends;
mod facts;
mod federation;
mod host_link;
pub(crate) mod idempotency;
mod inbox;
mod loners;
mod moved;
mod notices;
mod persist;
mod recover;
mod refuse;
mod requests;
mod retry;
mod spec;
mod turn;
mod unread;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::broadcast;

use self::attention::Attentions;
use self::denials::Denials;
use self::ends::Ends;
use self::federation::Federation;
use self::host_link::HostLink;
use self::idempotency::KeyDigests;
use self::inbox::Inbox;
use self::loners::Loners;
use self::retry::RetryAt;
use self::turn::Turn;
use self::unread::Unread;
use super::commands::{DriverHandle, Reply, Sent};
use super::notices::Notices;
use super::own_commands::OwnCommands;
use super::worker::LocalWorker;
use crate::config::{Config, Identity, Keys};
use crate::known_uploads::KnownUploads;
use crate::link::Link;
use crate::members::Members;
use crate::room_waker::RoomWaker;
use crate::server::EventBatch;
use crate::shared::Shared;
use crate::start_checks::StartChecks;
use cis_core::api::TimeView;
use cis_core::event::{Actor, Event, EventBody, EventDraft};
use cis_core::ids::{NodeDid, RunId, SessionId, TimestampMs};
use cis_core::policy::node_rules::NodeRules;
use cis_core::scheduler::{IdSource, Input, InputKind, Machine, Rejected};
use cis_host::START_MS;
use cis_host::hub::Hub;
use cis_local::{Anchor, Place};
use cis_local::{Home, now_ms};
use cis_store::{Blobs, Readers, Writer};

/// Commands handled in one turn at most, so that a flood of requests delays no task for long.
const COMMANDS_PER_TURN_MAX: usize = 256;

/// Streams hear of events at most this often, ms: one that follows a fast run would otherwise cost it
/// two thread switches a task. What comes after a pause is told at once.
const PUBLISH_APART_MS: i64 = 20;

/// So many ended runs are remembered with where their time went.
const ENDED_TIMES_MAX: usize = 32;

/// Between tries to write what could not be written, ms.
const STUCK_RETRY_MS: i64 = 500;

/// Everything a driver is made of.
pub(crate) struct Parts {
    pub(crate) own_commands: OwnCommands,
    pub(crate) home: Home,
    pub(crate) config: Arc<Config>,
    pub(crate) did: NodeDid,
    pub(crate) keys: Arc<Keys>,
    pub(crate) stays: bool,
    pub(crate) restart: Vec<String>,
    pub(crate) host_place: Place,
    pub(crate) host_command: Vec<OsString>,
    /// Between two heartbeats of the worker, in place of the usual time.
    pub(crate) heartbeat_ms: Option<i64>,
    pub(crate) machine: Machine,
    /// The node's own policy.
    pub(crate) rules: NodeRules,
    /// Open runs that could not be read, and why.
    pub(crate) unreadable: BTreeMap<RunId, String>,
    pub(crate) start_checks: StartChecks,
    pub(crate) writer: Writer,
    pub(crate) readers: Readers,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) anchor: Arc<Anchor>,
    pub(crate) worker: LocalWorker,
    pub(crate) hub: Hub,
    pub(crate) commands: Receiver<Sent>,
    /// For those who have something to tell later.
    pub(crate) handle: DriverHandle,
    pub(crate) wake: Arc<OwnedFd>,
    pub(crate) events: broadcast::Sender<Arc<EventBatch>>,
    pub(crate) shared: Arc<Shared>,
    /// Those who tell rooms.
    pub(crate) rooms: RoomWaker,
    pub(crate) identity: Arc<Identity>,
    pub(crate) members: Arc<Members>,
    /// To the other nodes of rooms.
    pub(crate) link: Link,
    pub(crate) uploads: Arc<KnownUploads>,
}

/// See the module.
pub(crate) struct Driver {
    parts: Parts,
    host: HostLink,
    /// Kills that wait for a host that may come back.
    kills_without_host: Vec<HeldKill>,
    loners: Loners,
    attention: Attentions,
    inbox: Inbox,
    notices: Notices,
    unread: Unread,
    ids: SessionIds,
    /// What failed after the last input.
    failed: Option<Rejected>,
    turn: Turn,
    /// What requests say whose keys are in use.
    key_digests: KeyDigests,
    denials: Denials,
    /// Where the time of the runs went that ended last: whoever followed one asks at once.
    ended_times: VecDeque<TimeView>,
    /// Durable, but not told to the streams yet.
    unpublished: Vec<Arc<Event>>,
    published_ms: TimestampMs,
    /// Why nothing can be written, and when it is tried again.
    stuck: Option<(String, RetryAt)>,
    ends: Ends,
    /// Troubles of logs, for `node status`.
    log_trouble: Option<String>,
    idle_since: Option<TimestampMs>,
    /// When memory that is free goes back to the system: a while after the newest event.
    give_back_at: Option<TimestampMs>,
    /// When the code that only the start needed is unmapped.
    start_over_at: Option<TimestampMs>,
    supervised: Option<bool>,
    /// When a node that was started on a full disk next checks for free space.
    look_for_space_at: Option<RetryAt>,
    stopping: Option<Stopping>,
    federation: Federation,
}

/// A kill that was asked for while there was no host.
struct HeldKill {
    session: SessionId,
    grace_ms: Option<u64>,
    actor: Actor,
    reply: Reply<()>,
}

struct Stopping {
    kill_sessions: bool,
    reason: String,
}

/// Session ids from the clock and the system's randomness.
#[derive(Default)]
struct SessionIds(ulid::Generator);

impl IdSource for SessionIds {
    fn session_id(&mut self, _now_ms: TimestampMs) -> SessionId {
        SessionId(self.next())
    }
}

impl SessionIds {
    fn next(&mut self) -> ulid::Ulid {
        // Fails only where 2^80 ids fall into one millisecond.
        self.0.generate().unwrap_or_else(|_| ulid::Ulid::new())
    }
}

impl Driver {
    pub(crate) fn new(mut parts: Parts) -> Self {
        let unreadable = std::mem::take(&mut parts.unreadable);
        let notify = parts.config.settings.notify.clone();
        let timeout = std::time::Duration::from_millis(notify.timeout_ms);
        let (home, readers, blobs) = (parts.home.clone(), parts.readers.clone(), Arc::clone(&parts.blobs));
        let federation = Federation::new(&parts);
        let notices = Notices::new(notify.command, timeout, home, readers, blobs, parts.own_commands.clone());
        Self {
            host: HostLink::new(parts.home.clone(), parts.host_place.clone(), parts.host_command.clone()),
            parts,
            kills_without_host: Vec::new(),
            loners: Loners::default(),
            attention: Attentions::default(),
            inbox: Inbox::default(),
            notices,
            unread: Unread::new(unreadable),
            ids: SessionIds::default(),
            failed: None,
            turn: Turn::default(),
            key_digests: KeyDigests::default(),
            denials: Denials::default(),
            ended_times: VecDeque::new(),
            unpublished: Vec::new(),
            published_ms: 0,
            stuck: None,
            ends: Ends::default(),
            log_trouble: None,
            idle_since: None,
            give_back_at: None,
            start_over_at: None,
            supervised: None,
            look_for_space_at: None,
            stopping: None,
            federation,
        }
    }

    /// Runs until the node is stopped or has had nothing to do for long enough. `ready` is called once
    /// open runs go on and the host is there.
    pub(crate) fn run(mut self, ready: impl FnOnce()) {
        self.begin();
        ready();
        while !self.finished() {
            self.wait();
            self.turn();
        }
        self.end();
    }

    fn begin(&mut self) {
        let now = now_ms();
        self.start_over_at = Some(now + TimestampMs::from(START_MS));
        self.parts.worker.set_now(now);
        self.recall_pause();
        self.recall_home(now);
        self.recall_inbox(now);
        self.recall_held(now);
        // Before the host tells what has ended, which would start what comes next.
        self.resume_cancels(now);
        self.hold_shared_runs(now);
        self.connect_host(now);
        self.resume_ends();
        self.resume_asks();
        self.begin_federation(now);
        self.attend(now);
        self.draft(EventBody::NodeStarted {
            did: self.parts.did.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            host: self.host.instance(),
        });
        self.handle(Input::internal(InputKind::Tick), now);
        self.finish_turn(now);
    }

    fn turn(&mut self) {
        let now = now_ms();
        if self.follow_home() {
            return;
        }
        self.parts.worker.set_now(now);
        self.look_at_clocks(now);
        if let Some((_, retry_at)) = self.stuck {
            self.refuse_commands();
            if retry_at.is_due() {
                self.free_space_for_ends();
                self.finish_turn(now);
            }
            return;
        }
        self.host_turn(now);
        self.kill_held(now);
        self.retry_unread(now);
        self.parts.worker.take_found();
        self.parts.worker.come_of_age();
        self.offer_less();
        self.found_meanwhile(now);
        self.take_commands(now);
        self.worker_said(now);
        self.federate(now);
        self.withdraw_left(now);
        self.attend(now);
        self.tell_withheld(now);
        if self.parts.machine.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.handle(Input::internal(InputKind::Tick), now);
        }
        self.finish_turn(now);
    }

    /// Makes the turn durable, then performs and confirms it. What performing brings about at once (a
    /// secret that is missing) is a turn of its own.
    fn finish_turn(&mut self, now: TimestampMs) {
        loop {
            if !self.persist(now) {
                return;
            }
            let durable = self.turn.take_confirmations();
            self.perform(now);
            durable.into_iter().for_each(|confirm| confirm(Ok(())));
            if self.parts.worker.said.is_empty() && self.turn.is_over() {
                break;
            }
            self.worker_said(now);
        }
        self.supervise();
        self.host.flush();
        self.publish(now);
        if let Err(error) = self.parts.writer.maintain() {
            tracing::warn!(%error, "the write-ahead log could not be shortened; it is tried again");
        }
        self.watch_idleness(now);
        self.watch_memory(now);
        self.watch_space(now);
    }

    /// Lets the scheduler handle one input; a refusal of an internal one is only noted.
    fn handle(&mut self, input: Input, now: TimestampMs) {
        if let Err(rejected) = self.give(input, now) {
            tracing::debug!(%rejected, "an input changed nothing");
        }
        self.collect();
    }

    /// Gives the scheduler one input. What fails after the input took effect is no matter of its sender, and only noted.
    fn give(&mut self, input: Input, now: TimestampMs) -> Result<(), Rejected> {
        let taken = self.parts.machine.handle(input, now, &mut self.ids);
        let failed = self.parts.machine.take_failure().err();
        // The same failure can follow from each input.
        if let Some(rejected) = failed.as_ref().filter(|failed| self.failed.as_ref() != Some(*failed)) {
            tracing::warn!(%rejected, "what was due in a run failed");
        }
        self.failed = failed;
        taken
    }

    fn collect(&mut self) {
        self.turn.draft_all(self.parts.machine.drain_events());
    }

    /// An event of this node's own, outside of runs.
    fn draft(&mut self, body: EventBody) {
        let draft = EventDraft { run: None, at_ms: now_ms(), actor: None, cause: None, body };
        self.turn.draft(draft);
    }

    fn worker_said(&mut self, now: TimestampMs) {
        for message in std::mem::take(&mut self.parts.worker.said) {
            let Some(message) = self.tell_coordinator(message, now) else { continue };
            self.handle(Input::internal(InputKind::Worker(message)), now);
        }
    }

    fn wait(&mut self) {
        let now = now_ms();
        // While nothing can be written, whatever else is due stays due: it must not keep us awake.
        let deadline = match &self.stuck {
            Some((_, retry_at)) => Some(retry_at.on_wall(now)),
            None => self.next_deadline(),
        };
        let timeout = deadline.map(|at| {
            let ms = (at - now).max(0);
            Timespec { tv_sec: ms / 1000, tv_nsec: (ms % 1000) * 1_000_000 }
        });
        let mut fds = vec![PollFd::from_borrowed_fd(self.parts.wake.as_fd(), PollFlags::IN)];
        // Nothing more is taken from the host while what it said cannot be made durable.
        if self.stuck.is_none()
            && let Some(fd) = self.host.fd()
        {
            let mut flags = PollFlags::IN;
            if self.host.wants_write() {
                flags |= PollFlags::OUT;
            }
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => tracing::error!(%error, "poll failed"),
        }
        let woken = fds[0].revents().contains(PollFlags::IN);
        if woken {
            let _ = rustix::io::read(&self.parts.wake, &mut [0; 8]);
        }
    }

    /// When the next turn is due by itself.
    fn next_deadline(&mut self) -> Option<TimestampMs> {
        let now = now_ms();
        [
            self.parts.machine.poll_timeout().map(|(at, _)| at),
            self.parts.worker.poll_timeout(),
            self.idle_since.map(|since| since.saturating_add(self.idle_exit_ms())),
            self.give_back_at,
            self.start_over_at,
            self.look_for_space_at.map(|at| at.on_wall(now)),
            self.host.retry_at(now),
            self.host.has_more().then_some(0),
            self.denials.poll_timeout(),
            self.inbox.poll_timeout(),
            self.attention.poll_timeout(),
            self.unread.retry_at(now),
            self.federation.poll_timeout(now),
            (!self.unpublished.is_empty()).then_some(self.published_ms + PUBLISH_APART_MS),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Tells the streams what is durable, unless they were told just now.
    fn publish(&mut self, now: TimestampMs) {
        // A clock that was set back must not silence the streams.
        let early = (self.published_ms..self.published_ms + PUBLISH_APART_MS).contains(&now);
        if self.unpublished.is_empty() || (early && self.stopping.is_none()) {
            return;
        }
        self.published_ms = now;
        // No receiver is no trouble: nobody is looking.
        let _ = self.parts.events.send(Arc::new(EventBatch::new(std::mem::take(&mut self.unpublished))));
    }
}
