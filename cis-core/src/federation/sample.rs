//! For tests: the events of a run, as a node stores them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::canonical::Fold;
use super::fact::Fact;
use crate::dag::{Action, Dag, Task};
use crate::event::{
    AnswerRecord, ArtifactRecord, AttemptOutcome, AttemptResult, EventBody, ExitStatus, FileReaders,
    GrantRecord, KeptFile, LostOutput, NamedPrograms, OutputRecord, PromptKind, PromptOption, PromptRecord,
    QueueReason, ReadBack, RunCreated, SaidKind, SaidRecord, Submitter, TaskChange, TaskState, Urgency,
};
use crate::identity::NodeKey;
use crate::ids::{BlobId, HostInstance, InputId, NodeDid, RunId, SessionId, TaskId, TimestampMs, TokenId};
use crate::scheduler::Run;

/// The text of the DAG file, as far as the journal is concerned.
pub(super) const SPEC: &str = "[dag]\nid = \"sample\"\n";

pub(super) fn key(n: u8) -> NodeKey {
    NodeKey::from_seed(&[n; 32])
}

pub(super) fn run_id() -> RunId {
    RunId::from_parts(1_700_000_000_000, 1)
}

pub(super) fn task(n: usize) -> TaskId {
    TaskId::new(&format!("t{n}")).unwrap()
}

pub(super) fn session(n: usize) -> SessionId {
    SessionId::from_parts(1_700_000_000_000, n as u128)
}

fn dag(tasks: usize) -> Dag {
    let task = |n| Task::new(task(n), Action::Command(vec!["true".into()]));
    Dag { id: "sample".into(), tasks: (0..tasks).map(task).collect(), ..Dag::default() }
}

pub(super) fn created(tasks: usize, owner: &NodeDid) -> RunCreated {
    RunCreated {
        source: "/home/ann/secret-project/sample.toml".into(),
        spec: BlobId("ab".repeat(32)),
        params: BTreeMap::from([("ratio".into(), json!(0.5)), ("big".into(), json!(u64::MAX))]),
        max_parallel: 2,
        workdir: "/home/ann/secret-project".into(),
        base_env: Some(BlobId("cd".repeat(32))),
        umask: Some(0o22),
        kept: vec![KeptFile {
            path: "/home/ann/secret-project/answer.sh".into(),
            blob: BlobId("ef".repeat(32)),
        }],
        named: vec![NamedPrograms {
            task: task(0),
            workdir: "/home/ann/secret-project".into(),
            cwd: None,
            files: BTreeMap::from([("./answer.sh".into(), "/home/ann/secret-project/answer.sh".into())]),
            programs: BTreeMap::new(),
            not_searched: vec!["/home/ann/secret-project/bin".into()],
        }],
        submitter: Some(Submitter::Token { id: TokenId::from_parts(1, 7) }),
        read_back: Some(ReadBack::Whole),
        ..RunCreated::sample("sample", tasks, owner.clone())
    }
}

pub(super) fn at(at_ms: TimestampMs, body: EventBody) -> Fact {
    Fact { at_ms, actor: None, cause: None, body }
}

pub(super) fn queued(n: usize) -> EventBody {
    let (state, queued) = (TaskState::Queued, Some(QueueReason::Slot));
    EventBody::TaskStatus { changes: vec![TaskChange { task: task(n), state, end: None, queued }] }
}

pub(super) fn granted(n: usize, node: &NodeDid) -> EventBody {
    EventBody::TaskAssigned(GrantRecord {
        task: task(n),
        attempt: 1,
        fence: 1,
        session: session(n),
        node: node.clone(),
        host: Some(HostInstance::from_parts(1, 1)),
        lease_ms: None,
        ahead: true,
    })
}

pub(super) fn started(n: usize) -> EventBody {
    EventBody::SessionStarted { session: session(n), task: Some(task(n)), pid: 4242 }
}

pub(super) fn ended(n: usize, from_ms: TimestampMs, to_ms: TimestampMs) -> EventBody {
    let output = OutputRecord {
        value: json!(0.1),
        hash: "00".into(),
        blob: Some(BlobId("ef".repeat(32))),
        hidden: false,
    };
    let file = ArtifactRecord {
        path: "out".into(),
        blob: BlobId("f00d".repeat(16)),
        size: 3,
        executable: false,
        readers: FileReaders::default(),
    };
    EventBody::TaskResult(Box::new(AttemptResult {
        task: task(n),
        attempt: 1,
        fence: 1,
        session: session(n),
        outcome: AttemptOutcome::Succeeded,
        exit: Some(ExitStatus::Code(0)),
        started_ms: Some(from_ms),
        ended_ms: to_ms,
        outputs: BTreeMap::from([("ratio".into(), output)]),
        artifacts: vec![file],
        files: None,
        log: None,
        cached: None,
        not_cached: None,
        cache_key: None,
        log_bytes: 7,
        lost_output: Some(LostOutput { bytes: 3, cause: "the disk is full".into() }),
        counts: false,
        state: TaskState::Succeeded,
        end: None,
        queued: None,
    }))
}

pub(super) fn blocked(n: usize) -> EventBody {
    let option = PromptOption { id: "1".into(), label: "Yes".into(), meaning: None, keys: "1\r".into() };
    let bare = PromptRecord::bare(session(n), 1, PromptKind::Question);
    let prompt = Box::new(PromptRecord { screen: "the whole screen".into(), options: vec![option], ..bare });
    EventBody::SessionBlocked { session: session(n), task: Some(task(n)), prompt }
}

pub(super) fn answered(n: usize) -> EventBody {
    let answer = AnswerRecord {
        option: Some("1".into()),
        text: "Yes".into(),
        reason: None,
        by: "@ann:x".into(),
        bytes: 2,
    };
    let item = PromptRecord::bare(session(n), 1, PromptKind::Question).item;
    let input = InputId::from_parts(1, n as u128);
    EventBody::SessionAnswered {
        session: session(n),
        task: Some(task(n)),
        item,
        input,
        answer: Box::new(answer),
    }
}

pub(super) fn recovered(n: usize) -> EventBody {
    EventBody::SessionRecovered { session: session(n), task: Some(task(n)), episode: 1 }
}

pub(super) fn progress(n: usize, percent: u8) -> EventBody {
    let said = SaidRecord {
        kind: SaidKind::Progress,
        text: "on it".into(),
        urgency: Urgency::Low,
        percent: Some(percent),
        thread: None,
    };
    EventBody::SessionSaid { session: session(n), task: Some(task(n)), said: Box::new(said) }
}

/// A run of `tasks` tasks, two at a time, the second of which waits for a human; ended.
pub(super) fn story(tasks: usize, owner: &NodeDid) -> Vec<Fact> {
    let mut now = 1_700_000_000_000;
    let mut facts = vec![at(now, EventBody::RunCreated(Box::new(created(tasks, owner))))];
    facts.push(at(now, EventBody::RunStarted {}));
    for pair in (0..tasks).collect::<Vec<_>>().chunks(2) {
        facts.extend(pair.iter().map(|n| at(now, queued(*n))));
        facts.extend(pair.iter().map(|n| at(now, granted(*n, owner))));
        facts.extend(pair.iter().map(|n| at(now + 1, started(*n))));
        facts.extend([1, 2, 3].map(|percent| at(now + 1, progress(pair[0], percent))));
        if pair.contains(&1) {
            let waits = [blocked(1), answered(1), recovered(1)];
            facts.extend((2..).zip(waits).map(|(ms, body)| at(now + ms, body)));
        }
        facts.extend(pair.iter().map(|n| at(now + 9, ended(*n, now + 1, now + 8))));
        now += 10;
    }
    facts.push(at(now, EventBody::RunCompleted {}));
    facts
}

/// Folds facts from the run's creation on.
pub(super) fn fold(facts: &[Fact]) -> Fold {
    let mut facts = facts.iter();
    let first = facts.next().unwrap();
    let EventBody::RunCreated(created) = &first.body else { panic!("{first:?}") };
    let dag = Arc::new(dag(created.tasks as usize));
    let mut fold = Fold::new(Run::new(run_id(), created, dag, first.at_ms).unwrap());
    facts.for_each(|fact| fold.apply(fact).unwrap());
    fold
}

/// Whether everything that stood in `then` stands in `now`: a version may add keys.
pub(super) fn holds(now: &Value, then: &Value) -> bool {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            then.iter().all(|(key, value)| now.get(key).is_some_and(|now| holds(now, value)))
        }
        (Value::Array(now), Value::Array(then)) => {
            now.len() == then.len() && now.iter().zip(then).all(|(now, then)| holds(now, then))
        }
        _ => now == then,
    }
}
