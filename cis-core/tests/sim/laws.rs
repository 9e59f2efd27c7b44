//! Properties of the reducer under events that nobody would send.

use std::collections::BTreeMap;
use std::sync::Arc;

use cis_core::event::{
    AttemptOutcome, AttemptResult, EndReason, EventBody, GrantRecord, PromptKind, PromptRecord, QueueReason,
    RetryScope, RunCreated, TaskChange, TaskState,
};
use cis_core::ids::{NodeDid, RunId, SessionId, TaskId};
use cis_core::scheduler::Run;
use proptest::prelude::*;

use crate::dags;
use crate::rng::Rng;

fn fresh(seed: u64) -> Run {
    let dag = dags::random(&mut Rng::new(seed));
    let facts = RunCreated::sample(&dag.id, dag.tasks.len(), NodeDid(String::new()));
    Run::new(RunId::from_parts(1, 1), &facts, Arc::new(dag), 0).unwrap()
}

fn task() -> impl Strategy<Value = TaskId> {
    prop_oneof![
        6 => (0..6u32).prop_map(|n| TaskId::new(&format!("t{n}")).unwrap()),
        2 => (0..6u32, 1..4u32).prop_map(|(n, item)| TaskId::new(&format!("t{n}.{item}")).unwrap()),
    ]
}

fn state() -> impl Strategy<Value = TaskState> {
    prop::sample::select(TaskState::ALL)
}

fn changes() -> impl Strategy<Value = Vec<TaskChange>> {
    let queued = prop_oneof![
        Just(None),
        Just(Some(QueueReason::Slot)),
        (0..9i64).prop_map(|at_ms| Some(QueueReason::RetryAt { at_ms, after: String::new() })),
        (0..9i64).prop_map(|at_ms| Some(QueueReason::Resources { at_ms, detail: String::new() })),
        (0..9i64).prop_map(|at_ms| {
            let until_ms = (at_ms > 2).then_some(at_ms);
            Some(QueueReason::Approval { prompt: String::new(), until_ms })
        }),
        (0..4u32).prop_map(|count| Some(QueueReason::Items { count })),
    ];
    let change = (task(), state(), any::<bool>(), queued).prop_map(|(task, state, end, queued)| TaskChange {
        task,
        state,
        end: end.then_some(EndReason::Killed),
        queued,
    });
    prop::collection::vec(change, 0..4).prop_map(|mut list| {
        list.sort_by(|a, b| a.task.cmp(&b.task));
        list
    })
}

fn event() -> impl Strategy<Value = EventBody> {
    let session = || (0..4u128).prop_map(|n| SessionId::from_parts(1, n));
    let grant = (task(), 0..5u32, 0..5u64, session()).prop_map(|(task, attempt, fence, session)| {
        let (node, host) = (NodeDid(String::new()), None);
        EventBody::TaskAssigned(GrantRecord {
            task,
            attempt,
            fence,
            session,
            node,
            host,
            lease_ms: None,
            ahead: false,
        })
    });
    let result = (task(), 0..5u32, 0..5u64, session(), state(), any::<bool>()).prop_map(
        |(task, attempt, fence, session, state, counts)| {
            EventBody::TaskResult(Box::new(AttemptResult {
                task,
                attempt,
                fence,
                session,
                outcome: AttemptOutcome::Lost { detail: String::new() },
                exit: None,
                started_ms: None,
                ended_ms: 0,
                outputs: BTreeMap::new(),
                artifacts: Vec::new(),
                files: None,
                log: None,
                cached: None,
                not_cached: None,
                cache_key: None,
                log_bytes: 0,
                lost_output: None,
                counts,
                state,
                end: None,
                queued: None,
            }))
        },
    );
    let prompt = (task(), session(), 0..3u32, any::<bool>()).prop_map(|(task, session, episode, blocked)| {
        let task = Some(task);
        match blocked {
            true => {
                let prompt = Box::new(PromptRecord::bare(session, episode, PromptKind::Unknown));
                EventBody::SessionBlocked { session, task, prompt }
            }
            false => EventBody::SessionRecovered { session, task, episode },
        }
    });
    let added = (task(), task(), task()).prop_map(|(parent, need, name)| {
        let id = TaskId::new(&format!("{name}x")).unwrap();
        EventBody::TasksAdded { parent, tasks: vec![dags::task(&mut Rng::new(1), id, vec![need])] }
    });
    let retried = changes().prop_map(|changes| EventBody::RunRetried { scope: RetryScope::All, changes });
    let expanded = (task(), 0..4u64).prop_map(|(task, count)| EventBody::TaskExpanded {
        task,
        items: (0..count).map(Into::into).collect(),
    });
    let approved = task().prop_map(|task| EventBody::TaskApproved { task, by: "x".into(), comment: None });
    let detail = String::new;
    prop_oneof![
        4 => Just(EventBody::RunStarted {}),
        1 => Just(EventBody::RunPaused {}),
        1 => Just(EventBody::RunResumed {}),
        1 => Just(EventBody::RunCancelling { reason: EndReason::RunCancelled }),
        2 => Just(EventBody::RunCompleted {}),
        1 => Just(EventBody::RunErrored { detail: detail() }),
        20 => changes().prop_map(|changes| EventBody::TaskStatus { changes }),
        20 => grant,
        20 => result,
        4 => prompt,
        6 => expanded,
        4 => approved,
        2 => added,
        2 => retried,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_event_is_taken_whole_or_refused_without_a_trace(seed in any::<u64>(), events in prop::collection::vec(event(), 0..120)) {
        let mut run = fresh(seed);
        for (now, event) in (0..).zip(&events) {
            let before = run.clone();
            if run.apply(event, now).is_err() {
                prop_assert_eq!(&run, &before);
            }
            prop_assert_eq!(run.audit(), Ok(()));
        }
    }
}
