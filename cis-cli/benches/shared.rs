//! A run of 10,000 commands on one node, and the same run shared by three workers and a coordinator: real nodes, session hosts
//! and stores in one process, with rooms in its memory. Prints what both took: a JSON object for each pair.

#![allow(clippy::print_stdout, reason = "it prints figures")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cis_client::Client;
use cis_core::api::{CreateRun, ListRuns, RunView, StopNode};
use cis_core::event::{ExecutionMode, RunState};
use cis_core::identity::Right;
use cis_core::ids::{InputId, NodeDid};
use cis_local::Home;
use cis_node::{NodeOptions, RoomsInMemory, config};

const ROOM: &str = "!bench:memory";
const TASKS: u32 = 10_000;
const WORKERS: u32 = 3;
/// Sessions of a worker at a time; of the node that is alone, as many as all workers have.
const SLOTS: u32 = 2;
const PAIRS: u32 = 5;
/// How often it is looked whether a run has ended. What it took is what its node says.
const LOOK_EVERY: Duration = Duration::from_millis(500);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A node in a thread of this process.
struct Node {
    client: Client,
    did: NodeDid,
    thread: thread::JoinHandle<()>,
}

impl Node {
    async fn start(dir: &Path, flags: &[String], rooms: Option<RoomsInMemory>) -> Outcome<Self> {
        let home = Home::locate(Some(dir.into()), None, None)?;
        let words = [env!("CARGO_BIN_EXE_cis"), "--home", &home.dir.to_string_lossy(), "session-host"];
        let options = NodeOptions {
            config: config::load(&home, |_| None, flags)?,
            stays: true,
            restart: words.map(str::to_owned).to_vec(),
            host_command: words.map(Into::into).to_vec(),
            environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
            rooms_in_memory: rooms,
            account: None,
            heartbeat_ms: None,
            home: home.clone(),
        };
        let (tell, ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            let ready = tell.clone();
            let ended = cis_node::run(options, move |_| drop(ready.send(Ok(()))));
            if let Err(error) = ended {
                let _ = tell.send(Err(error.to_string()));
            }
        });
        ready.recv()??;
        let client = Client::new(home.node_place(), None);
        let did = client.identity().await?.did;
        Ok(Self { client, did, thread })
    }

    async fn stop(self) -> Outcome<()> {
        self.client.stop_node(&StopNode { kill_sessions: true }).await?;
        self.thread.join().map_err(|_| "a node panicked".into())
    }

    /// Runs the DAG, and gives how long it took, s.
    async fn run(&self, text: &str, mode: ExecutionMode) -> Outcome<f64> {
        let room = (mode == ExecutionMode::Matrix).then(|| ROOM.to_owned());
        let request = CreateRun {
            text: text.as_bytes().to_vec(),
            source: "bench.toml".to_owned(),
            workdir: "/".to_owned(),
            params: BTreeMap::new(),
            env: None,
            umask: None,
            mode,
            room,
            use_agent: None,
            start: true,
            no_cache: true,
            validate_only: false,
            input: InputId::default(),
        };
        let run = self.client.create_run(&request).await?.id;
        loop {
            let newest = ListRuns { limit: Some(1), ..ListRuns::default() };
            let runs = self.client.runs(&newest).await?.items;
            let view = runs.into_iter().find(|view| view.id == run).ok_or("the run is not listed")?;
            if let Some(took) = took(&view)? {
                return Ok(took);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// None: it has not ended.
fn took(run: &RunView) -> Outcome<Option<f64>> {
    let (Some(started_ms), Some(ended_ms)) = (run.started_ms, run.ended_ms) else { return Ok(None) };
    if run.state != RunState::Succeeded {
        return Err(format!("the run is {}: {:?}", run.state.as_str(), run.detail).into());
    }
    #[allow(clippy::cast_precision_loss, reason = "a run takes seconds")]
    Ok(Some((ended_ms - started_ms) as f64 / 1e3))
}

/// A coordinator and its workers, once it knows what all of them offer.
async fn room(scratch: &Path) -> Outcome<(Node, Vec<Node>)> {
    let rooms = RoomsInMemory::default();
    let flags = |role: &str| {
        let set = |key: &str, value: &str| format!("federation.{key}={value}");
        vec![set("room", ROOM), set("role", role), set("slots", &SLOTS.to_string())]
    };
    let coordinator = Node::start(&scratch.join("c"), &flags("coordinator"), Some(rooms.clone())).await?;
    let mut workers = Vec::new();
    for n in 0..WORKERS {
        let worker =
            Node::start(&scratch.join(format!("w{n}")), &flags("worker"), Some(rooms.clone())).await?;
        coordinator.client.trust(&worker.did.0, None, Some(vec![Right::Execute])).await?;
        worker.client.trust(&coordinator.did.0, None, Some(vec![Right::Coordinate])).await?;
        workers.push(worker);
    }
    loop {
        let nodes = coordinator.client.nodes(None).await?.items;
        if nodes.iter().filter(|node| node.slots == SLOTS).count() == workers.len() {
            return Ok((coordinator, workers));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn measure() -> Outcome<()> {
    let scratch = tempfile::tempdir()?;
    let mut text = format!("version = 1\n[dag]\nid = \"bench\"\nmax_parallel = {}\n", WORKERS * SLOTS);
    for n in 0..TASKS {
        text.push_str(&format!(
            "[[tasks]]\nid = \"t{n}\"\ntty = false\ncommand = [\"sh\", \"-c\", \"true && :\"]\n"
        ));
    }
    let alone = Node::start(&scratch.path().join("alone"), &[], None).await?;
    let (coordinator, workers) = room(scratch.path()).await?;
    for _ in 0..PAIRS {
        let local = alone.run(&text, ExecutionMode::Local).await?;
        let shared = coordinator.run(&text, ExecutionMode::Matrix).await?;
        println!(r#"{{"what":"pair","local_s":{local:.3},"shared_s":{shared:.3}}}"#);
    }
    for node in workers.into_iter().chain([alone, coordinator]) {
        node.stop().await?;
    }
    Ok(())
}

fn main() -> Outcome<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}
