//! What a walk is made of, drawn from its seed: the nodes, their file, and what the tasks come to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use cis_core::api::Report;
use cis_core::dag::{Approval, Commit, Dag, Group, Placement, Task, Trigger};
use cis_core::event::{AttemptOutcome, ExecutionMode, ExitStatus, FailureCause, OutputRecord, RunCreated};
use cis_core::federation::protocol::Settings;
use cis_core::identity::NodeKey;
use cis_core::ids::{BlobId, NodeDid, RunId, TaskId, TimestampMs};

use crate::dags;
use crate::rng::Rng;
use crate::seeds::{has_commits, has_inputs, has_lost_files, has_prompts, has_users};

pub(crate) const ROOM: &str = "!room:example.org";
const NODES_MAX: usize = 9;
const GPU: &str = "gpu";

pub(crate) fn run() -> RunId {
    RunId::from_parts(1_700_000_000_000, 1)
}

/// Keys and names of all nodes that there ever are. The last one is nobody's: no room knows it.
pub(crate) fn identities() -> &'static [(NodeKey, NodeDid)] {
    static ALL: OnceLock<Vec<(NodeKey, NodeDid)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let one = |n: usize| {
            let key = NodeKey::from_seed(&[u8::try_from(n).unwrap() + 1; 32]);
            let did = key.did();
            (key, did)
        };
        (0..=NODES_MAX).map(one).collect()
    })
}

pub(crate) fn did(at: usize) -> NodeDid {
    identities()[at].1.clone()
}

pub(crate) fn number(did: &NodeDid) -> usize {
    identities().iter().position(|(_, known)| known == did).unwrap()
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    pub(crate) nodes: usize,
    /// The first ones may coordinate.
    pub(crate) voters: usize,
    /// Voters do not work on tasks themselves.
    pub(crate) voters_only_coordinate: bool,
    /// What comes out does not depend on chance: it has to be what one node alone comes to.
    pub(crate) is_certain: bool,
    pub(crate) dag: Arc<Dag>,
    pub(crate) max_parallel: u32,
    pub(crate) shared: Group,
}

impl Plan {
    pub(crate) fn new(seed: u64, rng: &mut Rng) -> Self {
        let least = if has_users(seed) && rng.percent(70) { 2 } else { 1 };
        let voters = usize::try_from(rng.between(least, 3)).unwrap();
        let voters_only_coordinate = rng.percent(30);
        // The machine of a coordinator has to be one that no task needs.
        let (voters, voters_only_coordinate) =
            if has_lost_files(seed) { (voters.max(2), true) } else { (voters, voters_only_coordinate) };
        let voters = if has_inputs(seed) { voters.max(2) } else { voters };
        let least = if voters == 1 || voters_only_coordinate { 1 } else { 0 };
        let most = if rng.percent(70) { 2 } else { (NODES_MAX - voters) as u64 };
        let nodes = voters + usize::try_from(rng.between(least, most)).unwrap();
        let is_certain = rng.percent(60);
        let mut dag = file(rng, is_certain);
        if has_users(seed) {
            add_gates(rng, &mut dag);
        }
        if has_commits(seed) {
            let mixed =
                |task: &Task| task.id.as_str().bytes().fold(seed, |sum, byte| sum * 31 + u64::from(byte));
            for task in dag.tasks.iter_mut().filter(|task| Rng::new(mixed(task)).percent(40)) {
                task.commit = Commit::Room;
            }
        }
        if has_inputs(seed) {
            for task in dag.tasks.iter_mut().filter(|_| rng.percent(40)) {
                task.inputs = vec!["src".to_owned()];
            }
        }
        let dag = Arc::new(dag);
        let max_parallel = u32::try_from(rng.between(1, 6)).unwrap();
        let (settings, shared) = (settings(), dags::group(rng));
        Self { seed, settings, nodes, voters, voters_only_coordinate, is_certain, dag, max_parallel, shared }
    }

    pub(crate) fn works(&self, at: usize) -> bool {
        at >= self.voters || !self.voters_only_coordinate
    }

    /// The run cannot end without this node.
    pub(crate) fn is_needed(&self, at: usize) -> bool {
        self.is_first_worker(at) || (has_inputs(self.seed) && at == 0)
    }

    /// Some tasks run nowhere else.
    pub(crate) fn is_first_worker(&self, at: usize) -> bool {
        (0..self.nodes).find(|at| self.works(*at)) == Some(at)
    }

    /// What a node has that others do not have.
    pub(crate) fn tags(&self, at: usize) -> BTreeSet<String> {
        if self.is_first_worker(at) { BTreeSet::from([GPU.to_owned()]) } else { BTreeSet::new() }
    }

    pub(crate) fn facts(&self, mode: ExecutionMode, owner: NodeDid) -> RunCreated {
        RunCreated {
            max_parallel: self.max_parallel,
            mode,
            room: (mode == ExecutionMode::Matrix).then(|| ROOM.to_owned()),
            ..RunCreated::sample(&self.dag.id, self.dag.tasks.len(), owner)
        }
    }

    fn draw(&self, task: &TaskId, n: u64) -> u64 {
        let mixed = task
            .as_str()
            .bytes()
            .fold(self.seed ^ n << 32, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Rng::new(mixed).next()
    }

    /// Whether a task starts only when the room has its grant.
    pub(crate) fn commits(&self, task: &TaskId) -> bool {
        // Items of a task are what it is.
        let of = |known: &&Task| {
            task.as_str()
                .strip_prefix(known.id.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.dag.tasks.iter().find(of).is_some_and(|task| task.commit == Commit::Room)
    }

    pub(crate) fn approves(&self, task: &TaskId) -> bool {
        self.draw(task, 99) % 100 < 70
    }

    /// How often a session of a task asks something that failed so often before.
    pub(crate) fn questions(&self, task: &TaskId, failures: u32) -> u32 {
        if !has_prompts(self.seed) {
            return 0;
        }
        match self.draw(task, 55 + u64::from(failures)) % 100 {
            0..35 => 0,
            35..75 => 1,
            _ => 2,
        }
    }

    /// How a session of a task ends that failed so often before.
    pub(crate) fn report(&self, task: &TaskId, failures: u32, at: (TimestampMs, TimestampMs)) -> Report {
        let exit =
            |code| AttemptOutcome::Failed { cause: FailureCause::Exit { status: ExitStatus::Code(code) } };
        let outcome = match self.draw(task, u64::from(failures)) % 100 {
            0..70 => AttemptOutcome::Succeeded,
            70..92 => exit(1),
            92..95 => AttemptOutcome::Failed { cause: FailureCause::Timeout { limit_ms: 1 } },
            95..98 => AttemptOutcome::SpawnError { detail: "no such program".into() },
            _ => exit(2),
        };
        let value = (self.draw(task, 77) % 100).into();
        let output =
            OutputRecord { value, hash: "00".into(), blob: Some(BlobId("local".into())), hidden: true };
        Report {
            outputs: BTreeMap::from([("pid".to_owned(), output)]),
            log_bytes: 10,
            ..Report::bare(outcome, Some(at.0), at.1)
        }
    }
}

/// A random file, without what only one machine can do.
fn file(rng: &mut Rng, is_certain: bool) -> Dag {
    let mut dag = dags::random(rng);
    if is_certain {
        dag.timeout_ms = None;
    }
    for task in &mut dag.tasks {
        (task.on_blocked, task.account) = (None, None);
        task.artifacts.clear();
        // The protocol's times here are a sixtieth of the real ones.
        task.retries.delay_ms /= 10;
        task.retries.max_delay_ms /= 10;
        if is_certain {
            task.retry_lost = true;
            task.approval.iter_mut().for_each(|approval| approval.timeout_ms = None);
            if task.trigger == Trigger::OneFailed {
                // It does not wait for its other needs, whose outputs may be there or not.
                (task.condition, task.foreach) = (None, None);
            }
        }
        if rng.percent(10) {
            task.placement = Some(Box::new(Placement { tags: vec![GPU.to_owned()], nodes: Vec::new() }));
        }
    }
    dag
}

/// There is something to decide.
fn add_gates(rng: &mut Rng, dag: &mut Dag) {
    let handlers = dag.on.clone();
    let on = [handlers.success, handlers.failure, handlers.cancel, handlers.always, handlers.blocked];
    for task in dag.tasks.iter_mut().filter(|task| !on.contains(&Some(task.id.clone()))) {
        if rng.percent(45) {
            let timeout_ms = rng.percent(20).then(|| rng.between(500, 8000));
            task.approval = Some(Approval { prompt: "Go on?".into(), timeout_ms, allowed: None });
        }
    }
}

fn settings() -> Settings {
    Settings {
        lease_ms: 1000,
        heartbeat_ms: 300,
        resend_ms: 100,
        alive_ms: 50,
        suspect_ms: 200,
        grace_ms: 100,
        missing_ms: 1500,
        drift_permille: 5,
        freeze_ms: 20,
        lost_keep_ms: 5000,
    }
}
