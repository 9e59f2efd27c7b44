//! Nodes in threads of this process, and clients of them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use cis_client::{Client, ClientError};
use cis_core::api::{
    CreateRun, InboxItem, ListInbox, Problem, ReadLog, RunDetail, SessionView, StopNode, TaskView,
};
use cis_core::event::{ExecutionMode, RunState, TaskState};
use cis_core::identity::Right;
use cis_core::ids::{InputId, NodeDid};
use cis_local::Home;
use cis_node::{GivenAccount, NodeOptions, RoomsInMemory, config};
use tokio::time::Instant;

/// The room of the nodes that share tasks.
pub(crate) const ROOM: &str = "!tests:memory";

/// Longer than anything takes, also on a busy machine.
const LONG: Duration = Duration::from_secs(100);

/// More bytes than any log or file in these tests has.
pub(crate) const ALL: usize = 64 << 20;

/// Between two looks at what no event tells.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs a test.
pub(crate) fn on_a_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "it did not come true that {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How a node in this directory is started. `flags`: of its configuration, `key=value`.
pub(crate) fn options(dir: &Path, flags: &[&str], rooms: Option<&RoomsInMemory>) -> NodeOptions {
    let home = Home::locate(Some(dir.into()), None, None).unwrap();
    let host = [env!("CARGO_BIN_EXE_session-host-of-tests"), dir.to_str().unwrap()];
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    NodeOptions {
        config: config::load(&home, |_| None, &flags).unwrap(),
        stays: true,
        restart: host.map(str::to_owned).to_vec(),
        host_command: host.map(Into::into).to_vec(),
        environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        rooms_in_memory: rooms.cloned(),
        account: None,
        heartbeat_ms: None,
        home,
    }
}

/// A node in a thread of this process.
pub(crate) struct Node {
    pub(crate) client: Client,
    pub(crate) did: NodeDid,
    pub(crate) home: Home,
    /// None: it was ended.
    thread: Option<thread::JoinHandle<()>>,
}

impl Node {
    /// A node without a room.
    pub(crate) async fn local(dir: &Path, flags: &[&str]) -> Self {
        Self::start(dir, flags, None).await
    }

    pub(crate) async fn start(dir: &Path, flags: &[&str], rooms: Option<&RoomsInMemory>) -> Self {
        Self::start_as(options(dir, flags, rooms)).await
    }

    /// A node with this account at a homeserver.
    pub(crate) async fn with_account(dir: &Path, flags: &[&str], account: GivenAccount) -> Self {
        Self::start_as(NodeOptions { account: Some(account), ..options(dir, flags, None) }).await
    }

    pub(crate) async fn start_as(options: NodeOptions) -> Self {
        let home = options.home.clone();
        end_with_this_process(&home.dir);
        let (tell, ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            let ready = tell.clone();
            let ended = cis_node::run(options, move |_| drop(ready.send(Ok(()))));
            if let Err(error) = ended {
                let _ = tell.send(Err(error.to_string()));
            }
        });
        ready.recv().unwrap().unwrap();
        let client = Client::new(home.node_place(), None);
        let did = client.identity().await.unwrap().did;
        Self { client, did, home, thread: Some(thread) }
    }

    /// Ends it, and what runs on it.
    pub(crate) async fn stop(self) {
        self.end(true).await;
    }

    /// Ends it; its sessions go on.
    pub(crate) async fn leave(self) {
        self.end(false).await;
    }

    async fn end(mut self, kill_sessions: bool) {
        self.client.stop_node(&StopNode { kill_sessions }).await.unwrap();
        self.thread.take().unwrap().join().unwrap();
    }

    /// Begins a run, and gives its id.
    pub(crate) async fn submit(&self, text: &str) -> String {
        self.submit_as(request(text)).await
    }

    pub(crate) async fn submit_as(&self, request: CreateRun) -> String {
        self.client.create_run(&request).await.unwrap().id.to_string()
    }

    /// Waits until the run is in this state.
    pub(crate) async fn reaches(&self, run: &str, state: RunState) -> RunDetail {
        let deadline = Instant::now() + LONG;
        loop {
            let detail = self.client.run(run).await.unwrap();
            if detail.run.state == state {
                return detail;
            }
            let may_come = !detail.run.state.is_terminal() && Instant::now() < deadline;
            if !may_come {
                let mut why = Vec::new();
                for task in detail.tasks.iter().filter(|task| !task.state.is_terminal()) {
                    why.push((task.id.to_string(), self.client.why(run, task.id.as_str()).await));
                }
                panic!("it is not {}: {:?} {:?} {why:?}", state.as_str(), detail.run, detail.tasks);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for the question of a run.
    pub(crate) async fn question(&self, run: &str) -> InboxItem {
        eventually(&format!("run {run} asks"), async || {
            let items = self.client.inbox(&ListInbox::default()).await.unwrap().items;
            items.into_iter().find(|item| item.run.is_some_and(|of| of.to_string() == run))
        })
        .await
    }
}

/// Ends the session host of a home, with its sessions, when this process ends, however that comes about: what was left by
/// [`Node::leave`] would go on.
fn end_with_this_process(home: &Path) {
    static WATCHER: LazyLock<Mutex<Child>> = LazyLock::new(|| {
        let watcher = Command::new(env!("CARGO_BIN_EXE_session-host-of-tests"))
            .arg("--end-what-is-left")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Who ends a test that takes too long ends its group.
            .process_group(0)
            .spawn();
        Mutex::new(watcher.unwrap())
    });
    let mut watcher = WATCHER.lock().unwrap();
    writeln!(watcher.stdin.as_mut().unwrap(), "{}", home.display()).unwrap();
}

/// The nodes of a test that failed are ended, with what runs on them.
impl Drop for Node {
    fn drop(&mut self) {
        let Some(node) = self.thread.take() else { return };
        let place = self.home.node_place();
        // The runtime of the test is in use.
        let ended = thread::spawn(move || {
            on_a_runtime(async {
                let client = Client::new(place, None);
                let stopped = client.stop_node(&StopNode { kill_sessions: true }).await;
                match stopped {
                    Ok(()) => drop(node.join()),
                    Err(error) => eprintln!("a node goes on: {error}"),
                }
            });
        });
        let _ = ended.join();
    }
}

/// A run of this text.
pub(crate) fn request(text: &str) -> CreateRun {
    CreateRun {
        text: text.as_bytes().to_vec(),
        source: "test.toml".to_owned(),
        workdir: "/".to_owned(),
        params: BTreeMap::new(),
        env: None,
        umask: None,
        mode: ExecutionMode::Local,
        room: None,
        use_agent: None,
        start: true,
        no_cache: false,
        validate_only: false,
        input: InputId::default(),
    }
}

/// A run of this text that the nodes of the room share.
pub(crate) fn shared(text: &str) -> CreateRun {
    CreateRun { mode: ExecutionMode::Matrix, room: Some(ROOM.to_owned()), ..request(text) }
}

/// A task of a run, by its id.
pub(crate) fn task<'a>(run: &'a RunDetail, id: &str) -> &'a TaskView {
    run.tasks.iter().find(|task| task.id.to_string() == id).unwrap()
}

/// A coordinator and its workers, once it knows what all of them offer.
pub(crate) struct Room {
    pub(crate) coordinator: Node,
    pub(crate) workers: Vec<Node>,
    pub(crate) rooms: RoomsInMemory,
}

/// Tasks that a worker executes at a time.
pub(crate) const SLOTS: u32 = 2;

/// A node of the room, with more flags.
pub(crate) async fn start(dir: &Path, role: &str, more: &[&str], rooms: &RoomsInMemory) -> Node {
    let set = |key: &str, value: &str| format!("federation.{key}={value}");
    let own = [set("room", ROOM), set("role", role), set("slots", &SLOTS.to_string())];
    let flags: Vec<&str> = own.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Node::start(dir, &flags, Some(rooms)).await
}

/// Lets a node work for this coordinator.
pub(crate) async fn let_work(worker: &Node, coordinator: &Node) {
    coordinator.client.trust(&worker.did.0, None, Some(vec![Right::Execute])).await.unwrap();
    worker.client.trust(&coordinator.did.0, None, Some(vec![Right::Coordinate])).await.unwrap();
}

impl Room {
    pub(crate) async fn of(scratch: &Path, workers: usize) -> Self {
        let rooms = RoomsInMemory::default();
        let coordinator = start(&scratch.join("c"), "coordinator", &[], &rooms).await;
        let mut all = Vec::new();
        for n in 0..workers {
            let worker = start(&scratch.join(format!("w{n}")), "worker", &[], &rooms).await;
            let_work(&worker, &coordinator).await;
            all.push(worker);
        }
        eventually("all workers offer slots", async || {
            let nodes = coordinator.client.nodes(None).await.unwrap().items;
            (nodes.iter().filter(|node| node.slots == SLOTS).count() == workers).then_some(())
        })
        .await;
        Self { coordinator, workers: all, rooms }
    }

    pub(crate) async fn stop(self) {
        for node in self.workers {
            node.stop().await;
        }
        self.coordinator.stop().await;
    }
}

/// A run of this text in a directory.
pub(crate) fn request_in(dir: &Path, text: &str) -> CreateRun {
    CreateRun { workdir: dir.to_str().unwrap().to_owned(), ..request(text) }
}

/// The text of a file; empty: there is none.
pub(crate) fn read(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap_or_default()
}

/// The lines of a file, none of one that does not exist.
pub(crate) fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The problem that a call was answered with.
#[track_caller]
pub(crate) fn problem_of<T: Debug>(answer: Result<T, ClientError>) -> Problem {
    match answer {
        Err(ClientError::Problem(problem)) => *problem,
        other => panic!("the node answered no problem: {other:?}"),
    }
}

impl Node {
    /// Begins a run in a directory, and gives its id.
    pub(crate) async fn submit_in(&self, dir: &Path, text: &str) -> String {
        self.submit_as(request_in(dir, text)).await
    }

    /// Waits until a task of a run is in this state.
    pub(crate) async fn task_is(&self, run: &str, id: &str, state: TaskState) -> TaskView {
        eventually(&format!("task {id} is {}", state.as_str()), async || {
            let task = self.client.task(run, id).await.unwrap();
            assert!(task.state == state || !task.state.is_terminal(), "{task:?}");
            (task.state == state).then_some(task)
        })
        .await
    }

    /// Waits until the node knows that a session has begun: what its program does can be seen earlier.
    pub(crate) async fn has_begun(&self, session: &str) {
        eventually(&format!("session {session} has a process"), async || {
            self.client.session(session).await.unwrap().pid
        })
        .await;
    }

    /// Waits for the end of a session.
    pub(crate) async fn ended(&self, session: &str) -> SessionView {
        eventually(&format!("session {session} ends"), async || {
            let view = self.client.session(session).await.unwrap();
            view.ended_ms.is_some().then_some(view)
        })
        .await
    }

    /// The log of a task as text, without what draws on a terminal.
    pub(crate) async fn log_of(&self, run: &str, id: &str) -> String {
        self.log_as(run, id, &ReadLog { plain: true, ..ReadLog::default() }).await
    }

    /// The log of a task as it is asked for.
    pub(crate) async fn log_as(&self, run: &str, id: &str, how: &ReadLog) -> String {
        let log = self.client.task_log(run, id, how).await.unwrap().read_to_end(ALL).await.unwrap();
        String::from_utf8(log).unwrap()
    }

    /// A file that a task left.
    pub(crate) async fn artifact_of(&self, run: &str, id: &str, path: &str) -> Vec<u8> {
        self.client.artifact(run, id, path).await.unwrap().read_to_end(ALL).await.unwrap()
    }
}
