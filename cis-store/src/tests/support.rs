//! What the tests of the store build their stores from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use ulid::Ulid;

use crate::maintenance::check;
use crate::{Checkpointer, Readers, SessionFacts, StoreError, TaskSeed, Writer};
use cis_core::event::{
    AttemptOutcome, AttemptResult, EventBody, EventDraft, ExitStatus, GrantRecord, RunCreated, TaskState,
};
use cis_core::ids::{BlobId, HostInstance, NodeDid, RunId, SessionId, TaskId};

/// A store in a directory of its own.
pub(super) struct Home {
    pub(super) dir: TempDir,
}

impl Home {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("cis.db")
    }

    pub(super) fn writer(&self) -> Writer {
        Writer::open(&self.path()).unwrap()
    }

    pub(super) fn readers(&self) -> Readers {
        Readers::open(&self.path()).unwrap()
    }
}

/// The writer with its checkpointer, as a node has them.
pub(super) fn with_checkpointer(home: &Home) -> (Checkpointer, Writer) {
    let writer = home.writer();
    (Checkpointer::start(&writer).unwrap(), writer)
}

pub(super) fn ulid(n: u128) -> Ulid {
    Ulid::from_parts(1_700_000_000_000 + (n >> 16) as u64, n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_0C1B))
}

pub(super) fn run_id(n: u128) -> RunId {
    RunId(ulid(n << 20))
}

pub(super) fn session_id(n: u128) -> SessionId {
    SessionId(ulid((n << 20) + 7))
}

pub(super) fn task(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

pub(super) fn seeds(tasks: &[(&str, &[&str])]) -> Vec<TaskSeed> {
    tasks
        .iter()
        .map(|(id, needs)| TaskSeed { id: task(id), needs: needs.iter().map(|need| task(need)).collect() })
        .collect()
}

/// What the runs of [`turn`] have.
pub(super) fn seeds_of_dag() -> Vec<TaskSeed> {
    seeds(&[("a", &[]), ("b", &["a"]), ("c", &["a", "b"])])
}

pub(super) fn draft(run: Option<RunId>, at_ms: i64, body: EventBody) -> EventDraft {
    EventDraft { run, at_ms, actor: None, cause: None, body }
}

pub(super) fn created(dag: &str, tasks: usize) -> EventBody {
    let owner = NodeDid("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".to_owned());
    EventBody::RunCreated(Box::new(RunCreated {
        source: format!("{dag}.toml"),
        spec: BlobId("ab".repeat(32)),
        params: BTreeMap::from([("branch".to_owned(), "main".into())]),
        max_parallel: 2,
        workdir: "/somewhere".to_owned(),
        ..RunCreated::sample(dag, tasks, owner)
    }))
}

pub(super) fn assigned(id: &str, attempt: u32, session: SessionId) -> EventBody {
    EventBody::TaskAssigned(GrantRecord {
        task: task(id),
        attempt,
        fence: u64::from(attempt),
        session,
        node: NodeDid("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".to_owned()),
        host: Some(HostInstance(ulid(99))),
        lease_ms: None,
        ahead: false,
    })
}

pub(super) fn succeeded(id: &str, attempt: u32, session: SessionId, ended_ms: i64) -> EventBody {
    EventBody::TaskResult(Box::new(AttemptResult {
        task: task(id),
        attempt,
        fence: u64::from(attempt),
        session,
        outcome: AttemptOutcome::Succeeded,
        exit: Some(ExitStatus::Code(0)),
        started_ms: Some(ended_ms - 3),
        ended_ms,
        outputs: BTreeMap::new(),
        artifacts: Vec::new(),
        files: None,
        log: None,
        cached: None,
        not_cached: None,
        cache_key: None,
        log_bytes: 0,
        lost_output: None,
        counts: true,
        state: TaskState::Succeeded,
        end: None,
        queued: None,
    }))
}

pub(super) fn facts(command: &str) -> SessionFacts {
    SessionFacts { tty: false, size: None, command: command.to_owned(), log: None }
}

/// A turn of three events that belong together: a run that is created, started and ended.
pub(super) fn turn(writer: &mut Writer, n: u64) -> Result<(), StoreError> {
    let n = u128::from(n);
    let run = Some(run_id(n));
    writer.append_run(&draft(run, 1, created("ship", 3)), ulid(3 * n), &seeds_of_dag())?;
    writer.append(&draft(run, 2, EventBody::RunStarted {}), ulid(3 * n + 1))?;
    writer.append(&draft(run, 3, EventBody::RunFailed { detail: "x".repeat(500) }), ulid(3 * n + 2))?;
    writer.commit().map(|events| assert_eq!(events.len(), 3))
}

pub(super) fn assert_sound(path: &Path) {
    assert_eq!(check(path, false).unwrap().findings, Vec::<String>::new());
}

/// A store of so many turns, closed.
pub(super) fn store(turns: u64) -> Home {
    let home = Home::new();
    let mut writer = home.writer();
    for n in 1..=turns {
        turn(&mut writer, n).unwrap();
    }
    home
}
