//! Starting a node and ending it: what is made in which order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::Mode;
use tokio::net::UnixListener;
use tokio::sync::{broadcast, oneshot, watch};

use super::commands::{Command, DriverHandle};
use super::driver::{Driver, Parts};
use super::host_health::HostHealth;
use super::own_commands::OwnCommands;
use super::remote::{self, RemoteError};
use super::shared::Shared;
use super::start_checks::StartChecks;
use super::upkeep::auto::Upkeep;
use super::upkeep::{self, HalfRestored, StoreGone, cancels, reserve};
use super::worker::LocalWorker;
use super::{federation, link, outbox_name, own_log, restore};
use crate::RoomsInMemory;
use crate::account::{Account, GivenAccount};
use crate::config::{Config, Identity, IdentityError, KeyError, Keys, Settings, Tokens};
use crate::members::Members;
use crate::node::Node;
use crate::room_waker::RoomWaker;
use crate::server::{self, Bound, TcpEndpoint, UnderWay};
use cis_core::ids::RunId;
use cis_core::scheduler::{Breaker, Machine};
use cis_host::hub::{Hub, HubNews};
use cis_local::{
    Anchor, DirectoryError, Holder, LockFile, SocketFile, check_unused, is_held, keep_realtime_limit_outside,
    make_way,
};
use cis_local::{Home, HomeError};
use cis_store::{Blobs, Checkpointer, Readers, StoreError, Writer};

/// Interval at which a node looks whether its home was moved.
const HOME_LOOK_EVERY: Duration = Duration::from_secs(2);

/// Events that a slow stream may lag behind before it reads them from the store again.
const EVENT_BATCHES_KEPT: usize = 1024;

/// A node that was told to end by a signal ends by itself within this time, or at once after it.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// After the end of its driver, what other threads still do is given up.
const LAST_TIME_MAX: Duration = Duration::from_secs(1);

/// Within this time, open streams are told that the node was stopped, and the last messages to other nodes are sent; what takes longer is
/// cut off.
const LAST_MESSAGES_WITHIN: Duration = Duration::from_millis(500);

/// How a node is started.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Its home.
    pub home: Home,
    /// What was configured when it started.
    pub config: Config,
    /// It stays when there is nothing to do.
    pub stays: bool,
    /// How it is started again by its session host: program and arguments.
    pub restart: Vec<String>,
    /// How its session host is started: program and arguments.
    pub host_command: Vec<OsString>,
    /// What sessions get where no submitter's environment is known.
    pub environment: BTreeMap<String, String>,
    /// Rooms that this process holds for several nodes in it, in place of those of a homeserver: for measurements.
    pub rooms_in_memory: Option<RoomsInMemory>,
    /// Its Matrix account, in place of a login: for tests.
    pub account: Option<GivenAccount>,
    /// Its worker says so often to coordinators what it offers, ms, also if nothing changed. In place of the usual time: for tests.
    pub heartbeat_ms: Option<i64>,
}

/// What became of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It listens, and open runs go on.
    Ready,
}

/// Why a node ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The node was stopped, or had nothing left to do.
    Stopped,
    /// The node must be restarted by the command in [`NodeOptions::restart`]: it was started on a full disk, and there
    /// is space again; or its home was moved.
    Restart {
        /// Where its home is now.
        home: PathBuf,
    },
}

/// Why a node cannot run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Another one has this home.
    #[error("a node runs already in {}", home.display())]
    AlreadyRunning {
        /// The home.
        home: PathBuf,
    },
    /// Its file system cannot be written.
    #[error(
        "cannot start a node in {}: its file system is read-only; `cis store check` and `cis store backup FILE` work there. `dmesg` shows why \
         it is read-only",
        home.display()
    )]
    ReadOnly {
        /// The home.
        home: PathBuf,
    },
    /// The home is not usable.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The sockets of the home are not to be had.
    #[error(transparent)]
    Socket(#[from] DirectoryError),
    /// The keys are not usable.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Its list of trust cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The store is not usable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The home holds logs of sessions, but no store.
    #[error(transparent)]
    StoreGone(#[from] StoreGone),
    /// A restore of the home was interrupted.
    #[error(transparent)]
    HalfRestored(#[from] HalfRestored),
    /// It cannot listen over TCP as it was told to.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// Something of the system is not usable.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> NodeError {
    move |source| NodeError::System { what, source }
}

/// Opens the store, or makes one in a home that never had any.
fn open_store(home: &Home) -> Result<Writer, NodeError> {
    upkeep::refuse_half_restored(home)?;
    upkeep::refuse_gone(home)?;
    Ok(Writer::open(&home.database())?)
}

/// Runs a node until it is stopped, gets SIGTERM or SIGINT, or has had nothing to do for 10 s.
///
/// # Errors
/// It could not start. Once `ready` was called it ends in good order.
pub fn run(options: NodeOptions, ready: impl FnOnce(Readiness) + Send + 'static) -> Result<Ended, NodeError> {
    // Whatever is made from here on is ours alone.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    // Before there are threads.
    cis_host::share_memory();
    options.home.make()?;
    let lock = RefCell::new(lock(&options.home)?);
    let anchor = Arc::new(Anchor::at(&options.home.dir).map_err(system("open the home"))?);
    own_log::bound(&options.home.node_log());
    match options.home.pin_runtime() {
        // A command with another runtime directory finds the node next time.
        Err(HomeError::Make { source, .. }) if source.kind() == io::ErrorKind::StorageFull => {}
        pinned => pinned?,
    }
    let keys = Arc::new(Keys::load_or_make(&options.home.dir)?);
    let identity = Arc::new(Identity::open(&options.home)?);
    let members = Members::open(&options.home, Arc::clone(&identity))
        .map_err(system("read the rooms that this node joined"))?;
    let members = Arc::new(members);
    if let Some(problem) = identity.view().problem {
        tracing::warn!(problem, "nobody else is obeyed");
    }
    let limit_outside = keep_realtime_limit_outside(&options.home.dir)
        .map_err(system("note the session that the home is made in"))?;
    let mut writer = open_store(&options.home)?;
    let outbox_name = outbox_name::load_or_make(&mut writer)?;
    if writer.excludes_processes() {
        tracing::warn!("the disk is full: this node only reads until there is space again");
    } else {
        reserve::keep(&options.home.dir);
        cancels::keep(&options.home.dir);
    }
    let readers = Readers::open(&options.home.database())?;
    let blobs = Arc::new(Blobs::new(&options.home.dir).with_key(keys.secret_names()));
    let checkpointer = Checkpointer::start(&writer)?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("cis-api")
        .enable_all()
        .build()
        .map_err(system("start the API's threads"))?;
    let entered = runtime.enter();
    let (endpoint, remote) =
        runtime.block_on(remote::open(&options.config.settings.api, &options.home))?.unzip();
    let tokens = Arc::new(Tokens::open(&options.home));
    if let Some(problem) = tokens.problem() {
        tracing::warn!(%problem);
    }
    let bind = || listen(&options.home, &mut lock.borrow_mut());
    let bound = bind().map_err(system("listen at the API's socket"))?;
    let wake = Arc::new(
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| NodeError::System { what: "make an eventfd", source: e.into() })?,
    );
    let (to_driver, commands) = mpsc::channel();
    let driver = DriverHandle::new(to_driver, Arc::clone(&wake));
    let seen = driver.clone();
    let watcher = Arc::new(move |news| {
        seen.tell(match news {
            HubNews::Seen(sighting) => Command::Seen(Box::new(sighting)),
            HubNews::Resized { session, size } => Command::Resized { session, size },
        });
    });
    let host_place = options.home.host_place().with_limit(limit_outside);
    let hub = Hub::spawn(runtime.handle(), host_place.clone(), watcher);
    let (events, _) = broadcast::channel(EVENT_BATCHES_KEPT);
    let (rooms, own_commands) = (RoomWaker::default(), OwnCommands::default());
    let (link, link_end) = link::pair();
    let shared = Arc::new(Shared::default());
    let state = Arc::clone(&shared);
    let config = Arc::new(options.config);
    let max_sessions = config.settings.node.max_sessions;

    let upkeep = Upkeep {
        home: options.home.clone(),
        blobs: Arc::clone(&blobs),
        rules: config.settings.retention.clone(),
        driver: driver.clone(),
        shared: Arc::clone(&shared),
        asked: Arc::default(),
    };
    let node = Arc::new(Node {
        home: options.home.clone(),
        config: Arc::clone(&config),
        keys: Arc::clone(&keys),
        did: keys.node.did(),
        identity: Arc::clone(&identity),
        members: Arc::clone(&members),
        stays: options.stays,
        started_ms: cis_local::now_ms(),
        max_sessions,
        readers: readers.clone(),
        blobs: Arc::clone(&blobs),
        environments: Arc::default(),
        agents: Arc::default(),
        hub: hub.clone(),
        driver: driver.clone(),
        events: events.clone(),
        shared: Arc::clone(&shared),
        link: link.clone(),
        control: Arc::default(),
        views: Arc::default(),
        uploads: Arc::default(),
        upkeep: upkeep.clone(),
        matrix: Account::new(options.home.matrix(), options.account),
        rooms_in_memory: options.rooms_in_memory,
        verifications: Arc::default(),
        rooms: rooms.clone(),
        outbox_name,
        tokens,
        remote,
        own_commands: own_commands.clone(),
        limit_outside,
        host_health: HostHealth::default(),
    });
    let worker = LocalWorker::new(
        options.home.clone(),
        Arc::clone(&keys),
        Arc::clone(&blobs),
        options.environment,
        Arc::clone(&wake),
        Arc::new(config.settings.clone()),
    );
    let (machine, unreadable) = restored(&keys, &identity, &config.settings, &readers, &blobs)?;
    let start_checks = StartChecks::begin(&options.home);
    let rules = readers.get()?.node_rules()?;
    let parts = Parts {
        own_commands,
        home: options.home.clone(),
        config,
        did: keys.node.did(),
        keys,
        stays: options.stays,
        restart: options.restart,
        host_place,
        host_command: options.host_command,
        heartbeat_ms: options.heartbeat_ms,
        machine,
        rules,
        unreadable,
        start_checks,
        anchor: Arc::clone(&anchor),
        writer,
        readers,
        blobs,
        worker,
        hub,
        commands,
        handle: driver.clone(),
        wake,
        events,
        shared,
        rooms: rooms.clone(),
        identity,
        members,
        link,
        uploads: Arc::clone(&node.uploads),
    };
    super::rooms::start(Arc::clone(&node), &rooms);
    federation::start(Arc::clone(&node), link_end);
    let over = drive(parts, ready)?;
    runtime.spawn(watch_home(anchor, driver.clone()));
    let daily = upkeep.daily();
    let under_way = UnderWay::default();
    runtime
        .block_on(serve((bound, bind), endpoint, node, driver, (over, &under_way)))
        .map_err(system("serve the API"))?;
    runtime.block_on(end_streams(&state.ended, &under_way));
    drop((daily, checkpointer));
    drop(entered);
    // What is durable is safe by now: nobody waits for a read, or for a homeserver's answer, that takes longer.
    runtime.shutdown_timeout(LAST_TIME_MAX);
    // A cleared lock says that a person stopped the node. Commands that wait for a node start one after any other end.
    if !state.is_idle.load(Ordering::Relaxed) {
        // A failure does no harm: the content of a free lock is ignored.
        let _ = lock.borrow_mut().clear();
    }
    Ok(state.restart.get().map_or(Ended::Stopped, |home| Ended::Restart { home: home.clone() }))
}

/// Wakes the driver when the home was moved. If there is nothing to do, it would not notice.
async fn watch_home(anchor: Arc<Anchor>, driver: DriverHandle) {
    loop {
        tokio::time::sleep(HOME_LOOK_EVERY).await;
        if anchor.moved_to().is_some() {
            driver.wake();
        }
    }
}

/// Runs the driver on a thread of its own. The receiver completes when it has ended.
fn drive(
    parts: Parts,
    ready: impl FnOnce(Readiness) + Send + 'static,
) -> Result<oneshot::Receiver<()>, NodeError> {
    let (over, ended) = oneshot::channel();
    thread::Builder::new()
        .name("cis-driver".to_owned())
        .spawn(move || {
            Driver::new(parts).run(|| ready(Readiness::Ready));
            let _ = over.send(());
        })
        .map_err(system("start the driver's thread"))?;
    Ok(ended)
}

/// Closes open streams, so that their clients know that nothing was cut off and start no other node. Waits until this is done, until requests that
/// are under way are answered, and until the last messages to other nodes are sent.
async fn end_streams(ended: &watch::Sender<bool>, under_way: &UnderWay) {
    ended.send_replace(true);
    let over = async { tokio::join!(ended.closed(), under_way.end()) };
    let _ = tokio::time::timeout(LAST_MESSAGES_WITHIN, over).await;
}

async fn serve(
    (bound, bind): (Bound, impl Fn() -> io::Result<Bound>),
    endpoint: Option<TcpEndpoint>,
    node: Arc<Node>,
    driver: DriverHandle,
    (ended, under_way): (oneshot::Receiver<()>, &UnderWay),
) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A node outlives the terminal that it was started from.
    let _hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        driver.tell(Command::Stop { kill_sessions: false, reason: name.to_owned(), reply: None });
        let again = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = tokio::time::sleep(END_TIME_MAX) => "nothing for 10 s",
        };
        // Its driver hangs: whatever is durable is safe, and sessions are the host's.
        tracing::error!(name, again, "this node does not end in good order, so it ends as it is");
        std::process::exit(i32::from(u8::MAX));
    });
    if let Some(endpoint) = endpoint {
        // With the runtime it ends, soon after the driver.
        tokio::spawn(server::serve_tcp(endpoint, Arc::clone(&node), under_way.clone()));
    }
    server::serve(bound, bind, node, under_way, async {
        let _ = ended.await;
    })
    .await
}

/// The open runs, and those that cannot be read, with the reason.
fn restored(
    keys: &Keys,
    identity: &Identity,
    settings: &Settings,
    readers: &Readers,
    blobs: &Blobs,
) -> Result<(Machine, BTreeMap<RunId, String>), NodeError> {
    let mut unreadable = BTreeMap::new();
    let mut machine = Machine::new(keys.node.did(), settings.node.max_sessions);
    machine.set_placement(settings.federation.placement);
    machine.was_known_as(identity.former());
    machine.configure_groups(settings.groups.clone());
    machine.configure_breaker(Breaker {
        failures: settings.logins.failures,
        open_ms: i64::try_from(settings.logins.pause_ms).unwrap_or(i64::MAX),
    });
    machine.restore_groups(readers.get()?.node_groups()?);
    for open in readers.get()?.open_runs()? {
        // Of another node's run the store has what a room told.
        if !identity.is_or_was(&open.owner) {
            continue;
        }
        let run = open.run;
        match restore::load_whole_run(readers, blobs, &settings.agents, run) {
            Ok(run) => machine.restore(run),
            // One run that cannot be read must not keep the others from going on.
            Err(error) => {
                tracing::error!(%run, %error, "a run cannot go on");
                unreadable.insert(run, error.to_string());
            }
        }
    }
    Ok((machine, unreadable))
}

/// At most one node per home.
fn lock(home: &Home) -> Result<LockFile, NodeError> {
    let taken = LockFile::take(&home.node_lock()).map_err(|source| match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem => NodeError::ReadOnly { home: home.dir.clone() },
        _ => system("lock the home")(source),
    })?;
    let mut lock = taken.ok_or_else(|| NodeError::AlreadyRunning { home: home.dir.clone() })?;
    // Leftovers of sessions are known by the path of their home, so none are ended while another home was here, and its processes live.
    check_unused(&home.node_socket())?;
    if !is_held(&home.host_lock()).map_err(system("read the lock of the session host"))? {
        check_unused(&home.host_socket())?;
    }
    // Written before the node listens, so that other commands can name the pid of the process that has the
    // home.
    name(&mut lock, home.node_socket()).map_err(system("write the lock of the home"))?;
    Ok(lock)
}

/// Writes the pid of this node and the path of its socket into the lock of the home.
fn name(lock: &mut LockFile, socket: PathBuf) -> io::Result<()> {
    match lock.name(&Holder { pid: std::process::id(), socket }) {
        // The node holds the home all the same.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
        named => named,
    }
}

/// Listens at the socket of the home, even if its directory was removed. If the directory cannot be made again, listens
/// at the fallback.
fn listen(home: &Home, lock: &mut LockFile) -> io::Result<Bound> {
    let at = |socket: PathBuf| {
        make_way(&socket).map_err(io::Error::other)?;
        Ok::<_, io::Error>((UnixListener::bind(&socket)?, SocketFile::at(socket)))
    };
    let (listener, file) = match (at(home.node_socket()), home.fallback_node_socket()) {
        (Err(error), Some(fallback)) => at(fallback).map_err(|_| error)?,
        (bound, _) => bound?,
    };
    // After an error, commands that know the path still find the node.
    let _ = name(lock, file.path().to_owned());
    Ok((listener, file))
}
