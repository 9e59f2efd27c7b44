//! The reducer alone: what it refuses, it leaves as it was.

use std::sync::Arc;

use super::bench::*;
use crate::event::{AttemptResult, EndReason, EventBody, GrantRecord, RetryScope, TaskChange, TaskState};
use crate::scheduler::{ApplyError, Run};

fn created() -> Run {
    let dag = dag(vec![task("a"), task("b: a"), task("c")]);
    Run::new(run_id(1), &facts(&dag, 2), Arc::new(dag), START_MS).unwrap()
}

fn change(task: &str, state: TaskState) -> TaskChange {
    TaskChange { task: id(task), state, end: None, queued: None }
}

fn status(changes: Vec<TaskChange>) -> EventBody {
    EventBody::TaskStatus { changes }
}

fn grant(attempt: u32, fence: u64) -> EventBody {
    let (task, session, node, host) = (id("a"), session(1), node(), Some(host(1)));
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
}

fn result(attempt: u32, fence: u64, state: TaskState) -> EventBody {
    EventBody::TaskResult(Box::new(AttemptResult {
        task: id("a"),
        attempt,
        fence,
        session: session(1),
        outcome: exit(0),
        exit: None,
        started_ms: None,
        ended_ms: 9,
        outputs: Default::default(),
        artifacts: Vec::new(),
        files: None,
        log: None,
        cached: None,
        not_cached: None,
        cache_key: None,
        log_bytes: 0,
        lost_output: None,
        counts: false,
        state,
        end: None,
        queued: None,
    }))
}

fn refuses(run: &mut Run, body: &EventBody) -> ApplyError {
    let before = run.clone();
    let error = run.apply(body, START_MS + 1).unwrap_err();
    assert_eq!(*run, before, "{error}");
    run.audit().unwrap();
    error
}

#[test]
fn a_run_that_is_created_can_only_start_or_be_cancelled() {
    let mut run = created();
    for body in [
        EventBody::RunPaused {},
        EventBody::RunResumed {},
        EventBody::RunCompleted {},
        EventBody::RunRetried { scope: RetryScope::All, changes: vec![] },
        grant(1, 1),
    ] {
        assert!(matches!(refuses(&mut run, &body), ApplyError::RunState { .. }));
    }
    let cancelling = EventBody::RunCancelling { reason: EndReason::RunCancelled };
    run.clone().apply(&cancelling, START_MS).unwrap();
    run.apply(&EventBody::RunStarted {}, START_MS).unwrap();
    refuses(&mut run, &EventBody::RunStarted {});
}

#[test]
fn a_list_is_taken_whole_or_not_at_all() {
    let mut run = created();
    run.apply(&EventBody::RunStarted {}, START_MS).unwrap();
    let queued = TaskState::Queued;
    let order = status(vec![change("c", queued), change("a", queued)]);
    assert!(matches!(refuses(&mut run, &order), ApplyError::List { .. }));
    let twice = status(vec![change("a", queued), change("a", TaskState::Cancelled)]);
    assert!(matches!(refuses(&mut run, &twice), ApplyError::List { .. }));
    let unknown = status(vec![change("a", queued), change("z", queued)]);
    assert!(matches!(refuses(&mut run, &unknown), ApplyError::NoTask { .. }));
    let illegal = status(vec![change("a", queued), change("c", TaskState::Error)]);
    assert!(matches!(refuses(&mut run, &illegal), ApplyError::TaskState { .. }));
    let started = status(vec![change("a", TaskState::Running)]);
    assert!(matches!(refuses(&mut run, &started), ApplyError::TaskState { .. }));
}

#[test]
fn every_illegal_move_of_a_task_is_refused() {
    for from in TaskState::ALL {
        for to in TaskState::ALL {
            let mut run = created();
            run.apply(&EventBody::RunStarted {}, START_MS).unwrap();
            if !reach(&mut run, *from) {
                continue;
            }
            let taken = run.clone().apply(&status(vec![change("a", *to)]), START_MS).is_ok();
            // Only a task whose items have ended succeeds without an attempt.
            let by_items = (*from, *to) == (TaskState::Queued, TaskState::Succeeded);
            let legal = from.may_become(*to) && !from.is_terminal() && *to != TaskState::Running && !by_items;
            assert_eq!(taken, legal, "{from} to {to}");
        }
    }
}

/// Brings task `a` there.
fn reach(run: &mut Run, state: TaskState) -> bool {
    let steps = match state {
        TaskState::Pending => vec![],
        TaskState::Queued => vec![status(vec![change("a", TaskState::Queued)])],
        TaskState::Running => vec![status(vec![change("a", TaskState::Queued)]), grant(1, 1)],
        TaskState::Processing => vec![
            status(vec![change("a", TaskState::Queued)]),
            grant(1, 1),
            status(vec![change("a", TaskState::Processing)]),
        ],
        end => {
            vec![status(vec![change("a", TaskState::Queued)]), grant(1, 1), result(1, 1, end)]
        }
    };
    for step in steps {
        run.apply(&step, START_MS).unwrap();
    }
    run.task(&id("a")).unwrap().1.state == state
}

#[test]
fn attempts_and_fences_only_go_up() {
    let mut run = created();
    run.apply(&EventBody::RunStarted {}, START_MS).unwrap();
    run.apply(&status(vec![change("a", TaskState::Queued)]), START_MS).unwrap();
    run.apply(&grant(3, 7), START_MS).unwrap();
    for (attempt, fence) in [(3, 6), (2, 7), (4, 7)] {
        let error = refuses(&mut run, &result(attempt, fence, TaskState::Succeeded));
        assert!(matches!(error, ApplyError::Attempt { .. }));
    }
    refuses(&mut run, &result(3, 7, TaskState::Running));
    run.apply(&result(3, 7, TaskState::Queued), START_MS).unwrap();
    for (attempt, fence) in [(3, 8), (4, 7)] {
        assert!(matches!(refuses(&mut run, &grant(attempt, fence)), ApplyError::Attempt { .. }));
    }
    run.apply(&grant(4, 8), START_MS).unwrap();
}

#[test]
fn a_run_does_not_end_before_its_tasks() {
    let mut run = created();
    run.apply(&EventBody::RunStarted {}, START_MS).unwrap();
    for end in [EventBody::RunCompleted {}, EventBody::RunFailed { detail: String::new() }] {
        assert!(matches!(refuses(&mut run, &end), ApplyError::RunState { .. }));
    }
    let off = ["a", "b", "c"].map(|name| change(name, TaskState::Cancelled));
    run.apply(&status(off.into()), START_MS).unwrap();
    run.apply(&EventBody::RunCancelled {}, START_MS + 5).unwrap();
    assert_eq!((run.started_ms(), run.ended_ms()), (Some(START_MS), Some(START_MS + 5)));
    let queued = status(vec![change("a", TaskState::Queued)]);
    assert!(
        matches!(refuses(&mut run, &queued), ApplyError::RunState { .. }),
        "leaving an end is dag retry's alone"
    );
    let changes = vec![change("a", TaskState::Running)];
    refuses(&mut run, &EventBody::RunRetried { scope: RetryScope::All, changes });
}

#[test]
fn sessions_that_are_not_at_work_are_refused() {
    let mut run = created();
    run.apply(&EventBody::RunStarted {}, START_MS).unwrap();
    reach(&mut run, TaskState::Running);
    let started = |n| EventBody::SessionStarted { session: session(n), task: Some(id("a")), pid: 5 };
    assert!(matches!(refuses(&mut run, &started(2)), ApplyError::Attempt { .. }));
    run.apply(&started(1), START_MS + 7).unwrap();
    let live = run.task(&id("a")).unwrap().1.live.as_ref().unwrap();
    assert_eq!((live.pid, live.started_ms, live.granted_ms), (Some(5), Some(START_MS + 7), START_MS));
}
