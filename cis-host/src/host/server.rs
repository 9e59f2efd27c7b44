//! The loop: what happened, what it means, what is said about it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::config::{HostConfig, HostError, READY};
use super::connection::Connection;
use super::ending::open_notes;
use super::environment::{Base, Programs};
use super::line::Lines;
use super::orphans::Orphans;
use super::place::FoundAt;
use super::session::Session;
use super::slab::Slab;
use super::source::Source;
use super::supervise::Supervise;
use super::timers::{Timers, Wake};
use super::tree::Forest;
use super::{leftovers, listener};
use crate::evidence::Strangers;
use crate::exits::{self, ExitFile, Note};
use crate::os::{self, Limits, Nofile, ProcFs, ProcessKey, Processes as _, SignalFd, Spawner, Stamps};
use cis_core::ids::{HostInstance, SessionId, TimestampMs};
use cis_local::{Holder, LockFile};

/// So much of a session's output is read in one turn, bytes: a flood does not hold up the others.
pub(super) const OUTPUT_PER_TURN: usize = 64 << 10;
/// A crash report of earlier lives is dropped above this, bytes.
const CRASH_LOG_BYTES_MAX: u64 = 1 << 20;
/// What has ended everything waits so long for its peers to read about it, ms.
const LAST_WORDS_MS: u64 = 1000;

/// All that a host has.
pub(super) struct Host {
    pub(super) config: HostConfig,
    pub(super) poll: OwnedFd,
    pub(super) processes: ProcFs,
    pub(super) timers: Timers,
    pub(super) instance: HostInstance,
    pub(super) own_pid: u32,
    pub(super) nofile: Nofile,
    pub(super) limits: Limits,
    pub(super) spawner: Spawner,
    pub(super) stamps: Stamps,
    pub(super) programs: Programs,
    pub(super) bases: HashMap<String, Base>,
    pub(super) sessions: Slab<Session>,
    pub(super) by_id: HashMap<SessionId, usize>,
    /// Sessions that wait for their turn.
    pub(super) lines: Lines,
    /// Leaders that were not waited for yet.
    pub(super) by_pid: HashMap<u32, usize>,
    /// Sessions whose leader ended, to be looked at in this turn.
    pub(super) ended: Vec<usize>,
    /// The file in which ends of leaders are noted.
    pub(super) exits: ExitFile,
    /// When notes that could not be written are tried again.
    pub(super) notes_retry_at: Option<u64>,
    /// Notes of ended sessions of earlier hosts whose end no node has recorded.
    pub(super) left: BTreeMap<SessionId, Note>,
    /// Sessions that are being ended, to be looked at in this turn.
    pub(super) ending: Vec<usize>,
    /// Sessions that were started a moment ago and are not polled yet, in the order of their start.
    pub(super) fresh: VecDeque<usize>,
    pub(super) connections: Slab<Connection>,
    pub(super) control: Option<usize>,
    /// Connections with something to do at the end of this turn.
    pub(super) listed: Vec<usize>,
    pub(super) supervise: Supervise,
    /// The process that started this host, if it had no limit then.
    pub(super) starter: Option<ProcessKey>,
    /// Whose the orphans are.
    pub(super) orphans: Orphans,
    /// Who else waits for terminals.
    pub(super) strangers: Strangers,
    /// All processes, for the other sessions that are looked at in this turn.
    pub(super) probed: Option<Rc<Forest>>,
    pub(super) shutting_down: bool,
    /// Of the boot clock, ms, read once a turn.
    pub(super) now: u64,
    pub(super) now_unix: TimestampMs,
    pub(super) buffer: Vec<u8>,
    signals: SignalFd,
    pub(super) listener: UnixListener,
    pub(super) found_at: FoundAt,
    /// Given up for a moment where descriptors have run out, to take a peer in and send it away.
    pub(super) spare: Option<OwnedFd>,
    idle_since: Option<u64>,
    /// When the code that only the start needed is unmapped, on the boot clock, ms: at the next wake-up after that.
    start_over_at: Option<u64>,
    over_since: Option<u64>,
    pub(super) lock: LockFile,
}

/// Runs a host until it has nothing left to do, was told to shut down, or cannot go on. Says
/// [`READY`] on stdout once it listens; stdin and stdout are `/dev/null` from then on.
///
/// The process must be the host's alone, with one thread and no descriptor above 2: it gives up its
/// session, its signals and its descriptors.
///
/// # Errors
/// [`HostError`]. Sessions are then gone with it.
pub fn run(config: HostConfig) -> Result<(), HostError> {
    os::close_all_above_stderr();
    // Fails where the spawner has made it a session's leader: as good.
    let _ = rustix::process::setsid();
    let mut host = Host::new(config.absolute()?)?;
    host.announce()?;
    // Nobody may come.
    host.look_whether_idle();
    host.look_after_socket();
    host.timers.arm(host.now);
    let mut events = Vec::with_capacity(64);
    while !host.is_over() {
        host.turn(&mut events)?;
    }
    // Before the lock is given up, so that it is never the socket of the next host.
    host.found_at.file.remove();
    // Where that fails the next host looks for processes, and finds none.
    let _ = host.lock.clear();
    host.exits.leave(&open_notes(&host.left, &host.sessions));
    Ok(())
}

impl Host {
    fn new(config: HostConfig) -> Result<Self, HostError> {
        let mut lock = listener::lock(&config.lock)?;
        let nofile = os::raise_nofile();
        rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
            .map_err(HostError::system("become the reaper of orphans"))?;
        let signals = os::watch_signals().map_err(HostError::system("watch its signals"))?;
        let processes = ProcFs::open().map_err(HostError::system("read /proc"))?;
        // Stamps are made from the home, because the directory of the socket can change. Earlier versions made them
        // from that directory.
        let before = lock.holder().map(|before| before.socket);
        let sockets = [Some(&config.socket), config.fallback.as_ref(), before.as_ref()];
        let directory = |socket: &PathBuf| socket.parent().unwrap_or(socket).as_os_str().as_bytes().to_vec();
        let directories: BTreeSet<_> = sockets.into_iter().flatten().map(directory).collect();
        let stamps = Stamps::new(&config.home, &directories);
        let starter = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        let is_outside =
            |pid: &u32| processes.stamp(*pid).is_some_and(|limit| !stamps.is_from_a_session(limit));
        let starter =
            starter.filter(is_outside).and_then(|pid| processes.one(pid)).map(|process| process.key());
        leftovers::take_over(&mut lock, &directories, &stamps, &processes).map_err(|source| {
            HostError::File { action: "note its life in", path: config.lock.clone(), source }
        })?;
        let poll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(HostError::system("create an epoll"))?;
        let timers = Timers::new().map_err(HostError::system("create a timer"))?;
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| HostError::System { action: "get random bytes", source: error.into() })?;
        let now_unix = cis_local::now_ms();
        let limits = Limits { nofile: nofile.child_limit(), umask: config.umask, stamp: None };
        let (listener, file) = listener::bind(&config.socket)?;
        let holder = Holder { pid: std::process::id(), socket: config.socket.clone() };
        lock.name(&holder).map_err(|source| HostError::File {
            action: "note its life in",
            path: config.lock.clone(),
            source,
        })?;
        let (exits, left) = ExitFile::open(config.home.join(exits::FILE));
        let host = Self {
            exits,
            notes_retry_at: None,
            left: left.into_iter().map(|note| (note.known.session, note)).collect(),
            instance: HostInstance::from_parts(now_unix.unsigned_abs(), u128::from_le_bytes(random)),
            own_pid: std::process::id(),
            spawner: Spawner::new(),
            stamps,
            programs: Programs::default(),
            bases: HashMap::new(),
            sessions: Slab::new(),
            by_id: HashMap::new(),
            lines: Lines::default(),
            by_pid: HashMap::new(),
            ended: Vec::new(),
            ending: Vec::new(),
            fresh: VecDeque::new(),
            connections: Slab::new(),
            control: None,
            listed: Vec::new(),
            supervise: Supervise::default(),
            starter,
            orphans: Orphans::default(),
            strangers: Strangers::default(),
            probed: None,
            shutting_down: false,
            now: os::boot_ms(),
            buffer: vec![0; OUTPUT_PER_TURN],
            spare: os::null_device().ok(),
            idle_since: None,
            start_over_at: Some(os::boot_ms() + u64::from(os::START_MS)),
            over_since: None,
            lock,
            now_unix,
            limits,
            nofile,
            processes,
            poll,
            timers,
            signals,
            listener,
            found_at: FoundAt { file, look_at: 0 },
            config,
        };
        host.watch(host.listener.as_fd(), Source::Listener)?;
        host.watch(host.signals.as_fd(), Source::Signals)?;
        host.watch(host.timers.as_fd(), Source::Timers)?;
        Ok(host)
    }

    pub(super) fn watch(&self, descriptor: BorrowedFd<'_>, source: Source) -> Result<(), HostError> {
        epoll::add(&self.poll, descriptor, source.data(), epoll::EventFlags::IN)
            .map_err(HostError::system("poll its descriptors"))
    }

    /// Says that it listens, and lets go of the streams and the directory it was born with.
    fn announce(&self) -> Result<(), HostError> {
        let line = format!("{READY}\n");
        // The spawner may be gone: that is what a host is for.
        let _ = rustix::io::write(rustix::stdio::stdout(), line.as_bytes());
        let null = os::null_device().map_err(HostError::system("open /dev/null"))?;
        os::onto_null(&null).map_err(HostError::system("let go of its standard streams"))?;
        let _ = std::env::set_current_dir(&self.config.home);
        let log = self.config.home.join("host.log");
        let large = std::fs::metadata(&log).is_ok_and(|log| log.len() > CRASH_LOG_BYTES_MAX);
        let mut options = OpenOptions::new();
        options.create(true).mode(0o600);
        let opened = if large { options.write(true).truncate(true) } else { options.append(true) }.open(log);
        let redirected = opened.and_then(os::stderr_to);
        redirected
            .or_else(|_| os::stderr_to(&null))
            .map_err(HostError::system("let go of its standard streams"))
    }

    /// Waits for something to happen, and deals with all that did.
    fn turn(&mut self, events: &mut Vec<epoll::Event>) -> Result<(), HostError> {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        const SOON: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        let done = self.listed.is_empty() && self.ended.is_empty() && self.ending.is_empty();
        let timeout = match (done, self.fresh.is_empty()) {
            (false, _) => Some(&AT_ONCE),
            (true, false) => Some(&SOON),
            (true, true) => None,
        };
        events.clear();
        match epoll::wait(&self.poll, spare_capacity(events), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(HostError::system("wait for its descriptors")(error)),
        }
        self.now = os::boot_ms();
        self.now_unix = cis_local::now_ms();
        self.probed = None;
        for event in events.iter() {
            let flags = event.flags;
            match Source::of(event.data) {
                Source::Listener => self.accept_all(),
                Source::Signals => self.take_signals(),
                Source::Timers => {}
                Source::Connection(at) => self.connection_ready(at, flags),
                Source::Output(at) => self.output_ready(at, flags),
                Source::Input(at) => self.write_input(at),
            }
        }
        self.settle_ended();
        while let Some(who) = self.timers.due(self.now) {
            match who {
                Wake::Session(at) => self.session_due(at),
                Wake::Host => {
                    self.restart_node_if_due();
                    self.look_after_socket();
                    self.end_start();
                }
            }
        }
        self.end_rounds();
        self.settle_ended();
        self.poll_fresh();
        self.serve_listed();
        self.look_whether_idle();
        self.timers.arm(self.now);
        Ok(())
    }

    /// Gives back what only the start needed.
    fn end_start(&mut self) {
        if self.start_over_at.is_some_and(|at| at <= self.now) {
            self.start_over_at = None;
            os::unmap_code();
        }
    }

    fn take_signals(&mut self) {
        let pending = self.signals.take();
        if pending.child {
            self.reap();
        }
        if pending.terminate {
            self.shut_down();
        }
    }

    /// Takes a descriptor out of the epoll that is about to be closed. Closing does not do it at once:
    /// a child that was just started holds copies of all descriptors until the middle of its execve,
    /// which the host does not wait for, and epoll would go on telling of them.
    pub(super) fn poll_no_more(&self, descriptor: impl AsFd) {
        // Where it was not polled, there is nothing to do.
        let _ = epoll::delete(&self.poll, descriptor);
    }

    /// Wishes for the next wake-up of a session.
    pub(super) fn wish(&mut self, slot: usize) {
        if let Some(at_ms) = self.sessions.get(slot).and_then(Session::next_wake) {
            self.timers.wish(at_ms, Wake::Session(slot));
        }
        self.timers.compact(&self.sessions);
    }

    fn look_whether_idle(&mut self) {
        let busy = self.sessions.len() > 0 || self.connections.len() > 0 || self.supervise.wants_node();
        if busy {
            self.idle_since = None;
        } else if self.idle_since.is_none() {
            self.idle_since = Some(self.now);
            self.timers.wish(self.now + self.linger_ms(), Wake::Host);
        }
        if self.shutting_down
            && self.over_since.is_none()
            && !self.sessions.iter().any(|(_, one)| one.lives())
        {
            self.over_since = Some(self.now);
            self.timers.wish(self.now + LAST_WORDS_MS, Wake::Host);
        }
    }

    fn linger_ms(&self) -> u64 {
        u64::try_from(self.config.linger.as_millis()).unwrap_or(u64::MAX / 2)
    }

    fn is_over(&self) -> bool {
        let idle = self.idle_since.is_some_and(|since| self.now >= since + self.linger_ms());
        let all_said = || self.connections.iter().all(|(_, peer)| peer.is_drained());
        let shut_down = self.over_since.is_some_and(|since| self.now >= since + LAST_WORDS_MS || all_said());
        idle || shut_down
    }
}
