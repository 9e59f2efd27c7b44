//! The node's own worker: turns grants into sessions of the session host, and exits into results.
//!
//! Owns what is known of live attempts here. Talks to the host only through [`LocalWorker::to_host`],
//! which the driver sends after the events of the turn are durable. Decides nothing about runs.

mod agents;
mod bases;
mod disk;
mod life;
mod look_up;
mod off_thread;
pub(crate) mod pace;
mod parting;
mod results;
mod run_secrets;
mod secrets;
mod start;
#[cfg(test)]
mod tests;
mod written;

pub(crate) use results::remove;
pub(crate) use start::prompt_file;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use self::disk::DiskFailure;
use self::life::Life;
use self::off_thread::{Found, OffThreadJob, Tickets};
use self::pace::Pace;
use self::parting::Parting;
use self::run_secrets::RunSecrets;
use self::written::Written;
use super::chores::Chores;
use super::environment;
use super::exposure::Exposure;
use crate::config::{Keys, Settings};
use cis_core::agent::Agent;
use cis_core::api::{FromWorker, TaskSpec, TermSize, ToWorker, Worker};
use cis_core::dag::ValueType;
use cis_core::event::SessionState;
use cis_core::ids::{AttemptId, BlobId, Fence, RunId, SessionId, TimestampMs};
use cis_core::policy::redact::Redactor;
use cis_host::protocol::ToHost;
use cis_local::Home;
use cis_local::now_ms;
use cis_store::Blobs;

/// A session that lives shorter than this is never shown as live: most tasks of a fast run do.
pub(super) const YOUNG_MS: i64 = 20;

/// Name of the node's own environment at the host.
const NODE_ENVIRONMENT: &str = "node";

/// Environment variables by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// An attempt whose session may be alive.
struct Live {
    attempt: AttemptId,
    fence: Fence,
    declared: BTreeMap<String, ValueType>,
    redactor: Arc<Redactor>,
    /// Redactor of the secret values that this session got from earlier tasks.
    own_secrets: Arc<Redactor>,
    /// Whether values of its own are kept next to its log.
    keeps_secrets: bool,
    /// Why its secrets are not known, and what is needed to find them: until then nothing of it is shown.
    withheld: Option<(String, Box<TaskSpec>)>,
    timeout_ms: Option<u64>,
    idle_ms: Option<u64>,
    tty: bool,
    command: String,
    log: PathBuf,
    /// Files that it was given, or may have been given: they are removed when it is forgotten.
    given: Vec<PathBuf>,
    life: Life,
    /// An earlier life of this node started it, perhaps before its file of outputs was watched for.
    adopted: bool,
    /// It wrote to `CIS_OUTPUT`, or may have.
    wrote_output: bool,
    /// When its result was handed in: what it left is collected, unless a limit had ended it before.
    handed_in_ms: Option<TimestampMs>,
    /// What is typed once it waits for input: the prompt of an agent that takes it so.
    typed: Option<String>,
    /// The profile that reads its screen.
    profile: Option<String>,
    /// What of its work is done off-thread.
    job: Option<Box<OffThreadJob>>,
}

/// See the module.
pub(super) struct LocalWorker {
    home: Home,
    keys: Arc<Keys>,
    blobs: Arc<Blobs>,
    own_environment: Variables,
    settings: Arc<Settings>,
    environments: HashMap<BlobId, Arc<Variables>>,
    /// Names of environments that the present host has.
    placed: HashSet<String>,
    /// Runs whose folder of logs is there.
    log_dirs: HashSet<RunId>,
    /// Secrets of runs that declare some.
    run_secrets: HashMap<RunId, RunSecrets>,
    /// Redactor of runs that declare no secrets.
    no_secrets: Arc<Redactor>,
    /// New redactors of live sessions that their viewers do not use yet.
    pub(super) redactors: Vec<(SessionId, Arc<Redactor>)>,
    written: Written,
    live: HashMap<SessionId, Live>,
    by_attempt: HashMap<AttemptId, SessionId>,
    young: VecDeque<(TimestampMs, SessionId)>,
    /// Sessions of rooms that began, and when others must not wait for them any more.
    long_at: VecDeque<(TimestampMs, SessionId)>,
    /// Runs of rooms that have such a session: what is to be said of it is the driver's matter.
    pub(super) slowed: Vec<RunId>,
    /// Ended sessions whose files are being kept, and when that is shown.
    slow: VecDeque<(TimestampMs, SessionId)>,
    /// Ended sessions for whose files no thread could be started, and when that is tried again.
    unkept: BTreeSet<(TimestampMs, SessionId)>,
    chores: Chores<Found>,
    tickets: Tickets,
    paces: HashMap<RunId, Pace>,
    /// For the host, in order.
    pub(super) to_host: Vec<ToHost>,
    /// For the scheduler, in order.
    pub(super) said: Vec<FromWorker>,
    /// Sessions that have lived long enough to be shown.
    pub(super) exposed: Vec<Exposure>,
    partings: Vec<Parting>,
    disk_failure: Option<DiskFailure>,
    /// When the home was last moved: sessions that started before have its old path.
    moved_ms: Option<TimestampMs>,
    /// What is to be typed into sessions, in order.
    pub(super) to_type: Vec<(SessionId, String)>,
    now_ms: TimestampMs,
}

impl LocalWorker {
    pub(super) fn new(
        home: Home,
        keys: Arc<Keys>,
        blobs: Arc<Blobs>,
        own: Variables,
        wake: Arc<OwnedFd>,
        settings: Arc<Settings>,
    ) -> Self {
        let written = Written::new(&home.outputs());
        Self {
            home,
            keys,
            blobs,
            own_environment: environment::inherited(own),
            settings,
            environments: HashMap::new(),
            placed: HashSet::new(),
            log_dirs: HashSet::new(),
            run_secrets: HashMap::new(),
            no_secrets: Arc::default(),
            redactors: Vec::new(),
            written,
            live: HashMap::new(),
            by_attempt: HashMap::new(),
            young: VecDeque::new(),
            long_at: VecDeque::new(),
            slowed: Vec::new(),
            slow: VecDeque::new(),
            unkept: BTreeSet::new(),
            chores: Chores::new(wake),
            tickets: Tickets::new(),
            paces: HashMap::new(),
            to_host: Vec::new(),
            said: Vec::new(),
            exposed: Vec::new(),
            partings: Vec::new(),
            disk_failure: None,
            moved_ms: None,
            to_type: Vec::new(),
            now_ms: 0,
        }
    }

    /// The time of the turn.
    pub(super) fn set_now(&mut self, now_ms: TimestampMs) {
        self.now_ms = now_ms;
    }

    /// The connection is new: the host may not have our environments.
    pub(super) fn host_connected(&mut self) {
        self.placed.clear();
    }

    /// Every session of the host is gone; the scheduler is told by somebody else.
    pub(super) fn host_lost(&mut self) {
        self.live.clear();
        self.by_attempt.clear();
        self.young.clear();
        self.long_at.clear();
        self.slowed.clear();
        self.slow.clear();
        self.unkept.clear();
        self.tickets.clear();
        self.paces.clear();
        self.partings.clear();
        self.to_host.clear();
        self.host_connected();
    }

    pub(super) fn live_count(&self) -> usize {
        self.live.len()
    }

    /// Returns the live sessions of a run.
    pub(super) fn sessions_of(&self, run: RunId) -> Vec<SessionId> {
        let of_run = self.live.iter().filter(|(_, live)| live.attempt.run == run && live.life.has_session());
        of_run.map(|(session, _)| *session).collect()
    }

    pub(super) fn attempt_of(&self, session: SessionId) -> Option<&AttemptId> {
        self.live.get(&session).map(|live| &live.attempt)
    }

    /// What it runs, where that is an agent: its profile.
    pub(super) fn agent_of(&self, session: SessionId) -> Option<&Agent> {
        self.settings.agents.get(self.live.get(&session)?.profile.as_deref()?)
    }

    /// The prompt of an agent that is to be typed, once.
    pub(super) fn take_typed(&mut self, session: SessionId) -> Option<String> {
        self.live.get_mut(&session)?.typed.take()
    }

    /// There is one to be typed.
    pub(super) fn has_typed(&self, session: SessionId) -> bool {
        self.live.get(&session).is_some_and(|live| live.typed.is_some())
    }

    /// Whether it was shown to the rest of the node.
    pub(super) fn is_exposed(&self, session: SessionId) -> bool {
        self.live.get(&session).is_some_and(|live| live.life.is_exposed())
    }

    /// What must not be shown of a session.
    pub(super) fn redactor(&self, session: SessionId) -> Option<&Arc<Redactor>> {
        self.live.get(&session).map(|live| &live.redactor)
    }

    /// The session's first process is there.
    pub(super) fn started(&mut self, session: SessionId, pid: u32) {
        if let Some(live) = self.live.get_mut(&session) {
            live.life.started(pid);
            let run = live.attempt.run;
            self.pace_begins(run, session);
            self.young.push_back((self.now_ms + YOUNG_MS, session));
        }
    }

    /// When the next young session comes of age.
    pub(super) fn poll_timeout(&mut self) -> Option<TimestampMs> {
        let shown = self.next_shown();
        let unkept = self.unkept.first().map(|(due, _)| *due);
        shown.into_iter().chain(self.next_parting()).chain(self.next_long()).chain(unkept).min()
    }

    fn next_shown(&mut self) -> Option<TimestampMs> {
        while let Some((due, session)) = self.young.front() {
            if self.live.get(session).is_some_and(|live| !live.life.is_exposed() && live.life.has_session()) {
                let slow = self.slow.front().map(|(slow, _)| *slow);
                return Some(slow.map_or(*due, |slow| slow.min(*due)));
            }
            self.young.pop_front();
        }
        self.next_slow()
    }

    /// Shows the sessions that have lived long enough, and goes on ending those that are asked to end.
    pub(super) fn come_of_age(&mut self) {
        self.go_on_parting();
        self.keep_again();
        self.show_slow();
        self.slow_long();
        while let Some((due, session)) = self.young.front().copied() {
            if due > self.now_ms {
                return;
            }
            self.young.pop_front();
            if let Some(run) = self.attempt_of(session).map(|attempt| attempt.run) {
                self.pace_of_age(run);
            }
            self.expose(session);
        }
    }

    /// Whether a session of ours is still to come.
    pub(super) fn is_starting(&self, session: SessionId) -> bool {
        self.live.get(&session).is_some_and(|live| live.life.is_starting())
    }

    /// Shows a session now. Answers whether it is (or was) one of ours that can be shown.
    pub(super) fn expose(&mut self, session: SessionId) -> bool {
        self.reveal(session);
        let Some(live) = self.live.get_mut(&session) else { return false };
        let Life::Running { pid, exposed } = live.life else { return live.life.is_exposed() };
        if !exposed && live.withheld.is_none() {
            live.life.expose();
            self.said.push(FromWorker::Session {
                attempt: live.attempt.clone(),
                fence: live.fence,
                state: SessionState::Working,
                pid: Some(pid),
            });
            self.exposed.push(Exposure {
                session,
                tty: live.tty,
                adopted: live.adopted,
                size: live.tty.then(TermSize::default),
                log: live.log.clone(),
                command: live.command.clone(),
                redactor: Arc::clone(&live.redactor),
                profile: live.profile.clone(),
            });
        }
        true
    }
}

impl Worker for LocalWorker {
    fn tell(&mut self, message: ToWorker) {
        match message {
            ToWorker::Grant { attempt, session, fence, slots, spec, .. } => {
                self.grant((&attempt, fence), session, slots, *spec, None)
            }
            // The own worker's grants end with the node, not with a lease.
            ToWorker::Renew { .. } => {}
            ToWorker::Cancel { attempt, fence: _, grace_ms, keep } => {
                if let Some(session) = self.by_attempt.get(&attempt).copied() {
                    match self.live.get_mut(&session) {
                        Some(live) if keep => {
                            // Not the time of the turn, in which a limit may have ended the session meanwhile.
                            live.handed_in_ms.get_or_insert_with(now_ms);
                            return self.part(session, grace_ms);
                        }
                        _ => self.stop_job(session),
                    }
                    self.to_host.push(ToHost::Kill { session, grace_ms: Some(grace_ms) });
                }
            }
            ToWorker::Ack { attempt, fence: _ } => {
                if let Some(session) = self.by_attempt.get(&attempt).copied() {
                    if self.live.get(&session).is_some_and(|live| live.life.is_known_to_host()) {
                        self.to_host.push(ToHost::AckExit { session });
                    }
                    self.forget(session);
                }
            }
        }
    }
}
