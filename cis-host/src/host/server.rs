//! The loop: what happened, what it means, what is said about it.

mod resume;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;

use super::config::{HostConfig, HostError, READY};
use super::launch::Launcher;
use super::listener::Door;
use super::notes::Notes;
use super::peers::Peers;
use super::poll::{Poll, Source};
use super::process_table::ProcessTable;
use super::queues::Queues;
use super::renewal_stage::Renewal;
use super::sessions::Sessions;
use super::state::{Host, OUTPUT_PER_TURN};
use super::supervise::Supervise;
use super::timers::{Timers, Wake};
use super::{leftovers, listener};
use crate::build;
use crate::evidence::Strangers;
use crate::exits;
use crate::os::{self, ProcFs, Processes as _, SignalFd, Stamps};
use cis_core::ids::HostInstance;
use cis_local::Clocks;
use cis_local::{Anchor, Holder, open_regular};

/// A crash report of earlier lives is dropped above this, bytes.
const CRASH_LOG_BYTES_MAX: u64 = 1 << 20;
/// What has ended everything waits so long for its peers to read about it, ms.
const LAST_WORDS_MS: u64 = 1000;

/// The loop of a host, and when it ends.
struct Server {
    host: Host,
    signals: SignalFd,
    idle_since: Option<u64>,
    /// When the code that only the start needed is unmapped, on the boot clock, ms: at the next wake-up after that.
    start_over_at: Option<u64>,
    /// Since when everything is ended, where the host shuts down.
    over_since: Option<u64>,
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
    let config = config.absolute()?;
    // Its own files are opened below this directory, also if the home is moved while it runs.
    std::env::set_current_dir(&config.home).map_err(|source| HostError::File {
        action: "enter",
        path: config.home.clone(),
        source,
    })?;
    let server = Server::new(config)?;
    server.announce()?;
    server.serve()
}

/// Goes on with the host that an earlier program of this process was, which left its state in the socket with this number
/// ([`super::RENEWED_FROM`]).
///
/// The process must be as that program left it, with one thread and no descriptor above 2 but the socket.
///
/// # Errors
/// [`HostError`]. Sessions are then gone with it.
pub fn run_renewed(socket: i32) -> Result<(), HostError> {
    let socket = os::inherited(socket).map_err(HostError::system("take the state of its earlier program"))?;
    Server::resume(socket)?.serve()
}

impl Server {
    fn of(host: Host, signals: SignalFd) -> Self {
        let start_over_at = Some(host.now + u64::from(os::START_MS));
        Self { host, signals, idle_since: None, start_over_at, over_since: None }
    }

    /// Serves until it is over, and leaves in good order.
    fn serve(mut self) -> Result<(), HostError> {
        // Nobody may come.
        self.look_whether_idle();
        self.host.look_after_socket();
        self.host.timers.arm(self.host.now);
        let mut events = Vec::with_capacity(64);
        while !self.is_over() {
            self.turn(&mut events)?;
        }
        let mut host = self.host;
        // Before the lock is given up, so that it is never the socket of the next host.
        host.door.file.remove();
        // Where that fails the next host looks for processes, and finds none.
        let _ = host.lock.clear();
        host.notes.leave(&host.sessions);
        Ok(())
    }

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
        let poll = Poll::new().map_err(HostError::system("create an epoll"))?;
        let timers = Timers::new().map_err(HostError::system("create a timer"))?;
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| HostError::System { action: "get random bytes", source: error.into() })?;
        let now_unix = cis_local::now_ms();
        let door = Door::new(listener::bind(&config.socket)?, starter);
        let holder = Holder { pid: std::process::id(), socket: config.socket.clone() };
        lock.name(&holder).map_err(|source| HostError::File {
            action: "note its life in",
            path: config.lock.clone(),
            source,
        })?;
        poll_own(&poll, &door, &signals, &timers)?;
        let anchor = Anchor::at(&config.home).map_err(HostError::system("open its home"))?;
        let works_in_home = std::env::current_dir().is_ok_and(|directory| directory == config.home);
        let host = Host {
            instance: HostInstance::from_parts(now_unix.unsigned_abs(), u128::from_le_bytes(random)),
            launcher: Launcher::new(stamps, nofile, config.umask),
            sessions: Sessions::new(),
            queues: Queues::default(),
            notes: Notes::open(if works_in_home {
                exits::FILE.into()
            } else {
                config.home.join(exits::FILE)
            }),
            anchor,
            home: config.home.clone(),
            works_in_home,
            peers: Peers::new(),
            supervise: Supervise::default(),
            renewal: Renewal::default(),
            build: build::own(),
            processes: ProcessTable::new(processes),
            strangers: Strangers::default(),
            shutting_down: false,
            now: os::boot_ms(),
            now_unix,
            clocks: Clocks::default(),
            buffer: vec![0; OUTPUT_PER_TURN],
            lock,
            poll,
            timers,
            door,
            config,
        };
        Ok(Self::of(host, signals))
    }

    /// Says that it listens, and lets go of the streams it was born with.
    fn announce(&self) -> Result<(), HostError> {
        let line = format!("{READY}\n");
        // The spawner may be gone: that is what a host is for.
        let _ = rustix::io::write(rustix::stdio::stdout(), line.as_bytes());
        let null = os::null_device().map_err(HostError::system("open /dev/null"))?;
        os::onto_null(&null).map_err(HostError::system("let go of its standard streams"))?;
        let log = Path::new("host.log");
        let large = std::fs::metadata(log).is_ok_and(|log| log.len() > CRASH_LOG_BYTES_MAX);
        let mut options = OpenOptions::new();
        options.create(true).mode(0o600);
        if large {
            options.write(true).truncate(true)
        } else {
            options.append(true)
        };
        let opened = open_regular(&mut options, log);
        let redirected = opened.and_then(os::stderr_to);
        redirected
            .or_else(|_| os::stderr_to(&null))
            .map_err(HostError::system("let go of its standard streams"))
    }

    /// Waits for something to happen, and deals with all that did.
    fn turn(&mut self, events: &mut Vec<epoll::Event>) -> Result<(), HostError> {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        const SOON: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        let host = &mut self.host;
        let sessions = &host.sessions;
        let done = host.peers.rest() && sessions.ended.is_empty() && sessions.ending.is_empty();
        let timeout = match (done, sessions.fresh.is_empty()) {
            (false, _) => Some(&AT_ONCE),
            (true, false) => Some(&SOON),
            (true, true) => None,
        };
        events.clear();
        match epoll::wait(&host.poll, spare_capacity(events), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(HostError::system("wait for its descriptors")(error)),
        }
        host.now = os::boot_ms();
        host.now_unix = cis_local::now_ms();
        if host.clocks.stood_still(host.now, host.now_unix, os::boot_ms()) {
            host.freeze_leased();
        }
        host.processes.drop_snapshot();
        for event in events.iter() {
            let flags = event.flags;
            match Source::of(event.data) {
                Source::Listener => host.accept_all(),
                Source::Signals => take_signals(&mut self.signals, host),
                Source::Timers => {}
                Source::Connection(at) => host.connection_ready(at, flags),
                Source::Output(at) => host.output_ready(at, flags),
                Source::Input(at) => host.write_input(at),
            }
        }
        host.settle_ended();
        while let Some(who) = host.timers.due(host.now) {
            match who {
                Wake::Session(at) => host.session_due(at),
                Wake::Host => {
                    host.look_after_socket();
                    if self.start_over_at.take_if(|at| *at <= host.now).is_some() {
                        // Gives back what only the start needed.
                        os::unmap_code();
                    }
                }
            }
        }
        host.end_rounds();
        host.settle_ended();
        host.poll_fresh();
        host.serve_listed();
        // After a timer, or after the process that was started last has ended.
        host.restart_node_if_due();
        host.advance_renewal();
        self.look_whether_idle();
        self.host.timers.arm(self.host.now);
        Ok(())
    }

    fn look_whether_idle(&mut self) {
        let host = &mut self.host;
        let busy = host.sessions.len() > 0 || host.peers.len() > 0 || host.supervise.wants_node();
        if busy {
            self.idle_since = None;
        } else if self.idle_since.is_none() {
            self.idle_since = Some(host.now);
            host.timers.wish(host.now + linger_ms(host), Wake::Host);
        }
        if host.shutting_down && self.over_since.is_none() && host.sessions.living().next().is_none() {
            self.over_since = Some(host.now);
            host.timers.wish(host.now + LAST_WORDS_MS, Wake::Host);
        }
    }

    fn is_over(&self) -> bool {
        let now = self.host.now;
        let idle = self.idle_since.is_some_and(|since| now >= since + linger_ms(&self.host));
        let all_said = || self.host.peers.are_drained();
        let shut_down = self.over_since.is_some_and(|since| now >= since + LAST_WORDS_MS || all_said());
        idle || shut_down
    }
}

/// Polls the descriptors that are there as long as the host is.
fn poll_own(poll: &Poll, door: &Door, signals: &SignalFd, timers: &Timers) -> Result<(), HostError> {
    for (descriptor, source) in [
        (door.listener.as_fd(), Source::Listener),
        (signals.as_fd(), Source::Signals),
        (timers.as_fd(), Source::Timers),
    ] {
        poll.add(descriptor, source, EventFlags::IN).map_err(HostError::system("poll its descriptors"))?;
    }
    Ok(())
}

fn take_signals(signals: &mut SignalFd, host: &mut Host) {
    let pending = signals.take();
    if pending.child {
        host.reap();
    }
    if pending.terminate {
        host.shut_down();
    }
}

fn linger_ms(host: &Host) -> u64 {
    u64::try_from(host.config.linger.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests;
